//! The function `contacts` as a version that is broken on purpose: its own routes, and what `broken.rs` puts around them.

#[path = "../../broken.rs"]
mod broken;
#[path = "../contacts/cursor.rs"]
mod cursor;
#[path = "../contacts/identity.rs"]
mod identity;
#[path = "../contacts/question.rs"]
mod question;
#[path = "../contacts/routes.rs"]
mod routes;
#[path = "../contacts/search.rs"]
mod search;
#[path = "../contacts/visits.rs"]
mod visits;

use std::process::ExitCode;

use identity::IDENTITY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    broken::run(IDENTITY, routes::routes()).await
}
