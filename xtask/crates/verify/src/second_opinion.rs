//! The second opinion of `prove`: the npm package `@cloud-copilot/iam-simulate`, in a process of its own.
//!
//! It is licensed under the AGPL, so it is never part of the tree nor linked: it is installed into the user's cache, pinned
//! by a lock file with digests.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use causeway_machine::cmd::{cmd, command};
use causeway_machine::paths::Paths;
use causeway_machine::shell::read;
use causeway_model::fault::Fault;

const PACKAGE: &str = include_str!("../../../data/iam-simulate/package.json");
const LOCK: &str = include_str!("../../../data/iam-simulate/package-lock.json");
const SCRIPT: &str = include_str!("../../../data/iam-simulate/simulate.mjs");

/// Asks every case, and gives one word for each: allow, deny, or the word of a complaint. Installs the package first.
///
/// # Errors
/// node or npm is missing (kind usage), the package cannot be had, or the script ends badly.
pub(crate) async fn ask(
    paths: &Paths,
    cases: &Value,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Vec<String>> {
    let digest = hex::encode(Sha256::digest([PACKAGE, LOCK, SCRIPT].concat()));
    let dir = paths.second_opinion(digest.get(..12).unwrap_or(&digest));
    if !dir.is_dir() {
        say("installing iam-simulate into the user's cache (once, about 3 s)");
        install(&dir).await?;
    }
    let mut command = command(&dir, |sh| cmd!(sh, "node simulate.mjs"))?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| missing(error.into()))?;
    let mut input = child.stdin.take().context("a child without an input")?;
    let text = cases.to_string();
    // Written beside the reading: the script prints while it still reads nothing more.
    let writing = async move {
        let written = input.write_all(text.as_bytes()).await;
        drop(input);
        written
    };
    let (written, output) = tokio::join!(writing, child.wait_with_output());
    let output = output.context("wait for node")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::failed("run iam-simulate", dir.display().to_string()).why(said.trim()).into());
    }
    written.context("hand the requests to node")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect())
}

/// Whether there is a node that could give an opinion.
pub(crate) async fn has_node() -> bool {
    let Ok(node) = command(Path::new("."), |sh| cmd!(sh, "node --version")) else { return false };
    read(node).await.is_ok()
}

/// Installs beside the final name, which appears only once everything is there.
async fn install(dir: &Path) -> anyhow::Result<()> {
    let cache = dir.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let part = tempfile::Builder::new().prefix("iam-simulate-").tempdir_in(cache);
    let part = part.with_context(|| format!("make a folder in {}", cache.display()))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK), ("simulate.mjs", SCRIPT)] {
        std::fs::write(part.path().join(name), text).with_context(|| format!("write {name}"))?;
    }
    let install =
        command(part.path(), |sh| cmd!(sh, "npm ci --ignore-scripts --no-audit --no-fund --silent"))?;
    read(install).await.map_err(missing)?;
    match std::fs::rename(part.path(), dir) {
        // Somebody else was quicker, with the same bytes.
        Err(_) if dir.is_dir() => Ok(()),
        other => other.with_context(|| format!("rename to {}", dir.display())),
    }
}

fn missing(error: anyhow::Error) -> anyhow::Error {
    Fault::usage("ask for a second opinion", "iam-simulate")
        .why(format!("{error:#}"))
        .next("install node 20 or later with npm, and see that the npm registry can be reached; prove itself needs neither")
        .into()
}
