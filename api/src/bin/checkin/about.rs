//! What the function says of itself. None of it touches the table: it answers "is this code running, and which".

use api::problem::Failure;
use api::response::Response;
use api::serve::Context;
use serde_json::json;

/// The version that the build stamped.
pub(crate) fn version(context: &Context) -> Result<Response, Failure> {
    Ok(Response::json(200, &json!({"version": context.version, "function": context.function}))?)
}

/// The function is up.
pub(crate) fn health(context: &Context) -> Result<Response, Failure> {
    Ok(Response::json(200, &json!({"status": "ok", "version": context.version}))?)
}

/// Two constants: the original's second probe.
pub(crate) fn values() -> Result<Response, Failure> {
    Ok(Response::json(200, &["value1", "value2"])?)
}
