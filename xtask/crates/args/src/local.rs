//! The parts of `local` and their arguments.

use std::time::Duration;

use crate::common::duration;

/// The parts of `local`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Start the local cloud, or name the one that runs
    Up(Minute),
    /// End the local cloud and everything in it
    Down,
    /// Print the variables with which any AWS client reaches it
    Env,
    /// Approve the local connection to the repository as a person would, or undo that
    Connection {
        /// How connections stand from now on
        #[arg(value_enum)]
        standing: Standing,
    },
    /// The resident process
    #[command(hide = true)]
    Serve(Serve),
}

/// How the local cloud's connections stand.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A person must finish them
    Pending,
    /// They can be used
    Available,
}

/// How fast time passes.
#[derive(clap::Args, Debug)]
pub struct Minute {
    /// How long a simulated minute takes, for instance 1s or 250ms
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub minute: Duration,
}

/// Options of the resident process.
#[derive(clap::Args, Debug)]
pub struct Serve {
    /// `--minute`.
    #[command(flatten)]
    pub minute: Minute,
    /// End when stdin is closed without having said `keep`
    #[arg(long)]
    pub owned: bool,
}
