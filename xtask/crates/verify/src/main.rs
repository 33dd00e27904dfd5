//! `causeway-verify`: what tests the project, with every other command, since checks start rehearsals and clouds by their own
//! program.

use causeway_args::{Cli, Command};
use causeway_command::run;

fn main() -> std::process::ExitCode {
    // Only this program waits less than a person would, where its own suite of faults says so.
    let answer =
        std::env::var(causeway_verify::check::faults::ANSWER).ok().and_then(|text| text.parse().ok());
    if let Some(millis) = answer {
        causeway_aws::Limits::around(std::time::Duration::from_millis(millis)).shorten();
    }
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
        Command::Completions(_) => run("completions", common, async |_| causeway_command::completions()),
        Command::Local(a) => run("local", common, |c| causeway_release::local::run(c, a)),
    })
}
