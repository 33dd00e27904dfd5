//! Who is asked about, and everything that bears on what they ask.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;
use toml::Spanned;

use super::Problem;
use super::matrix::{self, Actor, Only, Variant};
use super::names::Names;
use super::world::{Ground, Role, World};
use causeway_iam::{
    Bearing, Caller, Guard, Kind, Matched, Place, Request, ResourcePolicy, Statement, Verdict, decide,
};
use causeway_model::config::BUILD;

/// Somebody who asks, with the policies that are theirs.
#[derive(Debug)]
pub struct Asker<'w> {
    /// How reports call them.
    pub label: String,
    /// Who they are.
    pub caller: Caller,
    /// The world that their policies come from.
    home: &'w World,
    role: Option<&'w Role>,
    managed: Vec<String>,
    own: Vec<Statement>,
    boundary: Option<String>,
}

impl<'w> Asker<'w> {
    /// A role of a template.
    pub fn role(home: &'w World, arn: &str) -> Option<Self> {
        let (arn, role) = home.roles.get_key_value(arn)?;
        let account = arn
            .split(':')
            .nth(4)
            .and_then(|id| home.accounts.get(id))
            .map(String::as_str)
            .unwrap_or_default();
        Some(Self {
            label: format!("{} ({account})", role.id),
            caller: Caller::Role { arn: arn.clone() },
            home,
            role: Some(role),
            managed: role.managed.clone(),
            own: Vec::new(),
            boundary: role.boundary.clone(),
        })
    }

    /// Somebody with these statements.
    pub fn with(home: &'w World, label: &str, caller: Caller, own: Vec<Statement>) -> Self {
        Self { label: label.to_owned(), caller, home, role: None, managed: Vec::new(), own, boundary: None }
    }

    /// A user in a group of a template, called as given; the group by the number of its stack and its logical id.
    pub fn member(home: &'w World, group: &(usize, String), name: &str) -> Option<Self> {
        let managed = home.groups.get(group)?.clone();
        let account = home.stacks.get(group.0)?.account_id();
        let arn = format!("arn:{}:iam::{account}:user/{name}", home.setting.partition);
        Some(Self { managed, ..Self::with(home, name, Caller::User { arn }, Vec::new()) })
    }

    /// Whether a template has them as a role.
    pub fn is_role(&self) -> bool {
        self.role.is_some()
    }

    /// The ARN of their boundary, where they have one.
    pub fn boundary(&self) -> Option<&str> {
        self.boundary.as_deref()
    }

    /// The ARNs of the managed policies that are attached to them.
    pub fn managed(&self) -> &[String] {
        &self.managed
    }

    /// Whether no template has them.
    pub fn is_made(&self) -> bool {
        self.role.is_none() && self.managed.is_empty()
    }

    /// Every policy that bears on a request of theirs in a world.
    pub fn bearing<'a>(&'a self, world: &'a World, request: &Request) -> Bearing<'a> {
        Bearing { resource: world.guard(&request.action, &request.resource), ..self.standing(world) }
    }

    /// What bears on whatever they ask: their own policies, their boundary, the organization.
    pub fn standing<'a>(&'a self, world: &'a World) -> Bearing<'a> {
        let policy = |arn: &String| self.home.managed.get(arn).map(Vec::as_slice);
        let mut identity: Vec<&[Statement]> = self.role.iter().map(|role| role.inline.as_slice()).collect();
        identity.extend(self.managed.iter().filter_map(policy));
        identity.push(&self.own);
        let ours = self
            .caller
            .account()
            .is_some_and(|account| world.setting.accounts.iter().any(|id| id == account));
        Bearing {
            identity,
            boundary: self.boundary.as_ref().and_then(policy),
            scps: if ours { world.scps.iter().map(Vec::as_slice).collect() } else { Vec::new() },
            ..Bearing::default()
        }
    }
}

impl World {
    /// The policy of the resource of a request.
    pub fn guard(&self, action: &str, resource: &str) -> Option<ResourcePolicy<'_>> {
        let service = action.split(':').next().unwrap_or_default();
        let (arn, trust) = match service {
            "sts" => (resource, true),
            "s3" => (resource.split('/').next().unwrap_or(resource), false),
            _ => (resource, false),
        };
        let (guard, statements) = self.guards.get(arn)?;
        ((*guard == Guard::Trust) == trust).then_some(ResourcePolicy { guard: *guard, statements })
    }

    /// The account that a resource belongs to; `own` where neither its ARN nor a template says.
    pub fn owner<'a>(&'a self, resource: &'a str, own: &'a str) -> &'a str {
        let bucket = resource.split('/').next().unwrap_or(resource);
        if let Some(accounts) = self.buckets.get(bucket) {
            // Names that are made up are the same in every account; in AWS they never are.
            let is_own = accounts.iter().any(|account| account == own);
            return accounts.first().filter(|_| !is_own).map_or(own, String::as_str);
        }
        let account = resource.split(':').nth(4).unwrap_or_default();
        if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) { account } else { own }
    }
}

/// Every world that rows are asked in.
pub struct Worlds<'a> {
    /// What they are made of.
    pub ground: &'a Ground<'a>,
    all: BTreeMap<(String, String), World>,
}

/// The name of the usual setting.
pub const USUAL: &str = "";

impl<'a> Worlds<'a> {
    /// Builds the usual world, every variant that a row names, and the projects that principals name.
    pub fn build(ground: &'a Ground<'a>) -> Self {
        let matrix = ground.matrix;
        let mut all = BTreeMap::new();
        let mut add = |variant: &str, project: &str| {
            all.entry((variant.to_owned(), project.to_owned())).or_insert_with(|| {
                let setting = matrix.variants.get(variant).cloned().unwrap_or_else(Variant::default);
                World::build(ground, &setting, (!project.is_empty()).then_some(project), false)
            });
        };
        add(USUAL, "");
        for row in &matrix.rows {
            if let Some(variant) = &row.variant {
                add(variant.get_ref(), "");
            }
        }
        for actor in matrix.principals.values() {
            if let Some(project) = &actor.get_ref().project {
                add(USUAL, project);
            }
        }
        Self { ground, all }
    }

    /// The world of a setting.
    pub fn get(&self, variant: &str, project: &str) -> Option<&World> {
        self.all.get(&(variant.to_owned(), project.to_owned()))
    }

    /// The names of the settings, the usual one first.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.all.keys().filter(|(_, project)| project.is_empty()).map(|(variant, _)| variant.as_str())
    }

    /// Every world.
    pub fn all(&self) -> impl Iterator<Item = &World> {
        self.all.values()
    }

    /// What is wrong with the files, in any of the worlds.
    pub fn problems(&self) -> Vec<Problem> {
        let mut all: Vec<Problem> =
            self.all.values().flat_map(|world| world.problems.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Statements that cannot be read, in any world.
    pub fn unreadable(&self) -> Vec<Problem> {
        let all = self.all.values().flat_map(|world| &world.unreadable);
        all.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// Everybody that a name of the matrix means in one target account.
    ///
    /// # Errors
    /// A name that does not exist, a role that no template has.
    pub fn askers<'w>(&'w self, name: &str, env: &str, variant: &str) -> Result<Vec<Asker<'w>>, String> {
        let matrix = self.ground.matrix;
        let actor = matrix
            .principals
            .get(name)
            .ok_or_else(|| unknown("principal", name, matrix.principals.keys()))?;
        self.resolve(name, actor, env, variant)
    }

    fn resolve<'w>(
        &'w self,
        name: &str,
        actor: &Spanned<Actor>,
        env: &str,
        variant: &str,
    ) -> Result<Vec<Asker<'w>>, String> {
        let (start, actor) = (actor.span().start, actor.get_ref());
        let world = self.get(variant, "").ok_or("no such setting")?;
        let usual = world;
        if let Some(names) = &actor.any {
            let mut all = Vec::new();
            for name in names {
                all.extend(self.askers(name, env, variant)?);
            }
            return Ok(all);
        }
        if let Some(service) = &actor.service {
            let caller = Caller::Service { name: service.clone() };
            return Ok(vec![Asker::with(world, service, caller, Vec::new())]);
        }
        if let Some(path) = &actor.role {
            let home = match &actor.project {
                Some(project) => self.get(USUAL, project).unwrap_or(world),
                None => world,
            };
            return match home.role_arn(path, env).and_then(|arn| Asker::role(home, arn)) {
                Some(asker) if actor.project.is_some() => Ok(vec![Asker {
                    label: format!("{} of {}", asker.label, actor.project.clone().unwrap_or_default()),
                    ..asker
                }]),
                Some(asker) => Ok(vec![asker]),
                None if actor.optional => Ok(Vec::new()),
                None => Err(format!("no template has the role `{path}` in {env}")),
            };
        }
        if let Some(of) = actor.roles.as_ref().and_then(|path| path.strip_suffix(".*")) {
            let stack = world.stack_for(of, env).ok_or_else(|| format!("there is no stack `{of}`"))?;
            let arns = world.roles.iter().filter(|(_, role)| {
                world.stacks.get(role.stack).is_some_and(|other| std::ptr::eq(other, stack))
                    && actor.trusts.as_ref().is_none_or(|service| role.services.contains(service))
            });
            let all: Vec<Asker<'_>> = arns.filter_map(|(arn, _)| Asker::role(world, arn)).collect();
            return if all.is_empty() { Err(format!("stack `{of}` has no such role")) } else { Ok(all) };
        }
        if let Some(path) = &actor.group {
            let (of, id) = path.split_once('.').unwrap_or((path, ""));
            let found = world.groups.keys().find(|(index, other)| {
                other == id && world.stacks.get(*index).is_some_and(|stack| stack.of == of)
            });
            let member = found.and_then(|group| Asker::member(world, group, name));
            return member
                .map(|member| vec![member])
                .ok_or_else(|| format!("no template has the group `{path}`"));
        }
        if let Some(path) = &actor.policy {
            let arn = match reference(self.ground, usual, env, path) {
                Ok(arn) => arn,
                Err(_) if actor.optional => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let account = self.ground.config.account_id(env).unwrap_or_default();
            let caller =
                Caller::User { arn: format!("arn:{}:iam::{account}:user/{name}", world.setting.partition) };
            return Ok(vec![Asker {
                managed: vec![arn],
                ..Asker::with(world, &format!("{name} ({env})"), caller, Vec::new())
            }]);
        }
        if let Some(role) = &actor.name {
            let account = actor.account.as_deref().unwrap_or("{env}");
            let account = fill(self.ground, usual, env, account, "")?;
            let id = self.ground.config.account_id(&account).unwrap_or(&account);
            let filled = fill(self.ground, usual, env, role, "")?;
            let path = if filled.starts_with('/') { filled } else { format!("/{filled}") };
            let partition = &world.setting.partition;
            let caller = if actor.user {
                Caller::User { arn: format!("arn:{partition}:iam::{id}:user{path}") }
            } else {
                Caller::Role { arn: format!("arn:{partition}:iam::{id}:role{path}") }
            };
            let own = self.everything(name, &actor.allow, start)?;
            let boundary = match &actor.boundary {
                Some(path) => Some(reference(self.ground, usual, env, path)?),
                None => None,
            };
            let shown = world.accounts.get(id).map_or(id, String::as_str);
            return Ok(vec![Asker {
                boundary,
                ..Asker::with(world, &format!("{name} ({shown})"), caller, own)
            }]);
        }
        Err(format!("principal `{name}` says neither role, roles, group, policy, name, service nor any"))
    }

    /// A policy that allows actions on everything.
    fn everything(&self, name: &str, actions: &[String], start: usize) -> Result<Vec<Statement>, String> {
        if actions.is_empty() {
            return Ok(Vec::new());
        }
        let line = self.ground.matrix_line(start);
        let place =
            Place { file: matrix::FILE.to_owned(), line, of: name.to_owned(), sid: "allow".to_owned() };
        let value = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        let statement = Statement::parse(&value, place, Kind::Identity, true, "aws", self.ground.id());
        Ok(vec![statement.map_err(|wrong| wrong.join("; "))?])
    }
}

/// The complaint about a name that does not exist.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let hint = causeway_iam::closest(name, known.map(String::as_str));
    let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("there is no {what} `{name}`{hint}")
}

/// A text of the matrix with its placeholders filled.
///
/// # Errors
/// A placeholder that leads nowhere.
pub fn fill(
    ground: &Ground<'_>,
    world: &World,
    env: &str,
    text: &str,
    caller: &str,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let close = rest[open..].find('}').ok_or_else(|| format!("`{text}` does not close"))? + open;
        out.push_str(&value(ground, world, env, &rest[open + 1..close], caller)?);
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn value(ground: &Ground<'_>, world: &World, env: &str, name: &str, caller: &str) -> Result<String, String> {
    let config = ground.config;
    Ok(match name {
        "self" => caller.to_owned(),
        "project" => config.project.clone(),
        "region" => world.setting.region.clone(),
        "partition" => world.setting.partition.clone(),
        "suffix" => world.setting.url_suffix.clone(),
        "env" => env.to_owned(),
        "account" => config.account_id(env).unwrap_or_default().to_owned(),
        "build" => config.account_id(BUILD).unwrap_or_default().to_owned(),
        "other" => {
            // Another target account, where there is one.
            let other = config.targets().find(|name| *name != env).unwrap_or(env);
            other.to_owned()
        }
        "other.account" => {
            let other = config.targets().find(|name| *name != env).unwrap_or(env);
            config.account_id(other).unwrap_or_default().to_owned()
        }
        path => reference(ground, world, env, path)?,
    })
}

/// What `stack.LogicalId` or `stack.LogicalId.Attribute` gives in an account.
pub fn reference(ground: &Ground<'_>, world: &World, env: &str, path: &str) -> Result<String, String> {
    let mut parts = path.splitn(3, '.');
    let (Some(of), Some(id), attribute) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("unknown placeholder {{{path}}}"));
    };
    let stack = world.stack_for(of, env).ok_or_else(|| format!("there is no stack `{of}`"))?;
    let resource =
        stack.resources.get(id).ok_or_else(|| format!("stack `{of}` has no resource `{id}` in {env}"))?;
    Names::new(stack, ground.types).reference(resource, attribute)
}

/// One request of the matrix in its world.
pub struct Asked<'w> {
    /// The row's number.
    pub row: usize,
    /// The name of the target account it is asked for.
    pub env: String,
    /// Who asks.
    pub asker: Rc<Asker<'w>>,
    /// The request.
    pub request: Request,
    /// Which of the policies are looked at.
    pub only: Option<Only>,
    /// Where.
    pub world: &'w World,
}

impl Asked<'_> {
    /// The decision.
    ///
    /// # Errors
    /// A statement that cannot be evaluated.
    pub fn verdict(&self) -> Result<Verdict, String> {
        self.verdict_by(&mut |statement, request| statement.matches(request))
    }

    /// The decision, with the answers of single statements given by `matcher`.
    ///
    /// # Errors
    /// A statement that cannot be evaluated.
    pub fn verdict_by(
        &self,
        matcher: &mut dyn FnMut(&Statement, &Request) -> Result<Matched, String>,
    ) -> Result<Verdict, String> {
        decide(&self.request, &self.bearing(), matcher)
    }

    /// Every policy that is looked at.
    pub fn bearing(&self) -> Bearing<'_> {
        let all = self.asker.bearing(self.world, &self.request);
        match self.only {
            None => all,
            Some(Only::Caller) => Bearing { resource: None, ..all },
            Some(Only::Identity) => Bearing { identity: all.identity, ..Bearing::default() },
        }
    }
}
