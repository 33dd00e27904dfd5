//! Places people check in at.

use api::cursor::{self, Page};
use api::event::Request;
use api::fields;
use api::model::{Location, Partition};
use api::problem::{Failure, Problem};
use api::response::Response;
use api::router::Call;
use api::serve::Context;
use api::store::Store;
use uuid::Uuid;

use crate::form::Form;
use crate::routes::Operation;

/// All locations, by id, a page at a time.
pub(crate) async fn list<S: Store>(
    call: &Call<Operation>,
    request: &Request,
    store: &S,
) -> Result<Response, Failure> {
    let page = Page::from_query(&call.query, Partition::Locations)?;
    let listing = store.locations(&page).await?;
    let path = format!("{}/api/locations?limit={}", request.base, page.limit);
    Ok(cursor::linked(
        Response::json(200, &listing.items)?,
        &path,
        listing.next.as_deref().map(cursor::encode),
    ))
}

/// One location.
pub(crate) async fn get<S: Store>(call: &Call<Operation>, store: &S) -> Result<Response, Failure> {
    let location = store.location(id(call)?).await?.ok_or_else(unknown)?;
    Ok(Response::json(200, &location)?)
}

/// A new location with an id of ours.
pub(crate) async fn create<S: Store>(
    request: &Request,
    store: &S,
    context: &Context,
) -> Result<Response, Failure> {
    let mut form = Form::read(request)?;
    let name = form.take("locationName", fields::location_name);
    form.finish()?;
    let location = Location { id: (context.fresh_id)(), name };
    store.add_location(&location).await?;
    let path = format!("{}/api/locations/{}", request.base, location.id);
    Ok(Response::json(201, &location)?.with("location", path))
}

/// Removes a location, and answers when it is gone. The original answers before.
pub(crate) async fn delete<S: Store>(call: &Call<Operation>, store: &S) -> Result<Response, Failure> {
    if store.remove_location(id(call)?).await? { Ok(Response::empty(204)) } else { Err(unknown().into()) }
}

fn id(call: &Call<Operation>) -> Result<Uuid, Problem> {
    fields::uuid(&call.segment).map_err(|reason| Problem::parameter("id", reason))
}

/// No location has this id.
pub(crate) fn unknown() -> Problem {
    Problem::new(404, "there is no location with this id")
}
