//! The API from outside: a client, and the integration tests' checks.

mod checks;
mod client;

pub use checks::{Checks, Wanted};
pub use client::ApiClient;
