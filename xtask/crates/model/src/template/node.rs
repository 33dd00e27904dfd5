//! A template as a tree that remembers where each part stands.

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: NodeValue,
    /// Its bytes in the source, for a scalar without what surrounds it.
    pub span: Range<usize>,
    /// The line it begins on, counted from 1.
    pub line: usize,
}

/// What a part of a template is. Short forms (`!Ref`) are already long (`{"Ref": …}`).
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// No value.
    Null,
    /// `true` or `false`, unquoted.
    Bool(bool),
    /// A number, unquoted.
    Number(Number),
    /// Anything else that is one scalar.
    String(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, in the order of the source.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// The line it stands on, counted from 1.
    pub line: usize,
}

impl Node {
    /// The value under a key, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.name == key).map(|(_, node)| node)
    }

    /// The value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            NodeValue::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same tree as JSON, without positions.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(truth) => Value::Bool(*truth),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::String(text) => Value::String(text.clone()),
            NodeValue::Seq(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeValue::Map(entries) => {
                let map: Map<String, Value> =
                    entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect();
                Value::Object(map)
            }
        }
    }
}
