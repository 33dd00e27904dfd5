//! HTTP servers on the loopback that tests talk to instead of AWS. Shared with `hooks/tests`.

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path with query, and the operation where a header names one: `POST / DynamoDB_20120810.Query`.
    pub(crate) line: String,
    /// The body as JSON, or as text where it is none; null when there is no body.
    pub(crate) body: Value,
}

/// Starts a server on a free port; it ends with the test's runtime.
pub(crate) async fn start<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 24).await.unwrap();
        let mut line =
            format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |line| line.as_str()));
        if let Some(target) = parts.headers.get("x-amz-target") {
            line = format!("{line} {}", target.to_str().unwrap());
        }
        let text = || match String::from_utf8_lossy(&body) {
            text if text.is_empty() => Value::Null,
            text => Value::String(text.into_owned()),
        };
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        answer(Seen { line, body }).await
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A JSON answer.
pub(crate) fn json(status: u16, headers: &[(&str, &str)], body: &Value) -> Response {
    let builder =
        headers.iter().fold(Response::builder(), |builder, (name, value)| builder.header(*name, *value));
    builder.status(status).body(body.to_string().into()).unwrap()
}
