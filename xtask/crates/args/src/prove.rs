//! The arguments of `prove`.

use std::path::PathBuf;

/// Arguments of `prove`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Weaken every statement in every way, and print the mutants that no row catches
    #[arg(long)]
    pub mutate: bool,
    /// Say what the change since this git revision newly allows or no longer allows
    #[arg(long, value_name = "REV")]
    pub diff: Option<String>,
    /// With --diff: fail where something is newly allowed
    #[arg(long, requires = "diff")]
    pub fail_on_widening: bool,
    /// Write the rights of whoever runs bootstrap, and of whoever leaves with destroy, one policy file an account, and the
    /// organization's policies for this project
    #[arg(long, value_name = "DIR")]
    pub bootstrap_policies: Option<PathBuf>,
    /// Print the statements that roles and boundaries lack for the templates, narrow and with the reason for each
    #[arg(long)]
    pub suggest: bool,
    /// Print every row and every request, not only what fails
    #[arg(long)]
    pub all: bool,
}
