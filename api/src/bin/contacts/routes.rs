//! The routes of this function, and which handler answers each.

use api::about;
use api::cursor::{self, PARAMETERS as PAGE};
use api::event::Request;
use api::problem::Failure;
use api::response::Response;
use api::router::{self, Call, Route};
use api::serve::Context;
use api::store::Store;

use crate::question::Question;
use crate::search;

/// What this function can do, in the words of an OpenAPI document's operation ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    GetContactsVersion,
    GetContactsHealth,
    ListContacts,
}

/// All of its routes.
pub(crate) const ROUTES: &[Route<Operation>] = &[
    Route {
        method: "GET",
        path: "/api/contacts/version",
        query: &[],
        operation: Operation::GetContactsVersion,
    },
    Route {
        method: "GET",
        path: "/api/contacts/health",
        query: &[],
        operation: Operation::GetContactsHealth,
    },
    Route {
        method: "GET",
        path: "/api/contacts",
        query: &["dt", "email", "window", PAGE[0], PAGE[1]],
        operation: Operation::ListContacts,
    },
];

/// Answers a request. Whatever comes in, an answer goes out, and it says which code made it.
pub(crate) async fn handle<S: Store>(request: &Request, store: &S, context: &Context) -> Response {
    let (route, answer) = match router::find(ROUTES, request) {
        Ok(call) => (call.route, answer(&call, request, store, context).await),
        Err(miss) => (miss.route, Err(miss.problem.into())),
    };
    answer.unwrap_or_else(|failure| failure.into_response(context)).signed(route, context)
}

async fn answer<S: Store>(
    call: &Call<Operation>,
    request: &Request,
    store: &S,
    context: &Context,
) -> Result<Response, Failure> {
    match call.operation {
        Operation::GetContactsVersion => Ok(about::version(context)?),
        Operation::GetContactsHealth => Ok(about::health(context)?),
        Operation::ListContacts => list(call, request, store, context).await,
    }
}

/// Who shared a place with somebody on a day, in the order of time, a page at a time.
async fn list<S: Store>(
    call: &Call<Operation>,
    request: &Request,
    store: &S,
    context: &Context,
) -> Result<Response, Failure> {
    let question = Question::from_query(&call.query)?;
    let page = search::page(&question, context.now.seconds(), store).await?;
    let path = format!("{}/api/contacts?{}", request.base, question.to_query());
    let next = page.next.map(|progress| progress.encode(&question));
    Ok(cursor::linked(Response::json(200, &page.contacts)?, &path, next))
}
