//! The version of each binary: the digest of what it is made of, computed without git and without building.
//!
//! It covers the sources, the dependencies with their features and checksums, the profile, the target and the
//! compiler. A commit that touches only documents, or only another function's handlers, moves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::inputs;
use crate::model::artifact;
use crate::model::bill::{Dependency, Edges, Inputs};
use crate::model::fault::Fault;
use crate::shell::read;

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
    let crate_version = crate_version(root)?;
    let inputs = inputs(root, binaries, setting).await?;
    Ok(inputs.iter().map(|(name, inputs)| (name.clone(), version(inputs, &crate_version))).collect())
}

/// What binaries that are built together are made of, by name.
///
/// # Errors
/// As for [`versions`].
pub(crate) async fn inputs(
    root: &Path,
    binaries: &[Binary],
    setting: &Setting,
) -> anyhow::Result<BTreeMap<String, Inputs>> {
    let packages: BTreeSet<&str> = binaries.iter().map(|binary| binary.package.as_str()).collect();
    let lock = read_file(&root.join("Cargo.lock"))?;
    let checksums = checksums(&lock)?;
    let manifest: toml::Table =
        toml::from_str(&read_file(&root.join("Cargo.toml"))?).context("read Cargo.toml")?;
    let profile = profile_settings(&manifest, &setting.profile);
    let config = std::fs::read_to_string(root.join(".cargo/config.toml")).unwrap_or_default();
    // Features are those of all packages together: that is how they are built.
    let features = tree(root, packages.iter().copied(), setting).await?;

    let mut closures = BTreeMap::new();
    for package in packages {
        closures.insert(package, tree(root, std::iter::once(package), setting).await?);
    }
    let mut all = BTreeMap::new();
    for binary in binaries {
        let mut inputs = Inputs {
            binary: binary.name.clone(),
            target: setting.target.clone(),
            profile: profile.clone(),
            rustc: setting.rustc.clone(),
            config: config.clone(),
            ..Inputs::default()
        };
        let own = root.join(&binary.package);
        for (id, taken) in closures.get(binary.package.as_str()).into_iter().flatten() {
            let dependency = Dependency {
                features: features.get(id).map(|taken| taken.features.clone()).unwrap_or_default(),
                checksum: checksums.get(id).cloned().unwrap_or_default(),
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
pub(crate) fn version(inputs: &Inputs, crate_version: &str) -> String {
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
pub(crate) fn crate_version(root: &Path) -> anyhow::Result<String> {
    let manifest: toml::Table =
        toml::from_str(&read_file(&root.join("Cargo.toml"))?).context("read Cargo.toml")?;
    workspace_version(&manifest)
}

/// What is linked into binaries that are built together: who takes what, with the features of all of them. What only
/// runs while they are built, such as macros, is not in it.
///
/// # Errors
/// cargo does not accept the workspace.
pub(crate) async fn linked(root: &Path, binaries: &[Binary], setting: &Setting) -> anyhow::Result<Edges> {
    let packages: BTreeSet<&str> = binaries.iter().map(|binary| binary.package.as_str()).collect();
    let words = ["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}"];
    Ok(edges(&cargo_tree(root, &words, packages.into_iter(), setting).await?))
}

/// Rows such as `2 serde v1.0.0 (*)`, the number being the depth, as who takes what.
fn edges(text: &str) -> Edges {
    let mut all = Edges::new();
    let mut above: Vec<String> = Vec::new();
    for row in text.lines() {
        let Some((depth, rest)) = row.split_once(' ') else { continue };
        let Ok(depth) = depth.parse::<usize>() else { continue };
        let Some((id, _)) = dependency(&format!("{}|", rest.trim_end_matches("(*)"))) else { continue };
        above.truncate(depth);
        if let Some(parent) = above.last() {
            all.entry(parent.clone()).or_default().insert(id.clone());
        }
        all.entry(id.clone()).or_default();
        above.push(id);
    }
    all
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// A package as cargo's tree shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Taken {
    features: String,
    /// Its folder, for one that is no registry's.
    dir: Option<PathBuf>,
}

/// Dependencies of packages and their features, by `name version`.
async fn tree<'a>(
    root: &Path,
    packages: impl Iterator<Item = &'a str>,
    setting: &Setting,
) -> anyhow::Result<BTreeMap<String, Taken>> {
    let words = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}|{f}"];
    let text = cargo_tree(root, &words, packages, setting).await?;
    Ok(text.lines().filter_map(dependency).collect())
}

async fn cargo_tree<'a>(
    root: &Path,
    words: &[&str],
    packages: impl Iterator<Item = &'a str>,
    setting: &Setting,
) -> anyhow::Result<String> {
    let mut arguments = vec!["tree", "--locked", "--target", &setting.target];
    arguments.extend(words);
    for package in packages {
        arguments.extend(["--package", package]);
    }
    read(super::cargo::asking(arguments, root)).await.map_err(|error| {
        let why = crate::model::fault::from_error(&error).why;
        Fault::usage("read the dependencies", "Cargo.lock")
            .why(why)
            .next("run `cargo check`, and commit Cargo.lock")
            .into()
    })
}

/// `serde v1.0.0 (proc-macro)|derive,std (*)` as `serde 1.0.0` and what is said of it.
fn dependency(row: &str) -> Option<(String, Taken)> {
    let (package, features) = row.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // `(/some/where/api)`; a folder's name may have blanks.
    let dir = package.split_once(" (/").and_then(|(_, rest)| rest.rsplit_once(')'));
    let taken = Taken {
        features: features.trim_end_matches("(*)").trim().to_owned(),
        dir: dir.map(|(dir, _)| PathBuf::from(format!("/{dir}"))),
    };
    Some((format!("{name} {version}"), taken))
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
            ("serde v1.0.228|derive,std", Some(("serde 1.0.228", "derive,std", None))),
            (
                "serde_derive v1.0.228 (proc-macro)|default (*)",
                Some(("serde_derive 1.0.228", "default", None)),
            ),
            ("api v0.1.0 (/some/where else/api)|", Some(("api 0.1.0", "", Some("/some/where else/api")))),
            ("m v0.1.0 (proc-macro) (/x/m)|a (*)", Some(("m 0.1.0", "a", Some("/x/m")))),
            ("", None),
        ];
        for (row, expected) in table {
            let expected = expected.map(|(id, features, dir)| {
                (id.to_owned(), Taken { features: features.to_owned(), dir: dir.map(PathBuf::from) })
            });
            assert_eq!(dependency(row), expected, "{row}");
        }
    }

    #[test]
    fn depths_tell_who_takes_what() {
        let found = edges(
            "0 api v0.1.0 (/x/api)\n1 a v1.0.0\n2 b v1.0.0\n1 c v2.0.0\n2 a v1.0.0 (*)\n\n0 hooks v0.1.0 (/x)\n1 a v1.0.0 (*)\n",
        );
        let text: Vec<String> = found
            .iter()
            .map(|(id, all)| format!("{id}: {}", all.iter().cloned().collect::<Vec<_>>().join(", ")))
            .collect();
        assert_eq!(
            text,
            [
                "a 1.0.0: b 1.0.0",
                "api 0.1.0: a 1.0.0, c 2.0.0",
                "b 1.0.0: ",
                "c 2.0.0: a 1.0.0",
                "hooks 0.1.0: a 1.0.0"
            ]
        );
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
