//! What all commands have in common: context, lines for people and scripts, results, Ctrl-C, the report.

mod cut_off;
pub mod page;
pub mod planned;
pub mod report;
pub mod term;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use causeway_args::{Cli, Common, Format};
use serde_json::{Value, json};

pub use self::cut_off::Changes;
use self::cut_off::{Interrupts, guarded};
use self::planned::Planned;
use crate::term::{Level, Options, Out};
use causeway_machine::clock::Stopwatch;
use causeway_model::config::{self, Config};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::line::{Line, ResultLine, tenths};
use causeway_model::net::is_loopback;
use causeway_model::verdict::{ExitCode as Code, Verdict};

/// A build of a rehearsal's baseline: a release that stands for the one prod runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Another commit.
    Parent,
    /// The same source under another version.
    Same,
}

impl Baseline {
    /// The variable that says so to a build.
    pub const VARIABLE: &str = "CAUSEWAY_BASELINE";

    /// Its value.
    pub fn word(self) -> &'static str {
        match self {
            Baseline::Parent => "parent",
            Baseline::Same => "same",
        }
    }

    /// What the environment says. Only beside the local cloud: nothing of it can be switched on in a real pipeline.
    pub fn from_environment() -> Option<Self> {
        let local = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| is_loopback(&url));
        match std::env::var(Self::VARIABLE).ok()?.as_str() {
            "parent" if local => Some(Baseline::Parent),
            "same" if local => Some(Baseline::Same),
            _ => None,
        }
    }
}

/// The variable by which a rehearsal has its builds tell how far they are every so many seconds.
pub const PACE: &str = "CAUSEWAY_PROGRESS_SECONDS";

/// What a command works with.
#[derive(Clone)]
pub struct Context {
    /// Where lines go.
    pub out: Out,
    /// The checkout's root.
    pub root: PathBuf,
    /// `--profile-prefix`.
    pub profile_prefix: Option<String>,
    /// What has been changed so far.
    pub changes: Changes,
    /// The change sets that were made to be looked at.
    pub planned: Planned,
    interrupts: Arc<Interrupts>,
}

/// How a command ended when it did not fail.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code, where it is not the verdict's own.
    pub code: Option<Code>,
    /// The commit at work.
    pub commit: Option<String>,
    /// What was changed.
    pub changed: Vec<String>,
    /// What failed, for verdicts that are no success.
    pub error: Option<Fault>,
    /// What was found out.
    pub data: Value,
    /// Print no result in text mode: what was printed is for a program to read.
    pub quiet: bool,
}

impl Outcome {
    /// A verdict and nothing else.
    pub fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            code: None,
            commit: None,
            changed: Vec::new(),
            error: None,
            data: json!({}),
            quiet: false,
        }
    }

    /// Adds what was found out.
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
}

/// A failure that had changed something before it happened.
#[derive(Debug, thiserror::Error)]
#[error("{source:#}")]
pub struct AfterChanges {
    /// What was changed.
    pub changed: Vec<String>,
    /// What was found out until then.
    pub data: Value,
    /// The failure.
    pub source: anyhow::Error,
}

/// Reads the command line, and hands it to whoever runs the commands. With `--output json` a mistake in it ends in a
/// result line, too.
pub fn main(run: impl FnOnce(Cli) -> ExitCode) -> ExitCode {
    let unread = match causeway_args::read(std::env::args_os()) {
        Ok(read) => return run(read),
        Err(unread) => unread,
    };
    let _ = unread.error.print();
    if !unread.is_mistake() {
        return ExitCode::SUCCESS;
    }
    let out = Out::new(Options { json: unread.json, ..Options::default() });
    if unread.json {
        let fault = Fault::fact(Kind::Usage, "the command line is not understood", &unread.typed)
            .why(unread.why())
            .next("see cargo xtask --help");
        finish(&out, &unread.command, Err(fault.into()), 0.0);
    }
    ExitCode::from(code_byte(Code::Usage))
}

/// Completions are the entry's to print, from what it holds itself.
///
/// # Errors
/// Always: this program was asked for them without the entry before it.
pub fn completions() -> anyhow::Result<Outcome> {
    Err(Fault::usage("print completions", "here")
        .why("the entry prints them")
        .next("cargo xtask completions bash")
        .into())
}

/// Says that another program holds a command: `cargo xtask` knows which.
pub fn elsewhere(command: &str, common: Common) -> ExitCode {
    run(command, common, async |_| {
        let fault =
            Fault::usage("run", format!("the command {command}")).why("this program does not hold it");
        Err(fault.next(format!("run cargo xtask {command} in the checkout")).into())
    })
}

/// How long what was begun in the background may take to end, once the command has. Processes get three seconds to end
/// by themselves; a question that nobody answers any more is not waited for longer.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// How much is printed.
fn level(common: &Common) -> Level {
    match (common.quiet, common.verbose) {
        (true, _) => Level::Quiet,
        (_, true) => Level::Verbose,
        _ => Level::Usual,
    }
}

/// Runs a command to its end, or until Ctrl-C, and prints the result line.
pub fn run<F, W>(command: &str, common: Common, work: F) -> ExitCode
where
    F: FnOnce(Context) -> W,
    W: Future<Output = anyhow::Result<Outcome>>,
{
    let out = Out::new(Options {
        json: common.output == Format::Json,
        color: common.colors(),
        level: level(&common),
        yes: common.yes,
        stdout_is_read: common.stdout_is_read,
    });
    let watch = Stopwatch::start();
    let (changes, planned) = (Changes::default(), Planned::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let whole = async {
                let interrupts = Arc::new(Interrupts::default());
                let root = root()?;
                planned.keep_in(root.join("target/causeway/planned"));
                let context = Context {
                    out: out.clone(),
                    root,
                    profile_prefix: common.profile_prefix,
                    changes: changes.clone(),
                    planned: planned.clone(),
                    interrupts: Arc::clone(&interrupts),
                };
                let ended = tokio::select! {
                    result = work(context) => Some(result),
                    () = interrupts.heard() => None,
                };
                // The work is gone by now, and nothing of it plans any more. A second Ctrl-C does not wait for this.
                tokio::select! {
                    () = planned.take_back(&out) => {}
                    () = interrupts.heard() => {}
                }
                ended.unwrap_or_else(|| Err(cut_off(&out, &changes)))
            };
            let result = guarded(&changes, || runtime.block_on(whole));
            runtime.shutdown_timeout(LAST_MOMENTS);
            result
        }
        Err(error) => Err(error.into()),
    };
    out.rest();
    finish(&out, command, result, watch.seconds())
}

/// The end of a command that was interrupted: what remains is said.
fn cut_off(out: &Out, changes: &Changes) -> anyhow::Error {
    for line in changes.remaining() {
        out.say(format!("  remains: {line}"));
    }
    changes.cut_off()
}

fn finish(out: &Out, command: &str, result: anyhow::Result<Outcome>, seconds: f64) -> ExitCode {
    let says_enough =
        result.as_ref().is_ok_and(|outcome| outcome.quiet && outcome.error.is_none()) && !out.is_json();
    let mut code = 0;
    if !says_enough {
        let line = result_line(command, result, seconds);
        code = line.exit_code;
        out.line(&Line::Result(Box::new(line)));
        report::write(out);
    }
    // What nobody could read is no success: a script would go on with an empty result.
    if let (Some(why), true) = (out.lost(), code == 0) {
        let fault = Fault::fact(Kind::Failed, "the output could not be written", "stdout").why(why);
        out.complain(&format!("error: {fault}"));
        code = i32::from(code_byte(fault.kind.exit_code()));
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn result_line(command: &str, result: anyhow::Result<Outcome>, seconds: f64) -> ResultLine {
    let outcome = result.unwrap_or_else(|error| {
        let fault = from_error(&error);
        let after = error.downcast_ref::<AfterChanges>();
        let changed = after.map(|after| after.changed.clone()).unwrap_or_default();
        let data = after.map_or_else(|| json!({}), |after| after.data.clone());
        Outcome {
            code: Some(fault.kind.exit_code()),
            error: Some(fault.clone()),
            changed,
            data,
            ..Outcome::of(fault.kind.verdict())
        }
    });
    let code = outcome.code.unwrap_or_else(|| outcome.verdict.exit_code());
    ResultLine {
        command: command.to_owned(),
        ok: outcome.verdict.is_ok() && outcome.error.is_none(),
        exit_code: i32::from(code_byte(code)),
        verdict: outcome.verdict.word(),
        commit: outcome.commit,
        seconds: tenths(seconds),
        changed: outcome.changed,
        error: outcome.error,
        data: outcome.data,
    }
}

fn code_byte(code: Code) -> u8 {
    u8::try_from(code as i32).unwrap_or(1)
}

/// The root of the checkout: the nearest folder above that holds `cfn/stacks.toml`.
fn root() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("find the current folder")?;
    let found = here.ancestors().find(|dir| dir.join("cfn/stacks.toml").is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        Fault::usage("find the project", here.display().to_string())
            .why("neither this folder nor one above it has cfn/stacks.toml")
            .next("run it inside of the checkout")
            .into()
    })
}

impl Context {
    /// How a command ends that took the interrupts, once one came: as every other that is interrupted.
    pub fn interrupted(&self) -> anyhow::Error {
        cut_off(&self.out, &self.changes)
    }

    /// From now on Ctrl-C does not end the command: what is returned resolves, and the command ends by itself. Once that is
    /// dropped, Ctrl-C ends it again.
    pub fn take_interrupts(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.interrupts).take()
    }

    /// The same context for a rehearsal's own world: every question is answered with yes, and what is changed there is
    /// no change that the command reports.
    pub fn answering_yes(&self) -> Self {
        Self { out: self.out.answering_yes(), changes: Changes::default(), ..self.clone() }
    }

    /// How often a build tells how far it is: each second where somebody watches, else every ten. A rehearsal says it to its
    /// builds.
    pub fn pace(&self) -> Duration {
        let said = std::env::var(PACE).ok().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
        Duration::from_secs(said.unwrap_or(if self.out.is_terminal() { 1 } else { 10 }))
    }

    /// Reads `cfn/stacks.toml`.
    ///
    /// # Errors
    /// A usage fault with file and line.
    pub fn config(&self) -> anyhow::Result<Config> {
        let path = self.root.join("cfn/stacks.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Fault::usage("read the configuration", path.display().to_string())
                .why(error)
                .next("see that it may be read, and is text in UTF-8")
        })?;
        config::parse(&text).map_err(|error| {
            Fault::usage("read the configuration", format!("cfn/stacks.toml line {}", error.line))
                .why(&error.message)
                .next("fix that line; the comments of the file explain every field")
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_keep_what_was_changed() {
        let source = anyhow::Error::new(Fault::new(Kind::TimedOut, "wait for the stack", "s"));
        let error = anyhow::Error::new(AfterChanges {
            changed: vec!["build/causeway-build-base".into()],
            data: json!({"remains": ["x"]}),
            source,
        });
        let line = result_line("bootstrap", Err(error), 1.26);
        assert_eq!((line.exit_code, line.verdict, line.seconds), (7, "timed-out", 1.3));
        assert_eq!(line.changed, ["build/causeway-build-base"]);
        assert_eq!(line.data, json!({"remains": ["x"]}));
        assert!(!line.ok);
    }

    #[test]
    fn a_good_outcome_is_ok() {
        let line = result_line("package", Ok(Outcome::of(Verdict::NothingToDo)), 0.0);
        assert_eq!((line.ok, line.exit_code, line.verdict), (true, 0, "nothing-to-do"));
    }
}
