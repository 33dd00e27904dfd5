//! The real binaries, started as Lambda starts them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "support/document.rs"]
mod document;
#[path = "runtime/events.rs"]
mod events;
#[path = "support/runtime.rs"]
mod runtime;
#[path = "support/server.rs"]
mod server;
#[path = "runtime/upstream.rs"]
mod upstream;
#[path = "support/yaml.rs"]
mod yaml;

use std::time::Duration;

use runtime::Function;
use serde_json::{Value, json};

/// Each function's binary, its name, and its routes' own beginning.
const FUNCTIONS: [(&str, &str, &str); 2] = [
    ("checkin", env!("CARGO_BIN_EXE_checkin"), "/api"),
    ("contacts", env!("CARGO_BIN_EXE_contacts"), "/api/contacts"),
];

fn event(method: &str, path: &str, query: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
        "headers": {"host": "127.0.0.1"}, "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "http": {"method": method, "path": path}}
    })
}

async fn start(binary: &str, variables: &[(&str, &str)], events: Vec<Value>) -> Function {
    Function::start(binary, variables, events, Duration::from_secs(10)).await
}

#[tokio::test]
async fn each_answers_and_logs_one_line() {
    for (name, binary, base) in FUNCTIONS {
        answers_and_logs_one_line(name, binary, &format!("{base}/version")).await;
    }
}

async fn answers_and_logs_one_line(name: &str, binary: &str, path: &str) {
    let hostile = event("GET", path, "name=<\"Jane\">&x=%zz");
    let variables = [("TABLE_NAME", "table"), ("CAUSEWAY_ENV", "dev")];
    let mut function = start(binary, &variables, vec![event("GET", path, ""), hostile, json!({})]).await;
    for (status, route) in [(200, path), (200, path), (404, "none")] {
        let posted = function.answer().await;
        assert_eq!(posted.line, "POST /2018-06-01/runtime/invocation/request-1/response");
        assert_eq!(posted.body["statusCode"], status);
        assert_eq!(posted.body["headers"]["x-causeway-lambda-version"], "7");
        let version = posted.body["headers"]["x-causeway-version"].as_str().unwrap();
        assert!(version.starts_with(concat!(env!("CARGO_PKG_VERSION"), "+")), "{version}");
        if status == 200 {
            let body: Value = serde_json::from_str(posted.body["body"].as_str().unwrap()).unwrap();
            assert_eq!(body, json!({"version": version, "function": name}));
        }
        let line = function.log().await;
        for (field, value) in [
            ("level", json!("INFO")),
            ("request_id", json!("request-1")),
            ("function", json!(name)),
            ("version", json!(version)),
            ("env", json!("dev")),
            ("route", json!(route)),
            ("status", json!(status)),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
        assert!(line["ms"].is_number() && !line.to_string().contains("Jane"), "{line}");
    }
    assert_eq!(function.finish().await, None, "it was still there for more");
}

#[tokio::test]
async fn a_store_out_of_reach_is_a_500_and_its_log_names_the_code() {
    // Bound and not listened to: it is ours, and refuses.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let variables = [("TABLE_NAME", "table"), ("AWS_ENDPOINT_URL", endpoint.as_str())];
    let asked = [
        event("GET", "/api/registrations", "dt=2024-02-29"),
        event("GET", "/api/contacts", "dt=2024-02-29&email=jane@example.com"),
    ];
    let [checkin, contacts] = FUNCTIONS;
    let [one, other] = asked;
    // Both wait before they try again, so they do it at once.
    tokio::join!(fails(checkin, &variables, one), fails(contacts, &variables, other));
}

async fn fails((name, binary, _): (&str, &str, &str), variables: &[(&str, &str)], asked: Value) {
    let mut function = start(binary, variables, vec![asked]).await;
    let posted = function.answer().await;
    assert_eq!(posted.body["statusCode"], 500);
    assert!(posted.body["body"].as_str().unwrap().contains("request-1"), "{posted:?}");
    let line = function.log().await;
    for (field, value) in
        [("operation", "Query"), ("code", "DispatchFailure"), ("function", name), ("request_id", "request-1")]
    {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["version"].is_string() && !line.to_string().contains("jane"), "{line}");
    let line = function.log().await;
    assert!(line["status"] == 500 && !line.to_string().contains("jane"), "{line}");
}

#[tokio::test]
async fn without_a_table_none_starts() {
    for (name, binary, _) in FUNCTIONS {
        let mut function = start(binary, &[], vec![event("GET", "/api/version", "")]).await;
        let line = function.log().await;
        assert_eq!((&line["level"], &line["function"]), (&json!("ERROR"), &json!(name)), "{line}");
        assert_eq!(line["error"], "the environment variable TABLE_NAME is not set");
        assert_eq!(function.log().await, "", "it has ended");
        assert_eq!(function.finish().await, Some(1));
    }
}

#[test]
fn a_binary_carries_the_mark_of_one_that_is_broken_on_purpose_only_where_it_is_one() {
    let broken = env!("CARGO_BIN_EXE_checkin-broken");
    for binary in [env!("CARGO_BIN_EXE_checkin"), env!("CARGO_BIN_EXE_contacts"), broken] {
        // As text: the standard library's search is optimized in every profile, and the binary is large.
        let carries =
            String::from_utf8_lossy(&std::fs::read(binary).unwrap()).contains("causeway-broken-on-purpose");
        assert_eq!(carries, binary == broken, "{binary}");
    }
}

#[tokio::test]
async fn a_panic_is_a_signed_500_and_the_process_lives() {
    let binary = env!("CARGO_BIN_EXE_checkin-broken");
    let variables = [("TABLE_NAME", "table"), ("CAUSEWAY_ENV", "prod"), ("CAUSEWAY_BREAK_PROD", "errors")];
    let mut hook = event("GET", "/api/version", "");
    hook["headers"]["user-agent"] = json!("causeway-hook");
    let asked = vec![event("GET", "/api/locations", ""), hook, event("GET", "/api/nothing", "")];
    let mut function = start(binary, &variables, asked).await;
    let failed = function.answer().await;
    assert_eq!(failed.line, "POST /2018-06-01/runtime/invocation/request-1/response");
    assert_eq!(failed.body["statusCode"], 500);
    assert_eq!(failed.body["headers"]["content-type"], "application/problem+json");
    assert!(failed.body["headers"]["x-causeway-version"].is_string(), "{failed:?}");
    let problem: Value = serde_json::from_str(failed.body["body"].as_str().unwrap()).unwrap();
    assert_eq!((&problem["status"], &problem["requestId"]), (&json!(500), &json!("request-1")));
    assert_eq!(function.answer().await.body["statusCode"], 200, "the hooks' checks pass");
    assert_eq!(function.answer().await.body["statusCode"], 404);
    let (said, panic) = (function.log().await, function.log().await);
    assert!(said["mark"].is_string(), "{said}");
    assert_eq!(
        (&panic["message"], &panic["span"]["requestId"]),
        (&json!("a panic"), &json!("request-1")),
        "{panic}"
    );
    assert_eq!(function.log().await["status"], 500);
}

#[tokio::test]
async fn a_client_that_cannot_be_made_ends_the_process_and_routes_without_a_table_do_not_need_it() {
    // No certificate in force: the SDK's client panics while it is made.
    let variables = [("TABLE_NAME", "table"), ("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    for ((name, binary, base), path) in FUNCTIONS.into_iter().zip(["/api/locations", "/api/contacts"]) {
        let (version, health) = (format!("{base}/version"), format!("{base}/health"));
        let query = if name == "contacts" { "dt=2024-02-29&email=a@b" } else { "" };
        let events = vec![event("GET", &version, ""), event("GET", &health, ""), event("GET", path, query)];
        let mut function = start(binary, &variables, events).await;
        for _ in [version, health] {
            assert_eq!(function.answer().await.body["statusCode"], 200);
        }
        while function.log().await != "" {}
        assert_eq!(function.finish().await, Some(1), "{name}");
    }
}

#[tokio::test]
async fn every_line_of_a_request_carries_lambdas_id_and_x_rays() {
    let variables = [("TABLE_NAME", "table"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    for (name, binary, base) in FUNCTIONS {
        let mut function =
            start(binary, &variables, vec![event("GET", &format!("{base}/version"), "")]).await;
        function.answer().await;
        let line = function.log().await;
        let ids = (&line["span"]["requestId"], &line["span"]["xrayTraceId"]);
        let trace = json!("Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1");
        assert_eq!(ids, (&json!("request-1"), &trace), "{name}: {line}");
    }
}

/// "Advanced logging controls": the level and the form that Lambda tells a function.
#[tokio::test]
async fn lambdas_level_and_form_of_the_log_are_followed() {
    // A refusal, which is not tried again.
    let table = server::start(|_| async { server::Response::text(400, "{}") }).await;
    let endpoint = format!("http://{table}");
    for (level, lines) in [
        ("INFO", &["the store failed", "request"][..]),
        ("DEBUG", &["the store failed", "request"]),
        ("WARN", &["the store failed"]),
        ("ERROR", &["the store failed"]),
        ("", &["the store failed", "request"]),
    ] {
        let variables = [
            ("TABLE_NAME", "table"),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_LAMBDA_LOG_LEVEL", level),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ];
        let events = vec![event("GET", "/api/locations", ""), event("GET", "/api/locations", "")];
        let mut function = start(FUNCTIONS[0].1, &variables, events).await;
        for _ in 0..2 {
            assert_eq!(function.answer().await.body["statusCode"], 500);
            // The next request's first line shows that there is no other of this one.
            for expected in lines {
                let line = function.log().await;
                assert_eq!(line["message"], *expected, "{level:?}: {line}");
            }
        }
    }
    let variables = [("TABLE_NAME", "table"), ("AWS_LAMBDA_LOG_FORMAT", "Text")];
    let mut function = start(FUNCTIONS[0].1, &variables, vec![event("GET", "/api/version", "")]).await;
    function.answer().await;
    let line = function.log().await;
    let line = line.as_str().unwrap();
    for part in ["INFO", "request-1", "route=\"/api/version\"", "status=200"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn without_credentials_or_a_region_none_starts() {
    for (name, binary, _) in FUNCTIONS {
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
            let mut function = start(binary, &[("TABLE_NAME", "table"), (variable, "")], vec![]).await;
            let error = function.log().await["error"].clone();
            assert_eq!(error, format!("the environment variable {variable} is not set"), "{name}");
            assert_eq!(function.log().await, "", "it has ended");
            assert_eq!(function.finish().await, Some(1));
        }
    }
}
