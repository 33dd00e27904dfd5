//! Who the caller is, and sessions of other roles.

use super::error::explain;
use super::session::Account;
use crate::model::fault::Fault;
use crate::model::keys::Keys;

/// The id of the account that the credentials belong to.
pub(super) async fn caller_account(account: &Account) -> anyhow::Result<String> {
    let client = aws_sdk_sts::Client::new(account.sdk());
    let on = account
        .profile
        .as_ref()
        .map_or_else(|| account.name.clone(), |p| format!("{} (profile {p})", account.name));
    let answer = client.get_caller_identity().send().await.map_err(|error| {
        let error = explain(error, "find out whose credentials these are", &on);
        with_login_line(error, account.profile.as_deref())
    })?;
    answer
        .account()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Fault::failed("read the caller's account", on).into())
}

/// A session of a role. `name` shows up in the role's records as the session's name.
pub(crate) async fn assume_role(account: &Account, role_arn: &str, name: &str) -> anyhow::Result<Keys> {
    let client = aws_sdk_sts::Client::new(account.sdk());
    let answer = client
        .assume_role()
        .role_arn(role_arn)
        .role_session_name(name)
        .send()
        .await
        .map_err(|error| explain(error, "assume the role", role_arn))?;
    let keys = answer
        .credentials()
        .ok_or_else(|| Fault::failed("assume the role", role_arn).why("no keys came back"))?;
    Ok(Keys {
        id: keys.access_key_id().to_owned(),
        secret: keys.secret_access_key().to_owned(),
        token: Some(keys.session_token().to_owned()),
    })
}

/// Names the exact line that renews a session, where a profile is known.
fn with_login_line(error: anyhow::Error, profile: Option<&str>) -> anyhow::Error {
    match (error.downcast::<Fault>(), profile) {
        (Ok(fault), Some(profile)) if fault.kind == crate::model::fault::Kind::Credentials => fault
            .next(format!("aws sso login --profile {profile}   (or mend the profile in ~/.aws/config)"))
            .into(),
        (Ok(fault), _) => fault.into(),
        (Err(error), _) => error,
    }
}
