//! The second opinion of `prove`: the npm package `@cloud-copilot/iam-simulate`, in a process of its own.
//!
//! It is licensed under the AGPL, so it is never part of the tree nor linked: it is installed below `target/causeway/`,
//! pinned by a lock file with digests.

use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::paths::Paths;
use crate::model::fault::Fault;
use crate::shell::{program, read};

const PACKAGE: &str = include_str!("../../data/iam-simulate/package.json");
const LOCK: &str = include_str!("../../data/iam-simulate/package-lock.json");
const SCRIPT: &str = include_str!("../../data/iam-simulate/simulate.mjs");

/// Asks every case, and gives one word for each: allow, deny, or the word of a complaint. Installs the package first.
///
/// # Errors
/// node or npm is missing (kind usage), the package cannot be had, or the script ends badly.
pub(crate) async fn ask(
    paths: &Paths,
    cases: &Value,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Vec<String>> {
    let dir = paths.second_opinion();
    let lock = dir.join("package-lock.json");
    let done = dir.join("installed");
    if std::fs::read_to_string(&done).unwrap_or_default() != LOCK {
        say("installing iam-simulate (once, about 3 s)");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        std::fs::write(dir.join("package.json"), PACKAGE).context("write package.json")?;
        std::fs::write(&lock, LOCK).context("write package-lock.json")?;
        let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        read(program("npm", words, &dir)).await.map_err(missing)?;
        std::fs::write(&done, LOCK).context("mark iam-simulate as installed")?;
    }
    std::fs::write(dir.join("simulate.mjs"), SCRIPT).context("write simulate.mjs")?;
    let mut command = program("node", ["simulate.mjs"], &dir);
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

fn missing(error: anyhow::Error) -> anyhow::Error {
    Fault::usage("ask for a second opinion", "iam-simulate")
        .why(format!("{error:#}"))
        .next("install node 20 or later with npm, and see that the npm registry can be reached; prove itself needs neither")
        .into()
}
