//! What is known of a stack and an environment beside the template, and small readings of values.

use serde_json::{Map, Value, json};

use super::super::stack::Stack;
use super::super::world::Ground;
use causeway_model::config::DeployedBy;
use causeway_model::template::{Node, text_of};

/// Whether a stack is one of `cfn/stacks.toml`, and no further one of its template.
pub(super) fn is_usual(ground: &Ground<'_>, stack: &Stack) -> bool {
    let mut instances =
        [DeployedBy::Bootstrap, DeployedBy::Pipeline].into_iter().flat_map(|by| ground.config.instances(by));
    instances.any(|instance| {
        instance.stack == stack.of
            && instance.account == stack.account
            && ground.config.stack_name(&instance) == stack.name()
    })
}

/// The environment that a stage releases to: the target account of the stage's name, else one that the name holds.
pub(super) fn environment_of(ground: &Ground<'_>, stage: &str) -> Option<String> {
    let stage = stage.to_lowercase();
    let mut targets = ground.config.targets();
    let whole = ground.config.targets().find(|target| target.to_lowercase() == stage);
    whole.or_else(|| targets.find(|target| stage.contains(&target.to_lowercase()))).map(ToOwned::to_owned)
}

pub(super) fn facts(ground: &Ground<'_>, stack: &Stack, environment: &str) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| facts.insert(key.to_owned(), value);
    put("@stack", json!(stack.name()));
    put("@template", json!(stack.of));
    put("@environment", json!(environment));
    put("@account", json!(stack.account_id()));
    put("@region", json!(stack.pseudo.region));
    put("@partition", json!(stack.pseudo.partition));
    put("@suffix", json!(stack.pseudo.url_suffix()));
    put(
        "@protected",
        json!(ground.config.accounts.get(environment).is_some_and(|account| account.protected)),
    );
    facts
}

/// The text under a key, or nothing.
pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).map(text_of).unwrap_or_default()
}

/// A number, also where it is written as a text.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The line of the innermost part that keys lead to; functions in between end the way.
pub(super) fn line_at(root: &Node, keys: &[String]) -> Option<usize> {
    let mut at = root;
    let mut line = None;
    for key in keys {
        let found =
            at.entries().iter().find(|(name, _)| name.name == *key).map(|(name, node)| (name.line, node));
        let found = found.or_else(|| {
            let node = at.items().get(key.parse::<usize>().ok()?)?;
            Some((node.line, node))
        });
        let Some((on, node)) = found else { break };
        line = Some(on);
        at = node;
    }
    line
}
