//! From SDK errors to ones a person can act on.

use std::error::Error as StdError;
use std::fmt::Write as _;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use causeway_model::fault::{Fault, Kind};

/// What an AWS call failed on, as a [`Fault`].
///
/// `what` is the act ("describe the stack"), `on` its object. Credentials that are missing, expired or refused become
/// [`Kind::Credentials`], and so does a host that does not exist, as in a region without the service. A service's own code
/// and message are kept, with the status and the request's id, which AWS's support asks for; an answer that cannot be read
/// is told by its first bytes, and every fault says what to do next.
pub(crate) fn explain<E>(error: SdkError<E, HttpResponse>, what: &str, on: &str) -> anyhow::Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Reason { kind, why, next } = reason(&error);
    anyhow::Error::new(Fault::new(kind, what, on).why(why).next(next))
}

/// What to do where a service's host does not exist: AWS names hosts by region, so it is the region or the network.
const NO_SUCH_HOST: &str = "see that `region` in cfn/stacks.toml is spelled right and has this service, and that the network is up; nothing was changed by this call";
const SIGN_IN: &str = "sign in again (`aws sso login --profile …`), or check the profile in ~/.aws/config";
const CLOCK: &str =
    "set this machine's clock: AWS refuses signatures whose time is more than a few minutes off its own";
const UNREACHED: &str =
    "see that this machine reaches AWS (network, VPN, proxy), then run the same command again";
const THROTTLED: &str = "wait a minute, then run the same command again; something else may be asking AWS for much in this account";
const AWS_FAILS: &str = "run the same command again; if it stays, see AWS's health dashboard, and give AWS's support the request's id";
const NO_RIGHT: &str = "have who administers the account allow what the message names; `cargo xtask prove --bootstrap-policies` prints what this tool needs";
const GARBLED: &str = "run the same command again; if it stays, something between this machine and AWS answers in its place (a proxy, a sign-in page)";
const AS_IT_SAYS: &str =
    "fix what the message names, then run the same command again; it goes on from what stands";

/// Whether a service could not be asked because its host has no address.
pub(super) fn is_unknown_host(why: &str) -> bool {
    why.contains("dns error") || why.contains("failed to lookup address")
}

/// Why a call failed, and what to do about it.
struct Reason {
    kind: Kind,
    why: String,
    next: &'static str,
}

fn reason<E>(error: &SdkError<E, HttpResponse>) -> Reason
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let failed = |why: String, next| Reason { kind: Kind::Failed, why, next };
    match error {
        SdkError::ServiceError(service) => {
            let (raw, error) = (service.raw(), service.err());
            let status = raw.status().as_u16();
            let request = error.meta().request_id();
            let request = request.map_or_else(String::new, |id| format!(", request {id}"));
            let about = format!("(status {status}{request})");
            let body = begins(raw.body().bytes().unwrap_or_default());
            let Some(code) = error.code().filter(|code| !code.is_empty()) else {
                return if raw.status().is_success() {
                    failed(format!("the answer could not be read: it begins {body} {about}"), GARBLED)
                } else {
                    let next = if status == 429 { THROTTLED } else { AWS_FAILS };
                    failed(
                        format!("it answered with an error that has no code: it begins {body} {about}"),
                        next,
                    )
                };
            };
            let message = error.message().unwrap_or("no message");
            let (kind, next) = class(code, status, message);
            Reason { kind, why: format!("{code}: {message} {about}"), next }
        }
        SdkError::ResponseError(response) => {
            let raw = response.raw();
            let body = begins(raw.body().bytes().unwrap_or_default());
            let status = raw.status().as_u16();
            let chain = chain(error);
            failed(
                format!("the answer could not be read: {chain}; it begins {body} (status {status})"),
                GARBLED,
            )
        }
        SdkError::TimeoutError(_) => {
            let why = "the service did not answer in time".to_owned();
            Reason { kind: Kind::TimedOut, why, next: UNREACHED }
        }
        other => {
            let why = chain(other);
            match (is_unknown_host(&why), lacks_credentials(&why)) {
                (true, _) => Reason { kind: Kind::Credentials, why, next: NO_SUCH_HOST },
                (_, true) => Reason { kind: Kind::Credentials, why, next: SIGN_IN },
                _ => failed(why, UNREACHED),
            }
        }
    }
}

/// What kind of refusal a code is, and what to do about it.
fn class(code: &str, status: u16, message: &str) -> (Kind, &'static str) {
    if is_about_time(code, message) {
        return (Kind::Credentials, CLOCK);
    }
    if refuses_credentials(code) {
        return (Kind::Credentials, SIGN_IN);
    }
    let word = |words: &[&str]| words.iter().any(|word| code.contains(word));
    let next = if word(&["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"]) || status == 429 {
        THROTTLED
    } else if status >= 500 {
        AWS_FAILS
    } else if word(&["AccessDenied", "UnauthorizedOperation", "NotAuthorized"]) || status == 403 {
        NO_RIGHT
    } else {
        AS_IT_SAYS
    };
    (Kind::Failed, next)
}

/// Whether a signature was refused for its time ("Troubleshoot Signature Version 4 signing for AWS API requests" in the IAM
/// user guide; "RequestTimeTooSkewed" in the S3 API reference).
fn is_about_time(code: &str, message: &str) -> bool {
    let says = |words: &str| message.contains(words);
    code == "RequestTimeTooSkewed"
        || (code.contains("Signature") || code.contains("RequestExpired"))
            && (says("Signature expired") || says("Signature not yet current"))
}

/// Whether the code says that the credentials themselves were refused.
fn refuses_credentials(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "OptInRequired"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidAccessKeyId"
    )
}

/// Whether the SDK says that it found no credentials to begin with.
fn lacks_credentials(text: &str) -> bool {
    ["credential", "profile", "sso", "token is expired", "session"]
        .iter()
        .any(|word| text.to_lowercase().contains(word))
}

/// How many bytes of an answer that cannot be read are shown.
const SHOWN: usize = 60;
/// What follows one of these words may be a secret or a parameter's value.
const PRIVATE: [&str; 8] = [
    "secret",
    "token",
    "password",
    "parametervalue",
    "outputvalue",
    "accesskey",
    "credential",
    "templatebody",
];
/// A word of so many letters and digits may be a key.
const LIKE_A_KEY: usize = 20;

/// The first bytes of an answer, in quotes, without what may be private.
fn begins(body: &[u8]) -> String {
    if body.is_empty() {
        return "with nothing: it is empty".to_owned();
    }
    // Cut first, so that what is looked for below stands in what is shown or nowhere.
    let first = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    let lower = first.to_ascii_lowercase();
    let end = PRIVATE.iter().filter_map(|word| lower.find(word)).min();
    let open = &first[..end.unwrap_or(first.len())];
    let mut shown = String::new();
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut rest = open;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c| !is_of_key(c)).unwrap_or(rest.len());
        if word >= LIKE_A_KEY && rest[..word].bytes().any(|b| b.is_ascii_digit()) {
            shown.push('…');
            rest = &rest[word..];
        } else if word > 0 {
            shown.push_str(&rest[..word]);
            rest = &rest[word..];
        } else {
            let _ = write!(shown, "{}", c.escape_default());
            rest = &rest[c.len_utf8()..];
        }
    }
    let more = if end.is_some() || body.len() > SHOWN { "…" } else { "" };
    format!("\"{shown}{more}\"")
}

/// Every cause, outermost first, without repetition.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::super::cloudformation::Stacks;
    use super::super::scripted::{Script, error};
    use super::*;
    use causeway_model::fault::from_error;

    #[test]
    fn credentials_are_told_apart() {
        assert!(refuses_credentials("ExpiredToken"));
        assert!(refuses_credentials("OptInRequired"), "a region that the account has not enabled");
        assert!(!refuses_credentials("AccessDenied"));
        assert!(lacks_credentials("dispatch failure: the credential provider was not enabled"));
        assert!(!lacks_credentials("dispatch failure: io error: connection refused"));
        assert!(is_unknown_host(
            "dispatch failure: io error: dns error: failed to lookup address information"
        ));
    }

    /// Every error has its status, the request where there is one, and what to do next.
    #[tokio::test]
    async fn every_error_says_what_to_do_next() {
        let old = "Signature expired: 20261128T060000Z is now earlier than 20261128T065500Z";
        let table = [
            (400, "Throttling", "Rate exceeded", Kind::Failed, "wait a minute"),
            (503, "ServiceUnavailable", "m", Kind::Failed, "health dashboard"),
            (500, "InternalFailure", "m", Kind::Failed, "health dashboard"),
            (403, "AccessDenied", "User x is not authorized", Kind::Failed, "--bootstrap-policies"),
            (
                404,
                "ChangeSetNotFound",
                "ChangeSet [x] does not exist",
                Kind::Failed,
                "goes on from what stands",
            ),
            (400, "ValidationError", "Template error", Kind::Failed, "fix what the message names"),
            (403, "ExpiredToken", "m", Kind::Credentials, "sso login"),
            (403, "SignatureDoesNotMatch", old, Kind::Credentials, "clock"),
            (403, "RequestTimeTooSkewed", "m", Kind::Credentials, "clock"),
        ];
        for (status, code, message, kind, next) in table {
            let replies = vec![(error(status, code, message), vec![("x-amzn-requestid", "r-1".to_owned())])];
            let (_, account) = Script::with_headers(replies).await;
            let fault = from_error(&Stacks::new(&account).template("app").await.unwrap_err());
            assert_eq!(fault.why, format!("{code}: {message} (status {status}, request r-1)"));
            assert_eq!(fault.kind, kind, "{code}");
            assert!(fault.next.contains(next), "{code}: {}", fault.next);
        }
        for (status, body, why, next) in [
            (
                200,
                "<html>Please sign in</html>",
                "the answer could not be read: it begins \"<html>Please sign in</html>\" (status 200",
                "sign-in page",
            ),
            (200, "", "the answer could not be read: it begins with nothing", "sign-in page"),
            (
                502,
                "<html>Bad gateway",
                "an error that has no code: it begins \"<html>Bad gateway\" (status 502",
                "health",
            ),
            (429, "slow", "an error that has no code: it begins \"slow\" (status 429", "wait a minute"),
        ] {
            let (_, account) = Script::start(vec![(status, body.to_owned())]).await;
            let fault = from_error(&Stacks::new(&account).template("app").await.unwrap_err());
            assert!(fault.why.contains(why), "{}", fault.why);
            assert!(fault.next.contains(next), "{}", fault.next);
        }
    }

    #[test]
    fn the_first_bytes_have_no_secrets() {
        for (body, shown) in [
            ("", "with nothing: it is empty"),
            ("<html>\n\u{7}é", "\"<html>\\n\\u{7}\\u{e9}\""),
            ("<SecretAccessKey>abc</SecretAccessKey>", "\"<…\""),
            ("<a><ParameterValue>hunter2</ParameterValue>", "\"<a><…\""),
            ("{\"sessionToken\": \"x\"}", "\"{\\\"session…\""),
            ("key wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY end", "\"key … end\""),
            (
                "<DescribeStacksResponse><DescribeStacksResult>",
                "\"<DescribeStacksResponse><DescribeStacksResult>\"",
            ),
        ] {
            assert_eq!(begins(body.as_bytes()), shown);
        }
        assert_eq!(begins("x ".repeat(99).as_bytes()).len(), SHOWN + "\"…\"".len());
        assert!(!begins(&[0xff; 9]).is_empty());
    }
}
