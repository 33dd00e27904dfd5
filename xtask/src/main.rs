//! `cargo xtask`: a table of contents. Every command is one file in `cmd/`.

use causeway_command::run;
use clap::{Parser, Subcommand};

/// Carries a commit of a serverless application across AWS accounts, or rehearses that on one machine.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: causeway_command::Common,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole release on this machine: local cloud, bootstrap, pipeline, traffic shift, verdict
    Rehearse(causeway_release::rehearse::Args),
    /// Run everything that CI checks
    Check(causeway_verify::check::Args),
    /// Plan and deploy the stacks of the build account and its targets, in order
    Bootstrap(causeway_release::bootstrap::Args),
    /// Build the functions, zip them, upload them, and write the packaged template
    Package(causeway_release::package::Args),
    /// What packaging and a start cost, beside the usual tools, in one run
    #[command(subcommand)]
    Bench(causeway_verify::bench::Command),
    /// Run the unit tests of what is released; the build stage does
    Test(causeway_release::test::Args),
    /// Run the tests of the Dev stage against the API at API_URL
    IntegrationTest(causeway_release::integration_test::Args),
    /// Evaluate the access matrix on the policies that the templates would deploy
    Prove(causeway_prove_cmd::prove::Args),
    /// Drive traffic at an environment while it is deployed, and end with a verdict
    TestDeployment(causeway_release::test_deployment::Args),
    /// Deploy, list or remove a developer's own copy of the application
    Deploy(causeway_release::deploy::Args),
    /// List everything of the project in all accounts, then remove it
    Destroy(causeway_release::destroy::Args),
    /// Look at everything a release rests on, and say how to mend what is wrong
    Doctor(causeway_release::doctor::Args),
    /// The local cloud by itself, for any AWS client
    #[command(subcommand)]
    Local(causeway_release::local::Command),
}

fn main() -> std::process::ExitCode {
    causeway_command::main(|Cli { command, common }| match command {
        Command::Rehearse(a) => run("rehearse", common, |c| causeway_release::rehearse::run(c, a)),
        Command::Check(a) => run("check", common, |c| causeway_verify::check::run(c, a)),
        Command::Bootstrap(a) => run("bootstrap", common, |c| causeway_release::bootstrap::run(c, a)),
        Command::Package(a) => run("package", common, |c| causeway_release::package::run(c, a)),
        Command::Bench(a) => run("bench", common, |c| causeway_verify::bench::run(c, a)),
        Command::Test(a) => run("test", common, |c| causeway_release::test::run(c, a)),
        Command::IntegrationTest(a) => {
            run("integration-test", common, |c| causeway_release::integration_test::run(c, a))
        }
        Command::Prove(a) => run("prove", common, |c| causeway_prove_cmd::prove::run(c, a)),
        Command::TestDeployment(a) => {
            run("test-deployment", common, |c| causeway_release::test_deployment::run(c, a))
        }
        Command::Deploy(a) => run("deploy", common, |c| causeway_release::deploy::run(c, a)),
        Command::Destroy(a) => run("destroy", common, |c| causeway_release::destroy::run(c, a)),
        Command::Doctor(a) => run("doctor", common, |c| causeway_release::doctor::run(c, a)),
        Command::Local(a) => run("local", common, |c| causeway_release::local::run(c, a)),
    })
}
