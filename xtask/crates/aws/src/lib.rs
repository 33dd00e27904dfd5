//! AWS: sessions whose account is verified, stacks, artifacts, rollouts, signatures. The only crate that names an SDK.
//!
//! Services that need no such crate are called in JSON, over the runtime below it (`json.rs`).
//! SDK types become ours at this boundary; a value that is not known becomes `Unknown` or an error, never a panic. Only this
//! manifest has the SDKs, so the line below is right here, and the compiler refuses it anywhere else (see `causeway-watch`):
//!
//! ```no_run
//! use aws_sdk_s3 as _;
//! ```

pub mod artifacts;
pub mod cloudformation;
pub mod connections;
mod deployments;
pub mod endpoint;
mod error;
mod json;
pub mod pipelines;
pub mod policies;
mod profiles;
pub mod raw;
pub mod region;
pub mod rollouts;
#[cfg(test)]
mod scripted;
mod session;
pub mod sign;
mod spoken;
mod sts;
pub mod teardown;
mod waiting;

pub use session::{Account, Accounts, LocalWorld, OpenOptions, Unverified};
pub use sts::assume_role;
pub use waiting::{Limits, Say};
