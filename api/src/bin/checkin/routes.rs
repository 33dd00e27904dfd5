//! The routes of this function, and which handler answers each.

use api::about;
use api::cursor::PARAMETERS as PAGE;
use api::event::Request;
use api::problem::Failure;
use api::response::Response;
use api::router::{self, Call, Route};
use api::serve::Context;
use api::store::Store;

use crate::{locations, registrations};

/// What this function can do, in the words of an OpenAPI document's operation ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    GetVersion,
    GetHealth,
    ListValues,
    ListLocations,
    CreateLocation,
    GetLocation,
    DeleteLocation,
    ListRegistrations,
    CreateRegistration,
    DeleteRegistration,
}

/// All of its routes.
pub(crate) const ROUTES: &[Route<Operation>] = &[
    Route { method: "GET", path: "/api/version", query: &[], operation: Operation::GetVersion },
    Route { method: "GET", path: "/api/health", query: &[], operation: Operation::GetHealth },
    Route { method: "GET", path: "/api/values", query: &[], operation: Operation::ListValues },
    Route { method: "GET", path: "/api/locations", query: &PAGE, operation: Operation::ListLocations },
    Route { method: "POST", path: "/api/locations", query: &[], operation: Operation::CreateLocation },
    Route { method: "GET", path: "/api/locations/{id}", query: &[], operation: Operation::GetLocation },
    Route { method: "DELETE", path: "/api/locations/{id}", query: &[], operation: Operation::DeleteLocation },
    Route {
        method: "GET",
        path: "/api/registrations",
        query: &["dt", "locationId", PAGE[0], PAGE[1]],
        operation: Operation::ListRegistrations,
    },
    Route {
        method: "POST",
        path: "/api/registrations",
        query: &[],
        operation: Operation::CreateRegistration,
    },
    Route {
        method: "DELETE",
        path: "/api/registrations/{id}",
        query: &["dt", "timestamp"],
        operation: Operation::DeleteRegistration,
    },
];

/// Answers a request. Whatever comes in, an answer goes out, and it says which code made it.
pub(crate) async fn handle<S: Store>(
    request: &Request,
    store: &S,
    context: &Context,
    retention_days: i64,
) -> Response {
    let (route, answer) = match router::find(ROUTES, request) {
        Ok(call) => (call.route, answer(&call, request, store, context, retention_days).await),
        Err(miss) => (miss.route, Err(miss.problem.into())),
    };
    answer.unwrap_or_else(|failure| failure.into_response(context)).signed(route, context)
}

async fn answer<S: Store>(
    call: &Call<Operation>,
    request: &Request,
    store: &S,
    context: &Context,
    retention_days: i64,
) -> Result<Response, Failure> {
    match call.operation {
        Operation::GetVersion => Ok(about::version(context)?),
        Operation::GetHealth => Ok(about::health(context)?),
        // Two constants: the original's second probe.
        Operation::ListValues => Ok(Response::json(200, &["value1", "value2"])?),
        Operation::ListLocations => locations::list(call, request, store).await,
        Operation::CreateLocation => locations::create(request, store, context).await,
        Operation::GetLocation => locations::get(call, store).await,
        Operation::DeleteLocation => locations::delete(call, store).await,
        Operation::ListRegistrations => registrations::list(call, request, store, context).await,
        Operation::CreateRegistration => registrations::create(request, store, context, retention_days).await,
        Operation::DeleteRegistration => registrations::delete(call, store).await,
    }
}
