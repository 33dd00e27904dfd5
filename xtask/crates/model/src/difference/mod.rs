//! What changes of a resource, told from the templates before and after: properties, and the statements of policies in words.
//!
//! Both sides are what the template says, with functions as they stand there: the value of a parameter never gets into it. A
//! literal whose property sounds like a secret is not shown either.

mod statements;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::changeset::{Change, Op};
use super::isolated::Filled;
pub use statements::{Rights, UNKNOWN};
use words::{named, shown};

/// A property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Where it stands below the resource's properties, as in `Environment.Variables.RETENTION_DAYS`.
    pub path: String,
    /// What it is now; nothing where it is not there.
    pub before: Option<String>,
    /// What it becomes; nothing where it goes.
    pub after: Option<String>,
}

/// Adds to each change what is known of it: properties, statements, and what else makes it.
pub fn tell(changes: &mut [Change], before: Filled<'_>, after: Filled<'_>) {
    let others: BTreeMap<String, Op> = changes.iter().map(|one| (one.logical_id.clone(), one.op)).collect();
    for change in changes {
        let (old, new) = (resource(before, &change.logical_id), resource(after, &change.logical_id));
        match (old, new) {
            // What comes and what goes is told by its name.
            (Some(old), Some(new)) => {
                let mut found = Found { of: &change.logical_id, all: Vec::new(), statements: Vec::new() };
                found.resource(old, new);
                (change.properties, change.statements) = (found.all, found.statements);
                change.because = because(new, (before, after), &others, &change.logical_id);
            }
            (None, None) => {
                // A transform makes it of a resource whose name it begins with ("Generated resources" of SAM).
                let maker = resources(after).filter(|(id, _)| change.logical_id.starts_with(id.as_str()));
                let maker = maker.max_by_key(|(id, _)| id.len());
                change.because = maker.map(|(id, _)| format!("it is made of {id}")).into_iter().collect();
            }
            _ => {}
        }
    }
}

fn resources<'a>(of: Filled<'a>) -> impl Iterator<Item = (&'a String, &'a Value)> {
    of.template.get("Resources").and_then(Value::as_object).into_iter().flatten()
}

fn resource<'a>(of: Filled<'a>, id: &str) -> Option<&'a Value> {
    of.template.get("Resources")?.get(id)
}

/// What a resource refers to that changes: parameters by name, mappings, conditions, other resources.
fn because(
    new: &Value,
    (before, after): (Filled<'_>, Filled<'_>),
    others: &BTreeMap<String, Op>,
    own: &str,
) -> Vec<String> {
    let mut names = BTreeSet::new();
    mentioned(new, &mut names);
    // What a condition refers to is referred to with it.
    loop {
        let seen = names.len();
        for name in names.clone() {
            if let Some(condition) = after.template.get("Conditions").and_then(|all| all.get(&name)) {
                mentioned(condition, &mut names);
            }
        }
        if names.len() == seen {
            break;
        }
    }
    let differs = |section: &str, name: &str| {
        let part = |of: Filled<'_>| of.template.get(section).and_then(|all| all.get(name)).cloned();
        part(before) != part(after)
    };
    let mut all = Vec::new();
    for name in &names {
        let default = |of: Filled<'_>| {
            of.template.pointer(&format!("/Parameters/{name}/Default")).map(super::template::text_of)
        };
        let value = |of: Filled<'_>| of.parameters.get(name).cloned().or_else(|| default(of));
        match (value(before), value(after)) {
            // CloudFormation shows a secret as asterisks: nobody can tell whether it is another one.
            (Some(old), Some(_)) if !old.is_empty() && old.chars().all(|one| one == '*') => {
                all.push(format!("the parameter {name} may have another value"));
            }
            (Some(old), Some(new)) if old != new => {
                all.push(format!("the parameter {name} has another value"))
            }
            _ => {}
        }
        for (section, word) in [("Conditions", "condition"), ("Mappings", "mapping")] {
            if differs(section, name) {
                all.push(format!("the {word} {name} is another one"));
            }
        }
        if name != own && others.get(name) == Some(&Op::Replace) {
            all.push(format!("{name} is replaced"));
        }
    }
    all
}

/// The names that a definition refers to, whatever they are names of.
fn mentioned(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match (key.as_str(), inner) {
                    ("Ref" | "Condition", Value::String(name)) => drop(names.insert(name.clone())),
                    ("Fn::GetAtt", Value::String(name)) => {
                        names.extend(name.split('.').next().map(ToOwned::to_owned));
                    }
                    ("Fn::GetAtt" | "Fn::If" | "Fn::FindInMap", Value::Array(parts)) => {
                        names.extend(parts.first().and_then(Value::as_str).map(ToOwned::to_owned));
                    }
                    ("Fn::Sub", Value::String(text)) => names.extend(substituted(text)),
                    ("Fn::Sub", Value::Array(parts)) => {
                        names.extend(
                            parts.first().and_then(Value::as_str).map(substituted).into_iter().flatten(),
                        );
                    }
                    _ => {}
                }
                mentioned(inner, names);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| mentioned(one, names)),
        _ => {}
    }
}

/// The names in a text of `Fn::Sub`.
fn substituted(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1).filter(|part| !part.starts_with('!'));
    parts.filter_map(|part| part.split('}').next()?.split('.').next().map(ToOwned::to_owned)).collect()
}

/// What was found of one resource.
struct Found<'a> {
    of: &'a str,
    all: Vec<Property>,
    statements: Vec<String>,
}

impl Found<'_> {
    fn resource(&mut self, old: &Value, new: &Value) {
        let kind = |of: &Value| of.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_one = ["AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group", "AWS::Serverless::Function"];
        let holds = if is_one.contains(&kind(new).as_str()) {
            self.of.to_owned()
        } else {
            format!("whoever has {}", self.of)
        };
        let empty = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        for key in keys(old, new) {
            match key.as_str() {
                // Neither is anything that the resource has.
                "Metadata" => {}
                "Properties" => self.map("", &holds, of(old, key), of(new, key)),
                other => self.value(other, &holds, old.get(other), new.get(other)),
            }
        }
    }

    fn map(&mut self, path: &str, holds: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        for key in keys(old, new) {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.value(&below, holds, old.get(key), new.get(key));
        }
    }

    fn value(&mut self, path: &str, holds: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let is_policy = |value: Option<&Value>| value.is_some_and(|value| value.get("Statement").is_some());
        if is_policy(old) || is_policy(new) {
            let before = self.statements.len();
            self.statements.extend(statements::differences(holds, old, new));
            if self.statements.len() > before {
                return;
            }
            // Only its words differ: a statement's name, the order, the way a list is written.
            return self.put(
                path,
                old.map(|_| "as it is".to_owned()),
                new.map(|_| "the same in other words".to_owned()),
            );
        }
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new)))
                if !is_function(old) && !is_function(new) =>
            {
                self.map(path, holds, old, new);
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.list(path, holds, old, new),
            _ => self.put(path, old.map(|old| shown(path, old)), new.map(|new| shown(path, new))),
        }
    }

    /// Items with a name of their own are compared by it; scalars as a set; others by their place.
    fn list(&mut self, path: &str, holds: &str, old: &[Value], new: &[Value]) {
        if let (Some(before), Some(after)) = (named(old), named(new)) {
            let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in all {
                let below = format!("{path}[{name}]");
                self.value(&below, holds, before.get(name).copied(), after.get(name).copied());
            }
            return;
        }
        let gone: Vec<&Value> = old.iter().filter(|one| !new.contains(one)).collect();
        let came: Vec<&Value> = new.iter().filter(|one| !old.contains(one)).collect();
        if gone.is_empty() && came.is_empty() {
            // A list's order may mean something: CloudFormation compares it.
            return self.put(path, Some("as it is".to_owned()), Some("the same in another order".to_owned()));
        }
        let below = format!("{path}[]");
        for at in 0..gone.len().max(came.len()) {
            self.value(&below, holds, gone.get(at).copied(), came.get(at).copied());
        }
    }

    fn put(&mut self, path: &str, before: Option<String>, after: Option<String>) {
        self.all.push(Property { path: path.to_owned(), before, after });
    }
}

/// The keys of either, in their order.
fn keys<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

fn of<'a>(map: &'a Map<String, Value>, key: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    map.get(key).and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// Whether an object is a function of CloudFormation's, as in `{"Ref": "X"}`.
fn is_function(map: &Map<String, Value>) -> bool {
    map.len() == 1 && map.keys().all(|key| key == "Ref" || key == "Condition" || key.starts_with("Fn::"))
}

#[cfg(test)]
mod tests;
