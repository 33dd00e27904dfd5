//! CORS of an HTTP API: it answers preflights by itself, and its headers are those of its configuration, whatever a function says.
//!
//! Source: "Configure CORS for HTTP APIs in API Gateway" in the API Gateway developer guide.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;

/// What an API allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cors {
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    exposed: Vec<String>,
    max_age: Option<u64>,
    credentials: bool,
}

/// What the answer to a preflight carries as well, within this program: a function's own answer can have the same status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preflight;

/// All headers that are the configuration's alone.
const OWN: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

impl Cors {
    /// From `CorsConfiguration` of the resource, or `x-amazon-apigateway-cors` of the document.
    pub(super) fn of(configuration: &Value) -> Option<Self> {
        configuration.as_object()?;
        let get = |name: &str| {
            let mut first = name.chars();
            let lower: String =
                first.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(first).collect();
            configuration.get(name).or_else(|| configuration.get(&lower))
        };
        let list = |name: &str| match get(name) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            origins: list("AllowOrigins"),
            methods: list("AllowMethods"),
            headers: list("AllowHeaders"),
            exposed: list("ExposeHeaders"),
            max_age: get("MaxAge").and_then(Value::as_u64),
            credentials: get("AllowCredentials").is_some_and(|value| value == true || value == "true"),
        })
    }

    /// The answer to a preflight; `None` for any other request.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.extensions_mut().insert(Preflight);
        if self.admits(origin, response.headers_mut()) {
            let answer = response.headers_mut();
            put(answer, ACCESS_CONTROL_ALLOW_METHODS, &self.methods.join(","));
            put(answer, ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.join(","));
            put(answer, ACCESS_CONTROL_MAX_AGE, &self.max_age.map(|age| age.to_string()).unwrap_or_default());
        }
        Some(response)
    }

    /// Puts the headers of any other answer.
    pub(super) fn apply(&self, request: Option<&HeaderValue>, response: &mut HeaderMap) {
        for name in OWN {
            response.remove(name);
        }
        if let Some(origin) = request
            && self.admits(origin, response)
        {
            put(response, ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed.join(","));
        }
    }

    fn admits(&self, origin: &HeaderValue, response: &mut HeaderMap) -> bool {
        let given = origin.to_str().unwrap_or_default();
        let fits = |allowed: &String| match allowed.split_once('*') {
            Some((start, end)) => {
                given.len() >= start.len() + end.len() && given.starts_with(start) && given.ends_with(end)
            }
            None => allowed == given,
        };
        if !self.origins.iter().any(fits) {
            return false;
        }
        let any = self.origins.iter().any(|allowed| allowed == "*");
        put(response, ACCESS_CONTROL_ALLOW_ORIGIN, if any { "*" } else { given });
        if self.credentials {
            put(response, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        true
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(origin: &str, preflight: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        if preflight {
            headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        }
        headers
    }

    #[test]
    fn preflights_are_answered_by_the_configuration() {
        let cors = Cors::of(&json!({"AllowOrigins": ["https://*.example.com", "http://a"], "AllowMethods": ["GET", "PUT"], "MaxAge": 60, "AllowCredentials": true})).unwrap();
        let answer = |origin: &str| cors.preflight(&Method::OPTIONS, &asked(origin, true)).unwrap();
        let good = answer("https://x.example.com");
        assert_eq!(good.status(), 204);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "https://x.example.com"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET,PUT"),
            (ACCESS_CONTROL_MAX_AGE, "60"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        ] {
            assert_eq!(good.headers()[&name], value, "{name}");
        }
        for origin in ["https://example.org", "https://.example.co", "http://ab"] {
            assert!(answer(origin).headers().is_empty(), "{origin}");
        }
        assert!(cors.preflight(&Method::OPTIONS, &asked("http://a", false)).is_none(), "no preflight");
        assert!(cors.preflight(&Method::GET, &asked("http://a", true)).is_none());
    }

    #[test]
    fn a_functions_own_headers_do_not_count() {
        let cors = Cors::of(&json!({"allowOrigins": "*", "exposeHeaders": ["x-a"]})).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("http://own"));
        let mut without = headers.clone();
        cors.apply(asked("http://b", false).get(ORIGIN), &mut headers);
        assert_eq!(
            (&headers[ACCESS_CONTROL_ALLOW_ORIGIN], &headers[ACCESS_CONTROL_EXPOSE_HEADERS]),
            (&HeaderValue::from_static("*"), &HeaderValue::from_static("x-a"))
        );
        cors.apply(None, &mut without);
        assert!(without.is_empty());
        assert_eq!(Cors::of(&Value::Null), None);
    }
}
