//! From SDK errors to ones a person can act on.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use causeway_model::fault::{Fault, Kind};

/// What an AWS call failed on, as a [`Fault`].
///
/// `what` is the act ("describe the stack"), `on` its object. Credentials that are missing, expired or refused become
/// [`Kind::Credentials`], and so does a host that does not exist, as in a region without the service; a service's own code
/// and message are kept, and the request's id, which AWS's support asks for; an endpoint that does not answer is named.
pub(crate) fn explain<E, R>(error: SdkError<E, R>, what: &str, on: &str) -> anyhow::Error
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: std::fmt::Debug + 'static,
{
    let (kind, why) = reason(&error);
    let fault = Fault::new(kind, what, on).why(why);
    anyhow::Error::new(match kind {
        Kind::Credentials if is_unknown_host(&fault.why) => fault.next(NO_SUCH_HOST),
        Kind::Credentials => {
            fault.next("sign in again (`aws sso login --profile …`), or check the profile in ~/.aws/config")
        }
        _ => fault,
    })
}

/// What to do where a service's host does not exist: AWS names hosts by region, so it is the region or the network.
const NO_SUCH_HOST: &str = "see that `region` in cfn/stacks.toml is spelled right and has this service, and that the network is up; nothing was changed by this call";

/// Whether a service could not be asked because its host has no address.
pub(super) fn is_unknown_host(why: &str) -> bool {
    why.contains("dns error") || why.contains("failed to lookup address")
}

fn reason<E, R>(error: &SdkError<E, R>) -> (Kind, String)
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("unknown error");
            let message = service.err().message().unwrap_or("no message");
            let kind = if refuses_credentials(code) { Kind::Credentials } else { Kind::Failed };
            let request = service.err().meta().request_id();
            let request = request.map_or_else(String::new, |id| format!(" (request {id})"));
            (kind, format!("{code}: {message}{request}"))
        }
        SdkError::TimeoutError(_) => (Kind::TimedOut, "the service did not answer in time".to_owned()),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
            let text = chain(error);
            let refused = lacks_credentials(&text) || is_unknown_host(&text);
            let kind = if refused { Kind::Credentials } else { Kind::Failed };
            (kind, text)
        }
        other => (Kind::Failed, chain(other)),
    }
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
    use super::*;

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
}
