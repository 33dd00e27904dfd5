//! `cargo xtask`: a table of contents. Every command is one file in `cmd/`.

mod api_client;
mod aws;
mod build;
mod clock;
mod cmd;
mod files;
mod local;
mod model;
mod shell;
mod sign;
mod term;
mod watch;

use clap::{Parser, Subcommand};
use cmd::run;

/// Carries a commit of a serverless application across AWS accounts, or rehearses that on one machine.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: cmd::Common,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole release on this machine: local cloud, bootstrap, pipeline, traffic shift, verdict
    Rehearse(cmd::rehearse::Args),
    /// Run everything that CI checks
    Check(cmd::check::Args),
    /// Plan and deploy the stacks of the build account and its targets, in order
    Bootstrap(cmd::bootstrap::Args),
    /// Build the functions, zip them, upload them, and write the packaged template
    Package(cmd::package::Args),
    /// What packaging and a start cost, beside the usual tools, in one run
    #[command(subcommand)]
    Bench(cmd::bench::Command),
    /// Run the unit tests of what is released; the build stage does
    Test(cmd::test::Args),
    /// Run the tests of the Dev stage against the API at API_URL
    IntegrationTest(cmd::integration_test::Args),
    /// Evaluate the access matrix on the policies that the templates would deploy
    Prove(cmd::prove::Args),
    /// Drive traffic at an environment while it is deployed, and end with a verdict
    TestDeployment(cmd::test_deployment::Args),
    /// Deploy, list or remove a developer's own copy of the application
    Deploy(cmd::deploy::Args),
    /// List everything of the project in all accounts, then remove it
    Destroy(cmd::destroy::Args),
    /// Look at everything a release rests on, and say how to mend what is wrong
    Doctor(cmd::doctor::Args),
    /// The local cloud by itself, for any AWS client
    #[command(subcommand)]
    Local(cmd::local::Command),
}

fn main() -> std::process::ExitCode {
    cmd::main(|Cli { command, common }| match command {
        Command::Rehearse(a) => run("rehearse", common, |c| cmd::rehearse::run(c, a)),
        Command::Check(a) => run("check", common, |c| cmd::check::run(c, a)),
        Command::Bootstrap(a) => run("bootstrap", common, |c| cmd::bootstrap::run(c, a)),
        Command::Package(a) => run("package", common, |c| cmd::package::run(c, a)),
        Command::Bench(a) => run("bench", common, |c| cmd::bench::run(c, a)),
        Command::Test(a) => run("test", common, |c| cmd::test::run(c, a)),
        Command::IntegrationTest(a) => run("integration-test", common, |c| cmd::integration_test::run(c, a)),
        Command::Prove(a) => run("prove", common, |c| cmd::prove::run(c, a)),
        Command::TestDeployment(a) => run("test-deployment", common, |c| cmd::test_deployment::run(c, a)),
        Command::Deploy(a) => run("deploy", common, |c| cmd::deploy::run(c, a)),
        Command::Destroy(a) => run("destroy", common, |c| cmd::destroy::run(c, a)),
        Command::Doctor(a) => run("doctor", common, |c| cmd::doctor::run(c, a)),
        Command::Local(a) => run("local", common, |c| cmd::local::run(c, a)),
    })
}
