//! A stack deployed on paper: its template with parameters filled, loops unrolled, serverless resources expanded.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::Problem;
use super::expand::expand;
use super::names::Names;
use super::types::Types;
use crate::model::template::{self, Node, NodeValue, Pseudo, Scope};

/// A template that was read.
#[derive(Debug)]
pub(crate) struct Template {
    /// Its file, relative to the checkout.
    pub(crate) file: String,
    /// With lines.
    pub(crate) root: Node,
    /// Without lines, for evaluation.
    pub(crate) json: Value,
    /// Its length in bytes.
    pub(crate) bytes: usize,
}

impl Template {
    /// Reads a template of `cfn/`.
    ///
    /// # Errors
    /// It does not parse; with its line.
    pub(crate) fn read(name: &str, text: &str) -> Result<Self, Problem> {
        let file = format!("cfn/{name}");
        match template::parse(text) {
            Ok(root) => Ok(Self { json: root.to_json(), file, root, bytes: text.len() }),
            Err(error) => Err(Problem::new(&file, error.line, error.message)),
        }
    }
}

/// One resource of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Its logical id.
    pub(crate) id: String,
    /// Its type.
    pub(crate) kind: String,
    /// The line it begins on.
    pub(crate) line: usize,
    /// The condition it hangs on.
    pub(crate) condition: Option<String>,
    /// Its properties in long form, not evaluated.
    pub(crate) properties: Value,
    /// What a loop calls its item, where a loop made it.
    pub(crate) item: Option<(String, String)>,
    /// Whether it stands in the template itself, so that its parts have lines.
    pub(crate) written: bool,
}

impl Resource {
    /// A resource that SAM makes.
    pub(crate) fn made(
        id: &str,
        kind: &str,
        line: usize,
        condition: Option<String>,
        properties: Value,
    ) -> Self {
        let (id, kind) = (id.to_owned(), kind.to_owned());
        Self { id, kind, line, condition, properties, item: None, written: false }
    }
}

/// A stack deployed on paper.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Its name in `cfn/stacks.toml`.
    pub(crate) of: String,
    /// The account's name.
    pub(crate) account: String,
    /// The template.
    pub(crate) template: Rc<Template>,
    /// The pseudo parameters: account, region, its name in AWS.
    pub(crate) pseudo: Pseudo,
    /// The parameters' values.
    pub(crate) parameters: BTreeMap<String, Value>,
    /// Every resource that exists there, by logical id.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Its outputs.
    pub(crate) outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Deploys a template on paper. With `everything` a resource exists whatever its condition says.
    #[expect(clippy::too_many_arguments, reason = "what a stack is made of")]
    pub(crate) fn deploy(
        of: &str,
        account: &str,
        template: &Rc<Template>,
        pseudo: Pseudo,
        given: &BTreeMap<String, String>,
        types: &Types,
        everything: bool,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut stack = Self {
            of: of.to_owned(),
            account: account.to_owned(),
            template: Rc::clone(template),
            pseudo,
            parameters: Scope::parameters_of(&template.json, given),
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        let mut complain =
            |line: usize, message: String| problems.push(Problem::new(&template.file, line, message));
        for (name, declared) in template.root.get("Parameters").map(Node::entries).unwrap_or_default() {
            if !stack.parameters.contains_key(&name.name) {
                complain(
                    name.line,
                    format!("parameter {} has no default and cfn/stacks.toml gives no value", name.name),
                );
            }
            let _ = declared;
        }
        let written = stack.written(everything, &mut complain);
        let globals = template.json.get("Globals").cloned().unwrap_or(Value::Null);
        match expand(written, &globals) {
            Ok(all) => {
                stack.resources = all.into_iter().map(|resource| (resource.id.clone(), resource)).collect()
            }
            Err((line, message)) => complain(line, message),
        }
        stack.outputs = stack.evaluate_outputs(types, &mut complain);
        stack
    }

    /// The resources as the template writes them, loops unrolled, those left out whose condition does not hold.
    fn written(&self, everything: bool, complain: &mut dyn FnMut(usize, String)) -> Vec<Resource> {
        let nothing = |_: &str, _: Option<&str>| None;
        let scope = self.scope(&self.parameters, &nothing);
        let mut all = Vec::new();
        for (key, node) in self.template.root.get("Resources").map(Node::entries).unwrap_or_default() {
            if let Some(name) = key.name.strip_prefix("Fn::ForEach::") {
                match unroll(node, &scope) {
                    Ok(mut made) => all.append(&mut made),
                    Err((line, error)) => complain(line, format!("loop {name}: {error}")),
                }
            } else {
                match resource(&key.name, key.line, node) {
                    Some(found) => all.push(found),
                    None => complain(key.line, format!("resource {} has no type", key.name)),
                }
            }
        }
        all.retain(|resource| match &resource.condition {
            Some(condition) if !everything => scope.condition(condition).unwrap_or_else(|error| {
                complain(resource.line, format!("condition of {}: {error}", resource.id));
                false
            }),
            _ => true,
        });
        all
    }

    fn evaluate_outputs(
        &self,
        types: &Types,
        complain: &mut dyn FnMut(usize, String),
    ) -> BTreeMap<String, String> {
        let names = Names::new(self, types);
        let scope = self.scope(&self.parameters, &names);
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
    pub(crate) fn scope<'a>(
        &'a self,
        parameters: &'a BTreeMap<String, Value>,
        resources: &'a dyn template::Resolve,
    ) -> Scope<'a> {
        Scope { template: &self.template.json, parameters, pseudo: &self.pseudo, resources }
    }

    /// The properties of a resource with their lines, where the template writes them.
    pub(crate) fn node(&self, resource: &Resource) -> Option<&Node> {
        let written =
            resource.written.then(|| self.template.root.at(&["Resources", &resource.id, "Properties"]));
        written.flatten()
    }

    /// Its name in AWS.
    pub(crate) fn name(&self) -> &str {
        &self.pseudo.stack_name
    }

    /// The id of its account.
    pub(crate) fn account_id(&self) -> &str {
        &self.pseudo.account_id
    }
}

fn resource(id: &str, line: usize, node: &Node) -> Option<Resource> {
    Some(Resource {
        id: id.to_owned(),
        kind: node.get("Type").and_then(Node::as_str)?.to_owned(),
        line,
        condition: node.get("Condition").and_then(Node::as_str).map(ToOwned::to_owned),
        properties: node.get("Properties").map_or(Value::Null, Node::to_json),
        item: None,
        written: true,
    })
}

/// `Fn::ForEach` over resources. Source: CloudFormation user guide, "Fn::ForEach".
fn unroll(node: &Node, scope: &Scope<'_>) -> Result<Vec<Resource>, (usize, String)> {
    let [identifier, collection, body] = node.items() else {
        return Err((node.line, "it wants an identifier, a collection and a body".to_owned()));
    };
    let identifier = identifier.as_str().ok_or((node.line, "the identifier must be text".to_owned()))?;
    let items = scope.eval(&collection.to_json()).map_err(|error| (collection.line, error.to_string()))?;
    let items = items.and_then(|items| items.as_array().cloned());
    let items = items.ok_or((collection.line, "the collection must be a list".to_owned()))?;
    let mut all = Vec::new();
    for item in items {
        let item = template::text_of(&item);
        for (key, node) in body.entries() {
            // `&{X}` drops what is neither letter nor digit, `${X}` leaves the item as it is.
            let plain: String = item.chars().filter(char::is_ascii_alphanumeric).collect();
            let id = key.name.replace(&format!("&{{{identifier}}}"), &plain);
            let id = id.replace(&format!("${{{identifier}}}"), &item);
            let found = resource(&id, key.line, node).ok_or((key.line, format!("{id} has no type")))?;
            let item = Some((identifier.to_owned(), item.clone()));
            all.push(Resource { item, written: false, ..found });
        }
    }
    Ok(all)
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
