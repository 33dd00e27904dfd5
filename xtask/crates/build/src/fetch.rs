//! Fetches what a build needs from its registry before the build, so that a registry that does not answer is asked again, and
//! tests that failed or sources that do not compile are not.

use std::path::Path;

use super::cargo::asking;
use crate::build_error::is_network;
use causeway_machine::cmd::cmd;
use causeway_machine::shell::repeat;

/// Fetches the packages of Cargo.lock for a target and for the host, unless they are there. What fails for another reason than the
/// network, and what still fails after the last attempt, is left to the build to say; `say` hears of each attempt that failed.
/// Cargo itself asks a few times within each attempt.
pub async fn crates(root: &Path, targets: &[&str], say: &(dyn Fn(&str) + Sync)) {
    let fetch = async |offline: Option<&str>| {
        let targets = targets.iter().map(|target| format!("--target={target}"));
        let fetch = asking(root, |sh| cmd!(sh, "cargo fetch --locked --quiet {offline...} {targets...}"));
        fetch.ok()?.output().await.ok()
    };
    if fetch(Some("--offline")).await.is_some_and(|output| output.status.success()) {
        return;
    }
    let online = || async {
        let output = fetch(None).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success() && is_network(&said)).then_some(said)
    };
    repeat(online, "the registry of cargo", say).await;
}
