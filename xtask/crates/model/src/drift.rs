//! Who may do what in an account, compared with what a stack's template says: roles with their trust, boundary and policies,
//! and the policies of keys and buckets. CloudFormation compares templates alone, so what somebody changed by hand is no
//! difference for it.
//!
//! Order, the names of statements and the way a list is written are none here either. What only AWS knows of a template (an
//! attribute that no table has) stands for anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::difference::{Rights, UNKNOWN};
use super::template::{Pseudo, Scope};

/// A stack as CloudFormation says that it is.
#[derive(Debug, Clone, Copy)]
pub struct Deployed<'a> {
    /// Its template, in long form, after its transforms.
    pub template: &'a Value,
    /// Its parameters; a secret one is asterisks.
    pub parameters: &'a BTreeMap<String, String>,
    /// Physical id and type by logical id.
    pub resources: &'a BTreeMap<String, (String, String)>,
    /// Where it is.
    pub pseudo: &'a Pseudo,
}

/// What a template wants of one thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A role.
    Role(Role),
    /// A key's policy, by the key's id.
    Key(Value),
    /// A bucket's policy.
    Bucket(Value),
}

/// A role: as a template wants it, or as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Role {
    /// Who may become it.
    pub trust: Value,
    /// The ARN of its permissions boundary.
    pub boundary: Option<String>,
    /// Its own policies by their names.
    pub inline: BTreeMap<String, Value>,
    /// The ARNs of managed policies.
    pub attached: BTreeSet<String>,
}

/// A thing of a stack that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Thing {
    /// Its logical id.
    pub id: String,
    /// Its physical one: a role's name, a key's id, a bucket's name.
    pub physical: String,
    /// What the template wants of it; why that cannot be told.
    pub wanted: Result<Wanted, String>,
}

/// Every role, key and bucket of a stack that has a policy in its template.
#[must_use]
pub fn things(stack: Deployed<'_>) -> Vec<Thing> {
    let mut parameters = Scope::parameters_of(stack.template, stack.parameters);
    for value in parameters.values_mut() {
        if value.as_str().is_some_and(|text| !text.is_empty() && text.chars().all(|one| one == '*')) {
            *value = json!(UNKNOWN);
        }
    }
    let resolve = |id: &str, attribute: Option<&str>| Some(json!(reference(stack, id, attribute)));
    let scope = Scope {
        template: stack.template,
        parameters: &parameters,
        pseudo: stack.pseudo,
        resources: &resolve,
    };
    let all = stack.template.get("Resources").and_then(Value::as_object);
    let there = |id: &str| stack.resources.get(id).filter(|(physical, _)| !physical.is_empty());
    let mut found = Vec::new();
    for (id, definition) in all.into_iter().flatten() {
        let Some((physical, kind)) = there(id) else { continue };
        let whole = |key: &str| -> Result<Value, String> {
            let value = definition.pointer(&format!("/Properties/{key}")).unwrap_or(&Value::Null);
            Ok(scope.eval(value).map_err(|error| error.to_string())?.unwrap_or_default())
        };
        let (physical, wanted) = match kind.as_str() {
            "AWS::IAM::Role" => (physical.clone(), role(stack, &scope, id, &whole).map(Wanted::Role)),
            "AWS::KMS::Key" => (physical.clone(), whole("KeyPolicy").map(Wanted::Key)),
            "AWS::S3::BucketPolicy" => {
                let bucket = whole("Bucket").map(|bucket| text(&bucket));
                (bucket.unwrap_or_default(), whole("PolicyDocument").map(Wanted::Bucket))
            }
            _ => continue,
        };
        found.push(Thing { id: id.clone(), physical, wanted });
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A list of texts, also where it is one text.
fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(all) => all.iter().map(text).collect(),
        Value::String(one) => BTreeSet::from([one.clone()]),
        _ => BTreeSet::new(),
    }
}

fn role(
    stack: Deployed<'_>,
    scope: &Scope<'_>,
    id: &str,
    whole: &dyn Fn(&str) -> Result<Value, String>,
) -> Result<Role, String> {
    let mut role = Role {
        trust: whole("AssumeRolePolicyDocument")?,
        boundary: Some(text(&whole("PermissionsBoundary")?)).filter(|arn| !arn.is_empty()),
        attached: texts(&whole("ManagedPolicyArns")?),
        ..Role::default()
    };
    for policy in whole("Policies")?.as_array().into_iter().flatten() {
        role.inline.insert(text(&policy["PolicyName"]), policy["PolicyDocument"].clone());
    }
    // Policies that stand by themselves and name the role.
    let name = stack.resources.get(id).map(|(physical, _)| physical.as_str()).unwrap_or_default();
    let all = stack.template.get("Resources").and_then(Value::as_object);
    for (other, definition) in all.into_iter().flatten() {
        let Some((physical, kind)) = stack.resources.get(other) else { continue };
        let part = |key: &str| -> Result<Value, String> {
            let value = definition.pointer(&format!("/Properties/{key}")).unwrap_or(&Value::Null);
            Ok(scope.eval(value).map_err(|error| error.to_string())?.unwrap_or_default())
        };
        match kind.as_str() {
            "AWS::IAM::Policy" if texts(&part("Roles")?).contains(name) => {
                role.inline.insert(text(&part("PolicyName")?), part("PolicyDocument")?);
            }
            "AWS::IAM::RolePolicy" if text(&part("RoleName")?) == name => {
                role.inline.insert(text(&part("PolicyName")?), part("PolicyDocument")?);
            }
            "AWS::IAM::ManagedPolicy" if texts(&part("Roles")?).contains(name) => {
                role.attached.insert(physical.clone());
            }
            _ => {}
        }
    }
    Ok(role)
}

/// What a reference to a resource gives ("Return values" of each type in the CloudFormation template reference), as far as a
/// physical id tells it.
fn reference(stack: Deployed<'_>, id: &str, attribute: Option<&str>) -> String {
    let Some((physical, kind)) = stack.resources.get(id) else { return UNKNOWN.to_owned() };
    let Pseudo { account_id, region, partition, .. } = stack.pseudo;
    match (attribute, kind.as_str()) {
        (None, _) => physical.clone(),
        // These are ARNs already.
        (Some("Arn" | "TopicArn"), _) if physical.starts_with("arn:") => physical.clone(),
        (Some("Arn"), "AWS::S3::Bucket") => format!("arn:{partition}:s3:::{physical}"),
        (Some("Arn"), "AWS::KMS::Key") => format!("arn:{partition}:kms:{region}:{account_id}:key/{physical}"),
        (Some("KeyId"), "AWS::KMS::Key") => physical.clone(),
        // A path may stand before its name.
        (Some("Arn"), "AWS::IAM::Role") => {
            format!("arn:{partition}:iam::{account_id}:role/{UNKNOWN}{physical}")
        }
        (Some("Arn"), "AWS::DynamoDB::Table") => {
            format!("arn:{partition}:dynamodb:{region}:{account_id}:table/{physical}")
        }
        (Some("Arn"), "AWS::Lambda::Function") => {
            format!("arn:{partition}:lambda:{region}:{account_id}:function:{physical}")
        }
        _ => UNKNOWN.to_owned(),
    }
}

/// Everything in which a role is not as its template wants it, in words; each begins with what it is of.
#[must_use]
pub fn of_role(name: &str, wanted: &Role, found: &Role) -> Vec<String> {
    let mut all = of_policy("trust", name, &wanted.trust, &found.trust);
    let boundary = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".to_owned());
    let (want, have) = (boundary(&wanted.boundary), boundary(&found.boundary));
    if !is_like(&want, &have) {
        all.push(format!("boundary: it is {have}; the template says {}", shown(&want)));
    }
    let empty = json!({"Statement": []});
    // Whatever its policies are called, together they are what the role may do.
    let joined = |role: &Role| {
        let statements =
            role.inline.values().map(|policy| policy.get("Statement").unwrap_or(&empty["Statement"]));
        let listed = statements.flat_map(|one| match one {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        });
        json!({"Statement": listed.collect::<Vec<_>>()})
    };
    all.extend(of_policy("policy", name, &joined(wanted), &joined(found)));
    let lacks = wanted.attached.iter().filter(|want| !found.attached.iter().any(|have| is_like(want, have)));
    all.extend(lacks.map(|want| format!("policy: {} is not attached any more", shown(want))));
    let more = found.attached.iter().filter(|have| !wanted.attached.iter().any(|want| is_like(want, have)));
    all.extend(more.map(|have| format!("policy: {have} is attached, and is not in the template")));
    all
}

/// Everything in which a policy is not the one of its template, in words.
#[must_use]
pub fn of_policy(what: &str, holds: &str, wanted: &Value, found: &Value) -> Vec<String> {
    let differences = Rights::of(holds, wanted).drift(&Rights::of(holds, found));
    differences.into_iter().map(|sentence| format!("{what}: {sentence}")).collect()
}

fn shown(text: &str) -> String {
    text.replace(UNKNOWN, "…")
}

/// Whether a text is what is wanted, where what nobody knows stands for anything.
pub(crate) fn is_like(wanted: &str, found: &str) -> bool {
    let mut parts = wanted.split(UNKNOWN);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
