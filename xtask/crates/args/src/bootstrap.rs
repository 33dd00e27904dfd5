//! The arguments of `bootstrap`.

use std::path::PathBuf;

/// Arguments of `bootstrap`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: exit with 3 where something would change
    #[arg(long, requires = "dry_run", conflicts_with = "apply")]
    pub detailed_exitcode: bool,
    /// Write the plan to a file and change nothing: names and digests, never a parameter's value
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    pub plan_file: Option<PathBuf>,
    /// Deploy what a plan of --plan-file says; refused where anything moved since: template, parameters, state, account
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub apply: Option<PathBuf>,
    /// Take over stacks that have a name of this project and are none of its own; each one's name must be typed
    #[arg(long)]
    pub adopt: bool,
    /// This stack's data may be lost: a table, bucket or key is replaced or removed (--yes is not enough); may be repeated
    #[arg(long, value_name = "STACK")]
    pub allow_data_loss: Vec<String>,
}

impl Args {
    /// As a rehearsal runs it.
    pub fn act() -> Self {
        let (dry_run, detailed_exitcode, adopt) = (false, false, false);
        let (plan_file, apply) = (None, None);
        Self { dry_run, detailed_exitcode, plan_file, apply, adopt, allow_data_loss: Vec::new() }
    }
}
