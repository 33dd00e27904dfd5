//! The edge: a small HTTP front for each deployed HTTP API.
//!
//! It takes plain HTTP requests, finds the route, asks for a signature where the route does, builds the event that API
//! Gateway would, picks a version by the weights that the alias has at that moment, invokes that version, and answers as the
//! function said. Every answer names the version.

mod access;
mod event;
mod routes;
mod split;
pub mod stub;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::alias::{self, Alias};
use super::cloud::Cloud;
use super::host;
use super::invocation::{self, Outcome, Target};
use super::ledger::{Record, StackKey};
use super::metrics::{Answered, Invocation};
use super::resources::Resources;
use access::Caller;
use routes::{Found, Integration, Lock, Routes};
use split::Split;

/// API Gateway's limit for a payload ("Quotas for HTTP APIs").
const MAX_PAYLOAD: usize = 10 * 1024 * 1024;

/// The header in which every answer names the version of the workload.
pub(crate) const VERSION_HEADER: &str = "x-causeway-version";
/// The header in which every answer names Lambda's number of the version.
pub(crate) const LAMBDA_VERSION_HEADER: &str = "x-causeway-lambda-version";

/// The header in which an answer names the share, in percent, that the new version had when it was picked; only while
/// the function's traffic is split.
const NEW_WEIGHT_HEADER: &str = "x-causeway-new-weight";

/// The header in which every answer has the id of its request, as an HTTP API's does.
const REQUEST_ID_HEADER: &str = "apigw-requestid";

/// A deployed API.
struct Edge {
    api: String,
    url: String,
    env: String,
    routes: Arc<Mutex<Arc<Routes>>>,
    _stop: oneshot::Sender<()>,
}

/// A function in an account.
type FunctionKey = (String, String);

/// Every deployed API, and whose turn it is.
#[derive(Default)]
pub struct Edges {
    edges: Mutex<HashMap<StackKey, Edge>>,
    /// By function and alias.
    splits: Mutex<HashMap<(FunctionKey, String), Split>>,
    /// The versions that functions are shifted between, the release's last.
    releases: Mutex<HashMap<FunctionKey, (String, String)>>,
}

impl Edges {
    fn edges(&self) -> MutexGuard<'_, HashMap<StackKey, Edge>> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn releases(&self) -> MutexGuard<'_, HashMap<FunctionKey, (String, String)>> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pairs of API id and address.
    pub fn public_urls(&self) -> Vec<(String, String)> {
        self.edges().values().map(|edge| (edge.api.clone(), edge.url.clone())).collect()
    }

    /// Whether an account has a deployed API.
    pub fn has_any(&self, account: &str) -> bool {
        self.edges().keys().any(|(of, _)| of == account)
    }

    /// The stack with a deployed API that a name belongs to: the longest one whose name it begins with.
    pub fn stack_of(&self, account: &str, name: &str) -> Option<StackKey> {
        let edges = self.edges();
        let own = edges.keys().filter(|(of, stack)| {
            of == account && name.strip_prefix(stack.as_str()).is_some_and(|rest| rest.starts_with('-'))
        });
        own.max_by_key(|(_, stack)| stack.len()).cloned()
    }

    /// Says between which versions a function is shifted, until [`Edges::settled`]: answers name the new one's share.
    pub fn shifting(&self, account: &str, function: &str, old: &str, new: &str) {
        let key = (account.to_owned(), function.to_owned());
        self.releases().insert(key, (old.to_owned(), new.to_owned()));
    }

    /// Says that a function is no longer shifted.
    pub fn settled(&self, account: &str, function: &str) {
        self.releases().remove(&(account.to_owned(), function.to_owned()));
    }

    /// The version for a client's next request by an alias, and the new version's share at that moment.
    pub(crate) fn pick(
        &self,
        account: &str,
        function: &str,
        alias: (&str, &Alias),
        client: &str,
    ) -> (String, Option<u32>) {
        let key = (account.to_owned(), function.to_owned());
        let (name, leads) = alias;
        let share = share(leads, self.releases().get(&key));
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        (splits.entry((key, name.to_owned())).or_default().next(leads, client), share)
    }
}

/// The share that an alias gives to a release's version, in percent; `None` where nothing is shifted.
fn share(alias: &Alias, release: Option<&(String, String)>) -> Option<u32> {
    let percent = |weight: f64| (weight * 100.0).round() as u32;
    match (&alias.additional, release) {
        (Some((version, weight)), Some((_, new))) if version != new => Some(percent(1.0 - weight)),
        (Some((_, weight)), _) => Some(percent(*weight)),
        (None, Some((_, new))) => Some(if alias.version == *new { 100 } else { 0 }),
        (None, None) => None,
    }
}

/// Makes or updates the edge of a stack that was deployed.
///
/// # Errors
/// No port is free, or the emulator does not answer.
pub(crate) async fn deployed(cloud: &Arc<Cloud>, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(()) };
    let Some((logical_id, api)) = resources.of_type("AWS::ApiGatewayV2::Api").next() else { return Ok(()) };
    let expanded = expanded_template(cloud, key).await?;
    let holds = |name: &str| Resources::condition(&cloud.emulator, key, record, name);
    let routes = Arc::new(Routes::of(&expanded, logical_id, &resources, &holds)?);
    if let Some(edge) = cloud.edges.edges().get(key) {
        *edge.routes.lock().unwrap_or_else(PoisonError::into_inner) = routes;
        return Ok(());
    }
    let env = record.parameters.get("EnvironmentName").cloned().unwrap_or_else(|| key.1.clone());
    let url = open(cloud, key, api, routes, env.clone()).await?;
    if key.1 == cloud.app_stack(&env) {
        cloud.publish_url(&env, Some(&url));
    }
    Ok(())
}

/// Opens the edge of an API; its address.
async fn open(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    api: &str,
    routes: Arc<Routes>,
    env: String,
) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("listen for the edge")?;
    let port = listener.local_addr().context("listen for the edge")?.port();
    let url = format!("http://127.0.0.1:{port}/");
    let routes = Arc::new(Mutex::new(routes));
    let app = App {
        cloud: Arc::clone(cloud),
        key: key.clone(),
        api: api.to_owned(),
        port,
        routes: Arc::clone(&routes),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let service = Router::new().fallback(answer).with_state(app);
    tokio::spawn(async move {
        let until = async {
            let _ = stopped.await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until).await {
            tracing::error!("the edge ended: {error}");
        }
    });
    let edge = Edge { api: api.to_owned(), url: url.clone(), env, routes, _stop: stop };
    cloud.edges.edges().insert(key.clone(), edge);
    Ok(url)
}

/// Ends the edge of a stack that was deleted.
pub(crate) fn removed(cloud: &Cloud, key: &StackKey) {
    let edge = cloud.edges.edges().remove(key);
    // Isolated stacks are of an environment, too, but its published address is the pipeline's stack's.
    if let Some(edge) = edge.filter(|edge| key.1 == cloud.app_stack(&edge.env)) {
        cloud.publish_url(&edge.env, None);
    }
}

/// The template as the emulator deployed it, SAM expanded.
async fn expanded_template(cloud: &Cloud, key: &StackKey) -> anyhow::Result<Value> {
    let parameters = [("StackName", key.1.as_str()), ("TemplateStage", "Processed")];
    let root = cloud.emulator.query(&key.0, "cloudformation", "GetTemplate", &parameters).await?;
    let text = root.text_at(&["GetTemplateResult", "TemplateBody"]);
    Ok(causeway_model::template::parse(text).context("read the expanded template")?.to_json())
}

#[derive(Clone)]
struct App {
    cloud: Arc<Cloud>,
    key: StackKey,
    api: String,
    port: u16,
    routes: Arc<Mutex<Arc<Routes>>>,
}

async fn answer(State(app): State<App>, request: Request) -> Response {
    let (watch, began) = (Instant::now(), app.cloud.clock.seconds());
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (mut response, invoked) = app.respond(&id, request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    let outcome = invoked.as_ref().and_then(|invoked| invoked.outcome.as_ref());
    let answered = Answered {
        began,
        account: &app.key.0,
        api: &app.api,
        status: response.status().as_u16(),
        millis: watch.elapsed().as_secs_f64() * 1_000.0,
        // A server error of the edge itself is one of the emulator, which is no version's.
        late: invoked.as_ref().map_or(response.status().is_server_error(), |invoked| invoked.late),
    };
    let call = invoked.as_ref().map(|invoked| Invocation {
        function: &invoked.integration.function,
        alias: invoked.integration.alias.as_deref(),
        version: &invoked.version,
        failed: outcome.is_some_and(|outcome| outcome.failed),
        throttled: outcome.is_none(),
        millis: outcome.map_or(0.0, |outcome| outcome.millis),
    });
    if answered.late {
        app.cloud.strains.timed_out(Instant::now());
    }
    let now = app.cloud.clock.seconds();
    app.cloud.metrics.record(now, &answered, call.as_ref());
    if let (Some(call), Some(outcome)) = (call, outcome) {
        let target =
            Target { account: &app.key.0, function: call.function, version: call.version, alias: call.alias };
        invocation::record(&app.cloud, now, began, target, outcome);
    }
    response
}

/// An invocation that a request led to.
struct Invoked {
    integration: Integration,
    version: String,
    /// Whether it ran into its timeout.
    late: bool,
    /// How it went; `None` where Lambda ran too many already.
    outcome: Option<Outcome>,
}

/// What becomes of a request at its route's lock.
enum Admission {
    /// The route has none.
    Open,
    /// Somebody who may.
    Caller(Caller),
    /// What API Gateway answers to all others.
    Refused(StatusCode, &'static str),
}

impl App {
    /// Answers a request: with what a function said, or as API Gateway does without one.
    async fn respond(&self, id: &str, request: Request) -> (Response, Option<Invoked>) {
        let (parts, body) = request.into_parts();
        // API Gateway answers 403 to a name that it does not know, too.
        if !host::is_own(&parts, self.port) {
            return (gateway(StatusCode::FORBIDDEN, "Forbidden"), None);
        }
        let body = match http_body_util::Limited::new(body, MAX_PAYLOAD).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return (gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"), None),
        };
        let routes = Arc::clone(&self.routes.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(found) = routes.find(&parts.method, parts.uri.path()) else {
            return (gateway(StatusCode::NOT_FOUND, "Not Found"), None);
        };
        let broken = || gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        let caller = match self.admit(&found, &parts, &body).await {
            Ok(Admission::Open) => None,
            Ok(Admission::Caller(caller)) => Some(caller),
            Ok(Admission::Refused(status, message)) => return (gateway(status, message), None),
            Err(error) => {
                tracing::error!(stack = self.key.1, "ask about a caller: {error:#}");
                return (broken(), None);
            }
        };
        match self.invoke(id, &found, caller.as_ref(), &parts, &body).await {
            Ok(((version, share), Some(mut outcome))) => {
                let payload = std::mem::take(&mut outcome.payload);
                let answer = event::Answer { failed: outcome.failed, payload };
                let mut response = event::response(&answer, &version);
                if let Some(share) = share {
                    response.headers_mut().insert(NEW_WEIGHT_HEADER, HeaderValue::from(share));
                }
                let (integration, late) = (found.integration.clone(), answer.timed_out());
                (response, Some(Invoked { integration, version, late, outcome: Some(outcome) }))
            }
            Ok(((version, _), None)) => {
                let integration = found.integration.clone();
                (broken(), Some(Invoked { integration, version, late: true, outcome: None }))
            }
            Err(error) => {
                tracing::error!(stack = self.key.1, "invoke {}: {error:#}", found.integration.function);
                (broken(), None)
            }
        }
    }

    /// Lets a request in, or does not. Whatever is wrong with a signature, API Gateway says the same.
    async fn admit(
        &self,
        found: &Found,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> anyhow::Result<Admission> {
        match found.lock {
            Lock::Open => Ok(Admission::Open),
            Lock::Unknown => Ok(Admission::Refused(StatusCode::UNAUTHORIZED, "Unauthorized")),
            Lock::Iam => {
                let caller = access::caller(&self.cloud, &self.key.0, &self.api, parts, body).await?;
                let forbidden = Admission::Refused(StatusCode::FORBIDDEN, "Forbidden");
                Ok(caller.map_or(forbidden, Admission::Caller))
            }
        }
    }

    /// Invokes a version of the route's function; the version's number, the new version's share, and how it went, unless
    /// Lambda ran too many already.
    async fn invoke(
        &self,
        id: &str,
        found: &Found,
        caller: Option<&Caller>,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> anyhow::Result<((String, Option<u32>), Option<Outcome>)> {
        let account = &self.key.0;
        let integration = &found.integration;
        let function = &integration.function;
        let agent = parts.headers.get(http::header::USER_AGENT);
        let client = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let (version, share) = match &integration.alias {
            Some(alias) => {
                let leads = alias::read(&self.cloud, account, function, alias).await?;
                let leads = leads.with_context(|| format!("alias {alias} is gone"))?;
                self.cloud.edges.pick(account, function, (alias, &leads), client)
            }
            None => ("$LATEST".to_owned(), None),
        };
        let event = event::request((account, &self.api, id), found, caller, parts, body);
        let target = Target { account, function, version: &version, alias: integration.alias.as_deref() };
        match invocation::invoke(&self.cloud, target, event.to_string().into_bytes()).await {
            Ok(outcome) => Ok(((version, share), Some(outcome))),
            Err(error) if invocation::is_throttled(&error) => Ok(((version, share), None)),
            Err(error) => Err(error),
        }
    }
}

/// An answer that API Gateway gives without a function.
fn gateway(status: StatusCode, message: &str) -> Response {
    let mut answer = Response::new(Body::from(serde_json::json!({"message": message}).to_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VERSION_HEADER, HeaderValue::from_static("none"));
    headers.insert(LAMBDA_VERSION_HEADER, HeaderValue::from_static("none"));
    answer
}

#[cfg(test)]
mod tests {
    use super::{Alias, share};
    use crate::edge_stub;
    use crate::stub_emulator::{Answer, Emulator};

    #[tokio::test]
    async fn an_edge_answers_to_its_own_name_alone() {
        let emulator = Emulator::start(|asked, before| {
            let lambda = || Answer::new(200, r#"{"statusCode": 200, "body": "{}"}"#);
            Some(asked.alias(before).unwrap_or_else(lambda))
        })
        .await;
        let cloud = emulator.cloud();
        let url = edge_stub::edge(&cloud).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let own = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let port = own.rsplit(':').next().unwrap().to_owned();
        for (host, status) in [
            (own.clone(), 200),
            (format!("localhost:{port}"), 200),
            (format!("evil.example:{port}"), 403),
            ("evil.example".to_owned(), 403),
            (format!("{own}.evil.example"), 403),
        ] {
            let call = client.get(format!("{url}{}", edge_stub::ROUTE)).header("host", &host);
            assert_eq!(call.send().await.unwrap().status().as_u16(), status, "{host}");
        }
        let asked = emulator.asked();
        let invoked = asked.iter().filter(|asked| asked.path.contains("/invocations")).count();
        assert_eq!(invoked, 2, "nobody else's request reaches a function");
    }

    #[test]
    fn the_share_named_is_the_releases_whichever_way_it_goes() {
        let release = ("1".to_owned(), "2".to_owned());
        for (old, new, weight, during, otherwise) in [
            ("1", "2", 0, 0, None),
            ("1", "2", 10, 10, Some(10)),
            ("1", "2", 100, 100, None),
            // On the way back.
            ("2", "1", 0, 100, None),
            ("2", "1", 30, 70, Some(30)),
            ("2", "1", 100, 0, None),
        ] {
            let alias = Alias::between(old, new, weight);
            assert_eq!(share(&alias, Some(&release)), Some(during), "{old} {new} {weight}");
            assert_eq!(share(&alias, None), otherwise, "{old} {new} {weight}");
        }
    }
}
