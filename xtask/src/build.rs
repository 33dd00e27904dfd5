//! Has cargo build the tool, and says how far it is.

use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use causeway_args::Common;
use causeway_digest::sources;
use causeway_progress::{Record, Screen, VARIABLES, Watch, follow};
use terminal_size::terminal_size_of;

use crate::interrupt::Interruptions;
use crate::part::Part;
use crate::place::{Cargos, Place};
use crate::said::{Fault, Kind, Stopwatch};
use crate::{note, program};

/// What was built.
pub(crate) struct Built {
    /// The program.
    pub(crate) path: PathBuf,
    /// The digest of its sources, where they stayed the same while it was built.
    pub(crate) digest: Option<String>,
}

/// What the linker and build scripts of C need; each of these variables names another than `cc`.
const COMPILERS: [&str; 3] = ["CC", "HOST_CC", "TARGET_CC"];
/// What is said where the C compiler is missing.
const INSTALL: &str = "install one (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)";

/// Builds a part of the tool as the entry was built.
pub(crate) fn build(root: &Path, place: &Place, part: Part, common: &Common) -> Result<Built, Fault> {
    let usual;
    let cargos = match &place.cargos {
        Some(cargos) => cargos,
        None => {
            usual = Cargos::usual(root);
            &usual
        }
    };
    let path = cargos.program(part.bin);
    if !path.exists() {
        compiler()?;
    }
    let before = sources(root).ok();
    cargo(root, cargos, part, common)?;
    if !path.is_file() {
        return Err(Fault::new(Kind::Failed, "find the tool", &path.display().to_string())
            .why("cargo has built it, but into another folder")
            .next("unset what leads its output elsewhere (CARGO_BUILD_TARGET, build.target), and say so in an issue"));
    }
    let digest = before.filter(|before| sources(root).ok().as_ref() == Some(before));
    Ok(Built { path, digest })
}

/// A C compiler is needed after minutes; that there is none can be said now.
fn compiler() -> Result<(), Fault> {
    let named = |name: &str| {
        COMPILERS.contains(&name)
            || name.starts_with("CC_")
            || (name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER"))
    };
    if std::env::vars_os().any(|(name, _)| named(&name.to_string_lossy())) || on_the_path("cc") {
        return Ok(());
    }
    Err(Fault::new(Kind::Usage, "build the tool", "cc")
        .why("there is no C compiler on the PATH")
        .next(INSTALL))
}

fn on_the_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// Runs cargo to its end. Its bar becomes our line; everything else that it prints is shown as it is.
fn cargo(root: &Path, cargos: &Cargos, part: Part, common: &Common) -> Result<(), Fault> {
    let watch = Stopwatch::start();
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(&name);
    command.args(["build", "--locked", "--package", part.package, "--bin", part.bin, "--manifest-path"]);
    command.arg(root.join("Cargo.toml")).args(cargos.arguments());
    command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(Stdio::piped()).envs(VARIABLES);
    let terminal =
        std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let variable = |name: &str| std::env::var_os(name);
    if variable("CARGO_TERM_COLOR").is_none_or(|value| value.is_empty()) {
        let colored = common.colors().paints(terminal, variable);
        command.env("CARGO_TERM_COLOR", if colored { "always" } else { "never" });
    }
    let interruptions = Interruptions::listen()
        .map_err(|error| Fault::new(Kind::Failed, "listen for Ctrl-C", part.package).why(error))?;
    let mut child = command.spawn().map_err(|error| {
        Fault::new(Kind::Usage, "start cargo", &name.to_string_lossy())
            .why(error)
            .next("install Rust (https://rustup.rs), or put cargo on the PATH")
    })?;
    interruptions.pass_to(&child);
    let record = cargos.target.join("causeway/progress").join(format!("{}-{}", part.bin, cargos.profile));
    let last = Record::load(&record);
    let mut progress = Watch::new(part.bin, last);
    let mut screen = Screen::new(std::io::stderr());
    let passed = match child.stderr.take() {
        Some(stderr) => {
            let columns = || {
                let size = (terminal && !common.quiet).then(|| terminal_size_of(std::io::stderr()));
                size.map(|size| size.map_or(80, |(width, _)| usize::from(width.0)))
            };
            follow(stderr, &mut progress, &mut screen, || watch.elapsed(), columns)
        }
        None => Vec::new(),
    };
    interruptions.wait(&child);
    let status =
        child.wait().map_err(|error| Fault::new(Kind::Failed, "wait for cargo", part.package).why(error))?;
    if interruptions.came() {
        return Err(interrupted(part));
    }
    if status.success() {
        if let Some(summary) = progress.summary(watch.elapsed()) {
            if !common.quiet {
                note(&summary);
            }
            progress.record(watch.elapsed()).keep(&record);
        }
        return Ok(());
    }
    Err(failed(part, status, &String::from_utf8_lossy(&passed)))
}

/// What is built is kept by cargo.
fn interrupted(part: Part) -> Fault {
    Fault::new(Kind::Interrupted, "build the tool", part.package)
        .why("cargo was interrupted")
        .next("run the same line again: what is built is kept")
}

/// Cargo's own lines are above by now; this says what they mean for the command.
fn failed(part: Part, status: std::process::ExitStatus, said: &str) -> Fault {
    let said = causeway_progress::plain(said);
    let fault = |kind| Fault::new(kind, "build the tool", part.package);
    /// `SIGINT`, which has one number everywhere.
    const INTERRUPT: i32 = 2;
    if status.signal() == Some(INTERRUPT) {
        return interrupted(part);
    }
    let no_linker = said.contains("linker `") && said.contains("not found");
    if no_linker || said.contains("failed to find tool") {
        return fault(Kind::Usage)
            .why("the C compiler or linker that cargo names above is missing")
            .next(INSTALL);
    }
    let why = format!("cargo ended with {status}; its lines are above");
    let next = if said.contains("--locked") {
        "bring Cargo.lock up to date (cargo update --workspace), and look at what changed in it"
    } else {
        "fix what they name, then run the same line again"
    };
    fault(Kind::Failed).why(why).next(next)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_failed_build_is_told_by_its_cause() {
        let part = Part { package: "p", bin: "b" };
        // A wait status: the exit code is in the high byte, a signal in the low one.
        let table = [
            (101 << 8, "error: could not compile `x`", 1, "fix what they name"),
            (101 << 8, "\u{1b}[1merror\u{1b}[0m: linker `cc` not found", 2, "apt-get install gcc"),
            (
                101 << 8,
                "error occurred in cc-rs: failed to find tool \"cc\": No such file",
                2,
                "apt-get install gcc",
            ),
            (101 << 8, "error: cannot update the lock file because --locked was passed", 1, "cargo update"),
            (2, "", 130, "run the same line again"),
            (9, "", 1, "fix what they name"),
        ];
        for (status, said, code, next) in table {
            let fault = failed(part, ExitStatus::from_raw(status), said);
            assert_eq!(fault.kind.code(), code, "{said}");
            assert!(fault.next.contains(next), "{said}: {}", fault.next);
        }
    }
}
