//! Calls of the services that need no SDK crate: JSON in, JSON out.
//!
//! An SDK crate costs 14 to 37 CPU-seconds of a cold build, and from these services we want 16 calls in all. The runtime
//! below the SDK's clients is compiled anyway, for those that stay, and it makes these calls as well: one way to
//! credentials that are renewed, retries with their pauses, time limits, TLS and signatures.
//!
//! Source: "AWS JSON 1.0 protocol" and "AWS JSON 1.1 protocol" in the Smithy documentation.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions, sigv4};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthSchemeOptionResolver};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::request_id::apply_request_id;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::endpoint;
use super::session::Account;
use super::spoken::Service;
use super::waiting::Unreadable;
use causeway_model::xml::Element;

/// What a call that did not work ends in: as for the SDK's clients.
pub(super) type Failure = SdkError<Refusal, HttpResponse>;

/// The error that a service answered.
#[derive(Debug)]
pub(super) struct Refusal(ErrorMetadata);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// One page of a list, and what the next one is asked for by.
#[derive(Debug, Deserialize)]
struct Page<O> {
    #[serde(flatten)]
    content: O,
    #[serde(alias = "NextToken", rename = "nextToken")]
    next: Option<String>,
}

/// A client of one service in one account.
#[derive(Clone)]
pub(super) struct Client {
    account: Account,
    service: &'static Service,
}

impl Client {
    /// For an account.
    pub(super) fn new(account: &Account, service: &'static Service) -> Self {
        Self { account: account.clone(), service }
    }

    /// Makes one call. An answer in another shape than the expected one is an error.
    ///
    /// # Errors
    /// The service refuses it, or does not answer.
    pub(super) async fn call<O>(&self, name: &'static str, input: Value) -> Result<O, Failure>
    where
        O: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let service = self.service;
        let serialize = move |input: Value| request(service, name, &input);
        self.send(name, input, serialize, answer::<O>).await
    }

    /// Makes one call of a service that is asked by forms and answers in XML.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub(super) async fn query(
        &self,
        operation: &'static str,
        fields: &[(&str, String)],
    ) -> Result<Element, Failure> {
        let service = self.service;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", service.version);
        let form = form.extend_pairs(fields.iter().map(|(name, value)| (name, value))).finish();
        self.send(operation, form, form_request, xml_answer).await
    }

    async fn send<I, O>(
        &self,
        name: &'static str,
        input: I,
        serialize: impl Fn(I) -> Result<HttpRequest, BoxError> + Send + Sync + 'static,
        deserialize: impl Fn(&HttpResponse) -> Result<O, OrchestratorError<Refusal>> + Send + Sync + 'static,
    ) -> Result<O, Failure>
    where
        I: fmt::Debug + Send + Sync + 'static,
        O: fmt::Debug + Send + Sync + 'static,
    {
        let sdk = self.account.sdk();
        let url = endpoint::url(sdk, self.service).map_err(SdkError::construction_failure)?;
        let service = self.service;
        operation(sdk, service.id, name, &url)
            .standard_retry(&sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard))
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
            .retry_classifier(ServiceClockSkewClassifier::<Refusal>::new())
            .retry_classifier(Unreadable)
            .interceptor(ServiceClockSkewInterceptor::new())
            .interceptor(self.account.talk())
            .with_connection_poisoning()
            .runtime_plugin(means(sdk, service.host, SigningOptions::default()))
            .serializer(serialize)
            .deserializer(deserialize)
            .build()
            .invoke(input)
            .await
    }

    /// Makes a call for every page of a list.
    ///
    /// # Errors
    /// As for [`Client::call`], for any of the pages.
    pub(super) async fn pages<O>(&self, operation: &'static str, mut input: Value) -> Result<Vec<O>, Failure>
    where
        O: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let mut pages = Vec::new();
        loop {
            let page: Page<O> = self.call(operation, input.clone()).await?;
            pages.push(page.content);
            let Some(next) = page.next.filter(|next| !next.is_empty()) else { return Ok(pages) };
            if input.get(self.service.next).and_then(Value::as_str) == Some(&next) {
                return Err(SdkError::construction_failure(format!("{operation} names the same page again")));
            }
            input[self.service.next] = Value::String(next);
        }
    }
}

/// An operation of a service of an account's, as every call is made: by its configuration's behavior and limits of time.
pub(super) fn operation(
    sdk: &SdkConfig,
    service: &'static str,
    name: &'static str,
    url: &str,
) -> OperationBuilder {
    Operation::builder()
        .service_name(service)
        .operation_name(name)
        .behavior_version(sdk.behavior_version().unwrap_or_else(BehaviorVersion::latest))
        .endpoint_url(url)
        .timeout_config(sdk.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled))
}

/// What the account's configuration gives to every client: the way there, the credentials, and who signs for what.
pub(super) fn means(
    sdk: &SdkConfig,
    name: &'static str,
    signing_options: SigningOptions,
) -> StaticRuntimePlugin {
    let mut config = Layer::new("account");
    config.store_put(AuthSchemeOptionResolverParams::new(()));
    config.store_put(SigV4OperationSigningConfig {
        region: endpoint::signing_region(sdk, name).map(SigningRegion::from),
        name: Some(SigningName::from_static(name)),
        signing_options,
        ..SigV4OperationSigningConfig::default()
    });
    let mut components = RuntimeComponentsBuilder::new("account");
    components.set_http_client(sdk.http_client());
    components.set_sleep_impl(sdk.sleep_impl());
    components.set_time_source(sdk.time_source());
    components.set_identity_cache(sdk.identity_cache());
    components.push_auth_scheme(sigv4::SigV4AuthScheme::new());
    let resolver = StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]);
    components.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(resolver)));
    if let Some(credentials) = sdk.credentials_provider() {
        components.set_identity_resolver(sigv4::SCHEME_ID, credentials);
    }
    StaticRuntimePlugin::new().with_config(config.freeze()).with_runtime_components(components)
}

/// The request of a call, before it is signed.
fn request(service: &Service, operation: &str, input: &Value) -> Result<HttpRequest, BoxError> {
    let mut request = post(format!("application/x-amz-json-{}", service.version), input.to_string())?;
    request.headers_mut().insert("x-amz-target", format!("{}.{operation}", service.target));
    Ok(request)
}

/// The request of a call by a form, before it is signed.
fn form_request(form: String) -> Result<HttpRequest, BoxError> {
    post("application/x-www-form-urlencoded".to_owned(), form)
}

fn post(content_type: String, body: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.insert("content-type", content_type);
    headers.insert("user-agent", concat!("causeway/", env!("CARGO_PKG_VERSION")));
    Ok(request)
}

/// What an answer in XML says; it must be one of an operation.
fn xml_answer(response: &HttpResponse) -> Result<Element, OrchestratorError<Refusal>> {
    let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    let root = Element::parse(&text);
    if response.status().is_success() {
        return root
            .ok()
            .filter(|root| root.name.ends_with("Response"))
            .ok_or_else(|| OrchestratorError::other("the answer is not what the API reference says"));
    }
    let root = root.unwrap_or_default();
    let part = |name: &str| Some(root.text_at(&["Error", name])).filter(|text| !text.is_empty());
    let mut metadata = ErrorMetadata::builder().message(part("Message").unwrap_or("no message"));
    if let Some(code) = part("Code") {
        metadata = metadata.code(code);
    }
    Err(OrchestratorError::operation(Refusal(apply_request_id(metadata, response.headers()).build())))
}

/// What an answer says.
fn answer<O: DeserializeOwned>(response: &HttpResponse) -> Result<O, OrchestratorError<Refusal>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        // An answer without any member may have no body.
        let body = if body.is_empty() { b"{}" } else { body };
        return serde_json::from_slice(body).map_err(|error| {
            OrchestratorError::other(format!("the answer is not what the API reference says: {error}"))
        });
    }
    Err(OrchestratorError::operation(refusal(response, body)))
}

/// The error in an answer: its code stands in a header or in the body, with or without a namespace and a URL.
fn refusal(response: &HttpResponse, body: &[u8]) -> Refusal {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| body.get(name)?.as_str()).map(str::to_owned);
    let code = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let code = code.or_else(|| text(&["__type", "code", "Code"])).map(|code| {
        let name = code.rsplit('#').next().unwrap_or_default();
        name.split(':').next().unwrap_or_default().to_owned()
    });
    let message = text(&["message", "Message", "errorMessage"]);
    let mut metadata = ErrorMetadata::builder()
        .message(message.unwrap_or_else(|| format!("HTTP status {}", response.status().as_u16())));
    if let Some(code) = code.filter(|code| !code.is_empty()) {
        metadata = metadata.code(code);
    }
    Refusal(apply_request_id(metadata, response.headers()).build())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::error::explain;
    use super::super::scripted::Script;
    use super::*;
    use crate::spoken::CODEDEPLOY;
    use causeway_model::fault::{Kind, from_error};

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    #[serde(rename_all = "camelCase")]
    struct Names {
        target_ids: Vec<String>,
    }

    async fn ask(account: &Account) -> Result<Names, Failure> {
        Client::new(account, &CODEDEPLOY).call("ListDeploymentTargets", json!({"deploymentId": "d-1"})).await
    }

    fn answered() -> (u16, String) {
        (200, json!({"targetIds": ["f:live"], "more": 1}).to_string())
    }

    #[tokio::test]
    async fn a_call_is_what_the_service_understands() {
        let (script, account) = Script::start(vec![answered()]).await;
        assert_eq!(ask(&account).await.unwrap().target_ids, ["f:live"]);
        assert_eq!(
            (script.asked(), script.bodies()),
            (vec!["POST /".to_owned()], vec![json!({"deploymentId": "d-1"}).to_string()])
        );
        let sent = &script.sent()[0];
        assert_eq!(sent["x-amz-target"], "CodeDeploy_20141006.ListDeploymentTargets");
        assert_eq!(sent["content-type"], "application/x-amz-json-1.1");
        let authorization = &sent["authorization"];
        assert!(authorization.contains("/eu-central-1/codedeploy/aws4_request"), "{authorization}");
        assert!(authorization.contains("x-amz-target") && authorization.contains("host"), "{authorization}");
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_a_refusal_is_not() {
        let throttled = |code: &str| (400, json!({"__type": code, "message": "slow"}).to_string());
        for passing in [
            throttled("ThrottlingException"),
            throttled("com.amazonaws#LimitExceededException"),
            (503, String::new()),
            (500, "<html>".to_owned()),
        ] {
            let (script, account) = Script::start(vec![passing.clone(), answered()]).await;
            assert!(ask(&account.retrying()).await.is_ok(), "{passing:?}");
            assert_eq!(script.asked().len(), 2, "{passing:?}");
        }
        let (script, account) = Script::start(vec![throttled("AccessDeniedException"), answered()]).await;
        assert!(ask(&account.retrying()).await.is_err());
        assert_eq!(script.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_service_that_never_recovers_is_given_up() {
        let (script, account) = Script::start(vec![(503, String::new()); 9]).await;
        let fault = from_error(&explain(ask(&account.retrying()).await.unwrap_err(), "look", "d-1"));
        assert_eq!(
            (script.asked().len(), fault.why.as_str()),
            (
                3,
                "it answered with an error that has no code: it begins with nothing: it is empty (status 503)"
            )
        );
    }

    #[tokio::test]
    async fn an_error_keeps_its_code_its_message_and_the_request() {
        let table = [
            (
                json!({"__type": "com.amazonaws.codedeploy#InvalidInput", "message": "m"}),
                None,
                "InvalidInput: m (status 400, request r-1)",
            ),
            (
                json!({"code": "InvalidInput", "Message": "m"}),
                None,
                "InvalidInput: m (status 400, request r-1)",
            ),
            (
                json!({"message": "m"}),
                Some("InvalidInput:http://internal.amazon.com/"),
                "InvalidInput: m (status 400, request r-1)",
            ),
            (
                json!({}),
                None,
                "it answered with an error that has no code: it begins \"{}\" (status 400, request r-1)",
            ),
        ];
        for (body, header, why) in table {
            let mut headers = vec![("x-amzn-requestid", "r-1".to_owned())];
            headers.extend(header.map(|header| ("x-amzn-errortype", header.to_owned())));
            let (_, account) = Script::with_headers(vec![((400, body.to_string()), headers)]).await;
            let fault = from_error(&explain(ask(&account).await.unwrap_err(), "look", "d-1"));
            assert_eq!((fault.kind, fault.why), (Kind::Failed, why.to_owned()));
        }
        let expired = (400, json!({"__type": "ExpiredTokenException", "message": "m"}).to_string());
        let (_, account) = Script::start(vec![expired]).await;
        let fault = from_error(&explain(ask(&account).await.unwrap_err(), "look", "d-1"));
        assert_eq!(fault.kind, Kind::Credentials);
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error_and_a_service_that_is_not_there_is_named() {
        for body in ["", "{}", "<html>", r#"{"targetIds": [1]}"#] {
            let (script, account) = Script::start(vec![(200, body.to_owned()); 3]).await;
            let fault = from_error(&explain(ask(&account.retrying()).await.unwrap_err(), "look", "d-1"));
            assert!(fault.why.contains("API reference"), "{body}: {}", fault.why);
            assert_eq!(script.asked().len(), 3, "{body}: whatever garbled it may be gone");
        }
        let fault =
            from_error(&explain(ask(&Account::at("http://127.0.0.1:1")).await.unwrap_err(), "look", "d-1"));
        assert!(fault.kind == Kind::Failed && fault.why.contains("refused"), "{}", fault.why);
    }

    #[tokio::test]
    async fn every_page_of_a_list_is_read() {
        let page = |ids: &[&str], next: Option<&str>| {
            (200, json!({"targetIds": ids, "nextToken": next}).to_string())
        };
        let (script, account) =
            Script::start(vec![page(&["a"], Some("n1")), page(&[], Some("n2")), page(&["b"], None)]).await;
        let client = Client::new(&account, &CODEDEPLOY);
        let pages: Vec<Names> = client.pages("ListDeploymentTargets", json!({})).await.unwrap();
        assert_eq!(pages.into_iter().flat_map(|page| page.target_ids).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(script.bodies(), ["{}", r#"{"nextToken":"n1"}"#, r#"{"nextToken":"n2"}"#]);
        let (_, account) = Script::start(vec![page(&["a"], Some("n1")); 9]).await;
        let client = Client::new(&account, &CODEDEPLOY);
        let again = client.pages::<Names>("ListDeploymentTargets", json!({})).await.unwrap_err();
        assert!(explain(again, "list", "g").to_string().contains("the same page again"));
    }

    /// Credentials that end are asked for again, and those that last are not.
    #[tokio::test]
    async fn sessions_are_renewed() {
        for (lasts, renewed) in [(5, 2), (3_600, 1)] {
            let (script, account) = Script::start(vec![answered(), answered()]).await;
            let (asked, account) = account.renewing(lasts);
            let client = Client::new(&account, &CODEDEPLOY);
            for _ in 0..2 {
                let _: Names = client.call("ListDeploymentTargets", json!({})).await.unwrap();
            }
            assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), renewed, "{lasts} s");
            let tokens: Vec<_> =
                script.sent().iter().map(|sent| sent["x-amz-security-token"].clone()).collect();
            assert_eq!(tokens[1], format!("t{renewed}"));
        }
    }
}
