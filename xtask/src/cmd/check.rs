//! `check`: everything that CI checks, in the order of what it costs.

mod contract;
mod packaged;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Context, Outcome};
use crate::clock::Stopwatch;
use crate::local::install::{self, Set};
use crate::local::paths::Paths;
use crate::local::resident::{self, Keep};
use crate::model::fault::{Fault, from_error};
use crate::model::line::{Line, Mode, Status, Step, tenths};
use crate::model::verdict::Verdict;
use crate::shell::{describe, program, show};

/// How long a minute of AWS takes beside the tests.
const MINUTE: Duration = Duration::from_secs(1);

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Also what takes longer than CI may
    #[arg(long)]
    full: bool,
    /// Only hold the deployed API to its document, as --full does besides
    #[arg(long, conflicts_with = "full")]
    contract: bool,
}

/// Runs `check`. Every part is run, also after a failure, so that one run shows all of them.
///
/// # Errors
/// At least one part failed; the fault names them.
pub(crate) async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let mut checks = Checks { context, failed: Vec::new(), seconds: serde_json::Map::new() };
    if args.contract {
        checks.contract().await;
        return checks.outcome();
    }
    let root = checks.context.root.clone();
    let cargo = |words: &[&str]| program("cargo", words, &root);
    checks.command("fmt", cargo(&["fmt", "--all", "--check"])).await;
    checks
        .command(
            "clippy",
            cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
        )
        .await;
    // What misbehaves on purpose is in no package, and in no other build either.
    let broken = ["--package", "api", "--features", "break-prod", "--locked"];
    let lint = [&["clippy"], &broken[..], &["--all-targets", "--", "--deny", "warnings"]].concat();
    checks.command("clippy-break-prod", cargo(&lint)).await;
    checks.command("tests-break-prod", cargo(&[&["test"], &broken[..], &["--lib"]].concat())).await;
    let lint = checks.cfn_lint().await;
    checks.part("cfn-lint", lint).await;
    checks.tests(cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])).await;
    let ends = |code, verdict| Ends { code, verdict, cause: &[] };
    checks.rehearsal("rehearse", &["--approve", "auto"], ends(0, "released")).await;
    checks.rehearsal("rehearse-reject", &["--approve", "reject"], ends(1, "rejected")).await;
    if args.full {
        checks.rehearsal("rehearse-fail-test", &["--fail-test"], ends(1, "failed")).await;
        let words = ["--no-baseline", "--approve", "auto"];
        checks.rehearsal("rehearse-no-baseline", &words, ends(0, "released")).await;
        for (how, cause) in BROKEN {
            let (name, word) = (format!("rehearse-break-prod-{how}"), format!("--break-prod={how}"));
            let ends = Ends { cause, ..ends(5, "rolled-back") };
            checks.rehearsal(&name, &[&word, "--approve", "auto"], ends).await;
        }
        checks.contract().await;
        let packaged = packaged::tests(&checks.context);
        checks.part("packaged-hooks", packaged).await;
        checks.packages().await;
    }
    checks.outcome()
}

/// Ways to misbehave in prod, and what the error must name as the cause: the alarm, or the hook and its check. The
/// ways `errors` and `crash` are in the tests.
const BROKEN: [(&str, &[&str]); 3] = [
    ("slow", &["checkin: alarm ", "-checkin-slow is in ALARM"]),
    ("hook", &["checkin: the PreTraffic hook failed", "-checkin-pre reported Failed: health: "]),
    (
        "wrong-version",
        &[
            "checkin: the PreTraffic hook failed",
            "-checkin-pre reported Failed: ",
            "version: expected version ",
        ],
    ),
];

/// How a rehearsal must end.
#[derive(Clone, Copy)]
struct Ends {
    /// The exit code.
    code: i32,
    /// The verdict.
    verdict: &'static str,
    /// What the error says of the cause, all of it.
    cause: &'static [&'static str],
}

struct Checks {
    context: Context,
    failed: Vec<String>,
    seconds: serde_json::Map<String, Value>,
}

impl Checks {
    fn outcome(self) -> anyhow::Result<Outcome> {
        let Checks { failed, seconds, .. } = self;
        if failed.is_empty() {
            return Ok(Outcome::of(Verdict::Done).with_data(json!({"seconds": seconds})));
        }
        Err(Fault::failed("check", failed.join(", "))
            .why("they did not pass; their lines are above")
            .next("mend them, and run cargo xtask check again")
            .into())
    }

    /// The deployed API, held to its document.
    async fn contract(&mut self) {
        let watch = Stopwatch::start();
        self.step("contract", Status::Started, None, None);
        let result = contract::run(&self.context).await;
        if let Ok(said) = &result {
            self.context.out.say(format!("schemathesis: {said}"));
        }
        self.end("contract", watch, result.map(|_| ()).map_err(|error| from_error(&error).to_string()));
    }

    async fn command(&mut self, name: &str, command: Command) {
        self.part(name, Ok(command)).await;
    }

    /// Runs a command whose lines go to stderr, between two step lines.
    async fn part(&mut self, name: &str, command: anyhow::Result<Command>) {
        let watch = Stopwatch::start();
        self.step(name, Status::Started, None, None);
        let result = match command {
            Ok(command) => {
                let shown = describe(&command);
                match show(command).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(shown),
                    Err(error) => Err(from_error(&error).to_string()),
                }
            }
            Err(error) => Err(from_error(&error).to_string()),
        };
        self.end(name, watch, result);
    }

    /// The tests, with a local cloud beside them: the store is tested against its DynamoDB.
    async fn tests(&mut self, mut command: Command) {
        let context = self.context.clone();
        let paths = Paths::of(&context.root).with_local(&context.root.join("target/causeway/check"));
        let say = |text: &str| context.out.note(text);
        let cloud = match context.config() {
            Ok(config) => resident::up(&config, &paths, &context.root, MINUTE, Keep::No, &say).await,
            Err(error) => Err(error),
        };
        match cloud {
            Ok(cloud) => {
                command.env("CAUSEWAY_TEST_DYNAMODB", cloud.state().endpoint());
                command.env("SSL_CERT_FILE", paths.bundle());
                command.env("CAUSEWAY_VENV_DIR", paths.venv());
                self.part("tests", Ok(command)).await;
                cloud.release().await;
            }
            Err(error) => self.part("tests", Err(error)).await,
        }
    }

    /// cfn-lint over every template, findings of any level counted.
    async fn cfn_lint(&self) -> anyhow::Result<Command> {
        let context = &self.context;
        let say = |text: &str| context.out.note(text);
        let venv = install::venv(&Paths::of(&context.root), Set::Check, &say).await?;
        let dir = context.root.join("cfn");
        let mut templates: Vec<PathBuf> = std::fs::read_dir(&dir)
            .with_context(|| format!("read {}", dir.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        templates.sort();
        anyhow::ensure!(!templates.is_empty(), "there are no templates below cfn/");
        let mut command =
            program(venv.program("cfn-lint"), ["--non-zero-exit-code", "informational", "--"], &context.root);
        command.args(templates);
        Ok(command)
    }

    /// A whole rehearsal in a process of its own, held to its exit code, verdict and cause.
    async fn rehearsal(&mut self, name: &str, options: &[&str], ends: Ends) {
        let watch = Stopwatch::start();
        self.step(name, Status::Started, None, None);
        let result = self.rehearse(options, ends).await.map_err(|error| from_error(&error).to_string());
        self.end(name, watch, result);
    }

    /// All packages for arm64, twice, and run once.
    async fn packages(&mut self) {
        let (name, watch) = ("package-twice", Stopwatch::start());
        self.step(name, Status::Started, None, None);
        let result = super::package::prove(&self.context).await;
        self.end(name, watch, result.map_err(|error| from_error(&error).to_string()));
    }

    async fn rehearse(&self, options: &[&str], ends: Ends) -> anyhow::Result<()> {
        // Through cargo: the tests may have built our own program anew.
        let words =
            ["run", "--quiet", "--locked", "--package", "xtask", "--", "rehearse", "--output", "json"];
        let mut command = program("cargo", words, &self.context.root);
        command.args(options).stderr(std::process::Stdio::inherit());
        // A cloud of its own: one that a developer keeps up is left alone.
        command.env("CAUSEWAY_LOCAL_DIR", "target/causeway/check");
        let output = command.output().await.context("start the rehearsal")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last: Value =
            text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
        let found = (output.status.code(), last.get("verdict").and_then(Value::as_str));
        let Ends { code, verdict, cause } = ends;
        let why = last.pointer("/error/why").and_then(Value::as_str).unwrap_or_default();
        if let (true, Some(missing)) =
            (found == (Some(code), Some(verdict)), cause.iter().find(|part| !why.contains(**part)))
        {
            return Err(Fault::failed("rehearse", options.join(" "))
                .why(format!("it ended as it should, but its cause does not say {missing:?}: {why}"))
                .into());
        }
        if found == (Some(code), Some(verdict)) {
            return Ok(());
        }
        let error = last.get("error").map(ToString::to_string).unwrap_or_default();
        Err(Fault::failed("rehearse", options.join(" "))
            .why(format!(
                "expected {verdict} with exit code {code}, it ended {:?} with {:?}: {error}",
                found.1, found.0
            ))
            .into())
    }

    fn end(&mut self, name: &str, watch: Stopwatch, result: Result<(), String>) {
        let seconds = tenths(watch.seconds());
        self.seconds.insert(name.to_owned(), json!(seconds));
        match result {
            Ok(()) => self.step(name, Status::Succeeded, Some(seconds), None),
            Err(reason) => {
                self.failed.push(name.to_owned());
                self.step(name, Status::Failed, Some(seconds), Some(reason));
            }
        }
    }

    fn step(&self, name: &str, status: Status, seconds: Option<f64>, reason: Option<String>) {
        self.context.out.line(&Line::Step(Step {
            stage: "check".to_owned(),
            action: name.to_owned(),
            sub: None,
            function: None,
            status,
            mode: Mode::Executed,
            seconds,
            reason,
            checks: Vec::new(),
        }));
    }
}
