//! Calls in whatever protocol, as a session of any role, whose answer is taken as it comes: what another evaluator says of a
//! caller's rights is read off the status. Sent and signed as the calls in JSON are.

use aws_runtime::auth::SigningOptions;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;

use super::endpoint;
use super::json::{Failure, Refusal, means, operation};
use super::session::Account;
use causeway_model::calls::{Call, answer, code};
use causeway_model::fault::Fault;

/// Makes a call with an account's keys, and gives the status and what was said.
///
/// # Errors
/// There is no answer.
pub async fn send(account: &Account, call: &Call) -> anyhow::Result<(u16, String)> {
    sent(account, call.clone()).await.map_err(|error| {
        Fault::failed("make the call", on(call))
            .why(aws_smithy_types::error::display::DisplayErrorContext(error))
            .into()
    })
}

/// Whether the holder of an account's keys may make the call, and how the answer said so: its status, and the code of an error.
///
/// # Errors
/// As for [`send`], and where the answer says nothing of the caller's rights.
pub async fn may(account: &Account, call: &Call) -> anyhow::Result<(bool, String)> {
    let (status, text) = send(account, call).await?;
    let said = format!("{status} {}", code(&text));
    answer(status, &text)
        .map(|allowed| (allowed, said))
        .map_err(|said| Fault::failed("ask about the caller's rights", on(call)).why(said).into())
}

fn on(call: &Call) -> String {
    format!("{} {} {}", call.service, call.method, call.path)
}

async fn sent(account: &Account, call: Call) -> Result<(u16, String), Failure> {
    let sdk = account.sdk();
    let url = endpoint::anywhere(sdk).map_err(SdkError::construction_failure)?;
    let service = call.service;
    // As "Signature Calculations for the Authorization Header" in the S3 API reference has it: S3 takes paths as they are.
    let mut options = SigningOptions::default();
    if service == "s3" {
        options.content_sha256_header = true;
        options.double_uri_encode = false;
        options.normalize_uri_path = false;
    }
    operation(sdk, service, "Call", &url)
        .no_retry()
        .runtime_plugin(means(sdk, service, options))
        .serializer(|call: Call| request(&call))
        .deserializer(whole)
        .build()
        .invoke(call)
        .await
}

/// The request of a call, before it is signed.
fn request(call: &Call) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(call.body.as_str()));
    request.set_method(call.method)?;
    request.set_uri(call.path.as_str())?;
    for (name, value) in &call.headers {
        request.headers_mut().try_append(*name, value.clone())?;
    }
    Ok(request)
}

/// Whatever was answered.
fn whole(response: &HttpResponse) -> Result<(u16, String), OrchestratorError<Refusal>> {
    let body = response.body().bytes().unwrap_or_default();
    Ok((response.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Script;
    use super::*;

    fn call(service: &'static str, path: &str) -> Call {
        let headers = vec![("if-none-match", "*".to_owned())];
        Call { service, method: "PUT", path: path.to_owned(), headers, body: "b".to_owned() }
    }

    #[tokio::test]
    async fn an_answer_is_taken_as_it_comes_and_asked_for_once() {
        let denied = (403, "<Error><Code>AccessDenied</Code></Error>".to_owned());
        let (script, account) =
            Script::start(vec![denied, (503, String::new()), (200, "{}".to_owned())]).await;
        let account = account.retrying();
        let asked = call("s3", "/bucket/a%20b?tagging=");
        assert_eq!(may(&account, &asked).await.unwrap(), (false, "403 AccessDenied".to_owned()));
        assert_eq!(send(&account, &asked).await.unwrap().0, 503);
        assert_eq!(send(&account, &call("iam", "/")).await.unwrap(), (200, "{}".to_owned()));
        let (sent, bodies) = (script.sent(), script.bodies());
        assert_eq!((sent.len(), bodies[0].as_str()), (3, "b"), "nothing is tried again");
        assert_eq!(script.asked()[0], "PUT /bucket/a%20b if-none-match *");
        assert_eq!(request(&asked).unwrap().uri(), asked.path);
        assert_eq!(sent[0]["if-none-match"], "*");
        // The digest of the body, which S3 alone wants.
        assert_eq!(
            sent[0]["x-amz-content-sha256"],
            "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
        );
        assert!(!sent[2].contains_key("x-amz-content-sha256"));
        assert!(
            sent[2]["authorization"].contains("/eu-central-1/iam/aws4_request"),
            "{}",
            sent[2]["authorization"]
        );
    }

    #[tokio::test]
    async fn no_answer_is_an_error() {
        let error = send(&Account::at("http://127.0.0.1:1"), &call("iam", "/")).await.unwrap_err();
        assert!(format!("{error:#}").contains("iam PUT /"), "{error:#}");
    }
}
