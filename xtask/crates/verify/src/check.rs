//! `check`: everything that CI checks, in the order of what it costs.

mod contract;
mod corpus;
pub mod faults;
mod gates;
mod opinions;
mod packaged;
mod real_calls;
mod rehearsals;
mod twice;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use causeway_args::check::Args;
use causeway_build::tests;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use causeway_cloud::resident::{self, Keep};
use causeway_command::{Context, Outcome};
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::files;
use causeway_machine::paths::Paths;
use causeway_machine::process::{self, Ending};
use causeway_machine::shell::describe;
use causeway_model::fault::{Fault, from_error};
use causeway_model::line::{Line, Mode, Status, Step, tenths};
use causeway_model::verdict::Verdict;
use gates::Ended;

/// How long a minute of AWS takes beside the tests.
const MINUTE: Duration = Duration::from_secs(1);

/// Runs `check`. Every part is run, also after a failure, so that one run shows all of them.
///
/// # Errors
/// At least one part failed; the fault names them.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let mut checks = Checks { context, failed: Vec::new(), seconds: Map::new(), data: Map::new() };
    if args.contract {
        checks.contract().await;
        return checks.outcome();
    }
    if args.gates {
        checks.gates().await;
        return checks.outcome();
    }
    if args.opinions {
        checks.opinions().await;
        return checks.outcome();
    }
    if args.arm64 {
        checks.arm64().await;
        return checks.outcome();
    }
    if args.packages {
        checks.packaged_hooks().await;
        checks.packages().await;
        return checks.outcome();
    }
    if args.faults {
        checks.faults(&faults::Wanted { only: args.case.as_deref(), sample: args.sample }).await;
        return checks.outcome();
    }
    if let Some(folder) = &args.corpus {
        checks.corpus(folder, corpus::Asked::Anything).await;
        return checks.outcome();
    }
    // Two checks at once would wait for cargo all the time; and what one that was killed left behind is ended.
    let (out, records) = (checks.context.out.clone(), checks.records());
    files::private_dir(&records)?;
    let _lock = files::lock(&records.join("lock"), &|text| out.note(text)).await?;
    for name in process::reap(&records).await {
        out.note(format!("ended what an earlier check had left behind: {name}"));
    }
    // Fetched beside the compiler, which uses no network.
    let fetched = tokio::spawn(fetch(checks.context.clone()));
    let root = checks.context.root.clone();
    checks.command("fmt", command(&root, |sh| cmd!(sh, "cargo fmt --all --check"))?).await;
    // Each crate of the registry is compiled once for all parts, where that can be: which ones are selected decides on their
    // features. So the whole workspace is looked at both times, and the tool is tested as `cargo xtask` builds it.
    let clippy =
        command(&root, |sh| cmd!(sh, "cargo clippy --workspace --all-targets --locked -- --deny warnings"))?;
    checks.command("clippy", clippy).await;
    let _ = fetched.await;
    checks.gates().await;
    checks.arm64().await;
    // Tests that take minutes each are left to --full. The functions have none: theirs that are ignored need a table.
    const WHOLE: &[&str] = &["--", "--include-ignored"];
    let longer: &[&str] = if args.full { WHOLE } else { &[] };
    let of_functions = functions(&checks.context, &[&["--no-fail-fast"], WHOLE].concat()).await;
    let tool = command(&root, |sh| {
        cmd!(sh, "cargo test --workspace --exclude api --exclude hooks --locked --no-fail-fast {longer...}")
    });
    checks.tests([("tests-functions", of_functions), ("tests", tool)]).await;
    checks.rehearsals(args.full).await;
    checks.faults(&faults::Wanted { only: None, sample: !args.full }).await;
    let sample = checks.context.root.join(corpus::SAMPLE);
    checks.corpus(&sample, corpus::Asked::Sample).await;
    if args.full {
        checks.contract().await;
        checks.opinions().await;
        checks.packaged_hooks().await;
        checks.packages().await;
    }
    checks.outcome()
}

/// Tests of what is released, as a rehearsal builds them.
///
/// # Errors
/// There is no way to build for this machine.
async fn functions(context: &Context, more: &[&str]) -> anyhow::Result<Command> {
    let tools = context.root.join("target/causeway/tools");
    let way = causeway_release::package::find_way(context, "host", &tools).await?.that_stays();
    let mut command = command(&context.root, |sh| {
        cmd!(sh, "cargo test --profile rehearse --package api --package hooks --locked {more...}")
    })?;
    way.lead(&mut command, &context.root, &tools)?;
    Ok(command)
}

/// Fetches what later parts need. What cannot be had is said by the part that needs it.
async fn fetch(context: Context) {
    let _ = gates::install(&context).await;
    let _ = twice::fetch(&context).await;
}

/// Runs a program whose output goes to our stderr, and ends whatever it started where nobody waits for it any more: a
/// test that goes on alone would hold clouds and cargo's lock.
async fn show_group(mut command: Command, records: &Path) -> anyhow::Result<bool> {
    command.stdout(std::io::stderr());
    let name = describe(&command);
    let mut group = process::spawn(command, &name, records, Ending::Kill)?;
    let status = group.child().wait().await.with_context(|| format!("wait for {name}"))?;
    group.end().await;
    Ok(status.success())
}

struct Checks {
    context: Context,
    failed: Vec<String>,
    seconds: Map<String, Value>,
    /// What parts found out, by their names.
    data: Map<String, Value>,
}

impl Checks {
    fn outcome(self) -> anyhow::Result<Outcome> {
        let Checks { failed, seconds, mut data, .. } = self;
        data.insert("seconds".to_owned(), Value::Object(seconds));
        let mut outcome = Outcome::of(Verdict::Done).with_data(Value::Object(data));
        if !failed.is_empty() {
            outcome.verdict = Verdict::Failed;
            outcome.error = Some(
                Fault::failed("check", failed.join(", "))
                    .why("they did not pass; their lines are above")
                    .next("fix them, and run cargo xtask check again"),
            );
        }
        Ok(outcome)
    }

    /// The deployed API, held to its document.
    async fn contract(&mut self) {
        let watch = Stopwatch::start();
        self.step("contract", Status::Started, None, None);
        let report = contract::run(&self.context).await;
        if let Ok(report) = &report {
            self.data.insert("contract".to_owned(), report.counts());
        }
        let result = report.and_then(|report| report.judge());
        if let Ok(said) = &result {
            self.context.out.say(format!("schemathesis: {said}"));
        }
        self.end("contract", watch, result.map(|_| ()).map_err(|error| from_error(&error).to_string()));
    }

    /// The commands that set up a project, with calls that go wrong.
    async fn faults(&mut self, wanted: &faults::Wanted<'_>) {
        let watch = Stopwatch::start();
        self.step("faults", Status::Started, None, None);
        let result = match faults::run(&self.context, wanted).await {
            Ok(report) => {
                self.context.out.say(report.says());
                if let Value::Object(counts) = report.data() {
                    // At the top, too: it is what `check --faults` is asked for.
                    self.data.extend(counts.clone());
                    self.data.insert("faults".to_owned(), Value::Object(counts));
                }
                report.judge()
            }
            Err(error) => Err(from_error(&error).to_string()),
        };
        self.end("faults", watch, result);
    }

    /// Templates of a folder, deployed to a local cloud; the names of those of our own sample say how each must end.
    async fn corpus(&mut self, folder: &Path, asked: corpus::Asked) {
        let (name, watch) = ("corpus", Stopwatch::start());
        self.step(name, Status::Started, None, None);
        let result = match corpus::run(&self.context, folder, asked).await {
            Ok(report) => {
                self.context.out.say(report.table());
                self.data.insert(name.to_owned(), report.data());
                report.judge()
            }
            Err(error) => Err(from_error(&error).to_string()),
        };
        self.end(name, watch, result);
    }

    /// The gates, side by side; each ends with its own line.
    async fn gates(&mut self) {
        let watch = Stopwatch::start();
        let mut begun = match gates::begin(&self.context).await {
            Ok(begun) => begun,
            Err(error) => return self.end("gates", watch, Err(from_error(&error).to_string())),
        };
        // What is installed once is no part of it.
        let watch = Stopwatch::start();
        for name in gates::NAMES {
            self.step(name, Status::Started, None, None);
        }
        while let Some(Ok(gate)) = begun.join_next().await {
            self.judged(gate.name, gate.seconds, gate.result);
        }
        self.seconds.insert("gates".to_owned(), json!(tenths(watch.seconds())));
    }

    /// What another evaluator and the local cloud say of the access matrix.
    async fn opinions(&mut self) {
        let watch = Stopwatch::start();
        self.step("second-opinion", Status::Started, None, None);
        let why = "there is no node to run iam-simulate";
        let second = opinions::second(&self.context).await;
        let second = second.map(|looked| looked.map_or(Ended::Skipped(why.to_owned()), Ended::Looked));
        self.judged("second-opinion", watch.seconds(), second);
        let watch = Stopwatch::start();
        self.step("real-calls", Status::Started, None, None);
        let third = real_calls::run(&self.context).await;
        self.judged("real-calls", watch.seconds(), third.map(Ended::Looked));
    }

    fn judged(&mut self, name: &str, seconds: f64, result: anyhow::Result<Ended>) {
        match result {
            Ok(Ended::Looked(judged)) => {
                for message in &judged.complaints {
                    self.context.out.line(&Line::Warning { message: format!("{name}: {message}") });
                }
                self.data.insert(name.to_owned(), judged.data);
                let all = judged.complaints.len();
                let first = judged.complaints.into_iter().next();
                let result = first.map_or(Ok(()), |first| Err(format!("{all} findings; the first: {first}")));
                self.ended(name, seconds, result);
            }
            Ok(Ended::Skipped(why)) if gates::may_be_skipped(name) => self.skip(name, seconds, why),
            Ok(Ended::Skipped(why)) => {
                self.ended(name, seconds, Err(format!("{why}; with CI set nothing is skipped")));
            }
            Err(error) => self.ended(name, seconds, Err(from_error(&error).to_string())),
        }
    }

    async fn command(&mut self, name: &str, command: Command) {
        self.part(name, Ok(command)).await;
    }

    /// Runs a command whose lines go to stderr, between two step lines.
    async fn part(&mut self, name: &str, command: anyhow::Result<Command>) {
        let watch = Stopwatch::start();
        self.step(name, Status::Started, None, None);
        let result = match command {
            Ok(command) => self.shown(command).await,
            Err(error) => Err(from_error(&error).to_string()),
        };
        self.end(name, watch, result);
    }

    /// Runs a command whose lines go to stderr; where it does not pass, what it was.
    async fn shown(&self, command: Command) -> Result<(), String> {
        let shown = describe(&command);
        match show_group(command, &self.records()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(shown),
            Err(error) => Err(from_error(&error).to_string()),
        }
    }

    /// Where its own children are written down, beside those of its cloud.
    fn records(&self) -> PathBuf {
        self.context.root.join("target/causeway/check-steps")
    }

    /// Tests, with a local cloud beside them: the store is tested against its DynamoDB.
    async fn tests(&mut self, commands: [(&str, anyhow::Result<Command>); 2]) {
        let context = self.context.clone();
        let paths = Paths::of(&context.root).with_local(&context.root.join(rehearsals::CLOUD));
        let say = |text: &str| context.out.note(text);
        let cloud = match context.config() {
            Ok(config) => resident::up(&config, &paths, &context.root, MINUTE, Keep::No, &say).await,
            Err(error) => Err(error),
        };
        let cloud = match cloud {
            Ok(cloud) => cloud,
            Err(error) => return self.part("tests", Err(error)).await,
        };
        for (name, command) in commands {
            let command = command.map(|mut command| {
                command.env("CAUSEWAY_TEST_DYNAMODB", cloud.state().endpoint());
                command.env("CAUSEWAY_TEST_DYNAMODB_SECRET", &cloud.state().root_secret);
                command.env("SSL_CERT_FILE", paths.bundle());
                command.env("CAUSEWAY_VENV_DIR", paths.venv());
                command.env(tests::THREADS, tests::at_once());
                command
            });
            self.part(name, command).await;
        }
        cloud.release().await;
    }

    /// One package for arm64, run once where this machine can.
    async fn arm64(&mut self) {
        let (name, watch) = ("package-arm64", Stopwatch::start());
        self.step(name, Status::Started, None, None);
        let result = twice::one(&self.context).await;
        if let Ok(ran) = &result {
            self.data.insert(name.to_owned(), json!({"ran": ran}));
        }
        self.end(name, watch, result.map(|_| ()).map_err(|error| from_error(&error).to_string()));
    }

    /// The hooks as they are released, held to their tests.
    async fn packaged_hooks(&mut self) {
        let (name, watch) = ("packaged-hooks", Stopwatch::start());
        self.step(name, Status::Started, None, None);
        let result = match packaged::tests(&self.context).await {
            Ok(command) => self.shown(command).await,
            Err(error) => Err(from_error(&error).to_string()),
        };
        self.end(name, watch, result);
    }

    /// All packages for arm64, twice, and run once.
    async fn packages(&mut self) {
        let (name, watch) = ("package-twice", Stopwatch::start());
        self.step(name, Status::Started, None, None);
        let result = twice::prove(&self.context).await;
        self.end(name, watch, result.map_err(|error| from_error(&error).to_string()));
    }

    fn end(&mut self, name: &str, watch: Stopwatch, result: Result<(), String>) {
        self.ended(name, watch.seconds(), result);
    }

    fn ended(&mut self, name: &str, seconds: f64, result: Result<(), String>) {
        let seconds = tenths(seconds);
        self.seconds.insert(name.to_owned(), json!(seconds));
        match result {
            Ok(()) => self.step(name, Status::Succeeded, Some(seconds), None),
            Err(reason) => {
                self.failed.push(name.to_owned());
                self.step(name, Status::Failed, Some(seconds), Some(reason));
            }
        }
    }

    /// Something that could not be done here, for a reason that lies outside of the tree. It is no success.
    fn skip(&mut self, name: &str, seconds: f64, why: String) {
        let seconds = tenths(seconds);
        self.data.insert(name.to_owned(), json!({"skipped": why}));
        self.line(name, Status::NotRun, Mode::Skipped, Some(seconds), Some(why));
    }

    fn step(&self, name: &str, status: Status, seconds: Option<f64>, reason: Option<String>) {
        self.line(name, status, Mode::Executed, seconds, reason);
    }

    fn line(&self, name: &str, status: Status, mode: Mode, seconds: Option<f64>, reason: Option<String>) {
        self.context.out.line(&Line::Step(Step::whole("check", name, status, mode, seconds, reason)));
    }
}
