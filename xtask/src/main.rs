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
    let parsed = match cmd::parse::<Cli>() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let common = parsed.common;
    match parsed.command {
        Command::Rehearse(a) => cmd::run("rehearse", common, async |c| cmd::rehearse::run(c, a).await),
        Command::Check(a) => cmd::run("check", common, async |c| cmd::check::run(c, a).await),
        Command::Bootstrap(a) => cmd::run("bootstrap", common, async |c| cmd::bootstrap::run(c, a).await),
        Command::Package(a) => cmd::run("package", common, async |c| cmd::package::run(c, a).await),
        Command::Bench(a) => cmd::run("bench", common, async |c| cmd::bench::run(c, a).await),
        Command::Test(a) => cmd::run("test", common, async |c| cmd::test::run(c, a).await),
        Command::IntegrationTest(a) => {
            cmd::run("integration-test", common, async |c| cmd::integration_test::run(c, a).await)
        }
        Command::Prove(a) => cmd::run("prove", common, async |c| cmd::prove::run(c, a).await),
        Command::TestDeployment(a) => {
            cmd::run("test-deployment", common, async |c| cmd::test_deployment::run(c, a).await)
        }
        Command::Deploy(a) => cmd::run("deploy", common, async |c| cmd::deploy::run(c, a).await),
        Command::Destroy(a) => cmd::run("destroy", common, async |c| cmd::destroy::run(c, a).await),
        Command::Doctor(a) => cmd::run("doctor", common, async |c| cmd::doctor::run(c, a).await),
        Command::Local(a) => cmd::run("local", common, async |c| cmd::local::run(c, a).await),
    }
}
