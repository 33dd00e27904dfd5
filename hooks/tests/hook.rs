//! The whole hook against a scripted Lambda and a scripted CodeDeploy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../api/tests/support/server.rs"]
mod server;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_lambda::config::Credentials;
use axum::response::Response;
use hooks::check::{CHECKS, Check, GET, Step};
use hooks::clients::{Clients, https_client};
use hooks::hook::{Hook, Summary};
use hooks::report::{LifecycleEvent, ReportError};
use hooks::runner::Outcome;
use hooks::settings::{Phase, Settings};
use serde_json::{Value, json};
use server::Seen;

const ARN: &str = "arn:aws:lambda:eu-central-1:222222222222:function:checkin:7";
const VERSION: &str = "0.1.0+0123456789ab";

/// What a function answers to an event; `None`: never anything.
type Answers = fn(&Value) -> Option<Response>;

/// Services that answer by script, and all that they were asked.
#[derive(Clone)]
struct Script {
    function: Answers,
    reports: Arc<Mutex<VecDeque<Option<Response>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    /// A function that answers events so (`None`: never), and a CodeDeploy that takes every report.
    fn new(function: Answers) -> Self {
        Self { function, reports: Arc::default(), seen: Arc::default() }
    }

    /// CodeDeploy's next answers (`None`: never).
    fn reporting(self, answers: Vec<Option<Response>>) -> Self {
        self.reports.lock().unwrap().extend(answers);
        self
    }

    fn answer(&self, seen: Seen) -> Option<Response> {
        self.seen.lock().unwrap().push(seen.clone());
        if seen.line.ends_with("/invocations") {
            return (self.function)(&seen.body);
        }
        self.reports.lock().unwrap().pop_front().unwrap_or_else(|| Some(server::json(200, &[], &seen.body)))
    }

    async fn hook(&self, phase: Phase, variables: &[(&str, &str)], checks: &'static [Check]) -> Hook {
        let script = self.clone();
        let address = server::start(move |seen| {
            let answer = script.answer(seen);
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        })
        .await;
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("222222222222", "secret", None, None, "test"))
            .endpoint_url(format!("http://{address}"))
            .http_client(https_client());
        let settings = Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        Hook { phase, settings, checks, clients: Clients::new(&config.load().await) }
    }

    /// Runs a hook that has all it needs.
    async fn run(&self, checks: &'static [Check], time_left: Duration) -> Result<Summary, ReportError> {
        self.hook(Phase::PreTraffic, &variables(), checks).await.handle(&event(), time_left).await
    }

    /// What CodeDeploy was told, in order.
    fn told(&self) -> Vec<String> {
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
    fn asked(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let asked = seen.iter().filter(|seen| seen.line.ends_with("/invocations"));
        asked.map(|seen| seen.body["routeKey"].as_str().unwrap().to_owned()).collect()
    }
}

fn variables() -> [(&'static str, &'static str); 3] {
    [("TARGET_VERSION", ARN), ("TARGET_ALIAS", "checkin:live"), ("EXPECTED_VERSION", VERSION)]
}

fn event() -> LifecycleEvent {
    serde_json::from_value(json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "h-1"})).unwrap()
}

/// The time left for an invocation that is to run out of it.
const SHORT: Duration = Duration::from_millis(2_400);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A function's HTTP answer, as Lambda hands it over.
fn http(status: u16, body: &Value) -> Option<Response> {
    let payload = json!({"statusCode": status, "body": body.to_string(), "isBase64Encoded": false});
    Some(server::json(200, &[("x-amz-executed-version", "7")], &payload))
}

/// A good function.
fn good(event: &Value) -> Option<Response> {
    match event["rawPath"].as_str().unwrap() {
        "/api/health" => http(200, &json!({"status": "ok", "version": VERSION})),
        "/api/version" => http(200, &json!({"version": VERSION, "function": "checkin"})),
        _ => http(404, &Value::Null),
    }
}

fn refusal(status: u16, code: &str) -> Option<Response> {
    Some(server::json(status, &[("x-amzn-errortype", code)], &json!({"__type": code, "message": "Jane"})))
}

/// The one reason why a run failed.
fn reason(summary: &Summary) -> String {
    assert_eq!(summary.status, "Failed");
    summary.checks.iter().find_map(|finding| finding.reason.clone()).unwrap()
}

#[tokio::test]
async fn a_good_version_passes_both_hooks() {
    for (phase, path) in [
        (Phase::PreTraffic, "arn%3Aaws%3Alambda%3Aeu-central-1%3A222222222222%3Afunction%3Acheckin%3A7"),
        (Phase::PostTraffic, "checkin%3Alive"),
    ] {
        let script = Script::new(good);
        let hook = script.hook(phase, &variables(), CHECKS).await;
        let summary = hook.handle(&event(), seconds(10)).await.unwrap();
        assert_eq!((summary.status, script.told()), ("Succeeded", vec!["Succeeded".to_owned()]));
        assert_eq!(script.asked(), ["GET /api/health", "GET /api/version"]);
        assert!(
            summary
                .checks
                .iter()
                .all(|finding| finding.outcome == Outcome::Passed && finding.reason.is_none())
        );
        let line = script.seen.lock().unwrap()[0].line.clone();
        assert_eq!(line, format!("POST /2015-03-31/functions/{path}/invocations"));
    }
}

#[tokio::test]
async fn a_hook_that_is_kept_warm_works_again() {
    let script = Script::new(good);
    let hook = script.hook(Phase::PreTraffic, &variables(), CHECKS).await;
    for _ in 0..3 {
        assert_eq!(hook.handle(&event(), seconds(10)).await.map(|summary| summary.status), Ok("Succeeded"));
    }
    assert_eq!(script.told().len(), 3);
}

#[tokio::test]
async fn without_an_expectation_any_version_will_do() {
    let script = Script::new(good);
    let hook =
        script.hook(Phase::PreTraffic, &[("TARGET_VERSION", ARN), ("EXPECTED_VERSION", "")], CHECKS).await;
    assert_eq!(hook.handle(&event(), seconds(10)).await.unwrap().status, "Succeeded");
}

#[tokio::test]
async fn a_bad_version_is_reported_with_its_reason() {
    let failing: [(Answers, &str); 6] = [
        (
            |_| http(200, &json!({"status": "ok", "version": "0.0.9+0"})),
            "expected version 0.1.0+0123456789ab, got 0.0.9+0",
        ),
        (|_| http(500, &json!({})), "expected status 200, got 500"),
        (
            |_| {
                let payload = json!({"errorType": "Runtime.ExitError", "errorMessage": "Jane"});
                Some(server::json(200, &[("x-amz-function-error", "Unhandled")], &payload))
            },
            "the function failed: Unhandled Runtime.ExitError",
        ),
        (
            |_| Some(server::json(200, &[("x-amz-executed-version", "6")], &json!({"statusCode": 200}))),
            "expected an answer of lambda version 7, got one of 6",
        ),
        (
            |_| refusal(403, "AccessDeniedException"),
            "the function could not be invoked: AccessDeniedException",
        ),
        (|_| Some(server::json(200, &[], &Value::Null)), "the function did not answer in HTTP's terms"),
    ];
    for (function, expected) in failing {
        let script = Script::new(function);
        let summary = script.run(CHECKS, seconds(10)).await.unwrap();
        assert_eq!((reason(&summary).as_str(), script.told()), (expected, vec!["Failed".to_owned()]));
        assert_eq!(summary.checks.len(), 2, "one failure does not hide the other");
    }
}

#[tokio::test]
async fn a_hung_function_is_reported_before_the_deadline() {
    let (script, begin) = (Script::new(|_| None), Instant::now());
    let summary = script.run(CHECKS, SHORT).await.unwrap();
    assert_eq!(
        (reason(&summary).as_str(), script.told()),
        ("the hook ran out of time", vec!["Failed".to_owned()])
    );
    assert_eq!(summary.checks[1].outcome, Outcome::NotRun);
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());

    const SLOW: &[Check] =
        &[Check { name: "slow", steps: &[Step { within: Duration::from_millis(100), ..GET }] }];
    let summary = Script::new(|_| None).run(SLOW, seconds(10)).await.unwrap();
    assert_eq!(reason(&summary), "no answer within 100 ms");
}

#[tokio::test]
async fn a_panic_in_a_check_is_reported() {
    const PANICKING: &[Check] = &[
        Check {
            name: "panicking",
            steps: &[Step { path: "/api/version", rule: |_, _| panic!("Jane"), ..GET }],
        },
        CHECKS[1],
    ];
    let script = Script::new(good);
    let summary = script.run(PANICKING, seconds(10)).await.unwrap();
    assert_eq!((reason(&summary).as_str(), script.told()), ("the check panicked", vec!["Failed".to_owned()]));
    assert_eq!(summary.checks[1].outcome, Outcome::Passed, "the other check ran all the same");
}

#[tokio::test]
async fn a_check_that_never_yields_is_reported() {
    fn stuck(_: &Value, _: &hooks::check::Expected) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < SHORT + seconds(1) {
            std::hint::spin_loop();
        }
        Ok(())
    }
    const STUCK: &[Check] =
        &[Check { name: "stuck", steps: &[Step { path: "/api/version", rule: stuck, ..GET }] }];
    let (script, begin) = (Script::new(good), Instant::now());
    let summary = script.run(STUCK, SHORT).await.unwrap();
    assert_eq!(
        (reason(&summary).as_str(), script.told()),
        ("the hook ran out of time", vec!["Failed".to_owned()])
    );
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_template_that_says_too_little_is_reported() {
    for (phase, variables, missing) in [
        (Phase::PreTraffic, &[("TARGET_ALIAS", "checkin:live")][..], "TARGET_VERSION"),
        (Phase::PostTraffic, &[("TARGET_VERSION", ARN)], "TARGET_ALIAS"),
    ] {
        let script = Script::new(good);
        let hook = script.hook(phase, variables, CHECKS).await;
        let summary = hook.handle(&event(), seconds(10)).await.unwrap();
        assert_eq!(reason(&summary), format!("the environment variable {missing} is not set"));
        assert_eq!((script.told(), script.asked().len()), (vec!["Failed".to_owned()], 0));
    }
}

#[tokio::test]
async fn a_hook_without_checks_proves_nothing() {
    let script = Script::new(good);
    assert_eq!(script.run(&[], seconds(10)).await.map(|summary| summary.status), Ok("Failed"));
    assert_eq!(script.told(), ["Failed"]);
}

#[tokio::test]
async fn a_report_is_sent_again_until_it_arrives() {
    let throttled = || refusal(400, "ThrottlingException");
    let script = Script::new(good).reporting(vec![throttled(), refusal(500, "InternalFailure")]);
    let summary = script.run(CHECKS, seconds(10)).await.unwrap();
    assert_eq!((summary.status, script.told().len()), ("Succeeded", 3));
    // An answer that was lost: the second attempt hears that it was told.
    let script =
        Script::new(good).reporting(vec![None, refusal(400, "LifecycleEventAlreadyCompletedException")]);
    assert_eq!(script.run(CHECKS, seconds(10)).await.map(|summary| summary.status), Ok("Succeeded"));
    assert_eq!(script.told(), ["Succeeded", "Succeeded"]);
}

#[tokio::test]
async fn a_report_that_never_arrives_fails_the_invocation() {
    let refusals = std::iter::repeat_with(|| refusal(403, "AccessDeniedException")).take(9).collect();
    let script = Script::new(good).reporting(refusals);
    let error = script.run(CHECKS, seconds(10)).await.unwrap_err();
    let expected = "failed to report Succeeded to CodeDeploy after 5 attempts: AccessDeniedException";
    assert_eq!((error.to_string().as_str(), script.told().len()), (expected, 5));
}

#[tokio::test]
async fn a_report_that_is_never_answered_fails_the_invocation() {
    let silence = std::iter::repeat_with(|| None).take(9).collect();
    let (script, begin) = (Script::new(good).reporting(silence), Instant::now());
    let error = script.run(CHECKS, seconds(3)).await.unwrap_err();
    assert_eq!(error.code, "Timeout");
    assert!(begin.elapsed() < seconds(3), "{:?}", begin.elapsed());
}

/// A location is written, read and removed; it is removed too when it cannot be read.
const ROUND: &[Check] = &[Check {
    name: "write, read, delete",
    steps: &[
        Step {
            method: "POST",
            path: "/api/locations",
            body: Some(r#"{"locationName":"hook"}"#),
            status: 201,
            keep: Some(("id", "/locationId")),
            ..GET
        },
        Step { path: "/api/locations/{id}", ..GET },
        Step { method: "DELETE", path: "/api/locations/{id}", status: 204, cleanup: true, ..GET },
    ],
}];

fn gone() -> Option<Response> {
    Some(server::json(200, &[], &json!({"statusCode": 204})))
}

#[tokio::test]
async fn a_check_can_have_steps_that_build_on_each_other() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "GET /api/locations/a-1" => http(200, &json!({})),
        "DELETE /api/locations/a-1" => gone(),
        _ => http(404, &Value::Null),
    });
    assert_eq!(script.run(ROUND, seconds(10)).await.map(|summary| summary.status), Ok("Succeeded"));
    assert_eq!(
        script.asked(),
        ["POST /api/locations", "GET /api/locations/a-1", "DELETE /api/locations/a-1"]
    );
}

#[tokio::test]
async fn what_a_failed_check_left_is_cleaned_up() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "DELETE /api/locations/a-1" => gone(),
        _ => http(500, &Value::Null),
    });
    let summary = script.run(ROUND, seconds(10)).await.unwrap();
    assert_eq!(reason(&summary), "step 2: expected status 200, got 500");
    assert_eq!(script.asked().last().map(String::as_str), Some("DELETE /api/locations/a-1"));

    let script = Script::new(|_| http(201, &json!({"locationId": "../x"})));
    let summary = script.run(ROUND, seconds(10)).await.unwrap();
    assert_eq!(reason(&summary), "step 2: an earlier step gave no id to go on with");
    assert_eq!(script.asked().len(), 1);
}
