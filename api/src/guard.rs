//! Keeps from lambda_http what a client can shape into a panic, a failed invocation or another path.
//!
//! An invocation that fails is an error of the version, and errors take a release back: nobody outside may hold that lever.
//! And where `/api/locations/%2e%2e/registrations` arrives as `/api/registrations`, a signature that API Gateway asks for
//! is gone around. `docs/upstream/` has each finding with the command that shows it; without them this module could go.
//!
//! So an event is always readable ([`Event`]), lambda_http gets one with a method and plain headers and no more, and what a
//! client sent as path, query and body is put into the request that comes out of it. What cannot be put there is a path that
//! no router knows ([`NOWHERE`]), or a body that nobody reads ([`Unreadable`]).
//!
//! Source of the format: "payload format version 2.0" of API Gateway's HTTP APIs.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, Uri, uri::PathAndQuery};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::LambdaRequest;
use lambda_http::tower::{Service, ServiceExt};
use lambda_http::{Adapter, LambdaEvent, service_fn};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The longest body that is read, in bytes after base64 is undone.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Where a request goes whose path is none: no route begins without a slash.
const NOWHERE: &str = "*";

/// What RFC 3986 leaves out of a query. A percent sign stays: whoever reads a value judges its escapes.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What it leaves out of a path.
const PATH: &AsciiSet = &QUERY.add(b'?');

/// An event as API Gateway hands it over. Reading it never fails: what is absent or of another type is empty.
#[derive(Debug, Clone, Default)]
pub struct Event {
    method: String,
    stage: String,
    route: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// Where a request came in: an extension of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What stands before the path in links: empty, or `/` and the stage's name.
    pub base: String,
    /// It came by a route that takes whatever no other route takes (`$default`, `ANY …`).
    pub catch_all: bool,
}

/// The body is not the base64, or not the text, the text that the event calls it: an extension of the request, whose body is empty then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Cut out and not parsed: depth, numbers and escapes that have no value in Rust are no errors yet.
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::read(raw.get()))
    }
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The fields of an object; none of what is no object.
fn fields(json: &str) -> Fields<'_> {
    serde_json::from_str(json).unwrap_or_default()
}

fn object<'a>(fields: &Fields<'a>, name: &str) -> Fields<'a> {
    fields.get(name).map(|value| self::fields(value.get())).unwrap_or_default()
}

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

impl Event {
    /// Reads the event's JSON.
    #[must_use]
    pub fn read(json: &str) -> Self {
        let event = fields(json);
        let context = object(&event, "requestContext");
        Self {
            method: text(&object(&context, "http"), "method"),
            stage: text(&context, "stage"),
            route: text(&event, "routeKey"),
            path: text(&event, "rawPath"),
            query: text(&event, "rawQueryString"),
            headers: headers(&object(&event, "headers")),
            body: body(&event),
        }
    }

    /// What lambda_http sees of it.
    fn neutral(&self) -> LambdaRequest {
        let mut event = ApiGatewayV2httpRequest::default();
        // A method that is none is one that no route takes.
        event.request_context.http.method = method(&self.method);
        event.headers = self.headers.clone();
        LambdaRequest::ApiGatewayV2(event)
    }

    /// Puts back what lambda_http did not see.
    #[must_use]
    pub fn restored(self, request: lambda_http::Request) -> Request<Body> {
        let (mut parts, _) = request.into_parts();
        // A stage with a name stands in front of the path; the default stage does not show.
        let (base, path) = match self.path.strip_prefix('/').and_then(|rest| rest.strip_prefix(&self.stage)) {
            Some(path) if !self.stage.is_empty() && path.starts_with('/') => {
                (format!("/{}", self.stage), path)
            }
            _ => (String::new(), self.path.as_str()),
        };
        parts.uri = uri(path, &self.query).unwrap_or(Uri::from_static(NOWHERE));
        let catch_all = self.route == "$default" || self.route.starts_with("ANY ");
        parts.extensions.insert(Entry { base, catch_all });
        let body = self.body.unwrap_or_else(|| {
            parts.extensions.insert(Unreadable);
            Bytes::new()
        });
        Request::from_parts(parts, Body::from(body))
    }
}

/// The method. One that is none is one that no route takes.
fn method(sent: &str) -> Method {
    Method::from_bytes(sent.as_bytes()).or_else(|_| Method::from_bytes(b"NONE")).unwrap_or_default()
}

/// Path and query as they were sent, with what may not stand in a URI escaped; `None` where that is not the same path any more.
fn uri(path: &str, query: &str) -> Option<Uri> {
    let path = utf8_percent_encode(path, PATH).to_string();
    let whole = match query {
        "" => path.clone(),
        query => format!("{path}?{}", utf8_percent_encode(query, QUERY)),
    };
    let uri = Uri::from(PathAndQuery::try_from(whole).ok()?);
    (path.starts_with('/') && uri.path() == path).then_some(uri)
}

/// The headers that lambda_http may see: those that `http` takes, but none that a URI is made of.
fn headers(sent: &Fields) -> HeaderMap {
    let one = |name: &String| {
        let value = HeaderValue::try_from(text(sent, name)).ok()?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        (name != HOST && name != "x-forwarded-proto").then_some((name, value))
    };
    sent.keys().filter_map(one).collect()
}

/// The body, if it can be read. One that is too long stays in base64: still too long, it is refused undecoded.
fn body(event: &Fields) -> Option<Bytes> {
    let Some(body) = event.get("body").filter(|body| body.get() != "null") else { return Some(Bytes::new()) };
    let body: String = serde_json::from_str(body.get()).ok()?;
    let encoded = event.get("isBase64Encoded").is_some_and(|flag| flag.get() == "true");
    // Four characters hold three bytes.
    if !encoded || body.len() > MAX_BODY_BYTES.div_ceil(3) * 4 {
        return Some(body.into());
    }
    STANDARD.decode(body).map(Bytes::from).ok()
}

/// Lets lambda_http make a request of each event, and gives that, as the client sent it, to a service.
pub fn guarded<S>(
    service: S,
) -> impl Service<LambdaEvent<Event>, Response = impl Serialize, Error = Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    service_fn(move |event: LambdaEvent<Event>| {
        let LambdaEvent { payload, context } = event;
        let (neutral, service) = (payload.neutral(), service.clone());
        let restored = service_fn(move |request| service.clone().oneshot(payload.clone().restored(request)));
        Adapter::from(restored).oneshot(LambdaEvent::new(neutral, context))
    })
}
