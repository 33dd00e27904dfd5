//! `bench`: what packaging costs beside the usual tools, and what a start costs; everything in one run on one machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command as Process;

use super::{Context, Outcome};
use crate::build::trial;
use crate::clock::Stopwatch;
use crate::local::install::{self, Set};
use crate::local::paths::Paths;
use crate::model::fault::Fault;
use crate::model::line::tenths;
use crate::model::verdict::Verdict;
use crate::shell::{describe, program, read, show};

/// The parts of `bench`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Package for this machine's own target, beside cargo lambda and a bare cargo build: cold, one file touched, nothing
    /// changed; and the sizes
    Package(Package),
    /// From the start of a function's process to its first question for work
    Coldstart(Coldstart),
}

/// Options of `bench package`.
#[derive(clap::Args)]
pub(crate) struct Package {
    /// These functions alone; by default all of them
    #[arg(long, value_name = "NAME")]
    bin: Vec<String>,
}

/// Options of `bench coldstart`.
#[derive(clap::Args)]
pub(crate) struct Coldstart {
    /// The packaged function
    #[arg(long, default_value = "checkin", value_name = "NAME")]
    bin: String,
    /// How often each is started
    #[arg(long, default_value_t = 31, value_name = "NUMBER")]
    runs: usize,
}

/// Runs `bench`.
///
/// # Errors
/// Something does not build or start, or cargo-lambda cannot be had.
pub(crate) async fn run(context: Context, command: Command) -> anyhow::Result<Outcome> {
    let data = match command {
        Command::Package(args) => package(&context, &args).await?,
        Command::Coldstart(args) => coldstart(&context, &args).await?,
    };
    Ok(Outcome::of(Verdict::Done).with_data(data))
}

/// A tool under measurement.
struct Tool {
    name: &'static str,
    target_dir: PathBuf,
    words: Vec<String>,
}

async fn package(context: &Context, args: &Package) -> anyhow::Result<Value> {
    let base = context.root.join("target/causeway/bench");
    let source = base.join("source");
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
    let mut clone = program("git", ["clone", "--quiet", "--local"], &context.root);
    clone.arg(&context.root).arg(&source);
    read(clone).await?;
    let say = |text: &str| context.out.note(text);
    let venv = install::venv(&Paths::of(&context.root), Set::Bench, &say).await?;
    let tools = tools(&base, &venv.program("cargo-lambda"), args)?;
    let touched = ["api/src/lib.rs", "hooks/src/lib.rs"].map(|file| source.join(file));
    let mut rows = Vec::new();
    for case in ["cold", "one file touched", "nothing changed"] {
        let mut bare = None;
        for tool in &tools {
            context.out.note(format!("{case}: {}", tool.name));
            if case == "one file touched" {
                for path in &touched {
                    touch(path)?;
                }
            }
            let seconds = timed(tool, &source).await?;
            let ratio = *bare.get_or_insert(seconds);
            rows.push(json!({
                "case": case, "tool": tool.name, "seconds": hundredths(seconds),
                "ratio": hundredths(seconds / ratio),
            }));
        }
    }
    let mut sizes = Vec::new();
    for name in functions(&source)? {
        let size = |path: PathBuf| std::fs::metadata(path).map(|metadata| metadata.len()).ok();
        let ours = size(source.join(format!("target/causeway/package/{name}.zip")));
        let theirs = size(base.join(format!("cargo-lambda/lambda/{name}/bootstrap.zip")));
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let ratio = hundredths(ours as f64 / theirs as f64);
            sizes
                .push(json!({"function": name, "bytes": ours, "cargo_lambda_bytes": theirs, "ratio": ratio}));
        }
    }
    context.out.say(format!("  {:<18} {:<14} {:>9} {:>6}", "case", "tool", "seconds", "ratio"));
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        context.out.say(format!(
            "  {:<18} {:<14} {:>9} {:>6}",
            text("case"),
            text("tool"),
            row["seconds"].to_string(),
            row["ratio"].to_string()
        ));
    }
    for row in &sizes {
        context.out.say(format!(
            "  {:<14} zip {} bytes, cargo-lambda's {} ({})",
            row["function"].as_str().unwrap_or_default(),
            row["bytes"],
            row["cargo_lambda_bytes"],
            row["ratio"]
        ));
    }
    Ok(json!({"rows": rows, "sizes": sizes}))
}

/// The three, each with a target directory of its own; what the ratios are against comes first.
fn tools(base: &Path, cargo_lambda: &Path, args: &Package) -> anyhow::Result<Vec<Tool>> {
    let own = std::env::current_exe().context("find our own program")?.display().to_string();
    let bins: Vec<String> = args.bin.iter().flat_map(|name| ["--bin".to_owned(), name.clone()]).collect();
    let tool = |name: &'static str, words: &[&str]| {
        let words = words.iter().map(ToString::to_string).chain(bins.clone()).collect();
        Tool { name, target_dir: base.join(name), words }
    };
    Ok(vec![
        tool("cargo", &["cargo", "build", "--release", "--locked", "--package", "api", "--package", "hooks"]),
        tool(
            "cargo-lambda",
            &[
                &cargo_lambda.display().to_string(),
                "lambda",
                "build",
                "--release",
                "--locked",
                "--compiler",
                "cargo",
                "--output-format",
                "zip",
                "--package",
                "api",
                "--package",
                "hooks",
            ],
        ),
        tool("xtask", &[&own, "package", "--no-upload", "--target", "host"]),
    ])
}

async fn timed(tool: &Tool, dir: &Path) -> anyhow::Result<f64> {
    let (name, words) = tool.words.split_first().context("an empty command")?;
    let mut command = program(name, words, dir);
    command.env("CARGO_TARGET_DIR", &tool.target_dir);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAUSEWAY_")) {
        command.env_remove(name);
    }
    let shown = describe(&command);
    let watch = Stopwatch::start();
    if !show(command).await? {
        return Err(Fault::failed("run the bench", shown)
            .why("it ended with an error; its lines are above")
            .next("mend what it names, and run it again")
            .into());
    }
    Ok(watch.seconds())
}

/// The names of the functions, as the template's packages have them.
fn functions(source: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(source.join("cfn/app.yaml")).context("read cfn/app.yaml")?;
    let mut names: Vec<String> = crate::model::package::code_uris(&text)
        .map_err(anyhow::Error::msg)?
        .into_iter()
        .map(|place| place.function)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn touch(path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Starts the packaged function and the two it is compared with, in turns.
async fn coldstart(context: &Context, args: &Coldstart) -> anyhow::Result<Value> {
    let root = &context.root;
    let host = ["build", "--quiet", "--locked", "--profile", "lambda", "--package", "api"];
    let mut build = program("cargo", host, root);
    build.args(["--bin", &args.bin, "--example", "bare", "--example", "naive"]);
    context.out.note("building for this machine, profile lambda");
    if !show(build).await? {
        return Err(Fault::failed("build the functions", args.bin.as_str())
            .why("cargo ended with an error; its lines are above")
            .into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("lambda");
    let programs = [
        ("bare", folder.join("examples/bare")),
        ("naive", folder.join("examples/naive")),
        (args.bin.as_str(), folder.join(&args.bin)),
    ];
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
    for run in 0..=args.runs {
        for (index, (_, path)) in programs.iter().enumerate() {
            let milliseconds = started(path, root).await?;
            // The first round warms the page cache.
            if let Some(own) = times.get_mut(index).filter(|_| run > 0) {
                own.push(milliseconds);
            }
        }
    }
    let mut rows = Vec::new();
    let mut bare = None;
    for ((name, _), mut own) in programs.iter().zip(times) {
        own.sort_by(f64::total_cmp);
        let at = |share: usize| own.get(own.len() * share / 100).copied().unwrap_or_default();
        let (p50, p95) = (at(50), at(95));
        let ratio = p50 / *bare.get_or_insert(p50);
        context.out.say(format!("  {name:<10} p50 {p50:>7.2} ms  p95 {p95:>7.2} ms  ratio {ratio:.2}"));
        rows.push(json!({
            "program": name, "p50_ms": hundredths(p50), "p95_ms": hundredths(p95), "ratio": hundredths(ratio),
        }));
    }
    Ok(json!({"runs": args.runs, "first_next": rows}))
}

/// Milliseconds from the start of a process to its first question for work.
async fn started(path: &Path, dir: &Path) -> anyhow::Result<f64> {
    let mut command: Process = program(path, std::iter::empty::<&str>(), dir);
    command.env_clear().envs([
        ("AWS_LAMBDA_FUNCTION_NAME", "function"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TABLE_NAME", "table"),
    ]);
    let event = json!({"version": "2.0", "rawPath": "/api/version", "rawQueryString": "", "headers": {},
        "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "http": {"method": "GET", "path": "/api/version"}}});
    Ok(trial::run(command, event).await?.first_next.as_secs_f64() * 1_000.0)
}

fn hundredths(value: f64) -> f64 {
    tenths(value * 10.0) / 10.0
}
