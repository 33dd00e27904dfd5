//! The integration tests' checks, one after the other; the first that fails ends them.
//!
//! Everybody in them is made up, and everything about them is removed again.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, ApiClient, without_query};
use causeway_model::fault::Fault;

/// What is seeded where there is no location yet: the original's eighteen.
const SEEDS: usize = 18;
/// How many people check in.
const PEOPLE: usize = 10;
/// So many of them, the first ones, do so at one location: they are each other's contacts in any case.
const TOGETHER: usize = 3;

/// A list that may lag behind what was written is asked for so many times, with a pause between: the contract of the API says
/// which lists do.
const LOOKS: u32 = 5;
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(1) };

/// What should answer.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The version of `checkin`; any when there is none.
    pub checkin: Option<String>,
    /// The version of `contacts`, likewise.
    pub contacts: Option<String>,
}

/// Somebody's check-in, as it was answered.
#[derive(Debug, Clone)]
struct CheckIn {
    id: String,
    timestamp: String,
    location: String,
    email: String,
}

/// A run of the checks.
pub struct Checks {
    open: ApiClient,
    /// Where protected routes ask for a signature: the client that has one.
    signed: Option<ApiClient>,
    requests: usize,
    passed: Vec<String>,
    locations: Vec<String>,
    people: Vec<CheckIn>,
}

impl Checks {
    /// Against an API; `signed` where its protected routes ask for a signature.
    pub fn new(open: ApiClient, signed: Option<ApiClient>) -> Self {
        Self { open, signed, requests: 0, passed: Vec::new(), locations: Vec::new(), people: Vec::new() }
    }

    /// The names of the checks that passed.
    pub fn passed(&self) -> &[String] {
        &self.passed
    }

    /// How many requests were sent.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// How many locations there were.
    pub fn locations(&self) -> usize {
        self.locations.len()
    }

    /// The ids of the registrations that were made.
    pub fn registrations(&self) -> Vec<&str> {
        self.people.iter().map(|check_in| check_in.id.as_str()).collect()
    }

    /// Runs all of them.
    ///
    /// # Errors
    /// The first check that fails.
    pub async fn run(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        self.functions(wanted).await?;
        self.locked().await?;
        self.seed().await?;
        self.refusals().await?;
        self.check_in().await?;
        self.today().await?;
        self.contacts().await?;
        self.remove().await
    }

    /// Each function is up and of the deployed version.
    async fn functions(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        for (function, base, wanted) in
            [("checkin", "api", &wanted.checkin), ("contacts", "api/contacts", &wanted.contacts)]
        {
            let answer = self.get(&format!("{base}/version"), StatusCode::OK).await?;
            let text =
                |key: &str| answer.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let check = format!("the version of {function} is the deployed one");
            if text("function") != function {
                return Err(failed(&check, &format!("{} answered", text("function"))));
            }
            if let Some(wanted) = wanted.as_ref().filter(|wanted| **wanted != text("version")) {
                return Err(failed(&check, &format!("expected {wanted}, {} answered", text("version"))));
            }
            self.pass(&check);
            let health = self.get(&format!("{base}/health"), StatusCode::OK).await?;
            if health.body.get("status").and_then(Value::as_str) != Some("ok") {
                return Err(failed(&format!("{function} is up"), "the status is not ok"));
            }
            self.pass(&format!("{function} is up"));
        }
        Ok(())
    }

    /// Where protected routes ask for a signature, none of them answers without one.
    async fn locked(&mut self) -> anyhow::Result<()> {
        if self.signed.is_none() {
            return Ok(());
        }
        let nobody = uuid::Uuid::new_v4();
        for (method, path, body) in [
            (Method::GET, "api/registrations?dt=2000-01-01".to_owned(), None),
            (Method::DELETE, format!("api/registrations/{nobody}?dt=2000-01-01"), None),
            (Method::GET, "api/contacts?dt=2000-01-01&email=nobody@example.com".to_owned(), None),
            (Method::POST, "api/locations".to_owned(), Some(json!({"locationName": "Nowhere"}))),
            (Method::DELETE, format!("api/locations/{nobody}"), None),
        ] {
            self.requests += 1;
            let answer = self.open.send(method.clone(), &path, body.as_ref()).await?;
            if answer.status != StatusCode::FORBIDDEN {
                let why = format!("without a signature it answered {}", answer.status);
                return Err(failed(&format!("{method} {} is refused", without_query(&path)), &why));
            }
        }
        self.pass("protected routes refuse unsigned calls");
        Ok(())
    }

    /// All locations are listed; where there are none, they are made.
    async fn seed(&mut self) -> anyhow::Result<()> {
        self.locations = self.ids("api/locations", "locationId").await?;
        if self.locations.is_empty() {
            for n in 1..=SEEDS {
                let name = if n <= SEEDS / 2 { format!("Desk {n}") } else { format!("Room {n}") };
                let body = json!({"locationName": name});
                let made =
                    self.protected(Method::POST, "api/locations", Some(&body), StatusCode::CREATED).await?;
                self.locations.push(text(&made.body, "locationId", "POST api/locations")?);
            }
            let mut looks = 0;
            loop {
                let listed = self.ids("api/locations", "locationId").await?;
                if self.locations.iter().all(|id| listed.contains(id)) {
                    break;
                }
                looks += 1;
                if looks == LOOKS {
                    return Err(failed("locations are listed", "one that was made is missing"));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.pass("locations are listed");
        Ok(())
    }

    /// What must be refused is refused.
    async fn refusals(&mut self) -> anyhow::Result<()> {
        let unknown = uuid::Uuid::new_v4();
        self.get(&format!("api/locations/{unknown}"), StatusCode::NOT_FOUND).await?;
        let person = person(&unknown.to_string(), "nobody", 0);
        self.post("api/registrations", &person, StatusCode::NOT_FOUND).await?;
        let get = Method::GET;
        self.protected(get.clone(), "api/registrations?dt=2026-02-30", None, StatusCode::BAD_REQUEST).await?;
        let window = "api/contacts?dt=2026-02-28&email=nobody@example.com&window=0";
        self.protected(get.clone(), window, None, StatusCode::BAD_REQUEST).await?;
        self.pass("unknown locations, bad dates and bad windows are refused");
        self.send(Method::PUT, "api/locations", None, StatusCode::METHOD_NOT_ALLOWED).await?;
        self.send(Method::DELETE, "api/contacts", None, StatusCode::METHOD_NOT_ALLOWED).await?;
        self.get("api/nothing", StatusCode::NOT_FOUND).await?;
        self.pass("what no route takes is refused by a function");
        Ok(())
    }

    /// People check in at locations, and each location is read back.
    async fn check_in(&mut self) -> anyhow::Result<()> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        for n in 0..PEOPLE {
            let random = uuid::Uuid::new_v4().as_u128() % (self.locations.len() as u128);
            let at = if n < TOGETHER { 0 } else { usize::try_from(random).unwrap_or(0) };
            let location = self.locations[at].clone();
            let person = person(&location, &run, n);
            let made = self.post("api/registrations", &person, StatusCode::CREATED).await?;
            let answered = |field| text(&made.body, field, "POST api/registrations");
            self.people.push(CheckIn {
                id: answered("id")?,
                timestamp: answered("timestamp")?,
                location: location.clone(),
                email: text(&person, "email", "a made-up person")?,
            });
            let back = self.get(&format!("api/locations/{location}"), StatusCode::OK).await?;
            if back.body.get("locationId").and_then(Value::as_str) != Some(location.as_str()) {
                return Err(failed("a location is read back", "another one came"));
            }
        }
        self.pass("ten people check in");
        Ok(())
    }

    /// The days on which people checked in: today, and at midnight also the one that has just begun.
    fn days(&self) -> BTreeSet<String> {
        self.people.iter().filter_map(|person| person.timestamp.get(..10)).map(ToOwned::to_owned).collect()
    }

    /// The ids of all registrations of those days.
    async fn registered(&mut self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for day in self.days() {
            found.extend(self.ids(&format!("api/registrations?dt={day}"), "id").await?);
        }
        Ok(found)
    }

    /// All of them are among today's registrations.
    async fn today(&mut self) -> anyhow::Result<()> {
        let found = self.registered().await?;
        let missing = self.people.iter().filter(|person| !found.contains(&person.id)).count();
        if missing > 0 {
            let why = format!("{missing} of {PEOPLE} are missing");
            return Err(failed("today's registrations hold them", &why));
        }
        self.pass("today's registrations hold them");
        Ok(())
    }

    /// The first person's contacts are those who were at the same location, and nobody else.
    async fn contacts(&mut self) -> anyhow::Result<()> {
        const CHECK: &str = "somebody's contacts are those at the same location";
        let Some(first) = self.people.first().cloned() else { return Ok(()) };
        let day = first.timestamp.get(..10).unwrap_or_default().to_owned();
        // In capitals: an address is compared without regard to them.
        let asked = format!("api/contacts?dt={day}&email={}&limit=2", first.email.to_uppercase());
        let near =
            |person: &&CheckIn| person.location == first.location && person.timestamp.starts_with(&day);
        let near: BTreeSet<String> =
            self.people[1..].iter().filter(near).map(|person| person.email.clone()).collect();
        let mut found = self.list(&asked).await?;
        for _ in 1..LOOKS {
            let has = |email: &String| found.iter().any(|contact| contact["email"] == **email);
            if near.iter().all(has) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            found = self.list(&asked).await?;
        }
        let mut emails = BTreeSet::new();
        let mut last = String::new();
        for contact in &found {
            let field = |name| text(contact, name, "GET api/contacts");
            if field("locationId")? != first.location {
                return Err(failed(CHECK, "one was somewhere else"));
            }
            if field("timestamp")? < last {
                return Err(failed(CHECK, "they are not in the order of time"));
            }
            last = field("timestamp")?;
            emails.insert(field("email")?);
        }
        let missing = near.iter().filter(|email| !emails.contains(*email)).count();
        if missing > 0 {
            return Err(failed(CHECK, &format!("{missing} are missing")));
        }
        let elsewhere = self.people.iter().filter(|person| person.location != first.location);
        if emails.contains(&first.email) || elsewhere.into_iter().any(|person| emails.contains(&person.email))
        {
            return Err(failed(CHECK, "there is one too many"));
        }
        self.pass(CHECK);
        Ok(())
    }

    /// Everybody is removed again, and then is not there.
    async fn remove(&mut self) -> anyhow::Result<()> {
        const CHECK: &str = "registrations are removed";
        for (n, person) in self.people.clone().into_iter().enumerate() {
            let day = person.timestamp.get(..10).unwrap_or_default();
            let path = format!("api/registrations/{}?dt={day}", person.id);
            // With the time and without it.
            let path = if n % 2 == 0 { path } else { format!("{path}&timestamp={}", person.timestamp) };
            self.protected(Method::DELETE, &path, None, StatusCode::NO_CONTENT).await?;
            if n == 0 {
                self.protected(Method::DELETE, &path, None, StatusCode::NOT_FOUND).await?;
            }
        }
        let found = self.registered().await?;
        if self.people.iter().any(|person| found.contains(&person.id)) {
            return Err(failed(CHECK, "one is still there"));
        }
        self.pass(CHECK);
        Ok(())
    }

    /// All items of a list, page after page.
    async fn list(&mut self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page = match &next {
                Some(cursor) => format!("{path}{join}next={cursor}"),
                None => path.to_owned(),
            };
            let answer = if path.starts_with("api/locations") {
                self.get(&page, StatusCode::OK).await?
            } else {
                self.protected(Method::GET, &page, None, StatusCode::OK).await?
            };
            let items =
                answer.body.as_array().ok_or_else(|| failed(without_query(path), "the answer is no list"))?;
            all.extend(items.iter().cloned());
            match answer.next {
                Some(cursor) if next.as_ref() != Some(&cursor) => next = Some(cursor),
                _ => return Ok(all),
            }
        }
    }

    /// A field of every item of a list.
    async fn ids(&mut self, path: &str, field: &str) -> anyhow::Result<Vec<String>> {
        let items = self.list(path).await?;
        items.iter().map(|item| text(item, field, without_query(path))).collect()
    }

    async fn get(&mut self, path: &str, status: StatusCode) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None, status).await
    }

    async fn post(&mut self, path: &str, body: &Value, status: StatusCode) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body), status).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        status: StatusCode,
    ) -> anyhow::Result<Answer> {
        let client = self.open.clone();
        self.ask(&client, method, path, body, status).await
    }

    /// A call of a route that a deployment can protect: signed where this one does.
    async fn protected(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        status: StatusCode,
    ) -> anyhow::Result<Answer> {
        let client = self.signed.clone().unwrap_or_else(|| self.open.clone());
        self.ask(&client, method, path, body, status).await
    }

    async fn ask(
        &mut self,
        client: &ApiClient,
        method: Method,
        path: &str,
        body: Option<&Value>,
        status: StatusCode,
    ) -> anyhow::Result<Answer> {
        self.requests += 1;
        let answer = client.send(method.clone(), path, body).await?;
        // What is asked for names people; the build's log must not.
        let check = format!("{method} {}", without_query(path));
        if answer.status != status {
            return Err(failed(&check, &format!("expected {status}, it answered {}", answer.status)));
        }
        if answer.version.is_none() {
            return Err(failed(&check, "the answer does not name its version"));
        }
        Ok(answer)
    }

    fn pass(&mut self, check: &str) {
        self.passed.push(check.to_owned());
    }
}

fn failed(check: &str, why: &str) -> anyhow::Error {
    Fault::failed("pass the integration test", check)
        .why(why)
        .next("see the function's log; prod was not touched")
        .into()
}

fn text(value: &Value, field: &str, on: &str) -> anyhow::Result<String> {
    let found = value.get(field).and_then(Value::as_str);
    found.map(ToOwned::to_owned).ok_or_else(|| failed(on, &format!("the answer has no `{field}`")))
}

/// A made-up person. The numbers are of a range that is kept for fiction, the domain is reserved for examples.
fn person(location: &str, run: &str, n: usize) -> Value {
    json!({
        "locationId": location,
        "name": format!("Test Person {n}"),
        "phoneNumber": format!("+1 555 01{n:02}"),
        "email": format!("person{n}.{run}@example.com"),
    })
}

#[cfg(test)]
mod tests;
