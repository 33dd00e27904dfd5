//! What a client can put into an event, through the real binary: no invocation fails, and none reaches an operation that a
//! reading of its raw path does not give.

use std::time::Duration;

use serde_json::{Value, json};

use super::document::{self, Operation};
use super::runtime::Function;
use super::server;

const BINARY: &str = env!("CARGO_BIN_EXE_checkin");
const ID: &str = "00000000-0000-4000-8000-000000000000";

fn event(method: &str, path: &str, query: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
        "headers": {"host": "127.0.0.1", "content-type": "application/json"}, "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "http": {"method": method, "path": path}}
    })
}

/// The same with another value at a pointer.
fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[key] = value;
    event
}

/// A table that answers nothing: a request that reaches it is a 500.
async fn start(events: Vec<String>) -> Function {
    let deaf = server::start(|_| async { server::Response::text(400, "{}") }).await;
    let endpoint = format!("http://{deaf}");
    let variables = [("TABLE_NAME", "table"), ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str())];
    Function::start_with(BINARY, &variables, events, Duration::from_secs(10)).await
}

/// The next answer, which must be one, and the log's line about it.
async fn answered(function: &mut Function, event: &str) -> (u64, Value, Value) {
    let posted = function.answer().await;
    assert_eq!(posted.line, "POST /2018-06-01/runtime/invocation/request-1/response", "{event}: {posted:?}");
    let headers = posted.body["headers"].clone();
    for name in ["x-causeway-version", "x-causeway-lambda-version", "cache-control"] {
        assert!(headers[name].is_string(), "{name} {event}: {posted:?}");
    }
    loop {
        let line = function.log().await;
        if line["message"] == "request" {
            return (posted.body["statusCode"].as_u64().unwrap(), line, posted.body);
        }
    }
}

#[tokio::test]
async fn what_a_client_can_send_is_answered() {
    let get = |path: &str, query: &str| event("GET", path, query);
    let version = || get("/api/version", "");
    let post = |body: Value| with(event("POST", "/api/locations", ""), "/body", body);
    let base64 = |body: Value| with(post(body), "/isBase64Encoded", json!(true));
    let header = |name: &str, value: &str| with(version(), &format!("/headers/{name}"), json!(value));
    let context = |key: &str, value: Value| with(version(), &format!("/requestContext/{key}"), value);
    let long = "x".repeat(16 * 1024 + 1);
    let mut table: Vec<(String, u64, &str)> = Vec::new();
    for (event, status, route) in [
        // What lambda_http panics on.
        (get("/api/version", "a=<"), 200, "/api/version"),
        (get("/api/version", "a=b c"), 200, "/api/version"),
        (get("/api/version", "a=\"{}|\\^`"), 200, "/api/version"),
        (get("/api/locations", "a=<"), 400, "/api/locations"),
        (base64(json!("!!!")), 400, "/api/locations"),
        (header("host", "a b"), 200, "/api/version"),
        (header("x-forwarded-proto", "1 2"), 200, "/api/version"),
        (get("api/version", ""), 404, "none"),
        (get("", ""), 404, "none"),
        (get("*", ""), 404, "none"),
        // What fails its invocation.
        (header("x-a", "\u{1}\n"), 200, "/api/version"),
        (header("x y\u{e9}", "1"), 200, "/api/version"),
        (context("timeEpoch", json!("text")), 200, "/api/version"),
        (context("http", json!([])), 405, "/api/version"),
        (with(version(), "/requestContext/http/method", json!("G ET")), 405, "/api/version"),
        (with(version(), "/headers", json!("none")), 200, "/api/version"),
        // What arrives there as another path.
        (get("/api/locations/../registrations", "dt=2024-02-29"), 404, "none"),
        (get("/api/locations/%2e%2e/registrations", "dt=2024-02-29"), 404, "none"),
        (get("/api\\registrations", "dt=2024-02-29"), 404, "none"),
        (get("/api/re\tgistrations", "dt=2024-02-29"), 404, "none"),
        (get("/api/registrations#x", "dt=2024-02-29"), 404, "none"),
        (get("/api/registrations?dt=2024-02-29", ""), 404, "none"),
        (get("/api/registrations", "dt=2024-02-29#x"), 400, "/api/registrations"),
        (get("/api/registrations", "dt=\u{e9}"), 400, "/api/registrations"),
        // A path is matched as it came.
        (get("/api/%76ersion", ""), 404, "none"),
        (get("/api/version/", ""), 404, "none"),
        (get("//api/version", ""), 404, "none"),
        (get("/API/version", ""), 404, "none"),
        (get("/api/locations/a%2Fb", ""), 400, "/api/locations/{id}"),
        (get("/api/locations/a b", ""), 400, "/api/locations/{id}"),
        (get("/api/locations/%ff", ""), 400, "/api/locations/{id}"),
        (get("/api/locations/", ""), 404, "none"),
        (with(version(), "/routeKey", json!("$default")), 404, "/api/version"),
        // Limits and parameters.
        (post(json!(long)), 413, "/api/locations"),
        (base64(json!("A".repeat(1 << 20))), 413, "/api/locations"),
        (base64(json!("!".repeat(1 << 20))), 413, "/api/locations"),
        (post(json!({"an": "object"})), 400, "/api/locations"),
        (get("/api/locations", "limit=1&limit=1"), 400, "/api/locations"),
        (get("/api/locations", "offset=1"), 400, "/api/locations"),
        (event("HEAD", "/api/version", ""), 405, "/api/version"),
        (event("PUT", "/api/locations", ""), 405, "/api/locations"),
        // What is no event at all.
        (Value::Null, 404, "none"),
        (json!([]), 404, "none"),
        (json!(["GET", "/api/version"]), 404, "none"),
        (json!("text"), 404, "none"),
    ] {
        table.push((event.to_string(), status, route));
    }
    // JSON that has no value in Rust: a number, half a character, a depth.
    let version = version().to_string();
    for more in
        [r#""x":1e999,"#, r#""x":"\ud800","#, &format!(r#""x":{}1{},"#, "[".repeat(500), "]".repeat(500))]
    {
        table.push((version.replacen('{', &format!("{{{more}"), 1), 200, "/api/version"));
    }
    let mut function = start(table.iter().map(|row| row.0.clone()).collect()).await;
    for (event, status, route) in table {
        let shown = event.get(..300).unwrap_or(&event);
        let (answered, line, answer) = answered(&mut function, &event).await;
        assert_eq!((answered, line["route"].as_str()), (status, Some(route)), "{shown}");
        if answered == 405 {
            let allowed = if route == "/api/locations" { "GET, POST" } else { "GET" };
            assert_eq!(answer["headers"]["allow"], allowed, "{shown}");
        }
    }
}

#[tokio::test]
async fn neither_path_nor_query_nor_name_is_logged() {
    let jane = r#"{"locationName":"Jane Doe"}"#;
    let asked = [
        event("GET", "/api/locations/jane@example.com", "").to_string(),
        event("GET", "/jane@example.com", "").to_string(),
        event("GET", "/api/locations", "jane=jane@example.com").to_string(),
        with(event("POST", "/api/locations", ""), "/body", json!(jane)).to_string(),
        event("JANE", "/api/locations", "").to_string(),
    ];
    let mut function = start(asked.to_vec()).await;
    for asked in &asked {
        function.answer().await;
        loop {
            let line = function.log().await;
            assert!(!line.to_string().to_lowercase().contains("jane"), "{asked}: {line}");
            if line["message"] == "request" {
                break;
            }
        }
    }
}

/// What a reading of the raw path gives: the contract's path, segment by segment, none of them decoded.
fn read<'a>(operations: &'a [Operation], stage: &str, path: &str) -> &'a str {
    let staged =
        path.strip_prefix(&format!("/{stage}")).filter(|rest| !stage.is_empty() && rest.starts_with('/'));
    let sent: Vec<&str> = staged.unwrap_or(path).split('/').collect();
    let fits = |operation: &&Operation| {
        let wanted: Vec<&str> = operation.path.split('/').collect();
        let same = |(wanted, sent): (&&str, &&str)| {
            if wanted.starts_with('{') { !sent.is_empty() } else { wanted == sent }
        };
        wanted.len() == sent.len() && wanted.iter().zip(&sent).all(same)
    };
    operations.iter().find(fits).map_or("none", |operation| operation.path.as_str())
}

#[tokio::test]
async fn a_thousand_mutated_events_fail_no_invocation_and_reach_no_other_operation() {
    mutated(1_000, 14).await;
}

/// They take half of the time of all tests of the functions, and somebody waits for a rehearsal.
#[tokio::test]
#[ignore = "it takes ten seconds: check runs it"]
async fn ten_thousand_mutated_events_fail_no_invocation_and_reach_no_other_operation() {
    mutated(10_000, 13).await;
}

async fn mutated(count: usize, seed: u64) {
    let operations = document::operations(&document::document());
    let operations: Vec<Operation> = operations.into_iter().filter(|it| it.function == "checkin").collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let noise = [
        "/", "//", "..", "/../", "%2e%2e", "%2F", "%", "\\", "\t", "\n", "#", "?", " ", "\u{e9}", "\u{0}",
        "api", ID, "<", "*", ":", "@", "{id}",
    ];
    let values =
        ["", "a b", "1 2", "\u{1}", "\r\n", "<", "http", "\u{e9}", "127.0.0.1", "]:/?#[", "application/json"];
    let mut events = Vec::new();
    for _ in 0..count {
        let operation = random.choice(&operations).unwrap();
        let mut path = operation.path.replace("{id}", ID);
        let mut query = "dt=2024-02-29".to_owned();
        for _ in 0..random.usize(..4) {
            let (at, more) = (random.usize(..=path.len()), random.choice(noise).unwrap());
            if path.is_char_boundary(at) {
                path.insert_str(at, more);
            }
            query.push_str(random.choice(noise).unwrap());
        }
        let stage = random.choice(["$default", "$default", "", "api", "prod", "%", "..", "\u{e9}"]).unwrap();
        let mut event = event(&operation.method, &path, &query);
        event["requestContext"]["stage"] = json!(stage);
        event["body"] = json!(random.choice(values).unwrap());
        event["isBase64Encoded"] = json!(random.bool());
        for name in ["host", "x-forwarded-proto", "content-type", "cookie", "x y"] {
            event["headers"][name] = json!(random.choice(values).unwrap());
        }
        event["cookies"] = json!([random.choice(values).unwrap()]);
        let any = [json!(null), json!([]), json!({}), json!(7), json!(true), json!("\u{1}")];
        let wrong = [
            "/headers",
            "/body",
            "/cookies",
            "/version",
            "/requestContext/timeEpoch",
            "/requestContext/authorizer",
            "/requestContext/http/sourceIp",
        ];
        if random.bool() {
            event = with(event, random.choice(wrong).unwrap(), random.choice(any).unwrap());
        }
        events.push((event.to_string(), read(&operations, stage, &path).to_owned()));
    }
    let reached = events.iter().filter(|(_, route)| route != "none").count();
    // Several functions at a time: one would leave the processors waiting for each other at every event.
    let mut functions = tokio::task::JoinSet::new();
    for events in events.chunks(count / 4).map(<[_]>::to_vec) {
        functions.spawn(async move {
            let mut function = start(events.iter().map(|(event, _)| event.clone()).collect()).await;
            for (event, route) in &events {
                let (_, line, _) = answered(&mut function, event).await;
                assert_eq!(line["route"], **route, "{event}");
            }
            events.len()
        });
    }
    assert_eq!(functions.join_all().await.iter().sum::<usize>(), count);
    assert!((count / 10..count * 9 / 10).contains(&reached), "{reached} of {count} reach an operation");
}
