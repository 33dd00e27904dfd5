//! `bench`: what packaging costs beside the usual tools, and what a start costs; everything in one run on one machine.

mod coldstart;
mod package;
mod rollout;

use causeway_command::{Context, Outcome};
use causeway_model::verdict::Verdict;

/// The parts of `bench`.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Package for this machine's own target, beside cargo lambda and a bare cargo build: cold, one file touched, nothing
    /// changed; sizes, and what a second upload sends
    Package(package::Args),
    /// From the start of a function's process to its first question for work, and to its first answered read of DynamoDB
    Coldstart(coldstart::Args),
    /// What the local cloud's edge costs before a stub, and whether the watcher keeps its rate
    Rollout,
}

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
