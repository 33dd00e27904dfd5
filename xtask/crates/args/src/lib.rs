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
mod help;
mod hint;
pub mod integration_test;
pub mod local;
pub mod package;
pub mod prove;
mod read;
pub mod rehearse;
pub mod test;
pub mod test_deployment;

use clap::{Parser, Subcommand};

pub use common::{Color, Common, Format, Report};
pub use read::{Unread, read};

/// Causeway carries a commit across AWS accounts, or rehearses that on one machine.
#[derive(Parser, Debug)]
#[command(name = "causeway", bin_name = "cargo xtask", version, max_term_width = 100)]
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
    /// Run the whole release on this machine, to a verdict
    Rehearse(rehearse::Args),
    /// Run everything that CI checks
    Check(check::Args),
    /// Plan, show and deploy the stacks of all accounts, in order
    Bootstrap(bootstrap::Args),
    /// Build, zip and upload the functions, write the template
    Package(package::Args),
    /// Measure packaging, cold starts and shifts beside other tools
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run the unit tests of what is released
    Test(test::Args),
    /// Run the tests of the Dev stage against API_URL
    IntegrationTest(integration_test::Args),
    /// Test the templates' policies against the access matrix
    Prove(prove::Args),
    /// Send traffic to an environment while it is deployed
    TestDeployment(test_deployment::Args),
    /// Deploy, list or remove your own copy of the application
    Deploy(deploy::Args),
    /// List everything in all accounts, ask, and remove it
    Destroy(destroy::Args),
    /// Look at all that a release needs, and say how to fix it
    Doctor(doctor::Args),
    /// The local cloud by itself, for any AWS client
    #[command(subcommand)]
    Local(local::Command),
    /// Print completions for bash, zsh or fish
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
    /// Whether its text is made for a program: lines for `eval`, the names of files.
    #[must_use]
    pub fn stdout_is_read(&self) -> bool {
        match self {
            Command::Local(part) => matches!(part, local::Command::Env),
            Command::Prove(args) => args.bootstrap_policies.is_some(),
            Command::Completions(_) => true,
            _ => false,
        }
    }

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

/// The whole command line.
#[must_use]
pub fn command() -> clap::Command {
    let command = <Cli as clap::CommandFactory>::command();
    let template = help::template(&command);
    command.help_template(template)
}
