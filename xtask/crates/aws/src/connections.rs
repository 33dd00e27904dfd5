//! The connection to the source provider, which a person must finish once.

use serde::Deserialize;
use serde_json::json;

use super::error::explain;
use super::json::Client;
use super::session::Account;
use super::spoken::CODECONNECTIONS;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Standing {
    /// It can be used.
    Available,
    /// A person must finish it in the console.
    Pending,
    /// It is broken, or in a state that is not known.
    #[serde(other)]
    Other,
}

/// The answer of `GetConnection`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    connection: Connection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Connection {
    connection_status: Standing,
}

/// How the connection of that ARN stands. Changes nothing.
///
/// # Errors
/// There is no such connection, or it may not be looked at.
pub async fn standing(account: &Account, arn: &str) -> anyhow::Result<Standing> {
    let client = Client::new(account, &CODECONNECTIONS);
    let found = client.call::<Found>("GetConnection", json!({"ConnectionArn": arn})).await;
    let found = found.map_err(|error| explain(error, "look at the connection", arn))?;
    Ok(found.connection.connection_status)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Script;
    use super::*;

    #[tokio::test]
    async fn a_state_that_is_not_known_is_not_available() {
        for (status, expected) in [
            ("AVAILABLE", Standing::Available),
            ("PENDING", Standing::Pending),
            ("ERROR", Standing::Other),
            ("A_NEW_WORD", Standing::Other),
        ] {
            let (script, account) =
                Script::start(vec![(200, json!({"Connection": {"ConnectionStatus": status}}).to_string())])
                    .await;
            assert_eq!(standing(&account, "arn").await.unwrap(), expected);
            let target = "com.amazonaws.codeconnections.CodeConnections_20231201.GetConnection";
            assert_eq!(
                (script.sent()[0]["x-amz-target"].as_str(), script.bodies()[0].as_str()),
                (target, r#"{"ConnectionArn":"arn"}"#)
            );
        }
        let (_, account) = Script::start(vec![(200, "{}".to_owned())]).await;
        assert!(standing(&account, "arn").await.is_err(), "an answer without a connection");
    }
}
