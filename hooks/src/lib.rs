//! The CodeDeploy lifecycle hooks: they try the new version before traffic moves to it, and the alias after.
//!
//! A hook that never reports keeps a deployment waiting for an hour. So everything here leads to one report:
//! a failed check, an error of the SDK, a panic and the deadline all do.
//!
//! From CodeDeploy's event to the report:
//!
//! 1. [`serve`] gets a [`report::LifecycleEvent`] from `lambda_runtime`, and how long Lambda leaves it.
//! 2. [`settings`] say what the template told: whom to ask, and which checks ([`suites`]).
//! 3. [`hook`] has them run by [`runner`], on a thread of their own, with a deadline before Lambda's.
//! 4. A [`check`] asks the new version by its number ([`invoke`]) or the deployed API ([`api`]), and compares.
//! 5. What a check left behind is swept away.
//! 6. [`report`] tells CodeDeploy the one outcome, again where it must, over a connection that no check uses.

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
