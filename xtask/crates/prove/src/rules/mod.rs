//! The rules of a release: what the templates mean, held to what the owner of the release wrote down.
//!
//! A rule is read, not recognized: it names a class of things, a path and a comparison (`cfn/release-rules.toml`), and nothing
//! here knows which rules there are.

mod file;
mod kinds;
mod path;
mod things;

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
use file::FILE;
use file::{Condition, Exists, File, May, Rule, placeholders};
use path::{Path, Step};
use things::{Thing, Things, number_of};

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

/// Asks the rules of a file that was read.
fn judge(ground: &Ground<'_>, world: &World, file: &File, text: &str) -> Judged {
    let mut things = Things::of(ground, world);
    let problems = std::mem::take(&mut things.problems);
    let judge = Judge { ground, world, file, things: &things, classes: RefCell::default() };
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
    classes: RefCell<HashMap<String, Rc<Vec<usize>>>>,
}

impl<'a> Judge<'a> {
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
        self.things.all.get(index)
    }

    /// Every thing of a class.
    fn members(&self, class: &str) -> Rc<Vec<usize>> {
        if let Some(known) = self.classes.borrow().get(class) {
            return Rc::clone(known);
        }
        // A class that asks for itself finds nothing in it.
        self.classes.borrow_mut().insert(class.to_owned(), Rc::default());
        let members: Vec<usize> = match self.file.classes.get(class) {
            Some(of) => {
                let of = of.get_ref();
                let all = self.members(of.of.get_ref());
                let fits =
                    |index: &usize| of.filter.iter().all(|condition| self.holds(*index, condition.get_ref()));
                all.iter().copied().filter(fits).collect()
            }
            None => self.things.by_kind.get(class).cloned().unwrap_or_default(),
        };
        let members = Rc::new(members);
        self.classes.borrow_mut().insert(class.to_owned(), Rc::clone(&members));
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
    }

    fn compare(
        &self,
        index: usize,
        thing: &Thing,
        condition: &Condition,
        walk: &Walk<'_>,
        shown: &str,
    ) -> Vec<Wrong> {
        let fill = |value: &toml::Value| self.fill(index, value);
        let each = |fits: &dyn Fn(&Found<'_>) -> Result<(), String>| -> Vec<Wrong> {
            let wrong = walk.found.iter().filter_map(|found| {
                let why = fits(found).err()?;
                Some((found.thing, found.keys.clone(), format!("{shown} is {}{why}", shorten(&found.value))))
            });
            wrong.collect()
        };
        let unfilled = |error: String| vec![(index, Vec::new(), error)];
        if let Some(count) = condition.count {
            let found = if let [one] = walk.found.as_slice() {
                one.value.as_array().map_or(1, Vec::len)
            } else {
                walk.found.len()
            };
            return if found == count {
                Vec::new()
            } else {
                vec![(index, Vec::new(), format!("{shown}: there are {found}, and there must be {count}"))]
            };
        }
        if let Some(wanted) = &condition.equals {
            return match fill(wanted) {
                Ok(wanted) => each(&|found| {
                    ok_or(same(&found.value, &wanted), || format!(", not {}", shorten(&wanted)))
                }),
                Err(error) => unfilled(error),
            };
        }
        if let Some(other) = &condition.differs {
            return match fill(other) {
                Ok(other) => {
                    each(&|found| ok_or(!same(&found.value, &other), || ", which it must not be".to_owned()))
                }
                Err(error) => unfilled(error),
            };
        }
        for (list, wanted) in [(&condition.one_of, true), (&condition.none_of, false)] {
            let Some(list) = list else { continue };
            let all: Result<Vec<Value>, String> = list.iter().map(fill).collect();
            return match all {
                Ok(all) => each(&|found| {
                    let is = all.iter().any(|one| same(&found.value, one));
                    let words = if wanted { "none" } else { "one" };
                    ok_or(is == wanted, || format!(", {words} of {}", shorten(&Value::Array(all.clone()))))
                }),
                Err(error) => unfilled(error),
            };
        }
        for (bound, least) in [(&condition.at_least, true), (&condition.at_most, false)] {
            let Some(bound) = bound else { continue };
            let bound = match fill(bound).map(|value| number_of(&value)) {
                Ok(Some(bound)) => bound,
                Ok(None) => return unfilled(format!("{shown}: the bound is no number")),
                Err(error) => return unfilled(error),
            };
            return each(&|found| {
                let number = number_of(&found.value).ok_or_else(|| ", no number".to_owned())?;
                let (fits, words) =
                    if least { (number >= bound, "least") } else { (number <= bound, "most") };
                ok_or(fits, || format!(", and must be at {words} {bound}"))
            });
        }
        for (shape, wanted) in [(&condition.matches, true), (&condition.never_matches, false)] {
            let Some(shape) = shape else { continue };
            return match self.fill_text(index, shape) {
                Ok(shape) => each(&|found| {
                    let words = if wanted { "not of the shape" } else { "of the shape" };
                    ok_or(fits(&shape, &text_of(&found.value)) == wanted, || format!(", {words} `{shape}`"))
                }),
                Err(error) => unfilled(error),
            };
        }
        for (list, whole) in [(&condition.contains, false), (&condition.exactly, true)] {
            let Some(list) = list else { continue };
            let all: Result<Vec<Value>, String> = list.iter().map(fill).collect();
            let all = match all {
                Ok(all) => all,
                Err(error) => return unfilled(error),
            };
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
            return wrong;
        }
        if let Some(class) = &condition.refers_to {
            let members = self.members(class);
            return each(&|found| {
                let to = self.things.referred(&text_of(&found.value), thing.stack, &thing.environment);
                let is = to.is_some_and(|to| {
                    members.contains(&to)
                        && self.thing(to).is_some_and(|other| other.environment == thing.environment)
                });
                ok_or(is, || format!(", which refers to no `{class}` of {}", thing.environment))
            });
        }
        if let Some(class) = &condition.is {
            let members = self.members(class);
            return each(&|found| ok_or(members.contains(&found.thing), || format!(" and no `{class}`")));
        }
        for (class, before) in [(&condition.before, true), (&condition.after, false)] {
            let Some(class) = class else { continue };
            return self.in_order(index, class, before);
        }
        if let Some(may) = &condition.may {
            return walk.found.iter().flat_map(|found| self.may(index, found, may)).collect();
        }
        Vec::new()
    }

    /// Whether the pipeline comes to a thing before every, or after some, of a class that is for the same environment.
    fn in_order(&self, index: usize, class: &str, before: bool) -> Vec<Wrong> {
        let Some(thing) = self.thing(index) else { return Vec::new() };
        let order = |thing: &Thing| thing.value.get("@order").and_then(number_of);
        let Some(mine) = order(thing) else {
            return vec![(index, Vec::new(), "it is no part of a pipeline, so it has no order".to_owned())];
        };
        let members = self.members(class);
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
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
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

    /// The ARN of a role that is a thing.
    fn arn(&self, index: usize) -> Option<String> {
        let thing = self.thing(index)?;
        let id = thing.value.get("@id").and_then(Value::as_str)?;
        let role = self.world.roles.iter().find(|(_, role)| role.id == id && role.stack == thing.stack);
        role.map(|(arn, _)| arn.clone())
    }

    /// A value of the file with its placeholders filled.
    fn fill(&self, index: usize, value: &toml::Value) -> Result<Value, String> {
        match value {
            toml::Value::String(text) => self.fill_text(index, text).map(Value::from),
            toml::Value::Array(items) => items
                .iter()
                .map(|item| self.fill(index, item))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            other => serde_json::to_value(other).map_err(|error| error.to_string()),
        }
    }

    fn fill_text(&self, index: usize, text: &str) -> Result<String, String> {
        let mut out = text.to_owned();
        for placeholder in placeholders(text) {
            let path = Path::parse(placeholder)?;
            let walk = self.walk(index, &path);
            let one = match walk.found.as_slice() {
                [one] => text_of(&one.value),
                [] => {
                    let why = walk
                        .ends
                        .into_iter()
                        .next()
                        .map_or_else(String::new, |(_, _, why)| format!(": {why}"));
                    return Err(format!("`{placeholder}` leads to nothing{why}"));
                }
                [first, rest @ ..] if rest.iter().all(|other| other.value == first.value) => {
                    text_of(&first.value)
                }
                several => return Err(format!("`{placeholder}` leads to {} values", several.len())),
            };
            out = out.replacen(&format!("{{{placeholder}}}"), &one, 1);
        }
        Ok(if text.contains("{{") { out.replace("{{", "{").replace("}}", "}") } else { out })
    }

    fn walk(&self, index: usize, path: &Path) -> Walk<'a> {
        let Some(thing) = self.thing(index) else { return Walk::default() };
        let start = Found { thing: index, value: Cow::Borrowed(&thing.value), keys: Vec::new() };
        self.walk_from(start, path)
    }

    fn walk_from(&self, start: Found<'a>, path: &Path) -> Walk<'a> {
        let mut walk = Walk { found: vec![start], ends: Vec::new() };
        for step in &path.steps {
            let mut next = Vec::new();
            for found in std::mem::take(&mut walk.found) {
                match self.step(&found, step) {
                    Ok(all) => next.extend(all),
                    Err(why) => walk.ends.push((found.thing, found.keys, why)),
                }
            }
            walk.found = next;
        }
        walk
    }

    fn whole(&self, index: usize) -> Option<Found<'a>> {
        let thing = self.thing(index)?;
        Some(Found { thing: index, value: Cow::Borrowed(&thing.value), keys: Vec::new() })
    }

    fn step(&self, at: &Found<'a>, step: &Step) -> Result<Vec<Found<'a>>, String> {
        let Some(thing) = self.thing(at.thing) else { return Ok(Vec::new()) };
        match step {
            Step::Key(key) => match key_of(&at.value, key) {
                Some(value) => Ok(vec![part(at, key.clone(), value)]),
                None => Err(format!("`{key}` is not there")),
            },
            Step::All => Ok(parts(at)),
            Step::Those(path, wanted) => {
                let fits = |found: &Found<'a>| {
                    let walk = self.walk_from(found.clone(), path);
                    walk.found.iter().any(|value| match wanted {
                        Some(wanted) => text_of(&value.value) == *wanted,
                        None => !is_nothing(&value.value),
                    })
                };
                let all: Vec<Found<'a>> = parts(at).into_iter().filter(|found| fits(found)).collect();
                let what = wanted
                    .as_ref()
                    .map_or_else(|| path.text.clone(), |value| format!("{} = {value}", path.text));
                if all.is_empty() { Err(format!("there is no element with {what}")) } else { Ok(all) }
            }
            Step::Referred => {
                let text = text_of(&at.value);
                let to = self.things.referred(&text, thing.stack, &thing.environment);
                to.and_then(|to| self.whole(to))
                    .map(|found| vec![found])
                    .ok_or_else(|| format!("{} refers to nothing that a template has", shorten(&at.value)))
            }
            Step::Held => {
                let text = text_of(&at.value);
                let to = self.things.held(&text, thing.stack, &thing.environment);
                to.and_then(|to| self.whole(to)).map(|found| vec![found]).ok_or_else(|| {
                    format!("{} holds no reference to anything that a template has", shorten(&at.value))
                })
            }
            Step::Referring(kind, path) => {
                let members = self.members(kind);
                let refers = |index: &usize| {
                    let Some(other) = self.thing(*index) else { return false };
                    self.walk(*index, path).found.iter().any(|value| {
                        let texts: Vec<&Value> = match value.value.as_ref() {
                            Value::Array(items) => items.iter().collect(),
                            one => vec![one],
                        };
                        texts.into_iter().any(|text| {
                            self.things.referred(&text_of(text), other.stack, &other.environment)
                                == Some(at.thing)
                        })
                    })
                };
                let all: Vec<Found<'a>> = members
                    .iter()
                    .filter(|index| refers(index))
                    .filter_map(|index| self.whole(*index))
                    .collect();
                if all.is_empty() {
                    Err(format!("no {kind} refers to it by `{}`", path.text))
                } else {
                    Ok(all)
                }
            }
            Step::Class(class) => {
                let members = self.members(class);
                let here = |index: &usize| {
                    self.thing(*index).is_some_and(|other| {
                        other.environment == thing.environment || !self.is_target(&other.environment)
                    })
                };
                Ok(members
                    .iter()
                    .filter(|index| here(index))
                    .filter_map(|index| self.whole(*index))
                    .collect())
            }
        }
    }

    fn is_target(&self, environment: &str) -> bool {
        self.ground.config.targets().any(|target| target == environment)
    }
}

fn keys_of(path: &Path) -> Vec<String> {
    let keys = path.steps.iter().map_while(|step| match step {
        Step::Key(key) => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

fn part<'a>(at: &Found<'a>, key: String, value: Cow<'a, Value>) -> Found<'a> {
    let mut keys = at.keys.clone();
    keys.push(key);
    Found { thing: at.thing, value, keys }
}

/// The value under a key; text that is JSON is read as such.
fn key_of<'a>(value: &Cow<'a, Value>, key: &str) -> Option<Cow<'a, Value>> {
    let get = |value: &'a Value| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    };
    match value {
        Cow::Borrowed(Value::String(_)) | Cow::Owned(Value::String(_)) => {
            let read = as_json(value)?;
            match &read {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?).cloned(),
                other => other.get(key).cloned(),
            }
            .map(Cow::Owned)
        }
        Cow::Borrowed(value) => get(value).map(Cow::Borrowed),
        Cow::Owned(value) => match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?).cloned(),
            other => other.get(key).cloned(),
        }
        .map(Cow::Owned),
    }
}

fn as_json(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    text.starts_with(['[', '{']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// The elements or values of a value.
fn parts<'a>(at: &Found<'a>) -> Vec<Found<'a>> {
    let owned = |value: &Value| -> Vec<Found<'a>> {
        match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(number, item)| part(at, number.to_string(), Cow::Owned(item.clone())))
                .collect(),
            Value::Object(map) => map
                .iter()
                .filter(|(key, _)| !key.starts_with('@'))
                .map(|(key, item)| part(at, key.clone(), Cow::Owned(item.clone())))
                .collect(),
            _ => Vec::new(),
        }
    };
    match &at.value {
        Cow::Borrowed(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(number, item)| part(at, number.to_string(), Cow::Borrowed(item)))
            .collect(),
        Cow::Borrowed(Value::Object(map)) => map
            .iter()
            .filter(|(key, _)| !key.starts_with('@'))
            .map(|(key, item)| part(at, key.clone(), Cow::Borrowed(item)))
            .collect(),
        other => owned(&as_json(other).unwrap_or_else(|| other.as_ref().clone())),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Whether two values are the same, scalars by their text.
fn same(one: &Value, other: &Value) -> bool {
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
fn fits(shape: &str, text: &str) -> bool {
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

fn ok_or(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// A value for a person: short, and of a thing its id.
fn shorten(value: &Value) -> String {
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
