//! What a change of the templates newly allows or no longer allows, in words: what a reviewer of the change wants to read.
//!
//! Both versions are deployed on paper and asked the same: every request of the matrix, and every action and resource
//! that a statement of either version names, by everybody it can be about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ask::{Asked, Asker, USUAL, Worlds};
use super::needs::{sample, satisfied};
use super::rows::decided;
use super::world::World;
use crate::model::iam::{Caller, Catalogue, Request, Statement, Verdict, decide};

/// A right that came or went.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Shift {
    /// Whether it came.
    pub(crate) widened: bool,
    /// Who has it.
    pub(crate) who: String,
    /// To do what.
    pub(crate) actions: Vec<String>,
    /// On what.
    pub(crate) on: Vec<String>,
    /// Under which condition keys, where it takes some.
    pub(crate) with: String,
    /// The statement that decides, in the version that allows.
    pub(crate) by: String,
}

impl Shift {
    fn shown_resources(&self) -> String {
        match self.on.as_slice() {
            [first, rest @ ..] if rest.len() > 1 => format!("{first} and {} more", rest.len()),
            few => few.join(" and "),
        }
    }

    /// The shift as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let verb = if self.widened { "may now" } else { "may no longer" };
        let mut by_service: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for action in &self.actions {
            let (service, name) = action.split_once(':').unwrap_or(("", action));
            by_service.entry(service).or_default().push(name);
        }
        let shown = by_service.iter().map(|(service, names)| match names.as_slice() {
            [first, second, third, rest @ ..] if rest.len() > 2 => {
                format!("{service}: {first}, {second}, {third} and {} more", rest.len())
            }
            few => format!("{service}:{}", few.join(&format!(", {service}:"))),
        });
        let with = if self.with.is_empty() { String::new() } else { format!(" with {}", self.with) };
        format!(
            "{} {verb} {} on {}{with} — {}",
            self.who,
            shown.collect::<Vec<_>>().join("; "),
            self.shown_resources(),
            self.by
        )
    }
}

type Keys = BTreeMap<String, Vec<String>>;
/// What goes into one sentence: whether it widens, who, under which keys, by which statement.
type Sentence = (bool, String, String, String);
/// The actions and the resources of one sentence.
type Rights = (BTreeSet<String>, BTreeSet<String>);
/// Who by id, what, on what, with which keys.
type Question = (String, String, String, Keys);

/// Compares two versions of the usual setting.
pub(crate) fn compare(old: &Worlds<'_>, new: &Worlds<'_>, asked: &[Asked<'_>]) -> Vec<Shift> {
    let (Some(before), Some(after)) = (old.get(USUAL, ""), new.get(USUAL, "")) else { return Vec::new() };
    let mut questions: BTreeSet<Question> = BTreeSet::new();
    let mut synthetic: BTreeMap<String, Caller> = BTreeMap::new();
    for one in asked.iter().filter(|one| std::ptr::eq(one.world, after) && one.only.is_none()) {
        let keys = one.request.keys.clone();
        questions.insert((
            one.asker.caller.id().to_owned(),
            one.request.action.clone(),
            one.request.resource.clone(),
            keys,
        ));
    }
    for world in [before, after] {
        statements(world, &mut questions, &mut synthetic);
    }
    let known: BTreeMap<&str, &Asked<'_>> = asked.iter().map(|one| (one.asker.caller.id(), one)).collect();
    let mut grouped: BTreeMap<Sentence, Rights> = BTreeMap::new();
    for (who, action, on, keys) in &questions {
        let verdicts = [before, after].map(|world| answer(world, who, &known, &synthetic, action, on, keys));
        let [Some((was, label)), Some((is, _))] = verdicts else { continue };
        if was.allowed() == is.allowed() {
            continue;
        }
        let widened = is.allowed();
        let by = decided(if widened { &is } else { &was });
        let with = shown_keys(keys);
        let entry = grouped.entry((widened, label, with, by)).or_default();
        entry.0.insert(action.clone());
        entry.1.insert(on.clone());
    }
    let all = grouped.into_iter().map(|((widened, who, with, by), (actions, on))| Shift {
        widened,
        who,
        actions: actions.into_iter().collect(),
        on: on.into_iter().collect(),
        with,
        by,
    });
    let mut all: Vec<Shift> = all.collect();
    all.sort_by(|left, right| right.widened.cmp(&left.widened).then_with(|| left.cmp(right)));
    all
}

/// The keys that a question sets itself; those that AWS fills in say nothing.
fn shown_keys(keys: &Keys) -> String {
    let filled = [
        "aws:principal",
        "aws:resourceaccount",
        "aws:requestedregion",
        "aws:userid",
        "aws:viaawsservice",
        "aws:securetransport",
        "kms:calleraccount",
    ];
    let own = keys
        .iter()
        .filter(|(key, _)| !filled.iter().any(|start| key.to_ascii_lowercase().starts_with(start)));
    own.map(|(key, values)| format!("{key} = {}", values.join(","))).collect::<Vec<_>>().join(", ")
}

/// What a world answers, and how the one who asks is called.
fn answer(
    world: &World,
    who: &str,
    known: &BTreeMap<&str, &Asked<'_>>,
    synthetic: &BTreeMap<String, Caller>,
    action: &str,
    on: &str,
    keys: &Keys,
) -> Option<(Verdict, String)> {
    let account = who.split(':').nth(4).unwrap_or_default();
    let request = |caller: &Caller| {
        let owner = world.owner(on, account).to_owned();
        Request::new(caller, action, on, &owner, &world.setting, keys).ok()
    };
    let judge = |asker: &Asker<'_>| {
        let request = request(&asker.caller)?;
        let verdict = decide(&request, &asker.bearing(world, &request), &mut |statement, request| {
            statement.matches(request)
        });
        Some((verdict.ok()?, asker.label.clone()))
    };
    if let Some(asker) = Asker::role(world, who) {
        return judge(&asker);
    }
    match (known.get(who), synthetic.get(who)) {
        // Somebody of the matrix: their own policies do not change with the templates.
        (Some(one), _) if one.asker.is_made() => judge(&one.asker),
        (_, Some(caller)) => judge(&Asker::with(world, who, caller.clone(), Vec::new())),
        // A role of the other version only: here it has no rights.
        _ => {
            let label = known.get(who).map_or(who, |one| one.asker.label.as_str());
            judge(&Asker::with(world, label, Caller::Role { arn: who.to_owned() }, Vec::new()))
        }
    }
}

/// What the statements of a world name, asked by everybody they can be about.
fn statements(world: &World, questions: &mut BTreeSet<Question>, synthetic: &mut BTreeMap<String, Caller>) {
    let mut ask = |who: &str, statement: &Statement, own: Option<&str>| {
        let resources: Vec<String> = match (&statement.raw.resources, own) {
            (Some(patterns), _) => patterns.all.iter().map(|pattern| sample(pattern)).collect(),
            (None, Some(arn)) => vec![arn.to_owned()],
            (None, None) => Vec::new(),
        };
        let keys = satisfied(statement);
        for pattern in &statement.raw.actions.all {
            for action in Catalogue::get().expand(pattern).unwrap_or_default() {
                for on in &resources {
                    let on = if Catalogue::get().is_global(&action) { "*" } else { on.as_str() };
                    // On a sample of `*` an action is asked only where it takes no resource: others have statements of their own.
                    if Catalogue::get().check_resource(&action, on).is_err() {
                        continue;
                    }
                    questions.insert((who.to_owned(), action.clone(), on.to_owned(), keys.clone()));
                    if !keys.is_empty() {
                        questions.insert((who.to_owned(), action.clone(), on.to_owned(), Keys::new()));
                    }
                }
            }
        }
    };
    for (arn, role) in &world.roles {
        let managed = role.managed.iter().filter_map(|arn| world.managed.get(arn)).flatten();
        for statement in role.inline.iter().chain(managed) {
            ask(arn, statement, None);
        }
    }
    for (arn, (_, statements)) in &world.guards {
        for statement in statements {
            for role in world.roles.keys() {
                ask(role, statement, Some(arn));
            }
            for service in statement.raw.principal.iter().flat_map(|principal| principal.services()) {
                synthetic.insert(service.to_owned(), Caller::Service { name: service.to_owned() });
                ask(service, statement, Some(arn));
            }
        }
    }
}
