//! Runs unit tests as programs of their own, so that each result is known; with coverage where LLVM's tools are there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::compile::{self, Shown};
use super::reproducible::target_dir;
use super::way::Way;
use crate::test_report::Suite;
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{Cmd, Shell, cmd, command};
use causeway_machine::shell::read;
use causeway_model::fault::{Fault, from_error};
use causeway_progress::MARK;

/// LLVM's tools of the compiler's own version.
#[derive(Debug, Clone)]
pub struct Llvm {
    profdata: PathBuf,
    cov: PathBuf,
}

/// How many test programs run at once.
const AT_ONCE: usize = 4;

/// The programs that tests start, by the variables that cargo names them with.
type Binaries = BTreeMap<String, PathBuf>;

/// A test program.
#[derive(Debug, Clone)]
struct Built {
    suite: String,
    executable: PathBuf,
    /// The folder of its package, where it is run.
    dir: PathBuf,
}

/// What a run gave.
pub struct Ran {
    /// The results of each program.
    pub suites: Vec<Suite>,
    /// What the programs printed in which a test failed, each one's own lines; nothing of those that passed.
    pub failures: Vec<String>,
    /// LLVM's lcov export, or why there is none.
    pub lcov: Option<anyhow::Result<String>>,
}

/// What is built, and how.
#[derive(Clone, Copy, Default)]
pub struct How<'a> {
    /// The cargo profile; by default the one for tests.
    pub profile: Option<&'a str>,
    /// Measures coverage.
    pub llvm: Option<&'a Llvm>,
    /// The way by which a package of the same profile is built, and the folder for its programs; what both use is compiled once.
    pub way: Option<(&'a Way, &'a Path)>,
    /// Features that are turned on, as `package/feature`.
    pub features: &'a [String],
    /// The variables that stamp binaries with their versions, and the versions.
    pub stamps: &'a [(String, String)],
}

/// Finds LLVM's tools of the compiler's version: in its sysroot (rustup's `llvm-tools`), or on the path.
///
/// # Errors
/// Why there are none, in words.
pub async fn llvm(root: &Path) -> Result<Llvm, String> {
    let version = answer(root, |sh| cmd!(sh, "rustc -vV")).await.map_err(|error| format!("{error:#}"))?;
    let own =
        version.lines().find_map(|row| row.strip_prefix("LLVM version: ")).unwrap_or_default().to_owned();
    let host = version.lines().find_map(|row| row.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let sysroot = answer(root, |sh| cmd!(sh, "rustc --print sysroot")).await;
    let sysroot = sysroot.map_err(|error| format!("{error:#}"))?;
    let bin = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    let major = own.split('.').next().unwrap_or_default().to_owned();
    let candidates = [
        (bin.join("llvm-profdata"), bin.join("llvm-cov")),
        (PathBuf::from(format!("llvm-profdata-{major}")), PathBuf::from(format!("llvm-cov-{major}"))),
        (PathBuf::from("llvm-profdata"), PathBuf::from("llvm-cov")),
    ];
    for (profdata, cov) in candidates {
        let Ok(said) = answer(root, |sh| cmd!(sh, "{cov} --version")).await else { continue };
        if said.contains(&format!("version {major}."))
            && answer(root, |sh| cmd!(sh, "{profdata} --version")).await.is_ok()
        {
            return Ok(Llvm { profdata, cov });
        }
    }
    Err(format!(
        "no llvm-profdata and llvm-cov of version {major} were found (rustup component add llvm-tools)"
    ))
}

async fn answer(root: &Path, make: impl for<'a> FnOnce(&'a Shell) -> Cmd<'a>) -> anyhow::Result<String> {
    read(command(root, make)?).await
}

/// Adds LLVM's tools to the compiler by rustup, then finds them.
///
/// # Errors
/// Why there are none, in words: rustup is not there, or cannot add them.
pub async fn add_llvm(root: &Path) -> Result<Llvm, String> {
    let added = answer(root, |sh| cmd!(sh, "rustup component add llvm-tools")).await;
    added.map_err(|error| format!("rustup cannot add llvm-tools: {}", from_error(&error).why))?;
    llvm(root).await
}

/// Builds and runs the unit tests of packages. Every program is run, also after a failure.
///
/// # Errors
/// Something does not compile, or a program cannot be started.
pub async fn run(root: &Path, packages: &[&str], how: How<'_>, shown: Shown<'_>) -> anyhow::Result<Ran> {
    let scratch = tempfile::tempdir().context("make a folder for the profiles")?;
    let (built, binaries) = build(root, packages, how, shown).await?;
    let (suites, failures) = all(&built, &binaries, scratch.path(), shown).await?;
    let lcov = match how.llvm {
        Some(llvm) => Some(export(root, llvm, &built, scratch.path()).await),
        None => None,
    };
    Ok(Ran { suites, failures, lcov })
}

async fn build(
    root: &Path,
    packages: &[&str],
    how: How<'_>,
    shown: Shown<'_>,
) -> anyhow::Result<(Vec<Built>, Binaries)> {
    let profile = how.profile.map(|profile| format!("--profile={profile}"));
    let named = packages.iter().map(|package| format!("--package={package}"));
    let features = how.features.iter().map(|feature| format!("--features={feature}"));
    let mut command = command(root, |sh| {
        cmd!(
            sh,
            "cargo test --locked --no-run --message-format json-render-diagnostics
                {named...} {profile...} {features...}"
        )
    })?;
    command.envs(how.stamps.iter().map(|(name, version)| (name, version)));
    if let Some((way, tools)) = how.way {
        way.lead(&mut command, root, tools)?;
    }
    if how.llvm.is_some() {
        // Apart from other builds: these flags would compile everything anew each time.
        command
            .env("CARGO_TARGET_DIR", target_dir(root).join("coverage"))
            .env("RUSTFLAGS", "-C instrument-coverage");
    }
    let compiled = compile::run(command, root, shown).await?;
    if !compiled.status.success() {
        return Err(Fault::failed("build the unit tests", packages.join(", "))
            .why(format!("cargo ended with {}; its lines are above", compiled.status))
            .next("fix what it names, and run it again")
            .into());
    }
    let (mut built, mut binaries) = (Vec::new(), BTreeMap::new());
    for artifact in compiled.programs {
        let Some(executable) = artifact.executable else { continue };
        if !artifact.profile.test {
            if artifact.target.is_bin() {
                binaries.insert(format!("CARGO_BIN_EXE_{}", artifact.target.name), executable.into());
            }
            continue;
        }
        let dir = PathBuf::from(&artifact.manifest_path)
            .parent()
            .map_or_else(|| root.to_path_buf(), Path::to_path_buf);
        let package = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let suite = if artifact.target.name == package {
            package
        } else {
            format!("{package}::{}", artifact.target.name)
        };
        built.push(Built { suite, executable: executable.into(), dir });
    }
    built.sort_by(|a, b| (&a.suite, &a.executable).cmp(&(&b.suite, &b.executable)));
    Ok((built, binaries))
}

/// Runs the programs, some at once: most of their time they wait. The results are in the programs' order.
async fn all(
    built: &[Built],
    binaries: &Binaries,
    scratch: &Path,
    shown: Shown<'_>,
) -> anyhow::Result<(Vec<Suite>, Vec<String>)> {
    let watch = Stopwatch::start();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, test) in built.iter().cloned().enumerate() {
        let (places, scratch, binaries) = (Arc::clone(&places), scratch.to_path_buf(), binaries.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await.context("wait for other tests")?;
            one(&test, &binaries, &scratch).await.map(|ended| (number, ended))
        });
    }
    let mut ended = BTreeMap::new();
    let mut tick = tokio::time::interval(shown.every);
    tick.tick().await;
    loop {
        tokio::select! {
            next = running.join_next() => match next {
                Some(one) => {
                    let (number, one) = one.context("run the unit tests")??;
                    ended.insert(number, one);
                }
                None => break,
            },
            _ = tick.tick() => {
                let names = built.iter().enumerate().filter(|(number, _)| !ended.contains_key(number));
                let names: Vec<&str> = names.map(|(_, test)| test.suite.as_str()).take(AT_ONCE).collect();
                (shown.progress)(&format!(
                    "{MARK}{} of {} test programs have run, {}; {} s",
                    ended.len(), built.len(), names.join(", "), watch.elapsed().as_secs()
                ));
            }
        }
    }
    let (suites, printed): (Vec<_>, Vec<_>) = ended.into_values().unzip();
    Ok((suites, printed.into_iter().flatten().collect()))
}

/// How many tests of one program run at once, as Rust's test harness reads it.
pub const THREADS: &str = "RUST_TEST_THREADS";

/// What [`THREADS`] is given where nobody said otherwise: two on a core, since many wait for programs that they started.
pub fn at_once() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::env::var(THREADS).unwrap_or_else(|_| (2 * cores).to_string())
}

/// Runs a program: its results, and what it printed where it failed.
async fn one(test: &Built, binaries: &Binaries, scratch: &Path) -> anyhow::Result<(Suite, Option<String>)> {
    let watch = Stopwatch::start();
    let executable = &test.executable;
    let mut command = command(&test.dir, |sh| cmd!(sh, "{executable}"))?;
    command
        .envs(binaries)
        .env(THREADS, at_once())
        .env("CARGO_MANIFEST_DIR", &test.dir)
        .env("LLVM_PROFILE_FILE", scratch.join("%p-%m.profraw"));
    let output = command.output().await.with_context(|| format!("start {}", executable.display()))?;
    let millis = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let said = String::from_utf8_lossy(&output.stdout);
    let suite = Suite::parse(&test.suite, &said, millis, output.status.success());
    let failure = suite.failure(&said, &String::from_utf8_lossy(&output.stderr));
    Ok((suite, failure))
}

async fn export(root: &Path, llvm: &Llvm, built: &[Built], scratch: &Path) -> anyhow::Result<String> {
    let entries = std::fs::read_dir(scratch).context("read the profiles")?;
    let profiles: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "profraw"))
        .collect();
    let merged = scratch.join("merged.profdata");
    let Llvm { profdata, cov } = llvm;
    let merge = command(root, |sh| cmd!(sh, "{profdata} merge -sparse -o {merged} {profiles...}"))?;
    read(merge).await.context("merge the profiles")?;
    let mut executables = built.iter().map(|test| test.executable.as_os_str());
    let first = executables.next();
    let others = executables.flat_map(|executable| [OsStr::new("-object"), executable]);
    let export = command(root, |sh| {
        cmd!(sh, "{cov} export -format=lcov -instr-profile={merged} {first...} {others...}")
    })?;
    read(export).await.context("export the coverage")
}
