//! What the handlers ask of the table: six questions, so that they can be tested without one.

mod dynamo;

use std::future::Future;

use uuid::Uuid;

use crate::cursor::Page;
use crate::model::{Day, Location, Registration};

pub use dynamo::DynamoStore;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items in the order of their sort keys. There can be fewer than asked for, even none, with more to come.
    pub items: Vec<T>,
    /// The sort key to go on behind; `None` at the end.
    pub next: Option<String>,
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
}
