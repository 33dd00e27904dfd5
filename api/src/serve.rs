//! From Lambda's runtime to a handler and back, with one line in the log for each request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::Request;
use crate::metrics::{self, Measured};
use crate::model::Moment;
use crate::problem::Problem;
use crate::response::Response;
use crate::settings::Settings;

/// What a function says of itself. The version is a value: compiled into the library it would rebuild
/// every function when one is stamped.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The function's name, which is its binary's.
    pub function: &'static str,
    /// The version that the build stamped into the binary.
    pub version: &'static str,
}

/// What a handler knows besides the request and the store.
#[derive(Debug, Clone)]
pub struct Context {
    /// [`Identity::function`].
    pub function: &'static str,
    /// [`Identity::version`].
    pub version: &'static str,
    /// [`Settings::lambda_version`].
    pub lambda_version: String,
    /// Lambda's id of this invocation.
    pub request_id: String,
    /// When it began.
    pub now: Moment,
    /// Gives an id that nobody has.
    pub fresh_id: fn() -> Uuid,
}

/// Answers requests until Lambda ends the process. A panic in the handler becomes a 500: the process and
/// the headers that name the version stay.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn run<H, F>(
    identity: Identity,
    settings: &Settings,
    handle: H,
) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Arc<Request>, Arc<Context>) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    let handle = &handle;
    #[cfg(feature = "break-prod")]
    let broken = crate::broken::Broken::here(identity.function, &settings.environment);
    #[cfg(feature = "break-prod")]
    if broken == Some(crate::broken::Broken::Crash) {
        return Err("broken on purpose: crash".into());
    }
    #[cfg(feature = "break-prod")]
    let identity = match broken {
        Some(crate::broken::Broken::WrongVersion) => {
            Identity { version: concat!(env!("CARGO_PKG_VERSION"), "+broken-on-purpose"), ..identity }
        }
        _ => identity,
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let begin = Instant::now();
        #[cfg(feature = "break-prod")]
        if let Some(broken) = broken {
            let agent = event.payload.pointer("/requestContext/http/userAgent").and_then(Value::as_str);
            broken.before(agent == Some("causeway-hook")).await?;
        }
        let invoked_arn = event.context.invoked_function_arn;
        let context = Arc::new(Context {
            function: identity.function,
            version: identity.version,
            lambda_version: settings.lambda_version.clone(),
            request_id: event.context.request_id,
            now: Moment::now(),
            fresh_id: Uuid::new_v4,
        });
        let request = Arc::new(Request::from_event(event.payload));
        let response = guarded(Box::pin(handle(request.clone(), context.clone())), &context).await;
        tracing::info!(
            request_id = context.request_id,
            function = context.function,
            version = context.version,
            lambda_version = context.lambda_version,
            env = settings.environment,
            method = method(&request.method),
            route = response.route,
            status = response.status,
            ms = milliseconds(begin),
            "request"
        );
        metrics::write(&Measured {
            invoked_arn: &invoked_arn,
            version: &context.lambda_version,
            status: response.status,
            millis: milliseconds(begin),
            at: Moment::now().millis(),
        });
        Ok::<_, lambda_runtime::Error>(response.into_event())
    }))
    .await
}

/// Runs a handler in a task of its own, so that a panic ends there. Boxed, because the compiler cannot lay out
/// the SDK's futures inside the runtime's.
async fn guarded(answer: Pin<Box<dyn Future<Output = Response> + Send>>, context: &Context) -> Response {
    match tokio::spawn(answer).await {
        Ok(response) => response,
        Err(_) => {
            // The panic's own line says where, this one whose request it was.
            tracing::error!(
                request_id = context.request_id,
                function = context.function,
                version = context.version,
                "the handler panicked"
            );
            Problem::internal(context).into_response().signed("panic", context)
        }
    }
}

/// The method for the log: a client can send any word, we print those we know.
fn method(sent: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == sent).unwrap_or("other")
}

fn milliseconds(begin: Instant) -> f64 {
    (begin.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
impl Context {
    pub(crate) fn for_tests() -> Self {
        Self {
            function: "checkin",
            version: "0.1.0+0123456789ab",
            lambda_version: "7".to_owned(),
            request_id: "request-1".to_owned(),
            now: Moment::now(),
            fresh_id: Uuid::new_v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_signed_500() {
        let context = Context::for_tests();
        let response = guarded(Box::pin(async { panic!("secret") }), &context).await;
        assert_eq!(response.status, 500);
        assert_eq!(response.header("x-causeway-version"), Some("0.1.0+0123456789ab"));
        assert_eq!(response.header("x-causeway-lambda-version"), Some("7"));
        assert!(response.body.is_some_and(|body| body.contains("request-1") && !body.contains("secret")));
    }

    #[test]
    fn only_known_methods_are_logged() {
        assert_eq!((method("GET"), method("get"), method("jane@example.com")), ("GET", "other", "other"));
    }
}
