//! The function as a client sees it, over a store in memory. What it takes at its limits is in [`crate::limits`].

#[path = "../../../tests/support/client.rs"]
pub(crate) mod client;
#[path = "../../../tests/support/routes.rs"]
mod contract;
#[path = "../../../tests/support/document.rs"]
pub(crate) mod document;
#[path = "../../../tests/support/memory.rs"]
mod memory;
#[path = "../../../tests/support/yaml.rs"]
mod yaml;

use client::{Request, Response};
use std::sync::Arc;

use api::serve::Context;
pub(crate) use memory::MemoryStore;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::routes::routes;

const JANE: &str = r#""name":"Jane Doe","phoneNumber":"+49 30 1234567","email":"jane@example.com""#;
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn context() -> Context {
    client::context("checkin", "2024-02-29T08:15:00.000001Z")
}

impl Request {
    fn with_body(mut self, content_type: &str, body: &str) -> Self {
        self.0["headers"]["content-type"] = json!(content_type);
        self.0["body"] = json!(body);
        self
    }
}

pub(crate) async fn send(store: &MemoryStore, request: &Request) -> Response {
    let response = client::send((routes(), Arc::new(store.clone())), context(), request).await;
    assert_eq!(response.header("x-causeway-version"), Some("0.1.0+0123456789ab"), "{request:?}");
    assert_eq!(response.header("x-causeway-lambda-version"), Some("7"), "{request:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{request:?}");
    if response.status >= 400 {
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{request:?}");
        let problem = body(&response);
        assert_eq!((&problem["status"], &problem["type"]), (&json!(response.status), &json!("about:blank")));
    }
    response
}

pub(crate) async fn get(store: &MemoryStore, path: &str) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    send(store, &Request::new("GET", path, query)).await
}

pub(crate) async fn post(store: &MemoryStore, path: &str, body: &str) -> Response {
    send(store, &Request::new("POST", path, "").with_body("application/json; charset=utf-8", body)).await
}

pub(crate) fn body(response: &Response) -> Value {
    serde_json::from_str(response.body.as_deref().unwrap_or("null")).unwrap()
}

pub(crate) async fn new_location(store: &MemoryStore, name: &str) -> String {
    let response = post(store, "/api/locations", &json!({"locationName": name}).to_string()).await;
    assert_eq!(response.status, 201);
    body(&response)["locationId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_routes_are_those_of_the_contract() {
    let store = MemoryStore::default();
    let paths = routes::<MemoryStore>().into_iter().map(|(path, _)| path);
    contract::assert_those_of_the_contract("checkin", paths, async |request| send(&store, &request).await)
        .await;
}

#[tokio::test]
async fn it_says_what_it_is() {
    let store = MemoryStore { broken: true, ..MemoryStore::default() };
    for (path, expected) in [
        ("/api/version", json!({"version": "0.1.0+0123456789ab", "function": "checkin"})),
        ("/api/health", json!({"status": "ok", "version": "0.1.0+0123456789ab", "function": "checkin"})),
        ("/api/values", json!(["value1", "value2"])),
        ("/api/values?a=<\"&%zz", json!(["value1", "value2"])),
    ] {
        let response = get(&store, path).await;
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/json")),
            "{path}"
        );
        assert_eq!(body(&response), expected, "{path}");
    }
}

#[tokio::test]
async fn a_location_lives() {
    let store = MemoryStore::default();
    assert_eq!(body(&get(&store, "/api/locations").await), json!([]));
    let created = post(&store, "/api/locations", r#"{"locationName":"Desk 14"}"#).await;
    let location = body(&created);
    let path = format!("/api/locations/{}", location["locationId"].as_str().unwrap());
    assert_eq!(created.header("location"), Some(path.as_str()));
    assert_eq!(location["locationName"], "Desk 14");
    assert_eq!(body(&get(&store, &path).await), location);
    assert_eq!(body(&get(&store, "/api/locations").await), json!([location]));
    let deleted = send(&store, &Request::new("DELETE", &path, "")).await;
    assert_eq!((deleted.status, deleted.body), (204, None));
    assert_eq!(get(&store, &path).await.status, 404);
    assert_eq!(send(&store, &Request::new("DELETE", &path, "")).await.status, 404);
}

#[tokio::test]
async fn a_person_checks_in() {
    let store = MemoryStore::default();
    let id = new_location(&store, "Desk 14").await;
    let created = post(&store, "/api/registrations", &format!("{{\"locationId\":\"{id}\",{JANE}}}")).await;
    let registration = body(&created);
    assert_eq!(created.status, 201);
    let fresh = registration["id"].as_str().unwrap().to_owned();
    assert_eq!(Uuid::parse_str(&fresh).map(|id| id.get_version_num()), Ok(4));
    assert_eq!(
        registration,
        json!({"id": fresh, "locationId": id, "locationName": "Desk 14", "timestamp": "2024-02-29T08:15:00.000001Z",
            "name": "Jane Doe", "phoneNumber": "+49 30 1234567", "email": "jane@example.com"})
    );
    for (query, found) in [
        ("dt=2024-02-29".to_owned(), 1),
        ("dt=2024-03-01".to_owned(), 0),
        (format!("locationId={id}&dt=2024-02-29"), 1),
        (format!("locationId={}&dt=2024-02-29", id.to_uppercase()), 1),
        (format!("locationId={NOBODY}&dt=2024-02-29"), 0),
    ] {
        let response = get(&store, &format!("/api/registrations?{query}")).await;
        assert_eq!(body(&response), json!(vec![&registration; found]), "{query}");
    }
    let expires_at =
        store.registrations.lock().unwrap().values().map(|(_, expires_at)| *expires_at).collect::<Vec<_>>();
    assert_eq!(expires_at, [1_709_194_500 + 28 * 86_400]);
}

#[tokio::test]
async fn two_check_ins_of_one_microsecond_are_both_kept() {
    let store = MemoryStore::default();
    let id = new_location(&store, "Desk 14").await;
    let jane = format!("{{\"locationId\":\"{id}\",{JANE}}}");
    // The clock of these tests stands still: the two have everything in common but their ids.
    let (one, two) =
        (post(&store, "/api/registrations", &jane).await, post(&store, "/api/registrations", &jane).await);
    let (mut one, mut two) = (body(&one), body(&two));
    assert_eq!(
        body(&get(&store, "/api/registrations?dt=2024-02-29").await).as_array().map(Vec::len),
        Some(2)
    );
    assert_ne!(one["id"].take(), two["id"].take());
    assert_eq!(one, two);
}

/// Three people check in on the day; the ids of their registrations.
async fn three_check_ins(store: &MemoryStore) -> Vec<String> {
    let id = new_location(store, "Desk 14").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let made = post(store, "/api/registrations", &format!("{{\"locationId\":\"{id}\",{JANE}}}")).await;
        ids.push(body(&made)["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids
}

async fn delete(store: &MemoryStore, path: &str) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    send(store, &Request::new("DELETE", path, query)).await
}

#[tokio::test]
async fn a_registration_is_deleted() {
    const TIME: &str = "2024-02-29T08:15:00.000001Z";
    let store = MemoryStore::default();
    let ids = three_check_ins(&store).await;
    for (path, status) in [
        (format!("/api/registrations/{}?dt=2024-03-01", ids[0]), 404),
        (format!("/api/registrations/{NOBODY}?dt=2024-02-29"), 404),
        (format!("/api/registrations/{}?dt=2024-02-29&timestamp=2024-02-29T08:15:00.000002Z", ids[0]), 404),
        (format!("/api/registrations/{}?dt=2024-02-28&timestamp={TIME}", ids[0]), 404),
        (format!("/api/registrations/{}", ids[0]), 400),
        (format!("/api/registrations/{}?timestamp={TIME}", ids[0]), 400),
        (format!("/api/registrations/{}?dt=2024-02-29&email=x", ids[0]), 400),
        ("/api/registrations/x?dt=2024-02-29".to_owned(), 400),
    ] {
        assert_eq!(delete(&store, &path).await.status, status, "{path}");
        assert_eq!(store.registrations.lock().unwrap().len(), 3, "{path}");
    }
    let gone = delete(&store, &format!("/api/registrations/{}?dt=2024-02-29", ids[0])).await;
    assert_eq!((gone.status, gone.body), (204, None));
    let exact = format!("/api/registrations/{}?timestamp={TIME}&dt=2024-02-29", ids[1].to_uppercase());
    let before = store.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(delete(&store, &exact).await.status, 204);
    assert_eq!(
        store.reads.load(std::sync::atomic::Ordering::Relaxed),
        before,
        "nothing had to be looked for"
    );
    assert_eq!(delete(&store, &exact).await.status, 404);
    let left = body(&get(&store, "/api/registrations?dt=2024-02-29").await);
    assert_eq!((left.as_array().map(Vec::len), &left[0]["id"]), (Some(1), &json!(ids[2])));
}

#[tokio::test]
async fn a_deletion_looks_through_so_much_and_no_more() {
    let store = MemoryStore { read_size: 1, ..MemoryStore::default() };
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(three_check_ins(&store).await);
    }
    ids.sort();
    let path = |id: &str| format!("/api/registrations/{id}?dt=2024-02-29");
    let last = delete(&store, &path(&ids[8])).await;
    assert_eq!(last.status, 400, "it stands behind what is looked through");
    assert!(last.body.unwrap().contains("timestamp"));
    assert_eq!(delete(&store, &path(&ids[7])).await.status, 204);
    let exact = format!("{}&timestamp=2024-02-29T08:15:00.000001Z", path(&ids[8]));
    assert_eq!(delete(&store, &exact).await.status, 204);
    assert_eq!(store.registrations.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn a_registration_that_has_expired_can_still_be_deleted() {
    let store = MemoryStore::default();
    let ids = three_check_ins(&store).await;
    store.registrations.lock().unwrap().values_mut().for_each(|(_, expires_at)| *expires_at = 1);
    assert_eq!(body(&get(&store, "/api/registrations?dt=2024-02-29").await), json!([]));
    assert_eq!(delete(&store, &format!("/api/registrations/{}?dt=2024-02-29", ids[0])).await.status, 204);
}

#[tokio::test]
async fn a_catch_all_route_leads_to_no_operation() {
    let store = MemoryStore::default();
    for (method, path, status) in [
        ("GET", "/api/registrations", 404),
        ("DELETE", "/api/locations/x", 404),
        ("PUT", "/api/registrations", 405),
        ("GET", "/api/nothing", 404),
    ] {
        let event = json!({
            "routeKey": "$default", "rawPath": path, "rawQueryString": "dt=2024-02-29",
            "requestContext": {"http": {"method": method}}
        });
        assert_eq!(send(&store, &Request(event)).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_registration_needs_a_known_place() {
    let store = MemoryStore::default();
    let unknown =
        post(&store, "/api/registrations", &format!("{{\"locationId\":\"{NOBODY}\",{JANE}}}")).await;
    assert_eq!(unknown.status, 404);
    assert!(store.registrations.lock().unwrap().is_empty());
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended() {
    let store = MemoryStore::default();
    for number in 0..7 {
        let id = new_location(&store, &format!("Desk {number}")).await;
        post(&store, "/api/registrations", &format!("{{\"locationId\":\"{id}\",{JANE}}}")).await;
    }
    for first in ["/api/locations?limit=3", "/api/registrations?dt=2024-02-29&limit=3"] {
        let (mut path, mut sizes, mut seen) = (first.to_owned(), Vec::new(), Vec::new());
        loop {
            let response = get(&store, &path).await;
            assert_eq!(response.status, 200, "{path}");
            let Value::Array(items) = body(&response) else { panic!("{path} is no array") };
            sizes.push(items.len());
            seen.extend(items.iter().map(|item| item["locationId"].to_string()));
            let Some(link) = response.header("link") else { break };
            path = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
                .unwrap()
                .to_owned();
            assert!(path.starts_with(first) && path.ends_with(response.header("x-next").unwrap()), "{path}");
        }
        seen.sort();
        seen.dedup();
        assert_eq!((sizes, seen.len()), (vec![3, 3, 1], 7), "{first}");
    }
}

#[tokio::test]
async fn a_link_keeps_the_filter_and_the_stage() {
    let store = MemoryStore::default();
    let id = new_location(&store, "Desk 14").await;
    for _ in 0..2 {
        post(&store, "/api/registrations", &format!("{{\"locationId\":\"{id}\",{JANE}}}")).await;
    }
    let event = json!({
        "rawPath": "/beta/api/registrations", "rawQueryString": format!("limit=1&locationId={id}&dt=2024-02-29"),
        "requestContext": {"stage": "beta", "http": {"method": "GET"}}
    });
    let response = send(&store, &Request(event)).await;
    let link = response.header("link").unwrap_or_default();
    let expected = format!("</beta/api/registrations?dt=2024-02-29&locationId={id}&limit=1&next=");
    assert!(link.starts_with(&expected), "{link}");
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let store = MemoryStore::default();
    let id = new_location(&store, "Desk 14").await;
    let registration = |field: &str, value: &str| {
        let mut fields = json!({"locationId": id, "name": "Jane", "phoneNumber": "112", "email": "a@b"});
        fields[field] = json!(value);
        fields.to_string()
    };
    for (path, status) in [
        ("/api/locations/x", 400),
        ("/api/locations/0b7d3a5e8c1f4e7a9a556f2d1c3b4a59", 400),
        ("/api/locations/%ff", 400),
        (&format!("/api/locations/{NOBODY}"), 404),
        ("/api/locations?limit=0", 400),
        ("/api/locations?next=eA", 400),
        ("/api/locations?limit=1&limit=1", 400),
        ("/api/locations?offset=1", 400),
        ("/api/registrations", 400),
        ("/api/registrations?dt=", 400),
        ("/api/registrations?dt=2023-02-29", 400),
        ("/api/registrations?dt=29.02.2024", 400),
        ("/api/registrations?dt=2024-02-29&dt=2024-02-28", 400),
        ("/api/registrations?dt=2024-02-29&locationId=", 400),
        ("/api/registrations?dt=2024-02-29&locationid=x", 400),
        ("/api", 404),
        ("/", 404),
    ] {
        assert_eq!(get(&store, path).await.status, status, "{path}");
    }
    for (path, body, status) in [
        ("/api/locations", String::new(), 400),
        ("/api/locations", "{".to_owned(), 400),
        ("/api/locations", "{}".to_owned(), 422),
        ("/api/locations", r#"{"locationName":""}"#.to_owned(), 422),
        ("/api/locations", r#"{"locationName":"a","locationName":"b"}"#.to_owned(), 422),
        ("/api/locations", r#"{"locationName":"a","locationId":"x"}"#.to_owned(), 422),
        ("/api/locations", format!(r#"{{"locationName":"{}"}}"#, "x".repeat(17_000)), 413),
        ("/api/registrations", registration("locationId", "x"), 422),
        ("/api/registrations", registration("name", "a\u{0}"), 422),
        ("/api/registrations", registration("phoneNumber", "call me"), 422),
        ("/api/registrations", registration("email", "a"), 422),
        ("/api/registrations", registration("timestamp", "2020-01-01T00:00:00Z"), 422),
    ] {
        let response = post(&store, path, &body).await;
        assert_eq!(response.status, status, "{path} {}", body.get(..80).unwrap_or(&body));
    }
    for (method, path, allow) in [
        ("DELETE", "/api/locations", "GET, POST"),
        ("PUT", "/api/registrations", "GET, POST"),
        ("POST", "/api/version", "GET"),
        ("HEAD", "/api/health", "GET"),
        ("PATCH", "/api/locations/x", "GET, DELETE"),
    ] {
        let response = send(&store, &Request::new(method, path, "")).await;
        assert_eq!((response.status, response.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    let text = Request::new("POST", "/api/locations", "").with_body("text/plain", r#"{"locationName":"a"}"#);
    assert_eq!(send(&store, &text).await.status, 415);
    assert_eq!(store.locations.lock().unwrap().len(), 1);
    assert!(store.registrations.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_store_is_a_plain_500() {
    let store = MemoryStore { broken: true, ..MemoryStore::default() };
    let deletion = format!("/api/registrations/{NOBODY}?dt=2024-02-29");
    for (method, path) in [
        ("GET", "/api/locations"),
        ("GET", &format!("/api/locations/{NOBODY}")),
        ("GET", "/api/registrations?dt=2024-02-29"),
        ("DELETE", &deletion),
        ("DELETE", &format!("{deletion}&timestamp=2024-02-29T08:15:00.000001Z")),
    ] {
        let (plain, query) = path.split_once('?').unwrap_or((path, ""));
        let response = send(&store, &Request::new(method, plain, query)).await;
        let problem = body(&response);
        assert_eq!((response.status, &problem["requestId"]), (500, &json!("request-1")), "{path}");
        assert!(!problem.to_string().contains("Throughput"), "{problem}");
    }
}

#[tokio::test]
async fn ten_thousand_events_are_answered() {
    let store = MemoryStore::default();
    let id = new_location(&store, "Desk 14").await;
    let good =
        [json!({"locationName": "Desk 15"}).to_string(), format!("{{\"locationId\":\"{id}\",{JANE}}}")];
    let operations = document::operations(&document::document());
    let operations: Vec<_> = operations.iter().filter(|operation| operation.function == "checkin").collect();
    let mut random = fastrand::Rng::with_seed(18);
    let segments = [&id, "..", "%00", NOBODY, "é", "%C3%A9", "%", "x/y", ""];
    let queries = [
        "dt=2024-02-29",
        "dt",
        "limit=2",
        "limit=-1",
        "timestamp=2024-02-29T08:15:00.000001Z",
        "next=MTo",
        "&",
        "=",
        "%",
        "<>\"",
        "locationId=x",
        "é",
    ];
    let bodies = ["{", "}", "\"locationName\"", ":", "\"a\"", ",", "[", "]", "e30=", "\\", "\u{0}", "é", "!"];
    let any = |random: &mut fastrand::Rng, from: &[&str], most: usize, glue: &str| {
        (0..random.usize(..most))
            .filter_map(|_| random.choice(from.iter().copied()))
            .collect::<Vec<_>>()
            .join(glue)
    };
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let route = random.choice(&operations).unwrap();
        let path = route.path.replace("{id}", random.choice(segments).unwrap());
        let garbled = any(&mut random, &bodies, 8, "");
        let event = json!({
            "rawPath": if random.u8(..) < 8 { garbled.clone() } else { path },
            "rawQueryString": any(&mut random, &queries, 4, "&"),
            "headers": {"content-type": random.choice(["application/json", "application/json", "text/plain", "é;;"])},
            "requestContext": {
                "stage": random.choice(["$default", "api", ""]),
                "http": {"method": random.choice([route.method.as_str(), &route.method, &route.method, "PUT", "", "get", "é"])}
            },
            "body": random.choice([garbled.clone(), good[0].clone(), good[1].clone()]),
            "isBase64Encoded": random.u8(..) < 32,
        });
        let response = send(&store, &Request(event)).await;
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    // Every kind of answer was met, and none that we do not give.
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), [200, 201, 204, 400, 404, 405, 415, 422]);
}
