//! Runs a cargo command that compiles: tells meanwhile how far it is, passes on what the compiler says, and notes what was
//! compiled.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use cargo_metadata::{Artifact, Message};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use causeway_machine::clock::Stopwatch;
use causeway_model::units::{self, Unit};
use causeway_progress::{MARK, Record, VARIABLES, Watch, plain, spell};

/// Names the file to which a rehearsal has its builds add what they compiled.
pub const UNITS: &str = "CAUSEWAY_UNITS";
/// So much of what cargo says is kept for a known failure, in bytes.
const KEPT: usize = 4 * 1024 * 1024;

/// Where a build's words go.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Takes a line of progress.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Takes a row of the compiler's as it is.
    pub row: &'a (dyn Fn(&str) + Sync),
    /// How often there is a line of progress.
    pub every: Duration,
}

/// What a command compiled.
pub struct Compiled {
    /// How cargo ended.
    pub status: ExitStatus,
    /// Programs that it made or found up to date.
    pub programs: Vec<Artifact>,
    /// What it said beside its progress.
    pub said: String,
}

/// Runs such a command; its arguments ask for JSON messages. `root` is the workspace.
///
/// # Errors
/// Cargo cannot be started.
pub async fn run(mut command: Command, root: &Path, shown: Shown<'_>) -> anyhow::Result<Compiled> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Read by us, cargo would take stderr for a file, and draw no bar.
    command.envs(VARIABLES);
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().context("start cargo")?;
    let mut stderr = child.stderr.take().context("read what cargo says")?;
    let stdout = child.stdout.take().context("read what cargo built")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut far = Far::new(root, shown.every);
    let (mut compiled, mut programs, mut kept) = (Vec::new(), Vec::new(), String::new());
    let build = std::env::var("CODEBUILD_BUILD_ID").unwrap_or_default();
    let mut tick = tokio::time::interval(shown.every.min(Duration::from_secs(1)));
    let (mut built, mut saying) = (true, true);
    let mut part = vec![0; 16 * 1024];
    while built || saying {
        tokio::select! {
            line = lines.next_line(), if built => match line.context("read what cargo built")? {
                Some(line) => {
                    compiled.extend(units::unit(&build, &line));
                    // Most of what was built is a library: its line is not even read.
                    if line.contains("\"executable\":\"")
                        && let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(&line)
                    {
                        programs.push(artifact);
                    }
                }
                None => built = false,
            },
            length = stderr.read(&mut part), if saying => {
                let length = length.unwrap_or(0);
                saying = length > 0;
                let rows = match part.get(..length) {
                    Some(bytes @ [_, ..]) => far.cargo.feed(bytes, far.watch.elapsed()),
                    _ => far.cargo.rest(),
                };
                for row in String::from_utf8_lossy(&rows).lines() {
                    // From the first error on nothing but the compiler's own rows: they are the last ones.
                    far.is_told &= !plain(row).starts_with("error");
                    (shown.row)(row);
                    if kept.len() < KEPT {
                        kept.push_str(row);
                        kept.push('\n');
                    }
                }
            },
            _ = tick.tick() => {
                if let Some(line) = far.line() {
                    (shown.progress)(&line);
                }
            }
        }
    }
    let status = child.wait().await.context("wait for cargo")?;
    note(&compiled);
    if status.success() {
        far.remember();
        (shown.progress)(&match compiled.len() {
            0 => format!("{MARK}nothing was to be compiled"),
            units => format!("{MARK}{units} units compiled in {}", spell(far.watch.elapsed())),
        });
    }
    Ok(Compiled { status, programs, said: kept })
}

/// How far a build is.
struct Far {
    watch: Stopwatch,
    told: Option<Duration>,
    every: Duration,
    is_told: bool,
    cargo: Watch,
    memory: PathBuf,
}

impl Far {
    fn new(root: &Path, every: Duration) -> Self {
        let memory = root.join("target/causeway/progress/functions");
        let last = Record::load(&memory);
        let cargo = Watch::new("functions", last);
        Self { watch: Stopwatch::start(), told: None, every, is_told: true, cargo, memory }
    }

    /// The line that is due.
    fn line(&mut self) -> Option<String> {
        let elapsed = self.watch.elapsed();
        if !self.is_told || self.told.is_some_and(|told| elapsed < told + self.every) {
            return None;
        }
        self.told = Some(elapsed);
        Some(format!("{MARK}{}", self.cargo.state(elapsed)))
    }

    /// Keeps how it went, for the next build. That it cannot be kept stops nothing.
    fn remember(&self) {
        if self.cargo.has_built() {
            self.cargo.record(self.watch.elapsed()).keep(&self.memory);
        }
    }
}

/// Adds what was compiled to the rehearsal's file, where there is one. A count that is missing is missed where it is read.
fn note(units: &[Unit]) {
    let Some(path) = std::env::var_os(UNITS).filter(|path| !path.is_empty()) else { return };
    let mut text = String::new();
    for unit in units {
        text.push_str(&serde_json::to_string(unit).unwrap_or_default());
        text.push('\n');
    }
    if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use causeway_machine::cmd::{cmd, command};

    /// What is shown of a program that stands for cargo, in its order: lines of progress, and rows behind a `|`. With the first
    /// line of progress that counts, the file `told` is there.
    async fn shown(script: &str) -> (Vec<String>, Compiled) {
        let dir = tempfile::tempdir().unwrap();
        let all = Mutex::new(Vec::new());
        let told = dir.path().join("told");
        let progress = |line: &str| {
            all.lock().unwrap().push(line.to_owned());
            if line.contains(" of ") {
                std::fs::write(&told, "").unwrap();
            }
        };
        let row = |row: &str| all.lock().unwrap().push(format!("|{row}"));
        let shown = Shown { progress: &progress, row: &row, every: Duration::from_millis(1) };
        let command = command(dir.path(), |sh| cmd!(sh, "sh -c {script}")).unwrap();
        let compiled = run(command, dir.path(), shown).await.unwrap();
        (all.into_inner().unwrap(), compiled)
    }

    const UNTIL_TOLD: &str = "until [ -e told ]; do sleep 0.01; done";

    #[tokio::test]
    async fn the_bar_becomes_lines_and_the_compilers_rows_stay_as_they_are() {
        let script = format!(
            "printf '   Compiling syn v2\\n    Building [=>  ] 3/9: syn\\r' >&2; {UNTIL_TOLD}; \
             printf '\\033[Kwarning: unused\\n  --> a.rs:1:1\\n' >&2; echo '{{}}'"
        );
        let (all, compiled) = shown(&script).await;
        let (rows, progress): (Vec<_>, Vec<_>) = all.into_iter().partition(|line| line.starts_with('|'));
        assert!(
            progress
                .iter()
                .any(|line| line.starts_with("building: 3 of 9 units, ") && line.ends_with(": syn")),
            "{progress:?}"
        );
        assert!(progress.iter().all(|line| line.starts_with(MARK)), "{progress:?}");
        assert_eq!(rows, ["|warning: unused", "|  --> a.rs:1:1"]);
        assert_eq!(compiled.said, "warning: unused\n  --> a.rs:1:1\n");
        assert!(compiled.status.success());
    }

    #[tokio::test]
    async fn after_an_error_nothing_but_the_compilers_rows_comes() {
        let script = format!(
            "printf '    Building [=>  ] 3/9: syn\\r' >&2; {UNTIL_TOLD}; printf 'error[E1]: no\\n' >&2; sleep 0.2; \
             printf ' more\\n' >&2; exit 101"
        );
        let (all, compiled) = shown(&script).await;
        let error = all.iter().position(|line| line == "|error[E1]: no").unwrap();
        assert_eq!(all[error..], ["|error[E1]: no", "| more"]);
        assert_eq!(compiled.status.code(), Some(101));
    }
}
