//! Places people check in at.

use api::cursor::{self, PARAMETERS, Page};
use api::fields;
use api::guard::Entry;
use api::model::{Location, Partition};
use api::problem::{Failure, Problem};
use api::query::Query;
use api::serve::{Context, Table};
use api::store::Store;
use axum::extract::{Path, RawQuery};
use axum::http::{StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use uuid::Uuid;

use crate::form::Form;

/// All locations, by id, a page at a time.
pub(crate) async fn list<S: Store>(
    Table(store): Table<S>,
    Extension(entry): Extension<Entry>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query.as_deref(), &PARAMETERS)?;
    let page = Page::from_query(&query, Partition::Locations)?;
    let listing = store.locations(&page).await?;
    let path = format!("{}/api/locations?limit={}", entry.base, page.limit);
    Ok(cursor::listed(&listing.items, &path, listing.next.as_deref().map(cursor::encode)))
}

/// One location.
pub(crate) async fn get<S: Store>(
    Table(store): Table<S>,
    Path(id): Path<String>,
) -> Result<Json<Location>, Failure> {
    Ok(Json(store.location(read(&id)?).await?.ok_or_else(unknown)?))
}

/// A new location with an id of ours.
pub(crate) async fn create<S: Store>(
    Table(store): Table<S>,
    Extension(entry): Extension<Entry>,
    Extension(context): Extension<Context>,
    mut form: Form,
) -> Result<impl IntoResponse, Failure> {
    let name = form.take("locationName", fields::location_name);
    form.finish()?;
    let location = Location { id: (context.fresh_id)(), name };
    store.add_location(&location).await?;
    let path = format!("{}/api/locations/{}", entry.base, location.id);
    Ok((StatusCode::CREATED, [(LOCATION, path)], Json(location)))
}

/// Removes a location, and answers when it is gone. The original answers before.
pub(crate) async fn delete<S: Store>(
    Table(store): Table<S>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    if store.remove_location(read(&id)?).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown().into()) }
}

fn read(id: &str) -> Result<Uuid, Problem> {
    fields::uuid(id).map_err(|reason| Problem::parameter("id", reason))
}

/// No location has this id.
pub(crate) fn unknown() -> Problem {
    Problem::new(404, "there is no location with this id")
}
