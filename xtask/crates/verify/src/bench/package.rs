//! `bench package`: what packaging costs beside cargo-lambda and a bare `cargo build`, for the same target, in one run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use causeway_args::bench::Package as Args;
use serde_json::{Value, json};

use super::hundredths;
use causeway_command::Context;
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::install::{self, Set};
use causeway_machine::paths::Paths;
use causeway_machine::shell::{describe, hear, read, show};
use causeway_model::fault::Fault;

/// How often the case in which nothing changed is measured; the median counts.
const UNCHANGED: usize = 5;

/// What two runs in a row send to the artifact bucket of a local cloud: the second one nothing.
async fn uploads(context: &Context, source: &Path, base: &Path) -> anyhow::Result<Vec<Value>> {
    let cloud = base.join("cloud");
    context.out.note("uploads to a local cloud, twice");
    let up = said(context, source, &cloud, &["local", "up"], &Value::Null).await;
    let result = match up {
        Ok(_) => uploaded(context, source, &cloud).await,
        Err(error) => Err(error),
    };
    let down = said(context, source, &cloud, &["local", "down"], &Value::Null).await;
    let uploads = result?;
    down?;
    Ok(uploads)
}

async fn uploaded(context: &Context, source: &Path, cloud: &Path) -> anyhow::Result<Vec<Value>> {
    let environment =
        said(context, source, cloud, &["local", "env"], &Value::Null).await?["data"]["env"].take();
    said(context, source, cloud, &["bootstrap", "--yes"], &environment).await?;
    let mut uploads = Vec::new();
    for run in ["first", "second"] {
        let result = said(context, source, cloud, &["package", "--target", "host"], &environment).await?;
        uploads.push(json!({"run": run, "bytes": result["data"]["uploaded_bytes"]}));
    }
    Ok(uploads)
}

/// Runs our own program: its result line.
async fn said(
    context: &Context,
    source: &Path,
    cloud: &Path,
    words: &[&str],
    environment: &Value,
) -> anyhow::Result<Value> {
    let own = std::env::current_exe().context("find our own program")?;
    let mut command = command(source, |sh| cmd!(sh, "{own} {words...} --output json"))?;
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CAUSEWAY_") || name.starts_with("AWS_"))
    {
        command.env_remove(name);
    }
    command.env("CAUSEWAY_LOCAL_DIR", cloud);
    command.env("CAUSEWAY_VENV_DIR", Paths::of(&context.root).venv());
    let variables = environment.as_object().into_iter().flatten();
    command.envs(variables.filter_map(|(name, value)| Some((name, value.as_str()?))));
    let output = hear(command).await.context("start our own program")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value =
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    if output.status.success() {
        return Ok(last);
    }
    Err(Fault::failed("run the bench", words.join(" ")).why(last["error"].to_string()).into())
}

/// A tool under measurement.
struct Tool {
    name: &'static str,
    target_dir: PathBuf,
    words: Vec<String>,
}

/// Measures packaging.
///
/// # Errors
/// Something does not build, or cargo-lambda cannot be had.
pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<Value> {
    let base = context.root.join("target/causeway/bench");
    let source = base.join("source");
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
    let root = &context.root;
    read(command(root, |sh| cmd!(sh, "git clone --quiet --local -- {root} {source}"))?).await?;
    let say = |text: &str| context.out.note(text);
    let venv = install::venv(&Paths::of(&context.root), Set::Bench, &say).await?;
    let tools = tools(&base, &venv.program("cargo-lambda"), args)?;
    let touched = source.join("api/src/lib.rs");
    let mut rows = Vec::new();
    let mut unchanged = Vec::new();
    for (case, runs) in [("cold", 1), ("library touched", 1), ("nothing changed", UNCHANGED)] {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); tools.len()];
        // In turns, so that a machine that grows slower does so for all.
        for _ in 0..runs {
            for (tool, own) in tools.iter().zip(&mut times) {
                context.out.note(format!("{case}: {}", tool.name));
                if case == "library touched" {
                    touch(&touched)?;
                }
                own.push(timed(tool, &source).await?);
            }
        }
        let mut bare = None;
        for (tool, mut own) in tools.iter().zip(times) {
            own.sort_by(f64::total_cmp);
            let seconds = own[own.len() / 2];
            let ratio = *bare.get_or_insert(seconds);
            rows.push(json!({
                "case": case, "tool": tool.name, "seconds": hundredths(seconds), "runs": runs,
                "ratio": hundredths(seconds / ratio),
            }));
            if runs == UNCHANGED {
                unchanged.push(seconds);
            }
        }
    }
    // What was aimed at: a package of nothing new costs little more than finding out that nothing is new.
    let limit = unchanged[0] * 1.3 + 0.1;
    let ours = unchanged[unchanged.len() - 1];
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
    // Only now: what is uploaded is packaged anew, with the profile of a release.
    let uploads = uploads(context, &source, &base).await?;
    context.out.say(format!("  {:<18} {:<14} {:>9} {:>6}", "case", "tool", "seconds", "ratio"));
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        context.out.say(format!(
            "  {:<18} {:<14} {:>9.2} {:>6.2}",
            text("case"),
            text("tool"),
            number("seconds"),
            number("ratio")
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
    let within = ours <= limit;
    context.out.say(format!(
        "  nothing changed: {ours:.2} s, aimed at {limit:.2} s (1.3 times a bare build, and 100 ms): {}",
        if within { "within" } else { "NOT within" }
    ));
    for upload in &uploads {
        context.out.say(format!(
            "  {} upload: {} bytes",
            upload["run"].as_str().unwrap_or_default(),
            upload["bytes"]
        ));
    }
    Ok(json!({
        "rows": rows, "sizes": sizes, "uploads": uploads,
        "unchanged": {"seconds": hundredths(ours), "limit_seconds": hundredths(limit), "within": within},
    }))
}

/// The three, each with a target directory of its own; what the ratios are against comes first.
fn tools(base: &Path, cargo_lambda: &Path, args: &Args) -> anyhow::Result<Vec<Tool>> {
    let own = std::env::current_exe().context("find our own program")?.display().to_string();
    let bins: Vec<String> = args.bin.iter().flat_map(|name| ["--bin".to_owned(), name.clone()]).collect();
    let tool = |name: &'static str, profile: &str, words: &[&str]| {
        let profile = ["--profile".to_owned(), args.profile.clone().unwrap_or_else(|| profile.to_owned())];
        let words = words.iter().map(ToString::to_string).chain(profile).chain(bins.clone()).collect();
        Tool { name, target_dir: base.join(name), words }
    };
    Ok(vec![
        tool("cargo", "release", &["cargo", "build", "--locked", "--package", "api", "--package", "hooks"]),
        tool(
            "cargo-lambda",
            "release",
            &[
                &cargo_lambda.display().to_string(),
                "lambda",
                "build",
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
        tool("xtask", "lambda", &[&own, "package", "--no-upload", "--target", "host"]),
    ])
}

async fn timed(tool: &Tool, dir: &Path) -> anyhow::Result<f64> {
    let (name, words) = tool.words.split_first().context("an empty command")?;
    let mut command = command(dir, |sh| cmd!(sh, "{name} {words...}"))?;
    command.env("CARGO_TARGET_DIR", &tool.target_dir);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAUSEWAY_")) {
        command.env_remove(name);
    }
    let shown = describe(&command);
    let watch = Stopwatch::start();
    if !show(command).await? {
        return Err(Fault::failed("run the bench", shown)
            .why("it ended with an error; its lines are above")
            .next("fix what it names, and run it again")
            .into());
    }
    Ok(watch.seconds())
}

/// The names of the functions, as the template's packages have them.
fn functions(source: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(source.join("cfn/app.yaml")).context("read cfn/app.yaml")?;
    let mut names: Vec<String> = causeway_model::package::code_uris(&text)
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
