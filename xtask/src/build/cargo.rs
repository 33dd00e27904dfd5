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
use crate::model::fault::Fault;
use crate::model::{artifact, build_error};
use crate::shell::{program, read};

/// So much of what cargo says is looked at for a known failure, in bytes.
const KEPT: usize = 4 * 1024 * 1024;

/// The target and the compiler of a build.
///
/// `target`: `host`, or a triple. `profile`: a cargo profile.
///
/// # Errors
/// The compiler is missing.
pub(crate) async fn setting(root: &Path, target: &str, profile: &str) -> anyhow::Result<Setting> {
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

/// Builds binaries of packages, each stamped with its version; their paths by name.
///
/// `way` is how, and the folder for the small programs that it needs. Cargo's own lines go to stderr.
///
/// # Errors
/// Something does not compile, a binary is missing, or Cargo.lock is not up to date.
pub(crate) async fn build(
    root: &Path,
    (packages, binaries): (&BTreeSet<&str>, &[Binary]),
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
    for binary in binaries {
        arguments.extend(["--bin", &binary.name]);
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
    way.lead(&mut command, root, tools).await?;
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
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

/// Finds which package each binary belongs to, by cargo's own word.
///
/// # Errors
/// A binary that no package of the workspace has.
pub(crate) async fn binaries(root: &Path, names: &[String]) -> anyhow::Result<Vec<Binary>> {
    let text = read(asking(["metadata", "--format-version", "1", "--locked", "--no-deps"], root)).await?;
    let metadata: cargo_metadata::Metadata = serde_json::from_str(&text).context("read cargo's metadata")?;
    let mut all = Vec::new();
    for name in names {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.targets.iter().any(|target| target.is_bin() && target.name == *name));
        let package = package.ok_or_else(|| {
            Fault::usage("find the binary", name.as_str())
                .why("no package of the workspace has it")
                .next("cfn/app.yaml names packages by CodeUri; the binary's name must be the same")
        })?;
        all.push(Binary { name: name.clone(), package: package.name.to_string() });
    }
    all.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(all)
}

/// The licenses of every package that is in reach, by `name version`; none where cargo cannot say.
pub(crate) async fn licenses(root: &Path, target: &str) -> BTreeMap<String, String> {
    let words = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let Ok(text) = read(asking(words, root)).await else { return BTreeMap::new() };
    let Ok(metadata) = serde_json::from_str::<cargo_metadata::Metadata>(&text) else {
        return BTreeMap::new();
    };
    let packages = metadata.packages.into_iter();
    packages
        .filter_map(|package| Some((format!("{} {}", package.name, package.version), package.license?)))
        .collect()
}
