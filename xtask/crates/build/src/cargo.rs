//! Builds binaries with cargo and says where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::compile::{self, Shown};
use super::versions::{Binary, Setting};
use super::way::Way;
use crate::build_error;
use causeway_machine::cmd::{Cmd, Shell, cmd, command};
use causeway_machine::shell::read;
use causeway_model::artifact;
use causeway_model::fault::Fault;

/// The target and the compiler of a build.
///
/// `target`: `host`, or a triple. `profile`: a cargo profile.
///
/// # Errors
/// The compiler is missing.
pub async fn setting(root: &Path, target: &str, profile: &str) -> anyhow::Result<Setting> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = read(command(root, |sh| cmd!(sh, "{rustc} -vV"))?).await?;
    let host = version
        .lines()
        .find_map(|row| row.strip_prefix("host: "))
        .context("rustc does not name its host")?
        .to_owned();
    let target = if target == "host" { host } else { target.to_owned() };
    Ok(Setting { target, profile: profile.to_owned(), rustc: version, features: Vec::new() })
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
/// `way` is how, and the folder for the small programs that it needs.
///
/// # Errors
/// Something does not compile, a binary is missing, or Cargo.lock is not up to date.
pub async fn build(
    root: &Path,
    (packages, kind, binaries): (&BTreeSet<&str>, Kind, &[Binary]),
    setting: &Setting,
    versions: &BTreeMap<String, String>,
    way: (&Way, &Path),
    shown: Shown<'_>,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let Setting { profile, target, .. } = setting;
    // One fixed selection: features depend on which packages are built together, and bytes on features.
    let packages = packages.iter().map(|package| format!("--package={package}"));
    let flag = if kind == Kind::Binary { "--bin" } else { "--example" };
    let broken = super::broken::mode();
    // By function, what is built for it: itself, but beside the local cloud the one that is broken on purpose.
    let mut built_for = BTreeMap::new();
    for Binary { name, package } in binaries {
        let in_place = match broken {
            Some(_) => super::broken::in_place_of(&root.join(package), name)?,
            None => None,
        };
        built_for.insert(name.clone(), in_place.unwrap_or_else(|| name.clone()));
    }
    let programs = built_for.values().map(|name| format!("{flag}={name}"));
    let (way, tools) = way;
    let foreign = (!way.native).then(|| format!("--target={target}"));
    let features = setting.features.iter().map(|feature| format!("--features={feature}"));
    let mut command = command(root, |sh| {
        cmd!(
            sh,
            "cargo build --locked --message-format json-render-diagnostics --profile={profile}
                {packages...} {programs...} {foreign...} {features...}"
        )
    })?;
    match broken {
        Some(mode) => command.env(super::broken::VARIABLE, mode),
        None => command.env_remove(super::broken::VARIABLE),
    };
    for (bin, version) in versions {
        command.env(artifact::version_variable(bin), version);
    }
    way.lead(&mut command, root, tools)?;
    let compiled = compile::run(command, root, shown).await?;
    let (status, said) = (compiled.status, compiled.said);
    let programs: BTreeMap<String, PathBuf> = compiled
        .programs
        .into_iter()
        .filter(|artifact| !artifact.profile.test)
        .filter_map(|artifact| Some((artifact.target.name, artifact.executable?.into())))
        .collect();
    if !status.success() {
        if let Some(fault) = build_error::known(&said, &setting.target) {
            return Err(fault.into());
        }
        return Err(Fault::failed("build the functions", format!("for {}", setting.target))
            .why(format!("cargo ended with an error ({status}); its lines are above"))
            .next("fix what it names, and run it again; nothing was uploaded")
            .into());
    }
    let built: BTreeMap<String, PathBuf> = built_for
        .into_iter()
        .filter_map(|(name, program)| Some((name, programs.get(&program)?.clone())))
        .collect();
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

/// A question to cargo. A wrapper of rustc that the caller's environment names has no part in a package, so not here either.
///
/// # Errors
/// As for [`command`].
pub(super) fn asking(
    root: &Path,
    make: impl for<'a> FnOnce(&'a Shell) -> Cmd<'a>,
) -> anyhow::Result<tokio::process::Command> {
    let mut command = command(root, make)?;
    super::reproducible::without_wrappers(&mut command, root);
    Ok(command)
}
