//! What a rule read to come to its answer: whoever changes something else need not ask it again.
//!
//! A rule's answer follows from the keys of things that its paths began with, from the classes and types that it looked
//! through, and from which text refers to which thing. All of that is noted while a rule is asked; `mutants.rs` compares things
//! before and after a change with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::things::{Thing, Things};

/// What was read.
#[derive(Debug, Default, Clone)]
pub(super) struct Reads {
    /// Things by their numbers, and the keys of each that were looked at; `*` is all of them.
    keys: HashSet<(usize, String)>,
    /// Types and kinds that were looked through.
    kinds: HashSet<String>,
    /// Whether a reference was followed.
    references: bool,
}

impl Reads {
    pub(super) fn key(&mut self, thing: usize, key: &str) {
        self.keys.insert((thing, key.to_owned()));
    }

    pub(super) fn kind(&mut self, kind: &str) {
        self.kinds.insert(kind.to_owned());
    }

    pub(super) fn reference(&mut self) {
        self.references = true;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().cloned());
        self.kinds.extend(other.kinds.iter().cloned());
        self.references |= other.references;
    }

    /// Whether a change can change the answer.
    pub(super) fn touched(&self, change: &Touched) -> bool {
        (self.references && change.references)
            || change.kinds.iter().any(|kind| self.kinds.contains(kind))
            || change.keys.iter().any(|(thing, keys)| {
                self.keys.contains(&(*thing, "*".to_owned()))
                    || keys.iter().any(|key| self.keys.contains(&(*thing, key.clone())))
            })
    }
}

/// What differs between two versions of all things, by the numbers of the first.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Keys of things that are in both.
    keys: Vec<(usize, BTreeSet<String>)>,
    /// Kinds of which one came or went, or belongs to another environment now.
    kinds: BTreeSet<String>,
    /// Whether a text refers to something else now.
    references: bool,
}

/// Compares two versions of all things. What is the same in memory is the same.
pub(super) fn touched(before: &Things, after: &Things) -> Touched {
    let mut change = Touched::default();
    let old = by_label(before, after);
    let new = by_label(after, before);
    for (label, olds) in &old {
        let news = new.get(label).map(Vec::as_slice).unwrap_or_default();
        if news.len() != olds.len() {
            change.kinds.extend(olds.iter().map(|(_, thing)| thing.kind.clone()));
            continue;
        }
        for ((number, one), (_, other)) in olds.iter().zip(news) {
            if one.kind != other.kind || one.environment != other.environment {
                change.kinds.extend([one.kind.clone(), other.kind.clone()]);
            }
            let keys = differing(&one.value, &other.value);
            if !keys.is_empty() {
                change.keys.push((*number, keys));
            }
        }
    }
    for (label, news) in &new {
        if !old.contains_key(label) {
            change.kinds.extend(news.iter().map(|(_, thing)| thing.kind.clone()));
        }
    }
    change.references = before.references() != after.references();
    change
}

/// Those of one version that are not, in memory, in the other.
fn by_label<'t>(of: &'t Things, other: &Things) -> HashMap<&'t str, Vec<(usize, &'t Thing)>> {
    let kept: HashSet<*const Thing> = other.all.iter().map(Rc::as_ptr).collect();
    let mut all: HashMap<&str, Vec<(usize, &Thing)>> = HashMap::new();
    for (number, thing) in of.all.iter().enumerate() {
        if !kept.contains(&Rc::as_ptr(thing)) {
            all.entry(&thing.label).or_default().push((number, thing));
        }
    }
    all
}

/// The keys under which two things have different values.
fn differing(one: &Value, other: &Value) -> BTreeSet<String> {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return BTreeSet::new() };
    let keys = one.keys().chain(other.keys());
    keys.filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}
