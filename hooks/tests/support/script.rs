//! A Lambda and a CodeDeploy that answer by script, and a hook between them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Region, SharedAsyncSleep};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use hooks::check::Check;
use hooks::clients::{Clients, Endpoints, https_client};
use hooks::hook::{Hook, Summary};
use hooks::report::{LifecycleEvent, ReportError};
use hooks::settings::{Phase, Settings};
use hooks::suites::Suite;
use serde_json::{Value, json};

use super::server::{self, Response, Seen};
use super::stack;

pub(crate) const ARN: &str = "arn:aws:lambda:eu-central-1:222222222222:function:checkin:7";
/// The digest of the packaged code, as Lambda says it and as the build does.
pub(crate) const CODE_SHA256: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
pub(crate) const PACKAGE_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const VERSION: &str = "0.1.0+0123456789ab";

/// What a function answers to an event; `None`: never anything.
pub(crate) type Answers = fn(&Value) -> Option<Response>;

/// What the deployed API answers to a route such as `GET /api/health`; `None`: never anything.
pub(crate) type Routes = fn(&str) -> Option<Response>;

/// A deployed API that leads to the new version.
fn open_routes(line: &str) -> Option<Response> {
    let function = if line.contains("/contacts/") { "contacts" } else { "checkin" };
    Some(match line.rsplit('/').next() {
        Some("health") => server::json(200, &[], &json!({"status": "ok", "version": VERSION})),
        Some("version") => server::json(200, &[], &json!({"version": VERSION, "function": function})),
        _ => server::json(404, &[], &json!({"message": "Not Found"})),
    })
}

/// Services that answer by script, and all that they were asked.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) function: Answers,
    pub(crate) api: Routes,
    pub(crate) stacks: Arc<Mutex<VecDeque<Response>>>,
    pub(crate) code: Arc<Mutex<VecDeque<Option<Response>>>>,
    pub(crate) reports: Arc<Mutex<VecDeque<Option<Response>>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    /// A function that answers events so (`None`: never), and a CodeDeploy that takes every report.
    pub(crate) fn new(function: Answers) -> Self {
        Self {
            function,
            api: open_routes,
            stacks: Arc::default(),
            code: Arc::default(),
            reports: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Answers a request that came to `address`, where all of the services are, the API too.
    pub(crate) fn answer(&self, seen: Seen, address: &str) -> Option<Response> {
        self.seen.lock().unwrap().push(seen.clone());
        if seen.line.ends_with("/invocations") {
            return (self.function)(&seen.body);
        }
        if seen.line.ends_with("/configuration") {
            let next = self.code.lock().unwrap().pop_front();
            return next.unwrap_or_else(|| Some(server::json(200, &[], &json!({"CodeSha256": CODE_SHA256}))));
        }
        if seen.line.starts_with("GET /api/") {
            return (self.api)(&seen.line);
        }
        if seen.line == "POST /" {
            assert_eq!(seen.body, "Action=DescribeStacks&Version=2010-05-15&StackName=causeway-app-dev");
            let next = self.stacks.lock().unwrap().pop_front();
            return Some(next.unwrap_or_else(|| stack::with_api(&format!("http://{address}/"))));
        }
        self.reports.lock().unwrap().pop_front().unwrap_or_else(|| Some(server::json(200, &[], &seen.body)))
    }

    /// A hook with these checks.
    pub(crate) async fn hook(
        &self,
        phase: Phase,
        variables: &[(&str, &str)],
        checks: &'static [Check],
    ) -> Hook {
        let suite = Suite { function: "checkin", pre: checks, post: checks };
        self.hook_of(phase, variables, Box::leak(Box::new([suite]))).await
    }

    pub(crate) async fn hook_of(
        &self,
        phase: Phase,
        variables: &[(&str, &str)],
        suites: &'static [Suite],
    ) -> Hook {
        let script = self.clone();
        let known = Arc::new(OnceLock::new());
        let own = known.clone();
        let address = server::start(move |seen| {
            let answer = script.answer(seen, own.get().map_or("", String::as_str));
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        })
        .await;
        known.set(address.to_string()).unwrap();
        let credentials = Credentials::new("222222222222", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(format!("http://{address}"))
            .retry_config(RetryConfig::standard())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(https_client())
            .build();
        let settings = Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        // How long the pauses are is nothing that any test is about.
        Hook {
            phase,
            settings,
            suites,
            clients: Clients::new(&config, Endpoints::default()),
            pause: Duration::from_millis(10),
        }
    }

    /// Runs a hook that has all it needs.
    pub(crate) async fn run(
        &self,
        checks: &'static [Check],
        time_left: Duration,
    ) -> Result<Summary, ReportError> {
        self.hook(Phase::PreTraffic, &variables(), checks).await.handle(&event(), time_left).await
    }

    /// What CodeDeploy was told, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let reports = seen
            .iter()
            .filter(|seen| seen.line == "POST / CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus");
        reports
            .map(|seen| {
                assert_eq!(
                    (&seen.body["deploymentId"], &seen.body["lifecycleEventHookExecutionId"]),
                    (&json!("d-1"), &json!("h-1"))
                );
                seen.body["status"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// What the function was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let asked = seen.iter().filter(|seen| seen.line.ends_with("/invocations"));
        asked.map(|seen| seen.body["routeKey"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn variables() -> [(&'static str, &'static str); 6] {
    [
        ("TARGET_VERSION", ARN),
        ("TARGET_ALIAS", "checkin:live"),
        ("EXPECTED_VERSION", VERSION),
        ("CHECKS", "checkin"),
        ("STACK_NAME", "causeway-app-dev"),
        ("PACKAGE_SHA256", PACKAGE_SHA256),
    ]
}

pub(crate) fn event() -> LifecycleEvent {
    serde_json::from_value(json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "h-1"})).unwrap()
}

/// Time that is never over.
pub(crate) const PLENTY: Duration = seconds(600);

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A function's HTTP answer, as Lambda hands it over.
pub(crate) fn http(status: u16, body: &Value) -> Option<Response> {
    let payload = json!({"statusCode": status, "body": body.to_string(), "isBase64Encoded": false});
    Some(server::json(200, &[("x-amz-executed-version", "7")], &payload))
}

/// The one reason why a run failed.
pub(crate) fn reason(summary: &Summary) -> String {
    assert_eq!(summary.status, "Failed");
    summary.checks.iter().find_map(|finding| finding.reason.clone()).unwrap()
}
