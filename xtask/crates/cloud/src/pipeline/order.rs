//! What is released and how, as data: a client sends it to the resident process, which keeps it in memory alone.
//!
//! It has no `Debug`: the caller's environment and `cfn/stacks.toml` may hold what belongs in no log.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Swap;
use causeway_machine::process;

/// What of the caller's environment a build must not see: other credentials, and what cargo set for us.
const HIDDEN: [&str; 6] = ["AWS_", "CAUSEWAY_", "CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CODEBUILD_"];
/// The same, by whole names.
const HIDDEN_NAMES: [&str; 4] = ["CARGO", "CARGO_TARGET_DIR", "OUT_DIR", "RUSTC_WORKSPACE_WRAPPER"];

/// Who decides about an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Whoever follows the execution is asked.
    Ask,
    /// Approved beforehand.
    Approved,
    /// Rejected beforehand.
    Rejected,
}

/// What is released and how.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `cfn/stacks.toml` as the client has it: a cloud that is kept may have been started with an earlier one.
    pub config: String,
    /// The commit's files as a zip. It goes beside the rest, as it is.
    #[serde(skip)]
    pub source: Arc<Vec<u8>>,
    /// The commit's id; a word where there is none.
    pub commit: String,
    /// What a source action says of the commit besides, by the name of the variable.
    #[serde(default)]
    pub revision: BTreeMap<String, String>,
    /// Whether the pipeline is walked and nothing more.
    #[serde(default)]
    pub walks: bool,
    /// Whether disabled transitions and conditions stand open, as they did for the release that this one stands for.
    #[serde(default)]
    pub gates_open: bool,
    /// How many files of the zip differ from that commit.
    pub uncommitted: usize,
    /// What every build sees of the client's own environment.
    pub caller_environment: BTreeMap<String, String>,
    /// Variables for every build besides those of the template.
    pub build_environment: BTreeMap<String, String>,
    /// Variables for single projects, over those of the template, by the project's role: `build` or `test`.
    pub test_environment: BTreeMap<String, String>,
    /// Who decides about approvals.
    pub approval: Approval,
    /// What is done to a package once the release is approved.
    pub swap: Option<Swap>,
    /// The version route of each function that is asked while its traffic shifts.
    pub probes: BTreeMap<String, String>,
    /// The process with whose end the execution is stopped, where there is one.
    pub owner: Option<Owner>,
}

impl Order {
    /// As it is sent: a line with everything but the source, then the source.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_body(&self) -> anyhow::Result<Vec<u8>> {
        let mut body = serde_json::to_vec(self).context("write the order")?;
        body.push(b'\n');
        body.extend_from_slice(&self.source);
        Ok(body)
    }

    /// Reads what [`Order::to_body`] wrote.
    ///
    /// # Errors
    /// It is no order; nothing of what it says is in the error.
    pub fn from_body(body: &[u8]) -> anyhow::Result<Self> {
        let end = body.iter().position(|byte| *byte == b'\n').context("the order has no end")?;
        let (order, source) = (&body[..end], &body[end + 1..]);
        let order: Self = serde_json::from_slice(order)
            .map_err(|error| anyhow::anyhow!("it is no order of this version ({:?})", error.classify()))?;
        Ok(Self { source: Arc::new(source.to_vec()), ..order })
    }
}

/// What builds see of this process's environment.
pub fn caller_environment() -> BTreeMap<String, String> {
    visible(
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )
}

fn visible(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    all.filter(|(name, _)| !HIDDEN.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|(name, _)| !HIDDEN_NAMES.contains(&name.as_str()))
        .collect()
}

/// A process of this machine, told apart from a later one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub pid: i32,
    /// When it started, in seconds since 1970.
    pub started: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> Option<Self> {
        let pid = i32::try_from(std::process::id()).ok()?;
        Some(Self { pid, started: process::start_time(pid)? })
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        process::start_time(self.pid) != Some(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn order() -> Order {
        Order {
            config: "[project]\n".to_owned(),
            source: Arc::new(b"\n{zip}\n".to_vec()),
            commit: "abc".to_owned(),
            revision: BTreeMap::new(),
            walks: false,
            gates_open: false,
            uncommitted: 2,
            caller_environment: BTreeMap::from([("PATH".to_owned(), "/bin\n/x".to_owned())]),
            build_environment: BTreeMap::new(),
            test_environment: BTreeMap::new(),
            approval: Approval::Ask,
            swap: Some(Swap::Beside),
            probes: BTreeMap::new(),
            owner: Owner::this(),
        }
    }

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let sent = order();
        let read = Order::from_body(&sent.to_body().unwrap()).unwrap();
        assert_eq!(read.source, sent.source);
        assert_eq!(read.to_body().unwrap(), sent.to_body().unwrap());
        assert_eq!((read.caller_environment, read.swap), (sent.caller_environment, sent.swap));
        assert!(!read.owner.unwrap().is_gone());
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        for body in ["", "{}", "{}\n", "{\"commit\": \"secret-4711\"}\nzip", "no json secret-4711\nzip"] {
            let error = Order::from_body(body.as_bytes()).err().unwrap();
            assert!(!format!("{error:#}").contains("4711"), "{error:#}");
        }
    }

    #[test]
    fn other_credentials_and_cargos_own_variables_are_not_seen() {
        let names =
            ["PATH", "AWS_PROFILE", "CAUSEWAY_VENV_DIR", "CARGO", "CARGO_HOME", "CARGO_PKG_NAME", "OUT_DIR"];
        let seen = visible(names.iter().map(|name| ((*name).to_owned(), "x".to_owned())));
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["CARGO_HOME", "PATH"]);
    }

    #[test]
    fn an_owner_of_another_time_is_gone() {
        let this = Owner::this().unwrap();
        assert!(Owner { started: this.started - 1, ..this }.is_gone());
    }
}
