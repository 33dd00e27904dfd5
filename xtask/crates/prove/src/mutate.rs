//! How strong the matrix is: every statement is weakened in every way, and some row must notice.
//!
//! A mutant is one statement of a template changed in one way, in every stack that holds it: dropped, a condition stripped
//! or made to hold for any value, one of a condition's several values dropped, its actions, resources or principal widened
//! to `*`. What the other statements say about a request is computed once and kept, so a mutant costs one statement a row
//! and not a world.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Problem;
use super::ask::{Asked, Worlds};
use super::matrix;
use super::needs::sample;
use super::policies::MADE;
use super::world::World;
use causeway_iam::{Catalogue, Condition, Matched, Patterns, Place, Principal, Raw, Statement};

/// One way to weaken a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Drop,
    Condition(usize),
    /// One value of a condition that has several.
    Value(usize, usize),
    /// A condition holds for whatever value there is.
    AnyValue(usize),
    Action,
    Resource,
    Principal,
}

/// A statement of a template and one way to weaken it.
#[derive(Debug, Clone, Serialize)]
pub struct Mutant {
    /// Its name, without line numbers, so that it outlives edits.
    pub name: String,
    /// What kind of change it is: `statement`, or of the release's meaning `scalar`, `reference`, `element`, `resource`,
    /// `exchange`.
    pub kind: String,
    /// The file of the statement.
    pub file: String,
    /// The line of the statement.
    pub line: usize,
    /// The row or the rule that caught it.
    pub caught_by: Option<String>,
    /// Why it may survive, where the matrix says so.
    pub why: Option<String>,
}

/// Mutants, and what is wrong with the list of survivors.
#[derive(Debug, Default)]
pub struct Mutation {
    /// Every mutant.
    pub mutants: Vec<Mutant>,
    /// Survivors that are listed and do not survive, or do not exist.
    pub problems: Vec<Problem>,
}

impl Mutation {
    /// How many some row catches.
    pub fn caught(&self) -> usize {
        self.mutants.iter().filter(|mutant| mutant.caught_by.is_some()).count()
    }

    /// How many there are of each kind, and how many of them are caught.
    pub fn by_kind(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut all: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for mutant in &self.mutants {
            let (made, caught) = all.entry(&mutant.kind).or_default();
            *made += 1;
            *caught += usize::from(mutant.caught_by.is_some());
        }
        all
    }

    /// Those that no row catches.
    pub fn survivors(&self) -> impl Iterator<Item = &Mutant> {
        self.mutants.iter().filter(|mutant| mutant.caught_by.is_none())
    }

    /// Those of them that no reason was written down for.
    pub fn unexplained(&self) -> impl Iterator<Item = &Mutant> {
        self.survivors().filter(|mutant| mutant.why.is_none())
    }
}

/// The statements of one place of a template: one for each stack that holds it.
struct Origin<'w> {
    place: Place,
    all: Vec<&'w Statement>,
}

/// Makes every mutant and asks the rows that its statement bears on.
pub fn run(worlds: &Worlds<'_>, asked: &[Asked<'_>]) -> Mutation {
    let rows = &worlds.ground.matrix.rows;
    let (kept, bears) = keep(asked);
    let mut out = Mutation::default();
    for origin in origins(worlds) {
        let ids: BTreeSet<usize> = origin.all.iter().map(|statement| statement.id).collect();
        let touched: BTreeSet<usize> = ids.iter().filter_map(|id| bears.get(id)).flatten().copied().collect();
        for change in changes(&origin) {
            let weakened: BTreeMap<usize, Option<Statement>> =
                origin.all.iter().map(|statement| (statement.id, weaken(statement, &change))).collect();
            let caught = touched.iter().find(|index| {
                let (Some(one), Some(answers)) = (asked.get(**index), kept.get(**index)) else {
                    return false;
                };
                let Some(row) = rows.get(one.row) else { return false };
                let verdict = one.verdict_by(&mut |statement, request| match weakened.get(&statement.id) {
                    Some(Some(other)) => other.matches(request),
                    Some(None) => Ok(Matched::GONE),
                    None => {
                        answers.get(&statement.id).cloned().map_or_else(|| statement.matches(request), Ok)
                    }
                });
                verdict.is_ok_and(|verdict| !row.accepts(verdict.decision))
            });
            out.mutants.push(Mutant {
                name: name(&origin, &change),
                kind: "statement".to_owned(),
                file: origin.place.file.clone(),
                line: origin.place.line,
                caught_by: caught
                    .and_then(|index| asked.get(*index))
                    .and_then(|one| rows.get(one.row))
                    .map(|row| row.id.get_ref().clone()),
                why: None,
            });
        }
    }
    excuse(worlds, &mut out);
    out
}

type Kept = Vec<BTreeMap<usize, Matched>>;

/// What every statement says about every request, and the requests that each statement bears on.
fn keep(asked: &[Asked<'_>]) -> (Kept, BTreeMap<usize, Vec<usize>>) {
    let mut kept = Vec::with_capacity(asked.len());
    let mut bears: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, one) in asked.iter().enumerate() {
        let mut answers = BTreeMap::new();
        let bearing = one.bearing();
        let layers = bearing.scps.iter().copied().chain(bearing.resource.map(|policy| policy.statements));
        let layers =
            layers.chain(bearing.identity.iter().copied()).chain(bearing.boundary).chain(bearing.session);
        for statement in layers.flatten() {
            if let Ok(matched) = statement.matches(&one.request) {
                answers.insert(statement.id, matched);
            }
            bears.entry(statement.id).or_default().push(index);
        }
        kept.push(answers);
    }
    (kept, bears)
}

fn origins<'w>(worlds: &'w Worlds<'_>) -> Vec<Origin<'w>> {
    let mut all: BTreeMap<(String, usize, String), Origin<'w>> = BTreeMap::new();
    // A permission that SAM makes for a route is not written anywhere, so nobody can weaken it.
    let written = worlds.all().flat_map(World::statements).filter(|statement| statement.place.sid != MADE);
    for statement in written {
        let place = &statement.place;
        let key = (place.file.clone(), place.line, format!("{}.{}", place.of, place.sid));
        all.entry(key)
            .or_insert_with(|| Origin { place: place.clone(), all: Vec::new() })
            .all
            .push(statement);
    }
    all.into_values().collect()
}

fn changes(origin: &Origin<'_>) -> Vec<Change> {
    let Some(first) = origin.all.first() else { return Vec::new() };
    let raw = &first.raw;
    let mut all = vec![Change::Drop];
    for (index, condition) in raw.conditions.iter().enumerate() {
        all.push(Change::Condition(index));
        if says_a_value(condition) {
            all.push(Change::AnyValue(index));
        }
        // Dropping the only value is stripping the condition, or a condition that never holds.
        if condition.values.len() > 1 {
            all.extend((0..condition.values.len()).map(|value| Change::Value(index, value)));
        }
    }
    if raw.actions.negated || !says_all_actions(raw) {
        all.push(Change::Action);
    }
    if raw.resources.as_ref().is_some_and(|patterns| patterns.negated || !says_all_resources(raw, patterns)) {
        all.push(Change::Resource);
    }
    if raw.principal.as_ref().is_some_and(|principal| *principal != Principal::any()) {
        all.push(Change::Principal);
    }
    all
}

/// Whether a condition asks for a value of a key that must be there. The others either hold for more values than they
/// name, or for a key that is absent, too.
fn says_a_value(condition: &Condition) -> bool {
    ["StringEquals", "StringLike", "ArnEquals", "ArnLike"].contains(&condition.operator.as_str())
}

/// Whether `*` would add no action: every action that can be asked on its resources is there already.
fn says_all_actions(raw: &Raw) -> bool {
    let all = &raw.actions.all;
    if all.iter().any(|action| action == "*") {
        return true;
    }
    let Some(resources) = raw.resources.as_ref().filter(|patterns| !patterns.negated) else { return false };
    if resources.all.iter().any(|on| on == "*") {
        return false;
    }
    let catalogue = Catalogue::get();
    let known: BTreeSet<String> =
        all.iter().flat_map(|action| catalogue.expand(action).unwrap_or_default()).collect();
    resources.all.iter().all(|on| catalogue.asked_on(&sample(on)).iter().all(|action| known.contains(action)))
}

/// Whether `*` would add no resource. In the policy of a resource `*` means that resource: for a topic itself, for a
/// bucket the bucket and its objects, as far as the statement's actions are asked on them.
fn says_all_resources(raw: &Raw, patterns: &Patterns) -> bool {
    if patterns.all.iter().any(|on| on == "*") {
        return true;
    }
    if raw.principal.is_none() {
        return false;
    }
    let bucket = |on: &String| on.contains(":s3:::") && !on.contains('/');
    let objects = |on: &String| on.contains(":s3:::") && on.ends_with("/*") && on.matches('/').count() == 1;
    let catalogue = Catalogue::get();
    let actions: Vec<String> =
        raw.actions.all.iter().flat_map(|action| catalogue.expand(action).unwrap_or_default()).collect();
    if patterns.all.iter().any(|on| on.contains(":sns:")) {
        return true;
    }
    if !patterns.all.iter().any(objects) {
        return false;
    }
    let name = patterns
        .all
        .iter()
        .find(|on| objects(on))
        .map(|on| on.trim_end_matches("/*").to_owned())
        .unwrap_or_default();
    let on_bucket: BTreeSet<String> = catalogue.asked_on(&name).into_iter().collect();
    patterns.all.iter().any(bucket) || !actions.iter().any(|action| on_bucket.contains(action))
}

fn weaken(statement: &Statement, change: &Change) -> Option<Statement> {
    let star = || Patterns { negated: false, all: vec!["*".to_owned()] };
    let mut raw: Raw = statement.raw.clone();
    match change {
        Change::Drop => return None,
        Change::Condition(index) if *index < raw.conditions.len() => {
            raw.conditions.remove(*index);
        }
        Change::Condition(_) => {}
        Change::Value(index, value) => {
            if let Some(condition) = raw.conditions.get_mut(*index) {
                *condition = condition.without(*value);
            }
        }
        Change::AnyValue(index) => {
            if let Some(condition) = raw.conditions.get_mut(*index)
                && let Ok(any) = Condition::parse("Null", &condition.key, vec!["false".to_owned()])
            {
                *condition = any;
            }
        }
        Change::Action => raw.actions = star(),
        Change::Resource => raw.resources = Some(star()),
        Change::Principal => raw.principal = Some(Principal::any()),
    }
    Some(Statement::of(raw, statement.place.clone(), statement.id))
}

fn name(origin: &Origin<'_>, change: &Change) -> String {
    let file = origin.place.file.strip_prefix("cfn/").unwrap_or(&origin.place.file);
    let conditions = origin.all.first().map(|first| first.raw.conditions.as_slice()).unwrap_or_default();
    let what = match change {
        Change::Drop => "drop".to_owned(),
        Change::Condition(index) => conditions
            .get(*index)
            .map_or_else(String::new, |condition| format!("strip {} {}", condition.operator, condition.key)),
        Change::Value(index, value) => conditions.get(*index).map_or_else(String::new, |condition| {
            // By its number: the text holds account ids and regions.
            format!("drop value {} of {} {}", value + 1, condition.operator, condition.key)
        }),
        Change::AnyValue(index) => conditions.get(*index).map_or_else(String::new, |condition| {
            format!("any value of {} {}", condition.operator, condition.key)
        }),
        Change::Action => "action *".to_owned(),
        Change::Resource => "resource *".to_owned(),
        Change::Principal => "principal *".to_owned(),
    };
    format!("{file} {}.{} {what}", origin.place.of, origin.place.sid)
}

/// Gives listed survivors their reason, and complains about those that are none.
fn excuse(worlds: &Worlds<'_>, out: &mut Mutation) {
    let text = worlds.ground.files.get("access-matrix.toml").map(String::as_str).unwrap_or_default();
    for survivor in &worlds.ground.matrix.survivors {
        let line = matrix::line(text, survivor.mutant.span().start);
        let wanted = survivor.mutant.get_ref();
        let found = out.mutants.iter_mut().find(|mutant| mutant.name == *wanted);
        let complaint = match found {
            Some(mutant) if mutant.caught_by.is_none() => {
                mutant.why = Some(survivor.why.clone());
                continue;
            }
            Some(mutant) => format!(
                "mutant `{wanted}` is caught by row {}: take it off the list",
                mutant.caught_by.clone().unwrap_or_default()
            ),
            None if turned_off(worlds, wanted) => continue,
            None => format!("there is no mutant `{wanted}`"),
        };
        out.problems.push(Problem::new(matrix::FILE, line, complaint));
    }
}

/// Whether a mutant is of a resource that a template has and no stack, because its condition holds nowhere.
fn turned_off(worlds: &Worlds<'_>, mutant: &str) -> bool {
    let mut words = mutant.split(' ');
    let template = words.next().and_then(|file| worlds.ground.templates.get(file));
    let id = words.next().and_then(|place| place.split('.').next()).unwrap_or_default();
    let standing = worlds.all().flat_map(|world| &world.stacks).any(|stack| stack.resources.contains_key(id));
    !standing && template.is_some_and(|template| template.root.at(&["Resources", id]).is_some())
}
