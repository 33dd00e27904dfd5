//! `cfn/stacks.toml`: the project, its accounts and its stacks; and the one place that defines each name.
//!
//! Parsing refuses unknown fields with file and line. A [`Config`] that exists is valid: names fit AWS's limits,
//! accounts are distinct, every stack's account exists, every output that is used belongs to a stack that exists.

mod names;
mod parse;
mod placeholder;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

pub use names::Names;
pub use parse::{Local, parse, parse_local};

/// The placeholder account ids of the committed file. The local cloud uses them; a real deployment refuses them.
pub const PLACEHOLDER_IDS: [&str; 3] = ["111111111111", "222222222222", "333333333333"];

/// The name of the account in which the pipeline runs.
pub const BUILD: &str = "build";

/// The whole of `cfn/stacks.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The project's name, the prefix of nearly every other name.
    pub project: String,
    /// The region of every stack.
    pub region: String,
    /// Where the pipeline takes commits from.
    pub source: Source,
    /// Who is told about approvals and failures.
    pub notification_emails: Vec<String>,
    /// The AWS organization that the accounts are in, where nobody outside of it may reach the artifacts.
    pub organization_id: Option<String>,
    /// The accounts by name; `build` is always among them.
    pub accounts: BTreeMap<String, Account>,
    /// The stacks, in the order of the file.
    pub stacks: Vec<Stack>,
}

/// Where the pipeline takes commits from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The repository as its provider names it, for instance `owner/name`.
    pub repository: String,
    /// The branch that is released.
    pub branch: String,
    /// An existing connection; where it is absent, `build-base` makes one.
    #[serde(default)]
    pub connection_arn: Option<String>,
}

/// One AWS account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The twelve-digit id.
    pub id: String,
    /// Whether what is in it needs extra care: its stacks get termination protection.
    #[serde(default)]
    pub protected: bool,
}

/// Who deploys a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployedBy {
    /// `cargo xtask bootstrap`.
    #[default]
    Bootstrap,
    /// The pipeline; `bootstrap` leaves it alone.
    Pipeline,
}

/// One stack of the file. In several accounts it is several [`Instance`]s.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Its name in the file, for instance `build-base`.
    pub name: String,
    /// The template's file name, beside `stacks.toml`.
    pub template: String,
    /// The names of the accounts it is deployed in.
    pub accounts: Vec<String>,
    /// Who deploys it.
    pub deployed_by: DeployedBy,
    /// Parameters for every account.
    pub parameters: BTreeMap<String, Parameter>,
    /// Parameters for one account, over those of every account.
    pub overrides: BTreeMap<String, BTreeMap<String, Parameter>>,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// The text itself, after its placeholders are filled.
    Literal(String),
    /// An output of another stack, in the named account or else in the only account that stack has.
    Output {
        /// The other stack's name in the file.
        stack: String,
        /// The output's name.
        output: String,
        /// The account, where the other stack has several.
        account: Option<String>,
    },
    /// A fact about a packaged function, for instance `checkin.version`.
    Artifact {
        /// The function's name.
        function: String,
        /// Which fact.
        fact: ArtifactFact,
    },
}

/// A fact that `package` knows about a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactFact {
    /// The version stamped into its binary.
    Version,
    /// The key of its zip in the artifact bucket.
    Key,
    /// The SHA-256 of its zip in hexadecimal digits: what Lambda says of the code, in Base64, as `CodeSha256`.
    Sha256,
}

/// A stack in one account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The stack's name in the file.
    pub stack: String,
    /// The account's name.
    pub account: String,
}

impl Config {
    /// Whether the pipeline releases to an account: a stack of the build account takes outputs of stacks there. A target that
    /// it does not release to may be one for isolated stacks alone. Where no stack names an account, nothing tells them apart,
    /// and every target counts.
    pub fn is_released_to(&self, account: &str) -> bool {
        let parameters = self.stacks.iter().flat_map(|stack| {
            stack.parameters.values().chain(stack.overrides.values().flat_map(BTreeMap::values))
        });
        let named: BTreeSet<&str> = parameters
            .filter_map(|parameter| match parameter {
                Parameter::Output { account: Some(of), .. } => Some(of.as_str()),
                _ => None,
            })
            .collect();
        account != BUILD && (named.is_empty() || named.contains(account))
    }

    /// The names of the target accounts: all but `build`, in the order of their names.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(String::as_str).filter(|name| *name != BUILD)
    }

    /// The stack of that name.
    pub fn stack(&self, name: &str) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.name == name)
    }

    /// The id of an account of that name.
    pub fn account_id(&self, name: &str) -> Option<&str> {
        self.accounts.get(name).map(|account| account.id.as_str())
    }

    /// The name of the account with that id.
    pub fn account_named_by_id(&self, id: &str) -> Option<&str> {
        self.accounts.iter().find(|(_, account)| account.id == id).map(|(name, _)| name.as_str())
    }

    /// The names that follow from project and region.
    pub fn names(&self) -> Names<'_> {
        Names { project: &self.project }
    }

    /// Every stack in every one of its accounts that the given one deploys, in the order of the file.
    pub fn instances(&self, by: DeployedBy) -> Vec<Instance> {
        self.stacks
            .iter()
            .filter(|stack| stack.deployed_by == by)
            .flat_map(|stack| {
                stack
                    .accounts
                    .iter()
                    .map(|account| Instance { stack: stack.name.clone(), account: account.clone() })
            })
            .collect()
    }

    /// The name in AWS of a stack in an account.
    pub fn stack_name(&self, instance: &Instance) -> String {
        let by_account =
            self.stack(&instance.stack).is_some_and(|stack| stack.deployed_by == DeployedBy::Pipeline);
        if by_account {
            format!("{}-{}-{}", self.project, instance.stack, instance.account)
        } else {
            format!("{}-{}", self.project, instance.stack)
        }
    }

    /// The parameters of a stack in one account, overrides applied, placeholders still in place.
    pub fn parameters(&self, instance: &Instance) -> BTreeMap<String, Parameter> {
        let Some(stack) = self.stack(&instance.stack) else { return BTreeMap::new() };
        let mut all = stack.parameters.clone();
        if let Some(over) = stack.overrides.get(&instance.account) {
            all.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        all
    }

    /// The text of a literal in one account, its placeholders filled.
    ///
    /// # Errors
    /// An unknown or an unfinished placeholder; a [`Config`] that exists has none.
    pub fn fill(&self, literal: &str, account: &str) -> Result<String, placeholder::Unknown> {
        placeholder::fill(self, literal, account)
    }

    /// The instance that an output is taken from.
    pub fn output_source(&self, stack: &str, account: Option<&str>) -> Option<Instance> {
        let accounts = &self.stack(stack)?.accounts;
        let account = match account {
            Some(account) => accounts.iter().find(|name| *name == account)?,
            None if accounts.len() == 1 => accounts.first()?,
            None => return None,
        };
        Some(Instance { stack: stack.to_owned(), account: account.clone() })
    }
}
