//! The real binaries, started as Lambda starts them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/runtime.rs"]
mod runtime;
#[path = "support/server.rs"]
mod server;

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
    for ((name, binary, _), asked) in FUNCTIONS.into_iter().zip(asked) {
        let mut function = start(binary, &variables, vec![asked]).await;
        let posted = function.answer().await;
        assert_eq!(posted.body["statusCode"], 500);
        assert!(posted.body["body"].as_str().unwrap().contains("request-1"), "{posted:?}");
        let line = function.log().await;
        for (field, value) in [
            ("operation", "Query"),
            ("code", "DispatchFailure"),
            ("function", name),
            ("request_id", "request-1"),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
        assert!(line["version"].is_string() && !line.to_string().contains("jane"), "{line}");
        let line = function.log().await;
        assert!(line["status"] == 500 && !line.to_string().contains("jane"), "{line}");
    }
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
    for binary in [env!("CARGO_BIN_EXE_checkin"), env!("CARGO_BIN_EXE_contacts")] {
        let bytes = std::fs::read(binary).unwrap();
        let mark = b"causeway-broken-on-purpose";
        let carries = bytes.windows(mark.len()).any(|window| window == mark);
        assert_eq!(carries, cfg!(feature = "break-prod"), "{binary}");
    }
}
