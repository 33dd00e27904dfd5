//! The function as a client sees it, over a store in memory.

#[path = "../../../tests/support/client.rs"]
mod client;
#[path = "../../../tests/support/routes.rs"]
mod contract;
#[path = "../../../tests/support/document.rs"]
mod document;
#[path = "../../../tests/support/memory.rs"]
mod memory;
#[path = "../../../tests/support/yaml.rs"]
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::model::Registration;
use api::serve::Context;
use api::store::Store;
use client::{Request, Response};
use memory::MemoryStore;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cursor::{GROUP, Key, Progress};
use crate::question::{DEFAULT_WINDOW, Question, WINDOW};
use crate::routes::routes;
use crate::search::MAX_READS;

const JANE: &str = "jane@example.com";
/// The question most tests ask.
const ASKED: &str = "/api/contacts?dt=2024-02-29&email=jane@example.com";

fn context() -> Context {
    client::context("contacts", "2024-02-29T18:00:00.000000Z")
}

async fn send(store: &MemoryStore, request: &Request) -> Response {
    let response = client::send((routes(), Arc::new(store.clone())), context(), request).await;
    assert_eq!(response.header("x-causeway-version"), Some("0.1.0+0123456789ab"), "{request:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{request:?}");
    if response.status >= 400 {
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{request:?}");
        assert_eq!(body(&response)["status"], json!(response.status));
    }
    response
}

async fn get(store: &MemoryStore, path: &str) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    send(store, &Request::new("GET", path, query)).await
}

fn body(response: &Response) -> Value {
    serde_json::from_str(response.body.as_deref().unwrap_or("null")).unwrap()
}

/// Somebody checks in, at `2024-02-29T<time>Z` unless the time has a date of its own.
fn check_in(store: &MemoryStore, time: &str, place: u128, email: &str) -> Registration {
    let time = if time.contains('T') { time.to_owned() } else { format!("2024-02-29T{time}.000000Z") };
    let row = Registration {
        id: Uuid::new_v4(),
        location_id: Uuid::from_u128(place),
        location_name: format!("Room {place}"),
        timestamp: time.parse().unwrap(),
        name: format!("Name of {email}"),
        phone_number: "+49 30 1234567".to_owned(),
        email: email.to_owned(),
    };
    store.registrations.lock().unwrap().insert(row.sort_key(), (row.clone(), i64::MAX));
    row
}

/// Who came back, and how many minutes away.
fn found(response: &Response) -> Vec<(String, i64)> {
    assert_eq!(response.status, 200, "{response:?}");
    let body = body(response);
    let items = body.as_array().unwrap();
    items
        .iter()
        .map(|item| (item["email"].as_str().unwrap().to_owned(), item["minutes"].as_i64().unwrap()))
        .collect()
}

/// All pages of a question; also how many there were.
async fn pages(store: &MemoryStore, first: &str) -> (Vec<Value>, usize) {
    let (mut path, mut items, mut count) = (first.to_owned(), Vec::new(), 0);
    loop {
        let before = store.reads.load(Ordering::Relaxed);
        let response = get(store, &path).await;
        let reads = store.reads.load(Ordering::Relaxed) - before;
        assert!(reads <= MAX_READS + GROUP, "{reads} reads");
        assert_eq!(response.status, 200, "{path}");
        let Value::Array(page) = body(&response) else { panic!("{path} is no array") };
        items.extend(page);
        count += 1;
        assert!(count < 1000, "it never ends");
        let Some(link) = response.header("link") else { return (items, count) };
        path =
            link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        assert!(path.ends_with(response.header("x-next").unwrap()), "{path}");
    }
}

#[tokio::test]
async fn the_routes_are_those_of_the_contract() {
    let store = MemoryStore::default();
    let paths = routes::<MemoryStore>().into_iter().map(|(path, _)| path);
    contract::assert_those_of_the_contract("contacts", paths, async |request| send(&store, &request).await)
        .await;
}

#[test]
fn the_limits_are_those_of_the_contract() {
    let document = document::document();
    let window = &document["components"]["parameters"]["Window"]["schema"];
    let expected = json!({"type": "integer", "minimum": WINDOW.start(), "maximum": WINDOW.end(), "default": DEFAULT_WINDOW});
    assert_eq!(*window, expected);
    let minutes = &document["components"]["schemas"]["Contact"]["properties"]["minutes"];
    assert_eq!(minutes["maximum"], *WINDOW.end());
    let said = document["paths"]["/api/contacts"]["get"]["description"].as_str().unwrap();
    for limit in [format!("{MAX_READS} MB"), format!("{GROUP} check-ins")] {
        assert!(said.contains(&limit), "{said} does not say {limit}");
    }
}

#[tokio::test]
async fn it_says_what_it_is() {
    let store = MemoryStore { broken: true, ..MemoryStore::default() };
    let version = json!({"version": "0.1.0+0123456789ab", "function": "contacts"});
    assert_eq!(body(&get(&store, "/api/contacts/version?a=<").await), version);
    let health = json!({"status": "ok", "version": "0.1.0+0123456789ab", "function": "contacts"});
    assert_eq!(body(&get(&store, "/api/contacts/health").await), health);
}

#[tokio::test]
async fn who_was_close_is_listed_and_nobody_else() {
    let store = MemoryStore::default();
    check_in(&store, "10:00:00", 1, "Jane@Example.com");
    let early = check_in(&store, "09:00:00", 1, "early@example.com");
    check_in(&store, "11:00:00", 1, "late@example.com");
    check_in(&store, "10:30:00", 1, "JANE@example.COM");
    for (time, place, email) in [
        ("08:59:59", 1, "too-early@example.com"),
        ("2024-02-29T11:30:00.000001Z", 1, "too-late@example.com"),
        ("10:00:00", 2, "elsewhere@example.com"),
        ("2024-02-28T10:00:00.000000Z", 1, "the-day-before@example.com"),
        ("2024-03-01T10:00:00.000000Z", 1, "the-day-after@example.com"),
        ("10:00:00", 1, "jane@example.com.invalid"),
    ] {
        check_in(&store, time, place, email);
    }
    let response = get(&store, &ASKED.replace("jane@example.com", "%20jAne@example.com%20")).await;
    let expected = [("early@example.com", 60), ("jane@example.com.invalid", 0), ("late@example.com", 30)];
    assert_eq!(found(&response), expected.map(|(who, minutes)| (who.to_owned(), minutes)));
    assert_eq!(
        body(&response)[0],
        json!({"locationId": early.location_id.to_string(), "locationName": "Room 1", "timestamp": "2024-02-29T09:00:00.000000Z",
            "name": "Name of early@example.com", "phoneNumber": "+49 30 1234567", "email": "early@example.com", "minutes": 60})
    );
    assert_eq!(response.header("link"), None);
}

#[tokio::test]
async fn the_window_is_the_askers() {
    let store = MemoryStore::default();
    check_in(&store, "12:00:00", 1, JANE);
    for minutes in [0, 1, 59, 60, 61, 719] {
        let time = format!("{:02}:{:02}:00", (720 + minutes) / 60, minutes % 60);
        check_in(&store, &time, 1, &format!("{minutes}@example.com"));
    }
    for (window, expected) in [("1", 2), ("59", 3), ("60", 4), ("61", 5), ("720", 6)] {
        let response = get(&store, &format!("{ASKED}&window={window}")).await;
        assert_eq!(found(&response).len(), expected, "{window}");
    }
    assert_eq!(found(&get(&store, ASKED).await).len(), 4);
}

#[tokio::test]
async fn a_check_in_close_to_two_visits_is_listed_once() {
    let store = MemoryStore::default();
    for time in ["10:00:00", "10:20:00", "10:40:00"] {
        check_in(&store, time, 1, JANE);
    }
    check_in(&store, "10:30:00", 2, JANE);
    // The same person twice in the same microsecond: two check-ins, both kept.
    check_in(&store, "10:25:00", 1, "john@example.com");
    check_in(&store, "10:25:00", 1, "john@example.com");
    check_in(&store, "10:10:00", 2, "jim@example.com");
    let expected = [("jim@example.com", 20), ("john@example.com", 5), ("john@example.com", 5)];
    assert_eq!(found(&get(&store, ASKED).await), expected.map(|(who, minutes)| (who.to_owned(), minutes)));
}

#[tokio::test]
async fn who_was_not_there_has_no_contacts() {
    let store = MemoryStore::default();
    check_in(&store, "10:00:00", 1, "john@example.com");
    let response = get(&store, ASKED).await;
    assert_eq!((found(&response), response.header("x-next")), (vec![], None));
}

#[tokio::test]
async fn what_has_expired_is_hidden() {
    let store = MemoryStore::default();
    check_in(&store, "10:00:00", 1, JANE);
    let gone = check_in(&store, "10:10:00", 1, "john@example.com");
    check_in(&store, "10:20:00", 1, "jim@example.com");
    store.registrations.lock().unwrap().get_mut(&gone.sort_key()).unwrap().1 = context().now.seconds();
    assert_eq!(found(&get(&store, ASKED).await), [("jim@example.com".to_owned(), 20)]);
}

/// A busy day: Jane checks in at three places, and so do many others.
fn busy() -> (MemoryStore, Vec<String>) {
    let store = MemoryStore::default();
    for (time, place) in [("08:00:00", 1), ("12:00:00", 2), ("12:30:00", 3), ("16:00:00", 1)] {
        check_in(&store, time, place, JANE);
    }
    let mut expected = Vec::new();
    for minute in 0..720_u16 {
        let (time, place) = (format!("{:02}:{:02}:30", 7 + minute / 60, minute % 60), u128::from(minute % 4));
        let row = check_in(&store, &time, place, &format!("{minute}@example.com"));
        let near = |from: &str, to: &str, at| (from..to).contains(&time.as_str()) && place == at;
        if near("07:00", "09:00", 1)
            || near("15:00", "17:00", 1)
            || near("11:00", "13:00", 2)
            || near("11:30", "13:30", 3)
        {
            expected.push(row.email);
        }
    }
    (store, expected)
}

#[tokio::test]
async fn pages_hold_the_same_whatever_their_length_and_the_services() {
    let (mut store, expected) = busy();
    for read_size in [0, 1, 7, 100] {
        store.read_size = read_size;
        for limit in [1, 10, expected.len(), 1000] {
            // Parts of one check-in and pages of one would be thousands of requests.
            if read_size == 1 && limit == 1 {
                continue;
            }
            let (items, count) = pages(&store, &format!("{ASKED}&limit={limit}")).await;
            let emails: Vec<&str> = items.iter().map(|item| item["email"].as_str().unwrap()).collect();
            assert_eq!(emails, expected, "parts of {read_size}, pages of {limit}");
            assert!(read_size != 0 || count == expected.len().div_ceil(limit), "{count} pages of {limit}");
        }
    }
}

#[tokio::test]
async fn a_day_that_is_never_read_through_is_answered_in_steps() {
    let (mut store, expected) = busy();
    store.read_size = 20;
    let first = get(&store, ASKED).await;
    assert_eq!(store.reads.load(Ordering::Relaxed), MAX_READS, "it stops after so many parts");
    assert_eq!(found(&first), [], "it is still looking for Jane");
    assert!(first.header("x-next").is_some());
    assert_eq!(pages(&store, ASKED).await.0.len(), expected.len());
}

#[tokio::test]
async fn somebody_with_very_many_check_ins_is_answered_in_groups() {
    let store = MemoryStore::default();
    let others: Vec<String> = (0..12).map(|hour| format!("{hour}@example.com")).collect();
    for minute in 0..120 {
        check_in(&store, &format!("{:02}:{:02}:00", 8 + minute / 60, minute % 60), 1, JANE);
    }
    for (hour, email) in others.iter().enumerate() {
        check_in(&store, &format!("{:02}:30:30", 4 + hour), 1, email);
    }
    for limit in [1, 1000] {
        let (items, _) = pages(&store, &format!("{ASKED}&limit={limit}&window=30")).await;
        let emails: Vec<&str> = items.iter().map(|item| item["email"].as_str().unwrap()).collect();
        // The groups are 8:00 to 8:49, 8:50 to 9:39 and 9:40 to 9:59. Who came at 8:30 is close to the first two, who
        // came at 9:30 to the last two.
        let expected = [3, 4, 4, 5, 5].map(|hour| format!("{hour}@example.com"));
        assert_eq!(emails, expected, "pages of {limit}");
    }
}

#[tokio::test]
async fn a_visit_that_is_deleted_between_two_pages_counts_no_longer() {
    let store = MemoryStore::default();
    let first = check_in(&store, "08:00:00", 1, JANE);
    check_in(&store, "12:00:00", 1, JANE);
    for time in ["08:10:00", "08:20:00", "12:10:00"] {
        check_in(&store, time, 1, &format!("{}@example.com", &time[..5].replace(':', "-")));
    }
    let page = get(&store, &format!("{ASKED}&limit=1")).await;
    assert_eq!(found(&page), [("08-10@example.com".to_owned(), 10)]);
    assert!(store.remove_registration(first.timestamp.day(), &first.sort_key()).await.unwrap());
    let rest = get(&store, &format!("{ASKED}&next={}", page.header("x-next").unwrap())).await;
    assert_eq!(found(&rest), [("12-10@example.com".to_owned(), 10)]);
}

#[tokio::test]
async fn a_forged_cursor_shows_nobody() {
    let store = MemoryStore::default();
    let john = check_in(&store, "10:00:00", 2, "john@example.com");
    check_in(&store, "10:10:00", 2, "jim@example.com");
    let question = Question {
        day: "2024-02-29".parse().unwrap(),
        email: JANE.to_owned(),
        window: 60,
        limit: 1000,
        progress: Progress::default(),
    };
    let visit = Key::of(&john.sort_key(), question.day).unwrap();
    let forged = Progress { seen_all: true, visits: vec![visit], ..Progress::default() }.encode(&question);
    assert_eq!(
        get(&store, &format!("{ASKED}&next={forged}")).await.status,
        400,
        "John's visit is not Jane's"
    );
    let nobody = Key::end_of(john.timestamp, question.day).unwrap();
    let forged = Progress { seen_all: true, visits: vec![nobody], ..Progress::default() }.encode(&question);
    assert_eq!(found(&get(&store, &format!("{ASKED}&next={forged}")).await), []);
}

#[tokio::test]
async fn a_link_keeps_the_question_and_the_stage() {
    let store = MemoryStore::default();
    check_in(&store, "10:00:00", 1, "jane+x@example.com");
    for _ in 0..2 {
        check_in(&store, "10:10:00", 1, "john@example.com");
    }
    let event = json!({
        "rawPath": "/beta/api/contacts", "rawQueryString": "limit=1&window=15&email=Jane%2BX@example.com&dt=2024-02-29",
        "requestContext": {"stage": "beta", "http": {"method": "GET"}}
    });
    let response = send(&store, &Request(event)).await;
    let link = response.header("link").unwrap_or_default();
    let expected = "</beta/api/contacts?dt=2024-02-29&email=jane%2Bx%40example.com&window=15&limit=1&next=";
    assert!(link.starts_with(expected), "{link}");
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let store = MemoryStore::default();
    for (path, status) in [
        ("/api/contacts", 400),
        ("/api/contacts?dt=2024-02-29", 400),
        ("/api/contacts?email=jane@example.com", 400),
        ("/api/contacts?dt=2024-02-30&email=jane@example.com", 400),
        ("/api/contacts?dt=2024-02-29&email=jane", 400),
        ("/api/contacts?dt=2024-02-29&email=jane@example.com&window=0", 400),
        ("/api/contacts?dt=2024-02-29&email=jane@example.com&window=721", 400),
        ("/api/contacts?dt=2024-02-29&email=jane@example.com&limit=1001", 400),
        ("/api/contacts?dt=2024-02-29&email=jane@example.com&next=x", 400),
        ("/api/contacts?dt=2024-02-29&email=jane@example.com&name=x", 400),
        ("/api/contacts/", 404),
        ("/api/contacts/x", 404),
        ("/api/version", 404),
    ] {
        let response = get(&store, path).await;
        assert_eq!(response.status, status, "{path}");
        assert!(!response.body.unwrap_or_default().contains("jane"), "{path}");
    }
    for method in ["POST", "DELETE", "HEAD"] {
        let response = send(&store, &Request::new(method, "/api/contacts", "")).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("GET")), "{method}");
    }
    let mut request = Request::new("GET", "/api/contacts", "dt=2024-02-29&email=jane@example.com");
    request.0["routeKey"] = json!("ANY /api/contacts");
    assert_eq!(send(&store, &request).await.status, 404, "the open route leads to nobody's data");
}

#[tokio::test]
async fn every_parameter_at_its_limits() {
    let store = MemoryStore::default();
    let address = |local: usize, rest: &str| format!("{}@{rest}", "x".repeat(local));
    let label = |count: usize| "x".repeat(count);
    let longest = format!("{}.{}.{}", label(63), label(63), label(61));
    for (parameter, value, status) in [
        ("dt", "2024-02-2".to_owned(), 400),
        ("dt", "2024-02-29".to_owned(), 200),
        ("dt", "2024-02-290".to_owned(), 400),
        ("dt", "0001-01-01".to_owned(), 200),
        ("dt", "9999-12-31".to_owned(), 200),
        ("email", "a@".to_owned(), 400),
        ("email", "a@b".to_owned(), 200),
        ("email", address(64, &longest), 200),
        ("email", format!("%20{}%20", address(62, &longest)), 200),
        ("email", format!("%20{}%20", address(63, &longest)), 400),
        ("email", address(64, &format!("x{longest}")), 400),
        ("email", address(65, "b"), 400),
        ("window", "0".to_owned(), 400),
        ("window", "1".to_owned(), 200),
        ("window", "720".to_owned(), 200),
        ("window", "721".to_owned(), 400),
        ("limit", "0".to_owned(), 400),
        ("limit", "1".to_owned(), 200),
        ("limit", "1000".to_owned(), 200),
        ("limit", "1001".to_owned(), 400),
        ("next", String::new(), 400),
    ] {
        let mut parameters = BTreeMap::from([("dt", "2024-02-29"), ("email", "a@b")]);
        parameters.insert(parameter, &value);
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = get(&store, &format!("/api/contacts?{}", query.join("&"))).await;
        assert_eq!(response.status, status, "{parameter}={value}");
    }
}

#[tokio::test]
async fn a_broken_store_is_a_plain_500() {
    let store = MemoryStore { broken: true, ..MemoryStore::default() };
    let response = get(&store, ASKED).await;
    assert_eq!((response.status, &body(&response)["requestId"]), (500, &json!("request-1")));
}

#[tokio::test]
async fn ten_thousand_events_are_answered() {
    let (mut store, _) = busy();
    store.read_size = 100;
    let next = get(&store, &format!("{ASKED}&limit=1")).await.header("x-next").unwrap().to_owned();
    let next = format!("next={next}");
    let operations = document::operations(&document::document());
    let operations: Vec<_> = operations.iter().filter(|operation| operation.function == "contacts").collect();
    let mut random = fastrand::Rng::with_seed(37);
    let pieces = [
        "dt=2024-02-29",
        "dt=2024-02-29",
        "email=jane@example.com",
        "email=JANE@example.com",
        "window=60",
        "window=7",
        "limit=2",
        "dt",
        "email=%",
        "window=-1",
        "limit=0",
        "next=MTo",
        &next,
        "&",
        "=",
        "<>\"",
        "\u{e9}",
        "%00",
    ];
    let mut statuses = BTreeMap::new();
    for _ in 0..10_000 {
        let route = random.choice(&operations).unwrap();
        let query: Vec<&str> = (0..random.usize(..6)).filter_map(|_| random.choice(pieces)).collect();
        let event = json!({
            "rawPath": if random.u8(..) < 8 { "/api/%" } else { route.path.as_str() },
            "rawQueryString": query.join("&"),
            "requestContext": {"http": {"method": random.choice(["GET", "GET", "GET", "PUT", "", "\u{e9}"])}}
        });
        let response = send(&store, &Request(event)).await;
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), [200, 400, 404, 405]);
}
