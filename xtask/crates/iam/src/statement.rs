//! One statement of a policy: read strictly, matched by `iam-rs`.
//!
//! Source: IAM user guide, "IAM JSON policy element reference".

use iam_rs::{ArnMatcher, EvaluationOptions, IAMAction, IAMEffect, IAMPolicy, IAMStatement, PolicyEvaluator};
use serde_json::Value;

use super::catalogue::Catalogue;
use super::condition::{Condition, interpolate};
use super::principal::{Principal, Who};
use super::request::Request;

/// Where a statement stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, relative to the checkout.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The resource or document it belongs to, for instance `PipelineRole`.
    pub of: String,
    /// Its `Sid`; the number of the statement where it has none.
    pub sid: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {}.{}", self.file, self.line, self.of, self.sid)
    }
}

/// What a policy is attached to, which decides what its statements must and must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identity, a boundary or an organization: no principal.
    Identity,
    /// A resource: a principal and a resource.
    Resource,
    /// A role's trust: a principal and no resource.
    Trust,
}

/// `Allow` or `Deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Refuses, whatever is granted elsewhere.
    Deny,
}

/// A list that may be negated: `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns {
    /// Whether it is the `Not…` form.
    pub negated: bool,
    /// The patterns.
    pub all: Vec<String>,
}

/// The parts of a statement, for mutations and comparisons.
#[derive(Debug, Clone)]
pub struct Raw {
    /// `Allow` or `Deny`.
    pub effect: Effect,
    /// Who it is about, in policies of resources.
    pub principal: Option<Principal>,
    /// What it is about.
    pub actions: Patterns,
    /// On what; absent in trust policies.
    pub resources: Option<Patterns>,
    /// When.
    pub conditions: Vec<Condition>,
    /// Whether policy variables are filled: only from version 2012-10-17 on.
    pub variables: bool,
}

/// A statement that is ready to be matched.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where it stands.
    pub place: Place,
    /// Its parts.
    pub raw: Raw,
    /// Its number in the world, for results that are kept.
    pub id: usize,
    actions: PolicyEvaluator,
    /// Made once where no pattern holds a policy variable.
    resources: Option<ArnMatcher>,
}

/// Why a statement does not apply; a later variant is the nearer miss.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It is about other actions.
    Action,
    /// It is about somebody else.
    Principal,
    /// It is about other resources.
    Resource,
    /// This condition does not hold.
    Condition(String),
}

/// What a statement says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// How its principal element means the caller; [`Who::Named`] where it has none.
    pub who: Who,
    /// Why it does not apply; `None` where it does.
    pub lack: Option<Lack>,
}

impl Matched {
    /// A statement that is not there.
    pub const GONE: Matched = Matched { who: Who::No, lack: Some(Lack::Action) };

    /// Whether it applies.
    pub fn applies(&self) -> bool {
        self.lack.is_none()
    }
}

impl Statement {
    /// Reads a statement whose intrinsic functions are evaluated.
    ///
    /// `variables` says whether policy variables such as `${aws:PrincipalAccount}` are filled, which they are from version
    /// 2012-10-17 on; `partition` is the one that ARNs must name, as in `aws`; `id` is a number of the caller's choice, by
    /// which answers can be kept.
    ///
    /// # Errors
    /// Everything that is wrong with it, each in a sentence.
    pub fn parse(
        value: &Value,
        place: Place,
        kind: Kind,
        variables: bool,
        partition: &str,
        id: usize,
    ) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let raw = parse_raw(value, kind, variables, partition, &mut wrong);
        match raw {
            Some(raw) if wrong.is_empty() => Ok(Self::of(raw, place, id)),
            _ => Err(wrong),
        }
    }

    /// A statement of its parts.
    pub fn of(raw: Raw, place: Place, id: usize) -> Self {
        let mut statement = IAMStatement::new(IAMEffect::Allow);
        let actions = Some(IAMAction::Multiple(raw.actions.all.clone()));
        if raw.actions.negated {
            statement.not_action = actions
        } else {
            statement.action = actions
        }
        let options = EvaluationOptions { ignore_resource_constraints: true, ..EvaluationOptions::default() };
        let actions = PolicyEvaluator::with_policies(vec![IAMPolicy::new().add_statement(statement)])
            .with_options(options);
        let fixed =
            raw.resources.as_ref().filter(|patterns| !patterns.all.iter().any(|text| text.contains("${")));
        let resources = fixed.and_then(|patterns| ArnMatcher::new(patterns.all.clone()).ok());
        Self { place, raw, id, actions, resources }
    }

    /// The statement as JSON, its intrinsic functions evaluated.
    pub fn to_json(&self) -> Value {
        let raw = &self.raw;
        let mut map = serde_json::Map::new();
        let effect = if raw.effect == Effect::Allow { "Allow" } else { "Deny" };
        map.insert("Effect".to_owned(), Value::from(effect));
        if let Some(principal) = &raw.principal {
            let (name, value) = principal.to_json();
            map.insert(name.to_owned(), value);
        }
        let mut put = |patterns: &Patterns, plain: &str, not: &str| {
            map.insert(
                if patterns.negated { not } else { plain }.to_owned(),
                Value::from(patterns.all.clone()),
            );
        };
        put(&raw.actions, "Action", "NotAction");
        if let Some(resources) = &raw.resources {
            put(resources, "Resource", "NotResource");
        }
        let mut conditions = serde_json::Map::new();
        for condition in &raw.conditions {
            let entry = conditions
                .entry(condition.operator.clone())
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            entry[&condition.key] = Value::from(condition.values.clone());
        }
        if !conditions.is_empty() {
            map.insert("Condition".to_owned(), Value::Object(conditions));
        }
        Value::Object(map)
    }

    /// What it says about a request.
    ///
    /// # Errors
    /// Something in it cannot be evaluated.
    pub fn matches(&self, request: &Request) -> Result<Matched, String> {
        let raw = &self.raw;
        let who = raw.principal.as_ref().map_or(Who::Named, |principal| principal.means(&request.caller));
        let lack = |lack: Lack| Ok(Matched { who, lack: Some(lack) });
        let asked = self.actions.evaluate(&request.plain).map_err(|error| error.to_string())?;
        if asked.decision != iam_rs::Decision::Allow {
            return lack(Lack::Action);
        }
        if who == Who::No {
            return lack(Lack::Principal);
        }
        Ok(Matched { who, lack: self.lacks_otherwise(request)? })
    }

    /// What keeps it from applying, whatever it says of actions and of who is meant.
    ///
    /// # Errors
    /// Something in it cannot be evaluated.
    pub(super) fn lacks_otherwise(&self, request: &Request) -> Result<Option<Lack>, String> {
        if !self.covers(request)? {
            return Ok(Some(Lack::Resource));
        }
        for condition in &self.raw.conditions {
            if !condition.holds(&request.keys, self.raw.variables)? {
                return Ok(Some(Lack::Condition(format!("{} {}", condition.operator, condition.key))));
            }
        }
        Ok(None)
    }

    fn covers(&self, request: &Request) -> Result<bool, String> {
        let Some(patterns) = &self.raw.resources else { return Ok(true) };
        if request.resource == "*" {
            // An action that takes no resource is covered by `*` alone.
            return Ok(patterns.all.iter().any(|pattern| pattern == "*") != patterns.negated);
        }
        let arn = &request.plain.resource;
        if let Some(matcher) = &self.resources {
            return Ok(matcher.matches_arn(arn) != patterns.negated);
        }
        let filled = patterns.all.iter().filter_map(|text| interpolate(text, &request.keys));
        let matcher = ArnMatcher::new(filled).map_err(|error| error.to_string())?;
        Ok(matcher.matches_arn(arn) != patterns.negated)
    }
}

/// One text or a list of texts; numbers and booleans as their text.
pub(super) fn list(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => text(one).map(|text| vec![text]),
    }
}

fn parse_raw(
    value: &Value,
    kind: Kind,
    variables: bool,
    partition: &str,
    wrong: &mut Vec<String>,
) -> Option<Raw> {
    let Some(map) = value.as_object() else {
        wrong.push("a statement is a mapping".to_owned());
        return None;
    };
    let known = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        let meant = super::catalogue::closest(key, known.into_iter());
        let hint = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        wrong.push(format!("a statement has no element `{key}`{hint}"));
    }
    let effect = match map.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => {
            wrong.push("`Effect` must be Allow or Deny".to_owned());
            Effect::Deny
        }
    };
    let principal = principal(map, kind, partition, wrong);
    let actions = patterns(map, "Action", "NotAction", wrong);
    for action in actions.iter().flat_map(|patterns| &patterns.all) {
        wrong.extend(Catalogue::get().check_action(action).err());
    }
    let resources = if kind == Kind::Trust { None } else { patterns(map, "Resource", "NotResource", wrong) };
    if kind == Kind::Trust && (map.contains_key("Resource") || map.contains_key("NotResource")) {
        wrong.push("a trust policy names no resource: it is the role itself".to_owned());
    }
    for resource in resources.iter().flat_map(|patterns| &patterns.all) {
        wrong.extend(bad_resource(resource, partition));
    }
    let conditions = map.get("Condition").map(|value| conditions(value, wrong)).unwrap_or_default();
    Some(Raw { effect, principal, actions: actions?, resources, conditions, variables })
}

fn principal(
    map: &serde_json::Map<String, Value>,
    kind: Kind,
    partition: &str,
    wrong: &mut Vec<String>,
) -> Option<Principal> {
    let (value, negated) = match (map.get("Principal"), map.get("NotPrincipal")) {
        (Some(value), None) => (value, false),
        (None, Some(value)) => (value, true),
        (None, None) => {
            if kind != Kind::Identity {
                wrong.push("a policy of a resource needs a principal".to_owned());
            }
            return None;
        }
        (Some(_), Some(_)) => {
            wrong.push("`Principal` and `NotPrincipal` exclude each other".to_owned());
            return None;
        }
    };
    if kind == Kind::Identity {
        wrong.push("a policy of an identity names no principal".to_owned());
        return None;
    }
    Principal::parse(value, negated, partition).map_err(|error| wrong.push(error)).ok()
}

fn patterns(
    map: &serde_json::Map<String, Value>,
    plain: &str,
    not: &str,
    wrong: &mut Vec<String>,
) -> Option<Patterns> {
    let (value, negated) = match (map.get(plain), map.get(not)) {
        (Some(value), None) => (value, false),
        (None, Some(value)) => (value, true),
        _ => {
            wrong.push(format!("a statement needs either `{plain}` or `{not}`"));
            return None;
        }
    };
    match list(value) {
        Some(all) if !all.is_empty() => Some(Patterns { negated, all }),
        _ => {
            wrong.push(format!("`{plain}` must be a text or a list of texts"));
            None
        }
    }
}

fn bad_resource(resource: &str, partition: &str) -> Option<String> {
    if resource == "*" {
        return None;
    }
    // A `*` that means itself: nothing here can match it, and a statement that never matches would be taken for a right one.
    if let Some(escape) = crate::condition::escape(resource) {
        return Some(format!("resource `{resource}`: the escape `{escape}` cannot be evaluated here"));
    }
    let Ok(arn) = iam_rs::Arn::parse(resource) else {
        return Some(format!("resource `{resource}` is neither `*` nor an ARN"));
    };
    (arn.partition != partition && !arn.partition.contains('*')).then(|| {
        format!("resource `{resource}` is of partition {}, the stacks are of {partition}", arn.partition)
    })
}

fn conditions(value: &Value, wrong: &mut Vec<String>) -> Vec<Condition> {
    let mut all = Vec::new();
    let Some(operators) = value.as_object() else {
        wrong.push("`Condition` must be a mapping of operators".to_owned());
        return all;
    };
    for (operator, keys) in operators {
        let Some(keys) = keys.as_object() else {
            wrong.push(format!("condition {operator} must be a mapping of keys"));
            continue;
        };
        for (key, values) in keys {
            wrong.extend(Catalogue::get().check_key(key).err());
            match list(values) {
                Some(values) => match Condition::parse(operator, key, values) {
                    Ok(condition) => all.push(condition),
                    Err(error) => wrong.push(error),
                },
                None => {
                    wrong.push(format!("condition {operator} of `{key}` must be a text or a list of texts"))
                }
            }
        }
    }
    all
}
