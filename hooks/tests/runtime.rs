//! The real binaries, started as Lambda starts them, with a Lambda and a CodeDeploy of the test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../api/tests/support/runtime.rs"]
mod runtime;
#[path = "../../api/tests/support/server.rs"]
mod server;
#[path = "support/stack.rs"]
mod stack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hooks::suites::MARK;
use runtime::Function;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const VERSION: &str = "0.1.0+0123456789ab";
/// The digest of the packaged code, as Lambda says it and as the build does.
const CODE_SHA256: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const PACKAGE_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const PRE: &str = "pre-traffic";
const POST: &str = "post-traffic";

/// The folder with the hooks as they are packaged, and with the example that panics, packaged the same way.
fn packaged() -> Option<PathBuf> {
    std::env::var_os("CAUSEWAY_TEST_HOOKS").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// A hook of this build. Not read while it is compiled: a package's build leads rustc through a shell, and a shell knows no
/// variable with a hyphen.
fn built() -> PathBuf {
    // Cargo names it to its tests while they run, too.
    PathBuf::from(std::env::var_os("CARGO_BIN_EXE_pre-traffic").unwrap())
}

/// A hook as this build made it; or as it was packaged, where `CAUSEWAY_TEST_HOOKS` names a folder with them.
fn hook(name: &str) -> PathBuf {
    match packaged() {
        Some(dir) => dir.join(name),
        None => built().with_file_name(name),
    }
}

/// What the function under test does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behavior {
    /// It works.
    Good,
    /// It never answers.
    Hangs,
    /// It works, and is of another version.
    WrongVersion,
    /// It stores what it is told to, and then says that it failed.
    WritesAndFails,
}

/// The services around a hook: a check-in function with a memory, and a CodeDeploy that takes reports.
struct Services {
    endpoint: String,
    reports: UnboundedReceiver<Value>,
    places: Arc<Mutex<BTreeMap<String, String>>>,
}

async fn services(behavior: Behavior, report_status: u16) -> Services {
    let (sender, reports) = unbounded_channel();
    let places = Arc::new(Mutex::new(BTreeMap::from([("desk".to_owned(), "Desk 14".to_owned())])));
    let memory = places.clone();
    let known = Arc::new(OnceLock::new());
    let own = known.clone();
    let address = server::start(move |seen| {
        let (sender, places, own) = (sender.clone(), memory.clone(), own.clone());
        async move {
            if seen.line == "POST /" {
                assert_eq!(seen.body, "Action=DescribeStacks&Version=2010-05-15&StackName=causeway-app-dev");
                return stack::with_api(&format!("http://{}/", own.get().unwrap()));
            }
            if seen.line.ends_with("/configuration") {
                return server::json(200, &[], &json!({"CodeSha256": CODE_SHA256}));
            }
            if behavior != Behavior::Hangs
                && let Some(path) = seen.line.strip_prefix("GET ")
            {
                let event = json!({"rawPath": path, "requestContext": {"http": {"method": "GET"}}});
                let (status, body) = function(&event, behavior, &places);
                return server::json(status, &[], &body);
            }
            if !seen.line.ends_with("/invocations") && !seen.line.starts_with("GET ") {
                sender.send(seen.body).unwrap();
                return server::json(report_status, &[], &json!({"__type": "InvalidDeploymentIdException"}));
            }
            if behavior == Behavior::Hangs {
                std::future::pending::<()>().await;
            }
            let (status, body) = function(&seen.body, behavior, &places);
            server::json(200, &[], &json!({"statusCode": status, "body": body.to_string()}))
        }
    })
    .await;
    known.set(address).unwrap();
    Services { endpoint: format!("http://{address}"), reports, places }
}

/// The check-in function and the contacts function in one, as far as the hooks ask.
fn function(event: &Value, behavior: Behavior, places: &Mutex<BTreeMap<String, String>>) -> (u16, Value) {
    let version = if behavior == Behavior::WrongVersion { "0.0.9+ba9876543210" } else { VERSION };
    let problem =
        |status: u16| (status, json!({"type": "about:blank", "errors": [{"field": "x", "reason": "y"}]}));
    let mut places = places.lock().unwrap();
    let path = event["rawPath"].as_str().unwrap();
    let place = |id: &str, name: &String| json!({"locationId": id, "locationName": name});
    match (event["requestContext"]["http"]["method"].as_str().unwrap(), path) {
        ("GET", "/api/health" | "/api/contacts/health") => (200, json!({"status": "ok", "version": version})),
        ("GET", "/api/version") => (200, json!({"version": version, "function": "checkin"})),
        ("GET", "/api/contacts/version") => (200, json!({"version": version, "function": "contacts"})),
        ("GET", "/api/locations") => (200, places.iter().map(|(id, name)| place(id, name)).collect()),
        ("POST", "/api/locations") => {
            let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
            let name = body["locationName"].as_str().unwrap().to_owned();
            if name.is_empty() {
                return problem(422);
            }
            places.insert("new-1".to_owned(), name.clone());
            (if behavior == Behavior::WritesAndFails { 500 } else { 201 }, place("new-1", &name))
        }
        ("GET", "/api/contacts")
            if event["rawQueryString"] == "dt=2000-01-01&email=hook@causeway.invalid" =>
        {
            (200, json!([]))
        }
        ("GET", "/api/registrations" | "/api/contacts") => problem(400),
        (method, path) => {
            let id = path.strip_prefix("/api/locations/").unwrap();
            match (method, places.get(id).cloned()) {
                (_, None) => (404, Value::Null),
                ("GET", Some(name)) => (200, place(id, &name)),
                _ => (204, places.remove(id).map(|_| Value::Null).unwrap()),
            }
        }
    }
}

async fn start(binary: &Path, function: &str, services: &Services, time_left: Duration) -> Function {
    start_with(binary, function, services, time_left, &[]).await
}

/// The same, with variables of the test's own as well.
async fn start_with(
    binary: &Path,
    function: &str,
    services: &Services,
    time_left: Duration,
    own: &[(&str, &str)],
) -> Function {
    let target = format!("arn:aws:lambda:eu-central-1:222222222222:function:{function}:7");
    let alias = format!("{function}:live");
    let variables = [
        ("AWS_ENDPOINT_URL", services.endpoint.as_str()),
        ("TARGET_VERSION", &target),
        ("TARGET_ALIAS", &alias),
        ("CHECKS", function),
        ("EXPECTED_VERSION", VERSION),
        ("CAUSEWAY_ENV", "dev"),
        ("STACK_NAME", "causeway-app-dev"),
        ("PACKAGE_SHA256", PACKAGE_SHA256),
    ];
    let variables = [&variables, own].concat();
    let event = json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "h-1"});
    Function::start(binary.to_str().unwrap(), &variables, vec![event], time_left).await
}

/// Runs a hook to its answer; the answer, and what CodeDeploy was told.
async fn run(binary: &Path, function: &str, services: &mut Services, time_left: Duration) -> (Value, Value) {
    let mut running = start(binary, function, services, time_left).await;
    let answer = running.answer().await;
    assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/response");
    let report = services.reports.recv().await.unwrap();
    assert!(services.reports.try_recv().is_err(), "one report is enough");
    assert_eq!(report["deploymentId"], "d-1");
    assert_eq!(report["status"], answer.body["status"]);
    assert_eq!(running.finish().await, None, "it was still there for more");
    (answer.body, report["status"].clone())
}

/// Name, outcome and reason of every check that asks the function; the code itself is right in these tests.
fn told(answer: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = answer["checks"].as_array().unwrap().iter();
    let checks = checks.filter(|check| check["name"] != "code" || check["outcome"] != "passed");
    checks.map(|check| (text(&check["name"]), text(&check["outcome"]), text(&check["reason"]))).collect()
}

const ALL: [&str; 8] = [
    "code",
    "health",
    "version",
    "read",
    "bad input is refused",
    "write, read, delete",
    "health through the API",
    "version through the API",
];
const TIME: Duration = Duration::from_secs(30);
/// X-Ray's id, as the test's Lambda gives it.
const TRACE: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1";

/// "Advanced logging controls": the level and the form that Lambda tells a function.
#[tokio::test]
async fn lambdas_level_and_form_of_the_log_are_followed() {
    // A report that is refused is a warning, a check that panics an error. Each is tried again for seconds, so all run at once.
    tokio::join!(
        logs(hook(PRE), "INFO", "JSON", "started"),
        logs(hook(PRE), "", "", "started"),
        logs(hook(PRE), "WARN", "JSON", "the report did not arrive"),
        logs(panicking(), "ERROR", "JSON", "a panic"),
        logs(hook(PRE), "INFO", "Text", "INFO hooks::serve: started phase=\"pre-traffic\""),
    );
}

async fn logs(binary: PathBuf, level: &str, form: &str, first: &str) {
    let services = services(Behavior::Good, 400).await;
    let variables = [("AWS_LAMBDA_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", form)];
    let mut running = start_with(&binary, "checkin", &services, TIME, &variables).await;
    assert!(running.answer().await.line.ends_with("/error"));
    let line = running.log().await;
    if let Some(text) = line.as_str() {
        assert!(text.trim_start().starts_with(first), "{level:?} {form:?}: {text}");
        return;
    }
    assert_eq!(line["message"], first, "{level:?} {form:?}: {line}");
    if first != "started" {
        // Also of a check, which runs on a thread of its own.
        assert_eq!(line["span"]["requestId"], "request-1", "{line}");
    }
}

#[tokio::test]
async fn without_credentials_or_a_region_none_starts() {
    let services = services(Behavior::Good, 200).await;
    for binary in [PRE, POST] {
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
            let mut running = start_with(&hook(binary), "checkin", &services, TIME, &[(variable, "")]).await;
            let line = running.log().await;
            assert_eq!(line["error"], format!("the environment variable {variable} is not set"), "{line}");
            assert_eq!(running.log().await, "", "it has ended");
            assert_eq!(running.finish().await, Some(1));
        }
    }
}

#[tokio::test]
async fn both_hooks_of_both_functions_report_success_and_name_their_checks() {
    let without_writing = [&ALL[1..5], &ALL[6..]].concat();
    for (phase, binary, function, checks) in [
        ("pre-traffic", PRE, "checkin", &ALL[..5]),
        ("post-traffic", POST, "checkin", &ALL[1..]),
        ("pre-traffic", PRE, "contacts", &ALL[..5]),
        ("post-traffic", POST, "contacts", &without_writing),
    ] {
        let mut services = services(Behavior::Good, 200).await;
        let mut running = start(&hook(binary), function, &services, TIME).await;
        let answer = running.answer().await;
        assert_eq!(answer.body["status"], "Succeeded", "{answer:?}");
        assert_eq!(services.reports.recv().await.unwrap()["status"], "Succeeded");
        assert_eq!(running.log().await["phase"], phase);
        for check in checks {
            let line = running.log().await;
            for (field, value) in [
                ("deployment_id", "d-1"),
                ("phase", phase),
                ("env", "dev"),
                ("function", function),
                ("check", *check),
                ("outcome", "passed"),
            ] {
                assert_eq!(line[field], value, "{line}");
            }
            assert!(line["ms"].is_u64() && !line.to_string().contains("arn:"), "{line}");
            let ids = (&line["span"]["requestId"], &line["span"]["xrayTraceId"]);
            assert_eq!(ids, (&json!("request-1"), &json!(TRACE)), "{line}");
        }
        assert_eq!(running.log().await["status"], "Succeeded");
        assert_eq!(running.finish().await, None, "it was still there for more");
        assert_eq!(
            services.places.lock().unwrap().len(),
            1,
            "what was written is gone, what was there is not"
        );
    }
}

/// How long Lambda gives a hook whose function hangs: with the first there is next to nothing to wait for, and a machine that
/// is too slow for it gets the second. The limits of the checks alone would end such a hook after some 14 seconds.
const HUNG: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(9)];

/// That a check was cut off before its own limit shows that the deadline counted which Lambda gave, whatever the machine's clock
/// says by then.
#[tokio::test]
async fn a_hung_function_is_reported_as_failed_before_the_deadline() {
    tokio::join!(hangs(PRE), hangs(POST));
}

async fn hangs(binary: &str) {
    for (time_left, last) in HUNG.into_iter().zip([false, true]) {
        let mut services = services(Behavior::Hangs, 200).await;
        let mut running = start(&hook(binary), "checkin", &services, time_left).await;
        let answer = running.answer().await;
        if !answer.line.ends_with("/response") && !last {
            // The report did not arrive in what was left to it.
            continue;
        }
        assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/response", "{answer:?}");
        assert_eq!(services.reports.recv().await.unwrap()["status"], "Failed");
        assert_eq!(answer.body["status"], "Failed");
        let told = told(&answer.body);
        let (name, outcome, reason) = &told[0];
        assert_eq!((name.as_str(), outcome.as_str()), ("health", "failed"));
        assert!(
            ["the hook ran out of time", "no answer within 5000 ms"].contains(&reason.as_str()),
            "{reason}"
        );
        let (_, outcome, reason) = told.last().unwrap();
        assert_eq!((outcome.as_str(), reason.as_str()), ("not-run", "the hook ran out of time"), "{told:?}");
        return;
    }
}

#[tokio::test]
async fn a_deadline_that_is_over_leaves_nothing_to_try() {
    let mut services = services(Behavior::Hangs, 200).await;
    let mut running = start(&hook(PRE), "checkin", &services, Duration::ZERO).await;
    let answer = running.answer().await;
    assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/error");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert_eq!(message, "failed to report Failed to CodeDeploy after 0 attempts: NoTimeLeft");
    assert!(services.reports.try_recv().is_err(), "nobody was told");
}

#[tokio::test]
async fn a_wrong_version_is_reported_as_failed_although_it_answers_200() {
    for (binary, function) in [(PRE, "checkin"), (POST, "checkin"), (PRE, "contacts"), (POST, "contacts")] {
        let mut services = services(Behavior::WrongVersion, 200).await;
        let (answer, status) = run(&hook(binary), function, &mut services, TIME).await;
        assert_eq!(status, "Failed", "{function}");
        let reason = "expected version 0.1.0+0123456789ab, got 0.0.9+ba9876543210";
        let told = told(&answer);
        for (at, name) in ["health", "version"].into_iter().enumerate() {
            assert_eq!(told[at], (name.to_owned(), "failed".to_owned(), reason.to_owned()));
        }
        // The API leads to that version, too.
        for (_, outcome, seen) in &told[2..] {
            assert!(outcome == "passed" || seen.ends_with(&format!("status 200, but {reason}")), "{told:?}");
        }
        let through_api = told.iter().filter(|(name, _, _)| name.ends_with("through the API"));
        assert_eq!(through_api.count(), if binary == POST { 2 } else { 0 });
    }
}

#[tokio::test]
async fn what_a_failing_function_wrote_all_the_same_is_removed() {
    let mut services = services(Behavior::WritesAndFails, 200).await;
    let (answer, status) = run(&hook(POST), "checkin", &mut services, TIME).await;
    assert_eq!(status, "Failed");
    assert_eq!(told(&answer)[4].2, "step 1: expected status 201, got 500");
    assert!(!services.places.lock().unwrap().values().any(|name| name == MARK));
}

/// The example that panics. `cargo test` builds examples, unless it is told to build one target only.
fn panicking() -> PathBuf {
    let path = match packaged() {
        Some(dir) => dir.join("panicking"),
        None => built().with_file_name("examples").join("panicking"),
    };
    assert!(path.is_file(), "{} is missing: run cargo test -p hooks without --test", path.display());
    path
}

#[tokio::test]
async fn a_panic_in_a_check_is_reported_as_failed_and_cleaned_up_after() {
    let mut services = services(Behavior::Good, 200).await;
    let (answer, status) = run(&panicking(), "checkin", &mut services, TIME).await;
    assert_eq!(status, "Failed");
    let failed = |name: &str, reason: &str| (name.to_owned(), "failed".to_owned(), reason.to_owned());
    assert_eq!(
        told(&answer),
        [
            failed("panics on purpose", "the check panicked"),
            failed("write, read, delete", "step 2: the check panicked")
        ]
    );
    assert_eq!(services.places.lock().unwrap().len(), 1, "what was written before the panic is gone");
}

#[test]
fn no_released_hook_can_panic_on_purpose() {
    let holds = |path: &Path| {
        // As text: the standard library's search is optimized in every profile, and the binary is large.
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("panics on purpose")
    };
    assert!(holds(&panicking()), "the search means something");
    assert!(!holds(&hook(PRE)) && !holds(&hook(POST)));
    // There is nothing to switch: the one feature is about what the hooks depend on.
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (_, features) = manifest.split_once("[features]\n").unwrap();
    let own: Vec<&str> = features.lines().take_while(|row| !row.is_empty()).collect();
    assert_eq!(own, ["rehearsal = [\"tokio/test-util\"]"]);
}

#[tokio::test]
async fn an_undelivered_report_fails_the_invocation() {
    let mut services = services(Behavior::Good, 400).await;
    let mut running = start(&hook(PRE), "checkin", &services, TIME).await;
    let answer = running.answer().await;
    assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/error");
    assert_eq!(answer.body["errorType"], "ReportError");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.contains("InvalidDeploymentIdException"), "{message}");
    assert!(services.reports.recv().await.is_some());
}
