//! The only place that names an `aws_sdk_*` crate.
//!
//! SDK types become ours at this boundary; a value that is not known becomes `Unknown` or an error, never a panic.

pub(crate) mod artifacts;
pub(crate) mod cloudformation;
pub(crate) mod connections;
mod error;
pub(crate) mod raw;
pub(crate) mod region;
pub(crate) mod rollouts;
#[cfg(test)]
pub(crate) mod scripted;
mod session;
mod sts;
pub(crate) mod teardown;

pub(crate) use session::{Account, Accounts, LocalWorld, OpenOptions};
pub(crate) use sts::assume_role;
