//! How strong the rules are: what the templates mean is changed in every small way, and some rule must notice.
//!
//! Mutants are made from what AWS's transforms make of the templates, and from the pipeline in it, never from the rules: scalars are
//! changed, references bent to a sibling of their type, elements of lists and whole resources dropped, and pairs of actions
//! exchanged. Statements of policies are left to `mutate.rs`, and texts for people mean nothing to a machine
//! (`xtask/data/meaning-survivors.toml`, with a reason for each).

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Problem;
use super::super::matrix::Variant;
use super::super::mutate::{Mutant, Mutation};
use super::super::world::{Ground, World};
use super::file::{File, Rule};
use super::reads::{self, Reads};
use super::things::Things;
use super::{Judge, Judged, read};

const DATA: &str = include_str!("../../../../data/meaning-survivors.toml");
/// The file of survivors, relative to the checkout.
const LIST: &str = "xtask/data/meaning-survivors.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivors {
    /// Parts that are no meaning, so nothing is made of them.
    #[serde(default)]
    unmeant: Vec<Unmeant>,
    /// Mutants that survive, by a shape of their names.
    #[serde(default)]
    survivors: Vec<Survivor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unmeant {
    keys: Vec<String>,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    mutant: String,
    why: String,
}

/// One way to change a stack's plain template.
#[derive(Debug, Clone)]
struct Change {
    kind: &'static str,
    /// The resource.
    id: String,
    /// The keys from the template to the part.
    path: Vec<String>,
    /// In words.
    what: String,
    /// What stands there afterwards; nothing where the part is dropped.
    to: Option<Value>,
}

/// The templates as they are, and what each rule read of them.
struct Before<'a> {
    file: &'a File,
    text: &'a str,
    /// The things of each stack by itself.
    parts: Vec<Rc<Things>>,
    things: Things,
    /// Of each rule: how many violations it has, and what it read.
    rules: Vec<(usize, Reads)>,
}

impl<'a> Before<'a> {
    fn of(ground: &Ground<'_>, world: &World, file: &'a File, text: &'a str) -> Self {
        let parts: Vec<Rc<Things>> =
            (0..world.stacks.len()).map(|number| Rc::new(Things::in_stack(ground, world, number))).collect();
        let things = Things::joined(ground, world, &parts);
        let judge = Judge::over(ground, world, file, &things);
        let rules = file.rules.iter().map(|rule| {
            let mut judged = Judged::default();
            let reads = judge.noted(rule, text, &mut judged);
            (judged.violations.len(), reads)
        });
        let rules = rules.collect();
        Self { file, text, parts, things, rules }
    }

    /// The first rule that notices what changed in some stacks.
    fn noticed(&self, ground: &Ground<'_>, world: &World, changed: &[usize]) -> Option<String> {
        let mut parts = self.parts.clone();
        for number in changed {
            let part = parts.get_mut(*number)?;
            let mut new = Things::in_stack(ground, world, *number);
            new.share(part);
            *part = Rc::new(new);
        }
        let things = Things::joined(ground, world, &parts);
        if let Some(problem) = things.problems.get(self.things.problems.len()) {
            return Some(problem.message.clone());
        }
        let touched = reads::touched(&self.things, &things);
        let judge = Judge::over(ground, world, self.file, &things);
        let asked = self.file.rules.iter().zip(&self.rules);
        let notices = |(rule, (before, _)): &(&Rule, &(usize, Reads))| {
            let mut judged = Judged::default();
            judge.rule(rule, self.text, &mut judged);
            judged.violations.len() > *before
        };
        let found = asked.clone().filter(|(_, (_, read))| read.touched(&touched)).find(notices);
        // What is not asked again must not be what would have noticed: tests ask everything.
        #[cfg(test)]
        assert_eq!(
            found.map(|one| one.0.id.get_ref()),
            asked.clone().find(notices).map(|one| one.0.id.get_ref())
        );
        found.map(|(rule, _)| format!("rule {}", rule.id.get_ref()))
    }
}

/// Makes every mutant, or every n-th beginning with a number, and asks the rules.
pub(in super::super) fn run(ground: &Ground<'_>, every: usize, first: usize) -> Mutation {
    let mut out = Mutation::default();
    let list: Survivors = match toml::from_str(DATA) {
        Ok(list) => list,
        Err(error) => {
            out.problems.push(Problem::new(LIST, 1, error.message()));
            return out;
        }
    };
    let Some(text) = ground.files.get("release-rules.toml") else { return out };
    // A file that cannot be read is a complaint of the report already.
    let Ok(file) = read(text) else { return out };
    let mut world = World::build(ground, &Variant::default(), None, false);
    let before = Before::of(ground, &world, &file, text);
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut used = vec![false; list.survivors.len()];
    let stacks: Vec<String> = ground.config.stacks.iter().map(|stack| stack.name.clone()).collect();
    let mut number = 0;
    for of in stacks {
        let numbers: Vec<usize> = (0..world.stacks.len())
            .filter(|at| world.stacks.get(*at).is_some_and(|stack| stack.of == of))
            .collect();
        // The template of the last environment is the strictest: what only another one has is in it, too, under a condition.
        let Some(stack) = numbers.last().and_then(|at| world.stacks.get(*at)) else { continue };
        let (template, changes) = (Rc::clone(&stack.template), changes(&stack.plain, &list));
        for change in changes {
            number += 1;
            if (number - 1) % every.max(1) != first % every.max(1) {
                continue;
            }
            let caught_by = caught(ground, &mut world, &numbers, &change, &before);
            let short = template.file.strip_prefix("cfn/").unwrap_or(&template.file);
            let mut name =
                format!("{short} {} {}", change.path.get(1..).unwrap_or_default().join("."), change.what);
            let again = names.entry(name.clone()).or_insert(0);
            *again += 1;
            if *again > 1 {
                name = format!("{name} ({again})");
            }
            let line = template.root.at(&["Resources", &change.id]).map_or(1, |node| node.line);
            let survived = caught_by.is_none();
            let at = list.survivors.iter().position(|survivor| super::fits(&survivor.mutant, &name));
            let why = at.filter(|_| survived).and_then(|at| {
                used.iter_mut().skip(at).take(1).for_each(|one| *one = true);
                list.survivors.get(at).map(|survivor| survivor.why.clone())
            });
            out.mutants.push(Mutant {
                name,
                kind: change.kind.to_owned(),
                file: template.file.clone(),
                line,
                caught_by,
                why,
            });
        }
    }
    if every <= 1 {
        let unused = list.survivors.iter().zip(&used).filter(|(_, used)| !**used);
        out.problems.extend(unused.map(|(survivor, _)| {
            let line = DATA.lines().position(|line| line.contains(&survivor.mutant)).map_or(1, |at| at + 1);
            Problem::new(
                LIST,
                line,
                format!("no mutant `{}` survives: take it off the list", survivor.mutant),
            )
        }));
    }
    out
}

/// What notices a change, made in every stack of the template.
fn caught(
    ground: &Ground<'_>,
    world: &mut World,
    numbers: &[usize],
    change: &Change,
    before: &Before<'_>,
) -> Option<String> {
    let mut kept = Vec::new();
    let mut unreadable = None;
    for at in numbers {
        let Some(stack) = world.stacks.get_mut(*at) else { continue };
        let mut plain = stack.plain.clone();
        if !apply(&mut plain, &change.path, change.to.as_ref()) {
            continue;
        }
        let was = std::mem::replace(&mut stack.plain, plain);
        let resources = std::mem::take(&mut stack.resources);
        stack.again(&mut |line, message| {
            unreadable.get_or_insert_with(|| format!("line {line}: {message}"));
        });
        kept.push((*at, was, resources));
    }
    let changed: Vec<usize> = kept.iter().map(|(at, ..)| *at).collect();
    let caught = unreadable.or_else(|| before.noticed(ground, world, &changed));
    for (at, was, resources) in kept {
        if let Some(stack) = world.stacks.get_mut(at) {
            stack.plain = was;
            stack.resources = resources;
        }
    }
    caught
}

/// Puts a value in place of a part, or takes the part out; whether there was one.
fn apply(root: &mut Value, path: &[String], to: Option<&Value>) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let mut at = root;
    for key in way {
        let next = match at {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            other => other.get_mut(key),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (at, to) {
        (Value::Array(items), to) => {
            let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) else {
                return false;
            };
            match to {
                Some(value) => items.get_mut(index).into_iter().for_each(|item| *item = value.clone()),
                None => drop(items.remove(index)),
            }
            true
        }
        (Value::Object(map), Some(value)) => map.insert(last.clone(), value.clone()).is_some(),
        (Value::Object(map), None) => map.shift_remove(last).is_some(),
        _ => false,
    }
}

fn changes(plain: &Value, list: &Survivors) -> Vec<Change> {
    let mut all = Vec::new();
    let resources = plain.get("Resources").and_then(Value::as_object);
    let kinds: BTreeMap<&str, &str> = resources
        .into_iter()
        .flatten()
        .filter_map(|(id, resource)| Some((id.as_str(), resource.get("Type")?.as_str()?)))
        .collect();
    let maker = Maker { kinds: &kinds, list };
    for (id, resource) in resources.into_iter().flatten() {
        let at = vec!["Resources".to_owned(), id.clone()];
        all.push(Change {
            kind: "resource",
            id: id.clone(),
            path: at.clone(),
            what: "dropped".to_owned(),
            to: None,
        });
        for (key, part) in resource.as_object().into_iter().flatten() {
            if !["Type", "Condition", "Metadata"].contains(&key.as_str()) {
                let mut path = at.clone();
                path.push(key.clone());
                maker.part(id, &path, part, &mut all);
            }
        }
        if resource.get("Type").and_then(Value::as_str) == Some("AWS::CodePipeline::Pipeline") {
            exchanged(id, &at, resource, &mut all);
        }
    }
    all
}

/// Every pair of actions that stand after each other in a stage changes its turn, and every pair of neighboring stages.
fn exchanged(id: &str, at: &[String], resource: &Value, all: &mut Vec<Change>) {
    let stages =
        resource.get("Properties").and_then(|properties| properties.get("Stages")).and_then(Value::as_array);
    let path = |more: &[String]| {
        let mut path = at.to_vec();
        path.extend(["Properties".to_owned(), "Stages".to_owned()]);
        path.extend(more.iter().cloned());
        path
    };
    let stages = stages.map(Vec::as_slice).unwrap_or_default();
    for one in 0..stages.len() {
        for other in one + 1..stages.len() {
            let mut swapped = stages.to_vec();
            swapped.swap(one, other);
            all.push(Change {
                kind: "exchange",
                id: id.to_owned(),
                path: path(&[]),
                what: format!("stages {one} and {other} exchanged"),
                to: Some(Value::Array(swapped)),
            });
        }
        let actions = stages.get(one).and_then(|stage| stage.get("Actions")).and_then(Value::as_array);
        let actions = actions.map(Vec::as_slice).unwrap_or_default();
        for first in 0..actions.len() {
            for second in first + 1..actions.len() {
                let mut swapped = actions.to_vec();
                let order = |at: usize| {
                    actions.get(at).and_then(|action| action.get("RunOrder")).cloned().unwrap_or(json!(1))
                };
                for (at, from) in [(first, second), (second, first)] {
                    if let Some(action) = swapped.get_mut(at).and_then(Value::as_object_mut) {
                        action.insert("RunOrder".to_owned(), order(from));
                    }
                }
                all.push(Change {
                    kind: "exchange",
                    id: id.to_owned(),
                    path: path(&[one.to_string(), "Actions".to_owned()]),
                    what: format!("turns {first} and {second} exchanged"),
                    to: Some(Value::Array(swapped)),
                });
            }
        }
    }
}

struct Maker<'a> {
    kinds: &'a BTreeMap<&'a str, &'a str>,
    list: &'a Survivors,
}

impl Maker<'_> {
    fn part(&self, id: &str, path: &[String], part: &Value, all: &mut Vec<Change>) {
        let key = path.last().map(String::as_str).unwrap_or_default();
        if self
            .list
            .unmeant
            .iter()
            .any(|unmeant| !unmeant.why.is_empty() && unmeant.keys.iter().any(|one| one == key))
        {
            return;
        }
        let made = |kind: &'static str, path: &[String], what: String, to: Option<Value>| Change {
            kind,
            id: id.to_owned(),
            path: path.to_vec(),
            what,
            to,
        };
        match part {
            Value::Bool(value) => {
                all.push(made("scalar", path, format!("{value} -> {}", !value), Some(json!(!value))))
            }
            Value::Number(number) => {
                let value = number.as_f64().unwrap_or_default();
                // Out of every reach, and down to nothing.
                for to in [value * 1_000.0 + 1.0, (value / 1_000.0).floor()] {
                    all.push(made("scalar", path, format!("{number} -> {to}"), Some(json!(to as i64))));
                }
            }
            Value::String(text) => all.push(made(
                "scalar",
                path,
                format!("`{}` -> other", short(text)),
                Some(json!(other(text))),
            )),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let mut path = path.to_vec();
                    path.push(number.to_string());
                    all.push(made("element", &path, "dropped".to_owned(), None));
                    self.part(id, &path, item, all);
                }
            }
            Value::Object(map) => match self.reference(map) {
                Some(bent) => {
                    for (what, to) in bent {
                        all.push(made("reference", path, what, Some(to)));
                    }
                }
                None => {
                    for (key, item) in map {
                        let mut path = path.to_vec();
                        path.push(key.clone());
                        self.part(id, &path, item, all);
                    }
                }
            },
            Value::Null => {}
        }
    }

    /// A function with what it refers to bent to the next sibling of its type; `None` where it is no function.
    fn reference(&self, map: &serde_json::Map<String, Value>) -> Option<Vec<(String, Value)>> {
        let (name, argument) = map.iter().next().filter(|_| map.len() == 1)?;
        let bent = match (name.as_str(), argument) {
            ("Ref", Value::String(id)) => {
                self.sibling(id).map(|to| (format!("Ref {id} -> {to}"), json!({ "Ref": to })))
            }
            ("Fn::GetAtt", Value::Array(parts)) => {
                let id = parts.first().and_then(Value::as_str).unwrap_or_default();
                self.sibling(id).map(|to| {
                    let mut parts = parts.clone();
                    parts.iter_mut().take(1).for_each(|part| *part = json!(to));
                    (format!("GetAtt {id} -> {to}"), json!({ "Fn::GetAtt": parts }))
                })
            }
            ("Fn::Sub", Value::String(text)) => {
                Some((format!("Sub `{}` -> other", short(text)), json!({ "Fn::Sub": other(text) })))
            }
            ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
                [condition, yes, no] => Some((
                    format!("If {} turned round", condition.as_str().unwrap_or_default()),
                    json!({ "Fn::If": [condition, no, yes] }),
                )),
                _ => None,
            },
            (name, _) if name.starts_with("Fn::") => None,
            _ => return None,
        };
        Some(bent.into_iter().collect())
    }

    /// The next resource of the same type.
    fn sibling(&self, id: &str) -> Option<String> {
        let kind = self.kinds.get(id)?;
        let all: Vec<&&str> =
            self.kinds.iter().filter(|(_, other)| *other == kind).map(|(id, _)| id).collect();
        let at = all.iter().position(|other| **other == id)?;
        all.get((at + 1) % all.len()).map(|other| (**other).to_string()).filter(|other| other != id)
    }
}

/// Another text of the same shape, so that it is a slip and no nonsense.
fn other(text: &str) -> String {
    let pairs = [
        ("Prod", "Dev"),
        ("prod", "dev"),
        ("Dev", "Prod"),
        ("dev", "prod"),
        ("ENABLED", "DISABLED"),
        ("Enabled", "Disabled"),
        ("Retain", "Delete"),
        ("Delete", "Retain"),
        ("notBreaching", "breaching"),
    ];
    let slip = pairs.iter().find(|(from, _)| text == *from);
    slip.map_or_else(|| format!("{text}x"), |(_, to)| (*to).to_owned())
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
