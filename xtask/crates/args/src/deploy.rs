//! The arguments of `deploy`.

/// How many days a stack lives without being deployed again: as many as its packages (`target-roles.yaml`).
pub const DAYS: u8 = 14;

/// Arguments of `deploy`.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// The name of your own stack: lowercase letters and digits
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    pub isolated: Option<String>,
    /// The environment to have it in; by default the only one that takes such stacks
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,
    /// List everybody's isolated stacks: whose they are, how old, and until when
    #[arg(long, conflicts_with_all = ["isolated", "delete", "dry_run"])]
    pub list: bool,
    /// Remove your stack, and its table with everything in it
    #[arg(long)]
    pub delete: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: exit with 3 where something would change
    #[arg(long, requires = "dry_run", conflicts_with = "list")]
    pub detailed_exitcode: bool,
    /// Your stack's data may be lost: its table is replaced or removed (--yes is not enough)
    #[arg(long, value_name = "STACK")]
    pub allow_data_loss: Vec<String>,
    /// The stack may go after so many days; deploying it again moves the day
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = clap::value_parser!(u8).range(1..=i64::from(DAYS)))]
    pub days: u8,
    /// Target triple, or `host`; by default Lambda on arm64, on a local cloud this machine's own
    #[arg(long, env = "CAUSEWAY_TARGET", value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Cargo profile
    #[arg(long, env = "CAUSEWAY_PROFILE", default_value = "lambda", value_name = "PROFILE")]
    pub profile: String,
}
