//! Values of templates in one line, without what nobody may read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::is_function;

/// The longest value that is shown, in characters: a state machine's whole definition says nothing in a row.
const LONGEST: usize = 160;

/// What stands in the place of a value that is nobody's to read.
pub(super) const HIDDEN: &str = "(not shown)";

/// Words in a property's name whose value is nobody's to read.
const SECRET: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "privatekey",
    "accesskey",
];

/// A value in one line. A literal of a property that sounds like a secret is hidden; a function is a name, and shown.
pub(super) fn shown(path: &str, value: &Value) -> String {
    let text = if sounds_secret(path) && has_literal(value) { HIDDEN.to_owned() } else { words(value, path) };
    let plain: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    if plain.chars().count() <= LONGEST {
        return plain;
    }
    let head: String = plain.chars().take(LONGEST - 1).collect();
    format!("{head}…")
}

fn sounds_secret(path: &str) -> bool {
    let plain: String =
        path.to_lowercase().chars().filter(|one| one.is_alphanumeric() || *one == '.').collect();
    SECRET.iter().any(|word| plain.contains(word))
}

/// Whether a text stands in it that is no function's argument.
fn has_literal(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.starts_with("{{resolve:"),
        Value::Object(map) if is_function(map) => {
            // A literal may be a part of what a function makes.
            map.iter().any(|(key, inner)| {
                !matches!(key.as_str(), "Ref" | "Fn::GetAtt" | "Fn::ImportValue") && has_literal(inner)
            })
        }
        Value::Object(map) => map.values().any(has_literal),
        Value::Array(all) => all.iter().any(has_literal),
        Value::Number(_) => true,
        Value::Bool(_) | Value::Null => false,
    }
}

/// A value as somebody reads it: functions as `${…}`.
pub(super) fn words(value: &Value, path: &str) -> String {
    match value {
        Value::String(text) => without_keys(text),
        Value::Object(map) if is_function(map) => {
            let Some((name, inner)) = map.iter().next() else { return String::new() };
            function(name, inner, path)
        }
        Value::Object(map) => {
            let pair = |(key, inner): (&String, &Value)| {
                format!("{key}: {}", shown(&format!("{path}.{key}"), inner))
            };
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Array(all) => {
            format!("[{}]", all.iter().map(|one| words(one, path)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn function(name: &str, inner: &Value, path: &str) -> String {
    let parts = inner.as_array().map(Vec::as_slice).unwrap_or_default();
    let part = |at: usize| parts.get(at).map(|one| words(one, path)).unwrap_or_default();
    match name {
        "Ref" => format!("${{{}}}", words(inner, path)),
        "Fn::GetAtt" if parts.is_empty() => format!("${{{}}}", words(inner, path)),
        "Fn::GetAtt" => {
            format!("${{{}}}", parts.iter().map(|one| words(one, path)).collect::<Vec<_>>().join("."))
        }
        "Fn::Sub" if parts.is_empty() => words(inner, path),
        "Fn::Sub" => part(0),
        "Fn::If" => format!("{} if {}, else {}", part(1), part(0), part(2)),
        "Fn::Join" => match parts.get(1).and_then(Value::as_array) {
            Some(all) => all.iter().map(|one| words(one, path)).collect::<Vec<_>>().join(&part(0)),
            None => format!("{} joined", part(1)),
        },
        other => format!("{} of {}", other.trim_start_matches("Fn::"), words(inner, path)),
    }
}

/// A text without the password of an address in it.
fn without_keys(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', ' ']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{before}://{HIDDEN}@{host}{path}"),
        None => text.to_owned(),
    }
}

/// Items by the name that each has for itself; nothing where one has none, or two have the same.
pub(super) fn named(list: &[Value]) -> Option<BTreeMap<String, &Value>> {
    const NAMES: [&str; 8] =
        ["Key", "Name", "PolicyName", "AttributeName", "IndexName", "Id", "Sid", "DeviceName"];
    let name = |one: &Value| {
        let found = NAMES.iter().find_map(|key| one.get(*key))?;
        Some(words(found, ""))
    };
    let all: BTreeMap<String, &Value> =
        list.iter().map(|one| Some((name(one)?, one))).collect::<Option<_>>()?;
    (all.len() == list.len()).then_some(all)
}
