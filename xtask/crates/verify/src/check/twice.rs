//! What `check` proves of one package for arm64, quickly: it is built, held to the floor, and answers. What `check --full` proves of
//! all of them, as they are released: built twice, in two directories and under two environments, cargo homes and (where
//! faketime is there) clocks, they are the same bytes for arm64, small enough, and they answer.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use causeway_build::debian::{self, Part};
use causeway_build::{trial, way};
use causeway_command::Context;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::{hear, read};
use causeway_model::artifact::PackageRecord;
use causeway_model::fault::Fault;

/// How large a zip for arm64 may be: what was reached, with room for a few more handlers.
const LARGEST: [(&str, u64); 4] = [
    ("checkin", 2_800_000),
    ("contacts", 2_800_000),
    ("pre-traffic", 2_400_000),
    ("post-traffic", 2_400_000),
];

/// A folder, a umask, and variables.
type Place = (&'static str, &'static str, [(&'static str, &'static str); 2]);

/// Packages the last commit twice and compares; runs each function once under qemu.
///
/// # Errors
/// They differ, one is too large, or one does not answer.
pub(super) async fn prove(context: &Context) -> anyhow::Result<()> {
    let base = context.root.join("target/causeway/twice");
    std::fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
    let table: [Place; 2] = [
        ("a", "0022", [("TZ", "UTC"), ("LC_ALL", "C")]),
        ("another-folder/b", "0077", [("TZ", "Pacific/Apia"), ("LC_ALL", "de_DE.UTF-8")]),
    ];
    let mut records = Vec::new();
    for (name, umask, environment) in table {
        let dir = base.join(name);
        clone(&context.root, &dir).await?;
        context.out.note(format!("packaging in {}", dir.display()));
        // The second one has everything otherwise.
        let elsewhere = !records.is_empty();
        records.push(packaged(context, &dir, &[], (umask, &environment), elsewhere).await?);
    }
    let [first, second] = records.as_slice() else { return Ok(()) };
    for (one, other) in first.functions.iter().zip(&second.functions) {
        if (&one.name, &one.sha256) != (&other.name, &other.sha256) {
            return Err(Fault::failed("compare two builds", one.name.as_str())
                .why(format!("{} and {} differ", one.sha256, other.sha256))
                .next("look for what got in: a path, a time, another compiler")
                .into());
        }
        let largest = LARGEST.into_iter().find(|(name, _)| *name == one.name);
        if let Some((_, most)) = largest.filter(|(_, most)| one.bytes > *most) {
            return Err(Fault::failed("hold the package to its size", one.name.as_str())
                .why(format!("its zip has {} bytes, {most} at most", one.bytes))
                .next("see what came in: cargo xtask package --explain")
                .into());
        }
    }
    let names: Vec<&str> = first.functions.iter().map(|function| function.name.as_str()).collect();
    run(context, &base.join("a"), &names).await?;
    Ok(())
}

/// Packages one hook for arm64 and runs it: the way to compiler and linker, the floor, the zip. It is optimized for being
/// built quickly. Whether it was run, too, which needs arm64 or Debian's emulator.
///
/// # Errors
/// It does not build, asks for what Lambda does not have, or does not answer.
pub(super) async fn one(context: &Context) -> anyhow::Result<bool> {
    let dir = context.root.join("target/causeway/arm64");
    clone(&context.root, &dir).await?;
    let words = ["--bin=pre-traffic", "--profile=rehearse"];
    let record = packaged(context, &dir, &words, ("0022", &[]), false).await?;
    anyhow::ensure!(record.target == way::RELEASE, "it was built for {}", record.target);
    run(context, &dir, &["pre-traffic"]).await
}

/// Fetches what [`one`] needs and this machine lacks: compiler, linker, and what runs the package.
///
/// # Errors
/// Something cannot be had.
pub(super) async fn fetch(context: &Context) -> anyhow::Result<()> {
    let tools = tempfile::tempdir().context("make a folder for the linker")?;
    causeway_release::package::find_way(context, way::RELEASE, tools.path()).await?;
    if !RUNS_ITSELF && debian::is_here(&context.root).await {
        emulator(context).await?;
    }
    Ok(())
}

/// Whether this machine runs what is released.
const RUNS_ITSELF: bool = cfg!(all(target_os = "linux", target_arch = "aarch64"));

async fn emulator(context: &Context) -> anyhow::Result<PathBuf> {
    let say = |text: &str| context.out.note(text);
    debian::unpacked(&context.root.join("target/causeway/debian"), Part::Emulator, &say).await
}

/// Runs packages of a checkout, each once: on arm64 as they are, on Debian under its emulator. Elsewhere none, which is said.
async fn run(context: &Context, dir: &Path, names: &[&str]) -> anyhow::Result<bool> {
    let emulator = if RUNS_ITSELF {
        None
    } else if debian::is_here(&context.root).await {
        Some(emulator(context).await?)
    } else {
        context.out.note("neither arm64 nor a Debian machine: the packages are not run");
        return Ok(false);
    };
    for name in names {
        answers(context, dir, emulator.as_deref(), name).await?;
    }
    Ok(true)
}

/// A clone of the last commit; one that is there already is brought to it, so that its builds are used again.
async fn clone(root: &Path, dir: &Path) -> anyhow::Result<()> {
    if dir.join(".git").is_dir() {
        read(command(dir, |sh| cmd!(sh, "git fetch --quiet origin HEAD"))?).await?;
        read(command(dir, |sh| cmd!(sh, "git reset --quiet --hard FETCH_HEAD"))?).await?;
        return Ok(());
    }
    read(command(root, |sh| cmd!(sh, "git clone --quiet --local -- {root} {dir}"))?).await?;
    Ok(())
}

/// A cargo home beside the builds, with the same registry in it.
fn other_cargo_home(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    let named = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let Some(home) = named.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))) else {
        return Ok(None);
    };
    let other = root.join("target/causeway/twice/another-cargo-home");
    std::fs::create_dir_all(&other).with_context(|| format!("create {}", other.display()))?;
    for name in ["registry", "git"] {
        let (from, to) = (home.join(name), other.join(name));
        if from.is_dir() && !to.exists() {
            std::os::unix::fs::symlink(&from, &to).with_context(|| format!("link {}", to.display()))?;
        }
    }
    Ok(Some(other))
}

/// Packages a checkout under a umask and an environment; elsewhere: with another cargo home, and another clock where
/// faketime is there.
async fn packaged(
    context: &Context,
    dir: &Path,
    words: &[&str],
    (umask, environment): (&str, &[(&str, &str)]),
    elsewhere: bool,
) -> anyhow::Result<PackageRecord> {
    let own = std::env::current_exe().context("find our own program")?;
    let clock = if elsewhere { other_clock(context).await } else { &[] };
    // A umask is of a process, and only a shell sets it for a program that it becomes.
    let become_it = "umask \"$0\"; exec \"$@\"";
    let mut command = command(dir, |sh| {
        cmd!(
            sh,
            "/bin/sh -c {become_it} {umask} {clock...} {own} package --no-upload {words...} --output json"
        )
    })?;
    command.envs(environment.iter().copied());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAUSEWAY_")) {
        command.env_remove(name);
    }
    // Where builds are kept is the checkout's own affair, or both would be one build.
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
    if let Some(home) = other_cargo_home(&context.root)?.filter(|_| elsewhere) {
        command.env("CARGO_HOME", home);
    }
    // What was fetched once serves both: neither folder is part of what is built.
    command.env("CAUSEWAY_VENV_DIR", causeway_machine::paths::Paths::of(&context.root).venv());
    command.env("CAUSEWAY_DEBIAN_DIR", context.root.join("target/causeway/debian"));
    let output = hear(command).await.context("start the packaging")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value =
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    if !output.status.success() {
        let error = last.get("error").map(ToString::to_string).unwrap_or_default();
        return Err(Fault::failed("package", dir.display().to_string()).why(error).into());
    }
    serde_json::from_value(last["data"].clone()).context("read what was packaged")
}

/// What stands before a program to give it another clock: a year and a month ahead. Nothing where faketime is not there.
async fn other_clock(context: &Context) -> &'static [&'static str] {
    let here = async { read(command(&context.root, |sh| cmd!(sh, "faketime --version"))?).await };
    let here = here.await.is_ok();
    let said = if here { "under another clock, too" } else { "under the same clock: faketime is not there" };
    context.out.note(format!("the second time with another cargo home, {said}"));
    if here { &["faketime", "-f", "+395d"] } else { &[] }
}

/// Runs a package, under qemu where this machine is another one, and gives it one event.
async fn answers(context: &Context, dir: &Path, emulator: Option<&Path>, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the function")?;
    let bootstrap = folder.path().join("bootstrap");
    trial::unpack(&dir.join(format!("target/causeway/package/{name}.zip")), &bootstrap)?;
    let (mut command, how) = match emulator {
        Some(emulator) => {
            let qemu = emulator.join("usr/bin/qemu-aarch64-static");
            let libraries = emulator.join("usr/aarch64-linux-gnu");
            let emulated = command(folder.path(), |sh| cmd!(sh, "{qemu} -L {libraries} {bootstrap}"))?;
            (emulated, "under qemu")
        }
        None => (command(folder.path(), |sh| cmd!(sh, "{bootstrap}"))?, "on this machine"),
    };
    // Nobody is there: what a hook would have to report stays unsaid, and it says so.
    trial::lambdas(&mut command, "http://127.0.0.1:9");
    let mut event = trial::get("/api/version");
    event["DeploymentId"] = json!("d-1");
    event["LifecycleEventHookExecutionId"] = json!("e-1");
    let trial = trial::run(command, event).await?;
    let said = trial.answer.get("statusCode").or_else(|| trial.answer.get("errorType"));
    let said = said.map(ToString::to_string).unwrap_or_default();
    context.out.note(format!(
        "{name} {how}: asked for work after {} ms, answered {said} after {} ms",
        trial.first_next.as_millis(),
        trial.answered.as_millis()
    ));
    anyhow::ensure!(
        said == "200" || said == "\"ReportError\"" || said == "404",
        "{name} answered {}",
        trial.answer
    );
    Ok(())
}
