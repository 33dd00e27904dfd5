//! How a function starts: its log, its settings, its clients, its routes. What fails there is said, and ends the process.

use std::process::ExitCode;

use crate::clients::{Aws, Soon};
use crate::serve::{Identity, Routes, run};
use crate::settings::Settings;
use crate::store::DynamoStore;

/// Runs a function until Lambda ends the process.
pub async fn start(identity: Identity, routes: Routes<DynamoStore>) -> ExitCode {
    start_as(identity, |_| Ok((identity, routes))).await
}

/// The same for one that follows from its settings.
pub async fn start_as(
    identity: Identity,
    made: impl FnOnce(&Settings) -> Result<(Identity, Routes<DynamoStore>), lambda_http::Error>,
) -> ExitCode {
    crate::log::init(identity);
    match serve(made).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(function = identity.function, version = identity.version, %error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn serve(
    made: impl FnOnce(&Settings) -> Result<(Identity, Routes<DynamoStore>), lambda_http::Error>,
) -> Result<(), lambda_http::Error> {
    let (settings, aws) = (Settings::from_env()?, Aws::from_env()?);
    let (identity, routes) = made(&settings)?;
    let table = settings.table_name.clone();
    let store = Soon::make(|| DynamoStore::new(aws_sdk_dynamodb::Client::new(&aws.sdk_config()), table));
    run(identity, settings, routes, store).await
}
