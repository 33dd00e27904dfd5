//! Strict reading: what is done with each key of a buildspec, a pipeline and a build project is data (`data/readers.toml`), and
//! what stands in no list is refused.
//!
//! A reader that takes the fields it knows and drops the rest says "released" for what it never did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::template::{Node, NodeValue};

/// What is wrong in a file, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The line, counted from 1; 0 where none is known.
    pub line: usize,
    /// What it is about: a path of keys, an action.
    pub on: String,
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub next: String,
}

impl Complaint {
    /// One of a line.
    pub fn new(line: usize, on: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { line, on: on.into(), why: why.into(), next: next.into() }
    }

    /// Where it stands in a file.
    pub fn place(&self, file: &str) -> String {
        match self.line {
            0 => file.to_owned(),
            line => format!("{file} line {line}"),
        }
    }
}

/// What is done with the keys of one kind of file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Done as AWS does it.
    #[serde(default)]
    done: BTreeSet<String>,
    /// Without effect on what a rehearsal shows, and why.
    #[serde(default)]
    inert: BTreeMap<String, String>,
    /// Not rehearsed, and AWS goes on, too.
    #[serde(default)]
    told: BTreeMap<String, String>,
    /// Refused, and why.
    #[serde(default)]
    refused: BTreeMap<String, String>,
    /// The keys below one that is inert or told.
    #[serde(default)]
    below: BTreeMap<String, BTreeSet<String>>,
}

/// An action's or a rule's type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Category, owner and provider of an action; the provider of a rule.
    #[serde(rename = "type")]
    pub name: String,
    /// What it takes in its configuration.
    pub done: BTreeSet<String>,
    /// What of that must be there.
    pub wanted: BTreeSet<String>,
    /// The variables it gives; `*` for the author's own.
    #[serde(default)]
    pub variables: BTreeSet<String>,
    /// How many artifacts it takes, at least and at most.
    #[serde(default)]
    pub inputs: (usize, usize),
    /// How many artifacts it gives, at least and at most.
    #[serde(default)]
    pub outputs: (usize, usize),
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Of buildspecs.
    pub buildspec: Keys,
    /// Of `AWS::CodePipeline::Pipeline`.
    pub pipeline: Keys,
    /// Of `AWS::CodeBuild::Project`.
    pub project: Keys,
    /// Actions.
    action: Vec<Provider>,
    /// Rules.
    rule: Vec<Provider>,
}

static DATA: LazyLock<Known> =
    LazyLock::new(|| toml::from_str(include_str!("../../../data/readers.toml")).unwrap_or_default());

/// What the readers know.
pub fn known() -> &'static Known {
    &DATA
}

impl Known {
    /// An action's type, as `Deploy/AWS/CloudFormation`.
    pub fn action(&self, name: &str) -> Option<&Provider> {
        self.action.iter().find(|one| one.name == name)
    }

    /// A rule's type.
    pub fn rule(&self, name: &str) -> Option<&Provider> {
        self.rule.iter().find(|one| one.name == name)
    }

    /// The names of the actions that are known.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.action.iter().map(|one| one.name.as_str())
    }

    /// The names of the rules that are known.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rule.iter().map(|one| one.name.as_str())
    }
}

/// One step of a path through a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A key of a mapping.
    Key(String),
    /// A place in a list, and the name of what stands there, where it has one.
    Item(usize, Option<String>),
}

/// What was found in a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What is refused.
    pub complaints: Vec<Complaint>,
    /// What is not rehearsed: the path and why.
    pub told: Vec<(String, String)>,
}

impl Keys {
    /// Every path of the lists.
    pub fn paths(&self) -> BTreeSet<&str> {
        let maps = [&self.inert, &self.told, &self.refused];
        let keys = maps.into_iter().flat_map(BTreeMap::keys);
        self.done.iter().chain(keys).chain(self.below.values().flatten()).map(String::as_str).collect()
    }

    /// Whether a path stands in a list, or below one where all is taken.
    pub fn has(&self, path: &str) -> bool {
        let keys: Vec<&str> = path.split('.').collect();
        (1..=keys.len()).any(|long| {
            let here = keys.get(..long).unwrap_or_default();
            let listed = self.paths().iter().any(|one| fits(one, here));
            listed && (long == keys.len() || !self.has_below(here))
        })
    }

    /// Walks a document: `at` tells the line of a path.
    pub fn walk(&self, document: &Value, at: &dyn Fn(&[Step]) -> usize) -> Found {
        let mut found = Found::default();
        self.go(document, &mut Vec::new(), at, &mut found);
        found
    }

    fn go(&self, value: &Value, path: &mut Vec<Step>, at: &dyn Fn(&[Step]) -> usize, found: &mut Found) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let name = item.get("Name").and_then(Value::as_str).map(ToOwned::to_owned);
                    path.push(Step::Item(index, name));
                    self.go(item, path, at, found);
                    path.pop();
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    path.push(Step::Key(key.clone()));
                    if self.key(path, at, found) {
                        self.go(value, path, at, found);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// Looks at one key; whether what is below it is looked at.
    fn key(&self, path: &[Step], at: &dyn Fn(&[Step]) -> usize, found: &mut Found) -> bool {
        let keys: Vec<&str> = path
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Item(..) => None,
            })
            .collect();
        let hit = |pattern: &String| fits(pattern, &keys);
        let shown = shown(path);
        if let Some((_, why)) = self.refused.iter().find(|(pattern, _)| hit(pattern)) {
            let next = "take it out, or release on AWS without a rehearsal";
            found.complaints.push(Complaint::new(at(path), shown, why, next));
            return false;
        }
        if let Some((_, why)) = self.told.iter().find(|(pattern, _)| hit(pattern)) {
            found.told.push((shown.clone(), why.clone()));
        } else if !(self.done.iter().any(hit)
            || self.inert.keys().any(hit)
            || self.below.values().flatten().any(hit)
            || self.has_free_key(&keys) && self.has_below(&keys))
        {
            let near = self.beside(&keys);
            let next = if near.is_empty() {
                "correct it".to_owned()
            } else {
                format!("correct it; known here: {}", near.join(", "))
            };
            found.complaints.push(Complaint::new(at(path), shown, "this key is not known", next));
            return false;
        }
        self.has_below(&keys)
    }

    /// Whether any path goes on below this one.
    fn has_below(&self, keys: &[&str]) -> bool {
        self.paths().iter().any(|path| {
            let parts: Vec<&str> = path.split('.').collect();
            parts.len() > keys.len() && fits_parts(parts.get(..keys.len()).unwrap_or_default(), keys)
        })
    }

    /// Whether the last key may be any: the lists have a star in its place and nothing else.
    fn has_free_key(&self, keys: &[&str]) -> bool {
        let Some((_, above)) = keys.split_last() else { return false };
        let mut named = false;
        let mut free = false;
        for path in self.paths() {
            let parts: Vec<&str> = path.split('.').collect();
            if parts.len() < keys.len() || !fits_parts(parts.get(..above.len()).unwrap_or_default(), above) {
                continue;
            }
            let last = parts.get(above.len()).copied().unwrap_or_default();
            named |= last != "*";
            free |= last == "*";
        }
        free && !named
    }

    /// The names that are known in the place of the last key.
    fn beside(&self, keys: &[&str]) -> Vec<String> {
        let Some((_, above)) = keys.split_last() else { return Vec::new() };
        let all: BTreeSet<String> = self
            .paths()
            .iter()
            .filter_map(|path| {
                let parts: Vec<&str> = path.split('.').collect();
                let head = parts.get(..above.len())?;
                let name = parts.get(above.len())?;
                (fits_parts(head, above) && *name != "*").then(|| (*name).to_owned())
            })
            .collect();
        all.into_iter().collect()
    }
}

fn fits(pattern: &str, keys: &[&str]) -> bool {
    fits_parts(&pattern.split('.').collect::<Vec<_>>(), keys)
}

fn fits_parts(pattern: &[&str], keys: &[&str]) -> bool {
    pattern.len() == keys.len() && pattern.iter().zip(keys).all(|(one, key)| *one == "*" || one == key)
}

/// A path for a person: items by their name.
pub fn shown(path: &[Step]) -> String {
    let words = path.iter().map(|step| match step {
        Step::Key(key) => key.clone(),
        Step::Item(_, Some(name)) => name.clone(),
        Step::Item(index, None) => index.to_string(),
    });
    words.collect::<Vec<_>>().join(".")
}

/// The line of a path in a document; that of the nearest part above it where a part was made by a function.
pub fn line_of(root: &Node, path: &[Step]) -> usize {
    let mut node = root;
    let mut line = root.line;
    for step in path {
        let below = match step {
            Step::Key(key) => {
                let Some((name, below)) = node.entries().iter().find(|(name, _)| name.name == *key) else {
                    return line;
                };
                line = name.line;
                below
            }
            Step::Item(index, name) => {
                let named = |item: &&Node| {
                    name.is_some() && item.get("Name").and_then(Node::as_str) == name.as_deref()
                };
                let Some(below) = node.items().iter().find(named).or_else(|| node.items().get(*index)) else {
                    return line;
                };
                line = below.line;
                below
            }
        };
        node = below;
    }
    match node.value {
        NodeValue::Null => line,
        _ => line.max(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_data_is_read_and_each_path_stands_once() {
        let data: Known = toml::from_str(include_str!("../../../data/readers.toml")).unwrap();
        for (name, keys) in
            [("buildspec", &data.buildspec), ("pipeline", &data.pipeline), ("project", &data.project)]
        {
            let all = keys.done.len()
                + keys.inert.len()
                + keys.told.len()
                + keys.refused.len()
                + keys.below.values().map(BTreeSet::len).sum::<usize>();
            assert_eq!(keys.paths().len(), all, "{name}: a path stands in two lists");
            assert!(all > 20, "{name}");
        }
        assert_eq!(&data, known());
        for provider in data.action.iter().chain(&data.rule) {
            assert!(provider.wanted.is_subset(&provider.done), "{}", provider.name);
        }
    }

    #[test]
    fn what_is_not_known_is_refused_and_what_is_free_is_not() {
        let keys: Keys = toml::from_str(
            "done = ['a', 'a.*.x', 'b', 'c', 'c.n']\ntold = {d = 'no d'}\nrefused = {'c.r' = 'no r'}\nbelow = {d = ['d.k']}\n",
        )
        .unwrap();
        let document = json!({
            "a": {"any": {"x": 1, "y": 2}}, "b": {"whatever": {"q": 1}}, "c": [{"n": 1}, {"r": 1, "m": 2}], "d": {"k": 1, "l": 2}, "e": 1
        });
        let found = keys.walk(&document, &|_| 7);
        let mut on: Vec<&str> = found.complaints.iter().map(|one| one.on.as_str()).collect();
        on.sort_unstable();
        assert_eq!(on, ["a.any.y", "c.1.m", "c.1.r", "d.l", "e"]);
        assert_eq!(found.told, [("d".to_owned(), "no d".to_owned())]);
        assert!(found.complaints.iter().all(|one| one.line == 7 && !one.next.is_empty()));
        let near = found.complaints.iter().find(|one| one.on == "c.1.m").unwrap();
        assert!(near.next.contains("known here: n, r"), "{near:?}");
    }

    #[test]
    fn lines_are_found_by_name() {
        let root =
            super::super::template::parse("s:\n- Name: a\n  x: 1\n- Name: b\n  x:\n    y: 2\n").unwrap();
        let path = [
            Step::Key("s".into()),
            Step::Item(0, Some("b".into())),
            Step::Key("x".into()),
            Step::Key("y".into()),
        ];
        assert_eq!(line_of(&root, &path), 6);
        assert_eq!(line_of(&root, &[Step::Key("s".into()), Step::Item(0, None)]), 2);
        assert_eq!(line_of(&root, &[Step::Key("z".into())]), root.line);
    }
}
