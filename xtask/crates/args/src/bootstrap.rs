//! The arguments of `bootstrap`.

/// Arguments of `bootstrap`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: exit with 3 where something would change
    #[arg(long, requires = "dry_run")]
    pub detailed_exitcode: bool,
}

impl Args {
    /// As a rehearsal runs it.
    pub fn act() -> Self {
        Self { dry_run: false, detailed_exitcode: false }
    }
}
