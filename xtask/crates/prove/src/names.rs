//! What `Ref` and `Fn::GetAtt` give in a stack deployed on paper: the names that CloudFormation would make.
//!
//! Source: CloudFormation user guide, "Name type", and "Return values" of each resource type.

use std::cell::Cell;

use serde_json::Value;

use super::stack::{Resource, Stack};
use super::types::{Generated, Types};
use causeway_model::template::{Pseudo, Resolve, Scope, text_of};

/// The random end of every made name; [`generalized`] finds it again.
pub const RANDOM: &str = "1A2B3C4D5E6F";
const RANDOM_LOWER: &str = "1a2b3c4d5e6f";
const RANDOM_ID: &str = "a1b2c3d4e5";
const RANDOM_UUID: &str = "1a2b3c4d-5e6f-4a1b-8c2d-1a2b3c4d5e6f";

/// An ARN with every made part as a wildcard.
pub fn generalized(arn: &str) -> String {
    [RANDOM_UUID, RANDOM, RANDOM_LOWER, RANDOM_ID]
        .iter()
        .fold(arn.to_owned(), |arn, made| arn.replace(made, "*"))
}

/// A reference that leads deeper than this leads in a circle.
const MAX_DEPTH: u32 = 24;

/// The names of one stack's resources.
pub struct Names<'a> {
    stack: &'a Stack,
    types: &'a Types,
    depth: Cell<u32>,
}

impl<'a> Names<'a> {
    /// The names of a stack.
    pub fn new(stack: &'a Stack, types: &'a Types) -> Self {
        Self { stack, types, depth: Cell::new(0) }
    }

    /// A value of a resource's properties, evaluated; `None` where it is absent or nothing.
    ///
    /// # Errors
    /// Something in it is not known.
    pub fn property(&self, resource: &Resource, path: &str) -> Result<Option<Value>, String> {
        let mut at = &resource.properties;
        let mut whole = true;
        for key in path.split('.') {
            match at.get(key) {
                Some(next) => at = next,
                None => {
                    whole = false;
                    break;
                }
            }
        }
        if !whole {
            return Ok(None);
        }
        self.eval(at)
    }

    /// A value of a resource, evaluated.
    ///
    /// # Errors
    /// Something in it is not known.
    pub fn eval(&self, value: &Value) -> Result<Option<Value>, String> {
        let scope: Scope<'_> = self.stack.scope(self);
        scope.eval(value).map_err(|error| error.to_string())
    }

    /// The physical name: the one that the template gives, else a made one.
    ///
    /// # Errors
    /// The type or the name is not known.
    pub fn name(&self, resource: &Resource) -> Result<String, String> {
        let kind = self.types.get(&resource.kind).ok_or_else(|| unknown_type(&resource.kind))?;
        if let Some(property) = &kind.name
            && let Some(value) = self.property(resource, property)?
        {
            return Ok(text_of(&value));
        }
        let plain = format!("{}-{}-{RANDOM}", self.stack.name(), resource.id);
        Ok(match kind.generated {
            Generated::Plain | Generated::Arn => plain,
            Generated::Lower => plain.to_ascii_lowercase(),
            Generated::Id => RANDOM_ID.to_owned(),
            Generated::Uuid => RANDOM_UUID.to_owned(),
        })
    }

    /// What `Ref` (`attribute` is `None`) or `Fn::GetAtt` of a resource gives.
    ///
    /// # Errors
    /// The type, the attribute or a part of it is not known.
    pub fn reference(&self, resource: &Resource, attribute: Option<&str>) -> Result<String, String> {
        let kind = self.types.get(&resource.kind).ok_or_else(|| unknown_type(&resource.kind))?;
        let pattern = match attribute {
            None => &kind.reference,
            Some(name) => kind
                .att
                .get(name)
                .ok_or_else(|| format!("{} has no attribute `{name}` that we know", resource.kind))?,
        };
        self.fill(resource, pattern)?.pop().ok_or_else(|| format!("`{pattern}` of {} is empty", resource.id))
    }

    /// A pattern of `resource-types.toml` with its placeholders filled: one text, or one for each item of a list.
    ///
    /// # Errors
    /// A placeholder that the resource has no value for.
    pub fn fill(&self, resource: &Resource, pattern: &str) -> Result<Vec<String>, String> {
        let mut all = vec![String::new()];
        let mut rest = pattern;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| format!("`{pattern}` does not close"))? + open;
            let values = self.placeholder(resource, &rest[open + 1..close])?;
            let before = &rest[..open];
            all = all
                .iter()
                .flat_map(|head| values.iter().map(move |value| format!("{head}{before}{value}")))
                .collect();
            rest = &rest[close + 1..];
        }
        all.iter_mut().for_each(|text| text.push_str(rest));
        Ok(all)
    }

    fn placeholder(&self, resource: &Resource, name: &str) -> Result<Vec<String>, String> {
        let pseudo = &self.stack.pseudo;
        let one = |text: &str| Ok(vec![text.to_owned()]);
        match name {
            "partition" => one(&pseudo.partition),
            "region" => one(&pseudo.region),
            "account" => one(&pseudo.account_id),
            "suffix" => one(pseudo.url_suffix()),
            "name" => Ok(vec![self.name(resource)?]),
            "ref" => Ok(vec![self.reference(resource, None)?]),
            "arn" => Ok(vec![self.reference(resource, Some("Arn"))?]),
            "path" => Ok(vec![
                self.property(resource, "Path")?.map_or_else(|| "/".to_owned(), |path| text_of(&path)),
            ]),
            "function" => Ok(vec![self.function(resource)?]),
            "queues" => self.queues(resource),
            _ => self.property_values(resource, name),
        }
    }

    /// The ARN that a resource's `FunctionName` leads to: it may hold a name, or the ARN of a function, version or alias.
    ///
    /// Source: AWS Lambda API reference, "AddPermission", `FunctionName`.
    fn function(&self, resource: &Resource) -> Result<String, String> {
        let given = self.property(resource, "FunctionName")?.map(|value| text_of(&value));
        let name = given.ok_or_else(|| format!("{} names no function", resource.id))?;
        if name.starts_with("arn:") {
            return Ok(name);
        }
        let Pseudo { partition, region, account_id, .. } = &self.stack.pseudo;
        Ok(format!("arn:{partition}:lambda:{region}:{account_id}:function:{name}"))
    }

    /// The ARNs of the queues whose URLs a policy names. Source: Amazon SQS developer guide, "Queue and message identifiers".
    fn queues(&self, resource: &Resource) -> Result<Vec<String>, String> {
        let Pseudo { partition, region, .. } = &self.stack.pseudo;
        let urls = self.property_values(resource, "Queues")?;
        let arn = |url: &String| {
            let mut parts = url.rsplit('/');
            match (parts.next(), parts.next()) {
                (Some(name), Some(account)) if url.starts_with("https://") => {
                    Ok(format!("arn:{partition}:sqs:{region}:{account}:{name}"))
                }
                _ => Err(format!("`{url}` is no URL of a queue")),
            }
        };
        urls.iter().map(arn).collect()
    }

    fn property_values(&self, resource: &Resource, name: &str) -> Result<Vec<String>, String> {
        let missing = || format!("{} has no property `{name}`", resource.id);
        if let Some(deep) = name.strip_prefix("..") {
            let found = find(&resource.properties, deep).ok_or_else(missing)?;
            let value = self.eval(found)?.ok_or_else(missing)?;
            return Ok(texts(&value));
        }
        if let Some((property, attribute)) = name.split_once('>') {
            let wanted =
                self.property(resource, property)?.map(|value| text_of(&value)).ok_or_else(missing)?;
            let target = self.stack.resources.values().find(|other| {
                self.types.contains_key(&other.kind)
                    && self.reference(other, None).is_ok_and(|text| text == wanted)
            });
            let target = target.ok_or_else(|| format!("no resource of the stack is {wanted}"))?;
            return Ok(vec![self.reference(target, Some(attribute))?]);
        }
        Ok(texts(&self.property(resource, name)?.ok_or_else(missing)?))
    }
}

impl Resolve for Names<'_> {
    fn resource(&self, logical_id: &str, attribute: Option<&str>) -> Option<Value> {
        if self.depth.get() >= MAX_DEPTH {
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        let found = self.lookup(logical_id, attribute);
        self.depth.set(self.depth.get() - 1);
        found.map(Value::from)
    }
}

impl Names<'_> {
    fn lookup(&self, id: &str, attribute: Option<&str>) -> Option<String> {
        let resources = &self.stack.resources;
        if let Some(resource) = resources.get(id)
            && let Ok(text) = self.reference(resource, attribute)
        {
            return Some(text);
        }
        // SAM: "Referencing generated resources" by `Function.Version` and `Function.Alias`.
        let path = match attribute {
            Some(attribute) => format!("{id}.{attribute}"),
            None => id.to_owned(),
        };
        let mut parts = path.splitn(3, '.');
        let (function, made, attribute) = (parts.next()?, parts.next()?, parts.next());
        let prefix = match made {
            "Version" => format!("{function}Version"),
            "Alias" => format!("{function}Alias"),
            _ => return None,
        };
        let (_, resource) = resources.iter().find(|(id, resource)| {
            id.starts_with(&prefix) && !resource.written && resource.kind == format!("AWS::Lambda::{made}")
        })?;
        self.reference(resource, attribute).ok()
    }
}

/// The complaint about a type without an entry.
pub fn unknown_type(kind: &str) -> String {
    format!(
        "CloudFormation has no type {kind} that AWS's schemas describe, and xtask/data/resource-types.toml has no entry for it, so nobody knows what its handlers need"
    )
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        one => vec![text_of(one)],
    }
}

/// The first value under a key at any depth.
fn find<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|value| find(value, key))),
        Value::Array(items) => items.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}
