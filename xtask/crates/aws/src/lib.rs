//! The only place that names an `aws_sdk_*` crate.
//!
//! SDK types become ours at this boundary; a value that is not known becomes `Unknown` or an error, never a panic.

pub mod artifacts;
pub mod cloudformation;
pub mod connections;
mod error;
pub mod raw;
pub mod region;
pub mod rollouts;
#[cfg(test)]
mod scripted;
mod session;
pub mod sign;
mod sts;
pub mod teardown;

pub use session::{Account, Accounts, LocalWorld, OpenOptions};
pub use sts::assume_role;
