//! The routes of this function, and which handler answers each.

use api::about;
use api::cursor::{self, PARAMETERS};
use api::guard::Entry;
use api::problem::Failure;
use api::query::Query;
use api::serve::{Context, Routes, Table};
use api::store::Store;
use axum::Extension;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;

use crate::question::Question;
use crate::search;

/// All of its routes. `openapi.yaml` has the same, and a test holds them together.
pub(crate) fn routes<S: Store>() -> Routes<S> {
    vec![
        ("/api/contacts/version", get(about::version)),
        ("/api/contacts/health", get(about::health)),
        ("/api/contacts", get(list::<S>)),
    ]
}

/// Who shared a place with somebody on a day, in the order of time, a page at a time.
async fn list<S: Store>(
    Table(store): Table<S>,
    Extension(entry): Extension<Entry>,
    Extension(context): Extension<Context>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let known = ["dt", "email", "window", PARAMETERS[0], PARAMETERS[1]];
    let question = Question::from_query(&Query::parse(query.as_deref(), &known)?)?;
    let page = search::page(&question, context.now.seconds(), &*store).await?;
    let path = format!("{}/api/contacts?{}", entry.base, question.to_query());
    let next = page.next.map(|progress| progress.encode(&question));
    Ok(cursor::listed(&page.contacts, &path, next))
}
