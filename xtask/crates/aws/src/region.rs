//! Whether a region has the services that are used here.
//!
//! Where a service is called anyway, it is asked itself: any answer of it, also a refusal, says that it is there.
//! For the others only the name of the endpoint is looked up, which AWS does not give to a region without the service.

use aws_smithy_runtime_api::client::result::SdkError;
use serde_json::{Value, json};

use super::json::{Client, Failure};
use super::session::Account;
use super::spoken::{CODECONNECTIONS, CODEDEPLOY, DYNAMODB, Service};

/// Endpoint names of the services that the tool does not call ("Service endpoints and quotas" in the AWS General
/// Reference). All others that a release uses are in every region.
const LOOKED_UP: [&str; 4] = ["codepipeline", "codebuild", "lambda", "apigateway"];

/// What of the services a region has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    /// Those that answered.
    pub answered: Vec<&'static str>,
    /// Those whose endpoint has an address; nothing was asked of it.
    pub resolved: Vec<&'static str>,
    /// Those that are not there.
    pub missing: Vec<&'static str>,
}

/// Looks for every service in the region of an account. Changes nothing.
///
/// `suffix` is that of the partition, for instance `amazonaws.com`.
pub async fn presence(account: &Account, suffix: &str) -> Presence {
    let ask = async |service: &'static Service, operation: &'static str, input: Value| {
        Client::new(account, service).call::<Value>(operation, input).await
    };
    let (connections, deployments, tables) = tokio::join!(
        ask(&CODECONNECTIONS, "ListConnections", json!({"MaxResults": 1})),
        ask(&CODEDEPLOY, "ListApplications", json!({})),
        ask(&DYNAMODB, "ListTables", json!({"Limit": 1})),
    );
    let mut found = Presence::default();
    let asked = [
        ("codeconnections", is_there(&connections)),
        ("codedeploy", is_there(&deployments)),
        ("dynamodb", is_there(&tables)),
    ];
    for (service, there) in asked {
        if there { found.answered.push(service) } else { found.missing.push(service) }
    }
    for service in LOOKED_UP {
        if resolves(&format!("{service}.{}.{suffix}", account.region())).await {
            found.resolved.push(service);
        } else {
            found.missing.push(service);
        }
    }
    found
}

/// Whether a service answered at all.
fn is_there(answer: &Result<Value, Failure>) -> bool {
    !matches!(answer, Err(SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)))
}

/// Whether a host has an address.
async fn resolves(host: &str) -> bool {
    tokio::net::lookup_host((host, 443)).await.is_ok_and(|mut addresses| addresses.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Script;
    use super::*;

    /// A name that has no address anywhere, and that no resolver has to be asked about: its label is longer than 63 bytes.
    fn impossible() -> String {
        format!("{}.invalid", "x".repeat(64))
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_silence_is_not() {
        let refusal = (400, json!({"__type": "AccessDeniedException", "message": "no"}).to_string());
        let (script, account) = Script::start(vec![refusal; 3]).await;
        let there = presence(&account, &impossible()).await;
        assert_eq!(there.answered, ["codeconnections", "codedeploy", "dynamodb"]);
        assert_eq!((there.resolved, there.missing), (Vec::new(), LOOKED_UP.to_vec()));
        assert_eq!(script.asked().len(), 3);
        // Bound and not listened to: it is ours, and refuses.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let nowhere = Account::at(&format!("http://{}", deaf.local_addr().unwrap()));
        let nobody = presence(&nowhere, &impossible()).await;
        assert_eq!((nobody.answered, nobody.missing.len()), (Vec::new(), 7));
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        assert!(resolves("localhost").await);
        assert!(!resolves(&impossible()).await);
    }
}
