//! `test`: the unit tests of what is released. The build stage runs this before `package`.

use super::{Baseline, Context, Outcome};
use crate::model::fault::Fault;
use crate::model::verdict::Verdict;
use crate::shell::{describe, program, show};

/// Arguments of `test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Cargo profile; by default the one for tests
    #[arg(long, env = "CAUSEWAY_PROFILE", value_name = "PROFILE")]
    profile: Option<String>,
}

/// Runs `test`.
///
/// # Errors
/// A test fails, or something does not compile.
pub(crate) async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    if Baseline::from_environment().is_some() {
        context.out.say("skipped: a baseline stands for a release whose tests were run already");
        return Ok(Outcome::of(Verdict::NothingToDo));
    }
    let mut arguments = vec!["test", "--locked", "--package", "api", "--package", "hooks"];
    // The profile for Lambda takes minutes to link and finds no other mistakes.
    let profile = args.profile.filter(|profile| profile != "lambda");
    if let Some(profile) = &profile {
        arguments.extend(["--profile", profile]);
    }
    let command = program("cargo", arguments, &context.root);
    let shown = describe(&command);
    if show(command).await? {
        return Ok(Outcome::of(Verdict::Done));
    }
    Err(Fault::failed("run the unit tests", shown)
        .why("at least one failed; the lines are above")
        .next("mend it, and run it again")
        .into())
}
