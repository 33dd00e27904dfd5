//! The hook before traffic, with checks that panic: what the tests start to see that a hook reports even then.
//!
//! An example and not a feature or a variable of the hooks: nothing in what is released can be switched to do this.
//! Everything but the checks is the released code, and the process is started the same way.

#![expect(clippy::panic, reason = "it is what this hook is for")]

use std::process::ExitCode;

use hooks::check::{Check, GET, Step};
use hooks::settings::Phase;
use hooks::suites::{SUITES, Suite};

/// A panic before anything was written, and one between writing and deleting.
const PANICKING: &[Suite] = &[Suite { function: "checkin", pre: &[AT_ONCE, HALFWAY], post: &[] }];

const AT_ONCE: Check = Check {
    name: "panics on purpose",
    steps: &[Step { path: "/api/version", rule: |_, _| panic!("on purpose"), ..GET }],
    sweep: None,
};

/// The released check that writes, its reading step made to panic.
const HALFWAY: Check = Check {
    steps: &[
        WRITES.steps[0],
        Step { rule: |_, _| panic!("on purpose"), ..WRITES.steps[1] },
        WRITES.steps[2],
        WRITES.steps[3],
    ],
    ..WRITES
};

const WRITES: Check = SUITES[0].post[4];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    hooks::serve::run(Phase::PreTraffic, "example", PANICKING).await
}
