//! `test`: the unit tests of what is released. The build stage runs this before `package`.
//!
//! With `--report` it leaves JUnit always, and Cobertura where LLVM's tools of the compiler's version are there, or rustup adds them.

use std::path::Path;

use anyhow::Context as _;
use causeway_args::test::Args;
use serde_json::json;

use super::package::{find_way, stamps};
use causeway_build::compile::Shown;
use causeway_build::coverage::{cobertura, rate, read_lcov};
use causeway_build::test_report::{Ended, Suite, junit};
use causeway_build::tests::How;
use causeway_build::{cargo, fetch, rehearsal, tests};
use causeway_command::{Baseline, Context, Outcome};
use causeway_model::fault::{Fault, from_error};
use causeway_model::line::{Line, Mode, Status, Step};
use causeway_model::verdict::Verdict;

/// What is released.
const PACKAGES: [&str; 2] = ["api", "hooks"];

/// Runs `test`.
///
/// # Errors
/// A test fails, or something does not compile. JUnit is written in both cases.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    if let (Some(_), Some(dir)) = (Baseline::from_environment(), &args.report) {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    if Baseline::from_environment().is_some() {
        context.out.say("skipped: a baseline stands for a release whose tests were run already");
        return Ok(Outcome::of(Verdict::NothingToDo));
    }
    // The profile for Lambda takes minutes to link and finds no other mistakes.
    let profile = args.profile.filter(|profile| profile != "lambda");
    let rehearsed = rehearsal::is_one(std::env::var("CAUSEWAY_TARGET").ok().as_deref()) && profile.is_some();
    let llvm = match &args.report {
        Some(_) if rehearsed => {
            skipped(&context, "a rehearsal builds tests as it builds functions, so it measures no coverage");
            None
        }
        Some(_) => match tests::llvm(&context.root).await {
            Ok(llvm) => Some(llvm),
            Err(why) => {
                context.out.note("adding llvm-tools by rustup, for the coverage report");
                match tests::add_llvm(&context.root).await {
                    Ok(llvm) => Some(llvm),
                    Err(no_rustup) => {
                        skipped(&context, &format!("{why}; {no_rustup}"));
                        None
                    }
                }
            }
        },
        None => None,
    };
    if let Some(dir) = &args.report {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        // Those of an earlier run would be taken for this one's.
        for name in ["junit.xml", "cobertura.xml"] {
            forget(&dir.join(name))?;
        }
    }
    if let Ok(host) = cargo::setting(&context.root, "host", "test").await {
        fetch::crates(&context.root, &[&host.target], &|text| context.out.note(text)).await;
    }
    context.out.spin("unit tests");
    // A package of that profile comes next, and shares what is compiled here.
    let tools = context.root.join("target/causeway/tools");
    let way = match (&profile, &llvm) {
        (Some(_), None) => Some(find_way(&context, "host", &tools).await?),
        _ => None,
    };
    let way = way.as_ref().map(|way| (way, tools.as_path()));
    let (mut features, mut stamped) = (Vec::new(), Vec::new());
    if rehearsed {
        features = rehearsal::features(&context.root, PACKAGES);
        stamped = stamps(&context, profile.as_deref().unwrap_or_default()).await?;
    }
    let how =
        How { profile: profile.as_deref(), llvm: llvm.as_ref(), way, features: &features, stamps: &stamped };
    let (progress, row) = (|line: &str| context.out.tick(line), |row: &str| context.out.row(row));
    let shown = Shown { progress: &progress, row: &row, every: context.pace() };
    let ran = match tests::run(&context.root, &PACKAGES, how, shown).await {
        Ok(ran) => ran,
        Err(error) => {
            if let Some(dir) = &args.report {
                let suite = Suite::not_run(&PACKAGES.join(", "), &from_error(&error).to_string());
                write(dir, "junit.xml", &junit(&[suite]))?;
            }
            return Err(error);
        }
    };
    let count = |kind: fn(&Ended) -> bool| -> usize {
        ran.suites.iter().flat_map(|s| &s.tests).filter(|(_, e)| kind(e)).count()
    };
    let passed = count(|ended| *ended == Ended::Passed);
    let ignored = count(|ended| *ended == Ended::Ignored);
    let failed: usize = ran.suites.iter().map(Suite::failed).sum();
    let mut coverage = None;
    if let Some(dir) = &args.report {
        write(dir, "junit.xml", &junit(&ran.suites))?;
        if let Some(lcov) = ran.lcov {
            let lines = read_lcov(&lcov?, &context.root.display().to_string());
            coverage = Some(rate(lines.values()));
            write(dir, "cobertura.xml", &cobertura(&lines))?;
        }
    }
    let data = json!({"passed": passed, "failed": failed, "ignored": ignored, "coverage": coverage});
    if failed == 0 && passed > 0 {
        context.out.say(format!("  {passed} tests passed, {ignored} ignored"));
        return Ok(Outcome::of(Verdict::Done).with_data(data));
    }
    // Last, and once: what passed is only counted.
    for failure in &ran.failures {
        context.out.row(&format!("\n{failure}"));
    }
    context.out.row("");
    let names: Vec<String> = ran
        .suites
        .iter()
        .flat_map(|suite| {
            suite
                .tests
                .iter()
                .filter(|(_, ended)| matches!(ended, Ended::Failed(_)))
                .map(move |(test, _)| format!("{} {test}", suite.name))
        })
        .collect();
    let on = if names.is_empty() { "api, hooks".to_owned() } else { names.join(", ") };
    let why = if passed + failed == 0 {
        "no test was run".to_owned()
    } else {
        format!(
            "{failed} of {} failed, {passed} passed; the lines of those that failed are above",
            passed + failed
        )
    };
    let fault = Fault::failed("pass the unit tests", on)
        .why(why)
        .next("fix it, and run it again; nothing was packaged");
    Ok(Outcome { error: Some(fault), ..Outcome::of(Verdict::Failed).with_data(data) })
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Removes a file, where there is one.
fn forget(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn skipped(context: &Context, why: &str) {
    context.out.line(&Line::Step(Step {
        stage: "test".to_owned(),
        action: "Coverage".to_owned(),
        sub: None,
        function: None,
        status: Status::Succeeded,
        mode: Mode::Skipped,
        seconds: None,
        reason: Some(why.to_owned()),
        checks: Vec::new(),
    }));
}
