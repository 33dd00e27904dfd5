//! The arguments of `rehearse`.

use std::time::Duration;

use crate::common::{Report, duration};

/// How `--break-prod` can break a version.
pub const BROKEN: [&str; 5] = ["errors", "slow", "hook", "crash", "wrong-version"];

/// Arguments of `rehearse`.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// What becomes of the approval before prod; without a terminal `ask` is `auto`
    #[arg(long, value_enum, default_value_t)]
    pub approve: Approve,
    /// Leave the local cloud up afterwards, and print how to reach it
    #[arg(long)]
    pub keep: bool,
    /// How long a simulated minute takes; a hook at work has 60 s in any case
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub minute: Duration,
    /// Show the true first day: no earlier release, so no hooks and no traffic shift
    #[arg(long)]
    pub no_baseline: bool,
    /// Let the integration tests fail, to see the pipeline stop before prod
    #[arg(long)]
    pub fail_test: bool,
    /// Release a version that fails in prod, to see it rolled back
    #[arg(long, conflicts_with = "no_baseline", num_args = 0..=1, default_missing_value = "errors", value_name = "HOW", value_parser = clap::builder::PossibleValuesParser::new(BROKEN))]
    pub break_prod: Option<String>,
    /// Put other bytes in place of an approved package between approval and execution, to see what comes of it
    #[arg(long, conflicts_with_all = ["no_baseline", "break_prod"], num_args = 0..=1, default_missing_value = "deleted", value_name = "HOW", value_enum)]
    pub swap_package: Option<Swap>,
    /// Wait at most so long for another release of this checkout; by default a terminal waits, and nothing else does
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u64>,
    /// `--report`.
    #[command(flatten)]
    pub report: Report,
}

/// What becomes of the approval.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approve {
    /// Show what changes in prod, and ask
    #[default]
    Ask,
    /// Approve
    Auto,
    /// Reject
    Reject,
}

/// What is done to a package after the approval.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The approved version is deleted, and other bytes are put under its key
    Deleted,
    /// Other bytes are put under its key, as a newer version beside it
    Beside,
}
