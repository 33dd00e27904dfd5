//! What a function says of itself. None of it touches the table: it answers "is this code running, and which".

use serde_json::json;

use crate::problem::Problem;
use crate::response::Response;
use crate::serve::Context;

/// The version that the build stamped.
///
/// # Errors
/// As [`Response::json`].
pub fn version(context: &Context) -> Result<Response, Problem> {
    Response::json(200, &json!({"version": context.version, "function": context.function}))
}

/// The function is up.
///
/// # Errors
/// As [`Response::json`].
pub fn health(context: &Context) -> Result<Response, Problem> {
    let health = json!({"status": "ok", "version": context.version, "function": context.function});
    Response::json(200, &health)
}
