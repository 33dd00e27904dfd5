//! Who the caller is, and sessions of other roles.

use super::error::{explain, is_unknown_host};
use super::profiles::Seen;
use super::session::Account;
use super::waiting::Unreadable;
use causeway_model::fault::{Fault, Kind};
use causeway_model::keys::Keys;
use causeway_model::quoted::word;

fn client(account: &Account) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::config::Builder::from(account.sdk());
    aws_sdk_sts::Client::from_conf(config.interceptor(account.talk()).retry_classifier(Unreadable).build())
}

/// The id of the account that the credentials belong to.
pub(super) async fn caller_account(account: &Account) -> anyhow::Result<String> {
    let client = client(account);
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
pub async fn assume_role(account: &Account, role_arn: &str, name: &str) -> anyhow::Result<Keys> {
    let client = client(account);
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

/// Says why a profile gives no keys, and names the exact line that renews a session where AWS refused them.
fn with_login_line(error: anyhow::Error, profile: Option<&str>) -> anyhow::Error {
    match (error.downcast::<Fault>(), profile) {
        // Nothing was sent: there are no keys to sign with.
        (Ok(fault), Some(profile))
            if fault.kind == Kind::Credentials && fault.why.starts_with(UNSENT) && !is_unknown_host(&fault.why) =>
        {
            Seen::here().explain(fault, profile).into()
        }
        (Ok(fault), Some(profile)) if fault.kind == Kind::Credentials && !is_unknown_host(&fault.why) => fault
            .next(format!(
                "aws sso login --profile={}   (or fix the profile in ~/.aws/config; a region that the account has not enabled refuses valid keys, too)",
                word(profile)
            ))
            .into(),
        (Ok(fault), _) => fault.into(),
        (Err(error), _) => error,
    }
}

/// How the SDK says that it sent nothing.
const UNSENT: &str = "dispatch failure";

#[cfg(test)]
mod tests {
    use super::super::scripted::{Script, error};
    use super::*;
    use causeway_model::fault::from_error;

    /// An account without a profile has no line that would renew it.
    #[tokio::test]
    async fn refused_keys_name_the_line_that_renews_them() {
        for code in ["ExpiredToken", "InvalidClientTokenId", "OptInRequired"] {
            for (profile, next) in [
                (Some("acme-dev"), "aws sso login --profile=acme-dev "),
                // A person pastes it into a shell.
                (Some("-a;b $(id)\nc"), "aws sso login --profile='-a;b $(id)\nc' "),
                (None, "sign in again"),
            ] {
                let (script, mut account) = Script::start(vec![error(403, code, "it is not valid")]).await;
                account.profile = profile.map(ToOwned::to_owned);
                let error = caller_account(&account).await.unwrap_err();
                let fault = from_error(&error);
                assert_eq!(fault.kind, Kind::Credentials, "{code}");
                assert!(fault.why.contains(code), "{}", fault.why);
                assert!(fault.next.contains(next), "{}", fault.next);
                assert_eq!(script.asked(), ["GetCallerIdentity"]);
            }
        }
    }

    /// The hosts of a region that is misspelled or lacks the service do not resolve. Neither does a label of more than 63
    /// bytes, and no resolver of this machine's has to be asked about it.
    #[tokio::test]
    async fn a_region_without_the_service_is_named_as_the_reason() {
        let mut account = Account::anywhere(&format!("http://{}.invalid", "x".repeat(64)));
        account.profile = Some("acme-dev".to_owned());
        let error = caller_account(&account).await.unwrap_err();
        let fault = from_error(&error);
        assert_eq!(fault.kind, Kind::Credentials, "{}", fault.why);
        assert!(fault.next.contains("region"), "{}", fault.next);
        assert!(!fault.next.contains("sso login"), "{}", fault.next);
    }
}
