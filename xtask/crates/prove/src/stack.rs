//! A stack deployed on paper: its template expanded by AWS's transforms for its actual parameters, and looked at for circles.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::Problem;
use super::names::Names;
use super::world::Ground;
use causeway_model::package;
use causeway_model::template::{
    self, ExpandError, Node, NodeValue, Pseudo, Scope, Unexpanded, circles, circular, expanded, has_transform,
};

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    /// Its file, relative to the checkout.
    pub file: String,
    /// With lines.
    pub root: Node,
    /// Without lines, for evaluation.
    pub json: Value,
    /// Its length in bytes.
    pub bytes: usize,
}

impl Template {
    /// Reads a template of `cfn/`.
    ///
    /// # Errors
    /// It does not parse; with its line.
    pub fn read(name: &str, text: &str) -> Result<Self, Problem> {
        let file = format!("cfn/{name}");
        match template::parse(text) {
            Ok(root) => Ok(Self { json: root.to_json(), file, root, bytes: text.len() }),
            Err(error) => Err(Problem::new(&file, error.line, error.message)),
        }
    }
}

/// One resource of a stack.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its logical id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The line it begins on.
    pub line: usize,
    /// Its properties in long form, not evaluated.
    pub properties: Value,
    /// Whether it stands in the template itself, so that its parts have lines.
    pub written: bool,
}

/// A stack deployed on paper.
#[derive(Debug)]
pub struct Stack {
    /// Its name in `cfn/stacks.toml`.
    pub of: String,
    /// The account's name.
    pub account: String,
    /// The template.
    pub template: Rc<Template>,
    /// The plain template that AWS's transforms make of it.
    pub plain: Value,
    /// The pseudo parameters: account, region, its name in AWS.
    pub pseudo: Pseudo,
    /// The parameters' values.
    pub parameters: BTreeMap<String, Value>,
    /// Every resource that exists there, by logical id.
    pub resources: BTreeMap<String, Resource>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Deploys a template on paper. With `everything` a resource exists whatever its condition says.
    #[expect(clippy::too_many_arguments, reason = "what a stack is made of")]
    pub fn deploy(
        of: &str,
        account: &str,
        template: &Rc<Template>,
        pseudo: Pseudo,
        given: &BTreeMap<String, String>,
        ground: &Ground<'_>,
        everything: bool,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut complain =
            |line: usize, message: String| problems.push(Problem::new(&template.file, line, message));
        let parameters = Scope::parameters_of(&template.json, given);
        for (name, _) in template.root.get("Parameters").map(Node::entries).unwrap_or_default() {
            if !parameters.contains_key(&name.name) {
                complain(
                    name.line,
                    format!("parameter {} has no default and cfn/stacks.toml gives no value", name.name),
                );
            }
        }
        let plain = plain(template, given, &pseudo, ground, everything).unwrap_or_else(|error| {
            complain(line_of(&error, &template.root), error.to_string());
            // What is written is looked at all the same.
            template.json.clone()
        });
        let mut stack = Self {
            of: of.to_owned(),
            account: account.to_owned(),
            template: Rc::clone(template),
            plain,
            pseudo,
            parameters,
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        stack.resources = stack.found(everything, &mut complain);
        if !everything {
            stack.look_for_circles(&mut complain);
        }
        stack.outputs = stack.evaluate_outputs(ground, &mut complain);
        stack
    }

    /// The resources of the plain template, those left out whose condition does not hold.
    fn found(&self, everything: bool, complain: &mut dyn FnMut(usize, String)) -> BTreeMap<String, Resource> {
        let nothing = |_: &str, _: Option<&str>| None;
        let scope = self.scope(&nothing);
        let mut all = BTreeMap::new();
        for (id, definition) in self.plain.get("Resources").and_then(Value::as_object).into_iter().flatten() {
            let (line, source) = source(&self.template.root, id);
            let Some(kind) = definition.get("Type").and_then(Value::as_str) else {
                complain(line, format!("resource {id} has no type"));
                continue;
            };
            let condition = definition.get("Condition").and_then(Value::as_str);
            let exists = match condition {
                Some(condition) if !everything => scope.condition(condition).unwrap_or_else(|error| {
                    complain(line, format!("condition of {id}: {error}"));
                    false
                }),
                _ => true,
            };
            if !exists {
                continue;
            }
            let mut properties = definition.get("Properties").cloned().unwrap_or(Value::Null);
            if let (Some(policy), Some(properties)) =
                (definition.get("UpdatePolicy"), properties.as_object_mut())
            {
                properties.insert("UpdatePolicy".to_owned(), policy.clone());
            }
            let resource = Resource {
                id: id.clone(),
                kind: kind.to_owned(),
                line,
                properties,
                written: source.is_some_and(|source| source.get("Type").and_then(Node::as_str) == Some(kind)),
            };
            all.insert(id.clone(), resource);
        }
        all
    }

    /// Finds its resources anew after its plain template was changed, and looks for circles.
    pub(super) fn again(&mut self, complain: &mut dyn FnMut(usize, String)) {
        self.resources = self.found(false, complain);
        self.look_for_circles(complain);
    }

    fn look_for_circles(&self, complain: &mut dyn FnMut(usize, String)) {
        let nothing = |_: &str, _: Option<&str>| None;
        let scope = self.scope(&nothing);
        for circle in circles(&self.plain, &|name| scope.condition(name).ok()) {
            let lines = circle.iter().filter_map(|id| self.resources.get(id)).map(|resource| resource.line);
            let line = lines.min().unwrap_or(1);
            let message = format!(
                "{}: CloudFormation refuses that; take out one of the references (those of an UpdatePolicy count)",
                circular(&circle)
            );
            complain(line, message);
        }
    }

    fn evaluate_outputs(
        &self,
        ground: &Ground<'_>,
        complain: &mut dyn FnMut(usize, String),
    ) -> BTreeMap<String, String> {
        let names = Names::new(self, ground.types);
        let scope = self.scope(&names);
        let mut outputs = BTreeMap::new();
        for (key, node) in self.template.root.get("Outputs").map(Node::entries).unwrap_or_default() {
            let condition = node.get("Condition").and_then(Node::as_str);
            if condition.is_some_and(|condition| !scope.condition(condition).unwrap_or(false)) {
                continue;
            }
            let Some(value) = node.get("Value") else { continue };
            match scope.text(&value.to_json()) {
                Ok(text) => {
                    outputs.insert(key.name.clone(), text);
                }
                Err(error) => complain(failing_line(&scope, value), format!("output {}: {error}", key.name)),
            }
        }
        outputs
    }

    /// What values of this stack are evaluated with.
    pub fn scope<'a>(&'a self, resources: &'a dyn template::Resolve) -> Scope<'a> {
        Scope { template: &self.plain, parameters: &self.parameters, pseudo: &self.pseudo, resources }
    }

    /// The properties of a resource with their lines, where the template writes them.
    pub fn node(&self, resource: &Resource) -> Option<&Node> {
        let written =
            resource.written.then(|| self.template.root.at(&["Resources", &resource.id, "Properties"]));
        written.flatten()
    }

    /// Its name in AWS.
    pub fn name(&self) -> &str {
        &self.pseudo.stack_name
    }

    /// The id of its account.
    pub fn account_id(&self) -> &str {
        &self.pseudo.account_id
    }
}

/// The plain template: what AWS's transforms make of it, code that is not packaged yet led into a bucket. With `everything`
/// nothing hangs on a condition, since a transform may leave out of a resource what only its condition would fill.
fn plain(
    template: &Template,
    given: &BTreeMap<String, String>,
    pseudo: &Pseudo,
    ground: &Ground<'_>,
    everything: bool,
) -> Result<Value, ExpandError> {
    if !has_transform(&template.json) {
        return Ok(template.json.clone());
    }
    let mut json = template.json.clone();
    package::lead_into_bucket(&mut json);
    if everything {
        for section in ["Resources", "Outputs"] {
            json.get_mut(section).into_iter().for_each(unconditional);
        }
    }
    let read = |location: &str| match ground.files.get(location.trim_start_matches("./")) {
        Some(text) => Ok(text.clone()),
        None => Err("cfn/ has no such file, and nothing is fetched here".to_owned()),
    };
    expanded(ground.expand, &read, Unexpanded { template: &json, parameters: given, pseudo })
}

/// Takes the condition off every definition of a section, also off those that a loop makes.
fn unconditional(section: &mut Value) {
    for (name, definition) in section.as_object_mut().into_iter().flatten() {
        if name.starts_with("Fn::ForEach::") {
            definition.get_mut(2).into_iter().for_each(unconditional);
        } else if let Some(definition) = definition.as_object_mut() {
            definition.shift_remove("Condition");
        }
    }
}

/// Where a resource of the plain template comes from: the line, and what is written there under the same id.
fn source<'n>(root: &'n Node, id: &str) -> (usize, Option<&'n Node>) {
    let all = root.get("Resources").map(Node::entries).unwrap_or_default();
    if let Some((key, node)) = all.iter().find(|(key, _)| key.name == id) {
        return (key.line, Some(node));
    }
    // What SAM makes begins with the id of what it is made of, what a loop makes with the beginning of a key of its body.
    let mut best = (0, 1);
    for (key, node) in all {
        let body = key.name.starts_with("Fn::ForEach::").then(|| node.items().get(2)).flatten();
        let bodies = body.map(Node::entries).unwrap_or_default();
        let names = bodies.iter().map(|(key, _)| (key.name.as_str(), key.line));
        for (name, line) in names.chain([(key.name.as_str(), key.line)]) {
            let fixed = name.split(['$', '&']).next().unwrap_or_default();
            if !fixed.is_empty() && id.starts_with(fixed) && fixed.len() > best.0 {
                best = (fixed.len(), line);
            }
        }
    }
    (best.1, None)
}

/// The line of what a transform refused: the resource that it names, else the transform.
fn line_of(error: &ExpandError, root: &Node) -> usize {
    let resource = error.logical_id().map(|id| source(root, id).0).filter(|line| *line > 1);
    let transform = root.entries().iter().find(|(key, _)| key.name == "Transform").map(|(key, _)| key.line);
    resource.or(transform).unwrap_or(1)
}

/// A node with `Fn::If` around it decided; `None` where it is `AWS::NoValue`.
///
/// # Errors
/// A condition that cannot be evaluated, with its line.
pub(crate) fn peel<'n>(scope: &Scope<'_>, node: &'n Node) -> Result<Option<&'n Node>, (usize, String)> {
    match node.entries() {
        [(key, argument)] if key.name == "Fn::If" => {
            let [condition, yes, no] = argument.items() else {
                return Err((node.line, "`Fn::If` has arguments of the wrong shape".to_owned()));
            };
            let holds = scope.condition(condition.as_str().unwrap_or_default());
            let holds = holds.map_err(|error| (condition.line, error.to_string()))?;
            peel(scope, if holds { yes } else { no })
        }
        [(key, argument)] if key.name == "Ref" && argument.as_str() == Some("AWS::NoValue") => Ok(None),
        _ => Ok(Some(node)),
    }
}

/// The line of the innermost part that cannot be evaluated.
pub(crate) fn failing_line(scope: &Scope<'_>, node: &Node) -> usize {
    let children: Vec<&Node> = match &node.value {
        NodeValue::Map(entries) => entries.iter().map(|(_, child)| child).collect(),
        NodeValue::Seq(items) => items.iter().collect(),
        _ => return node.line,
    };
    let failing = children.into_iter().find(|child| scope.eval(&child.to_json()).is_err());
    failing.map_or(node.line, |child| failing_line(scope, child))
}
