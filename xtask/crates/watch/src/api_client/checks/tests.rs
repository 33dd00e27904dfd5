//! The checks against an API that is right, and against APIs that have one defect each: every check must be able to fail.
//!
//! The API here is written from `api/openapi.yaml` and shares no code with the workload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use causeway_model::fault::{Fault, from_error};
use causeway_model::keys::Keys;

use super::*;

/// One thing that an API may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// `checkin` says that it is `contacts`.
    OtherFunction,
    /// `checkin` is of the version before.
    OldCheckin,
    /// `contacts` is of the version before.
    OldContacts,
    /// `/health` answers, but not `ok`.
    Unwell,
    /// Answers do not name their version.
    NoVersion,
    /// This route answers callers who did not sign: method and path of the contract.
    Open(&'static str, &'static str),
    /// The list of locations is an object.
    NoList,
    /// A location that was made is never listed.
    LostLocation,
    /// A location and a contact are listed a moment late, as the contract allows: no defect at all.
    Lags,
    /// What is made has status 200.
    MadeIsOk,
    /// The answer to a new location has no id.
    NoLocationId,
    /// A location that nobody made is found.
    AnyLocation,
    /// Somebody can check in where there is no location.
    CheckInAnywhere,
    /// The 30th of February is a day.
    AnyDay,
    /// A window of no minutes is one.
    AnyWindow,
    /// `PUT /locations` is no route (404), where 405 is due.
    NoSuchMethod,
    /// `DELETE /contacts` is taken.
    DeletesContacts,
    /// A path of no route is answered.
    AnyPath,
    /// A new registration has no id.
    NoId,
    /// A new registration has no time.
    NoTimestamp,
    /// Another location than the one that was asked for.
    OtherLocation,
    /// One registration is missing from the day's list.
    LostRegistration,
    /// The second page of a list is not linked.
    NoNextPage,
    /// A contact of another location is among them.
    ContactElsewhere,
    /// The same, and the answer says that it was here.
    ContactMoved,
    /// The last contact comes first.
    ContactsReversed,
    /// One contact is missing.
    LostContact,
    /// The person who is asked about is a contact of itself.
    OwnContact,
    /// An address in capitals is another one.
    CaseMatters,
    /// What is removed stays.
    Stays,
    /// What is not there can be removed once more.
    RemovedTwice,
    /// A removal that names the time answers as if nothing were there.
    TimeIsIgnored,
}

/// Each defect, which check fails of it, and why.
const DEFECTS: &[(Defect, &str, &str)] = &[
    (Defect::OtherFunction, "the version of checkin is the deployed one", "contacts answered"),
    (Defect::OldCheckin, "the version of checkin is the deployed one", "expected 1.0+a, 0.9+z answered"),
    (Defect::OldContacts, "the version of contacts is the deployed one", "expected 1.0+b, 0.9+z answered"),
    (Defect::Unwell, "checkin is up", "the status is not ok"),
    (Defect::NoVersion, "GET api/version", "does not name its version"),
    (Defect::Open("GET", "api/registrations"), "GET api/registrations is refused", "answered 200"),
    (Defect::Open("DELETE", "api/registrations/"), "is refused", "answered 404"),
    (Defect::Open("GET", "api/contacts"), "GET api/contacts is refused", "answered 200"),
    (Defect::Open("POST", "api/locations"), "POST api/locations is refused", "answered 201"),
    (Defect::Open("DELETE", "api/locations/"), "is refused", "answered 404"),
    (Defect::NoList, "api/locations", "the answer is no list"),
    (Defect::LostLocation, "locations are listed", "one that was made is missing"),
    (Defect::MadeIsOk, "POST api/locations", "expected 201 Created, it answered 200 OK"),
    (Defect::NoLocationId, "POST api/locations", "has no `locationId`"),
    (Defect::AnyLocation, "GET api/locations/", "expected 404 Not Found, it answered 200"),
    (Defect::CheckInAnywhere, "POST api/registrations", "expected 404 Not Found, it answered 201"),
    (Defect::AnyDay, "GET api/registrations", "expected 400 Bad Request, it answered 200"),
    (Defect::AnyWindow, "GET api/contacts", "expected 400 Bad Request, it answered 200"),
    (Defect::NoSuchMethod, "PUT api/locations", "expected 405 Method Not Allowed, it answered 404"),
    (Defect::DeletesContacts, "DELETE api/contacts", "expected 405 Method Not Allowed, it answered 204"),
    (Defect::AnyPath, "GET api/nothing", "expected 404 Not Found, it answered 200"),
    (Defect::NoId, "POST api/registrations", "has no `id`"),
    (Defect::NoTimestamp, "POST api/registrations", "has no `timestamp`"),
    (Defect::OtherLocation, "a location is read back", "another one came"),
    (Defect::LostRegistration, "today's registrations hold them", "1 of 10 are missing"),
    (Defect::NoNextPage, "today's registrations hold them", "6 of 10 are missing"),
    (Defect::ContactElsewhere, "somebody's contacts", "one was somewhere else"),
    (Defect::ContactMoved, "somebody's contacts", "there is one too many"),
    (Defect::ContactsReversed, "somebody's contacts", "not in the order of time"),
    (Defect::LostContact, "somebody's contacts", "1 are missing"),
    (Defect::OwnContact, "somebody's contacts", "there is one too many"),
    (Defect::CaseMatters, "somebody's contacts", "are missing"),
    (Defect::Stays, "registrations are removed", "one is still there"),
    (Defect::RemovedTwice, "DELETE api/registrations/", "expected 404 Not Found, it answered 204"),
    (Defect::TimeIsIgnored, "DELETE api/registrations/", "expected 204 No Content, it answered 404"),
];

/// What a page of registrations holds, so that ten people need three.
const PAGE: usize = 4;
/// Everything happens on this day.
const DAY: &str = "2026-11-25";

/// What the API has.
#[derive(Default)]
struct Had {
    locations: Vec<String>,
    people: Vec<BTreeMap<&'static str, String>>,
    made: usize,
    /// How often lists that may lag were asked for since there was something in them.
    asked: BTreeMap<&'static str, usize>,
}

/// The check-in API, with at most one defect.
struct Api {
    defect: Option<Defect>,
    had: Mutex<Had>,
}

/// Status, body, and the cursor of the next page.
type Said = (u16, Value, Option<String>);

fn said(status: u16, body: Value) -> Said {
    (status, body, None)
}

impl Api {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Whether this look at a list comes too early.
    fn lags(&self, had: &mut Had, list: &'static str) -> bool {
        let asked = had.asked.entry(list).or_default();
        *asked += 1;
        self.has(Defect::Lags) && *asked <= 2
    }

    fn made(&self) -> u16 {
        if self.has(Defect::MadeIsOk) { 200 } else { 201 }
    }

    /// What it answers; `path` is without its first slash.
    fn answer(
        &self,
        method: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        signed: bool,
        body: &Value,
    ) -> Said {
        let protected = match path {
            "api/locations" => method == "POST",
            "api/registrations" | "api/contacts" => method == "GET",
            _ => method == "DELETE" && path.contains('/'),
        } && path != "api/contacts/version"
            && (method, path) != ("DELETE", "api/contacts");
        let open = matches!(self.defect, Some(Defect::Open(open, start))
            if open == method && (path == start || (start.ends_with('/') && path.starts_with(start))));
        if protected && !signed && !open {
            return said(403, json!({"message": "Forbidden"}));
        }
        let name = |key: &str| query.get(key).cloned().unwrap_or_default();
        let cursor: usize = name("next").parse().unwrap_or(0);
        let mut had = self.had.lock().unwrap();
        match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["api", "version"]) => self.version("checkin", "1.0+a", Defect::OldCheckin),
            ("GET", ["api", "contacts", "version"]) => self.version("contacts", "1.0+b", Defect::OldContacts),
            ("GET", ["api", "health"] | ["api", "contacts", "health"]) => {
                said(200, json!({"status": if self.has(Defect::Unwell) { "starting" } else { "ok" }}))
            }
            ("GET", ["api", "locations"]) => {
                let lags = !had.locations.is_empty() && self.lags(&mut had, "locations");
                let hidden = usize::from(self.has(Defect::LostLocation) || lags);
                let shown = had.locations.iter().skip(hidden);
                let all: Vec<Value> = shown.map(|id| json!({"locationId": id})).collect();
                if self.has(Defect::NoList) {
                    said(200, json!({"items": all}))
                } else {
                    page(all, cursor, PAGE)
                }
            }
            ("POST", ["api", "locations"]) => {
                had.made += 1;
                let id = format!("location-{}", had.made);
                had.locations.push(id.clone());
                let field = if self.has(Defect::NoLocationId) { "id" } else { "locationId" };
                said(self.made(), json!({(field): id}))
            }
            ("GET", ["api", "locations", id]) => {
                if self.has(Defect::OtherLocation) && had.locations.iter().any(|known| known == id) {
                    return said(200, json!({"locationId": "location-of-somebody-else"}));
                }
                let known = had.locations.iter().any(|known| known == id) || self.has(Defect::AnyLocation);
                said(if known { 200 } else { 404 }, json!({"locationId": id}))
            }
            ("GET", ["api", "registrations"]) => self.registrations(&had, &name("dt"), cursor),
            ("POST", ["api", "registrations"]) => self.check_in(&mut had, body),
            ("DELETE", ["api", "registrations", id]) => {
                if self.has(Defect::TimeIsIgnored) && query.contains_key("timestamp") {
                    return said(404, Value::Null);
                }
                let there =
                    |person: &BTreeMap<&str, String>| person["id"] == *id && !person.contains_key("gone");
                let known = had.people.iter().position(there);
                match known {
                    // The first that is removed is the one that is asked for twice.
                    Some(at) if self.has(Defect::RemovedTwice) && at > 0 => drop(had.people.remove(at)),
                    Some(_) if self.has(Defect::RemovedTwice) => {}
                    // It is called gone and listed for all that.
                    Some(at) if self.has(Defect::Stays) => {
                        had.people[at].insert("gone", String::new());
                    }
                    Some(at) => drop(had.people.remove(at)),
                    None => return said(404, Value::Null),
                }
                said(204, Value::Null)
            }
            ("GET", ["api", "contacts"]) => {
                if name("window") == "0" {
                    return said(if self.has(Defect::AnyWindow) { 200 } else { 400 }, json!([]));
                }
                self.contacts(&mut had, &name("email"), cursor, name("limit").parse().unwrap_or(PAGE))
            }
            ("PUT", ["api", "locations"]) => {
                said(if self.has(Defect::NoSuchMethod) { 404 } else { 405 }, Value::Null)
            }
            ("DELETE", ["api", "contacts"]) => {
                said(if self.has(Defect::DeletesContacts) { 204 } else { 405 }, Value::Null)
            }
            ("DELETE", ["api", "locations", _]) => said(404, Value::Null),
            _ => said(if self.has(Defect::AnyPath) { 200 } else { 404 }, Value::Null),
        }
    }

    fn version(&self, function: &str, version: &str, old: Defect) -> Said {
        let function = if self.has(Defect::OtherFunction) { "contacts" } else { function };
        said(200, json!({"function": function, "version": if self.has(old) { "0.9+z" } else { version }}))
    }

    fn registrations(&self, had: &Had, day: &str, cursor: usize) -> Said {
        if day.ends_with("-02-30") {
            return said(if self.has(Defect::AnyDay) { 200 } else { 400 }, json!([]));
        }
        let hidden = usize::from(self.has(Defect::LostRegistration));
        let today = had.people.iter().filter(|_| day == DAY).skip(hidden);
        let all = today.map(|person| json!({"id": person["id"]})).collect();
        let (status, body, next) = page(all, cursor, PAGE);
        (status, body, next.filter(|_| !self.has(Defect::NoNextPage)))
    }

    fn check_in(&self, had: &mut Had, body: &Value) -> Said {
        let location = body["locationId"].as_str().unwrap().to_owned();
        if !had.locations.contains(&location) {
            return said(if self.has(Defect::CheckInAnywhere) { self.made() } else { 404 }, Value::Null);
        }
        had.made += 1;
        let person = BTreeMap::from([
            ("id", format!("registration-{}", had.made)),
            ("timestamp", format!("{DAY}T10:00:{:02}.000Z", had.made)),
            ("email", body["email"].as_str().unwrap().to_owned()),
            ("locationId", location),
        ]);
        let mut answer = json!(person);
        if self.has(Defect::NoId) {
            answer.as_object_mut().unwrap().remove("id");
        }
        if self.has(Defect::NoTimestamp) {
            answer.as_object_mut().unwrap().remove("timestamp");
        }
        had.people.push(person);
        said(self.made(), answer)
    }

    fn contacts(&self, had: &mut Had, email: &str, cursor: usize, limit: usize) -> Said {
        let same = |person: &&BTreeMap<&str, String>| match self.has(Defect::CaseMatters) {
            true => person["email"] == email,
            false => person["email"].eq_ignore_ascii_case(email),
        };
        let lags = self.lags(had, "contacts");
        let Some(asked) = had.people.iter().find(same) else { return page(Vec::new(), 0, limit) };
        let mut found: Vec<Value> = had
            .people
            .iter()
            .filter(|person| person["locationId"] == asked["locationId"])
            .filter(|person| person["id"] != asked["id"] || self.has(Defect::OwnContact))
            .map(|person| json!(person))
            .collect();
        let elsewhere = had.people.iter().find(|person| person["locationId"] != asked["locationId"]);
        if self.has(Defect::ContactElsewhere) {
            found.push(json!(elsewhere.unwrap()));
        }
        if self.has(Defect::ContactMoved) {
            let mut moved = elsewhere.unwrap().clone();
            moved.insert("locationId", asked["locationId"].clone());
            moved.insert("timestamp", format!("{DAY}T10:01:00.000Z"));
            found.push(json!(moved));
        }
        if self.has(Defect::LostContact) || lags {
            found.pop();
        }
        if self.has(Defect::ContactsReversed) {
            found.reverse();
        }
        page(found, cursor, limit)
    }
}

/// A page of a list and the cursor of the next one, which is the place of its first item.
fn page(all: Vec<Value>, from: usize, limit: usize) -> Said {
    let more = all.len() > from + limit;
    let items: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    (200, Value::Array(items), more.then(|| (from + limit).to_string()))
}

async fn respond(api: Arc<Api>, call: Request) -> Response {
    let (head, body) = call.into_parts();
    let body = axum::body::to_bytes(body, 65_536).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.replace("%40", "@"))).collect();
    let path = head.uri.path().trim_start_matches('/').to_owned();
    let signed = head.headers.contains_key("authorization");
    let (status, body, next) = api.answer(head.method.as_str(), &path, &query, signed, &body);
    let mut answer = Response::builder().status(status);
    if api.defect != Some(Defect::NoVersion) {
        answer = answer.header("x-causeway-version", "1.0");
    }
    if let Some(next) = next {
        answer = answer.header("x-next", next);
    }
    answer.body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }).unwrap()
}

/// Runs the checks against an API; how they ended, what they had passed, and what the API still has.
async fn run(defect: Option<Defect>, locations: &[&str]) -> (Result<(), Fault>, Checks, Arc<Api>) {
    let had = Had { locations: locations.iter().map(|id| (*id).to_owned()).collect(), ..Had::default() };
    let api = Arc::new(Api { defect, had: Mutex::new(had) });
    let served = Arc::clone(&api);
    let app = axum::Router::new().fallback(move |call: Request| respond(Arc::clone(&served), call));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let open = ApiClient::new(&url).unwrap();
    let keys = Keys { id: "AKIA".to_owned(), secret: "s".to_owned(), token: None };
    let signed = open.signing(keys, "eu-central-1");
    let mut checks = Checks::new(open, Some(signed));
    let wanted = Wanted { checkin: Some("1.0+a".to_owned()), contacts: Some("1.0+b".to_owned()) };
    let ended = checks.run(&wanted).await.map_err(|error| from_error(&error));
    (ended, checks, api)
}

const CHECKS: [&str; 12] = [
    "the version of checkin is the deployed one",
    "checkin is up",
    "the version of contacts is the deployed one",
    "contacts is up",
    "protected routes refuse unsigned calls",
    "locations are listed",
    "unknown locations, bad dates and bad windows are refused",
    "what no route takes is refused by a function",
    "ten people check in",
    "today's registrations hold them",
    "somebody's contacts are those at the same location",
    "registrations are removed",
];

#[tokio::test]
async fn an_api_without_a_defect_passes_and_keeps_nobody() {
    for seeded in [&[][..], &["location-x", "location-y"]] {
        let (ended, checks, api) = run(None, seeded).await;
        ended.unwrap();
        assert_eq!(checks.passed(), CHECKS);
        assert_eq!(checks.registrations().len(), PEOPLE);
        let had = api.had.lock().unwrap();
        assert!(had.people.is_empty());
        assert_eq!(had.locations.len(), if seeded.is_empty() { SEEDS } else { 2 });
    }
}

#[tokio::test]
async fn what_is_listed_a_moment_late_passes() {
    let (ended, checks, api) = run(Some(Defect::Lags), &[]).await;
    ended.unwrap();
    assert_eq!(checks.passed(), CHECKS);
    assert!(api.had.lock().unwrap().asked.values().all(|asked| *asked > 2));
}

#[tokio::test]
async fn every_defect_fails_its_own_check() {
    let mut wrong = Vec::new();
    for (defect, on, why) in DEFECTS {
        let (ended, checks, _) = run(Some(*defect), &[]).await;
        match ended {
            Ok(()) => wrong.push(format!("{defect:?}: every check passed")),
            Err(fault) if !fault.on.contains(on) || !fault.why.contains(why) => {
                wrong.push(format!("{defect:?}: {fault}"));
            }
            Err(fault) if checks.passed().contains(&fault.on) => {
                wrong.push(format!("{defect:?}: it passed before it failed"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_fault_names_a_person() {
    for (defect, ..) in DEFECTS {
        let (ended, ..) = run(Some(*defect), &[]).await;
        let text = ended.unwrap_err().to_string();
        assert!(
            ["example.com", "+1 555", "Test Person"].iter().all(|part| !text.contains(part)),
            "{defect:?}: {text}"
        );
    }
}
