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
        Self { dry_run, detailed_exitcode, adopt, allow_data_loss: Vec::new() }
    }
}
