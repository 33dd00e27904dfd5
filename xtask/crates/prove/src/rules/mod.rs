//! The rules of a release: what the templates mean, held to what the owner of the release wrote down.
//!
//! A rule is read, not recognized: it names a class of things, a path and a comparison (`cfn/release-rules.toml`), and nothing
//! here knows which rules there are.

mod conditions;
mod facts;
mod file;
mod kinds;
mod mutants;
mod path;
mod reads;
mod things;
mod values;
mod walk;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use super::Problem;
use super::ask::Asker;
use super::matrix::line;
use super::world::{Ground, World};
use causeway_model::template::text_of;
use file::FILE;
use file::{Exists, File, Rule, placeholders};
use path::{Path, Step};
use reads::Reads;
use things::{Thing, Things};
use values::{fits, is_nothing, key_of, part, parts, shorten};

/// A rule that something does not keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The rule's id.
    pub rule: String,
    /// Where the thing stands.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The thing.
    pub thing: String,
    /// The environment.
    pub environment: String,
    /// What is wrong with it.
    pub what: String,
    /// Why the rule is there.
    pub reason: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, file, line, thing, what, reason, .. } = self;
        write!(f, "{file}:{line}: rule {rule}: {thing}: {what} ({reason})")
    }
}

/// What the rules said.
#[derive(Debug, Default)]
pub struct Judged {
    /// How many rules there are.
    pub rules: usize,
    /// How many things they were asked of, each as often as it was asked.
    pub asked: usize,
    /// What does not keep them.
    pub violations: Vec<Violation>,
    /// What is worth a look: a class that nothing is in.
    pub warnings: Vec<Problem>,
    /// What is wrong with the file or cannot be evaluated.
    pub problems: Vec<Problem>,
}

/// The rules of a text.
///
/// # Errors
/// Every complaint about it.
fn read(text: &str) -> Result<File, Vec<Problem>> {
    file::parse(text, &kinds::Schemas)
}

/// Asks every rule of everything.
pub(super) fn check(ground: &Ground<'_>, world: &World) -> Judged {
    let Some(text) = ground.files.get("release-rules.toml") else {
        let problem =
            Problem::new(FILE, 1, "the file is missing; docs/release-rules.md says what stands in it");
        return Judged { problems: vec![problem], ..Judged::default() };
    };
    match read(text) {
        Ok(file) => judge(ground, world, &file, text),
        Err(problems) => Judged { problems, ..Judged::default() },
    }
}

/// Changes what the templates mean in every small way, or every n-th of them from a number on, and looks whether a rule notices.
pub(super) fn mutants(ground: &Ground<'_>, every: usize, first: usize) -> super::mutate::Mutation {
    mutants::run(ground, every, first)
}

/// Asks the rules of a file that was read.
fn judge(ground: &Ground<'_>, world: &World, file: &File, text: &str) -> Judged {
    let mut things = Things::of(ground, world);
    let problems = std::mem::take(&mut things.problems);
    let judge = Judge::over(ground, world, file, &things);
    let mut judged = Judged { rules: file.rules.len(), problems, ..Judged::default() };
    for rule in &file.rules {
        judge.rule(rule, text, &mut judged);
    }
    judged.violations.sort();
    judged.violations.dedup();
    judged.warnings.sort();
    judged.warnings.dedup();
    judged
}

/// A value that a path led to, and the thing it is part of.
#[derive(Debug, Clone)]
struct Found<'a> {
    thing: usize,
    value: Cow<'a, Value>,
    /// The keys from the thing to it.
    keys: Vec<String>,
}

/// What a path led to, and where it led nowhere.
#[derive(Debug, Default)]
struct Walk<'a> {
    found: Vec<Found<'a>>,
    /// Where it ended early: the thing, the keys up to there, and what is not there.
    ends: Vec<(usize, Vec<String>, String)>,
}

/// The members of a class, and what was read to tell.
type Known = (Rc<Vec<usize>>, Rc<Reads>);

/// What is wrong, where, and in words.
type Wrong = (usize, Vec<String>, String);

struct Judge<'a> {
    ground: &'a Ground<'a>,
    world: &'a World,
    file: &'a File,
    things: &'a Things,
    /// Each class that was looked up.
    classes: RefCell<HashMap<String, Known>>,
    /// What is read, for the rule that is asked and for each class that is looked up for it; nothing where nobody wants to know.
    reads: RefCell<Vec<Reads>>,
}

impl<'a> Judge<'a> {
    fn over(ground: &'a Ground<'a>, world: &'a World, file: &'a File, things: &'a Things) -> Self {
        Self { ground, world, file, things, classes: RefCell::default(), reads: RefCell::default() }
    }

    /// Asks one rule and notes what it reads.
    fn noted(&self, rule: &Rule, text: &str, judged: &mut Judged) -> Reads {
        self.reads.borrow_mut().push(Reads::default());
        self.rule(rule, text, judged);
        self.reads.borrow_mut().pop().unwrap_or_default()
    }

    fn note(&self, what: impl FnOnce(&mut Reads)) {
        if let Some(reads) = self.reads.borrow_mut().last_mut() {
            what(reads);
        }
    }

    fn rule(&self, rule: &Rule, text: &str, judged: &mut Judged) {
        let class = rule.class.get_ref();
        let members = self.members(class);
        let those: Vec<usize> = members
            .iter()
            .copied()
            .filter(|index| rule.filter.iter().all(|condition| self.holds(*index, condition.get_ref())))
            .collect();
        if members.is_empty() && rule.exists.is_none() {
            let message = format!(
                "rule {}: nothing is in class `{class}`, so the rule asks nothing",
                rule.id.get_ref()
            );
            judged.warnings.push(Problem::new(FILE, line(text, rule.class.span().start), message));
        }
        let mut violate = |file: &str, at: usize, thing: String, environment: &str, what: String| {
            judged.violations.push(Violation {
                rule: rule.id.get_ref().clone(),
                file: file.to_owned(),
                line: at,
                thing,
                environment: environment.to_owned(),
                what,
                reason: rule.reason.get_ref().trim().to_owned(),
            });
        };
        let environments: Vec<&str> = match rule.exists {
            Some(Exists::InEachEnvironment) => self.ground.config.targets().collect(),
            Some(Exists::InTheProject) => vec![""],
            None => Vec::new(),
        };
        for environment in environments {
            let stands = |index: &usize| {
                self.thing(*index)
                    .is_some_and(|thing| environment.is_empty() || thing.environment == environment)
            };
            if !those.iter().any(stands) {
                let place = if environment.is_empty() { "the project" } else { environment };
                let (file, at) = self.usual_place(class);
                violate(
                    &file,
                    at,
                    format!("class `{class}`"),
                    environment,
                    format!("there is none in {place}"),
                );
            }
        }
        for index in those {
            judged.asked += 1;
            let Some(thing) = self.thing(index) else { continue };
            for condition in &rule.must {
                for (at, keys, what) in self.wrong(index, condition.get_ref()) {
                    let place = self.thing(at).unwrap_or(thing);
                    let line = self.things.line(self.world, at, &keys);
                    violate(&place.file, line, thing.label.clone(), &thing.environment, what);
                }
            }
        }
    }

    /// The template in which a class would stand: that of the others of its kind, else of any.
    fn usual_place(&self, class: &str) -> (String, usize) {
        let mut base = class;
        while let Some(class) = self.file.classes.get(base) {
            base = class.get_ref().of.get_ref();
        }
        let found =
            self.things.by_kind.get(base).and_then(|all| all.first()).and_then(|index| self.thing(*index));
        found.map_or_else(|| (FILE.to_owned(), 1), |thing| (thing.file.clone(), thing.line))
    }

    fn thing(&self, index: usize) -> Option<&'a Thing> {
        self.things.all.get(index).map(Rc::as_ref)
    }

    /// Every thing of a class.
    fn members(&self, class: &str) -> Rc<Vec<usize>> {
        if let Some((known, read)) = self.classes.borrow().get(class) {
            self.note(|reads| reads.add(read));
            return Rc::clone(known);
        }
        let noting = !self.reads.borrow().is_empty();
        if noting {
            self.reads.borrow_mut().push(Reads::default());
        }
        // A class that asks for itself finds nothing in it.
        self.classes.borrow_mut().insert(class.to_owned(), (Rc::default(), Rc::default()));
        let members: Vec<usize> = match self.file.classes.get(class) {
            Some(of) => {
                let of = of.get_ref();
                let all = self.members(of.of.get_ref());
                let fits =
                    |index: &usize| of.filter.iter().all(|condition| self.holds(*index, condition.get_ref()));
                all.iter().copied().filter(fits).collect()
            }
            None => {
                self.note(|reads| reads.kind(class));
                self.things.by_kind.get(class).cloned().unwrap_or_default()
            }
        };
        let members = Rc::new(members);
        let read = if noting { self.reads.borrow_mut().pop().unwrap_or_default() } else { Reads::default() };
        self.note(|reads| reads.add(&read));
        self.classes.borrow_mut().insert(class.to_owned(), (Rc::clone(&members), Rc::new(read)));
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (shape, text, does) in [
            ("*", "", true),
            ("packages/*", "packages/a", true),
            ("packages/*", "package/a", false),
            ("*-a?-*", "x-ab-", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b*c", "a-b-b-c", true),
        ] {
            assert_eq!(fits(shape, text), does, "{shape} {text}");
        }
    }
}
