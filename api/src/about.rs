//! What a function says of itself. None of it touches the table: it answers "is this code running, and which".

use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::serve::Context;

/// The version that the build stamped.
pub async fn version(Extension(context): Extension<Context>) -> Json<Value> {
    Json(json!({"version": context.identity.version, "function": context.identity.function}))
}

/// The function is up.
pub async fn health(Extension(context): Extension<Context>) -> Json<Value> {
    let identity = context.identity;
    Json(json!({"status": "ok", "version": identity.version, "function": identity.function}))
}
