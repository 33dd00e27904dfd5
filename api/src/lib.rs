//! What more than one function of the check-in API needs.
//!
//! A function is a binary in `src/bin/` that owns its routes, its handlers and its version text; here is what
//! both use, and the table. So an edit to one function's handlers leaves every other function's bytes alone.

pub mod about;
pub mod clients;
pub mod cursor;
pub mod fields;
pub mod guard;
pub mod log;
pub mod metrics;
pub mod model;
pub mod problem;
pub mod query;
pub mod serve;
pub mod settings;
pub mod store;
