//! The connection to the source provider, which a person must finish once.

use aws_sdk_codeconnections::Client;
use aws_sdk_codeconnections::types::ConnectionStatus;

use super::error::explain;
use super::session::Account;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be used.
    Available,
    /// A person must finish it in the console.
    Pending,
    /// It is broken, or in a state that is not known.
    Other,
}

/// How the connection of that ARN stands. Changes nothing.
///
/// # Errors
/// There is no such connection, or it may not be looked at.
pub async fn standing(account: &Account, arn: &str) -> anyhow::Result<Standing> {
    let answer = Client::new(account.sdk()).get_connection().connection_arn(arn).send().await;
    let answer = answer.map_err(|error| explain(error, "look at the connection", arn))?;
    Ok(match answer.connection().and_then(|connection| connection.connection_status()) {
        Some(ConnectionStatus::Available) => Standing::Available,
        Some(ConnectionStatus::Pending) => Standing::Pending,
        _ => Standing::Other,
    })
}
