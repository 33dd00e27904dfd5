//! What release rules are asked of: every resource as it would be deployed, every environment, stack and route, and every stage
//! and action of a pipeline.
//!
//! A thing is one JSON value: its properties with every intrinsic function evaluated, and facts beside them under keys that
//! begin with `@`. Names that CloudFormation would make up are made up, no two alike, so that a text tells which thing it
//! refers to.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::super::Problem;
use super::super::names::{Names, RANDOM};
use super::super::stack::{Resource, Stack, failing_line};
use super::super::world::{Ground, World};
use super::facts::{environment_of, facts, is_usual, line_at, number_of, text};
use causeway_model::template::{Resolve, Scope, text_of};

/// What things are besides resources; a resource's kind is its type.
pub(super) const KINDS: [&str; 6] = ["environment", "stack", "route", "pipeline", "stage", "action"];

/// Every fact that a thing can have, for whoever writes a path.
pub(super) const FACTS: [&str; 24] = [
    "@id",
    "@type",
    "@name",
    "@arn",
    "@stack",
    "@template",
    "@environment",
    "@account",
    "@region",
    "@partition",
    "@suffix",
    "@protected",
    "@DeletionPolicy",
    "@UpdateReplacePolicy",
    "@UpdatePolicy",
    "@DependsOn",
    "@order",
    "@stage",
    "@pipeline",
    "@method",
    "@path",
    "@api",
    "@parameters",
    "@outputs",
];

/// One thing.
#[derive(Debug, PartialEq)]
pub(super) struct Thing {
    /// What it is: a type of resource, or one of [`KINDS`].
    pub kind: String,
    /// How reports call it.
    pub label: String,
    /// Its environment: the name of its account, or of the environment that a stage releases to.
    pub environment: String,
    /// The number of the stack that it stands in.
    pub stack: usize,
    /// Properties and facts.
    pub value: Value,
    /// Where it stands.
    pub file: String,
    /// The line it begins on.
    pub line: usize,
    /// The keys that lead to its properties in the template.
    pub keys: Vec<String>,
}

/// Every thing, and which text refers to which.
#[derive(Debug, Default)]
pub(super) struct Things {
    /// All of them.
    pub all: Vec<Rc<Thing>>,
    /// By kind.
    pub by_kind: HashMap<String, Vec<usize>>,
    /// Which things a text refers to.
    refers: HashMap<String, Vec<usize>>,
    /// What could not be evaluated.
    pub problems: Vec<Problem>,
}

/// Names of which no two are alike.
struct Unlike<'a> {
    names: &'a Names<'a>,
    stack: &'a Stack,
    /// Texts by resource and attribute, and whose each text is.
    made: RefCell<HashMap<(String, Option<String>), String>>,
    owners: RefCell<HashMap<String, String>>,
}

impl Unlike<'_> {
    fn text(&self, id: &str, attribute: Option<&str>) -> Option<String> {
        let key = (id.to_owned(), attribute.map(ToOwned::to_owned));
        if let Some(text) = self.made.borrow().get(&key) {
            return Some(text.clone());
        }
        let known = self.names.resource(id, attribute).map(|value| text_of(&value));
        let text = match (known, self.stack.resources.get(id)) {
            (Some(text), _) => text,
            // A type that nobody described: whatever it gives is its own.
            (None, Some(_)) => {
                let attribute = attribute.map(|name| format!(".{name}")).unwrap_or_default();
                format!("{}-{id}-{RANDOM}{attribute}", self.stack.name())
            }
            (None, None) => return None,
        };
        let mut owners = self.owners.borrow_mut();
        let text = match owners.get(&text) {
            Some(other) if other != id => format!("{text}#{id}"),
            _ => text,
        };
        owners.insert(text.clone(), id.to_owned());
        self.made.borrow_mut().insert(key, text.clone());
        Some(text)
    }
}

impl Resolve for Unlike<'_> {
    fn resource(&self, id: &str, attribute: Option<&str>) -> Option<Value> {
        self.text(id, attribute).map(Value::from)
    }
}

impl Things {
    /// Everything of a world that the pipeline or `bootstrap` deploys; further stacks of a template have rules of their own.
    pub(super) fn of(ground: &Ground<'_>, world: &World) -> Self {
        let parts: Vec<Rc<Self>> =
            (0..world.stacks.len()).map(|number| Rc::new(Self::in_stack(ground, world, number))).collect();
        Self::joined(ground, world, &parts)
    }

    /// What stands in one stack, by numbers of its own.
    pub(super) fn in_stack(ground: &Ground<'_>, world: &World, number: usize) -> Self {
        let mut things = Self::default();
        if let Some(stack) = world.stacks.get(number).filter(|stack| is_usual(ground, stack)) {
            things.stack(ground, number, stack);
            things.pipelines(ground, world, number);
        }
        things
    }

    /// The things of all stacks in one list, after the environments.
    pub(super) fn joined(ground: &Ground<'_>, world: &World, parts: &[Rc<Self>]) -> Self {
        let mut things = Self::default();
        for (account, entry) in &ground.config.accounts {
            if ground.config.targets().any(|target| target == account) {
                things.environment(world, account, entry.protected);
            }
        }
        for part in parts {
            let first = things.all.len();
            things.all.extend(part.all.iter().cloned());
            things.problems.extend(part.problems.iter().cloned());
            for (text, known) in &part.refers {
                let all = things.refers.entry(text.clone()).or_default();
                all.extend(known.iter().map(|index| first + index));
            }
        }
        for (index, thing) in things.all.iter().enumerate() {
            things.by_kind.entry(thing.kind.clone()).or_default().push(index);
        }
        things
    }

    /// Takes the things of an older version that are the same, so that nobody need compare them again.
    pub(super) fn share(&mut self, older: &Self) {
        for (thing, old) in self.all.iter_mut().zip(&older.all) {
            if **thing == **old {
                *thing = Rc::clone(old);
            }
        }
    }

    /// Which text refers to which things, by their labels.
    pub(super) fn references(&self) -> BTreeSet<(&str, &str)> {
        let label = |index: &usize| self.all.get(*index).map(|thing| thing.label.as_str());
        self.refers
            .iter()
            .flat_map(|(text, known)| known.iter().filter_map(label).map(|label| (text.as_str(), label)))
            .collect()
    }

    fn environment(&mut self, world: &World, account: &str, protected: bool) {
        let mut value = Map::new();
        value.insert("@id".to_owned(), json!(account));
        value.insert("@environment".to_owned(), json!(account));
        value.insert("@protected".to_owned(), json!(protected));
        self.all.push(Rc::new(Thing {
            kind: "environment".to_owned(),
            label: account.to_owned(),
            environment: account.to_owned(),
            stack: world.stacks.iter().position(|stack| stack.account == account).unwrap_or(0),
            value: Value::Object(value),
            file: super::super::places::STACKS.to_owned(),
            line: 1,
            keys: Vec::new(),
        }));
    }

    fn stack(&mut self, ground: &Ground<'_>, number: usize, stack: &Stack) {
        let names = Names::new(stack, ground.types);
        let unlike = Unlike { names: &names, stack, made: RefCell::default(), owners: RefCell::default() };
        for (id, resource) in &stack.resources {
            unlike.text(id, None);
            if let Some(kind) = ground.types.get(&resource.kind) {
                for attribute in kind.att.keys() {
                    unlike.text(id, Some(attribute));
                }
            } else {
                unlike.text(id, Some("Arn"));
            }
        }
        let scope = stack.scope(&unlike);
        let mut whole = facts(ground, stack, &stack.account);
        whole.insert("@id".to_owned(), json!(stack.of));
        whole.insert("@name".to_owned(), json!(stack.name()));
        let parameters: Map<String, Value> =
            stack.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        whole.insert("@parameters".to_owned(), Value::Object(parameters));
        let mut outputs = Map::new();
        for (name, output) in stack.plain.get("Outputs").and_then(Value::as_object).into_iter().flatten() {
            let holds = output.get("Condition").and_then(Value::as_str);
            if holds.is_some_and(|condition| !scope.condition(condition).unwrap_or(false)) {
                continue;
            }
            let Some(value) = output.get("Value") else { continue };
            match scope.eval(value) {
                Ok(Some(value)) => drop(outputs.insert(name.clone(), value)),
                Ok(None) => {}
                Err(error) => {
                    let node = stack.template.root.at(&["Outputs", name, "Value"]);
                    let line = node.map_or(1, |node| failing_line(&scope, node));
                    self.problems.push(Problem::new(
                        &stack.template.file,
                        line,
                        format!("output {name}: {error}"),
                    ));
                }
            }
        }
        whole.insert("@outputs".to_owned(), Value::Object(outputs));
        let first = self.all.len();
        self.all.push(Rc::new(Thing {
            kind: "stack".to_owned(),
            label: stack.name().to_owned(),
            environment: stack.account.clone(),
            stack: number,
            value: Value::Object(whole),
            file: stack.template.file.clone(),
            line: 1,
            keys: vec!["Outputs".to_owned()],
        }));
        self.refers.entry(stack.name().to_owned()).or_default().push(first);
        let mut by_id = HashMap::new();
        for (id, resource) in &stack.resources {
            by_id.insert(id.clone(), self.all.len());
            let value = self.resource(ground, stack, &scope, id, resource);
            let label = format!("{id} ({}) of {}", resource.kind, stack.name());
            self.all.push(Rc::new(Thing {
                kind: resource.kind.clone(),
                label,
                environment: stack.account.clone(),
                stack: number,
                value,
                file: stack.template.file.clone(),
                line: resource.line,
                keys: vec!["Resources".to_owned(), id.clone(), "Properties".to_owned()],
            }));
            if resource.kind == "AWS::ApiGatewayV2::Api" {
                self.routes(ground, number, stack, resource);
            }
        }
        let made = unlike.made.into_inner();
        for ((id, _), text) in made {
            let Some(index) = by_id.get(&id) else { continue };
            let known = self.refers.entry(text).or_default();
            if !known.contains(index) {
                known.push(*index);
            }
        }
    }

    fn resource(
        &mut self,
        ground: &Ground<'_>,
        stack: &Stack,
        scope: &Scope<'_>,
        id: &str,
        resource: &Resource,
    ) -> Value {
        let mut value = facts(ground, stack, &stack.account);
        value.insert("@id".to_owned(), json!(id));
        value.insert("@type".to_owned(), json!(resource.kind));
        if let Some(name) = scope.resources.resource(id, None) {
            value.insert("@name".to_owned(), name);
        }
        if let Some(arn) = ground
            .types
            .get(&resource.kind)
            .filter(|kind| kind.att.contains_key("Arn"))
            .and_then(|_| scope.resources.resource(id, Some("Arn")))
        {
            value.insert("@arn".to_owned(), arn);
        }
        let definition = stack.plain.get("Resources").and_then(|all| all.get(id));
        for (key, part) in definition.and_then(Value::as_object).into_iter().flatten() {
            let fact = match key.as_str() {
                "DeletionPolicy" | "UpdateReplacePolicy" | "UpdatePolicy" | "DependsOn" => format!("@{key}"),
                _ => continue,
            };
            self.put(stack, scope, resource, &mut value, &fact, part);
        }
        for (key, part) in resource.properties.as_object().into_iter().flatten() {
            if key != "UpdatePolicy" {
                self.put(stack, scope, resource, &mut value, key, part);
            }
        }
        Value::Object(value)
    }

    fn put(
        &mut self,
        stack: &Stack,
        scope: &Scope<'_>,
        resource: &Resource,
        value: &mut Map<String, Value>,
        key: &str,
        part: &Value,
    ) {
        match scope.eval(part) {
            Ok(Some(part)) => {
                value.insert(key.to_owned(), part);
            }
            Ok(None) => {}
            Err(error) => self.problems.push(Problem::new(
                &stack.template.file,
                stack
                    .node(resource)
                    .and_then(|node| node.get(key))
                    .map_or(resource.line, |node| failing_line(scope, node)),
                format!("{} ({}): {key}: {error}", resource.id, resource.kind),
            )),
        }
    }

    /// The routes that an HTTP API's definition has.
    fn routes(&mut self, ground: &Ground<'_>, number: usize, stack: &Stack, resource: &Resource) {
        let Some(api) = self.all.last() else { return };
        let Some(paths) =
            api.value.get("Body").and_then(|body| body.get("paths")).and_then(Value::as_object).cloned()
        else {
            return;
        };
        let name = api.value.get("@name").cloned().unwrap_or_default();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let method = match method.as_str() {
                    "x-amazon-apigateway-any-method" => "ANY".to_owned(),
                    "parameters" => continue,
                    method => method.to_uppercase(),
                };
                let mut value = facts(ground, stack, &stack.account);
                if let Some(operation) = operation.as_object() {
                    value.extend(operation.clone());
                }
                let id = if path.starts_with('$') { path.clone() } else { format!("{method} {path}") };
                value.insert("@id".to_owned(), json!(id));
                value.insert("@method".to_owned(), json!(method));
                value.insert("@path".to_owned(), json!(path));
                value.insert("@api".to_owned(), name.clone());
                self.all.push(Rc::new(Thing {
                    kind: "route".to_owned(),
                    label: format!("route {id} of {}", stack.name()),
                    environment: stack.account.clone(),
                    stack: number,
                    value: Value::Object(value),
                    file: stack.template.file.clone(),
                    line: resource.line,
                    keys: vec!["Resources".to_owned(), resource.id.clone(), "Properties".to_owned()],
                }));
            }
        }
    }

    /// The stages and actions of the pipelines of a stack.
    fn pipelines(&mut self, ground: &Ground<'_>, world: &World, number: usize) {
        let Some(stack) = world.stacks.get(number) else { return };
        let pipelines: Vec<usize> = (0..self.all.len())
            .filter(|index| {
                self.all
                    .get(*index)
                    .is_some_and(|thing| thing.stack == number && thing.kind == "AWS::CodePipeline::Pipeline")
            })
            .collect();
        for index in pipelines {
            let Some(pipeline) = self.all.get(index) else { continue };
            let (line, id) = (pipeline.line, text(&pipeline.value, "@id"));
            let whole = pipeline.value.clone();
            let keys = pipeline.keys.clone();
            self.all.push(Rc::new(Thing {
                kind: "pipeline".to_owned(),
                label: format!("pipeline {}", text(&whole, "@name")),
                environment: stack.account.clone(),
                stack: number,
                value: whole.clone(),
                file: stack.template.file.clone(),
                line,
                keys: keys.clone(),
            }));
            let stages = whole.get("Stages").and_then(Value::as_array).cloned().unwrap_or_default();
            for (at, stage) in stages.iter().enumerate() {
                let name = text(stage, "Name");
                let environment = environment_of(ground, &name).unwrap_or_else(|| stack.account.clone());
                let part = |of: &Value, more: &[(&str, Value)]| {
                    let mut value = facts(ground, stack, &environment);
                    value.extend(of.as_object().cloned().unwrap_or_default());
                    value.insert("@pipeline".to_owned(), whole.get("@name").cloned().unwrap_or_default());
                    value.insert("@stage".to_owned(), json!(name));
                    value.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
                    Value::Object(value)
                };
                let mut stage_keys = keys.clone();
                stage_keys.extend(["Stages".to_owned(), at.to_string()]);
                let thing = |kind: &str, label: String, value: Value, keys: Vec<String>| Thing {
                    kind: kind.to_owned(),
                    label,
                    environment: environment.clone(),
                    stack: number,
                    value,
                    file: stack.template.file.clone(),
                    line: line_at(&stack.template.root, &keys).unwrap_or(line),
                    keys,
                };
                let facts = [("@id", json!(name)), ("@order", json!(at * 1_000))];
                self.all.push(Rc::new(thing(
                    "stage",
                    format!("stage {name} of {id}"),
                    part(stage, &facts),
                    stage_keys.clone(),
                )));
                for (which, action) in
                    stage.get("Actions").and_then(Value::as_array).into_iter().flatten().enumerate()
                {
                    // Source: CodePipeline user guide, "Action declaration": without `runOrder` it is 1.
                    let order =
                        action.get("RunOrder").map_or(1, |order| number_of(order).unwrap_or(1.0) as usize);
                    let action_name = text(action, "Name");
                    let facts = [("@id", json!(action_name)), ("@order", json!(at * 1_000 + order))];
                    let mut keys = stage_keys.clone();
                    keys.extend(["Actions".to_owned(), which.to_string()]);
                    self.all.push(Rc::new(thing(
                        "action",
                        format!("action {name}/{action_name}"),
                        part(action, &facts),
                        keys,
                    )));
                }
            }
        }
    }

    /// The thing that a text refers to exactly, seen from a stack: there first, then in the same environment, then the only one.
    pub(super) fn referred(&self, text: &str, stack: usize, environment: &str) -> Option<usize> {
        let known = self.refers.get(text)?;
        let of = |wanted: &dyn Fn(&Thing) -> bool| {
            known.iter().copied().find(|index| self.all.get(*index).is_some_and(|thing| wanted(thing)))
        };
        of(&|thing| thing.stack == stack)
            .or_else(|| of(&|thing| thing.environment == environment))
            .or_else(|| known.first().copied().filter(|_| known.len() == 1))
    }

    /// The thing of the longest reference that a text holds.
    pub(super) fn held(&self, text: &str, stack: usize, environment: &str) -> Option<usize> {
        let held =
            self.refers.keys().filter(|reference| reference.len() > 3 && text.contains(reference.as_str()));
        let mut held: Vec<&String> = held.collect();
        held.sort_by_key(|reference| (std::cmp::Reverse(reference.len()), (*reference).clone()));
        held.into_iter().find_map(|reference| self.referred(reference, stack, environment))
    }

    /// The line of a part of a thing, or of the nearest part around it that the template has.
    pub(super) fn line(&self, world: &World, index: usize, path: &[String]) -> usize {
        let Some(thing) = self.all.get(index) else { return 1 };
        let Some(stack) = world.stacks.get(thing.stack) else { return thing.line };
        if thing.keys.is_empty() || stack.template.file != thing.file {
            return thing.line;
        }
        let mut keys = thing.keys.clone();
        keys.extend(path.iter().cloned());
        line_at(&stack.template.root, &keys).filter(|line| *line >= thing.line).unwrap_or(thing.line)
    }
}
