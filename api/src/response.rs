//! What goes back to API Gateway.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::serve::Context;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, each at most once, with their values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, if the answer has one.
    pub body: Option<String>,
    /// The route's template for the log: the raw path may carry what must not be logged.
    pub route: &'static str,
}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None, route: "none" }
    }

    /// An answer with a JSON body.
    ///
    /// # Errors
    /// A plain 500 when the value has no JSON form; none of ours lacks one.
    pub fn json<T: Serialize>(status: u16, value: &T) -> Result<Self, Problem> {
        Self::text(status, "application/json", value)
    }

    /// An answer with a body of a JSON-based media type.
    ///
    /// # Errors
    /// As [`Response::json`].
    pub fn text<T: Serialize>(status: u16, media_type: &str, value: &T) -> Result<Self, Problem> {
        let body =
            serde_json::to_string(value).map_err(|_| Problem::new(500, "the answer has no JSON form"))?;
        let response = Self { body: Some(body), ..Self::empty(status) };
        Ok(response.with("content-type", media_type.to_owned()))
    }

    /// The same answer with one more header; a later value takes the place of an earlier one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
        self
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Adds what every answer carries: which code answered, and that no one may store it.
    #[must_use]
    pub fn signed(self, route: &'static str, context: &Context) -> Self {
        let signed = self
            .with("x-causeway-version", context.version.to_owned())
            .with("x-causeway-lambda-version", context.lambda_version.clone())
            .with("cache-control", "no-store".to_owned());
        Self { route, ..signed }
    }

    /// The answer in API Gateway's payload format 2.0.
    #[must_use]
    pub fn into_event(self) -> Value {
        let headers: Map<String, Value> =
            self.headers.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        let mut event = json!({"statusCode": self.status, "headers": headers, "isBase64Encoded": false});
        if let (Some(body), Some(event)) = (self.body, event.as_object_mut()) {
            event.insert("body".to_owned(), Value::String(body));
        }
        event
    }
}
