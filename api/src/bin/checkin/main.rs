//! The function `checkin`: locations, registrations, and what it says of itself.

mod form;
mod identity;
#[cfg(test)]
mod limits;
mod locations;
mod registrations;
mod routes;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use identity::IDENTITY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    api::start::start(IDENTITY, routes::routes()).await
}
