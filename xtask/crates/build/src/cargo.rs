//! Builds binaries with cargo and says where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use cargo_metadata::Message;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::versions::{Binary, Setting};
use super::way::Way;
use crate::build_error;
use causeway_machine::shell::{program, read};
use causeway_model::artifact;
use causeway_model::fault::Fault;

/// So much of what cargo says is looked at for a known failure, in bytes.
const KEPT: usize = 4 * 1024 * 1024;

/// The target and the compiler of a build.
///
/// `target`: `host`, or a triple. `profile`: a cargo profile.
///
/// # Errors
/// The compiler is missing.
pub async fn setting(root: &Path, target: &str, profile: &str) -> anyhow::Result<Setting> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = read(program(rustc, ["-vV"], root)).await?;
    let host = version
        .lines()
        .find_map(|row| row.strip_prefix("host: "))
        .context("rustc does not name its host")?
        .to_owned();
    let target = if target == "host" { host } else { target.to_owned() };
    Ok(Setting { target, profile: profile.to_owned(), rustc: version })
}

/// Which kind of program of a package is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is released.
    Binary,
    /// What only tests start.
    Example,
}

/// Builds binaries of packages, each stamped with its version; their paths by name.
///
/// `way` is how, and the folder for the small programs that it needs. Cargo's own lines go to stderr.
///
/// # Errors
/// Something does not compile, a binary is missing, or Cargo.lock is not up to date.
pub async fn build(
    root: &Path,
    (packages, kind, binaries): (&BTreeSet<&str>, Kind, &[Binary]),
    setting: &Setting,
    versions: &BTreeMap<String, String>,
    way: (&Way, &Path),
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut arguments = vec![
        "build",
        "--locked",
        "--message-format",
        "json-render-diagnostics",
        "--profile",
        &setting.profile,
    ];
    // One fixed selection: features depend on which packages are built together, and bytes on features.
    for package in packages {
        arguments.extend(["--package", package]);
    }
    let flag = if kind == Kind::Binary { "--bin" } else { "--example" };
    for binary in binaries {
        arguments.extend([flag, &binary.name]);
    }
    let (way, tools) = way;
    if !way.native {
        arguments.extend(["--target", &setting.target]);
    }
    let broken = super::broken::mode();
    if broken.is_some() {
        arguments.extend(["--features", super::broken::FEATURE]);
    }
    let mut command = program("cargo", arguments, root);
    match broken {
        Some(mode) => command.env(super::broken::VARIABLE, mode),
        None => command.env_remove(super::broken::VARIABLE),
    };
    for (bin, version) in versions {
        command.env(artifact::version_variable(bin), version);
    }
    way.lead(&mut command, root, tools)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if std::io::stderr().is_terminal() {
        // Read by us, cargo would take stderr for a file.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().context("start cargo")?;
    let stderr = child.stderr.take().context("read what cargo says")?;
    let said = tokio::spawn(pass_on(stderr));
    let stdout = child.stdout.take().context("read what cargo built")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut built = BTreeMap::new();
    while let Some(line) = lines.next_line().await.context("read what cargo built")? {
        // Most of what was built is a library: its line is not even read.
        if !line.contains("\"executable\":\"") {
            continue;
        }
        let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(&line) else { continue };
        if let Some(executable) = artifact.executable {
            built.insert(artifact.target.name.clone(), PathBuf::from(executable));
        }
    }
    let status = child.wait().await.context("wait for cargo")?;
    let said = said.await.unwrap_or_default();
    if !status.success() {
        if let Some(fault) = build_error::known(&said, &setting.target) {
            return Err(fault.into());
        }
        return Err(Fault::failed("build the functions", format!("for {}", setting.target))
            .why(format!("cargo ended with an error ({status}); its lines are above"))
            .next("mend what it names, and run it again; nothing was uploaded")
            .into());
    }
    for binary in binaries {
        if !built.contains_key(&binary.name) {
            return Err(Fault::usage("build the function", binary.name.as_str())
                .why(format!("package {} has no binary of that name", binary.package))
                .next("cfn/app.yaml names its package by CodeUri; the binary's name must be the same")
                .into());
        }
    }
    Ok(built)
}

/// Passes on to our stderr what cargo says, and keeps the beginning of it: what stands against a whole target is said early,
/// and again for every package.
async fn pass_on(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut part = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let Some(bytes) = part.get(..length) else { break };
        let _ = std::io::stderr().lock().write_all(bytes);
        if kept.len() < KEPT {
            kept.extend_from_slice(bytes);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A question to cargo. A wrapper of rustc that the caller's environment names has no part in a package, so not here either.
pub(super) fn asking<'a>(words: impl IntoIterator<Item = &'a str>, root: &Path) -> tokio::process::Command {
    let mut command = program("cargo", words, root);
    super::way::without_wrappers(&mut command, root);
    command
}
