//! What completes the command line in a shell.

use std::io::Write as _;

use causeway_args::completions::Shell;
use clap_complete::Shell as Generator;

use crate::said::{Fault, Kind, Outcome, quoted};

/// The word that is completed.
const WORD: &str = "xtask";

/// Prints a shell's completions on stdout; as a result where JSON is wanted.
pub(crate) fn print(shell: Shell, json: bool) -> Outcome {
    let text = of(shell);
    if json {
        return Outcome::Done(format!("{{\"completions\":{}}}", quoted(&text)));
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Outcome::Quiet,
        Err(error) => Outcome::Failed(Fault::new(Kind::Failed, "print completions", "stdout").why(error)),
    }
}

fn of(shell: Shell) -> String {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut bytes = Vec::new();
    clap_complete::generate(generator, &mut causeway_args::command(), WORD, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
