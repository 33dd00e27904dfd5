//! The check-in API from outside: a client with the integration tests of the Dev stage, and steady traffic beside a rollout.
//!
//! It asks AWS through `causeway-aws`; an SDK is not for it to name, and the compiler holds that:
//!
//! ```compile_fail,E0432
//! use aws_sdk_s3 as _;
//! ```

pub mod api_client;
#[cfg(test)]
#[path = "../../../../hooks/tests/support/clock.rs"]
mod held_clock;
pub mod watcher;
