//! The version of each binary: the digest of what it is made of, computed without git and without building.
//!
//! It covers the sources, the dependencies with their features and checksums, the profile, the target and the
//! compiler. A commit that touches only documents, or only another function's handlers, moves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::inputs;
use crate::model::artifact;
use crate::model::fault::Fault;
use crate::shell::{program, read};

/// What every binary of a build has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The target triple.
    pub(crate) target: String,
    /// The cargo profile.
    pub(crate) profile: String,
    /// `rustc -vV`.
    pub(crate) rustc: String,
}

/// A binary and the package it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binary {
    /// The binary's name.
    pub(crate) name: String,
    /// The package's name, which is its folder's.
    pub(crate) package: String,
}

/// The version of each binary, by name.
pub(crate) type Versions = BTreeMap<String, String>;

/// Computes the versions of binaries that are built together.
///
/// # Errors
/// A file cannot be read, or cargo does not accept the workspace.
pub(crate) async fn versions(
    root: &Path,
    binaries: &[Binary],
    setting: &Setting,
) -> anyhow::Result<Versions> {
    let packages: BTreeSet<&str> = binaries.iter().map(|binary| binary.package.as_str()).collect();
    let lock = read_file(&root.join("Cargo.lock"))?;
    let checksums = checksums(&lock)?;
    let manifest: toml::Table =
        toml::from_str(&read_file(&root.join("Cargo.toml"))?).context("read Cargo.toml")?;
    let profile = profile_settings(&manifest, &setting.profile);
    let crate_version = workspace_version(&manifest)?;
    let config = std::fs::read_to_string(root.join(".cargo/config.toml")).unwrap_or_default();
    // Features are those of all packages together: that is how they are built.
    let features = tree(root, packages.iter().copied(), setting).await?;

    let mut closures = BTreeMap::new();
    for package in packages {
        closures.insert(package, tree(root, std::iter::once(package), setting).await?);
    }
    let mut all = Versions::new();
    for binary in binaries {
        let mut digest = Sha256::new();
        let mut add = |label: &str, text: &str| {
            digest.update(format!("{label} {}\n{text}\n", text.len()));
        };
        add("format", "1");
        add("binary", &binary.name);
        add("target", &setting.target);
        add("profile", &profile);
        add("rustc", &setting.rustc);
        add("config", &config);
        for dependency in closures.get(binary.package.as_str()).into_iter().flat_map(BTreeMap::keys) {
            let checksum = checksums.get(dependency).map_or("", String::as_str);
            let chosen = features.get(dependency).map_or("", String::as_str);
            add("dependency", &format!("{dependency} [{chosen}] {checksum}"));
        }
        let dir = root.join(&binary.package);
        for file in inputs::sources(&dir, &binary.name)? {
            let content = std::fs::read(dir.join(&file))
                .with_context(|| format!("read {}", dir.join(&file).display()))?;
            add("source", &format!("{file} {}", hex::encode(Sha256::digest(content))));
        }
        all.insert(binary.name.clone(), artifact::version(&crate_version, &hex::encode(digest.finalize())));
    }
    Ok(all)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// Dependencies of packages and their features, by `name version`.
async fn tree<'a>(
    root: &Path,
    packages: impl Iterator<Item = &'a str>,
    setting: &Setting,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut arguments = vec![
        "tree",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
        "--target",
        &setting.target,
    ];
    for package in packages {
        arguments.extend(["--package", package]);
    }
    let text = read(program("cargo", arguments, root)).await.map_err(|error| {
        let why = crate::model::fault::from_error(&error).why;
        Fault::usage("read the dependencies", "Cargo.lock")
            .why(why)
            .next("run `cargo check`, and commit Cargo.lock")
    })?;
    Ok(text.lines().filter_map(dependency).collect())
}

/// `serde v1.0.0 (proc-macro)|derive,std (*)` as `serde 1.0.0` and its features.
fn dependency(row: &str) -> Option<(String, String)> {
    let (package, features) = row.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some((format!("{name} {version}"), features.trim_end_matches("(*)").trim().to_owned()))
}

/// Checksums of Cargo.lock by `name version`.
fn checksums(lock: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let lock: toml::Table = toml::from_str(lock).context("read Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).map(ToOwned::to_owned)
    };
    let entry = |package: &toml::Value| {
        Some((
            format!("{} {}", text(package, "name")?, text(package, "version")?),
            text(package, "checksum")?,
        ))
    };
    Ok(packages.into_iter().flatten().filter_map(entry).collect())
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
    fn rows_of_the_tree_are_read() {
        let table = [
            ("serde v1.0.228|derive,std", Some(("serde 1.0.228", "derive,std"))),
            ("serde_derive v1.0.228 (proc-macro)|default (*)", Some(("serde_derive 1.0.228", "default"))),
            ("api v0.1.0 (/some/where/api)|", Some(("api 0.1.0", ""))),
            ("", None),
        ];
        for (row, expected) in table {
            let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(dependency(row), expected, "{row}");
        }
    }

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
