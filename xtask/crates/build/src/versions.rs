//! The version of each binary: the digest of what it is made of, computed without git and without building.
//!
//! It covers the sources, the dependencies with their features and checksums, the profile, the target and the
//! compiler. A commit that touches only documents, or only another function's handlers, moves nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::graph::{self, Graph};
use super::inputs;
use crate::bill::{Dependency, Inputs};
use causeway_model::artifact;

/// What every binary of a build has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The target triple.
    pub target: String,
    /// The cargo profile.
    pub profile: String,
    /// `rustc -vV`.
    pub rustc: String,
    /// Features that are turned on beside the packages' own defaults, as `package/feature`.
    pub features: Vec<String>,
}

impl Setting {
    /// The triple of this machine, as the compiler says it.
    pub(super) fn host(&self) -> Option<&str> {
        self.rustc.lines().find_map(|row| row.strip_prefix("host: "))
    }
}

/// A binary and the package it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binary {
    /// The binary's name.
    pub name: String,
    /// The package's name, which is its folder's.
    pub package: String,
}

/// The version of each binary, by name.
pub type Versions = BTreeMap<String, String>;

/// Computes the versions of binaries that are built together.
///
/// # Errors
/// A file cannot be read, or cargo does not accept the workspace.
pub async fn versions(root: &Path, names: &[String], setting: &Setting) -> anyhow::Result<Versions> {
    let crate_version = crate_version(root)?;
    let graph = graph::find(root, names, setting, &|_| {}).await?;
    let inputs = inputs(root, &graph, setting)?;
    Ok(inputs.iter().map(|(name, inputs)| (name.clone(), version(inputs, &crate_version))).collect())
}

/// What binaries that are built together are made of, by name.
///
/// # Errors
/// A file cannot be read.
pub fn inputs(root: &Path, graph: &Graph, setting: &Setting) -> anyhow::Result<BTreeMap<String, Inputs>> {
    let manifest: toml::Table =
        toml::from_str(&read_file(&root.join("Cargo.toml"))?).context("read Cargo.toml")?;
    let profile = profile_settings(&manifest, &setting.profile);
    let config = std::fs::read_to_string(root.join(".cargo/config.toml")).unwrap_or_default();
    let mut all = BTreeMap::new();
    for binary in &graph.binaries {
        let mut inputs = Inputs {
            binary: binary.name.clone(),
            target: setting.target.clone(),
            profile: profile.clone(),
            rustc: setting.rustc.clone(),
            config: config.clone(),
            ..Inputs::default()
        };
        let own = root.join(&binary.package);
        for (id, taken) in graph.closures.get(&binary.package).into_iter().flatten() {
            let dependency = Dependency {
                // Features are those of all packages together: that is how they are built.
                features: graph.together.get(id).map(|taken| taken.features.clone()).unwrap_or_default(),
                checksum: graph.checksums.get(id).cloned().unwrap_or_default(),
            };
            inputs.dependencies.insert(id.clone(), dependency);
            // A package without a checksum is one of the workspace's: its sources are what it is.
            if let Some(dir) = taken.dir.as_deref().filter(|dir| !same(dir, &own)) {
                let name = dir.strip_prefix(root).unwrap_or(dir).display().to_string();
                add_sources(&mut inputs, dir, &name, inputs::library(dir)?)?;
            }
        }
        let files = inputs::sources(&own, &binary.name)?;
        add_sources(&mut inputs, &own, &binary.package, files)?;
        all.insert(binary.name.clone(), inputs);
    }
    Ok(all)
}

fn add_sources(inputs: &mut Inputs, dir: &Path, name: &str, files: Vec<String>) -> anyhow::Result<()> {
    for file in files {
        let path = dir.join(&file);
        let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        inputs.sources.insert(format!("{name}/{file}"), hex::encode(Sha256::digest(content)));
    }
    Ok(())
}

/// Whether two folders are one, whatever links lead there.
fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    one == other || real(one) == real(other)
}

/// The version that follows from what a binary is made of.
pub fn version(inputs: &Inputs, crate_version: &str) -> String {
    let mut digest = Sha256::new();
    let mut add = |label: &str, text: &str| {
        digest.update(format!("{label} {}\n{text}\n", text.len()));
    };
    add("format", "2");
    add("binary", &inputs.binary);
    add("target", &inputs.target);
    add("profile", &inputs.profile);
    add("rustc", &inputs.rustc);
    add("config", &inputs.config);
    for (id, dependency) in &inputs.dependencies {
        add("dependency", &format!("{id} [{}] {}", dependency.features, dependency.checksum));
    }
    for (file, content) in &inputs.sources {
        add("source", &format!("{file} {content}"));
    }
    artifact::version(crate_version, &hex::encode(digest.finalize()))
}

/// The version that all packages of the workspace have.
///
/// # Errors
/// Cargo.toml cannot be read or has none.
pub fn crate_version(root: &Path) -> anyhow::Result<String> {
    let manifest: toml::Table =
        toml::from_str(&read_file(&root.join("Cargo.toml"))?).context("read Cargo.toml")?;
    workspace_version(&manifest)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// A profile's settings and those it inherits, as text.
fn profile_settings(manifest: &toml::Table, name: &str) -> String {
    let profiles = manifest.get("profile").and_then(toml::Value::as_table);
    let mut out = format!("{name}\n");
    let mut next = Some(name.to_owned());
    while let Some(name) = next.take() {
        let Some(profile) = profiles.and_then(|all| all.get(&name)).and_then(toml::Value::as_table) else {
            break;
        };
        out.push_str(&profile.to_string());
        // Cargo refuses circles; the length check keeps us from walking one that it has not seen yet.
        next = profile
            .get("inherits")
            .and_then(toml::Value::as_str)
            .map(ToOwned::to_owned)
            .filter(|_| out.len() < 65_536);
    }
    out
}

fn workspace_version(manifest: &toml::Table) -> anyhow::Result<String> {
    let version = manifest.get("workspace").and_then(|w| w.get("package")).and_then(|p| p.get("version"));
    version
        .and_then(toml::Value::as_str)
        .map(ToOwned::to_owned)
        .context("Cargo.toml has no workspace.package.version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_settings_count() {
        let manifest: toml::Table =
            toml::from_str("[profile.a]\ninherits = \"b\"\nlto = true\n[profile.b]\nopt-level = 1\n[profile.c]\nopt-level = 2\n").unwrap();
        let text = profile_settings(&manifest, "a");
        assert!(
            text.contains("lto = true") && text.contains("opt-level = 1") && !text.contains("opt-level = 2"),
            "{text}"
        );
    }
}
