//! What publishes a version of a function in one environment: its package, its own properties as that environment has them,
//! and what replaces a resource that they refer to.
//!
//! SAM publishes a version when the code's place changes, or a value that is written out in the template. A setting that comes
//! from a parameter, a condition or another resource changes the function and leaves the alias at the old version: the release is
//! green and without effect. So `package` writes a digest of all of it into a parameter of each function, and SAM takes that
//! for the version's identity ("AutoPublishCodeSha256" in "AWS::Serverless::Function") and puts it into the function's
//! description, so that function and version change together.

mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::template::{EvalError, Pseudo, Scope, single, text_of};
pub use write::{Released, edits, released};

/// Properties of a function that are no part of its versions.
///
/// Source: "Manage Lambda function versions" in the Lambda guide, and the API's calls: each of these has one of its own that takes no
/// version.
const NOT_OF_A_VERSION: [&str; 5] = [
    "Tags",
    "ReservedConcurrentExecutions",
    "RecursiveLoop",
    "CodeSigningConfigArn",
    "FunctionScalingConfig",
];

/// A description may have 256 characters ("CreateFunction" in Lambda's API reference); SAM adds a space and the digest.
const MAX_DESCRIPTION: usize = 256 - 65;

/// Functions of the language that can be evaluated here, given what they refer to.
const EVALUATED: [&str; 9] = [
    "Ref",
    "Fn::GetAtt",
    "Fn::Sub",
    "Fn::Join",
    "Fn::Split",
    "Fn::Select",
    "Fn::FindInMap",
    "Fn::Base64",
    "Fn::ToJsonString",
];

/// Functions whose arguments name values without a call: variables in a text, entries of a mapping.
const NAMING: [&str; 2] = ["Fn::Sub", "Fn::FindInMap"];

/// Stands before what is no text of the template, so that no text can be taken for it.
const MARK: char = '\u{1}';

/// The properties whose change replaces a resource, by its type.
static CREATE_ONLY: LazyLock<BTreeMap<String, Vec<String>>> =
    LazyLock::new(|| toml::from_str(include_str!("../../../../data/create-only.toml")).unwrap_or_default());

/// A template as one environment has it.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// What AWS's transforms make of the packaged template, without the parameters of [`Released`].
    pub plain: &'a Value,
    /// The values that parameters are given there.
    pub parameters: &'a BTreeMap<String, String>,
    /// Account, region and stack.
    pub pseudo: &'a Pseudo,
    /// The digests of the packages of functions, by logical id.
    pub packages: &'a BTreeMap<String, String>,
}

/// What publishes a version of a function in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The digest: another one is another version.
    pub value: String,
    /// What only AWS can resolve: a change of it publishes nothing by itself.
    pub unresolved: Vec<String>,
}

impl Environment<'_> {
    /// What publishes a version of a function.
    ///
    /// # Errors
    /// The template has no such function, or something in it refers to what the template does not have.
    pub fn release(&self, function: &str) -> Result<Release, String> {
        let walk = Walk::new(self);
        let own = walk.function(function)?;
        let described = own.pointer("/properties/Description").map(text_of).unwrap_or_default();
        if described.chars().count() > MAX_DESCRIPTION {
            return Err(format!(
                "the Description of {function} has {} characters; {MAX_DESCRIPTION} are the most, since SAM adds what publishes a version",
                described.chars().count()
            ));
        }
        let mut seen = BTreeSet::from([function.to_owned()]);
        let mut refers = Map::new();
        let mut next: VecDeque<String> = walk.take_named().into();
        while let Some(id) = next.pop_front() {
            if seen.insert(id.clone()) {
                refers.insert(walk.stable(&id).to_owned(), walk.identity(&id)?);
                next.extend(walk.take_named());
            }
        }
        let all = canonical(&json!({"function": own, "refers": refers}));
        let value = hex::encode(Sha256::digest(all));
        Ok(Release { value, unresolved: walk.unresolved.into_inner().into_iter().collect() })
    }
}

/// Evaluates parts of a template, and takes down what they refer to.
struct Walk<'a> {
    environment: &'a Environment<'a>,
    /// Values of parameters that are known here.
    parameters: BTreeMap<String, Value>,
    /// Parameters that are not, with what is known of them.
    unknown: BTreeMap<String, String>,
    /// Resources that were referred to.
    named: RefCell<BTreeSet<String>>,
    unresolved: RefCell<BTreeSet<String>>,
}

impl<'a> Walk<'a> {
    fn new(environment: &'a Environment<'a>) -> Self {
        let mut parameters = Scope::parameters_of(environment.plain, environment.parameters);
        let mut unknown = BTreeMap::new();
        let declared = environment.plain.get("Parameters").and_then(Value::as_object);
        for (name, declaration) in declared.into_iter().flatten() {
            let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or_default();
            if kind.starts_with("AWS::SSM::Parameter::Value<") {
                let value = parameters.remove(name).unwrap_or_default();
                unknown.insert(name.clone(), format!("the SSM parameter {}", text_of(&value)));
            } else if !parameters.contains_key(name) {
                unknown.insert(name.clone(), "a value that is not known here".to_owned());
            }
        }
        Self { environment, parameters, unknown, named: RefCell::default(), unresolved: RefCell::default() }
    }

    fn take_named(&self) -> Vec<String> {
        self.named.take().into_iter().collect()
    }

    fn resource(&self, id: &str) -> Option<&'a Value> {
        self.environment.plain.get("Resources")?.get(id)
    }

    /// A resource's logical id. That of a version without what SAM ends it in, a digest of where the package lies.
    fn stable<'i>(&self, id: &'i str) -> &'i str {
        let kind = self.resource(id).and_then(|resource| resource.get("Type")).and_then(Value::as_str);
        if kind == Some("AWS::Lambda::Version") {
            return id.trim_end_matches(|c: char| c.is_ascii_hexdigit());
        }
        id
    }

    /// A function: its package and its properties.
    fn function(&self, id: &str) -> Result<Value, String> {
        let resource = self.resource(id).ok_or_else(|| format!("the expanded template has no {id}"))?;
        let package = self.environment.packages.get(id);
        let mut properties = Map::new();
        for (name, value) in resource.get("Properties").and_then(Value::as_object).into_iter().flatten() {
            // Where a package lies is no part of what it is.
            let apart = NOT_OF_A_VERSION.contains(&name.as_str()) || (name == "Code" && package.is_some());
            if !apart && let Some(value) = self.value(value, &format!("{id}.{name}"))? {
                properties.insert(name.clone(), value);
            }
        }
        Ok(json!({"package": package, "properties": properties}))
    }

    /// What would make another resource of one that is referred to.
    fn identity(&self, id: &str) -> Result<Value, String> {
        let Some(resource) = self.resource(id) else { return Ok(Value::Null) };
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        if kind == "AWS::Lambda::Version" {
            // SAM makes a new one with each release of its function.
            let of = properties.get("FunctionName").map(|name| self.value(name, id)).transpose()?.flatten();
            let named: Vec<String> = self.take_named();
            let functions: Result<Vec<Value>, String> = named.iter().map(|id| self.function(id)).collect();
            return Ok(json!({"type": kind, "of": of, "functions": functions?}));
        }
        let mut found = Map::new();
        match CREATE_ONLY.get(kind) {
            Some(pointers) => {
                for pointer in pointers {
                    if let Some(value) = properties.pointer(&format!("/{pointer}"))
                        && let Some(value) = self.value(value, &format!("{id}.{pointer}"))?
                    {
                        found.insert(pointer.clone(), value);
                    }
                }
            }
            // Of a type that is not known, any change may make another one.
            None => {
                if let Some(value) = self.value(properties, id)? {
                    found.insert("*".to_owned(), value);
                }
            }
        }
        Ok(json!({"type": kind, "properties": found}))
    }

    /// A value as far as it is known before AWS has it; `None` where it is `AWS::NoValue`. `at` is the property.
    fn value(&self, value: &Value, at: &str) -> Result<Option<Value>, String> {
        match value {
            Value::Array(items) => {
                let items: Result<Vec<Option<Value>>, String> =
                    items.iter().map(|item| self.value(item, at)).collect();
                Ok(Some(items?.into_iter().flatten().collect()))
            }
            Value::Object(map) => match call(map) {
                Some(("Fn::If", argument)) => self.choice(argument, at),
                Some((name, argument)) => self.call(value, (name, argument), at),
                None => {
                    let mut out = Map::new();
                    for (key, item) in map {
                        if let Some(item) = self.value(item, at)? {
                            out.insert(key.clone(), item);
                        }
                    }
                    Ok(Some(Value::Object(out)))
                }
            },
            scalar => {
                self.note_dynamic(scalar, at);
                Ok(Some(scalar.clone()))
            }
        }
    }

    fn choice(&self, argument: &Value, at: &str) -> Result<Option<Value>, String> {
        let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let [Value::String(condition), yes, no] = parts else {
            return Err(format!("{at}: `Fn::If` has arguments of the wrong shape"));
        };
        let holds = self.scoped(at, |scope| scope.condition(condition));
        let holds = holds.map_err(|error| format!("{at}: condition {condition}: {error}"))?;
        self.value(if holds { yes } else { no }, at)
    }

    fn call(
        &self,
        value: &Value,
        (name, argument): (&str, &Value),
        at: &str,
    ) -> Result<Option<Value>, String> {
        if EVALUATED.contains(&name) && !has_other_calls(argument) {
            match self.scoped(at, |scope| scope.eval(value)) {
                Ok(found) => {
                    found.iter().for_each(|found| self.note_dynamic(found, at));
                    return Ok(found);
                }
                // A part of what only AWS knows.
                Err(EvalError::Shape(_)) => {}
                Err(error) => return Err(format!("{at}: {error}")),
            }
        } else if !EVALUATED.contains(&name) {
            self.note(at, name);
        }
        let argument = self.value(argument, at)?.unwrap_or(Value::Null);
        if NAMING.contains(&name) {
            // What could not be evaluated is text in the argument by now, so the rest of it counts as it does elsewhere.
            match self.scoped(at, |scope| scope.eval(&json!({name: argument}))) {
                Ok(found) => {
                    found.iter().for_each(|found| self.note_dynamic(found, at));
                    return Ok(found);
                }
                // No mapping has a key that only AWS knows.
                Err(_) if is_marked(&argument) => {}
                Err(EvalError::Shape(_)) => {}
                Err(error) => return Err(format!("{at}: {error}")),
            }
        }
        Ok(Some(Value::String(format!("{MARK}{name} {}", canonical(&argument)))))
    }

    /// Evaluates something, taking down what it refers to.
    fn scoped<T>(
        &self,
        at: &str,
        ask: impl FnOnce(&Scope<'_>) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let resolve = |name: &str, attribute: Option<&str>| {
            if let Some(what) = self.unknown.get(name) {
                self.note(at, &format!("parameter {name}, {what}"));
                return Some(Value::String(format!("{MARK}{name} {what}")));
            }
            self.resource(name)?;
            self.named.borrow_mut().insert(name.to_owned());
            Some(Value::String(format!("{MARK}{}.{}", self.stable(name), attribute.unwrap_or("Ref"))))
        };
        ask(&Scope {
            template: self.environment.plain,
            parameters: &self.parameters,
            pseudo: self.environment.pseudo,
            resources: &resolve,
        })
    }

    fn note(&self, at: &str, what: &str) {
        self.unresolved.borrow_mut().insert(format!("{at}: {what}"));
    }

    /// Takes down dynamic references ("Get values stored in other services using dynamic references").
    fn note_dynamic(&self, value: &Value, at: &str) {
        match value {
            Value::String(text) => {
                let references = text.split("{{resolve:").skip(1);
                references
                    .filter_map(|rest| rest.split_once("}}"))
                    .for_each(|(inner, _)| self.note(at, &format!("{{{{resolve:{inner}}}}}")));
            }
            Value::Array(items) => items.iter().for_each(|item| self.note_dynamic(item, at)),
            Value::Object(map) => map.values().for_each(|item| self.note_dynamic(item, at)),
            _ => {}
        }
    }
}

/// The function of the language that a mapping is a call of.
fn call(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    single(map).filter(|(name, _)| *name == "Ref" || name.starts_with("Fn::"))
}

/// Whether a value has a call that cannot be evaluated here, or one that is evaluated in parts.
fn has_other_calls(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_other_calls),
        Value::Object(map) => match call(map) {
            Some((name, argument)) => !EVALUATED.contains(&name) || has_other_calls(argument),
            None => map.values().any(has_other_calls),
        },
        _ => false,
    }
}

/// Whether something in a value stands for what only AWS knows.
fn is_marked(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(MARK),
        Value::Array(items) => items.iter().any(is_marked),
        Value::Object(map) => map.values().any(is_marked),
        _ => false,
    }
}

/// A value as text that is the same for equal meaning: keys sorted, scalars as CloudFormation writes them into a text.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let entries: Vec<String> =
                sorted.iter().map(|(key, item)| format!("{}:{}", json!(key), canonical(item))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null => "null".to_owned(),
        scalar => json!(text_of(scalar)).to_string(),
    }
}
