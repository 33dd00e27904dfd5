//! The arguments of `destroy`.

/// Arguments of `destroy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show what there is and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: exit with 3 where something is there
    #[arg(long, requires = "dry_run")]
    pub detailed_exitcode: bool,
    /// The project's name, in place of typing it; --yes is not enough
    #[arg(long, value_name = "NAME")]
    pub confirm_delete: Option<String>,
    /// This stack's data may be lost; with --yes and one for each stack that holds data, no name is asked for
    #[arg(long, value_name = "STACK")]
    pub allow_data_loss: Vec<String>,
}
