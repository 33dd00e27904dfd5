//! What was found out before, kept in `target/causeway/remembered/`, so that a package of nothing new costs little more than
//! finding out that nothing is new.
//!
//! Nothing is believed that could have changed since: each answer lies under the digest of everything it follows from, this
//! very program among it. A file that is missing, damaged or cannot be written only means that the question is asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::fetch;
use super::graph::{self, Graph};
use super::versions::Setting;
use super::way;
use causeway_machine::files::{files_below, write_whole};

/// Variables that cargo sets for what it runs and does not read: with them, `cargo xtask` and the program by itself would
/// not believe each other.
const SET_BY_CARGO: [&str; 6] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "RUST_RECURSION_COUNT",
];

/// The packages around binaries that are built together, as cargo tells it; without asking cargo where nothing that it
/// would read has changed.
///
/// # Errors
/// As cargo's: a binary that no package has, or a workspace that it does not accept.
pub async fn graph(
    root: &Path,
    names: &[String],
    setting: &Setting,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Graph> {
    let path = place(root, "graph.json");
    let asked = question(root, names, setting);
    if let (Some(asked), Some(kept)) = (&asked, load::<Kept>(&path))
        && *asked == kept.question
        && kept.manifests.iter().all(|(dir, digest)| manifest(dir).is_ok_and(|now| now == *digest))
    {
        return Ok(kept.graph);
    }
    let host = setting.host().unwrap_or(&setting.target);
    fetch::crates(root, &[&setting.target, host], say).await;
    let graph = graph::ask(root, names, setting).await?;
    let manifests: anyhow::Result<BTreeMap<PathBuf, String>> =
        graph.own.iter().map(|dir| Ok((dir.clone(), manifest(dir)?))).collect();
    // What changed while cargo was asked, or what cargo could not say, is not kept.
    if let (Some(asked), Ok(manifests)) = (asked, manifests)
        && !manifests.is_empty()
        && question(root, names, setting).is_some_and(|now| now == asked)
    {
        save(&path, &Kept { question: asked, manifests, graph: graph.clone() });
    }
    Ok(graph)
}

#[derive(Serialize, Deserialize)]
struct Kept {
    question: String,
    /// Digests of the workspace's packages by their folders, as far as cargo reads them for its answer.
    manifests: BTreeMap<PathBuf, String>,
    graph: Graph,
}

/// The digest of everything that cargo's answer follows from, but the manifests of the packages; `None` where that cannot
/// be said. Everything of a registry follows from Cargo.lock.
fn question(root: &Path, names: &[String], setting: &Setting) -> Option<String> {
    let mut digest = Parts::new();
    digest.add("program", own_program()?.as_bytes());
    digest.add("cargo", which("cargo")?.as_bytes());
    digest.add("root", root.as_os_str().as_encoded_bytes());
    digest.add("target", setting.target.as_bytes());
    digest.add("rustc", setting.rustc.as_bytes());
    for name in names {
        digest.add("binary", name.as_bytes());
    }
    for name in ["Cargo.toml", "Cargo.lock"] {
        digest.add(name, &std::fs::read(root.join(name)).ok()?);
    }
    for (path, text) in way::configs(root) {
        // A file that takes in others: those are not followed here.
        if text.contains("include") {
            return None;
        }
        digest.add(&path.display().to_string(), text.as_bytes());
    }
    digest.add_variables();
    Some(digest.text())
}

/// Where a compiler lies with all that belongs to it: where it lay when it said the same of itself, by the same name, and
/// nothing that rustup chooses by has changed.
pub(super) fn sysroot(root: &Path, compiler: &Path, rustc: &str) -> Option<PathBuf> {
    let kept: Sysroot = load(&place(root, "sysroot.json"))?;
    let same = kept.question == chosen(root, compiler, rustc)?
        && kept.compiler == stamp(&kept.sysroot.join("bin/rustc"))?;
    same.then_some(kept.sysroot)
}

/// Keeps where a compiler lies, if it lies there as rustup lays it out.
pub(super) fn keep_sysroot(root: &Path, compiler: &Path, rustc: &str, sysroot: &Path) {
    if let (Some(question), Some(there)) = (chosen(root, compiler, rustc), stamp(&sysroot.join("bin/rustc")))
    {
        let kept = Sysroot { question, sysroot: sysroot.to_path_buf(), compiler: there };
        save(&place(root, "sysroot.json"), &kept);
    }
}

#[derive(Serialize, Deserialize)]
struct Sysroot {
    question: String,
    sysroot: PathBuf,
    /// The compiler in it.
    compiler: String,
}

/// The digest of all that a compiler is chosen by: its name, the variables, the files that rustup reads.
fn chosen(root: &Path, compiler: &Path, rustc: &str) -> Option<String> {
    let mut digest = Parts::new();
    let named = compiler.to_str()?;
    digest.add("compiler", if named.contains('/') { stamp(compiler) } else { which(named) }?.as_bytes());
    digest.add("rustc", rustc.as_bytes());
    let rustup = std::env::var_os("RUSTUP_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let rustup = rustup.or_else(|| std::env::home_dir().map(|home| home.join(".rustup")))?;
    let toolchains =
        root.ancestors().flat_map(|dir| ["rust-toolchain", "rust-toolchain.toml"].map(|name| dir.join(name)));
    for path in toolchains.chain([rustup.join("settings.toml")]) {
        if let Ok(text) = std::fs::read(&path) {
            digest.add(&path.display().to_string(), &text);
        }
    }
    digest.add_variables();
    Some(digest.text())
}

/// What cargo reads of a package: its manifest, and which files there are to be its targets.
fn manifest(dir: &Path) -> anyhow::Result<String> {
    let mut digest = Parts::new();
    digest.add("manifest", &std::fs::read(dir.join("Cargo.toml")).context("read the manifest")?);
    digest.add("build.rs", if dir.join("build.rs").is_file() { b"there" } else { b"" });
    let sources = dir.join("src");
    if sources.is_dir() {
        for name in files_below(&sources, &|_| true)? {
            digest.add("source", name.as_bytes());
        }
    }
    Ok(digest.text())
}

/// A zip that was made of a binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The digest of the binary, and of the rules that it was held to.
    pub of: String,
    /// The digest of the zip.
    pub sha256: String,
    /// The architecture that the binary is for.
    pub architecture: String,
}

/// Zips that were made before, by function.
pub fn zips(root: &Path) -> BTreeMap<String, Made> {
    load(&place(root, "zips.json")).unwrap_or_default()
}

/// Keeps which zips were made of what; those of other functions stay.
pub fn keep_zips(root: &Path, made: &BTreeMap<String, Made>) {
    let before = zips(root);
    let mut all = before.clone();
    all.extend(made.clone());
    if all != before {
        save(&place(root, "zips.json"), &all);
    }
}

/// The digest of a binary and of the rules that it is held to, this program's among them; `None` where nothing can be said
/// of this program.
pub fn of(binary: &[u8], rules: &str) -> Option<String> {
    let mut digest = Parts::new();
    digest.add("program", own_program()?.as_bytes());
    digest.add("rules", rules.as_bytes());
    digest.add("binary", binary);
    Some(digest.text())
}

/// This program: another build of it may think otherwise.
fn own_program() -> Option<String> {
    stamp(&std::env::current_exe().ok()?)
}

/// A program of the PATH.
fn which(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|dir| stamp(&dir.join(name)))
}

/// A file by its place, size and time, as cargo itself tells one compiler from another.
fn stamp(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(format!("{} {} {:?}", path.display(), metadata.len(), metadata.modified().ok()?))
}

/// A digest over parts, each with its label and length.
struct Parts(Sha256);

impl Parts {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn add(&mut self, label: &str, bytes: &[u8]) {
        self.0.update(format!("{label} {}\n", bytes.len()));
        self.0.update(bytes);
    }

    /// The variables that cargo and rustup read.
    fn add_variables(&mut self) {
        let mut variables: Vec<_> = std::env::vars_os().collect();
        variables.sort();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let read = (name.starts_with("CARGO") && name != "CARGO") || name.starts_with("RUST");
            if read && !SET_BY_CARGO.iter().any(|start| name.starts_with(start)) {
                self.add(&name, value.as_encoded_bytes());
            }
        }
    }

    fn text(self) -> String {
        hex::encode(self.0.finalize())
    }
}

fn place(root: &Path, name: &str) -> PathBuf {
    root.join("target/causeway/remembered").join(name)
}

fn load<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Keeps something. That it cannot be kept stops nothing.
fn save<T: Serialize>(path: &Path, what: &T) {
    let Some(dir) = path.parent() else { return };
    if std::fs::create_dir_all(dir).is_ok()
        && let Ok(text) = serde_json::to_vec(what)
    {
        let _ = write_whole(path, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            target: "x86_64-unknown-linux-gnu".into(),
            profile: "lambda".into(),
            rustc: "rustc 1".into(),
        }
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A workspace of two packages without a registry.
    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let package = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
        };
        write(dir.path(), "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\"]\n");
        write(dir.path(), "one/Cargo.toml", &package("one", ""));
        write(dir.path(), "one/src/lib.rs", "");
        write(dir.path(), "one/src/bin/first.rs", "fn main() {}");
        write(dir.path(), "two/Cargo.toml", &package("two", "[features]\ndeep = []\n"));
        write(dir.path(), "two/src/lib.rs", "");
        lock(dir.path(), &["one", "two"], "");
        dir
    }

    fn lock(root: &Path, names: &[&str], of_one: &str) {
        let mut text = "version = 4\n".to_owned();
        for name in names {
            let rest = if *name == "one" { of_one } else { "" };
            text.push_str(&format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n{rest}"));
        }
        write(root, "Cargo.lock", &text);
    }

    fn edit(root: &Path, name: &str, rest: &str) {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        write(root, name, &format!("{text}{rest}"));
    }

    #[tokio::test]
    async fn cargo_is_asked_again_once_anything_that_it_reads_is_another() {
        let dir = workspace();
        let root = dir.path().canonicalize().unwrap();
        let names = ["first".to_owned()];
        let path = place(&root, "graph.json");
        let asked = async || graph(&root, &names, &setting(), &|_| {}).await.unwrap();
        let first = asked().await;
        assert_eq!(first.own, [root.join("one"), root.join("two")]);
        // What is kept is believed: a mark in it comes back.
        let mark = || {
            let mut kept: Kept = load(&path).unwrap();
            kept.graph.licenses.insert("mark".into(), "mark".into());
            save(&path, &kept);
        };
        let is_marked = |graph: &Graph| graph.licenses.contains_key("mark");
        mark();
        assert!(is_marked(&asked().await));
        // A source's content is no question to cargo.
        edit(&root, "one/src/lib.rs", "// more\n");
        assert!(is_marked(&asked().await));

        edit(&root, "one/Cargo.toml", "[dependencies]\ntwo = { path = \"../two\" }\n");
        lock(&root, &["one", "two"], "dependencies = [\n \"two\",\n]\n");
        let more = asked().await;
        assert!(!is_marked(&more) && more.closures["one"].contains_key("two 0.1.0"), "{more:?}");
        mark();
        let toml = std::fs::read_to_string(root.join("one/Cargo.toml")).unwrap();
        write(&root, "one/Cargo.toml", &toml.replace("\"../two\"", "\"../two\", features = [\"deep\"]"));
        let deep = asked().await;
        assert_eq!((is_marked(&deep), deep.together["two 0.1.0"].features.as_str()), (false, "deep"));
        mark();
        write(&root, "one/src/bin/second.rs", "fn main() {}");
        assert!(!is_marked(&asked().await), "a file may be a target");
        mark();
        write(&root, ".cargo/config.toml", "[build]\njobs = 2\n");
        assert!(!is_marked(&asked().await), "a configuration");
        mark();
        let other = Setting { rustc: "rustc 2".into(), ..setting() };
        assert!(!is_marked(&graph(&root, &names, &other, &|_| {}).await.unwrap()), "another compiler");
        assert!(!is_marked(&asked().await), "one answer is kept, for the last question");
        mark();
        std::fs::write(&path, "{").unwrap();
        assert!(!is_marked(&asked().await), "a damaged file is no answer");
        mark();
        write(&root, ".cargo/other.toml", "[build]\njobs = 1\n");
        write(&root, ".cargo/config.toml", "include = [\"other.toml\"]\n");
        assert!(!is_marked(&asked().await), "what takes in other files is not kept");
        // What cannot be kept stops nothing.
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        write(&root, "target/causeway/remembered", "in the way");
        write(&root, ".cargo/config.toml", "");
        assert_eq!(asked().await.binaries, deep.binaries);
        // And what cargo refuses is never believed.
        std::fs::remove_file(root.join("target/causeway/remembered")).unwrap();
        asked().await;
        write(&root, "two/Cargo.toml", "[package]\n");
        assert!(graph(&root, &names, &setting(), &|_| {}).await.is_err());
    }

    #[test]
    fn a_compiler_is_looked_for_again_once_another_may_be_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        write(&root, "tools/bin/rustc", "one");
        let tools = root.join("tools");
        let named = tools.join("bin/rustc");
        assert_eq!(sysroot(&root, &named, "rustc 1"), None);
        keep_sysroot(&root, &named, "rustc 1", &tools);
        assert_eq!(sysroot(&root, &named, "rustc 1"), Some(tools.clone()));
        assert_eq!(sysroot(&root, &named, "rustc 2"), None, "it says something else");
        assert_eq!(sysroot(&root, Path::new("sh"), "rustc 1"), None, "another one is named");
        write(&root, "rust-toolchain.toml", "[toolchain]\nchannel = \"nightly\"\n");
        assert_eq!(sysroot(&root, &named, "rustc 1"), None, "another one is chosen");
        std::fs::remove_file(root.join("rust-toolchain.toml")).unwrap();
        assert_eq!(sysroot(&root, &named, "rustc 1"), Some(tools.clone()));
        write(&root, "tools/bin/rustc", "another");
        assert_eq!(sysroot(&root, &named, "rustc 1"), None, "it is not the one that was there");
        keep_sysroot(&root, &named, "rustc 1", &root.join("elsewhere"));
        assert_eq!(sysroot(&root, &named, "rustc 1"), None, "what lies otherwise is not kept");
    }

    #[test]
    fn zips_are_kept_by_what_they_were_made_of() {
        let dir = tempfile::tempdir().unwrap();
        assert!(zips(dir.path()).is_empty());
        let made = |of: &str| Made { of: of.into(), sha256: "s".into(), architecture: "arm64".into() };
        keep_zips(dir.path(), &[("a".to_owned(), made("1")), ("b".to_owned(), made("1"))].into());
        keep_zips(dir.path(), &[("a".to_owned(), made("2"))].into());
        assert_eq!(zips(dir.path()), [("a".to_owned(), made("2")), ("b".to_owned(), made("1"))].into());
        let one = of(b"binary", "held for arm64").unwrap();
        assert_eq!(one, of(b"binary", "held for arm64").unwrap());
        assert!(one != of(b"binarz", "held for arm64").unwrap() && one != of(b"binary", "").unwrap());
    }
}
