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

use api::clients::{sdk_config, soon};
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

async fn start() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let table = settings.table_name.clone();
    let store = soon(|| DynamoStore::new(aws_sdk_dynamodb::Client::new(&sdk_config()), table));
    let retention_days = settings.retention_days;
    api::serve::run(IDENTITY, &settings, move |request, context| {
        let store = store.clone();
        async move { routes::handle(&request, &**store, &context, retention_days).await }
    })
    .await
}
