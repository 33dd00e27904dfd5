//! Fetches what a build needs from its registry before the build, so that a registry that does not answer is asked again, and
//! tests that failed or sources that do not compile are not.

use std::path::Path;

use super::cargo::asking;
use crate::build_error::is_network;
use causeway_machine::shell::repeat;

/// Fetches the packages of Cargo.lock for a target and for the host, unless they are there. What fails for another reason than the
/// network, and what still fails after the last attempt, is left to the build to say; `say` hears of each attempt that failed.
/// Cargo itself asks a few times within each attempt.
pub async fn crates(root: &Path, targets: &[&str], say: &(dyn Fn(&str) + Sync)) {
    let fetch = |offline: &'static [&'static str]| {
        let targets = targets.iter().flat_map(|target| ["--target", target]);
        let words = ["fetch", "--locked", "--quiet"].into_iter().chain(offline.iter().copied());
        asking(words.chain(targets), root)
    };
    if fetch(&["--offline"]).output().await.is_ok_and(|output| output.status.success()) {
        return;
    }
    let online = || async {
        let output = fetch(&[]).output().await.ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success() && is_network(&said)).then_some(said)
    };
    repeat(online, "the registry of cargo", say).await;
}
