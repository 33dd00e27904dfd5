//! The function `checkin`: locations, registrations, and what it says of itself.

mod form;
#[cfg(test)]
mod limits;
mod locations;
mod registrations;
mod routes;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use api::clients::{Aws, Soon};
use api::serve::Identity;
use api::settings::Settings;
use api::store::DynamoStore;

/// The version is compiled in here and not into the library, so that a new one rebuilds this function only.
const IDENTITY: Identity = Identity {
    function: "checkin",
    version: match option_env!("CAUSEWAY_VERSION_CHECKIN") {
        Some(stamped) => stamped,
        None => concat!(env!("CARGO_PKG_VERSION"), "+unstamped"),
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    api::log::init(IDENTITY);
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(function = IDENTITY.function, version = IDENTITY.version, %error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), lambda_http::Error> {
    let (settings, aws) = (Settings::from_env()?, Aws::from_env()?);
    let table = settings.table_name.clone();
    let store = Soon::make(|| DynamoStore::new(aws_sdk_dynamodb::Client::new(&aws.sdk_config()), table));
    api::serve::run(IDENTITY, settings, routes::routes(), store).await
}
