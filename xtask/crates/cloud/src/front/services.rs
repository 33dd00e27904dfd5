//! The few calls of services that no emulator runs, answered from the engines. Any other one of theirs: a clear 501.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Call, Front};
use crate::hooks::Report;

/// Services whose calls never reach the emulator.
const OURS: [&str; 4] = [
    "CodeDeploy_20141006",
    "CodePipeline_20150709",
    "CodeConnections_20231201",
    "CodeStar_connections_20191201",
];

/// What a call asks of a service of ours.
pub(super) struct Asked {
    service: String,
    operation: String,
    input: Value,
    cbor: bool,
    account: Option<String>,
}

/// The call, where the engines answer it. Clients speak JSON with a target header, or CBOR with a path of its own
/// ("Smithy RPC v2 CBOR protocol").
pub(super) fn asked(front: &Front, call: &Call) -> Option<Asked> {
    let text =
        |name: &str| call.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cbor = text("smithy-protocol") == "rpc-v2-cbor";
    let (service, operation) = if cbor {
        let mut words = call.parts.uri.path().split('/').skip(1);
        match (words.next()?, words.next()?, words.next()?, words.next()?) {
            ("service", service, "operation", operation) => (service, operation),
            _ => return None,
        }
    } else {
        let (service, operation) = text("x-amz-target").rsplit_once('.')?;
        (service.rsplit('.').next()?, operation)
    };
    if !OURS.contains(&service) {
        return None;
    }
    let input = if cbor {
        ciborium::from_reader(call.body.as_ref()).unwrap_or(Value::Null)
    } else {
        serde_json::from_slice(&call.body).unwrap_or(Value::Null)
    };
    Some(Asked {
        service: service.to_owned(),
        operation: operation.to_owned(),
        input,
        cbor,
        account: front.cloud.identities.account(&call.access_key),
    })
}

/// Answers it.
pub(super) fn answer(front: &Front, asked: &Asked) -> Response {
    let (status, body) = match (asked.service.as_str(), asked.operation.as_str()) {
        ("CodeDeploy_20141006", "PutLifecycleEventHookExecutionStatus") => report(front, &asked.input),
        ("CodePipeline_20150709", operation @ ("PutJobSuccessResult" | "PutJobFailureResult")) => {
            job(operation, &asked.input)
        }
        (_, "GetConnection") => connection(front, &asked.input),
        ("CodeDeploy_20141006", operation) => deployment(front, asked, operation),
        (service, operation) => missing(service, operation),
    };
    if !asked.cbor {
        return super::json(status, &body);
    }
    let mut bytes = Vec::new();
    if let Err(error) = ciborium::into_writer(&body, &mut bytes) {
        return super::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer cannot be written: {error}"),
        );
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    response.headers_mut().insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    response
}

/// A hook reports. Whoever knows the execution id was invoked with it: it is as hard to guess as on AWS.
fn report(front: &Front, body: &Value) -> (StatusCode, Value) {
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
        (StatusCode::OK, json!({"lifecycleEventHookExecutionId": execution}))
    } else {
        error("InvalidLifecycleEventHookExecutionIdException", "no lifecycle hook of that id is at work")
    }
}

/// A function of a Lambda invoke action reports its job.
fn job(operation: &str, body: &Value) -> (StatusCode, Value) {
    if crate::pipeline::job_reported(operation, body) {
        (StatusCode::OK, json!({}))
    } else {
        error("JobNotFoundException", "no job of that id is waited for")
    }
}

/// CodeDeploy's own view of the engine's deployments, for the account that asks.
fn deployment(front: &Front, asked: &Asked, operation: &str) -> (StatusCode, Value) {
    let Some(account) = asked.account.as_deref() else {
        return error("UnrecognizedClientException", "the security token included in the request is invalid");
    };
    match front.cloud.deployments.answer(account, operation, &asked.input) {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body),
        None => missing(&asked.service, operation),
    }
}

fn missing(service: &str, operation: &str) -> (StatusCode, Value) {
    let message = format!("{service}.{operation} is not part of the local cloud");
    (StatusCode::NOT_IMPLEMENTED, json!({"__type": "NotImplementedException", "message": message}))
}

/// A connection and whether a person has finished it.
fn connection(front: &Front, body: &Value) -> (StatusCode, Value) {
    let arn = body.get("ConnectionArn").and_then(Value::as_str).unwrap_or_default();
    let pending = front.cloud.connections_pending.load(Ordering::Relaxed);
    let status = if pending { "PENDING" } else { "AVAILABLE" };
    let name = arn.rsplit('/').next().unwrap_or_default();
    let connection = json!({"ConnectionArn": arn, "ConnectionName": name, "ConnectionStatus": status, "ProviderType": "GitHub"});
    (StatusCode::OK, json!({"Connection": connection}))
}

fn error(kind: &str, message: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({"__type": kind, "message": message}))
}
