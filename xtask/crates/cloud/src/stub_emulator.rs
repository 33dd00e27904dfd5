//! A scripted stand-in for the emulator, for tests of the engines: it answers what a test says, and remembers what it
//! was asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::{edge_stub, virtual_time};

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub path: String,
    /// The operation of the JSON protocol.
    target: String,
    /// Who asked.
    pub authorization: String,
    /// The body.
    pub body: String,
}

impl Asked {
    /// The operation's name, of the query protocol or the JSON one; empty where it has neither.
    pub(crate) fn action(&self) -> String {
        if let Some((_, operation)) = self.target.rsplit_once('.') {
            return operation.to_owned();
        }
        let mut pairs = form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(name, _)| name == "Action").map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// The answer to a call about an alias, given those before it: it leads to version 1 until it is moved, and a template
    /// that is applied meanwhile wants version 2. `None` where the call is about something else.
    pub(crate) fn alias(&self, before: &[Self]) -> Option<Answer> {
        let parsed = |asked: &Self| serde_json::from_str::<Value>(&asked.body).ok();
        let moves = |body: &Value| body.get("FunctionVersion").is_some();
        if !self.path.contains("/aliases/") {
            return None;
        }
        let mut history = before.iter().filter(|asked| asked.path == self.path).filter_map(parsed);
        let own = parsed(self).filter(moves);
        let mut alias =
            own.or_else(|| history.rfind(moves)).unwrap_or_else(|| json!({"FunctionVersion": "1"}));
        alias["CausewayWanted"] = json!({"FunctionVersion": "2"});
        Some(Answer::new(200, &alias.to_string()))
    }
}

/// What it answers.
pub(crate) struct Answer {
    status: u16,
    body: String,
    failed: bool,
    headers: Vec<(&'static str, &'static str)>,
    later: Option<(Duration, Box<dyn FnOnce() + Send>)>,
}

impl Answer {
    /// A status and a body.
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), failed: false, headers: Vec::new(), later: None }
    }

    /// As Lambda answers when a function failed.
    pub(crate) fn failed(body: &str) -> Self {
        Self { failed: true, ..Self::new(200, body) }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Given after some time, and something done before.
    pub(crate) fn after(self, time: Duration, done: impl FnOnce() + Send + 'static) -> Self {
        Self { later: Some((time, Box::new(done))), ..self }
    }
}

/// What is answered to a call, given those before it; `None` is never answered.
type Script = dyn Fn(&Asked, &[Asked]) -> Option<Answer> + Send + Sync;

#[derive(Clone)]
struct Inner {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// It.
pub(crate) struct Emulator {
    port: u16,
    inner: Inner,
    dir: tempfile::TempDir,
}

impl Emulator {
    /// Starts one.
    pub(crate) async fn start(
        script: impl Fn(&Asked, &[Asked]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Inner { script: Arc::new(script), asked: Arc::default() };
        let app = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, inner, dir: tempfile::tempdir().unwrap() }
    }

    /// A cloud before it.
    pub(crate) fn cloud(&self) -> Arc<Cloud> {
        edge_stub::cloud(self.dir.path(), self.port).unwrap()
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(inner): State<Inner>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let asked = Asked {
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        target: parts
            .headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        authorization: parts
            .headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let before = {
        let mut all = inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.clone();
        all.push(asked.clone());
        before
    };
    let Some(answer) = (inner.script)(&asked, &before) else {
        let _time_passes = virtual_time::passing();
        return std::future::pending().await;
    };
    if let Some((time, done)) = answer.later {
        let _time_passes = virtual_time::passing();
        tokio::time::sleep(time).await;
        done();
    }
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    for (name, value) in answer.headers {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    if answer.failed {
        response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    }
    response
}
