//! Control calls that start an execution of the pipeline, follow it, answer its approval and stop it. `front/control.rs`
//! has looked at the token.

use axum::response::Response;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Call, Front};
use crate::executions::Answer;
use crate::pipeline::Order;
use causeway_model::fault::{Fault, with_kind};

/// A refusal, with its kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// Why.
    #[serde(with = "with_kind")]
    pub(crate) fault: Fault,
}

/// Answers a call; `rest` is the path after `executions`.
pub(super) async fn answer(front: &Front, call: &Call, rest: &str) -> Response {
    let executions = &front.cloud.executions;
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    match (&call.parts.method, segments.as_slice()) {
        (&Method::GET, []) => given(json!({"executions": executions.all()})),
        (&Method::POST, []) => match Order::from_body(&call.body) {
            Ok(order) => match executions.start(&front.cloud, order).await {
                Ok(id) => given(json!({"pipelineExecutionId": id})),
                Err(fault) => refused(StatusCode::CONFLICT, fault),
            },
            Err(error) => {
                let fault = Fault::usage("start the release", "the local cloud").why(format!("{error:#}"));
                let next = "where the tool was changed meanwhile: cargo xtask local down, then run it again";
                refused(StatusCode::BAD_REQUEST, fault.next(next))
            }
        },
        (&Method::GET, ["free"]) => match executions.free().await {
            Ok(()) => given(json!({})),
            Err(fault) => refused(StatusCode::CONFLICT, fault),
        },
        (method, [id, act @ ..]) => {
            let Some(active) = executions.get(id) else { return not_found() };
            match (method, act) {
                (&Method::GET, []) => given(json!(active.state())),
                (&Method::GET, ["events"]) => {
                    let query = call.parts.uri.query().unwrap_or_default();
                    let number = |wanted: &str| {
                        let mut pairs = form_urlencoded::parse(query.as_bytes());
                        pairs.find(|(name, _)| name == wanted).and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
                    };
                    given(json!(active.journal.after(number("after"), number("progress")).await))
                }
                (&Method::POST, ["approval"]) => match serde_json::from_slice::<Answer>(&call.body) {
                    Ok(answer) if active.answer(answer.clone()) => given(json!({})),
                    Ok(_) => {
                        let fault =
                            Fault::failed("answer the approval", "").why("no approval waits for this answer");
                        refused(StatusCode::CONFLICT, fault.next("look at what the execution waits for"))
                    }
                    Err(error) => super::text(StatusCode::BAD_REQUEST, format!("no answer: {error}\n")),
                },
                (&Method::POST, ["stop"]) => {
                    let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
                    let reason = body.get("reason").and_then(Value::as_str).unwrap_or("it was asked to");
                    executions.stop(id, reason).await;
                    given(json!(active.state()))
                }
                _ => not_found(),
            }
        }
        _ => not_found(),
    }
}

fn given(value: Value) -> Response {
    super::json(StatusCode::OK, &value)
}

fn refused(status: StatusCode, fault: Fault) -> Response {
    super::json(status, &json!(Refusal { fault }))
}

fn not_found() -> Response {
    super::text(StatusCode::NOT_FOUND, "no such execution or call\n".to_owned())
}
