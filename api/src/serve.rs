//! From Lambda's runtime to a function's routes, and what every request passes on the way there and back.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, HeaderValue};
use axum::http::{Method, StatusCode, request::Parts};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use lambda_http::tower::{ServiceBuilder, ServiceExt};
use lambda_http::{RequestExt, Service, lambda_runtime};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::clients::Soon;
use crate::guard::{Entry, MAX_BODY_BYTES, guarded};
use crate::metrics::{self, Measured};
use crate::model::Moment;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// What a function says of itself. The version is a value: compiled into the library it would rebuild
/// every function when one is stamped.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The function's name, which is its binary's.
    pub function: &'static str,
    /// The version that the build stamped into the binary.
    pub version: &'static str,
}

/// What a handler knows besides the request and the store: an extension of the request.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who answers.
    pub identity: Identity,
    /// What the template says.
    pub settings: Arc<Settings>,
    /// Lambda's id of this invocation.
    pub request_id: String,
    /// The ARN that was invoked: an alias, or a version by its number.
    pub invoked_arn: String,
    /// When it began.
    pub now: Moment,
    /// Gives an id that nobody has.
    pub fresh_id: fn() -> Uuid,
}

/// A function's routes: paths, and which handlers answer their methods.
pub type Routes<S> = Vec<(&'static str, MethodRouter<Soon<S>>)>;

/// The table, for a handler that needs it. A handler that does not name it works without one.
#[derive(Debug)]
pub struct Table<S>(pub Arc<S>);

impl<S: Store> FromRequestParts<Soon<S>> for Table<S> {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, table: &Soon<S>) -> Result<Self, Infallible> {
        Ok(Self(table.get().await))
    }
}

/// Answers requests until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn run<S: Store>(
    identity: Identity,
    settings: Settings,
    routes: Routes<S>,
    table: Soon<S>,
) -> Result<(), lambda_runtime::Error> {
    let settings = Arc::new(settings);
    let known = move |mut request: Request| {
        let lambda = request.lambda_context();
        let context = Context {
            identity,
            settings: settings.clone(),
            request_id: lambda.request_id,
            invoked_arn: lambda.invoked_function_arn,
            now: Moment::now(),
            fresh_id: Uuid::new_v4,
        };
        request.extensions_mut().insert(context);
        request
    };
    lambda_runtime::run(guarded(app(routes, table).map_request(known))).await
}

/// The routes within all that a request passes, from the outside in. It wants a [`Context`] in the request's extensions.
pub fn app<S: Store>(
    routes: Routes<S>,
    table: Soon<S>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let signed = |router: Router<Soon<S>>, (path, methods): (&str, MethodRouter<Soon<S>>)| {
        router.route(path, methods.route_layer(from_fn(refuse_catch_all)))
    };
    let passed = ServiceBuilder::new()
        .layer(from_fn(log))
        .layer(from_fn(sign))
        .layer(from_fn(document))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let router: Router = routes.into_iter().fold(Router::new(), signed).with_state(table);
    ServiceBuilder::new().map_request(without_head).map_response(plain).service(router.layer(passed))
}

/// One line for each request. A path, a query and what a failed store was asked for may be personal: none of them is in it.
async fn log(
    Extension(context): Extension<Context>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let method = known(request.method());
    let mut response = next.run(request).await;
    let (status, millis) = (response.status().as_u16(), milliseconds(begin));
    let Context { identity: Identity { function, version }, settings, request_id, invoked_arn, .. } =
        &context;
    if let Some(error) = response.extensions_mut().remove::<StoreError>() {
        let StoreError { operation, code, service_request_id } = error;
        tracing::error!(
            request_id,
            function,
            version,
            operation,
            code,
            service_request_id,
            "the store failed"
        );
    }
    tracing::info!(
        request_id,
        function,
        version,
        lambda_version = settings.lambda_version,
        env = settings.environment,
        method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status,
        ms = millis,
        "request"
    );
    let at = Moment::now().millis();
    metrics::write(&Measured { invoked_arn, version: &settings.lambda_version, status, millis, at });
    response
}

/// Every answer says which code made it, and that no one may store it.
async fn sign(Extension(context): Extension<Context>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-causeway-version", HeaderValue::from_static(context.identity.version));
    if let Ok(version) = HeaderValue::from_str(&context.settings.lambda_version) {
        headers.insert("x-causeway-lambda-version", version);
    }
    response
}

/// Every refusal is a problem document.
async fn document(Extension(context): Extension<Context>, request: Request, next: Next) -> Response {
    Problem::documented(next.run(request).await, &context.request_id)
}

/// The contract has no HEAD, and API Gateway no route for it; axum would answer it as GET.
fn without_head(mut request: Request) -> Request {
    if request.method() == Method::HEAD {
        // No route takes this one either.
        *request.method_mut() = Method::TRACE;
    }
    request
}

/// What API Gateway matches with no route of ours comes by a catch-all route, which is open to everybody. Were the two routers
/// ever to read a path differently, nobody gets around a signature by that.
async fn refuse_catch_all(Extension(entry): Extension<Entry>, request: Request, next: Next) -> Response {
    if entry.catch_all { StatusCode::NOT_FOUND.into_response() } else { next.run(request).await }
}

/// What the router adds last: HEAD among the methods of a path, and a length, which API Gateway counts for itself.
fn plain(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let allowed = headers.get(ALLOW).and_then(|allowed| allowed.to_str().ok());
    let allowed =
        allowed.map(|all| all.split(',').filter(|method| *method != "HEAD").collect::<Vec<_>>().join(", "));
    if let Some(allowed) = allowed.and_then(|allowed| HeaderValue::try_from(allowed).ok()) {
        headers.insert(ALLOW, allowed);
    }
    response
}

/// The method for the log: a client can send any word, we print those we know.
fn known(sent: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == sent.as_str()).unwrap_or("other")
}

fn milliseconds(begin: Instant) -> f64 {
    (begin.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}
