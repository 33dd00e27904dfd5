//! The few calls of services that no emulator runs, answered from the engines. Any other one of theirs: a clear 501.

use std::sync::atomic::Ordering;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Front};
use crate::local::hooks::Report;

/// Services whose calls never reach the emulator, by the prefix of `x-amz-target`.
const OURS: [&str; 4] = [
    "CodeDeploy_20141006.",
    "CodePipeline_20150709.",
    "com.amazonaws.codeconnections.CodeConnections_20231201.",
    "CodeStar_connections_20191201.",
];

/// The target of a call that the engines answer.
pub(super) fn target(call: &Call) -> Option<String> {
    let target = call.parts.headers.get("x-amz-target")?.to_str().ok()?;
    let short = target.trim_start_matches("com.amazonaws.codestarconnections.");
    OURS.iter()
        .any(|prefix| short.starts_with(prefix) || target.starts_with(prefix))
        .then(|| short.to_owned())
}

/// Answers it.
pub(super) async fn answer(front: &Front, call: &Call, target: &str) -> Response {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
    let operation = target.rsplit('.').next().unwrap_or_default();
    match (target.split('.').next().unwrap_or_default(), operation) {
        ("CodeDeploy_20141006", "PutLifecycleEventHookExecutionStatus") => report(front, &body),
        (_, "GetConnection") => connection(front, &body),
        _ => super::json(
            StatusCode::NOT_IMPLEMENTED,
            &json!({"__type": "NotImplementedException", "message": format!("{target} is not part of the local cloud")}),
        ),
    }
}

/// A hook reports. Whoever knows the execution id was invoked with it: it is as hard to guess as on AWS.
fn report(front: &Front, body: &Value) -> Response {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let report = match text("status") {
        "Succeeded" => Report::Succeeded,
        "Failed" => Report::Failed,
        other => {
            let message = format!("{other:?} is not a status that a lifecycle hook may report");
            return error("InvalidLifecycleEventHookExecutionStatusException", &message);
        }
    };
    let execution = text("lifecycleEventHookExecutionId");
    if front.cloud.hooks.report(text("deploymentId"), execution, report) {
        super::json(StatusCode::OK, &json!({"lifecycleEventHookExecutionId": execution}))
    } else {
        error("InvalidLifecycleEventHookExecutionIdException", "no lifecycle hook of that id is at work")
    }
}

/// A connection and whether a person has finished it.
fn connection(front: &Front, body: &Value) -> Response {
    let arn = body.get("ConnectionArn").and_then(Value::as_str).unwrap_or_default();
    let pending = front.cloud.connections_pending.load(Ordering::Relaxed);
    let status = if pending { "PENDING" } else { "AVAILABLE" };
    let name = arn.rsplit('/').next().unwrap_or_default();
    super::json(
        StatusCode::OK,
        &json!({"Connection": {"ConnectionArn": arn, "ConnectionName": name, "ConnectionStatus": status, "ProviderType": "GitHub"}}),
    )
}

fn error(kind: &str, message: &str) -> Response {
    super::json(StatusCode::BAD_REQUEST, &json!({"__type": kind, "message": message}))
}
