//! What the handlers ask of the table: a few questions, so that they can be tested without one.

mod dynamo;

use std::future::Future;

use uuid::Uuid;

use crate::cursor::Page;
use crate::model::{Day, Location, Moment, Registration};

pub use dynamo::DynamoStore;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items in the order of their sort keys. There can be fewer than asked for, even none, with more to come.
    pub items: Vec<T>,
    /// The sort key to go on behind; `None` at the end.
    pub next: Option<String>,
}

/// A part of a day, for a single read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The day.
    pub day: Day,
    /// The first sort key that is wanted, or where one would stand.
    pub from: String,
    /// The last one, likewise.
    pub to: String,
    /// Only registrations at one of these places; all when there is none. At most [`Stretch::MAX_PLACES`].
    pub places: Vec<Uuid>,
    /// Only registrations that expire after this (seconds since 1970).
    pub now: i64,
}

impl Stretch {
    /// DynamoDB compares with at most a hundred values ("Condition and filter expressions", `IN`).
    pub const MAX_PLACES: usize = 100;

    /// The whole day.
    #[must_use]
    pub fn whole(day: Day, now: i64) -> Self {
        // Every sort key of a day is its text, a T and more.
        Self { day, from: day.to_string(), to: format!("{day}U"), places: Vec::new(), now }
    }

    /// From one moment to another of the day, both included.
    #[must_use]
    pub fn between(day: Day, from: Moment, to: Moment, now: i64) -> Self {
        // A dollar sign sorts right behind the number sign that ends the time in a sort key.
        Self { from: from.to_string(), to: format!("{to}$"), ..Self::whole(day, now) }
    }

    /// What stands behind a sort key, to the same end.
    #[must_use]
    pub fn behind(self, sort_key: &str) -> Self {
        // All sort keys of a day are equally long, so nothing sorts between one and its longer form.
        Self { from: format!("{sort_key}!"), ..self }
    }

    /// One sort key alone.
    #[must_use]
    pub fn single(day: Day, sort_key: &str, now: i64) -> Self {
        Self { from: sort_key.to_owned(), to: sort_key.to_owned(), ..Self::whole(day, now) }
    }
}

/// The store did not do what it was asked. Nothing in here comes from a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {code}")]
pub struct StoreError {
    /// What was tried, in the service's words.
    pub operation: &'static str,
    /// The service's error code, or what kept us from getting one.
    pub code: String,
    /// The service's id of the request, to look it up there.
    pub service_request_id: Option<String>,
}

impl StoreError {
    /// An error that has no request id.
    #[must_use]
    pub fn new(operation: &'static str, code: &str) -> Self {
        Self { operation, code: code.to_owned(), service_request_id: None }
    }
}

/// How fresh a read is. A consistent one costs twice as much ("Read consistency" in the DynamoDB developer guide), so each has
/// a reason, which is what the contract says of the operation:
///
/// * one location, consistent: whoever follows the `location` of a 201 finds it, and checks in there at once;
/// * a day's registrations, consistent: once a removal is answered, nobody is shown who was removed;
/// * the look for what is to be removed, consistent: a 404 would say that nothing is kept of somebody of whom something is;
/// * the list of locations, eventual: it is what every phone reads, and a desk may be listed a moment later;
/// * the search for contacts, eventual: it reads the most of all, over several reads and pages that are of no one moment anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every write that was answered before it began.
    Strong,
    /// It may miss what was written in the last second or so.
    Eventual,
}

/// The table. Every method fails with a [`StoreError`] when the service does.
pub trait Store: Send + Sync + 'static {
    /// A page of all locations.
    fn locations(&self, page: &Page) -> impl Future<Output = Result<Listing<Location>, StoreError>> + Send;

    /// One location, if it exists.
    fn location(&self, id: Uuid) -> impl Future<Output = Result<Option<Location>, StoreError>> + Send;

    /// Adds a location. Never overwrites one: an id that is taken is an error.
    fn add_location(&self, location: &Location) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a location, and has done so when it returns; says whether there was one. Registrations keep
    /// its name. When the service's answer is lost and the client asks again, it finds nothing and says so.
    fn remove_location(&self, id: Uuid) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Adds a registration, to be gone at `expires_at` (seconds since 1970). Never overwrites one.
    fn add_registration(
        &self,
        registration: &Registration,
        expires_at: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A page of a day's registrations that have not expired at `now` (seconds since 1970), of one location if one is given.
    fn registrations(
        &self,
        day: Day,
        location: Option<Uuid>,
        now: i64,
        page: &Page,
    ) -> impl Future<Output = Result<Listing<Registration>, StoreError>> + Send;

    /// One read of a stretch, which the service ends after 1 MB: `next` is then the last sort key it looked at,
    /// though it may have found nothing. For who counts the reads of a request.
    fn stretch(
        &self,
        stretch: &Stretch,
        consistency: Consistency,
    ) -> impl Future<Output = Result<Listing<Registration>, StoreError>> + Send;

    /// Removes a registration, and has done so when it returns; says whether there was one.
    fn remove_registration(
        &self,
        day: Day,
        sort_key: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_holds_the_keys_it_should() {
        let day: Day = "2024-02-29".parse().unwrap();
        let at = |time: &str| -> Moment { format!("2024-02-29T{time}Z").parse().unwrap() };
        let key = |time: &str| crate::model::sort_key(at(time), Uuid::max());
        let holds =
            |stretch: &Stretch, key: &str| (stretch.from.as_str()..=stretch.to.as_str()).contains(&key);
        let hour = Stretch::between(day, at("08:00:00.000000"), at("09:00:00.000000"), 0);
        let behind = hour.clone().behind(&key("08:30:00.000000"));
        let single = Stretch::single(day, &key("08:00:00.000000"), 0);
        for (time, in_hour, in_rest, alone) in [
            ("07:59:59.999999", false, false, false),
            ("08:00:00.000000", true, false, true),
            ("08:30:00.000000", true, false, false),
            ("08:30:00.000001", true, true, false),
            ("09:00:00.000000", true, true, false),
            ("09:00:00.000001", false, false, false),
        ] {
            let key = key(time);
            assert!(holds(&Stretch::whole(day, 0), &key), "{time}");
            assert_eq!((holds(&hour, &key), holds(&behind, &key)), (in_hour, in_rest), "{time}");
            assert_eq!(holds(&single, &key), alone, "{time}");
        }
        for other in ["2024-02-28T23:59:59.999999Z#x", "2024-03-01T00:00:00.000000Z#x"] {
            assert!(!holds(&Stretch::whole(day, 0), other), "{other}");
        }
    }
}
