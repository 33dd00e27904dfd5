//! What a change of the templates newly allows or no longer allows, in words: what a reviewer of the change wants to read.
//!
//! Both versions are deployed on paper, in every setting of the matrix, and asked the same: every request of the matrix, and
//! every action and resource that a statement of either version names, by everybody it can be about. Whoever asks does so
//! with the policies, the boundary and the organization of that version.

mod same;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ask::{Asked, Asker, USUAL, Worlds};
use super::needs::{sample, satisfied};
use super::rows::decided;
use super::world::World;
use causeway_iam::{Caller, Catalogue, Decision, Request, Statement, Verdict, decide};
use same::Same;

/// A right that came or went.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shift {
    /// Whether it came.
    pub widened: bool,
    /// Whether who has it stands in the matrix alone, as an account's administrator does: nobody of the templates.
    pub made_up: bool,
    /// Who has it.
    pub who: String,
    /// To do what.
    pub actions: Vec<String>,
    /// On what.
    pub on: Vec<String>,
    /// Under which condition keys, where it takes some.
    pub with: String,
    /// In which setting of the matrix alone it shifts; empty where it shifts in the usual one.
    pub setting: String,
    /// The statement that decides, in the version that allows.
    pub by: String,
}

impl Shift {
    /// The shift as a sentence.
    #[cfg(test)]
    pub fn sentence(&self) -> String {
        self.sentence_about(&[&self.who], &self.on)
    }

    fn sentence_about(&self, who: &[&str], on: &[String]) -> String {
        let verb = if self.widened { "may now" } else { "may no longer" };
        let who = match who {
            [first, second, third, rest @ ..] if rest.len() > 1 => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            few => few.join(", "),
        };
        let on = match on {
            [first, rest @ ..] if rest.len() > 1 => format!("{first} and {} more", rest.len()),
            few => few.join(" and "),
        };
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
        let setting = if self.setting.is_empty() {
            String::new()
        } else {
            format!(", in the setting `{}`", self.setting)
        };
        let shown = shown.collect::<Vec<_>>().join("; ");
        format!("{who} {verb} {shown} on {on}{with}{setting} — {}", self.by)
    }
}

/// The shifts as a person reads them, and whether each widens: one sentence for all whom the same statement lets do the
/// same. A statement of the organization is about everybody, and would be told once for each of them otherwise.
pub fn sentences(shifts: &[Shift]) -> Vec<(bool, String)> {
    let mut all: Vec<(&Shift, Vec<&str>, BTreeSet<&String>)> = Vec::new();
    for shift in shifts {
        let same = |one: &&mut (&Shift, Vec<&str>, BTreeSet<&String>)| {
            let other = one.0;
            (other.widened, &other.actions, &other.with, &other.setting, &other.by)
                == (shift.widened, &shift.actions, &shift.with, &shift.setting, &shift.by)
        };
        match all.iter_mut().find(same) {
            Some((_, who, on)) => {
                who.push(&shift.who);
                on.extend(&shift.on);
            }
            None => all.push((shift, vec![&shift.who], shift.on.iter().collect())),
        }
    }
    let told = all.into_iter().map(|(shift, who, on)| {
        let on: Vec<String> = on.into_iter().cloned().collect();
        (shift.widened, shift.sentence_about(&who, &on))
    });
    told.collect()
}

type Keys = BTreeMap<String, Vec<String>>;
/// What goes into one sentence: whether it widens, whether who has it is made up, who, under which keys, in which setting, by which statement.
type Sentence = (bool, bool, String, String, String, String);
/// The actions and the resources of one sentence.
type Rights = (BTreeSet<String>, BTreeSet<String>);
/// Who: nothing and the ARN of a role that a template has; the label and the ARN of everybody else.
type Who = (String, String);
/// Who, what, on what, with which keys.
type Question = (Who, String, String, Keys);
/// Everybody in one version and setting.
type People<'c> = BTreeMap<Who, Asker<'c>>;

/// On how many resources of the matrix an action is asked that a statement gives on everything.
const SAMPLES: usize = 3;

/// One version of the files, and what the matrix asks of it.
pub struct Version<'c> {
    /// Its worlds.
    pub worlds: &'c Worlds<'c>,
    /// The requests of the matrix.
    pub asked: &'c [Asked<'c>],
}

/// Compares two versions in every setting. What shifts in the usual setting is not told again for the others.
pub fn compare<'c>(old: Version<'c>, new: Version<'c>) -> Vec<Shift> {
    let settings: BTreeSet<&str> = old.worlds.settings().chain(new.worlds.settings()).collect();
    let mut told = BTreeSet::new();
    let mut grouped: BTreeMap<Sentence, Rights> = BTreeMap::new();
    for setting in settings {
        let (Some(before), Some(after)) = (old.worlds.get(setting, ""), new.worlds.get(setting, "")) else {
            continue;
        };
        let sides = [Side::new(&old, setting, before), Side::new(&new, setting, after)];
        let written = sides.each_ref().map(|side| fingerprints(side.world));
        let mut questions = Questions { same: Same::of(&sides), all: BTreeSet::new() };
        for (number, (side, version)) in sides.iter().zip([&old, &new]).enumerate() {
            side.rows(version.asked, &mut questions);
            let elsewhere = written.get(1 - number).cloned().unwrap_or_default();
            let usual = version.worlds.get(USUAL, "").filter(|_| setting != USUAL).map(fingerprints);
            let usual = usual.unwrap_or_default();
            let (known, services) = (known(version.asked), services(side.world));
            let asks = Asks { side, elsewhere: &elsewhere, usual: &usual, known, services };
            asks.all(&mut questions);
        }
        for (who, action, on, keys) in &questions.all {
            let [Some((was, label)), Some((is, _))] =
                sides.each_ref().map(|side| side.answer(who, &sides, action, on, keys))
            else {
                continue;
            };
            if was.allowed() == is.allowed() {
                continue;
            }
            let widened = is.allowed();
            let with = shown_keys(keys);
            let known = (widened, label.clone(), action.clone(), on.clone(), with.clone());
            if setting == USUAL {
                told.insert(known);
            } else if told.contains(&known) {
                continue;
            }
            // What newly lets something pass is a grant that came, or a deny that went.
            let by = match (widened, was.decision) {
                (true, Decision::ExplicitDeny) => format!("no longer {}", decided(&was)),
                (true, _) => decided(&is),
                (false, _) if is.decision == Decision::ExplicitDeny => decided(&is),
                (false, _) => decided(&was),
            };
            let made_up = sides.iter().any(|side| side.made_up.contains(who));
            let entry = grouped.entry((widened, made_up, label, with, setting.to_owned(), by)).or_default();
            entry.0.insert(action.clone());
            entry.1.insert(on.clone());
        }
    }
    let all = grouped.into_iter().map(|((widened, made_up, who, with, setting, by), (actions, on))| Shift {
        widened,
        made_up,
        who,
        actions: actions.into_iter().collect(),
        on: on.into_iter().collect(),
        with,
        setting,
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

/// What is written in a world, wherever it stands in its file.
fn fingerprints(world: &World) -> BTreeSet<String> {
    world.statements().map(fingerprint).collect()
}

fn fingerprint(statement: &Statement) -> String {
    format!("{}.{} {}", statement.place.file, statement.place.of, statement.to_json())
}

/// The resources that the matrix asks on.
fn known<'c>(asked: &'c [Asked<'c>]) -> BTreeSet<&'c str> {
    asked.iter().map(|one| one.request.resource.as_str()).collect()
}

fn who(asker: &Asker<'_>) -> Who {
    let label = if asker.is_role() { String::new() } else { asker.label.clone() };
    (label, asker.caller.id().to_owned())
}

/// What is asked in both versions.
struct Questions {
    same: Same,
    all: BTreeSet<Question>,
}

impl Questions {
    fn insert(&mut self, question: Question) {
        if !self.same.covers(&question.0, &question.2) {
            self.all.insert(question);
        }
    }
}

/// One version in one setting.
struct Side<'c> {
    world: &'c World,
    people: People<'c>,
    /// Those of the matrix that no template has.
    made_up: BTreeSet<Who>,
}

impl<'c> Side<'c> {
    fn new(version: &Version<'c>, setting: &str, world: &'c World) -> Self {
        let worlds = version.worlds;
        let (mut people, mut made_up) = (People::new(), BTreeSet::new());
        let mut add_as = |asker: Asker<'c>, is_made_up: bool| {
            let who = who(&asker);
            // Also where another principal of the matrix is a list that has it.
            if is_made_up {
                made_up.insert(who.clone());
            }
            people.entry(who).or_insert(asker);
        };
        let mut add = |asker: Asker<'c>| add_as(asker, false);
        world.roles.keys().filter_map(|arn| Asker::role(world, arn)).for_each(&mut add);
        for env in worlds.ground.config.targets() {
            for (name, actor) in &worlds.ground.matrix.principals {
                let is_made_up = actor.get_ref().name.is_some();
                // A name that leads nowhere in this version is nobody there.
                let all = worlds.askers(name, env, setting).unwrap_or_default();
                all.into_iter().for_each(|asker| add_as(asker, is_made_up));
            }
        }
        let mut add = |asker: Asker<'c>| add_as(asker, false);
        let principals = worlds.ground.matrix.principals.values();
        let named: BTreeSet<&str> = principals.filter_map(|actor| actor.get_ref().group.as_deref()).collect();
        for group in world.groups.keys() {
            let of = world.stacks.get(group.0).map(|stack| stack.of.as_str()).unwrap_or_default();
            if !named.contains(format!("{of}.{}", group.1).as_str()) {
                Asker::member(world, group, &group.1).into_iter().for_each(&mut add);
            }
        }
        let guards = world.guards.values().flat_map(|(_, statements)| statements);
        for service in guards.flat_map(|one| one.raw.principal.iter().flat_map(|other| other.services())) {
            let caller = Caller::Service { name: service.to_owned() };
            add(Asker::with(world, service, caller, Vec::new()));
        }
        Self { world, people, made_up }
    }

    /// What the matrix asks in this setting.
    fn rows(&self, asked: &[Asked<'_>], questions: &mut Questions) {
        for one in asked.iter().filter(|one| std::ptr::eq(one.world, self.world) && one.only.is_none()) {
            let request = &one.request;
            questions.insert((
                who(&one.asker),
                request.action.clone(),
                request.resource.clone(),
                request.keys.clone(),
            ));
        }
    }

    /// What this side answers, and how the one who asks is called. Somebody of the other version only has no rights here.
    fn answer(
        &self,
        who: &Who,
        sides: &[Side<'c>],
        action: &str,
        on: &str,
        keys: &Keys,
    ) -> Option<(Verdict, String)> {
        let somebody = sides.iter().find_map(|side| side.people.get(who))?;
        let nobody;
        let asker = match self.people.get(who) {
            Some(asker) => asker,
            None => {
                nobody = Asker::with(self.world, &somebody.label, somebody.caller.clone(), Vec::new());
                &nobody
            }
        };
        let own = asker.caller.account().unwrap_or_default();
        let owner = self.world.owner(on, own).to_owned();
        let request = Request::new(&asker.caller, action, on, &owner, &self.world.setting, keys).ok()?;
        let verdict = decide(&request, &asker.bearing(self.world, &request), &mut |statement, request| {
            statement.matches(request)
        });
        Some((verdict.ok()?, somebody.label.clone()))
    }
}

/// What the statements of one side name, asked by everybody they can be about.
struct Asks<'a, 'c> {
    side: &'a Side<'c>,
    /// What the other version says.
    elsewhere: &'a BTreeSet<String>,
    /// What this version says in the usual setting, where this is another one.
    usual: &'a BTreeSet<String>,
    /// The resources of the matrix.
    known: BTreeSet<&'a str>,
    /// The services that a statement of this side names.
    services: BTreeSet<&'a str>,
}

/// A service of few actions that stands for those that no statement names.
const UNNAMED: &str = "sqs";

/// The services that the statements of a world name.
fn services(world: &World) -> BTreeSet<&str> {
    let actions = world.statements().flat_map(|statement| &statement.raw.actions.all);
    actions.filter_map(|action| action.split_once(':').map(|(service, _)| service)).collect()
}

impl Asks<'_, '_> {
    fn all(&self, questions: &mut Questions) {
        let world = self.side.world;
        for (who, asker) in &self.side.people {
            let role = world.roles.get(asker.caller.id()).filter(|_| asker.is_role());
            let managed = asker.managed().iter().filter_map(|arn| world.managed.get(arn)).flatten();
            for statement in role.into_iter().flat_map(|role| &role.inline).chain(managed) {
                self.ask(who, asker, statement, None, questions);
            }
            // A role's right below a boundary is asked by its own statements. Whoever holds everything has none that name
            // anything, so a layer above that changed is asked of them itself.
            let boundary =
                asker.boundary().filter(|_| !asker.is_role()).and_then(|arn| world.managed.get(arn));
            for statement in boundary.into_iter().flatten().chain(world.scps.iter().flatten()) {
                if self.changed(statement) {
                    self.ask(who, asker, statement, None, questions);
                }
            }
        }
        for (arn, (_, statements)) in &world.guards {
            for statement in statements {
                let services: BTreeSet<&str> =
                    statement.raw.principal.iter().flat_map(|principal| principal.services()).collect();
                for (who, asker) in &self.side.people {
                    let meant = match &asker.caller {
                        Caller::Service { name } => services.contains(name.as_str()),
                        _ => asker.is_role() || self.changed(statement),
                    };
                    if meant {
                        self.ask(who, asker, statement, Some(arn), questions);
                    }
                }
            }
        }
    }

    fn changed(&self, statement: &Statement) -> bool {
        !self.elsewhere.contains(&fingerprint(statement))
    }

    fn ask(
        &self,
        who: &Who,
        asker: &Asker<'_>,
        statement: &Statement,
        own: Option<&str>,
        questions: &mut Questions,
    ) {
        if questions.same.everything(who) {
            return;
        }
        if !self.usual.is_empty() && self.usual.contains(&fingerprint(statement)) {
            return;
        }
        let keys = satisfied(statement);
        let patterns: Vec<&str> = match &statement.raw.resources {
            Some(patterns) => patterns.all.iter().map(String::as_str).collect(),
            None => vec!["*"],
        };
        let wide = !asker.is_role() && own.is_none() && self.changed(statement);
        for action in statement.raw.actions.all.iter().flat_map(|pattern| self.meant(pattern)) {
            for on in patterns.iter().flat_map(|pattern| self.places(&action, pattern, asker, own, wide)) {
                let on = if Catalogue::get().is_global(&action) { "*".to_owned() } else { on };
                // On a sample of `*` an action is asked only where it takes no resource: others have statements of their own.
                if Catalogue::get().check_resource(&action, &on).is_err() {
                    continue;
                }
                if !keys.is_empty() {
                    questions.insert((who.clone(), action.clone(), on.clone(), Keys::new()));
                }
                questions.insert((who.clone(), action.clone(), on, keys.clone()));
            }
        }
    }

    /// The actions of a pattern. What every service has is asked of the services that a statement names, and of one that none does:
    /// the others are decided as that one.
    fn meant(&self, pattern: &str) -> Vec<String> {
        if pattern != "*" {
            return Catalogue::get().expand(pattern).unwrap_or_default();
        }
        let all = self.services.iter().copied().chain([UNNAMED]).collect::<BTreeSet<_>>();
        all.into_iter()
            .flat_map(|service| Catalogue::get().expand(&format!("{service}:*")).unwrap_or_default())
            .collect()
    }

    /// Resources that a pattern stands for, as the one who asks would name them.
    fn places(
        &self,
        action: &str,
        pattern: &str,
        asker: &Asker<'_>,
        own: Option<&str>,
        wide: bool,
    ) -> Vec<String> {
        let setting = &self.side.world.setting;
        let account = asker.caller.account().unwrap_or_default();
        if pattern == "*" {
            let mut all = vec![own.unwrap_or("*").to_owned()];
            if wide {
                let near = |on: &&&str| on.split(':').nth(4).is_none_or(|id| id.is_empty() || id == account);
                let fit = |on: &&&str| Catalogue::get().check_resource(action, on).is_ok();
                let some = self.known.iter().filter(near).filter(fit).take(SAMPLES);
                all.extend(some.map(|on| (*on).to_owned()));
            }
            return all;
        }
        let mut parts: Vec<&str> = pattern.splitn(6, ':').collect();
        for (at, value) in [(1, setting.partition.as_str()), (3, setting.region.as_str()), (4, account)] {
            if let Some(part) = parts.get_mut(at)
                && *part == "*"
            {
                *part = value;
            }
        }
        vec![sample(&parts.join(":"))]
    }
}
