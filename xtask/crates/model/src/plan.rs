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
    /// Whether it is somebody else's stack, which is taken over.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub adopts: bool,
    /// What changes of the stack itself, beside its resources.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub settings: Vec<Setting>,
}

impl StackPlan {
    /// A stack in a state, what is done with it, and nothing that is known to change in it.
    pub fn new(
        account: impl Into<String>,
        stack: impl Into<String>,
        state: impl ToString,
        action: Action,
    ) -> Self {
        Self {
            account: account.into(),
            stack: stack.into(),
            state: state.to_string(),
            action,
            changes: Vec::new(),
            waits_for: Vec::new(),
            adopts: false,
            settings: Vec::new(),
        }
    }
}

/// A state that was met, and what was done about it. The result has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Met {
    /// The account's name.
    pub account: String,
    /// The stack's name.
    pub stack: String,
    /// CloudFormation's word for the state.
    pub state: String,
    /// What was done.
    pub did: String,
}

/// Something of a stack itself that a deployment sets: termination protection, or a tag of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is: `termination-protection`, or `tag` and its key.
    pub name: String,
    /// What it is now; nothing where a tag is not there.
    pub before: Option<String>,
    /// What it becomes.
    pub after: String,
}

/// Termination protection, where it is to be on and is not. One that is on stays on, whoever wanted it.
pub fn protection(wanted: bool, is_on: bool) -> Option<Setting> {
    (wanted && !is_on).then(|| Setting {
        name: "termination-protection".to_owned(),
        before: Some("off".to_owned()),
        after: "on".to_owned(),
    })
}

/// Our tags that are not there, or have another value.
pub fn retagged(ours: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> Vec<Setting> {
    let differ = ours.iter().filter(|(key, value)| there.get(*key) != Some(value));
    let setting = |(key, value): (&String, &String)| Setting {
        name: format!("tag {key}"),
        before: there.get(key).cloned(),
        after: value.clone(),
    };
    differ.map(setting).collect()
}

/// Every tag that a stack has afterwards: ours, and those that somebody else gave it. What a request lists is all there is
/// ("CreateChangeSet" in the CloudFormation API reference).
pub fn all_tags(
    ours: &BTreeMap<String, String>,
    there: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // AWS's own tags cannot be given.
    let kept = there.iter().filter(|(key, _)| !key.starts_with("aws:"));
    kept.chain(ours).map(|(key, value)| (key.clone(), value.clone())).collect()
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
    fn an_administrators_tags_stay_and_ours_are_set() {
        let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let there = tags(&[("cost-center", "4711"), ("owner", "ann"), ("aws:cloudformation:x", "y")]);
        let ours = tags(&[("owner", "bob"), ("expires", "2026-12-01")]);
        let all = tags(&[("cost-center", "4711"), ("owner", "bob"), ("expires", "2026-12-01")]);
        assert_eq!(all_tags(&ours, &there), all);
        let shown: Vec<(String, Option<String>, String)> =
            retagged(&ours, &there).into_iter().map(|s| (s.name, s.before, s.after)).collect();
        let owned = |text: &str| text.to_owned();
        assert_eq!(
            shown,
            [
                (owned("tag expires"), None, owned("2026-12-01")),
                (owned("tag owner"), Some(owned("ann")), owned("bob"))
            ]
        );
        assert_eq!(retagged(&ours, &all), []);
        // What somebody else protected stays protected.
        for (wanted, is_on, changes) in [(true, false, true), (true, true, false), (false, true, false)] {
            assert_eq!(protection(wanted, is_on).is_some(), changes, "{wanted} {is_on}");
        }
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
