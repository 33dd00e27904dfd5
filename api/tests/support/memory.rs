//! A store in memory with the same promises as the table's, for tests of handlers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::cursor::Page;
use api::model::{Day, Location, Registration};
use api::store::{Consistency, Listing, Store, StoreError, Stretch};
use uuid::Uuid;

/// The store; its clones share what is in it. With `broken` every question fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    pub(crate) locations: Arc<Mutex<BTreeMap<String, Location>>>,
    pub(crate) registrations: Arc<Mutex<BTreeMap<String, (Registration, i64)>>>,
    pub(crate) broken: bool,
    /// How many registrations one read of a stretch looks at; all when it is none. The service ends a read after 1 MB.
    pub(crate) read_size: usize,
    /// How many stretches were read.
    pub(crate) reads: Arc<AtomicUsize>,
}

impl MemoryStore {
    fn check(&self) -> Result<(), StoreError> {
        if self.broken {
            Err(StoreError::new("Query", "ProvisionedThroughputExceededException"))
        } else {
            Ok(())
        }
    }
}

fn page_of<T: Clone>(rows: impl Iterator<Item = (String, T)>, page: &Page) -> Listing<T> {
    let after = page.after.as_deref().unwrap_or_default();
    let mut rows: Vec<(String, T)> =
        rows.filter(|(key, _)| key.as_str() > after).take(page.limit + 1).collect();
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = rows.last().map(|(key, _)| key.clone()).filter(|_| more);
    Listing { items: rows.into_iter().map(|(_, row)| row).collect(), next }
}

impl Store for MemoryStore {
    async fn locations(&self, page: &Page) -> Result<Listing<Location>, StoreError> {
        self.check()?;
        let locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(page_of(locations.clone().into_iter(), page))
    }

    async fn location(&self, id: Uuid) -> Result<Option<Location>, StoreError> {
        self.check()?;
        let locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(locations.get(&id.to_string()).cloned())
    }

    async fn add_location(&self, location: &Location) -> Result<(), StoreError> {
        self.check()?;
        let mut locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        locations.insert(location.id.to_string(), location.clone());
        Ok(())
    }

    async fn remove_location(&self, id: Uuid) -> Result<bool, StoreError> {
        self.check()?;
        let mut locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(locations.remove(&id.to_string()).is_some())
    }

    async fn add_registration(&self, registration: &Registration, expires_at: i64) -> Result<(), StoreError> {
        self.check()?;
        let mut registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = registrations.insert(registration.sort_key(), (registration.clone(), expires_at));
        assert!(taken.is_none(), "a registration was overwritten");
        Ok(())
    }

    async fn registrations(
        &self,
        day: Day,
        location: Option<Uuid>,
        now: i64,
        page: &Page,
    ) -> Result<Listing<Registration>, StoreError> {
        self.check()?;
        let registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = registrations.into_iter().filter(|(_, (registration, expires_at))| {
            registration.timestamp.day() == day
                && *expires_at > now
                && location.is_none_or(|location| registration.location_id == location)
        });
        Ok(page_of(wanted.map(|(key, (registration, _))| (key, registration)), page))
    }

    async fn stretch(&self, stretch: &Stretch, _: Consistency) -> Result<Listing<Registration>, StoreError> {
        self.check()?;
        assert!(stretch.places.len() <= Stretch::MAX_PLACES, "too many places for one read");
        self.reads.fetch_add(1, Ordering::Relaxed);
        let registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let range = stretch.from.clone()..=stretch.to.clone();
        let mut rows = registrations.range(range).filter(|(_, (row, _))| row.timestamp.day() == stretch.day);
        let size = if self.read_size == 0 { usize::MAX } else { self.read_size };
        let looked_at: Vec<_> = rows.by_ref().take(size).collect();
        let more = rows.next().is_some();
        let next = looked_at.last().map(|(key, _)| (*key).clone()).filter(|_| more);
        let wanted = looked_at.into_iter().filter(|(_, (row, expires_at))| {
            *expires_at > stretch.now
                && (stretch.places.is_empty() || stretch.places.contains(&row.location_id))
        });
        Ok(Listing { items: wanted.map(|(_, (row, _))| row.clone()).collect(), next })
    }

    async fn remove_registration(&self, day: Day, sort_key: &str) -> Result<bool, StoreError> {
        self.check()?;
        let mut registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let there = registrations.get(sort_key).is_some_and(|(row, _)| row.timestamp.day() == day);
        Ok(there && registrations.remove(sort_key).is_some())
    }
}
