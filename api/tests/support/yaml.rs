//! YAML as JSON, for the contract and the template. A short form such as `!If [a, b, c]` becomes `{"!If": […]}`.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Value>,
}

/// Reads a file, named from the api's folder.
pub(crate) fn read(file: &str) -> Value {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut reader = Reader { events: Parser::new_from_str(&text), anchors: BTreeMap::new() };
    loop {
        match reader.next() {
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => return reader.value(event),
        }
    }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Event<'t> {
        let event = self.events.next_event().expect("the document ends early");
        event.unwrap_or_else(|error| panic!("{error}")).0
    }

    fn value(&mut self, event: Event<'t>) -> Value {
        let (value, anchor, tag) = match event {
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if plain { scalar(&text) } else { Value::from(text.as_ref()) };
                (value, anchor, tag)
            }
            Event::SequenceStart(anchor, tag, ..) => {
                let mut items = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => break (Value::Array(items), anchor, tag),
                        event => items.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(anchor, tag, ..) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next() {
                        Event::MappingEnd => break (Value::Object(map), anchor, tag),
                        Event::Scalar(text, ..) => text.into_owned(),
                        other => panic!("a key that is no scalar: {other:?}"),
                    };
                    let event = self.next();
                    let value = self.value(event);
                    assert!(map.insert(key.clone(), value).is_none(), "{key} stands twice");
                }
            }
            other => panic!("unexpected: {other:?}"),
        };
        let value = tagged(tag.as_deref(), value);
        self.anchors.insert(anchor, value.clone());
        value
    }
}

fn tagged(tag: Option<&Tag>, value: Value) -> Value {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => json!({format!("{}{}", tag.handle, tag.suffix): value}),
        _ => value,
    }
}

/// A plain scalar by YAML's core schema.
fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" | "~" | "null" => Value::Null,
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}
