//! The rows of the access matrix: each becomes one request for every principal, action, resource and target account.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Serialize;

use super::Problem;
use super::ask::{Asked, Asker, USUAL, Worlds, fill, unknown};
use super::matrix::{self, Expect, Row, Texts};
use super::world::World;
use causeway_iam::{Catalogue, Decision, Lack, Place, Request, Verdict};

/// One request of a row and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The row's id.
    pub id: String,
    /// The row in words.
    pub says: String,
    /// Who says that AWS wants it so, where the row names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of the target account it was asked for; of requests that are the same for all of them, the first.
    pub target: String,
    /// Who asked.
    pub who: String,
    /// What.
    pub action: String,
    /// On what.
    pub on: String,
    /// With which condition keys besides those that AWS fills in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, String>,
    /// What had to come out.
    pub expected: Expect,
    /// What came out.
    pub came: Expect,
    /// Whether what had to come out did.
    pub holds: bool,
    /// What decided: statements, or what was lacking.
    pub by: String,
}

/// The requests of every row, and what is wrong with rows.
pub fn requests<'w>(worlds: &'w Worlds<'_>) -> (Vec<Asked<'w>>, Vec<Problem>) {
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for (number, row) in worlds.ground.matrix.rows.iter().enumerate() {
        let before = asked.len();
        let complained = problems.len();
        let mut complain = |start: usize, message: String| {
            problems.push(Problem::new(
                matrix::FILE,
                worlds.ground.matrix_line(start),
                format!("row {}: {message}", row.id.get_ref()),
            ));
        };
        let wanted = expand(worlds, number, row, &mut asked, &mut complain);
        if wanted && asked.len() == before && problems.len() == complained {
            let message = format!("row {}: it asks nothing", row.id.get_ref());
            problems.push(Problem::new(
                matrix::FILE,
                worlds.ground.matrix_line(row.id.span().start),
                message,
            ));
        }
    }
    problems.sort();
    problems.dedup();
    (asked, problems)
}

type Complain<'c> = &'c mut dyn FnMut(usize, String);

/// The requests of one row. Whether there should be any: what the row is about may be turned off everywhere.
fn expand<'w>(
    worlds: &'w Worlds<'_>,
    number: usize,
    row: &Row,
    asked: &mut Vec<Asked<'w>>,
    complain: Complain<'_>,
) -> bool {
    let variant = row.variant.as_ref().map_or(USUAL, |variant| variant.get_ref().as_str());
    if let Some(named) = &row.variant
        && !worlds.ground.matrix.variants.contains_key(variant)
    {
        complain(named.span().start, unknown("variant", variant, worlds.ground.matrix.variants.keys()));
        return true;
    }
    if let Some(env) = &row.env
        && !worlds.ground.config.targets().any(|target| target == env.get_ref())
    {
        let targets: Vec<String> = worlds.ground.config.targets().map(ToOwned::to_owned).collect();
        complain(env.span().start, unknown("target account", env.get_ref(), targets.iter()));
        return true;
    }
    let Some(world) = worlds.get(variant, "") else { return true };
    let mut seen = BTreeSet::new();
    let mut present = false;
    for env in worlds.ground.config.targets() {
        if row.env.as_ref().is_some_and(|only| only.get_ref() != env) {
            continue;
        }
        if row.released && !worlds.ground.config.is_released_to(env) {
            continue;
        }
        if let Some(path) = &row.only_with {
            let (of, id) = path.get_ref().split_once('.').unwrap_or((path.get_ref(), ""));
            if !world.stack_for(of, env).is_some_and(|stack| stack.resources.contains_key(id)) {
                continue;
            }
        }
        present = true;
        let mut askers = Vec::new();
        for name in row.who.get_ref() {
            match worlds.askers(name, env, variant) {
                Ok(found) => askers.extend(found.into_iter().map(Rc::new)),
                Err(error) => complain(row.who.span().start, error),
            }
        }
        let mut one = OneEnv { worlds, world, row, number, env, seen: &mut seen, asked };
        for asker in askers {
            one.ask(&asker, complain);
        }
    }
    if let (Some(path), false) = (&row.only_with, present) {
        if worlds.ground.is_written(path.get_ref()) {
            return false;
        }
        complain(path.span().start, format!("no template has `{}`", path.get_ref()));
    }
    true
}

/// A row in one target account.
struct OneEnv<'x, 'w, 'g> {
    worlds: &'w Worlds<'g>,
    world: &'w World,
    row: &'x Row,
    number: usize,
    env: &'x str,
    seen: &'x mut BTreeSet<String>,
    asked: &'x mut Vec<Asked<'w>>,
}

impl<'w> OneEnv<'_, 'w, '_> {
    fn ask(&mut self, asker: &Rc<Asker<'w>>, complain: Complain<'_>) {
        let row = self.row;
        for on in row.on.get_ref() {
            let resource = match self.resource(on, asker) {
                Ok(resource) => resource,
                Err(error) => {
                    complain(row.on.span().start, error);
                    continue;
                }
            };
            for action in row.actions.get_ref() {
                if let Err(error) = self.check(action, &resource) {
                    complain(row.actions.span().start, error);
                    continue;
                }
                for keys in row.keys.all() {
                    let mut given = BTreeMap::new();
                    if let Some(via) = &row.via {
                        let setting = &self.world.setting;
                        given.insert(
                            "kms:ViaService".to_owned(),
                            vec![format!("{via}.{}.{}", setting.region, setting.url_suffix)],
                        );
                    }
                    for (key, values) in keys {
                        let texts = match values {
                            Texts::One(one) => std::slice::from_ref(one),
                            Texts::Several(all) => all,
                        };
                        let filled: Result<Vec<String>, String> =
                            texts.iter().map(|text| self.fill(text, asker)).collect();
                        match filled.and_then(|filled| Catalogue::get().check_key(key).map(|()| filled)) {
                            Ok(filled) => {
                                given.insert(key.clone(), filled);
                            }
                            Err(error) => complain(row.id.span().start, error),
                        }
                    }
                    self.push(asker, action, &resource, &given, complain);
                }
            }
        }
    }

    fn push(
        &mut self,
        asker: &Rc<Asker<'w>>,
        action: &str,
        resource: &str,
        given: &BTreeMap<String, Vec<String>>,
        complain: Complain<'_>,
    ) {
        // Rows about the build account alone come out the same for every target account.
        if !self.seen.insert(format!("{:?} {action} {resource} {given:?}", asker.caller)) {
            return;
        }
        let env_account = self.worlds.ground.config.account_id(self.env).unwrap_or_default();
        let own = asker.caller.account().unwrap_or(env_account);
        // Where the resource's policy is not looked at, the resource counts as the caller's own.
        let owner =
            if self.row.only.is_some() { own.to_owned() } else { self.world.owner(resource, own).to_owned() };
        match Request::new(&asker.caller, action, resource, &owner, &self.world.setting, given) {
            Ok(request) => self.asked.push(Asked {
                row: self.number,
                env: self.env.to_owned(),
                asker: Rc::clone(asker),
                request,
                only: self.row.only,
                world: self.world,
            }),
            Err(error) => complain(self.row.on.span().start, error),
        }
    }

    /// An action that IAM does not have, or that is never asked on such a resource, is an error and not a deny.
    fn check(&self, action: &str, resource: &str) -> Result<(), String> {
        if action.contains(['*', '?']) {
            return Err(format!("`{action}`: a row asks single actions"));
        }
        Catalogue::get().check_resource(action, resource)?;
        let service = action.split(':').next().unwrap_or_default();
        let account = resource.split(':').nth(4).unwrap_or_default();
        let ours = self.world.accounts.contains_key(account);
        if service == "sts" && ours && self.world.guard(action, resource).is_none() {
            return Err(format!("no template has the role {resource}"));
        }
        Ok(())
    }

    fn resource(&self, on: &str, asker: &Asker<'_>) -> Result<String, String> {
        let resources = &self.worlds.ground.matrix.resources;
        let pattern = match resources.get(on) {
            Some(pattern) => pattern.get_ref(),
            None if on == "*" || on.contains('{') || on.starts_with("arn:") => on,
            None => return Err(unknown("resource", on, resources.keys())),
        };
        let filled = self.fill(pattern, asker)?;
        if filled != "*" && filled.contains('*') {
            return Err(format!("`{filled}`: a row asks on one resource, not on a pattern"));
        }
        Ok(filled)
    }

    fn fill(&self, text: &str, asker: &Asker<'_>) -> Result<String, String> {
        fill(self.worlds.ground, self.world, self.env, text, asker.caller.id())
    }
}

/// Asks everything.
pub fn check(worlds: &Worlds<'_>, asked: &[Asked<'_>]) -> (Vec<Checked>, Vec<Problem>) {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for one in asked {
        let Some(row) = worlds.ground.matrix.rows.get(one.row) else { continue };
        match one.verdict() {
            Ok(verdict) => all.push(checked(row, one, &verdict)),
            Err(error) => {
                let line = worlds.ground.matrix_line(row.id.span().start);
                problems.push(Problem::new(matrix::FILE, line, format!("row {}: {error}", row.id.get_ref())));
            }
        }
    }
    (all, problems)
}

fn checked(row: &Row, one: &Asked<'_>, verdict: &Verdict) -> Checked {
    let keys = row.keys.all().iter().flat_map(BTreeMap::keys).map(|key| key.to_ascii_lowercase());
    let with =
        keys.filter_map(|key| one.request.keys.get(&key).map(|values| (key, values.join(",")))).collect();
    Checked {
        id: row.id.get_ref().clone(),
        says: row.says.clone(),
        source: row.source.clone(),
        target: one.env.clone(),
        who: one.asker.label.clone(),
        action: one.request.action.clone(),
        on: one.request.resource.clone(),
        with,
        expected: row.expect,
        came: if verdict.allowed() { Expect::Allow } else { Expect::Deny },
        holds: row.accepts(verdict.decision),
        by: match role(one).filter(|_| verdict.lacking == Some("the caller's policies")) {
            Some(role) => format!("{}; the role is {role}", decided(verdict)),
            None => decided(verdict),
        },
    }
}

/// Where the role that asks is written down.
fn role(one: &Asked<'_>) -> Option<String> {
    let role = one.world.roles.get(one.asker.caller.id())?;
    let stack = one.world.stacks.get(role.stack)?;
    let resource = stack.resources.get(&role.id)?;
    Some(format!("{}:{}", stack.template.file, resource.line))
}

/// What decided, in one line: the statements, or what is lacking and the statement that came nearest.
pub fn decided(verdict: &Verdict) -> String {
    let places = |all: &[Place]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
    match verdict.decision {
        Decision::Allow => places(&verdict.by),
        Decision::ExplicitDeny => format!("denied by {}", places(&verdict.by)),
        Decision::ImplicitDeny => {
            let lacking = verdict.lacking.unwrap_or("nothing");
            match &verdict.near {
                None => format!("no statement of {lacking} allows it"),
                Some((place, lack)) => {
                    let why = match lack {
                        Lack::Action => "is about other actions".to_owned(),
                        Lack::Principal => "is about others".to_owned(),
                        Lack::Resource => "is about other resources".to_owned(),
                        Lack::Condition(condition) => format!("wants {condition}"),
                    };
                    format!("no statement of {lacking} allows it; nearest {place} {why}")
                }
            }
        }
    }
}
