//! From YAML (or JSON, which is YAML) to a [`Node`].
//!
//! Refused: aliases (CloudFormation does not support them), duplicate keys, more than one document, and nesting
//! deeper than any template needs.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::node::{Key, Node, NodeValue};

/// Deeper nesting than this is refused, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    /// The line, counted from 1.
    pub line: usize,
    /// The complaint.
    pub message: String,
}

/// Reads a template.
///
/// # Errors
/// The first complaint with its line.
pub fn parse(text: &str) -> Result<Node, TemplateError> {
    let mut reader = Reader { events: Parser::new_from_str(text), offsets: offsets(text), text };
    let root = reader.document()?;
    if !matches!(root.value, NodeValue::Map(_)) {
        return Err(TemplateError { line: root.line, message: "the document is not a mapping".to_owned() });
    }
    Ok(root)
}

/// The byte offset of every character: the parser counts characters.
fn offsets(text: &str) -> Vec<usize> {
    text.char_indices().map(|(offset, _)| offset).chain(std::iter::once(text.len())).collect()
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    offsets: Vec<usize>,
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), TemplateError> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(TemplateError { line: error.marker().line(), message: error.info().to_owned() })
            }
            None => Err(TemplateError { line: 1, message: "the document ends early".to_owned() }),
        }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or(self.text.len());
        at(span.start.index())..at(span.end.index())
    }

    fn document(&mut self) -> Result<Node, TemplateError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(fault(&span, "a template is one document"));
                }
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        root.ok_or_else(|| TemplateError { line: 1, message: "the document is empty".to_owned() })
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(fault(span, "nested too deep"));
        }
        let line = span.start.line();
        let start = self.bytes(span);
        let (value, span, tag) = match event {
            Event::Scalar(text, style, _, tag) => {
                let span = start.clone();
                let value = if style == ScalarStyle::Plain && tag.is_none() {
                    plain(&text)
                } else {
                    NodeValue::String(text.into_owned())
                };
                (value, span, tag)
            }
            Event::SequenceStart(.., tag) => {
                let (items, end) = self.sequence(depth)?;
                (NodeValue::Seq(items), start.start..end, tag)
            }
            Event::MappingStart(.., tag) => {
                let (entries, end) = self.mapping(depth)?;
                (NodeValue::Map(entries), start.start..end, tag)
            }
            Event::Alias(_) => return Err(fault(span, "CloudFormation does not support YAML aliases")),
            _ => return Err(fault(span, "unexpected end of a block")),
        };
        let node = Node { value, span, line };
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                let name = format!("{}{}", tag.handle, tag.suffix);
                Ok(long_form(&name, node))
            }
            _ => Ok(node),
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<(Vec<Node>, usize), TemplateError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((items, self.bytes(&span).end));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<(Vec<(Key, Node)>, usize), TemplateError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok((entries, self.bytes(&span).end)),
                Event::Scalar(text, ..) => Key { name: text.into_owned(), line: span.start.line() },
                _ => return Err(fault(&span, "a key must be a scalar")),
            };
            if let Some((first, _)) = entries.iter().find(|(other, _)| other.name == key.name) {
                return Err(fault(
                    &span,
                    &format!("key `{}` stands on line {} already", key.name, first.line),
                ));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            entries.push((key, value));
        }
    }
}

fn fault(span: &Span, message: &str) -> TemplateError {
    TemplateError { line: span.start.line(), message: message.to_owned() }
}

/// The type of a plain scalar, by YAML's core schema. Numbers with a leading zero stay text: an account id is no number.
fn plain(text: &str) -> NodeValue {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeValue::Null,
        "true" | "True" | "TRUE" => return NodeValue::Bool(true),
        "false" | "False" | "FALSE" => return NodeValue::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let numeric = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && (!digits.starts_with('0') || digits == "0" || digits.starts_with("0."));
    if numeric && let Ok(number) = serde_json::from_str(text) {
        return NodeValue::Number(number);
    }
    NodeValue::String(text.to_owned())
}

/// `!Ref x` as `{"Ref": x}`, `!GetAtt a.b` as `{"Fn::GetAtt": ["a", "b"]}`, `!X y` as `{"Fn::X": y}`.
fn long_form(tag: &str, inner: Node) -> Node {
    let name = tag.trim_start_matches('!');
    let key = match name {
        "Ref" | "Condition" => name.to_owned(),
        other => format!("Fn::{other}"),
    };
    let (span, line) = (inner.span.clone(), inner.line);
    let inner = match (&inner.value, name) {
        (NodeValue::String(path), "GetAtt") => match path.split_once('.') {
            Some((resource, attribute)) => {
                let part =
                    |text: &str| Node { value: NodeValue::String(text.to_owned()), span: span.clone(), line };
                Node {
                    value: NodeValue::Seq(vec![part(resource), part(attribute)]),
                    span: span.clone(),
                    line,
                }
            }
            None => inner,
        },
        _ => inner,
    };
    Node { value: NodeValue::Map(vec![(Key { name: key, line }, inner)]), span, line }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_forms_become_long() {
        let text = "a: !Ref X\nb: !GetAtt R.Arn.Deep\nc: !Sub 'x-${Y}'\nd: !If [C, 1, !Ref 'AWS::NoValue']\ne: !Equals [!Ref A, '01']\nf: !Condition K\n";
        let expected = json!({
            "a": {"Ref": "X"}, "b": {"Fn::GetAtt": ["R", "Arn.Deep"]}, "c": {"Fn::Sub": "x-${Y}"},
            "d": {"Fn::If": ["C", 1, {"Ref": "AWS::NoValue"}]}, "e": {"Fn::Equals": [{"Ref": "A"}, "01"]},
            "f": {"Condition": "K"},
        });
        assert_eq!(parse(text).unwrap().to_json(), expected);
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let text = "a: 012345678901\nb: 2012-10-17\nc: 3\nd: -1.5\ne: true\nf: 'true'\ng: ~\nh: 0\ni: 1.2.3\nj: yes\nk: |\n  two\n  lines\n";
        let expected = json!({
            "a": "012345678901", "b": "2012-10-17", "c": 3, "d": -1.5, "e": true, "f": "true", "g": null, "h": 0,
            "i": "1.2.3", "j": "yes", "k": "two\nlines\n",
        });
        assert_eq!(parse(text).unwrap().to_json(), expected);
    }

    #[test]
    fn json_is_read_too() {
        assert_eq!(parse("{\"a\": {\"Ref\": \"X\"}}").unwrap().to_json(), json!({"a": {"Ref": "X"}}));
    }

    #[test]
    fn spans_are_bytes_even_after_umlauts() {
        let text = "# über\na:\n  b: täst  # note\n";
        let root = parse(text).unwrap();
        let node = root.at(&["a", "b"]).unwrap();
        assert_eq!(&text[node.span.clone()], "täst");
        assert_eq!(node.line, 3);
    }

    #[test]
    fn complaints_name_the_line() {
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        let table = [
            ("", 1, "empty"),
            ("- a\n", 1, "not a mapping"),
            ("a: 1\nb: 2\na: 3\n", 3, "on line 1 already"),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: 1\n---\nb: 2\n", 3, "one document"),
            ("a: [1,\nb: 2\n", 2, ""),
            ("a:\n\t- b\n", 2, ""),
            (deep.as_str(), 1, "too deep"),
            ("? [a]\n: b\n", 1, "scalar"),
        ];
        for (text, line, word) in table {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(word), "{text:?}: {error}");
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }
}
