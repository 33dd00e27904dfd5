//! The rules of a release: what the templates mean, held to what the owner of the release wrote down.
//!
//! A rule is read, not recognized: it names a class of things, a path and a comparison (`cfn/release-rules.toml`), and nothing
//! here knows which rules there are.

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
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use super::Problem;
use super::ask::Asker;
use super::matrix::line;
use super::needs::{self, Wanted};
use super::world::{Ground, World};
use causeway_model::template::text_of;
use facts::number_of;
use file::FILE;
use file::{Condition, Exists, File, May, Rule, placeholders};
use path::{Path, Step};
use reads::Reads;
use things::{Thing, Things};
use values::{fits, is_nothing, key_of, keys_of, ok_or, part, parts, same, shorten};

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

/// What is wrong, where, and in words.
type Wrong = (usize, Vec<String>, String);

struct Judge<'a> {
    ground: &'a Ground<'a>,
    world: &'a World,
    file: &'a File,
    things: &'a Things,
    /// Who is in a class, and what was read to tell.
    classes: RefCell<HashMap<String, (Rc<Vec<usize>>, Rc<Reads>)>>,
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

    fn holds(&self, thing: usize, condition: &Condition) -> bool {
        self.wrong(thing, condition).is_empty()
    }

    /// What of a condition does not hold for a thing.
    fn wrong(&self, index: usize, condition: &Condition) -> Vec<Wrong> {
        let Some(thing) = self.thing(index) else { return Vec::new() };
        let path = match condition.path() {
            Ok(path) => path,
            Err(error) => return vec![(index, Vec::new(), error)],
        };
        let walk = self.walk(index, &path);
        let shown = if path.steps.is_empty() { "it".to_owned() } else { format!("`{}`", path.text) };
        let nothing = || vec![(index, keys_of(&path), format!("{shown} is not there"))];
        if let Some(present) = condition.present {
            let there: Vec<&Found<'_>> =
                walk.found.iter().filter(|found| !is_nothing(&found.value)).collect();
            return match (present, there.first(), walk.ends.into_iter().next()) {
                (true, None, Some(end)) => vec![end],
                (true, None, None) => nothing(),
                (true, Some(_), Some(end)) => vec![end],
                (false, Some(found), _) => {
                    vec![(
                        found.thing,
                        found.keys.clone(),
                        format!("{shown} is there: {}", shorten(&found.value)),
                    )]
                }
                _ => Vec::new(),
            };
        }
        // Nothing is none of what must not be.
        let negative = condition.differs.is_some()
            || condition.none_of.is_some()
            || condition.never_matches.is_some()
            || condition.count.is_some();
        if !negative {
            if let Some(end) = walk.ends.first() {
                return vec![end.clone()];
            }
            if walk.found.is_empty() {
                return nothing();
            }
        }
        self.compare(index, thing, condition, &walk, &shown)
            .unwrap_or_else(|error| vec![(index, Vec::new(), error)])
    }

    fn compare(
        &self,
        index: usize,
        thing: &Thing,
        condition: &Condition,
        walk: &Walk<'_>,
        shown: &str,
    ) -> Result<Vec<Wrong>, String> {
        let fill = |value: &toml::Value| self.fill(index, value);
        let each = |fits: &dyn Fn(&Found<'_>) -> Result<(), String>| -> Vec<Wrong> {
            let wrong = walk.found.iter().filter_map(|found| {
                let why = fits(found).err()?;
                Some((found.thing, found.keys.clone(), format!("{shown} is {}{why}", shorten(&found.value))))
            });
            wrong.collect()
        };
        if let Some(count) = condition.count {
            let found = if let [one] = walk.found.as_slice() {
                one.value.as_array().map_or(1, Vec::len)
            } else {
                walk.found.len()
            };
            return if found == count {
                Ok(Vec::new())
            } else {
                Err(format!("{shown}: there are {found}, and there must be {count}"))
            };
        }
        if let Some(wanted) = &condition.equals {
            let wanted = fill(wanted)?;
            return Ok(each(&|found| {
                ok_or(same(&found.value, &wanted), || format!(", not {}", shorten(&wanted)))
            }));
        }
        if let Some(other) = &condition.differs {
            let other = fill(other)?;
            return Ok(each(&|found| {
                ok_or(!same(&found.value, &other), || ", which it must not be".to_owned())
            }));
        }
        for (list, wanted) in [(&condition.one_of, true), (&condition.none_of, false)] {
            let Some(list) = list else { continue };
            let all = list.iter().map(fill).collect::<Result<Vec<Value>, String>>()?;
            return Ok(each(&|found| {
                let is = all.iter().any(|one| same(&found.value, one));
                let words = if wanted { "none" } else { "one" };
                ok_or(is == wanted, || format!(", {words} of {}", shorten(&Value::Array(all.clone()))))
            }));
        }
        for (bound, least) in [(&condition.at_least, true), (&condition.at_most, false)] {
            let Some(bound) = bound else { continue };
            let bound = number_of(&fill(bound)?).ok_or_else(|| format!("{shown}: the bound is no number"))?;
            return Ok(each(&|found| {
                let number = number_of(&found.value).ok_or_else(|| ", no number".to_owned())?;
                let (fits, words) =
                    if least { (number >= bound, "least") } else { (number <= bound, "most") };
                ok_or(fits, || format!(", and must be at {words} {bound}"))
            }));
        }
        for (shape, wanted) in [(&condition.matches, true), (&condition.never_matches, false)] {
            let Some(shape) = shape else { continue };
            let shape = self.fill_text(index, shape)?;
            return Ok(each(&|found| {
                let words = if wanted { "not of the shape" } else { "of the shape" };
                ok_or(fits(&shape, &text_of(&found.value)) == wanted, || format!(", {words} `{shape}`"))
            }));
        }
        for (list, whole) in [(&condition.contains, false), (&condition.exactly, true)] {
            let Some(list) = list else { continue };
            let all = list.iter().map(fill).collect::<Result<Vec<Value>, String>>()?;
            let there: Vec<&Value> = walk
                .found
                .iter()
                .flat_map(|found| match found.value.as_ref() {
                    Value::Array(items) => items.iter().collect(),
                    one => vec![one],
                })
                .collect();
            let (at, keys) = walk
                .found
                .first()
                .map_or_else(|| (index, Vec::new()), |found| (found.thing, found.keys.clone()));
            let missing = all.iter().filter(|one| !there.iter().any(|value| same(value, one)));
            let mut wrong: Vec<Wrong> = missing
                .map(|one| (at, keys.clone(), format!("{shown} does not hold {}", shorten(one))))
                .collect();
            if whole {
                let more = there.iter().filter(|value| !all.iter().any(|one| same(value, one)));
                wrong.extend(
                    more.map(|one| (at, keys.clone(), format!("{shown} holds {}, too", shorten(one)))),
                );
            }
            return Ok(wrong);
        }
        if let Some(class) = &condition.refers_to {
            let members = self.members(class);
            return Ok(each(&|found| {
                self.note(Reads::reference);
                let to = self.things.referred(&text_of(&found.value), thing.stack, &thing.environment);
                let is = to.is_some_and(|to| {
                    members.contains(&to)
                        && self.thing(to).is_some_and(|other| other.environment == thing.environment)
                });
                ok_or(is, || format!(", which refers to no `{class}` of {}", thing.environment))
            }));
        }
        if let Some(class) = &condition.is {
            let members = self.members(class);
            return Ok(each(&|found| ok_or(members.contains(&found.thing), || format!(" and no `{class}`"))));
        }
        for (class, before) in [(&condition.before, true), (&condition.after, false)] {
            let Some(class) = class else { continue };
            return Ok(self.in_order(index, class, before));
        }
        if let Some(may) = &condition.may {
            return Ok(walk.found.iter().flat_map(|found| self.may(index, found, may)).collect());
        }
        Ok(Vec::new())
    }

    /// Whether the pipeline comes to a thing before every, or after some, of a class that is for the same environment.
    fn in_order(&self, index: usize, class: &str, before: bool) -> Vec<Wrong> {
        let Some(thing) = self.thing(index) else { return Vec::new() };
        let order = |thing: &Thing| thing.value.get("@order").and_then(number_of);
        let members = self.members(class);
        self.note(|reads| {
            for member in members.iter().chain([&index]) {
                reads.key(*member, "@order");
                reads.key(*member, "@pipeline");
            }
        });
        let Some(mine) = order(thing) else {
            return vec![(index, Vec::new(), "it is no part of a pipeline, so it has no order".to_owned())];
        };
        let others: Vec<(usize, f64)> = members
            .iter()
            .filter_map(|index| self.thing(*index).map(|thing| (*index, thing)))
            .filter(|(_, other)| {
                other.environment == thing.environment
                    && other.value.get("@pipeline") == thing.value.get("@pipeline")
            })
            .filter_map(|(index, other)| Some((index, order(other)?)))
            .collect();
        if before {
            let late = others.iter().filter(|(other, order)| *other != index && *order <= mine);
            return late
                .filter_map(|(other, _)| self.thing(*other))
                .map(|other| (index, Vec::new(), format!("it does not come before {}", other.label)))
                .collect();
        }
        if others.iter().any(|(_, order)| *order < mine) {
            return Vec::new();
        }
        vec![(index, Vec::new(), format!("no `{class}` of {} is done before it begins", thing.environment))]
    }

    fn may(&self, index: usize, found: &Found<'_>, may: &May) -> Vec<Wrong> {
        let wrong = |what: String| vec![(found.thing, found.keys.clone(), what)];
        // A role may be named by its ARN, or be the thing itself.
        let arn = match found.value.as_ref() {
            Value::Object(thing) => thing.get("@type").and_then(|_| self.arn(found.thing)),
            other => Some(text_of(other)),
        };
        let Some(arn) = arn else { return wrong("it is no role".to_owned()) };
        let Some(asker) = Asker::role(self.world, &arn) else {
            return wrong(format!("no template has the role {arn}"));
        };
        let on = match self.fill_text(index, &may.on) {
            Ok(on) => on,
            Err(error) => return wrong(error),
        };
        let mut with = BTreeMap::new();
        for (key, value) in &may.with {
            match self.fill_text(index, value) {
                Ok(value) => with.insert(key.clone(), vec![value]),
                Err(error) => return wrong(error),
            };
        }
        let account = causeway_model::arn::account_of(&arn).unwrap_or_default().to_owned();
        let wanted = Wanted { action: may.action.clone(), on, with };
        match needs::ask(self.world, &asker, &account, &wanted) {
            Ok(verdict) if verdict.allowed() => Vec::new(),
            Ok(verdict) => wrong(format!(
                "{} may not {} on {}: {}",
                asker.label,
                wanted.action,
                wanted.on,
                super::rows::decided(&verdict)
            )),
            Err(error) => wrong(error),
        }
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
