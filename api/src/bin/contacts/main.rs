//! The function `contacts`: who shared a place with somebody, and what it says of itself. It only reads.

mod cursor;
mod identity;
mod question;
mod routes;
mod search;
#[cfg(test)]
mod tests;
mod visits;

use std::process::ExitCode;

use identity::IDENTITY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    api::start::start(IDENTITY, routes::routes()).await
}
