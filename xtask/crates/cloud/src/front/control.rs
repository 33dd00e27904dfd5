//! The front's own calls, for the commands that steer this cloud. Each wants the token of the state file, which only
//! its owner can read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Front};

/// Answers a control call; `rest` is the path after `/_causeway/`.
pub(super) async fn answer(front: &Front, call: &Call, rest: &str) -> Response {
    if rest == "health" {
        return super::json(StatusCode::OK, &json!({"ok": true}));
    }
    let given = call.parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = front.cloud.state().token.clone();
    if given != Some(format!("Bearer {token}").as_str()) {
        return super::text(StatusCode::FORBIDDEN, "the token of state.json is wanted\n".to_owned());
    }
    if let Some(rest) = rest.strip_prefix("executions") {
        return super::executions::answer(front, call, rest).await;
    }
    match rest {
        "happenings" => {
            let query = call.parts.uri.query().unwrap_or_default();
            let mut asked = form_urlencoded::parse(query.as_bytes());
            let after = asked.find(|(name, _)| name == "after").and_then(|(_, n)| n.parse().ok());
            let patient = asked.any(|(name, _)| name == "patient");
            let found = front.cloud.happenings.after(after.unwrap_or(0), patient).await;
            super::json(StatusCode::OK, &serde_json::to_value(found).unwrap_or(Value::Null))
        }
        "minute" => {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
            match body.get("millis").and_then(Value::as_u64) {
                Some(millis) if millis > 0 => {
                    front.cloud.clock.set_minute(Duration::from_millis(millis));
                    super::json(StatusCode::OK, &json!({}))
                }
                _ => super::text(StatusCode::BAD_REQUEST, "millis is wanted\n".to_owned()),
            }
        }
        "connections" => {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
            let pending = body.get("pending").and_then(Value::as_bool).unwrap_or(false);
            front.cloud.connections_pending.store(pending, Ordering::Relaxed);
            super::json(StatusCode::OK, &json!({}))
        }
        // Whether this machine explains what went wrong in the last seconds, as a client tells it.
        "explain" => {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
            let seconds = body.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
            let said = body.get("said").and_then(Value::as_str).unwrap_or_default();
            let long = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let begin = tokio::time::Instant::now().checked_sub(long);
            let strain = begin.and_then(|begin| front.cloud.strains.explains(begin, said));
            super::json(StatusCode::OK, &json!({"why": strain.map(|strain| strain.to_string())}))
        }
        "stop" => {
            front.cloud.stop.send_replace(true);
            super::json(StatusCode::OK, &json!({}))
        }
        _ => super::text(StatusCode::NOT_FOUND, "no such control call\n".to_owned()),
    }
}
