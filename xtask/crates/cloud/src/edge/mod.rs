//! The edge: a small HTTP front for each deployed API, HTTP APIs and REST APIs.
//!
//! It takes plain HTTP requests, finds the route, asks for a signature where the route does, builds the event that API
//! Gateway would, picks a version by the weights that the alias has at that moment, invokes that version, and answers as the
//! function said (`app.rs`). Every answer names the version. What of an API is served is read from the stack's plain template,
//! whoever wrote it: a document (`document.rs`) or resources of their own (`api.rs`). The rest is named in `not_rehearsed`.

mod access;
mod api;
mod app;
mod cors;
mod document;
mod event;
mod event_one;
mod fixed;
mod routes;
mod split;
pub mod stub;
mod target;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::alias::Alias;
use super::cloud::Cloud;
use super::happenings::What;
use super::ledger::{Record, StackKey};
use super::resources::Resources;
use api::{Api, Template};
use app::App;
use routes::Kind;
use split::Split;
use values::Values;

/// API Gateway's limit for a payload ("Quotas for HTTP APIs", "Quotas for configuring and running a REST API in API Gateway").
const MAX_PAYLOAD: usize = 10 * 1024 * 1024;

/// The header in which every answer names the version of the workload.
pub(crate) const VERSION_HEADER: &str = "x-causeway-version";
/// The header in which every answer names Lambda's number of the version.
pub(crate) const LAMBDA_VERSION_HEADER: &str = "x-causeway-lambda-version";

/// The header in which an answer names the share, in percent, that the new version had when it was picked; only while
/// the function's traffic is split.
const NEW_WEIGHT_HEADER: &str = "x-causeway-new-weight";

/// A deployed API.
struct Edge {
    url: String,
    env: String,
    api: Arc<Mutex<Arc<Api>>>,
    _stop: oneshot::Sender<()>,
}

impl Edge {
    fn api(&self) -> Arc<Api> {
        Arc::clone(&self.api.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stack and an API's logical id in it.
type ApiKey = (StackKey, String);

/// A function in an account.
type FunctionKey = (String, String);

/// Every deployed API, and whose turn it is.
#[derive(Default)]
pub struct Edges {
    edges: Mutex<BTreeMap<ApiKey, Edge>>,
    /// By function and alias.
    splits: Mutex<HashMap<(FunctionKey, String), Split>>,
    /// The versions that functions are shifted between, the release's last.
    releases: Mutex<HashMap<FunctionKey, (String, String)>>,
}

impl Edges {
    fn edges(&self) -> MutexGuard<'_, BTreeMap<ApiKey, Edge>> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn releases(&self) -> MutexGuard<'_, HashMap<FunctionKey, (String, String)>> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pairs of API id and address.
    pub fn public_urls(&self) -> Vec<(String, String)> {
        self.edges().values().map(|edge| (edge.api().id.clone(), edge.url.clone())).collect()
    }

    /// Whether an account has a deployed API.
    pub fn has_any(&self, account: &str) -> bool {
        self.edges().keys().any(|((of, _), _)| of == account)
    }

    /// The stack with a deployed API that a name belongs to: the longest one whose name it begins with.
    pub fn stack_of(&self, account: &str, name: &str) -> Option<StackKey> {
        let edges = self.edges();
        let own = edges.keys().map(|(key, _)| key).filter(|(of, stack)| {
            of == account && name.strip_prefix(stack.as_str()).is_some_and(|rest| rest.starts_with('-'))
        });
        own.max_by_key(|(_, stack)| stack.len()).cloned()
    }

    /// What of a stack's APIs is not rehearsed, and why.
    pub(crate) fn unserved(&self, key: &StackKey) -> Vec<(String, String)> {
        let edges = self.edges();
        let own = edges.iter().filter(|((of, _), _)| of == key);
        let all = own.flat_map(|((_, id), edge)| {
            let unserved = edge.api().unserved.clone().into_iter();
            unserved.map(move |(what, why)| (format!("{what} of the API {id} in {}", key.1), why))
        });
        all.collect()
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

/// Makes or updates the edges of a stack that was deployed.
///
/// # Errors
/// No port is free, or the emulator does not answer.
pub(crate) async fn deployed(cloud: &Arc<Cloud>, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(()) };
    let apis = read(cloud, key, record, &resources).await?;
    let gone: Vec<ApiKey> = {
        let edges = cloud.edges.edges();
        edges.keys().filter(|(of, id)| of == key && !apis.contains_key(id)).cloned().collect()
    };
    for gone in gone {
        cloud.edges.edges().remove(&gone);
    }
    if apis.is_empty() {
        return Ok(());
    }
    let env = record.parameters.get("EnvironmentName").cloned().unwrap_or_else(|| key.1.clone());
    let mut addresses = Vec::new();
    for (id, mut api) in apis {
        let (kind, base) = (api.kind, api.base());
        let at = (key.clone(), id.clone());
        let known = cloud.edges.edges().get(&at).map(|edge| (edge.url.clone(), Arc::clone(&edge.api)));
        let url = match known {
            Some((url, held)) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                for stage in keep_deployed(&held, &mut api) {
                    let message = format!(
                        "the routes of the API {id} in {} have changed, and no new deployment brings them to its stage {stage}: it goes on as it was deployed, as on AWS",
                        key.1
                    );
                    cloud.happenings.add(&key.0, &key.1, What::Warning { message });
                }
                *held = Arc::new(api);
                url
            }
            None => open(cloud, at, api, env.clone()).await?,
        };
        addresses.push((kind == Kind::Rest, format!("{}{base}/", url.trim_end_matches('/'))));
    }
    // The environment's address is its HTTP API's, or its REST API's.
    addresses.sort();
    if let Some((_, address)) = addresses.first()
        && key.1 == cloud.app_stack(&env)
    {
        cloud.publish_url(&env, Some(address));
    }
    Ok(())
}

/// The APIs of a stack as they are deployed.
async fn read(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    resources: &Resources,
) -> anyhow::Result<BTreeMap<String, Api>> {
    let nothing = Map::new();
    let definitions = record.plain.get("Resources").and_then(Value::as_object).unwrap_or(&nothing);
    let values = Values {
        holds: &|name| Resources::condition(&cloud.emulator, key, record, name),
        call: &|value| resources.eval(&cloud.emulator, key, record, value).ok(),
        physical: &|id| resources.physical(id).map(ToOwned::to_owned),
    };
    let mut places = Vec::new();
    for definition in definitions.values() {
        if let Some(location) = definition.pointer("/Properties/BodyS3Location") {
            let location = values.deployed(location)?.unwrap_or_default();
            let text = |name: &str| location.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            places.push((text("Bucket"), text("Key")));
        }
    }
    let mut documents = BTreeMap::new();
    for place in places {
        let path = format!("/{}/{}", place.0, place.1);
        let read = cloud.emulator.rest(http::Method::GET, &path, &key.0, "s3", Vec::new()).await;
        let document = read.map_err(|error| format!("{error:#}")).and_then(|(_, body)| {
            let text = String::from_utf8(body).map_err(|_| "it is no text".to_owned())?;
            Ok(causeway_model::template::parse(&text).map_err(|error| error.to_string())?.to_json())
        });
        documents.insert(place, document);
    }
    let template = Template {
        resources: definitions,
        values,
        region: cloud.emulator.region(),
        account: &key.0,
        documents: &documents,
    };
    template.apis()
}

/// A stage shows what its deployment took when it was made: where the deployment is the one of before, so are the routes.
/// The names of the stages that keep others than their template has.
///
/// Source: "Deploy REST APIs in API Gateway" in the API Gateway developer guide: a change of methods takes effect with the next
/// deployment.
fn keep_deployed(before: &Api, now: &mut Api) -> Vec<String> {
    let mut kept = Vec::new();
    for stage in &mut now.stages {
        let same = before.stages.iter().find(|old| {
            old.name == stage.name && old.deployment.is_some() && old.deployment == stage.deployment
        });
        if let Some(old) = same.filter(|old| old.routes != stage.routes) {
            stage.routes = old.routes.clone();
            kept.push(stage.name.clone());
        }
    }
    kept
}

/// Opens the edge of an API; its address.
async fn open(cloud: &Arc<Cloud>, at: ApiKey, api: Api, env: String) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("listen for the edge")?;
    let port = listener.local_addr().context("listen for the edge")?.port();
    let url = format!("http://127.0.0.1:{port}/");
    let api = Arc::new(Mutex::new(Arc::new(api)));
    let app = App { cloud: Arc::clone(cloud), key: at.0.clone(), port, api: Arc::clone(&api) };
    let (stop, stopped) = oneshot::channel::<()>();
    let service = Router::new().fallback(app::answer).with_state(app);
    tokio::spawn(async move {
        let until = async {
            let _ = stopped.await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until).await {
            tracing::error!("the edge ended: {error}");
        }
    });
    cloud.edges.edges().insert(at, Edge { url: url.clone(), env, api, _stop: stop });
    Ok(url)
}

/// Ends the edges of a stack that was deleted.
pub(crate) fn removed(cloud: &Cloud, key: &StackKey) {
    let mut envs = Vec::new();
    cloud.edges.edges().retain(|(of, _), edge| {
        if of == key {
            envs.push(edge.env.clone());
        }
        of != key
    });
    // Isolated stacks are of an environment, too, but its published address is the pipeline's stack's.
    if let Some(env) = envs.into_iter().find(|env| key.1 == cloud.app_stack(env)) {
        cloud.publish_url(&env, None);
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
