//! Which program does which command.

use causeway_args::Command;

/// A program of the tool: what cargo calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The package that has it.
    pub package: &'static str,
    /// Its name.
    pub bin: &'static str,
}

/// What carries a release.
const RELEASE: Part = Part { package: "causeway-release", bin: "causeway" };
/// What evaluates the access matrix.
const PROVE: Part = Part { package: "causeway-prove-cmd", bin: "causeway-prove" };
/// What tests the project itself.
const VERIFY: Part = Part { package: "causeway-verify", bin: "causeway-verify" };

/// All of them.
pub const PARTS: [Part; 3] = [RELEASE, PROVE, VERIFY];

impl Part {
    /// The one that does a command.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Check(_) | Command::Bench(_) => VERIFY,
            Command::Prove(_) => PROVE,
            Command::Rehearse(_)
            | Command::Bootstrap(_)
            | Command::Package(_)
            | Command::Test(_)
            | Command::IntegrationTest(_)
            | Command::TestDeployment(_)
            | Command::Deploy(_)
            | Command::Destroy(_)
            | Command::Doctor(_)
            | Command::Local(_)
            | Command::Completions(_) => RELEASE,
        }
    }
}
