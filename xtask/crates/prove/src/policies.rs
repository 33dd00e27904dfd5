//! The policies that a stack's resources carry, read statement by statement with the lines of the template.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Problem;
use super::names::{Names, unknown_type};
use super::stack::{Resource, Stack, failing_line, peel};
use super::world::{Ground, Role, World};
use causeway_iam::{Guard, Kind, Limit, Place, Statement, size};
use causeway_model::template::{Node, Scope};

/// The `Sid` of a statement that no template writes.
pub(super) const MADE: &str = "permission";

/// Adds the policies of one stack to its world.
pub(super) fn policies(world: &mut World, ground: &Ground<'_>, index: usize) {
    let Some(stack) = world.stacks.get(index) else { return };
    let names = Names::new(stack, ground.types);
    let scope = stack.scope(&names);
    let mut found = Found { ground, stack, index, names: &names, scope, out: Out::default() };
    for resource in stack.resources.values() {
        found.resource(resource);
    }
    let out = found.out;
    world.roles.extend(out.roles);
    world.managed.extend(out.managed);
    world.groups.extend(out.groups);
    for (arn, account) in out.buckets {
        world.buckets.entry(arn).or_default().push(account);
    }
    world.problems.extend(out.problems);
    world.unreadable.extend(out.unreadable);
    for (arn, guard, mut statements) in out.guards {
        let entry = world.guards.entry(arn).or_insert_with(|| (guard, Vec::new()));
        entry.1.append(&mut statements);
    }
}

/// Complains about a policy that AWS would not store.
pub(super) fn check_size(
    document: &Value,
    limit: Limit,
    file: &str,
    line: usize,
    problems: &mut Vec<Problem>,
) {
    let size = size(document);
    if size > limit.most {
        let message =
            format!("{} has {size} characters, AWS takes {} (\"{}\")", limit.what, limit.most, limit.source);
        problems.push(Problem::new(file, line, message));
    }
}

#[derive(Default)]
struct Out {
    roles: BTreeMap<String, Role>,
    managed: BTreeMap<String, Vec<Statement>>,
    groups: BTreeMap<(usize, String), Vec<String>>,
    buckets: BTreeMap<String, String>,
    guards: Vec<(String, Guard, Vec<Statement>)>,
    problems: Vec<Problem>,
    unreadable: Vec<Problem>,
}

/// Reads the policies of one stack's resources.
struct Found<'a> {
    ground: &'a Ground<'a>,
    stack: &'a Stack,
    index: usize,
    names: &'a Names<'a>,
    scope: Scope<'a>,
    out: Out,
}

impl Found<'_> {
    fn complain(&mut self, line: usize, message: impl Into<String>) {
        self.out.problems.push(Problem::new(&self.stack.template.file, line, message));
    }

    /// A value, or a complaint at the resource.
    fn have<T: Default>(&mut self, resource: &Resource, value: Result<T, String>) -> T {
        value.unwrap_or_else(|error| {
            self.complain(resource.line, format!("{}: {error}", resource.id));
            T::default()
        })
    }

    fn resource(&mut self, resource: &Resource) {
        if !self.ground.types.contains_key(&resource.kind) {
            self.complain(resource.line, format!("{}: {}", resource.id, unknown_type(&resource.kind)));
            return;
        }
        match resource.kind.as_str() {
            "AWS::IAM::Role" => self.role(resource),
            "AWS::IAM::ManagedPolicy" => {
                let arn = self.names.reference(resource, None);
                let arn = self.have(resource, arn);
                let (statements, document) = self.document(resource, "PolicyDocument", Kind::Identity);
                self.size(resource, &document, Limit::MANAGED);
                self.out.managed.insert(arn, statements);
            }
            "AWS::IAM::Group" => {
                let managed = self.list(resource, "ManagedPolicyArns");
                self.out.groups.insert((self.index, resource.id.clone()), managed);
            }
            "AWS::S3::Bucket" => {
                let arn = self.names.reference(resource, Some("Arn"));
                let arn = self.have(resource, arn);
                self.out.buckets.insert(arn, self.stack.account_id().to_owned());
            }
            "AWS::S3::BucketPolicy" => {
                let on = self.names.fill(resource, "arn:{partition}:s3:::{Bucket}");
                let on = self.have(resource, on);
                self.guard(resource, on, "PolicyDocument", Guard::Ordinary, Limit::BUCKET);
            }
            "AWS::KMS::Key" => {
                let on = self.names.fill(resource, "{arn}");
                let on = self.have(resource, on);
                self.guard(resource, on, "KeyPolicy", Guard::Key, Limit::KEY);
            }
            "AWS::SNS::TopicPolicy" => {
                let on = self.names.fill(resource, "{Topics}");
                let on = self.have(resource, on);
                self.guard(resource, on, "PolicyDocument", Guard::Ordinary, Limit::TOPIC);
            }
            "AWS::SQS::QueuePolicy" => {
                let on = self.names.fill(resource, "{queues}");
                let on = self.have(resource, on);
                self.guard(resource, on, "PolicyDocument", Guard::Ordinary, Limit::QUEUE);
            }
            "AWS::Lambda::Permission" => self.permission(resource),
            _ => {}
        }
    }

    fn role(&mut self, resource: &Resource) {
        let arn = self.names.reference(resource, Some("Arn"));
        let arn = self.have(resource, arn);
        let mut inline = Vec::new();
        let mut characters = 0;
        let policies: Vec<Node> = match self.stack.node(resource) {
            Some(node) => node.get("Policies").map(|node| node.items().to_vec()).unwrap_or_default(),
            None => {
                for document in self.made_documents(resource) {
                    characters += size(&document);
                    self.statements(resource, &document, Kind::Identity, &mut inline);
                }
                Vec::new()
            }
        };
        for policy in &policies {
            match peel(&self.scope, policy) {
                Ok(Some(policy)) => {
                    let (mut statements, document) =
                        self.written(resource, policy.get("PolicyDocument"), policy.line, Kind::Identity);
                    characters += size(&document);
                    inline.append(&mut statements);
                }
                Ok(None) => {}
                Err((line, message)) => self.complain(line, message),
            }
        }
        if characters > Limit::INLINE.most {
            let limit = Limit::INLINE;
            let message = format!(
                "{} {} have {characters} characters, AWS takes {} (\"{}\")",
                limit.what, resource.id, limit.most, limit.source
            );
            self.complain(resource.line, message);
        }
        let boundary = self.list(resource, "PermissionsBoundary").pop();
        let managed = self.list(resource, "ManagedPolicyArns");
        let (trust, document) = self.document(resource, "AssumeRolePolicyDocument", Kind::Trust);
        self.size(resource, &document, Limit::TRUST);
        let services = services(&document);
        self.out.guards.push((arn.clone(), Guard::Trust, trust));
        self.out.roles.insert(
            arn,
            Role { id: resource.id.clone(), stack: self.index, managed, inline, boundary, services },
        );
    }

    fn list(&mut self, resource: &Resource, property: &str) -> Vec<String> {
        let value = self.names.property(resource, property);
        match self.have(resource, value) {
            Some(Value::Array(items)) => items.iter().map(causeway_model::template::text_of).collect(),
            Some(one) => vec![causeway_model::template::text_of(&one)],
            None => Vec::new(),
        }
    }

    fn guard(&mut self, resource: &Resource, on: Vec<String>, property: &str, guard: Guard, limit: Limit) {
        let (statements, document) = self.document(resource, property, Kind::Resource);
        self.size(resource, &document, limit);
        for arn in on {
            self.out.guards.push((arn, guard, statements.clone()));
        }
    }

    fn size(&mut self, resource: &Resource, document: &Value, limit: Limit) {
        check_size(document, limit, &self.stack.template.file, resource.line, &mut self.out.problems);
    }

    /// The statements of a policy in a property, and the whole document as AWS would store it.
    fn document(&mut self, resource: &Resource, property: &str, kind: Kind) -> (Vec<Statement>, Value) {
        if let Some(node) = self.stack.node(resource) {
            let node = node.get(property).cloned();
            return self.written(resource, node.as_ref(), resource.line, kind);
        }
        let value = self.names.property(resource, property);
        let document = self.have(resource, value).unwrap_or(Value::Null);
        let mut statements = Vec::new();
        self.statements(resource, &document, kind, &mut statements);
        (statements, document)
    }

    /// The inline policies of a role that SAM makes.
    fn made_documents(&mut self, resource: &Resource) -> Vec<Value> {
        let value = self.names.property(resource, "Policies");
        let policies = self.have(resource, value).unwrap_or(Value::Null);
        let policies = policies.as_array().into_iter().flatten();
        policies.filter_map(|policy| policy.get("PolicyDocument").cloned()).collect()
    }

    /// The statements of a document that stands in no file.
    fn statements(&mut self, resource: &Resource, document: &Value, kind: Kind, into: &mut Vec<Statement>) {
        let all = match &document["Statement"] {
            Value::Array(all) => all.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for (number, value) in all.iter().enumerate() {
            self.statement(resource, value, resource.line, number, kind, true, into);
        }
    }

    fn written(
        &mut self,
        resource: &Resource,
        node: Option<&Node>,
        line: usize,
        kind: Kind,
    ) -> (Vec<Statement>, Value) {
        let mut statements = Vec::new();
        let Some(node) = node else {
            self.complain(line, format!("{} has no policy document where one belongs", resource.id));
            return (statements, Value::Null);
        };
        let document = match self.scope.eval(&node.to_json()) {
            Ok(document) => document.unwrap_or(Value::Null),
            Err(error) => {
                self.complain(failing_line(&self.scope, node), format!("{}: {error}", resource.id));
                return (statements, Value::Null);
            }
        };
        let version = node.get("Version").and_then(Node::as_str);
        if !matches!(version, Some("2012-10-17" | "2008-10-17")) {
            self.complain(node.line, format!("{}: a policy's Version is '2012-10-17'", resource.id));
        }
        let all: Vec<&Node> = match node.get("Statement") {
            Some(one) if one.items().is_empty() => vec![one],
            Some(list) => list.items().iter().collect(),
            None => Vec::new(),
        };
        if all.is_empty() {
            self.complain(node.line, format!("{}: the policy has no statement", resource.id));
        }
        for (number, written) in all.into_iter().enumerate() {
            match peel(&self.scope, written) {
                Ok(Some(inner)) => {
                    // The whole document evaluated, so its parts do.
                    if let Ok(Some(value)) = self.scope.eval(&inner.to_json()) {
                        self.statement(
                            resource,
                            &value,
                            inner.line,
                            number,
                            kind,
                            version == Some("2012-10-17"),
                            &mut statements,
                        );
                    }
                }
                Ok(None) => {}
                Err((line, message)) => self.complain(line, message),
            }
        }
        (statements, document)
    }

    #[expect(clippy::too_many_arguments, reason = "one place, and each says something else")]
    fn statement(
        &mut self,
        resource: &Resource,
        value: &Value,
        line: usize,
        number: usize,
        kind: Kind,
        variables: bool,
        statements: &mut Vec<Statement>,
    ) {
        let sid =
            value.get("Sid").and_then(Value::as_str).map_or_else(|| number.to_string(), ToOwned::to_owned);
        let place = Place { file: self.stack.template.file.clone(), line, of: resource.id.clone(), sid };
        let partition = &self.stack.pseudo.partition;
        match Statement::parse(value, place, kind, variables, partition, self.ground.id()) {
            Ok(statement) => statements.push(statement),
            Err(wrong) => {
                let at = format!(
                    "{}.{}",
                    resource.id,
                    value.get("Sid").and_then(Value::as_str).unwrap_or("statement")
                );
                for message in super::world::told_once(wrong) {
                    self.out.unreadable.push(Problem::new(
                        &self.stack.template.file,
                        line,
                        format!("{at}: {message}"),
                    ));
                }
            }
        }
    }

    /// A permission of a function is a statement of the function's own policy.
    ///
    /// Source: AWS Lambda, "Viewing resource-based IAM policies in Lambda".
    fn permission(&mut self, resource: &Resource) {
        let get = |found: &mut Self, property: &str| found.list(resource, property).pop();
        let on = self.names.fill(resource, "{function}");
        let (Some(on), Some(principal)) = (self.have(resource, on).pop(), get(self, "Principal")) else {
            return;
        };
        let action = get(self, "Action").unwrap_or_else(|| "lambda:InvokeFunction".to_owned());
        let kind = if principal.contains('.') { "Service" } else { "AWS" };
        let mut statement = serde_json::json!({
            "Sid": MADE, "Effect": "Allow", "Principal": {kind: principal}, "Action": action, "Resource": on,
        });
        for (property, key, operator) in [
            ("SourceArn", "AWS:SourceArn", "ArnLike"),
            ("SourceAccount", "AWS:SourceAccount", "StringEquals"),
        ] {
            if let Some(value) = get(self, property) {
                statement["Condition"][operator] = serde_json::json!({key: value});
            }
        }
        let mut statements = Vec::new();
        self.statement(resource, &statement, resource.line, 0, Kind::Resource, false, &mut statements);
        self.out.guards.push((on, Guard::Ordinary, statements));
    }
}

/// The services that a trust policy lets in.
fn services(document: &Value) -> Vec<String> {
    let statements = document["Statement"].as_array().into_iter().flatten();
    let services = statements.filter_map(|statement| statement.pointer("/Principal/Service"));
    services
        .flat_map(|value| match value {
            Value::Array(items) => items.iter().map(causeway_model::template::text_of).collect(),
            one => vec![causeway_model::template::text_of(one)],
        })
        .collect()
}
