//! The routes of this function, and which handler answers each.

use api::about;
use api::serve::Routes;
use api::store::Store;
use axum::Json;
use axum::routing::get;

use crate::{locations, registrations};

/// All of its routes. `openapi.yaml` has the same, and a test holds them together.
pub(crate) fn routes<S: Store>() -> Routes<S> {
    vec![
        ("/api/version", get(about::version)),
        ("/api/health", get(about::health)),
        // Two constants: the original's second probe.
        ("/api/values", get(async || Json(["value1", "value2"]))),
        ("/api/locations", get(locations::list::<S>).post(locations::create::<S>)),
        ("/api/locations/{id}", get(locations::get::<S>).delete(locations::delete::<S>)),
        ("/api/registrations", get(registrations::list::<S>).post(registrations::create::<S>)),
        ("/api/registrations/{id}", axum::routing::delete(registrations::delete::<S>)),
    ]
}
