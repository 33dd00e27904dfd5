//! One API's HTTP service: a request comes in, a function answers it, or API Gateway itself does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;

use super::access::{self, Caller};
use super::api::{Api, Stage};
use super::cors::Preflight;
use super::event::{self, Asked};
use super::event_one;
use super::routes::{Action, Format, Integration, Kind, Lock};
use super::{MAX_PAYLOAD, NEW_WEIGHT_HEADER, gateway};
use crate::alias;
use crate::cloud::Cloud;
use crate::host;
use crate::invocation::{self, Outcome, Target};
use crate::ledger::StackKey;
use crate::metrics::{Answered, Invocation};
use tokio::time::Instant;

/// The header in which every answer has the id of its request.
fn request_id(kind: Kind) -> HeaderName {
    HeaderName::from_static(match kind {
        Kind::Http => "apigw-requestid",
        Kind::Rest => "x-amzn-requestid",
    })
}

/// The service of an API.
#[derive(Clone)]
pub(super) struct App {
    pub(super) cloud: Arc<Cloud>,
    pub(super) key: StackKey,
    pub(super) port: u16,
    pub(super) api: Arc<Mutex<Arc<Api>>>,
}

/// Answers a request, and records what AWS would measure of it.
pub(super) async fn answer(State(app): State<App>, request: Request) -> Response {
    let (watch, began) = (Instant::now(), app.cloud.clock.seconds());
    let id = uuid::Uuid::new_v4().simple().to_string();
    let api = Arc::clone(&app.api.lock().unwrap_or_else(PoisonError::into_inner));
    let origin = request.headers().get(http::header::ORIGIN).cloned();
    let stage = api.stage(request.uri().path()).map_or("", |(stage, _)| stage.name.as_str());
    let (mut response, invoked) = app.respond(&api, &id, request).await;
    if let Some(cors) = &api.cors
        && response.extensions().get::<Preflight>().is_none()
    {
        cors.apply(origin.as_ref(), response.headers_mut());
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(request_id(api.kind), value);
    }
    let outcome = invoked.as_ref().and_then(|invoked| invoked.outcome.as_ref());
    let answered = Answered {
        began,
        account: &app.key.0,
        api: &api.id,
        rest: (api.kind == Kind::Rest).then_some(api.name.as_str()),
        stage,
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
    /// Nobody who may.
    Refused(Refusal),
}

/// Why API Gateway answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// A name or a stage that it does not know.
    Unknown,
    NoRoute,
    TooLarge,
    Unsigned,
    NoKey,
    Unauthorized,
    /// The function took longer than an integration may.
    Late,
    /// The function failed, or its answer is none.
    Malformed,
    /// Something else that the function is not to blame for.
    Broken,
}

impl Refusal {
    /// The answer of an API: for a REST API, the type of gateway response that it is, with its status and its words.
    ///
    /// Source: "Gateway response types for API Gateway". An HTTP API's words, and those to an unknown stage, are unconfirmed on AWS.
    fn response(self, api: &Api) -> Response {
        let http = |status, message| gateway(status, message);
        let rest = |kind, status, message| api.responses.response(kind, status, message);
        match (api.kind, self) {
            (Kind::Http, Self::NoRoute) => http(StatusCode::NOT_FOUND, "Not Found"),
            (Kind::Http, Self::Unknown) if api.stages.is_empty() => http(StatusCode::NOT_FOUND, "Not Found"),
            (_, Self::Unknown) => http(StatusCode::FORBIDDEN, "Forbidden"),
            (Kind::Http, Self::TooLarge) => http(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            (Kind::Http, Self::Unsigned | Self::NoKey) => http(StatusCode::FORBIDDEN, "Forbidden"),
            (Kind::Http, Self::Unauthorized) => http(StatusCode::UNAUTHORIZED, "Unauthorized"),
            (Kind::Http, Self::Late) => http(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            (Kind::Http, Self::Malformed | Self::Broken) => {
                http(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            (Kind::Rest, Self::NoRoute | Self::Unsigned) => {
                rest("MISSING_AUTHENTICATION_TOKEN", StatusCode::FORBIDDEN, "Missing Authentication Token")
            }
            (Kind::Rest, Self::TooLarge) => {
                rest("REQUEST_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long")
            }
            (Kind::Rest, Self::NoKey) => rest("INVALID_API_KEY", StatusCode::FORBIDDEN, "Forbidden"),
            (Kind::Rest, Self::Unauthorized) => {
                rest("UNAUTHORIZED", StatusCode::UNAUTHORIZED, "Unauthorized")
            }
            (Kind::Rest, Self::Late) => {
                rest("INTEGRATION_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")
            }
            (Kind::Rest, Self::Malformed) => {
                rest("DEFAULT_5XX", StatusCode::BAD_GATEWAY, "Internal server error")
            }
            (Kind::Rest, Self::Broken) => {
                rest("DEFAULT_5XX", StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            }
        }
    }
}

impl App {
    /// Answers a request: with what a function said, or as API Gateway does without one.
    async fn respond(&self, api: &Api, id: &str, request: Request) -> (Response, Option<Invoked>) {
        let (parts, body) = request.into_parts();
        let refused = |refusal: Refusal| (refusal.response(api), None);
        // API Gateway answers 403 to a name that it does not know, too.
        if !host::is_own(&parts, self.port) {
            return (gateway(StatusCode::FORBIDDEN, "Forbidden"), None);
        }
        let body = match http_body_util::Limited::new(body, MAX_PAYLOAD).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return refused(Refusal::TooLarge),
        };
        let Some((stage, path)) = api.stage(parts.uri.path()) else { return refused(Refusal::Unknown) };
        if let Some(preflight) =
            api.cors.as_ref().and_then(|cors| cors.preflight(&parts.method, &parts.headers))
        {
            return (preflight, None);
        }
        let Some(found) = stage.routes.find(api.kind, &parts.method, path) else {
            return refused(Refusal::NoRoute);
        };
        let caller = match self.admit(api, (stage, path), found.lock, &parts, &body).await {
            Ok(Admission::Open) => None,
            Ok(Admission::Caller(caller)) => Some(caller),
            Ok(Admission::Refused(refusal)) => return refused(refusal),
            Err(error) => {
                tracing::error!(stack = self.key.1, "ask about a caller: {error:#}");
                return refused(Refusal::Broken);
            }
        };
        let integration = match &found.action {
            Action::Invoke(integration) => integration,
            Action::Answer(fixed) => return (fixed.response(), None),
            Action::Nothing(why) => {
                let message = format!("{} is not rehearsed: {why}", found.key);
                return (gateway(StatusCode::NOT_IMPLEMENTED, &message), None);
            }
        };
        let account = &self.key.0;
        let asked = Asked {
            account,
            id,
            api,
            stage,
            path,
            found: &found,
            caller: caller.as_ref(),
            parts: &parts,
            body: &body,
        };
        match self.invoke(&asked, integration).await {
            Ok(((version, share), Invocated::Ran(mut outcome))) => {
                let payload = std::mem::take(&mut outcome.payload);
                let answer = event::Answer { failed: outcome.failed, payload };
                let mut response = said(api, integration, &answer, parts.headers.get(http::header::ACCEPT));
                event::name_version(&mut response, &version);
                if let Some(share) = share {
                    response.headers_mut().insert(NEW_WEIGHT_HEADER, HeaderValue::from(share));
                }
                let (integration, late) = (integration.clone(), answer.timed_out());
                (response, Some(Invoked { integration, version, late, outcome: Some(outcome) }))
            }
            Ok(((version, _), Invocated::Throttled)) => {
                let integration = integration.clone();
                let invoked = Invoked { integration, version, late: true, outcome: None };
                (Refusal::Broken.response(api), Some(invoked))
            }
            Ok(((version, _), Invocated::Late)) => {
                let mut response = Refusal::Late.response(api);
                event::name_version(&mut response, &version);
                (response, None)
            }
            Err(error) => {
                tracing::error!(stack = self.key.1, "invoke {}: {error:#}", integration.function);
                refused(Refusal::Broken)
            }
        }
    }

    /// Lets a request in, or does not. Whatever is wrong with a signature, API Gateway says the same.
    async fn admit(
        &self,
        api: &Api,
        (stage, path): (&Stage, &str),
        lock: Lock,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> anyhow::Result<Admission> {
        match lock {
            Lock::Open => Ok(Admission::Open),
            Lock::Unknown => Ok(Admission::Refused(Refusal::Unauthorized)),
            Lock::Key => Ok(Admission::Refused(Refusal::NoKey)),
            Lock::Iam => {
                let route = (api.id.as_str(), stage.name.as_str(), path);
                let caller = access::caller(&self.cloud, &self.key.0, route, parts, body).await?;
                Ok(caller.map_or(Admission::Refused(Refusal::Unsigned), Admission::Caller))
            }
        }
    }

    /// Invokes a version of the route's function; the version's number, the new version's share, and how it went.
    async fn invoke(
        &self,
        asked: &Asked<'_>,
        integration: &Integration,
    ) -> anyhow::Result<((String, Option<u32>), Invocated)> {
        let (account, function) = (asked.account, &integration.function);
        let agent = asked.parts.headers.get(http::header::USER_AGENT);
        let client = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let (version, share) = match &integration.alias {
            Some(alias) => {
                let leads = alias::read(&self.cloud, account, function, alias).await?;
                let leads = leads.with_context(|| format!("alias {alias} is gone"))?;
                self.cloud.edges.pick(account, function, (alias, &leads), client)
            }
            None => (integration.version.clone().unwrap_or_else(|| "$LATEST".to_owned()), None),
        };
        let event = match integration.format {
            Format::One => event_one::request(asked),
            Format::Two => event::request(asked),
        };
        let target = Target { account, function, version: &version, alias: integration.alias.as_deref() };
        let run = invocation::invoke(&self.cloud, target, event.to_string().into_bytes());
        let ran = match tokio::time::timeout(Duration::from_millis(integration.limit), run).await {
            Ok(Ok(outcome)) => Invocated::Ran(outcome),
            Ok(Err(error)) if invocation::is_throttled(&error) => Invocated::Throttled,
            Ok(Err(error)) => return Err(error),
            Err(_) => Invocated::Late,
        };
        Ok(((version, share), ran))
    }
}

/// How an invocation went.
enum Invocated {
    Ran(Outcome),
    /// Lambda ran too many already.
    Throttled,
    /// It takes longer than an integration may.
    Late,
}

/// What a function's answer becomes.
fn said(
    api: &Api,
    integration: &Integration,
    answer: &event::Answer,
    accept: Option<&HeaderValue>,
) -> Response {
    if integration.format == Format::Two {
        return event::response(answer);
    }
    let response = match answer.failed {
        true => None,
        false => event_one::response(&answer.payload, api.kind, &api.binary, accept),
    };
    response.unwrap_or_else(|| Refusal::Malformed.response(api))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::cors::Cors;
    use super::super::fixed::GatewayResponses;
    use super::super::routes::Routes;
    use super::super::stub::edge_to;
    use super::*;
    use crate::stub_emulator::{Answer, Emulator};

    /// An API with a route for each way that a function can behave.
    fn api(kind: Kind) -> Api {
        let mut routes = Routes::default();
        for name in ["good", "odd", "failing", "refused"] {
            let one = Integration::of(name, Some("7"), Format::One, 10_000_000);
            routes.add("ANY", &format!("/{name}"), Action::Invoke(one), Lock::Open);
        }
        let late = Integration::of("late", Some("7"), Format::One, 1);
        routes.add("ANY", "/late", Action::Invoke(late), Lock::Open);
        let good = || Action::Invoke(Integration::of("good", Some("7"), Format::One, 10_000_000));
        routes.add("GET", "/key", good(), Lock::Key);
        routes.add("GET", "/token", good(), Lock::Unknown);
        routes.add("GET", "/signed", good(), Lock::Iam);
        routes.add("GET", "/out", Action::Nothing("it is of AWS".to_owned()), Lock::Open);
        let mut api = Api { kind, name: "shop".to_owned(), ..Api::of_routes("a1", routes) };
        "live".clone_into(&mut api.stages[0].name);
        let mut responses = GatewayResponses::default();
        responses
            .add("DEFAULT_4XX", &json!({"responseParameters": {"gatewayresponse.header.x-own": "'yes'"}}))
            .unwrap();
        api.responses = responses;
        api
    }

    async fn emulator() -> Emulator {
        Emulator::start(|asked, _| {
            let function = asked.path.split("/functions/").nth(1).and_then(|rest| rest.split('/').next());
            match function {
                Some("late") => None,
                Some("odd") => Some(Answer::new(200, "\"no answer\"")),
                Some("failing") => Some(Answer::failed("{\"errorMessage\": \"no\"}")),
                Some("refused") => {
                    Some(Answer::new(429, "{\"Type\": \"User\", \"message\": \"Rate Exceeded.\"}"))
                }
                _ => Some(Answer::new(200, "{\"statusCode\": 200, \"body\": \"hi\"}")),
            }
        })
        .await
    }

    #[tokio::test]
    async fn each_product_answers_in_its_own_words() {
        let emulator = emulator().await;
        // A cloud has installed the provider that a client wants.
        let _cloud = emulator.cloud();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (path, rest, http) in [
            ("live/good", (200, "hi"), (200, "hi")),
            ("live/none", (403, "Missing Authentication Token"), (404, "Not Found")),
            ("other/good", (403, "Forbidden"), (403, "Forbidden")),
            ("live/odd", (502, "Internal server error"), (500, "Internal Server Error")),
            ("live/failing", (502, "Internal server error"), (500, "Internal Server Error")),
            ("live/late", (504, "Endpoint request timed out"), (503, "Service Unavailable")),
            ("live/key", (403, "Forbidden"), (403, "Forbidden")),
            ("live/token", (401, "Unauthorized"), (401, "Unauthorized")),
            ("live/signed", (403, "Missing Authentication Token"), (403, "Forbidden")),
            (
                "live/out",
                (501, "GET /out is not rehearsed: it is of AWS"),
                (501, "GET /out is not rehearsed: it is of AWS"),
            ),
        ] {
            for (kind, expected) in [(Kind::Rest, rest), (Kind::Http, http)] {
                let cloud = emulator.cloud();
                let url = edge_to(&cloud, api(kind)).await.unwrap();
                let answer = client.get(format!("{url}{path}")).send().await.unwrap();
                let status = answer.status().as_u16();
                let own = answer.headers().get("x-own").is_some();
                let id = answer.headers().contains_key(request_id(kind));
                let text = answer.text().await.unwrap();
                let said = serde_json::from_str::<Value>(&text).ok();
                let said =
                    said.and_then(|said| Some(said.get("message")?.as_str()?.to_owned())).unwrap_or(text);
                assert_eq!((status, said.as_str()), expected, "{kind:?} {path}");
                // The API's own gateway response, where API Gateway answers by itself.
                let by_itself =
                    kind == Kind::Rest && (400..500).contains(&status) && path.starts_with("live");
                assert_eq!((own, id), (by_itself, true), "{kind:?} {path}");
            }
        }
    }

    #[tokio::test]
    async fn whatever_a_function_answers_has_the_headers_of_cors() {
        let emulator = Emulator::start(|asked, _| {
            let status = asked.path.split("/functions/").nth(1)?.split('/').next()?.to_owned();
            Some(Answer::new(200, &json!({"statusCode": status.parse::<u16>().ok()?}).to_string()))
        })
        .await;
        let cloud = emulator.cloud();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let statuses = ["200", "204", "304", "404", "500"];
        let mut routes = Routes::default();
        for status in statuses {
            let one = Integration::of(status, Some("7"), Format::Two, 10_000_000);
            routes.add("ANY", &format!("/{status}"), Action::Invoke(one), Lock::Open);
        }
        let cors = json!({"AllowOrigins": ["http://a"], "AllowMethods": ["GET"], "ExposeHeaders": ["x-a"]});
        let mut api = Api { cors: Cors::of(&cors), ..Api::of_routes("a1", routes) };
        api.stages[0].name = "$default".to_owned();
        let url = edge_to(&cloud, api).await.unwrap();
        for (method, preflight) in
            [(http::Method::GET, false), (http::Method::OPTIONS, false), (http::Method::OPTIONS, true)]
        {
            for status in statuses {
                let mut request =
                    client.request(method.clone(), format!("{url}{status}")).header("origin", "http://a");
                if preflight {
                    request = request.header("access-control-request-method", "GET");
                }
                let answer = request.send().await.unwrap();
                let has = |name: &str| answer.headers().contains_key(name);
                let expected = if preflight { "204" } else { status };
                assert_eq!(answer.status().as_str(), expected, "{method} {status}");
                assert!(has("access-control-allow-origin"), "{method} {status}");
                // Each sort of answer has what the other one has not.
                assert_eq!(
                    (has("access-control-allow-methods"), has("access-control-expose-headers")),
                    (preflight, !preflight),
                    "{method} {status}"
                );
            }
        }
    }

    #[tokio::test]
    async fn more_than_ten_megabytes_reach_no_function() {
        let emulator = emulator().await;
        // A cloud has installed the provider that a client wants.
        let _cloud = emulator.cloud();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (kind, size, expected) in [
            (Kind::Rest, MAX_PAYLOAD, (200, "hi")),
            (Kind::Rest, MAX_PAYLOAD + 1, (413, "Request Too Long")),
            (Kind::Http, MAX_PAYLOAD + 1, (413, "Request Entity Too Large")),
        ] {
            let cloud = emulator.cloud();
            let url = edge_to(&cloud, api(kind)).await.unwrap();
            let answer = client.post(format!("{url}live/good")).body(vec![b'a'; size]).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(status == expected.0 && text.contains(expected.1), "{kind:?} {size}: {status} {text}");
        }
    }
}
