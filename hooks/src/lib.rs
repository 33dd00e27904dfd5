//! The CodeDeploy lifecycle hooks: they try the new version before traffic moves to it, and the alias after.
//!
//! A hook that never reports keeps a deployment waiting for an hour. So everything here leads to one report:
//! a failed check, an error of the SDK, a panic and the deadline all do.

#[cfg(not(panic = "unwind"))]
compile_error!("a hook must report after a panic: build it with panic = \"unwind\"");

pub mod api;
pub mod check;
pub mod clients;
mod code;
pub mod hook;
pub mod invoke;
pub mod log;
pub mod report;
pub mod runner;
pub mod serve;
pub mod settings;
pub mod suites;
mod sweep;
