//! API Gateway's event, read by hand.
//!
//! `lambda_http` would do this too, but version 1.3 panics while it builds a URI out of what a client
//! sent: `GET /api/version?a=<` is enough. A panic is a function error, function errors raise the
//! alarm, and the alarm rolls a release back: nobody outside may hold that lever. Here nothing fails:
//! what is absent or of another type counts as empty, and the router answers 404.
//!
//! Source of the format: "payload format version 2.0" of API Gateway's HTTP APIs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The longest body that is read, in bytes after base64 is undone.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// One HTTP request, as raw as API Gateway hands it over.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method in capitals, as sent.
    pub method: String,
    /// What stands before the path in links: empty, or `/` and the stage's name.
    pub base: String,
    /// The path from `/api` on, not decoded.
    pub path: String,
    /// The query without its question mark, not decoded.
    pub query: String,
    /// The header `content-type`, if there is one.
    pub content_type: Option<String>,
    /// It came by a route that takes whatever no other route takes (`$default`, `ANY …`). Such routes are open, so
    /// nothing that asks for a signature may be answered through them.
    pub catch_all: bool,
    body: Option<String>,
    body_is_base64: bool,
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more than [`MAX_BODY_BYTES`].
    #[error("the body is larger than 16384 bytes")]
    TooLarge,
    /// It was announced as base64 and is not.
    #[error("the body is not valid base64")]
    NotBase64,
    /// Its bytes are not UTF-8.
    #[error("the body is not valid UTF-8")]
    NotText,
}

impl Request {
    /// Reads an event; never fails.
    #[must_use]
    pub fn from_event(mut event: Value) -> Self {
        let method = take_text(&mut event, "/requestContext/http/method").unwrap_or_default();
        let stage = take_text(&mut event, "/requestContext/stage").unwrap_or_default();
        let raw_path = take_text(&mut event, "/rawPath").unwrap_or_default();
        let query = take_text(&mut event, "/rawQueryString").unwrap_or_default();
        let route = take_text(&mut event, "/routeKey").unwrap_or_default();
        let catch_all = route == "$default" || route.starts_with("ANY ");
        let body = take_text(&mut event, "/body");
        let body_is_base64 = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
        // A stage with a name stands in front of the path; the default stage does not show.
        let (base, path) = match raw_path.strip_prefix('/').and_then(|rest| rest.strip_prefix(&stage)) {
            Some(path) if !stage.is_empty() && path.starts_with('/') => {
                (format!("/{stage}"), path.to_owned())
            }
            _ => (String::new(), raw_path),
        };
        let content_type = content_type(&event);
        Self { method, base, path, query, content_type, catch_all, body, body_is_base64 }
    }

    /// A request as a test would write it: no stage, a body in plain text.
    #[must_use]
    pub fn new(method: &str, path: &str, query: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), ..Self::default() }
    }

    /// The same request with a body and its media type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = Some(body.to_owned());
        self
    }

    /// The body as text; an absent one is empty.
    ///
    /// # Errors
    /// See [`BodyError`]: too large, bad base64, bad UTF-8.
    pub fn text(&self) -> Result<String, BodyError> {
        let body = self.body.as_deref().unwrap_or_default();
        if !self.body_is_base64 {
            return if body.len() > MAX_BODY_BYTES { Err(BodyError::TooLarge) } else { Ok(body.to_owned()) };
        }
        // Four characters hold three bytes: what cannot fit is refused before any work.
        if body.len() > MAX_BODY_BYTES.div_ceil(3) * 4 {
            return Err(BodyError::TooLarge);
        }
        let bytes = STANDARD.decode(body).map_err(|_| BodyError::NotBase64)?;
        if bytes.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        String::from_utf8(bytes).map_err(|_| BodyError::NotText)
    }
}

/// Moves the text at `pointer` out of the event, so that a large body is not copied.
fn take_text(event: &mut Value, pointer: &str) -> Option<String> {
    match event.pointer_mut(pointer).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// API Gateway writes header names in lower case; a direct invocation may not.
fn content_type(event: &Value) -> Option<String> {
    let headers = event.get("headers")?.as_object()?;
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_becomes_a_request() {
        let request = Request::from_event(json!({
            "rawPath": "/api/locations", "rawQueryString": "limit=1",
            "headers": {"Content-Type": "application/json"},
            "requestContext": {"stage": "$default", "http": {"method": "POST"}},
            "body": "e30=", "isBase64Encoded": true
        }));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/locations"));
        assert_eq!((request.base.as_str(), request.query.as_str()), ("", "limit=1"));
        assert_eq!(request.content_type.as_deref(), Some("application/json"));
        assert_eq!(request.text(), Ok("{}".to_owned()));
    }

    #[test]
    fn the_route_tells_whether_it_takes_everything() {
        for (route, catch_all) in [
            (json!("$default"), true),
            (json!("ANY /api/contacts/{proxy+}"), true),
            (json!("GET /api/contacts"), false),
            (json!(null), false),
        ] {
            assert_eq!(Request::from_event(json!({"routeKey": route})).catch_all, catch_all, "{route}");
        }
    }

    #[test]
    fn a_named_stage_is_taken_off_the_path() {
        for (stage, raw, base, path) in [
            ("prod", "/prod/api/values", "/prod", "/api/values"),
            ("prod", "/product/api", "", "/product/api"),
            ("prod", "/prod", "", "/prod"),
            ("$default", "/api/values", "", "/api/values"),
            ("", "/api/values", "", "/api/values"),
            ("api", "/api/api/values", "/api", "/api/values"),
        ] {
            let event = json!({"rawPath": raw, "requestContext": {"stage": stage}});
            let request = Request::from_event(event);
            assert_eq!((request.base.as_str(), request.path.as_str()), (base, path), "{stage} {raw}");
        }
    }

    #[test]
    fn events_of_any_shape_are_read() {
        for event in [
            json!(null),
            json!([]),
            json!("text"),
            json!({"rawPath": 1, "headers": [], "requestContext": "x", "body": {}, "isBase64Encoded": "yes"}),
            json!({"headers": {"content-type": null}, "requestContext": {"http": []}}),
        ] {
            let request = Request::from_event(event.clone());
            assert_eq!((request.method.as_str(), request.path.as_str()), ("", ""), "{event}");
            assert_eq!(request.text(), Ok(String::new()), "{event}");
        }
    }

    #[test]
    fn bodies_are_bounded_and_decoded() {
        let plain = |text: String| Request { body: Some(text), ..Request::default() }.text();
        let encoded =
            |text: String| Request { body: Some(text), body_is_base64: true, ..Request::default() }.text();
        assert_eq!(plain("x".repeat(MAX_BODY_BYTES)).map(|text| text.len()), Ok(MAX_BODY_BYTES));
        assert_eq!(plain("x".repeat(MAX_BODY_BYTES + 1)), Err(BodyError::TooLarge));
        assert_eq!(
            encoded(STANDARD.encode("x".repeat(MAX_BODY_BYTES))).map(|text| text.len()),
            Ok(MAX_BODY_BYTES)
        );
        assert_eq!(encoded(STANDARD.encode("x".repeat(MAX_BODY_BYTES + 1))), Err(BodyError::TooLarge));
        assert_eq!(encoded("A".repeat(1 << 20)), Err(BodyError::TooLarge));
        assert_eq!(encoded("!!!".to_owned()), Err(BodyError::NotBase64));
        assert_eq!(encoded(STANDARD.encode([0xff, 0xfe])), Err(BodyError::NotText));
    }
}
