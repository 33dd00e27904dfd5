//! Services with scripted replies: the real clients speak to a server on this machine that says what it was told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http_body_util::BodyExt as _;

use super::Account;

/// One reply: a status and a body.
pub(crate) type Reply = (u16, String);

/// What a server was asked and what it will say.
#[derive(Clone, Default)]
pub(crate) struct Script {
    replies: Arc<Mutex<VecDeque<(Reply, Headers)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    sent: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

/// Headers of a reply.
pub(crate) type Headers = Vec<(&'static str, String)>;

impl Script {
    /// Starts a server that gives these replies in their order, then 500.
    pub(crate) async fn start(replies: Vec<Reply>) -> (Self, Account) {
        Self::with_headers(replies.into_iter().map(|reply| (reply, Vec::new())).collect()).await
    }

    /// The same, with headers in the replies.
    pub(crate) async fn with_headers(replies: Vec<(Reply, Headers)>) -> (Self, Account) {
        let script = Self { replies: Arc::new(Mutex::new(replies.into())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (script, Account::at(&format!("http://{address}")))
    }

    /// What was asked: the action of a query, else method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bodies of what was asked.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The headers of each request, by their names in lower case.
    pub(crate) fn sent(&self) -> Vec<BTreeMap<String, String>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let action =
        form_urlencoded::parse(&body).find(|(name, _)| name == "Action").map(|(_, value)| value.into_owned());
    let asked = action.unwrap_or_else(|| {
        let condition = parts
            .headers
            .get("if-none-match")
            .map(|value| format!(" if-none-match {}", value.to_str().unwrap()));
        format!("{} {}{}", parts.method, parts.uri.path(), condition.unwrap_or_default())
    });
    script.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let body = String::from_utf8_lossy(&body).into_owned();
    script.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    script.sent.lock().unwrap_or_else(PoisonError::into_inner).push(headers.collect());
    let reply = script.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let ((status, text), headers) = reply.unwrap_or((
        (500, "<ErrorResponse><Error><Code>OutOfScript</Code></Error></ErrorResponse>".to_owned()),
        Vec::new(),
    ));
    let reply = headers
        .into_iter()
        .fold(Response::builder().status(status), |reply, (name, value)| reply.header(name, value));
    reply.body(Body::from(text)).unwrap()
}

/// An error in the query protocol.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    (
        status,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

/// A result in the query protocol.
pub(crate) fn result(action: &str, inner: &str) -> Reply {
    (200, format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"))
}
