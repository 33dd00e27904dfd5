//! Who was where on a day.

use api::cursor::{self, PARAMETERS, Page};
use api::fields;
use api::guard::Entry;
use api::model::{Day, Moment, Partition, Registration, sort_key};
use api::problem::{Failure, Problem};
use api::query::Query;
use api::serve::{Context, Table};
use api::store::{Consistency, Store, Stretch};
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use uuid::Uuid;

use crate::form::Form;
use crate::locations;

const SECONDS_PER_DAY: i64 = 86_400;

/// A deletion without `timestamp` looks through its day for the id, 1 MB (some 3000 check-ins) a read, and reads so
/// often at most.
pub(crate) const MAX_READS: usize = 8;

/// The registrations of a day, of one location if one is named, in the order of time, a page at a time.
pub(crate) async fn list<S: Store>(
    Table(store): Table<S>,
    Extension(entry): Extension<Entry>,
    Extension(context): Extension<Context>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query.as_deref(), &["dt", "locationId", PARAMETERS[0], PARAMETERS[1]])?;
    let day = day(&query)?;
    let location = query.get("locationId").map(fields::uuid).transpose();
    let location = location.map_err(|reason| Problem::parameter("locationId", reason))?;
    let page = Page::from_query(&query, Partition::Day(day))?;
    let listing = store.registrations(day, location, context.now.seconds(), &page).await?;
    let mut path = format!("{}/api/registrations?dt={day}", entry.base);
    if let Some(location) = location {
        path.push_str(&format!("&locationId={location}"));
    }
    path.push_str(&format!("&limit={}", page.limit));
    Ok(cursor::listed(&listing.items, &path, listing.next.as_deref().map(cursor::encode)))
}

/// Registers a person at a location, now.
pub(crate) async fn create<S: Store>(
    Table(store): Table<S>,
    Extension(context): Extension<Context>,
    mut form: Form,
) -> Result<(StatusCode, Json<Registration>), Failure> {
    let location_id = form.take("locationId", fields::uuid);
    let name = form.take("name", fields::person_name);
    let phone_number = form.take("phoneNumber", fields::phone_number);
    let email = form.take("email", fields::email);
    form.finish()?;
    let location = store.location(location_id).await?.ok_or_else(locations::unknown)?;
    let registration = Registration {
        id: (context.fresh_id)(),
        location_id,
        location_name: location.name,
        timestamp: context.now,
        name,
        phone_number,
        email,
    };
    let expires_at = context.now.seconds() + context.settings.retention_days * SECONDS_PER_DAY;
    store.add_registration(&registration, expires_at).await?;
    Ok((StatusCode::CREATED, Json(registration)))
}

/// Removes a registration: people can ask for that. The key begins with the time, which the id alone does not tell:
/// `dt` names the day to look through, and `timestamp`, where it is given, the very item.
pub(crate) async fn delete<S: Store>(
    Table(store): Table<S>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Failure> {
    let query = Query::parse(query.as_deref(), &["dt", "timestamp"])?;
    let id = fields::uuid(&id).map_err(|reason| Problem::parameter("id", reason))?;
    let day = day(&query)?;
    let timestamp = query.get("timestamp").map(str::parse::<Moment>).transpose();
    let timestamp = timestamp.map_err(|reason| Problem::parameter("timestamp", reason))?;
    let sort_key = match timestamp {
        // A time of another day is no time of this one: there is nothing to remove.
        Some(moment) => (moment.day() == day).then(|| sort_key(moment, id)),
        None => find(day, id, &*store).await?,
    };
    let removed = match sort_key {
        Some(sort_key) => store.remove_registration(day, &sort_key).await?,
        None => false,
    };
    if removed {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(404, "there is no registration with this id on that day").into())
}

/// The sort key of the registration with this id, also of one that has expired and is not yet gone.
async fn find<S: Store>(day: Day, id: Uuid, store: &S) -> Result<Option<String>, Failure> {
    let mut stretch = Stretch::whole(day, 0);
    for _ in 0..MAX_READS {
        let read = store.stretch(&stretch, Consistency::Strong).await?;
        if let Some(found) = read.items.iter().find(|registration| registration.id == id) {
            return Ok(Some(found.sort_key()));
        }
        let Some(next) = read.next else { return Ok(None) };
        stretch = stretch.behind(&next);
    }
    let reason = "is required too: that day holds more than one request looks through";
    Err(Problem::parameter("timestamp", reason).into())
}

fn day(query: &Query) -> Result<Day, Problem> {
    let given = query.get("dt").ok_or_else(|| Problem::parameter("dt", "is required"))?;
    given.parse().map_err(|reason: &str| Problem::parameter("dt", reason))
}
