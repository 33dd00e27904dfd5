//! Errors as a client sees them: RFC 9457, and nothing from the inside.

use serde::Serialize;

use crate::response::Response;
use crate::serve::Context;
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
    request_id: Option<String>,
    allow: Option<String>,
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
        Self { status, detail: detail.into(), errors: Vec::new(), request_id: None, allow: None }
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

    /// The path is known, the method is not: `allow` lists those that are, separated by commas.
    #[must_use]
    pub fn method_not_allowed(allow: String) -> Self {
        Self { allow: Some(allow), ..Self::new(405, "this path does not take that method") }
    }

    /// What a client learns of an internal failure: a number to quote.
    #[must_use]
    pub fn internal(context: &Context) -> Self {
        Self {
            request_id: Some(context.request_id.clone()),
            ..Self::new(500, "the request could not be served; quote the request id when you report it")
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer that carries this problem.
    #[must_use]
    pub fn into_response(self) -> Response {
        let members = Members {
            r#type: "about:blank",
            title: title(self.status),
            status: self.status,
            detail: &self.detail,
            errors: &self.errors,
            request_id: self.request_id.as_deref(),
        };
        // A problem always has a JSON form; if it had none, the bare status would still be true.
        let response = Response::text(self.status, "application/problem+json", &members)
            .unwrap_or_else(|_| Response::empty(self.status));
        match self.allow {
            Some(allow) => response.with("allow", allow),
            None => response,
        }
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

impl Failure {
    /// Logs what only we may know, and gives the client's answer.
    #[must_use]
    pub fn into_response(self, context: &Context) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Store(error) => {
                tracing::error!(
                    request_id = context.request_id,
                    function = context.function,
                    version = context.version,
                    operation = error.operation,
                    code = error.code,
                    service_request_id = error.service_request_id,
                    "the store failed"
                );
                Problem::internal(context).into_response()
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

    #[test]
    fn a_problem_has_the_members_of_the_rfc() {
        let problem = Problem::parameter("dt", "must be yyyy-MM-dd").into_response();
        assert_eq!(problem.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            problem.body.as_deref(),
            Some(concat!(
                r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"a parameter is not valid","#,
                r#""errors":[{"field":"dt","reason":"must be yyyy-MM-dd"}]}"#
            ))
        );
    }

    #[test]
    fn a_method_not_allowed_names_those_that_are() {
        let response = Problem::method_not_allowed("GET, POST".to_owned()).into_response();
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, POST")));
    }

    #[test]
    fn a_failed_store_shows_a_request_id_and_nothing_else() {
        let context = Context::for_tests();
        let error = StoreError::new("Query", "AccessDeniedException");
        let response = Failure::from(error).into_response(&context);
        let body = response.body.unwrap_or_default();
        assert_eq!(response.status, 500);
        assert!(body.contains(&context.request_id), "{body}");
        assert!(!body.contains("AccessDenied") && !body.contains("Query"), "{body}");
    }
}
