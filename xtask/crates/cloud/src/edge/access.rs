//! Who may use a route that asks for an AWS signature.
//!
//! Source: "Control access to HTTP APIs with AWS IAM authorization" and "Control access to a REST API with IAM permissions" in
//! the API Gateway developer guide. An HTTP API has no policy of its own, and that of a REST API is not looked at, so only callers
//! of its own account get in, with a signature for `execute-api` and the right to
//! invoke the route. Signatures in a query are not taken here.

use http::request::Parts;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::front::Signer;
use causeway_aws::sign::Authorization;

/// Somebody who may.
#[derive(Clone)]
pub(super) struct Caller(Signer);

impl Caller {
    /// What the event says of the caller.
    pub(super) fn to_event(&self) -> Value {
        let Signer { account, arn, keys, .. } = &self.0;
        json!({
            "accessKey": keys.id,
            "accountId": account,
            "callerId": keys.id,
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": arn,
            "userId": keys.id,
        })
    }

    /// The same in an event of format 1.0.
    pub(super) fn to_identity(&self) -> Value {
        let Signer { account, arn, keys, .. } = &self.0;
        json!({"accessKey": keys.id, "accountId": account, "caller": keys.id, "user": keys.id, "userArn": arn})
    }
}

/// The caller of a route of this API; `None` for whoever may not.
///
/// # Errors
/// The emulator cannot be asked.
pub(super) async fn caller(
    cloud: &Cloud,
    account: &str,
    (api, stage, path): (&str, &str, &str),
    parts: &Parts,
    body: &[u8],
) -> anyhow::Result<Option<Caller>> {
    let Some(authorization) = Authorization::read(&parts.headers) else { return Ok(None) };
    let Some(signer) = cloud.identities.signer(&authorization.access_key) else { return Ok(None) };
    let region = cloud.emulator.region();
    let right = authorization.service == "execute-api"
        && signer.account == account
        && authorization.is_right(&signer.keys, region, parts, body, causeway_machine::clock::now());
    if !right {
        return Ok(None);
    }
    // An account's root may do everything in it.
    let Some(role) = &signer.role else { return Ok(Some(Caller(signer))) };
    let route = format!("arn:aws:execute-api:{region}:{account}:{api}/{stage}/{}{path}", parts.method);
    let question = [
        ("PolicySourceArn", role.as_str()),
        ("ActionNames.member.1", "execute-api:Invoke"),
        ("ResourceArns.member.1", &route),
    ];
    let answer = cloud.emulator.query(account, "iam", "SimulatePrincipalPolicy", &question).await?;
    let path = ["SimulatePrincipalPolicyResult", "EvaluationResults", "member", "EvalDecision"];
    Ok((answer.text_at(&path) == "allowed").then_some(Caller(signer)))
}
