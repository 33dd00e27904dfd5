//! The integration tests' checks, one after the other; the first that fails ends them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, ApiClient};
use crate::model::fault::Fault;

/// What is seeded where there is no location yet: the original's eighteen.
const SEEDS: usize = 18;
/// How many people check in.
const PEOPLE: usize = 10;

/// A run of the checks.
pub(crate) struct Checks {
    api: ApiClient,
    requests: usize,
    passed: Vec<String>,
    locations: Vec<String>,
    registrations: Vec<String>,
}

impl Checks {
    /// Against an API.
    pub(crate) fn new(api: ApiClient) -> Self {
        Self { api, requests: 0, passed: Vec::new(), locations: Vec::new(), registrations: Vec::new() }
    }

    /// The names of the checks that passed.
    pub(crate) fn passed(&self) -> &[String] {
        &self.passed
    }

    /// How many requests were sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// How many locations there were.
    pub(crate) fn locations(&self) -> usize {
        self.locations.len()
    }

    /// The ids of the registrations that were made.
    pub(crate) fn registrations(&self) -> &[String] {
        &self.registrations
    }

    /// Runs all of them.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) async fn run(&mut self, version: &str, expected: Option<&str>) -> anyhow::Result<()> {
        if let Some(expected) = expected
            && expected != version
        {
            return Err(failed(
                "the version is the deployed one",
                &format!("expected {expected}, {version} answered"),
            ));
        }
        self.pass("the version is the deployed one");
        let health = self.get("api/health", StatusCode::OK).await?;
        if health.body.get("status").and_then(Value::as_str) != Some("ok") {
            return Err(failed("health", "the status is not ok"));
        }
        self.pass("health");
        self.seed().await?;
        self.refusals().await?;
        self.check_in().await?;
        self.today().await
    }

    /// All locations are listed; where there are none, they are made.
    async fn seed(&mut self) -> anyhow::Result<()> {
        self.locations = self.ids("api/locations", "locationId").await?;
        if self.locations.is_empty() {
            for n in 1..=SEEDS {
                let name = if n <= SEEDS / 2 { format!("Desk {n}") } else { format!("Room {n}") };
                let made =
                    self.post("api/locations", &json!({"locationName": name}), StatusCode::CREATED).await?;
                self.locations.push(text(&made.body, "locationId", "POST api/locations")?);
            }
            let listed = self.ids("api/locations", "locationId").await?;
            if self.locations.iter().any(|id| !listed.contains(id)) {
                return Err(failed("locations are listed", "one that was made is missing"));
            }
        }
        self.pass("locations are listed");
        Ok(())
    }

    /// What must be refused is refused.
    async fn refusals(&mut self) -> anyhow::Result<()> {
        let unknown = uuid::Uuid::new_v4();
        self.get(&format!("api/locations/{unknown}"), StatusCode::NOT_FOUND).await?;
        let person = person(&unknown.to_string(), 0);
        self.post("api/registrations", &person, StatusCode::NOT_FOUND).await?;
        self.get("api/registrations?dt=2026-02-30", StatusCode::BAD_REQUEST).await?;
        self.pass("unknown locations and bad dates are refused");
        Ok(())
    }

    /// People check in at locations, and each location is read back.
    async fn check_in(&mut self) -> anyhow::Result<()> {
        for n in 0..PEOPLE {
            let at =
                usize::try_from(uuid::Uuid::new_v4().as_u128() % (self.locations.len() as u128)).unwrap_or(0);
            let location = self.locations[at].clone();
            let made = self.post("api/registrations", &person(&location, n), StatusCode::CREATED).await?;
            self.registrations.push(text(&made.body, "id", "POST api/registrations")?);
            let back = self.get(&format!("api/locations/{location}"), StatusCode::OK).await?;
            if back.body.get("locationId").and_then(Value::as_str) != Some(location.as_str()) {
                return Err(failed("a location is read back", "another one came"));
            }
        }
        self.pass("ten people check in");
        Ok(())
    }

    /// All of them are among today's registrations. At midnight today may have become yesterday.
    async fn today(&mut self) -> anyhow::Result<()> {
        let now = crate::clock::now();
        let mut found = Vec::new();
        for day in [now, now - jiff::SignedDuration::from_hours(24)] {
            let day = day.strftime("%Y-%m-%d").to_string();
            found.extend(self.ids(&format!("api/registrations?dt={day}"), "id").await?);
            if self.registrations.iter().all(|id| found.contains(id)) {
                self.pass("today's registrations hold them");
                return Ok(());
            }
        }
        let missing = self.registrations.iter().filter(|id| !found.contains(id)).count();
        Err(failed("today's registrations hold them", &format!("{missing} of {PEOPLE} are missing")))
    }

    /// A field of every item of a list, all pages.
    async fn ids(&mut self, path: &str, field: &str) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page = match &next {
                Some(cursor) => format!("{path}{join}next={cursor}"),
                None => path.to_owned(),
            };
            let answer = self.get(&page, StatusCode::OK).await?;
            let items = answer.body.as_array().ok_or_else(|| failed(path, "the answer is no list"))?;
            for item in items {
                ids.push(text(item, field, path)?);
            }
            match answer.next {
                Some(cursor) if next.as_ref() != Some(&cursor) => next = Some(cursor),
                _ => return Ok(ids),
            }
        }
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
        self.requests += 1;
        let answer = self.api.send(method.clone(), path, body).await?;
        if answer.status != status {
            return Err(failed(
                &format!("{method} {path}"),
                &format!("expected {status}, it answered {}", answer.status),
            ));
        }
        if answer.version.is_none() {
            return Err(failed(&format!("{method} {path}"), "the answer does not name its version"));
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
fn person(location: &str, n: usize) -> Value {
    json!({
        "locationId": location,
        "name": format!("Test Person {n}"),
        "phoneNumber": format!("+1 555 01{n:02}"),
        "email": format!("person{n}@example.com"),
    })
}
