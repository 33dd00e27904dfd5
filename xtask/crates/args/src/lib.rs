//! The command line, declared once.
//!
//! The entry (`cargo xtask`) answers help, mistakes and completions from it before anything else is built; the commands
//! take their arguments from it. So it does nothing: no I/O, no model, and no dependency besides clap.

pub mod bench;
pub mod bootstrap;
pub mod check;
mod common;
pub mod completions;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod integration_test;
pub mod local;
pub mod package;
pub mod prove;
mod read;
pub mod rehearse;
pub mod test;
pub mod test_deployment;

use clap::{Parser, Subcommand};

pub use common::{Common, Format, Report};
pub use read::{Unread, read};

/// Carries a commit of a serverless application across AWS accounts, or rehearses that on one machine.
#[derive(Parser, Debug)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the whole release on this machine: local cloud, bootstrap, pipeline, traffic shift, verdict
    Rehearse(rehearse::Args),
    /// Run everything that CI checks
    Check(check::Args),
    /// Plan and deploy the stacks of the build account and its targets, in order
    Bootstrap(bootstrap::Args),
    /// Build the functions, zip them, upload them, and write the packaged template
    Package(package::Args),
    /// What packaging and a start cost, beside the usual tools, in one run
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run the unit tests of what is released; the build stage does
    Test(test::Args),
    /// Run the tests of the Dev stage against the API at API_URL
    IntegrationTest(integration_test::Args),
    /// Evaluate the access matrix on the policies that the templates would deploy
    Prove(prove::Args),
    /// Drive traffic at an environment while it is deployed, and end with a verdict
    TestDeployment(test_deployment::Args),
    /// Deploy, list or remove a developer's own copy of the application
    Deploy(deploy::Args),
    /// List everything of the project in all accounts, then remove it
    Destroy(destroy::Args),
    /// Look at everything a release rests on, and say how to mend what is wrong
    Doctor(doctor::Args),
    /// The local cloud by itself, for any AWS client
    #[command(subcommand)]
    Local(local::Command),
    /// Print what completes the word `xtask` in bash, zsh or fish
    ///
    /// cargo does not ask what may follow `cargo xtask`, so let a function of that name stand
    /// for it. In bash (in zsh after compinit, with the other name):
    ///
    ///     xtask() { cargo xtask "$@"; }
    ///     source <(cargo xtask completions bash)
    ///
    /// In fish:
    ///
    ///     function xtask; cargo xtask $argv; end
    ///     cargo xtask completions fish | source
    #[command(verbatim_doc_comment)]
    Completions(completions::Args),
}

impl Command {
    /// Its name, as it is typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Command::Rehearse(_) => "rehearse",
            Command::Check(_) => "check",
            Command::Bootstrap(_) => "bootstrap",
            Command::Package(_) => "package",
            Command::Bench(_) => "bench",
            Command::Test(_) => "test",
            Command::IntegrationTest(_) => "integration-test",
            Command::Prove(_) => "prove",
            Command::TestDeployment(_) => "test-deployment",
            Command::Deploy(_) => "deploy",
            Command::Destroy(_) => "destroy",
            Command::Doctor(_) => "doctor",
            Command::Local(_) => "local",
            Command::Completions(_) => "completions",
        }
    }
}

/// The whole command line, for completions.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
