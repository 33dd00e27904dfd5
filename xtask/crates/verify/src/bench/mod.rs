//! `bench`: what packaging costs beside the usual tools, and what a start costs; everything in one run on one machine.

mod coldstart;
mod package;
mod rollout;

use causeway_args::bench::Command;

use causeway_command::{Context, Outcome};
use causeway_model::verdict::Verdict;

/// Runs `bench`.
///
/// # Errors
/// Something does not build or start, or cargo-lambda cannot be had.
pub async fn run(context: Context, command: Command) -> anyhow::Result<Outcome> {
    let data = match command {
        Command::Package(args) => package::run(&context, &args).await?,
        Command::Coldstart(args) => coldstart::run(&context, &args).await?,
        Command::Rollout => rollout::run(&context).await?,
    };
    Ok(Outcome::of(Verdict::Done).with_data(data))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
