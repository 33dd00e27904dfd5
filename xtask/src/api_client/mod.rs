//! The API from outside: a client, and the integration tests' checks.

mod checks;
mod client;

pub(crate) use checks::{Checks, Wanted};
pub(crate) use client::ApiClient;
