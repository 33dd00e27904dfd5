//! Who was where on a day.

use std::str::FromStr;

use api::cursor::{self, Page};
use api::event::Request;
use api::fields;
use api::form::Form;
use api::model::{Day, Partition, Registration};
use api::problem::{Failure, Problem};
use api::response::Response;
use api::router::Call;
use api::serve::Context;
use api::store::Store;

use crate::locations;
use crate::routes::Operation;

const SECONDS_PER_DAY: i64 = 86_400;

/// The registrations of a day, of one location if one is named, in the order of time, a page at a time.
pub(crate) async fn list<S: Store>(
    call: &Call<Operation>,
    request: &Request,
    store: &S,
    context: &Context,
) -> Result<Response, Failure> {
    let given = call.query.get("dt").ok_or_else(|| Problem::parameter("dt", "is required"))?;
    let day = Day::from_str(given).map_err(|reason| Problem::parameter("dt", reason))?;
    let location = call.query.get("locationId").map(fields::uuid).transpose();
    let location = location.map_err(|reason| Problem::parameter("locationId", reason))?;
    let page = Page::from_query(&call.query, Partition::Day(day))?;
    let listing = store.registrations(day, location, context.now.seconds(), &page).await?;
    let mut path = format!("{}/api/registrations?dt={day}", request.base);
    if let Some(location) = location {
        path.push_str(&format!("&locationId={location}"));
    }
    path.push_str(&format!("&limit={}", page.limit));
    Ok(cursor::linked(Response::json(200, &listing.items)?, &path, listing.next.as_deref()))
}

/// Registers a person at a location, now.
pub(crate) async fn create<S: Store>(
    request: &Request,
    store: &S,
    context: &Context,
    retention_days: i64,
) -> Result<Response, Failure> {
    let mut form = Form::read(request)?;
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
    let expires_at = context.now.seconds() + retention_days * SECONDS_PER_DAY;
    store.add_registration(&registration, expires_at).await?;
    Ok(Response::json(201, &registration)?)
}
