//! Parts of values, and when two of them are the same.

use super::*;

pub(super) fn keys_of(path: &Path) -> Vec<String> {
    let keys = path.steps.iter().map_while(|step| match step {
        Step::Key(key) => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

pub(super) fn part<'a>(at: &Found<'a>, key: String, value: Cow<'a, Value>) -> Found<'a> {
    let mut keys = at.keys.clone();
    keys.push(key);
    Found { thing: at.thing, value, keys }
}

/// The value under a key; text that is JSON is read as such.
pub(super) fn key_of<'a>(value: &Cow<'a, Value>, key: &str) -> Option<Cow<'a, Value>> {
    fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
        match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        }
    }
    match value {
        Cow::Borrowed(value) if !value.is_string() => get(value, key).map(Cow::Borrowed),
        Cow::Owned(value) if !value.is_string() => get(value, key).cloned().map(Cow::Owned),
        text => get(&as_json(text)?, key).cloned().map(Cow::Owned),
    }
}

fn as_json(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    text.starts_with(['[', '{']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// The elements or values of a value.
pub(super) fn parts<'a>(at: &Found<'a>) -> Vec<Found<'a>> {
    fn of(value: &Value) -> Vec<(String, &Value)> {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(number, item)| (number.to_string(), item)).collect()
            }
            Value::Object(map) => {
                let shown = map.iter().filter(|(key, _)| !key.starts_with('@'));
                shown.map(|(key, item)| (key.clone(), item)).collect()
            }
            _ => Vec::new(),
        }
    }
    if let Cow::Borrowed(value) = at.value
        && !value.is_string()
    {
        return of(value).into_iter().map(|(key, item)| part(at, key, Cow::Borrowed(item))).collect();
    }
    let read = as_json(&at.value);
    let value = read.as_ref().unwrap_or_else(|| at.value.as_ref());
    of(value).into_iter().map(|(key, item)| part(at, key, Cow::Owned(item.clone()))).collect()
}

pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Whether two values are the same, scalars by their text.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        (one, other) => text_of(one) == text_of(other),
    }
}

/// Whether a text has a shape: `*` is any text, `?` any character.
pub(super) fn fits(shape: &str, text: &str) -> bool {
    let (shape, text): (Vec<char>, Vec<char>) = (shape.chars().collect(), text.chars().collect());
    let (mut at, mut to) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while to < text.len() {
        if shape.get(at) == Some(&'*') {
            star = Some((at, to));
            at += 1;
        } else if shape.get(at).is_some_and(|one| *one == '?' || Some(one) == text.get(to)) {
            at += 1;
            to += 1;
        } else if let Some((before, taken)) = star {
            star = Some((before, taken + 1));
            at = before + 1;
            to = taken + 1;
        } else {
            return false;
        }
    }
    shape.iter().skip(at).all(|one| *one == '*')
}

pub(super) fn ok_or(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// A value for a person: short, and of a thing its id.
pub(super) fn shorten(value: &Value) -> String {
    let text = match value {
        Value::Object(map) => map.get("@id").map_or_else(|| value.to_string(), text_of),
        Value::Array(_) => value.to_string(),
        scalar => text_of(scalar),
    };
    if text.chars().count() > 160 {
        format!("`{}…`", text.chars().take(160).collect::<String>())
    } else {
        format!("`{text}`")
    }
}
