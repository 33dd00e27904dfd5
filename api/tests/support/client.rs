//! A client of a function's routes: what it sends passes lambda_http, the guard and every layer.

use api::guard::{Event, guarded};
use api::model::Moment;
use api::serve::{Context, Identity, Routes, app};
use api::settings::Settings;
use api::store::Store;
use lambda_http::LambdaEvent;
use lambda_http::tower::ServiceExt;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// An event of API Gateway.
#[derive(Debug, Clone)]
pub(crate) struct Request(pub(crate) Value);

/// An answer to API Gateway.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Value,
    pub(crate) body: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, query: &str) -> Self {
        Self(json!({
            "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
            "headers": {"host": "127.0.0.1"}, "isBase64Encoded": false,
            "requestContext": {"stage": "$default", "http": {"method": method, "path": path}}
        }))
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers[name].as_str()
    }
}

/// What a function knows that began at this moment.
pub(crate) fn context(function: &'static str, now: &str) -> Context {
    let settings = Settings {
        environment: "test".to_owned(),
        table_name: "table".to_owned(),
        retention_days: 28,
        lambda_version: "7".to_owned(),
    };
    Context {
        identity: Identity { function, version: "0.1.0+0123456789ab" },
        settings: Arc::new(settings),
        request_id: "request-1".to_owned(),
        invoked_arn: String::new(),
        now: now.parse::<Moment>().unwrap(),
        fresh_id: Uuid::new_v4,
    }
}

/// Sends an event to routes over a store.
pub(crate) async fn send<S: Store>(
    (routes, store): (Routes<S>, Arc<S>),
    context: Context,
    request: &Request,
) -> Response {
    let app = app(routes, store.into()).map_request(move |mut request: axum::extract::Request| {
        request.extensions_mut().insert(context.clone());
        request
    });
    let event = LambdaEvent::new(Event::read(&request.0.to_string()), lambda_http::Context::default());
    let answer = guarded(app).oneshot(event).await.unwrap_or_else(|never| match never {});
    let answer = serde_json::to_value(answer).unwrap();
    Response {
        status: u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap(),
        headers: answer["headers"].clone(),
        body: answer["body"].as_str().filter(|body| !body.is_empty()).map(str::to_owned),
    }
}
