//! The rights of whoever runs `bootstrap`: its own calls, and what CloudFormation does in its name.
//!
//! Without a role CloudFormation acts with the rights of its caller ("CloudFormation service role"), so the person needs
//! what the handlers of every resource call. The same data that the execution roles are held to makes these policies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Problem;
use super::names::Names;
use super::needs::{Wanted, calls, general};
use super::world::{Ground, World};
use crate::model::config::DeployedBy;

/// What `bootstrap` calls itself on each of its stacks (`aws/cloudformation.rs`).
const STACK_CALLS: [&str; 15] = [
    "cloudformation:ContinueUpdateRollback",
    "cloudformation:CreateChangeSet",
    "cloudformation:CreateStack",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
    "cloudformation:TagResource",
    "cloudformation:UntagResource",
    "cloudformation:UpdateStack",
    "cloudformation:UpdateTerminationProtection",
];

/// Every call that `bootstrap` needs in one account, as it is made. A recording of a real run can be held to these.
pub(crate) fn bootstrap_calls(
    ground: &Ground<'_>,
    world: &World,
    account: &str,
    problems: &mut Vec<Problem>,
) -> BTreeSet<Wanted> {
    let by_hand: BTreeSet<&str> = ground
        .config
        .stacks
        .iter()
        .filter(|stack| stack.deployed_by == DeployedBy::Bootstrap)
        .map(|stack| stack.name.as_str())
        .collect();
    let mut all = BTreeSet::new();
    for stack in
        world.stacks.iter().filter(|stack| stack.account == account && by_hand.contains(stack.of.as_str()))
    {
        let plain =
            |action: &str, on: String| Wanted { action: action.to_owned(), on, with: BTreeMap::new() };
        all.extend(STACK_CALLS.map(|action| plain(action, stack.pseudo.stack_id.clone())));
        for transform in transforms(&stack.template.json) {
            let name = transform.strip_prefix("AWS::").unwrap_or(&transform);
            let pseudo = &stack.pseudo;
            let on =
                format!("arn:{}:cloudformation:{}:aws:transform/{name}", pseudo.partition, pseudo.region);
            all.insert(plain("cloudformation:CreateChangeSet", on));
        }
        let names = Names::new(stack, ground.types);
        for resource in stack.resources.values() {
            // `bootstrap` looks whether the pipeline's connection is finished.
            for arn in names.fill(resource, "{..ConnectionArn}").unwrap_or_default() {
                all.insert(plain("codeconnections:GetConnection", arn));
            }
            all.extend(calls(ground, world, stack, resource, problems).into_iter().map(|(_, wanted)| wanted));
        }
    }
    all
}

fn transforms(template: &Value) -> Vec<String> {
    match template.get("Transform") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The policy that allows these calls: one statement for each set of resources and condition keys, in a fixed order.
pub(crate) fn policy(calls: BTreeSet<Wanted>) -> Value {
    let mut by_call: BTreeMap<(String, Keys), BTreeSet<String>> = BTreeMap::new();
    for wanted in calls.into_iter().map(general) {
        let keys: Keys = wanted.with.into_iter().map(|(key, values)| (key, values.join(","))).collect();
        by_call.entry((wanted.action, keys)).or_default().insert(wanted.on);
    }
    // The same action on the same resources under several values of one key is one statement with a list.
    let mut by_target: BTreeMap<(BTreeSet<String>, Keys), BTreeSet<String>> = BTreeMap::new();
    for ((action, keys), on) in by_call {
        by_target.entry((on, keys)).or_default().insert(action);
    }
    let statements: Vec<Value> =
        by_target.into_iter().map(|((on, keys), actions)| statement(on, &keys, actions)).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

type Keys = BTreeMap<String, String>;

fn statement(on: BTreeSet<String>, keys: &Keys, actions: BTreeSet<String>) -> Value {
    let one_or_all = |all: BTreeSet<String>| match all.len() {
        1 => all.into_iter().next().map_or(Value::Null, Value::from),
        _ => Value::from_iter(all),
    };
    let mut map = Map::new();
    map.insert("Effect".into(), json!("Allow"));
    map.insert("Action".into(), one_or_all(actions));
    map.insert("Resource".into(), one_or_all(on));
    if !keys.is_empty() {
        let mut operators = Map::new();
        for (key, value) in keys {
            let operator = if value.starts_with("arn:") { "ArnEquals" } else { "StringEquals" };
            let entry = operators.entry(operator).or_insert_with(|| json!({}));
            entry[key] = Value::from(value.clone());
        }
        map.insert("Condition".into(), Value::Object(operators));
    }
    Value::Object(map)
}
