//! Errors as a client sees them: RFC 9457, and nothing from the inside.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::guard::MAX_BODY_BYTES;
use crate::store::StoreError;

/// One field or parameter that breaks a rule. It never repeats what was sent: that may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The name as this API knows it.
    pub field: &'static str,
    /// The rule, as a lowercase fragment.
    pub reason: String,
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    detail: String,
    errors: Vec<FieldError>,
}

/// A problem on the wire: the members of RFC 9457 section 3.1, and two of ours.
#[derive(Serialize)]
struct Members<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    /// A problem with a status and one sentence about it.
    #[must_use]
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    /// A problem that lists what breaks which rule.
    #[must_use]
    pub fn with_errors(status: u16, detail: &str, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(status, detail) }
    }

    /// A problem with one parameter or path segment: status 400.
    #[must_use]
    pub fn parameter(field: &'static str, reason: impl Into<String>) -> Self {
        Self::with_errors(400, "a parameter is not valid", vec![FieldError { field, reason: reason.into() }])
    }

    /// What is told of a status that stands for itself: the router's, the limit's, a panic's.
    #[must_use]
    pub fn of(status: u16) -> Self {
        let detail = match status {
            404 => "there is nothing at this path".to_owned(),
            405 => "this path does not take that method".to_owned(),
            413 => format!("the body is larger than {MAX_BODY_BYTES} bytes"),
            400 => "the request cannot be read".to_owned(),
            _ => "the request could not be served; quote the request id when you report it".to_owned(),
        };
        Self::new(status, detail)
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Gives a refusal its document, whoever refused: a handler by a problem, the router by a bare status. Only of a failure of
    /// ours a client learns the request's id, to quote it.
    #[must_use]
    pub fn documented(mut response: Response, request_id: &str) -> Response {
        let status = response.status().as_u16();
        if status < 400 {
            return response;
        }
        let problem = response.extensions_mut().remove().unwrap_or_else(|| Self::of(status));
        let members = Members {
            r#type: "about:blank",
            title: title(status),
            status,
            detail: &problem.detail,
            errors: &problem.errors,
            request_id: (status >= 500).then_some(request_id),
        };
        // A problem always has a JSON form; if it had none, the bare status would still be true.
        let body = serde_json::to_string(&members).unwrap_or_default();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.map(|_| Body::from(body))
    }
}

impl IntoResponse for Problem {
    /// The bare status, and the problem for [`Problem::documented`].
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a handler gives no answer of its own.
#[derive(Debug)]
pub enum Failure {
    /// The client is told so.
    Problem(Problem),
    /// The store failed: the log learns why, the client does not.
    Store(StoreError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Failure {
    /// The client's answer; what only we may know goes with it to the log.
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Store(error) => {
                let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
                response.extensions_mut().insert(error);
                response
            }
        }
    }
}

/// The title that RFC 9457 wants for `about:blank`: the status's own phrase, from RFC 9110.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_the_rfc() {
        let problem = Problem::parameter("dt", "must be yyyy-MM-dd").into_response();
        let response = Problem::documented(problem, "request-1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body(response).await,
            concat!(
                r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"a parameter is not valid","#,
                r#""errors":[{"field":"dt","reason":"must be yyyy-MM-dd"}]}"#
            )
        );
    }

    #[tokio::test]
    async fn a_bare_status_gets_a_document_and_an_answer_stays_as_it_is() {
        let refused = Problem::documented(StatusCode::METHOD_NOT_ALLOWED.into_response(), "request-1");
        assert!(body(refused).await.contains("does not take that method"));
        let answered = Problem::documented("as it was".into_response(), "request-1");
        assert_eq!(body(answered).await, "as it was");
    }

    #[tokio::test]
    async fn a_failed_store_shows_a_request_id_and_nothing_else() {
        let failure = Failure::from(StoreError::new("Query", "AccessDeniedException")).into_response();
        assert_eq!(failure.extensions().get::<StoreError>().map(|error| error.operation), Some("Query"));
        let response = Problem::documented(failure, "request-1");
        assert_eq!(response.status(), 500);
        let body = body(response).await;
        assert!(body.contains("request-1"), "{body}");
        assert!(!body.contains("AccessDenied") && !body.contains("Query"), "{body}");
    }
}
