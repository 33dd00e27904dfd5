//! `causeway-prove`: the command `prove` by itself, without what reaches AWS.

use causeway_args::{Cli, Command};
use causeway_command::{elsewhere, run};

fn main() -> std::process::ExitCode {
    causeway_command::main(|Cli { command, common }| match command {
        Command::Prove(a) => run("prove", common, |c| causeway_prove_cmd::prove::run(c, a)),
        other => elsewhere(other.name(), common),
    })
}
