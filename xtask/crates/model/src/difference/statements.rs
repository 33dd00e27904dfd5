//! The statements of a policy in words, as `prove --diff` says them: who may do what on what now, and no longer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::drift::is_like;
use super::words::words;

/// One right as finely as a statement can say it: everything that two statements may differ in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    denied: bool,
    who: String,
    action: String,
    on: String,
    when: String,
}

/// What a policy allows and denies that another one does not, and the other way round. Order, names and the way a list is
/// written are no difference. `holds` has what a policy without a principal gives.
pub(super) fn differences(holds: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let (before, after) = (rights(holds, old), rights(holds, new));
    let mut all = told(after.difference(&before), true);
    all.extend(told(before.difference(&after), false));
    all
}

/// What stands for a part of a template that only AWS knows.
pub const UNKNOWN: &str = "\u{1}";

/// Everything that a policy allows and denies, to be compared with another one of the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(BTreeSet<Right>);

impl Rights {
    /// Those of a policy; `holds` has what a policy without a principal gives.
    #[must_use]
    pub fn of(holds: &str, policy: &Value) -> Self {
        Self(rights(holds, Some(policy)))
    }

    /// What another policy allows and denies that this one does not, and the other way round, in words. An account is meant
    /// by its id and by its root's ARN ("AWS JSON policy elements: Principal" in the IAM user guide); actions and condition
    /// keys are the same in any case.
    #[must_use]
    pub fn drift(&self, found: &Self) -> Vec<String> {
        let plain = |all: &Self| -> Vec<Right> {
            let one = |right: &Right| Right { who: account(&right.who), ..right.clone() };
            all.0.iter().map(one).collect()
        };
        let is_same = |want: &Right, have: &Right| {
            want.denied == have.denied
                && want.action.eq_ignore_ascii_case(&have.action)
                && is_like(&want.who, &have.who)
                && is_like(&want.on, &have.on)
                && is_like(&want.when.to_lowercase(), &have.when.to_lowercase())
        };
        let (want, have) = (plain(self), plain(found));
        let more = have.iter().filter(|have| !want.iter().any(|want| is_same(want, have)));
        let less = want.iter().filter(|want| !have.iter().any(|have| is_same(want, have)));
        let mut all = told(more, true);
        all.extend(told(less, false));
        all.into_iter().map(|sentence| sentence.replace(UNKNOWN, "…")).collect()
    }
}

/// A principal that is a whole account, in one way.
fn account(who: &str) -> String {
    let is_id = |text: &str| text.len() == 12 && text.bytes().all(|one| one.is_ascii_digit());
    let root = who.strip_suffix(":root").and_then(|arn| arn.rsplit(':').next());
    match root.or(Some(who)).filter(|id| is_id(id)) {
        Some(id) => format!("account {id}"),
        None => who.to_owned(),
    }
}

fn rights(holds: &str, policy: Option<&Value>) -> BTreeSet<Right> {
    let Some(statements) = policy.and_then(|policy| policy.get("Statement")) else { return BTreeSet::new() };
    listed(statements).into_iter().flat_map(|statement| of(holds, statement)).collect()
}

/// A list, also where it is one thing without brackets.
fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    }
}

fn of(holds: &str, statement: &Value) -> Vec<Right> {
    let all = |key: &str, not: &str| -> Vec<String> {
        match (statement.get(key), statement.get(not)) {
            (Some(found), _) => listed(found).into_iter().map(|one| words(one, "")).collect(),
            (None, Some(found)) => {
                let mut names: Vec<String> = listed(found).into_iter().map(|one| words(one, "")).collect();
                names.sort();
                vec![format!("everything but {}", names.join(" and "))]
            }
            (None, None) => vec![String::new()],
        }
    };
    let when = statement.get("Condition").map(condition).unwrap_or_default();
    let denied = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
    let mut found = Vec::new();
    for who in people(holds, statement) {
        for action in all("Action", "NotAction") {
            for on in all("Resource", "NotResource") {
                let (who, when, action) = (who.clone(), when.clone(), action.clone());
                found.push(Right { denied, who, action, on, when });
            }
        }
    }
    found
}

/// Whom a statement is about.
fn people(holds: &str, statement: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(all) if all == "*" => vec!["anybody".to_owned()],
        Value::Object(kinds) if !super::is_function(kinds) => {
            let of = |inner: &Value| listed(inner).into_iter().map(|one| words(one, "")).collect::<Vec<_>>();
            let named = |name: String| if name == "*" { "anybody".to_owned() } else { name };
            kinds.values().flat_map(of).map(named).collect()
        }
        other => vec![words(other, "")],
    };
    match (statement.get("Principal"), statement.get("NotPrincipal")) {
        (Some(found), _) => one(found),
        (None, Some(found)) => vec![format!("everybody but {}", one(found).join(" and "))],
        (None, None) => vec![holds.to_owned()],
    }
}

fn condition(value: &Value) -> String {
    let Some(operators) = value.as_object().filter(|map| !super::is_function(map)) else {
        return words(value, "");
    };
    let mut all: Vec<String> = Vec::new();
    for (operator, keys) in operators {
        match keys.as_object().filter(|map| !super::is_function(map)) {
            None => all.push(format!("{operator} {}", words(keys, ""))),
            Some(keys) => {
                for (key, values) in keys {
                    let mut values: Vec<String> =
                        listed(values).into_iter().map(|one| words(one, "")).collect();
                    values.sort();
                    all.push(format!("{key} {operator} {}", values.join(" or ")));
                }
            }
        }
    }
    all.sort();
    all.join(" and ")
}

/// Rights as sentences: one for all actions that the same one has on the same thing, and for all things of the same actions.
fn told<'a>(rights: impl Iterator<Item = &'a Right>, came: bool) -> Vec<String> {
    let mut by_thing: BTreeMap<(bool, &str, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        by_thing.entry((right.denied, &right.who, &right.when, &right.on)).or_default().insert(&right.action);
    }
    let mut by_actions: BTreeMap<(bool, &str, &str, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for ((denied, who, when, on), actions) in by_thing {
        by_actions.entry((denied, who, when, actions.into_iter().collect())).or_default().push(on);
    }
    let sentence = |((denied, who, when, actions), on): ((bool, &str, &str, Vec<&str>), Vec<&str>)| {
        let verb = match (denied, came) {
            (false, true) => "may now",
            (false, false) => "may no longer",
            (true, true) => "is now denied",
            (true, false) => "is no longer denied",
        };
        let on: Vec<&str> = on.into_iter().filter(|on| !on.is_empty()).collect();
        let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(" and ")) };
        let when = if when.is_empty() { String::new() } else { format!(", where {when}") };
        let sign = if came == denied { '-' } else { '+' };
        format!("{sign} {who} {verb} {}{on}{when}", actions.join(", "))
    };
    // What widens comes first.
    let mut all: Vec<String> = by_actions.into_iter().map(sentence).collect();
    all.sort_by_key(|sentence| sentence.starts_with('-'));
    all
}
