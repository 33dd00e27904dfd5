//! Every stack of `cfn/stacks.toml` deployed on paper, and the policies found in them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::matrix::{Matrix, Variant};
use super::places::{Places, STACKS};
use super::policies::{check_size, policies};
use super::stack::{Stack, Template};
use super::types::Types;
use super::{Files, Problem};
use causeway_iam::{Effect, Guard, Kind, Limit, Place, Setting, Statement};
use causeway_model::config::{Config, DeployedBy, Instance, Parameter};
use causeway_model::plan;
use causeway_model::template::{Expand, MAX_BODY, MAX_OBJECT, Node, NodeValue, Pseudo};

/// Source: AWS Organizations, "SCP evaluation": an action must be allowed at every level, and FullAWSAccess, which allows
/// everything, stays attached beside our file.
const ALLOW_IN_SCP: &str = "an Allow of a service control policy adds nothing beside FullAWSAccess, and without that it \
                            would shut out all that it does not name: only Deny is evaluated, so take it out";

/// A role of a template.
#[derive(Debug)]
pub struct Role {
    /// Its logical id.
    pub id: String,
    /// The number of its stack.
    pub stack: usize,
    /// The ARNs of its managed policies.
    pub managed: Vec<String>,
    /// Its inline policies.
    pub inline: Vec<Statement>,
    /// The ARN of its boundary.
    pub boundary: Option<String>,
    /// The services that may assume it.
    pub services: Vec<String>,
}

/// Everything that was deployed on paper.
#[derive(Debug)]
pub struct World {
    /// Region, partition, organization.
    pub setting: Setting,
    /// The names of the accounts by id.
    pub accounts: BTreeMap<String, String>,
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// Roles by ARN.
    pub roles: BTreeMap<String, Role>,
    /// Managed policies by ARN.
    pub managed: BTreeMap<String, Vec<Statement>>,
    /// The policies of resources by ARN.
    pub guards: BTreeMap<String, (Guard, Vec<Statement>)>,
    /// Managed policies of groups by `(stack number, logical id)`.
    pub groups: BTreeMap<(usize, String), Vec<String>>,
    /// The accounts that have a bucket of each ARN.
    pub buckets: BTreeMap<String, Vec<String>>,
    /// Service control policies of our accounts.
    pub scps: Vec<Vec<Statement>>,
    /// What is wrong with the files.
    pub problems: Vec<Problem>,
    /// Statements that cannot be read: nothing is said of what would follow from them.
    pub unreadable: Vec<Problem>,
    /// The stacks that roles deploy: the stack's number and the role's ARN.
    pub deployed: Vec<(usize, String)>,
    /// The same before the policies are read: the stack's number and the number of the matrix's deployment.
    pending: Vec<(usize, usize)>,
}

/// What worlds are made of.
pub struct Ground<'a> {
    /// `cfn/stacks.toml`.
    pub config: &'a Config,
    /// The matrix.
    pub matrix: &'a Matrix,
    /// The known types.
    pub types: &'a Types,
    /// The files below `cfn/`.
    pub files: &'a Files,
    /// Runs AWS's transforms.
    pub expand: &'a dyn Expand,
    /// The templates that parse, by name.
    pub templates: BTreeMap<String, Rc<Template>>,
    /// The templates that do not.
    pub broken: Vec<Problem>,
    /// Where things stand in `cfn/stacks.toml`.
    places: Places,
    /// Where the lines of the matrix end.
    ends: Vec<usize>,
    /// The number of the next statement, in whatever world.
    pub next: Cell<usize>,
}

impl<'a> Ground<'a> {
    /// Reads every template that the configuration names.
    pub fn new(
        config: &'a Config,
        matrix: &'a Matrix,
        types: &'a Types,
        files: &'a Files,
        expand: &'a dyn Expand,
    ) -> Self {
        let mut templates = BTreeMap::new();
        let mut broken = Vec::new();
        let places = Places::new(files.get("stacks.toml").map(String::as_str).unwrap_or_default());
        for stack in &config.stacks {
            if templates.contains_key(&stack.template) {
                continue;
            }
            let read = match files.get(&stack.template) {
                Some(text) => Template::read(&stack.template, text),
                None => Err(Problem::new(
                    STACKS,
                    places.template(&stack.name),
                    format!("there is no template cfn/{}", stack.template),
                )),
            };
            match read {
                Ok(template) => {
                    // The stack that makes the artifact bucket: before there is one, its template goes in the request.
                    let (most, of) = if matrix.artifacts.bucket.split('.').next() == Some(&stack.name) {
                        (MAX_BODY, "before there is a bucket to send it by")
                    } else {
                        (MAX_OBJECT, "from a bucket")
                    };
                    if template.bytes >= most {
                        let message = format!(
                            "the template has {} bytes; CloudFormation takes {most} {of}",
                            template.bytes
                        );
                        broken.push(Problem::new(&template.file, 1, message));
                    }
                    templates.insert(stack.template.clone(), Rc::new(template));
                }
                Err(problem) => broken.push(problem),
            }
        }
        let text = files.get("access-matrix.toml").map(String::as_str).unwrap_or_default();
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Self { config, matrix, types, files, expand, templates, broken, places, ends, next: Cell::new(0) }
    }

    /// The line of a byte of the matrix. Everybody whom the matrix makes up has one, in every setting: the text is not read again.
    pub fn matrix_line(&self, start: usize) -> usize {
        self.ends.partition_point(|end| *end < start) + 1
    }

    /// Whether the template of a stack has a resource, given as `stack.LogicalId`, under whatever condition.
    pub(super) fn is_written(&self, path: &str) -> bool {
        let (of, id) = path.split_once('.').unwrap_or((path, ""));
        let template = self.config.stack(of).and_then(|stack| self.templates.get(&stack.template));
        template.is_some_and(|template| template.root.at(&["Resources", id]).is_some())
    }

    pub(super) fn id(&self) -> usize {
        self.next.replace(self.next.get() + 1)
    }
}

/// The partition of a region. Source: AWS general reference, "Amazon Resource Names (ARNs)".
pub fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

impl World {
    /// Deploys everything on paper. With `everything` resources exist whatever their conditions say.
    pub fn build(ground: &Ground<'_>, variant: &Variant, project: Option<&str>, everything: bool) -> Self {
        let mut config = ground.config.clone();
        if let Some(project) = project {
            project.clone_into(&mut config.project);
        }
        let partition = partition(&config.region);
        let pseudo = Pseudo {
            account_id: String::new(),
            region: config.region.clone(),
            partition: partition.to_owned(),
            stack_name: String::new(),
            stack_id: String::new(),
        };
        let mut world = Self {
            setting: Setting {
                region: config.region.clone(),
                partition: partition.to_owned(),
                url_suffix: pseudo.url_suffix().to_owned(),
                organization: variant.organization.clone().or_else(|| config.organization_id.clone()),
                accounts: config.accounts.values().map(|account| account.id.clone()).collect(),
            },
            accounts: config
                .accounts
                .iter()
                .map(|(name, account)| (account.id.clone(), name.clone()))
                .collect(),
            stacks: Vec::new(),
            roles: BTreeMap::new(),
            managed: BTreeMap::new(),
            guards: BTreeMap::new(),
            groups: BTreeMap::new(),
            buckets: BTreeMap::new(),
            scps: Vec::new(),
            problems: ground.broken.clone(),
            unreadable: Vec::new(),
            deployed: Vec::new(),
            pending: Vec::new(),
        };
        let builder = Builder { ground, config: &config, variant, pseudo, everything };
        builder.stacks(&mut world);
        for index in 0..world.stacks.len() {
            policies(&mut world, ground, index);
        }
        builder.scps(&mut world);
        builder.check_references(&mut world);
        world.problems.sort();
        world.problems.dedup();
        world
    }

    /// The stack of that name in an account, in its usual instance.
    pub fn stack(&self, of: &str, account: &str) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.of == of && stack.account == account)
    }

    /// A stack that stands in one account only, or the one of the given account.
    pub fn stack_for(&self, of: &str, env: &str) -> Option<&Stack> {
        self.stack(of, env).or_else(|| {
            self.stacks.iter().find(|stack| stack.of == of && stack.account == causeway_model::config::BUILD)
        })
    }

    /// The ARN of a role, given as `stack.LogicalId`, in an account.
    pub fn role_arn(&self, path: &str, env: &str) -> Option<&str> {
        let (of, id) = path.split_once('.')?;
        let stack = self.stack_for(of, env)?;
        let found = self.roles.iter().find(|(_, role)| {
            role.id == id && self.stacks.get(role.stack).is_some_and(|other| std::ptr::eq(other, stack))
        });
        found.map(|(arn, _)| arn.as_str())
    }

    /// Every statement of every policy.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        let roles = self.roles.values().flat_map(|role| &role.inline);
        let managed = self.managed.values().flatten();
        let guards = self.guards.values().flat_map(|(_, statements)| statements);
        roles.chain(managed).chain(guards).chain(self.scps.iter().flatten())
    }
}

struct Builder<'a> {
    ground: &'a Ground<'a>,
    config: &'a Config,
    variant: &'a Variant,
    pseudo: Pseudo,
    everything: bool,
}

impl Builder<'_> {
    fn stacks(&self, world: &mut World) {
        let waves = plan::waves(self.config).unwrap_or_else(|circle| {
            world.problems.push(Problem::new(STACKS, 1, circle.to_string()));
            Vec::new()
        });
        for instance in waves.into_iter().flatten().chain(self.config.instances(DeployedBy::Pipeline)) {
            let name = self.config.stack_name(&instance);
            self.stack(world, &instance, name, &BTreeMap::new());
        }
        for (number, deployment) in self.ground.matrix.deployments.iter().enumerate() {
            let of = deployment.stack.get_ref();
            let accounts = self.config.stack(of).map(|stack| stack.accounts.clone());
            let Some(accounts) = accounts else {
                let line = self.ground.matrix_line(deployment.stack.span().start);
                world.problems.push(Problem::new(
                    super::matrix::FILE,
                    line,
                    format!("cfn/stacks.toml has no stack `{of}`"),
                ));
                continue;
            };
            for account in accounts {
                // What may be absent stands only where the role that deploys it is made, as whatever else goes with it.
                let made = deployment.role.get_ref().split_once('.').is_some_and(|(of, id)| {
                    world.stack_for(of, &account).is_some_and(|stack| stack.resources.contains_key(id))
                });
                if deployment.optional && !made {
                    continue;
                }
                let instance = Instance { stack: of.clone(), account: account.clone() };
                let index = match &deployment.name {
                    None => world.stacks.iter().position(|stack| stack.of == *of && stack.account == account),
                    Some(name) => {
                        let name = self.config.fill(name, &account).unwrap_or_else(|_| name.clone());
                        self.stack(world, &instance, name, &deployment.parameters);
                        world.stacks.len().checked_sub(1)
                    }
                };
                // Whether the role exists is known once the policies are read; its ARN is looked up then.
                if let Some(index) = index {
                    world.pending.push((index, number));
                }
            }
        }
    }

    fn stack(&self, world: &mut World, instance: &Instance, name: String, over: &BTreeMap<String, String>) {
        let Some(stack) = self.config.stack(&instance.stack) else { return };
        let Some(template) = self.ground.templates.get(&stack.template) else { return };
        let account_id = self.config.account_id(&instance.account).unwrap_or_default().to_owned();
        let mut given = BTreeMap::new();
        for (key, parameter) in self.config.parameters(instance) {
            let value = match parameter {
                Parameter::Literal(text) => self.config.fill(&text, &instance.account).ok(),
                Parameter::Artifact { function, .. } => Some(format!("0.1.0+{function}")),
                Parameter::Output { stack, output, account } => {
                    let source = self.config.output_source(&stack, account.as_deref());
                    let found = source.and_then(|source| world.stack(&source.stack, &source.account));
                    found.and_then(|found| found.outputs.get(&output).cloned())
                }
            };
            match value {
                Some(value) => {
                    given.insert(key, value);
                }
                None => world.problems.push(Problem::new(
                    STACKS,
                    self.ground.places.parameter(&instance.stack, &instance.account, &key),
                    format!(
                        "parameter {key} of {}@{}: the output it takes is not there",
                        instance.stack, instance.account
                    ),
                )),
            }
        }
        given.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
        if let Some(over) = self.variant.parameters.get(&instance.stack) {
            given.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let pseudo = Pseudo {
            stack_id: format!(
                "arn:{}:cloudformation:{}:{account_id}:stack/{name}/{}",
                self.pseudo.partition,
                self.pseudo.region,
                super::names::RANDOM
            ),
            account_id,
            stack_name: name,
            ..self.pseudo.clone()
        };
        let stack = Stack::deploy(
            &instance.stack,
            &instance.account,
            template,
            pseudo,
            &given,
            self.ground,
            self.everything,
            &mut world.problems,
        );
        world.stacks.push(stack);
    }

    fn scps(&self, world: &mut World) {
        for name in &self.variant.scps {
            let (start, name) = (name.span().start, name.get_ref());
            let file = format!("cfn/{name}");
            let Some(text) = self.ground.files.get(name) else {
                let line = self.ground.matrix_line(start);
                world.problems.push(Problem::new(
                    super::matrix::FILE,
                    line,
                    format!("there is no file {file}"),
                ));
                continue;
            };
            let text = organization_policy(text, &self.config.project);
            let (root, all) = match scp(&text) {
                Ok(read) => read,
                Err((line, message)) => {
                    world.problems.push(Problem::new(&file, line, message));
                    continue;
                }
            };
            check_size(&root.to_json(), Limit::SCP, &file, 1, &mut world.problems);
            let mut statements = Vec::new();
            for (number, node) in all.iter().enumerate() {
                let sid = node
                    .get("Sid")
                    .and_then(Node::as_str)
                    .map_or_else(|| number.to_string(), ToOwned::to_owned);
                let place = Place { file: file.clone(), line: node.line, of: "Scp".to_owned(), sid };
                let parsed = Statement::parse(
                    &node.to_json(),
                    place,
                    Kind::Identity,
                    true,
                    &world.setting.partition,
                    self.ground.id(),
                );
                match parsed {
                    Ok(statement) if statement.raw.effect == Effect::Allow => {
                        world.problems.push(Problem::new(&file, node.line, ALLOW_IN_SCP));
                    }
                    Ok(statement) => statements.push(statement),
                    Err(wrong) => {
                        let wrong = told_once(wrong).into_iter();
                        world.unreadable.extend(wrong.map(|wrong| Problem::new(&file, node.line, wrong)));
                    }
                }
            }
            world.scps.push(statements);
        }
    }

    /// Managed policies and boundaries that no template has cannot be read, so nobody could say what they allow.
    fn check_references(&self, world: &mut World) {
        let mut problems = Vec::new();
        for role in world.roles.values() {
            let Some(stack) = world.stacks.get(role.stack) else { continue };
            let line = stack.resources.get(&role.id).map_or(1, |resource| resource.line);
            for arn in role.managed.iter().chain(&role.boundary) {
                if !world.managed.contains_key(arn) {
                    let message = format!(
                        "{} of {}: policy {arn} is in no template, so what it allows is not known",
                        role.id,
                        stack.name()
                    );
                    problems.push(Problem::new(&stack.template.file, line, message));
                }
            }
        }
        world.problems.append(&mut problems);
        let mut deployed = Vec::new();
        for (index, number) in std::mem::take(&mut world.pending) {
            let Some(deployment) = self.ground.matrix.deployments.get(number) else { continue };
            let path = deployment.role.get_ref();
            let account = world.stacks.get(index).map(|stack| stack.account.clone()).unwrap_or_default();
            match world.role_arn(path, &account) {
                Some(arn) => deployed.push((index, arn.to_owned())),
                None if deployment.optional => {}
                None => {
                    let message =
                        format!("no template has the role `{path}` in {account}, which deploys a stack");
                    let line = self.ground.matrix_line(deployment.role.span().start);
                    world.problems.push(Problem::new(super::matrix::FILE, line, message));
                }
            }
        }
        world.deployed = deployed;
    }
}

/// The complaints about a statement: where an element of it is misspelled, that it is not there is no second one.
pub(super) fn told_once(mut wrong: Vec<String>) -> Vec<String> {
    if wrong.first().is_some_and(|first| first.starts_with("a statement has no element")) {
        wrong.truncate(1);
    }
    wrong
}

/// A service control policy for a project: the files name the project by a placeholder.
pub(super) fn organization_policy(text: &str, project: &str) -> String {
    text.replace("{project}", project)
}

/// A service control policy and its statements; else the line and the complaint.
fn scp(text: &str) -> Result<(Node, Vec<Node>), (usize, String)> {
    // AWS takes JSON alone. JSON is YAML, so once it is that the file has lines like a template.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err((error.line(), format!("it is no JSON: {error}")));
    }
    let root = causeway_model::template::parse(text).map_err(|error| (error.line, error.message))?;
    let all = match root.get("Statement") {
        Some(one) if matches!(one.value, NodeValue::Map(_)) => vec![one.clone()],
        Some(list) => list.items().to_vec(),
        None => Vec::new(),
    };
    if all.is_empty() {
        return Err((root.line, "the policy has no `Statement`".to_owned()));
    }
    Ok((root, all))
}
