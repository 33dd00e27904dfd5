//! Sufficiency: what CloudFormation's handlers call for each resource is asked of whoever deploys the stack.
//!
//! This is what stops the first day of a project: a right that only one handler, one property or one tag wants. The
//! calls stand in `xtask/data/resource-types.toml`, each type's held to AWS's schemas by a test
//! (`prove-cmd/prove/held.rs`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Problem;
use super::ask::{Asker, fill};
use super::names::{Names, generalized};
use super::rows::decided;
use super::stack::{Resource, Stack};
use super::types::{Need, Type, call};
use super::world::{Ground, World};
use causeway_iam::{Catalogue, Decision, Effect, Request, Verdict, decide};
use causeway_model::package::UNPACKAGED;
use causeway_model::template::text_of;

/// One call that a handler makes for a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The action.
    pub action: String,
    /// On what.
    pub on: String,
    /// With which condition keys.
    pub with: BTreeMap<String, Vec<String>>,
}

/// A call that is not allowed.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Where the resource stands.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// The resource, its type and its stack.
    pub resource: String,
    /// Which handler calls: create, update, delete or tag.
    pub handler: &'static str,
    /// Who must be allowed.
    pub who: String,
    /// The action.
    pub action: String,
    /// On what.
    pub on: String,
    /// With which condition keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Vec<String>>,
    /// What decided.
    pub by: String,
    /// The ARN of the role that must be allowed.
    #[serde(skip)]
    pub role: String,
    /// The stack that the resource stands in.
    #[serde(skip)]
    pub stack: usize,
    /// Whether a statement denies it, so that no other one helps.
    #[serde(skip)]
    pub denied: bool,
}

/// What was asked, and what is missing.
#[derive(Debug, Default)]
pub struct Sufficiency {
    /// How many calls were asked.
    pub asked: usize,
    /// Those that are not allowed.
    pub missing: Vec<Missing>,
    /// What could not be asked.
    pub problems: Vec<Problem>,
}

/// Asks every call of every resource that a role deploys, and every right of an application role under its boundary.
pub fn check(ground: &Ground<'_>, world: &World) -> Sufficiency {
    let mut out = Sufficiency::default();
    for (index, arn) in &world.deployed {
        let Some(stack) = world.stacks.get(*index) else { continue };
        let Some(asker) = Asker::role(world, arn) else { continue };
        for resource in stack.resources.values() {
            for (handler, wanted) in calls(ground, world, stack, resource, &mut out.problems) {
                out.asked += 1;
                match ask(world, &asker, stack.account_id(), &wanted) {
                    Ok(verdict) if verdict.allowed() => {}
                    Ok(verdict) => out.missing.push(Missing {
                        file: stack.template.file.clone(),
                        line: resource.line,
                        resource: format!("{} ({}) of {}", resource.id, resource.kind, stack.name()),
                        handler,
                        who: asker.label.clone(),
                        action: wanted.action,
                        on: wanted.on,
                        with: wanted.with,
                        by: decided(&verdict),
                        role: arn.clone(),
                        stack: *index,
                        denied: verdict.decision == Decision::ExplicitDeny,
                    }),
                    Err(error) => out.problems.push(Problem::new(&stack.template.file, resource.line, error)),
                }
            }
        }
    }
    within_boundaries(world, &mut out);
    out.problems.sort();
    out.problems.dedup();
    out
}

pub(super) fn ask(
    world: &World,
    asker: &Asker<'_>,
    account: &str,
    wanted: &Wanted,
) -> Result<Verdict, String> {
    let owner = world.owner(&wanted.on, account);
    let request =
        Request::new(&asker.caller, &wanted.action, &wanted.on, owner, &world.setting, &wanted.with)?;
    decide(&request, &asker.bearing(world, &request), &mut |statement, request| statement.matches(request))
}

/// The calls that the handlers of one resource make, with the handler that makes each.
pub fn calls(
    ground: &Ground<'_>,
    world: &World,
    stack: &Stack,
    resource: &Resource,
    problems: &mut Vec<Problem>,
) -> Vec<(&'static str, Wanted)> {
    // A type without an entry is a complaint of the world already.
    let Some(kind) = ground.types.get(&resource.kind) else { return Vec::new() };
    let names = Names::new(stack, ground.types);
    let one = One { ground, world, stack, resource, kind, names: &names };
    let mut all = Vec::new();
    for (handler, calls) in
        [("create", &kind.create), ("update", &kind.update), ("delete", &kind.delete), ("tag", &kind.tag)]
    {
        for text in calls {
            match one.call(text, None, &BTreeMap::new()) {
                Ok(wanted) => all.extend(wanted.into_iter().map(|wanted| (handler, wanted))),
                Err(error) => problems.push(one.problem(error)),
            }
        }
    }
    for need in &kind.needs {
        match one.need(need) {
            Ok(wanted) => all.extend(wanted.into_iter().map(|wanted| ("create", wanted))),
            Err(error) => problems.push(one.problem(error)),
        }
    }
    for apart in kind.apart.iter().filter_map(|apart| apart.when.as_deref().map(|when| (when, apart))) {
        if one.is_set(apart.0) {
            let calls = apart.1.calls.join(", ");
            problems.push(one.problem(format!("its `{}` brings about {calls}, which xtask/data/resource-types.toml leaves out: list them there", apart.0)));
        }
    }
    all
}

/// One resource whose calls are listed.
struct One<'a> {
    ground: &'a Ground<'a>,
    world: &'a World,
    stack: &'a Stack,
    resource: &'a Resource,
    kind: &'a Type,
    names: &'a Names<'a>,
}

impl One<'_> {
    fn problem(&self, message: String) -> Problem {
        let message = format!("{} ({}): {message}", self.resource.id, self.resource.kind);
        Problem::new(&self.stack.template.file, self.resource.line, message)
    }

    fn is_set(&self, property: &str) -> bool {
        self.names
            .property(self.resource, property)
            .is_ok_and(|value| value.is_some_and(|value| !value.is_null()))
    }

    fn need(&self, need: &Need) -> Result<Vec<Wanted>, String> {
        if need.when.as_deref().is_some_and(|when| !self.is_set(when)) {
            return Ok(Vec::new());
        }
        let mut with = BTreeMap::new();
        for (key, value) in &need.with {
            with.insert(key.clone(), self.names.fill(self.resource, value)?);
        }
        if let Some(via) = &need.via {
            let setting = &self.world.setting;
            with.insert(
                "kms:ViaService".to_owned(),
                vec![format!("{via}.{}.{}", setting.region, setting.url_suffix)],
            );
        }
        let mut contexts = vec![with];
        for (key, property) in &need.each {
            let values = self.names.property(self.resource, property)?;
            let values: Vec<String> = values
                .as_ref()
                .and_then(|value| value.as_array())
                .into_iter()
                .flatten()
                .map(text_of)
                .collect();
            contexts = contexts
                .iter()
                .flat_map(|with| {
                    values.iter().map(move |value| {
                        let mut with = with.clone();
                        with.insert(key.clone(), vec![value.clone()]);
                        with
                    })
                })
                .collect();
        }
        let mut all = Vec::new();
        for with in &contexts {
            for text in &need.calls {
                all.extend(self.call(text, need.on.as_deref(), with)?);
            }
        }
        Ok(all)
    }

    fn call(
        &self,
        text: &str,
        on: Option<&str>,
        with: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<Wanted>, String> {
        let parsed = call(text);
        let mut with = with.clone();
        if parsed.boundary
            && let Some(boundary) = self.names.property(self.resource, "PermissionsBoundary")?
        {
            with.insert("iam:PermissionsBoundary".to_owned(), vec![text_of(&boundary)]);
        }
        let usual = self.kind.on.as_slice();
        let patterns: Vec<&str> = match parsed.on.or(on) {
            Some(one) => vec![one],
            None => usual.iter().map(String::as_str).collect(),
        };
        let mut all = Vec::new();
        for pattern in patterns {
            let named = pattern == "{named}";
            let places = if named { self.named(parsed.action)? } else { self.on(pattern)? };
            for on in places {
                Catalogue::get().check_resource(parsed.action, &on)?;
                let mut with = with.clone();
                if named && parsed.action == "iam:PassRole" {
                    let service = self.resource.kind.split("::").nth(1).unwrap_or_default().to_lowercase();
                    with.insert("iam:PassedToService".to_owned(), vec![format!("{service}.amazonaws.com")]);
                }
                all.push(Wanted { action: parsed.action.to_owned(), on, with });
            }
        }
        Ok(all)
    }

    /// The bucket of its own that a further stack's packages lie in.
    fn bucket(&self) -> Option<&str> {
        let mut deployments = self.ground.matrix.deployments.iter();
        let own = deployments.find(|deployment| {
            let name = deployment.name.as_deref().unwrap_or_default();
            fill(self.ground, self.world, &self.stack.account, name, "")
                .is_ok_and(|name| name == self.stack.name())
        });
        own?.bucket.as_deref()
    }

    /// The ARNs in the properties that a call of another service can be asked on.
    fn named(&self, action: &str) -> Result<Vec<String>, String> {
        fn texts<'v>(value: &'v Value, all: &mut Vec<&'v str>) {
            match value {
                Value::String(text) => all.push(text),
                Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
                Value::Object(map) => map.values().for_each(|item| texts(item, all)),
                _ => {}
            }
        }
        let properties = self.names.eval(&self.resource.properties)?.unwrap_or(Value::Null);
        let mut all = Vec::new();
        texts(&properties, &mut all);
        all.retain(|text| text.starts_with("arn:") && !Catalogue::get().is_global(action));
        all.retain(|text| Catalogue::get().check_resource(action, text).is_ok());
        all.sort_unstable();
        all.dedup();
        Ok(all.into_iter().map(ToOwned::to_owned).collect())
    }

    /// What a call is asked on.
    fn on(&self, pattern: &str) -> Result<Vec<String>, String> {
        let artifacts = &self.ground.matrix.artifacts;
        let env = &self.stack.account;
        match pattern {
            // S3 encrypts such a bucket by itself.
            "{artifact-key}" if self.bucket().is_some() => Ok(Vec::new()),
            "{artifact-key}" => fill(self.ground, self.world, env, &format!("{{{}.Arn}}", artifacts.key), "")
                .map(|arn| vec![arn]),
            "{package}" => {
                let text = |property: &str| {
                    let value = self.names.property(self.resource, property)?;
                    Ok::<_, String>(value.map(|value| text_of(&value)).unwrap_or_default())
                };
                let (bucket, key) = (text("Code.S3Bucket")?, text("Code.S3Key")?);
                if bucket.is_empty() {
                    // Code that stands in the template, or in a registry of images.
                    return Ok(Vec::new());
                }
                if bucket != UNPACKAGED {
                    return Ok(vec![format!("arn:{}:s3:::{bucket}/{key}", self.world.setting.partition)]);
                }
                let file = key.rsplit('/').next().unwrap_or_default();
                let function = file
                    .strip_suffix(".zip")
                    .ok_or_else(|| format!("its code `{key}` is no package of ours"))?;
                let key = artifacts.package.replace("{function}", function);
                let bucket = self.bucket().unwrap_or(&artifacts.bucket);
                let bucket = fill(self.ground, self.world, env, &format!("{{{bucket}.Arn}}"), "")?;
                Ok(vec![format!("{bucket}/{key}")])
            }
            pattern => self.names.fill(self.resource, pattern),
        }
    }
}

/// What an application role is given must lie within its boundary: a right above the ceiling is no right.
fn within_boundaries(world: &World, out: &mut Sufficiency) {
    for (arn, role) in world.roles.iter().filter(|(_, role)| role.boundary.is_some()) {
        let Some(asker) = Asker::role(world, arn) else { continue };
        let Some(stack) = world.stacks.get(role.stack) else { continue };
        for statement in role.inline.iter().filter(|statement| statement.raw.effect == Effect::Allow) {
            let resources = statement.raw.resources.iter().flat_map(|patterns| &patterns.all);
            let resources: Vec<String> = resources.map(|pattern| sample(pattern)).collect();
            let actions = statement
                .raw
                .actions
                .all
                .iter()
                .flat_map(|action| Catalogue::get().expand(action).unwrap_or_default());
            for action in actions {
                for on in &resources {
                    let on = if Catalogue::get().is_global(&action) { "*" } else { on };
                    let wanted =
                        Wanted { action: action.clone(), on: on.to_owned(), with: satisfied(statement) };
                    out.asked += 1;
                    match ask(world, &asker, stack.account_id(), &wanted) {
                        Ok(verdict) if verdict.allowed() => {}
                        Ok(verdict) => out.missing.push(Missing {
                            file: statement.place.file.clone(),
                            line: statement.place.line,
                            resource: format!("{} of {}", role.id, stack.name()),
                            handler: "use",
                            who: asker.label.clone(),
                            action: wanted.action,
                            on: wanted.on,
                            with: wanted.with,
                            by: decided(&verdict),
                            role: arn.clone(),
                            stack: role.stack,
                            denied: verdict.decision == Decision::ExplicitDeny,
                        }),
                        Err(error) => out.problems.push(Problem::new(
                            &statement.place.file,
                            statement.place.line,
                            error,
                        )),
                    }
                }
            }
        }
    }
}

/// A resource that a pattern stands for.
pub fn sample(pattern: &str) -> String {
    if pattern == "*" { "*".to_owned() } else { pattern.replace(['*', '?'], "x") }
}

/// Condition keys with which a statement's conditions hold, as far as a value can be read off them.
pub fn satisfied(statement: &causeway_iam::Statement) -> BTreeMap<String, Vec<String>> {
    let conditions = statement.raw.conditions.iter();
    let positive = conditions.filter(|condition| {
        !condition.operator.contains("Not")
            && !condition.operator.starts_with("Null")
            && !condition.key.eq_ignore_ascii_case("aws:PrincipalArn")
    });
    positive
        .filter_map(|condition| {
            condition.values.first().map(|value| (condition.key.clone(), vec![sample(value)]))
        })
        .collect()
}

/// The calls of a resource with made names as wildcards: what a policy for people must allow.
pub fn general(wanted: Wanted) -> Wanted {
    Wanted { on: generalized(&wanted.on), ..wanted }
}
