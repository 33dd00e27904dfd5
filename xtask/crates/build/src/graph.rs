//! What cargo says of the workspace: who takes what, with which features, under which license. It is asked every time: that
//! takes it under a second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::cargo::asking;
use super::fetch;
use super::versions::{Binary, Setting};
use crate::bill::Edges;
use causeway_machine::cmd::cmd;
use causeway_machine::shell::read;
use causeway_model::fault::{Fault, from_error};

/// The packages around binaries that are built together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// The binaries, each with its package, sorted by package.
    pub binaries: Vec<Binary>,
    /// What is taken by all of them together: features are unified over what is built together.
    pub(super) together: BTreeMap<String, Taken>,
    /// What each package takes, by the package's name.
    pub(super) closures: BTreeMap<String, BTreeMap<String, Taken>>,
    /// What is linked in: who takes what, with the features of all of them. What only runs while they are built, such as
    /// macros, is not in it.
    pub edges: Edges,
    /// Checksums of Cargo.lock by `name version`.
    pub(super) checksums: BTreeMap<String, String>,
    /// Licenses by `name version`; none where cargo cannot say.
    pub licenses: BTreeMap<String, String>,
}

/// A package as cargo's tree shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Taken {
    pub(super) features: String,
    /// Its folder, for one that is no registry's.
    pub(super) dir: Option<PathBuf>,
}

/// The packages around binaries that are built together; cargo's answers are waited for side by side. What it needs of a
/// registry is fetched first; `say` hears of a registry that does not answer.
///
/// # Errors
/// A binary that no package of the workspace has, or cargo does not accept the workspace.
pub async fn find(
    root: &Path,
    names: &[String],
    setting: &Setting,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Graph> {
    let host = setting.host().unwrap_or(&setting.target);
    fetch::crates(root, &[&setting.target, host], say).await;
    let lock = root.join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).with_context(|| format!("read {}", lock.display()))?;
    let (graph, licenses) = tokio::join!(taken(root, names, setting), licenses(root, &setting.target));
    Ok(Graph { checksums: checksums(&lock)?, licenses, ..graph? })
}

async fn taken(root: &Path, names: &[String], setting: &Setting) -> anyhow::Result<Graph> {
    let binaries = binaries(root, names).await?;
    let packages: BTreeSet<&str> = binaries.iter().map(|binary| binary.package.as_str()).collect();
    let mut each = tokio::task::JoinSet::new();
    for package in &packages {
        let (root, package, setting) = (root.to_path_buf(), (*package).to_owned(), setting.clone());
        each.spawn(async move {
            let taken = tree(&root, std::iter::once(package.as_str()), &setting).await?;
            anyhow::Ok((package, taken))
        });
    }
    let (together, edges) =
        tokio::try_join!(tree(root, packages.iter().copied(), setting), linked(root, &packages, setting))?;
    let mut closures = BTreeMap::new();
    while let Some(one) = each.join_next().await {
        let (package, taken) = one??;
        closures.insert(package, taken);
    }
    Ok(Graph { binaries, together, closures, edges, ..Graph::default() })
}

/// Finds which package each binary belongs to, by cargo's own word.
async fn binaries(root: &Path, names: &[String]) -> anyhow::Result<Vec<Binary>> {
    let ask = asking(root, |sh| cmd!(sh, "cargo metadata --format-version 1 --locked --no-deps"))?;
    let text = read(ask).await?;
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

/// The packages that have these binaries.
///
/// # Errors
/// A binary that no package of the workspace has.
pub async fn packages(root: &Path, names: &[String]) -> anyhow::Result<BTreeSet<String>> {
    Ok(binaries(root, names).await?.into_iter().map(|binary| binary.package).collect())
}

/// The licenses of every package that is in reach, by `name version`.
async fn licenses(root: &Path, target: &str) -> BTreeMap<String, String> {
    let ask =
        asking(root, |sh| cmd!(sh, "cargo metadata --format-version 1 --locked --filter-platform={target}"));
    let Ok(ask) = ask else { return Default::default() };
    let Ok(text) = read(ask).await else { return Default::default() };
    let Ok(metadata) = serde_json::from_str::<cargo_metadata::Metadata>(&text) else {
        return Default::default();
    };
    let licensed = |package: cargo_metadata::Package| {
        Some((format!("{} {}", package.name, package.version), package.license?))
    };
    metadata.packages.into_iter().filter_map(licensed).collect()
}

async fn linked(root: &Path, packages: &BTreeSet<&str>, setting: &Setting) -> anyhow::Result<Edges> {
    let words = ["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}"];
    Ok(edges(&cargo_tree(root, &words, packages.iter().copied(), setting).await?))
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
    let packages: Vec<&str> = packages.collect();
    let of_these =
        |feature: &&String| feature.split_once('/').is_some_and(|(package, _)| packages.contains(&package));
    let target = &setting.target;
    let features = setting.features.iter().filter(of_these).map(|feature| format!("--features={feature}"));
    let named = packages.iter().map(|package| format!("--package={package}"));
    let ask = asking(root, |sh| {
        cmd!(sh, "cargo tree --locked --target={target} {words...} {named...} {features...}")
    })?;
    read(ask).await.map_err(|error| {
        let why = from_error(&error).why;
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
}
