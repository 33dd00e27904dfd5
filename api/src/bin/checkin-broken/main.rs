//! The function `checkin` as a version that is broken on purpose: its own routes, and what `broken.rs` puts around them.

#[path = "../../broken.rs"]
mod broken;
#[path = "../checkin/form.rs"]
mod form;
#[path = "../checkin/identity.rs"]
mod identity;
#[path = "../checkin/locations.rs"]
mod locations;
#[path = "../checkin/registrations.rs"]
mod registrations;
#[path = "../checkin/routes.rs"]
mod routes;

use std::process::ExitCode;

use identity::IDENTITY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    broken::run(IDENTITY, routes::routes()).await
}
