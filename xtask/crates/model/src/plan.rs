//! The plan of a deployment: which stacks, in which waves, and what changes in each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::changeset::Change;
use super::config::{Config, DeployedBy, Instance, Parameter};
use super::stack::Action;

/// Stacks that are deployed side by side.
pub type Wave = Vec<StackPlan>;

/// What is about to happen to one stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackPlan {
    /// The account's name.
    pub account: String,
    /// The stack's name in AWS.
    pub stack: String,
    /// Its state now, in CloudFormation's words; `ABSENT` where there is none.
    pub state: String,
    /// What is done with it.
    pub action: Action,
    /// What changes in it, as far as it can be known beforehand.
    pub changes: Vec<Change>,
    /// Outputs of other stacks that are not there yet, so that the change set can only be made when they are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waits_for: Vec<String>,
}

/// Outputs that lead in a circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stacks {0} wait for each other's outputs")]
pub struct Circle(pub String);

/// The instances whose outputs a stack takes.
pub fn needs(config: &Config, instance: &Instance) -> BTreeSet<Instance> {
    config
        .parameters(instance)
        .values()
        .filter_map(|parameter| match parameter {
            Parameter::Output { stack, account, .. } => config.output_source(stack, account.as_deref()),
            _ => None,
        })
        .collect()
}

/// The stacks that `bootstrap` deploys, in waves: each one only needs outputs of earlier waves.
///
/// Within a wave the order is that of the file.
///
/// # Errors
/// Outputs that lead in a circle.
pub fn waves(config: &Config) -> Result<Vec<Vec<Instance>>, Circle> {
    let all = config.instances(DeployedBy::Bootstrap);
    let mut open: BTreeMap<Instance, BTreeSet<Instance>> =
        all.iter().map(|instance| (instance.clone(), needs(config, instance))).collect();
    let mut waves = Vec::new();
    while !open.is_empty() {
        let ready: Vec<Instance> = all
            .iter()
            .filter(|instance| {
                open.get(*instance).is_some_and(|needs| needs.iter().all(|need| !open.contains_key(need)))
            })
            .cloned()
            .collect();
        if ready.is_empty() {
            let names: Vec<String> = open.keys().map(|i| format!("{}@{}", i.stack, i.account)).collect();
            return Err(Circle(names.join(", ")));
        }
        for instance in &ready {
            open.remove(instance);
        }
        waves.push(ready);
    }
    Ok(waves)
}

#[cfg(test)]
mod tests {
    use super::super::config::parse;
    use super::*;

    fn config(stacks: &str) -> Config {
        let head = "project = \"p\"\nregion = \"eu-central-1\"\nsource = { repository = \"a/b\", branch = \"main\" }\n\
                    [accounts]\nbuild = { id = \"111111111111\" }\ndev = { id = \"222222222222\" }\nprod = { id = \"333333333333\" }\n";
        parse(&format!("{head}{stacks}")).unwrap()
    }

    fn shown(config: &Config) -> Vec<Vec<String>> {
        let name = |i: &Instance| format!("{}@{}", i.stack, i.account);
        waves(config).unwrap().iter().map(|wave| wave.iter().map(name).collect()).collect()
    }

    #[test]
    fn the_order_follows_the_outputs_not_the_file() {
        let config = config(
            "[[stacks]]\nname = \"pipeline\"\ntemplate = \"t\"\naccounts = \"build\"\n\
             parameters = { A = { output = \"roles.Arn\", account = \"prod\" }, K = { output = \"base.Key\" } }\n\
             [[stacks]]\nname = \"side\"\ntemplate = \"t\"\naccounts = \"dev\"\n\
             [[stacks]]\nname = \"roles\"\ntemplate = \"t\"\naccounts = \"targets\"\nparameters = { K = { output = \"base.Key\" } }\n\
             [[stacks]]\nname = \"base\"\ntemplate = \"t\"\naccounts = \"build\"\n",
        );
        assert_eq!(
            shown(&config),
            [vec!["side@dev", "base@build"], vec!["roles@dev", "roles@prod"], vec!["pipeline@build"]]
        );
    }

    #[test]
    fn a_circle_is_named() {
        let config = config(
            "[[stacks]]\nname = \"a\"\ntemplate = \"t\"\naccounts = \"build\"\nparameters = { X = { output = \"b.Y\" } }\n\
             [[stacks]]\nname = \"b\"\ntemplate = \"t\"\naccounts = \"build\"\nparameters = { Y = { output = \"a.X\" } }\n",
        );
        assert_eq!(
            waves(&config).unwrap_err().to_string(),
            "the stacks a@build, b@build wait for each other's outputs"
        );
    }
}
