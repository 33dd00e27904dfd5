//! The deployed API, asked at its own address as clients do: what API Gateway itself answers, a call of the function or of its
//! alias does not show.
//!
//! The address is found at run time, among the outputs of the hook's own stack. A reference to the API in the hook's
//! environment would be a circle: the API refers to the alias, and the alias, by its UpdatePolicy, to the hook.
//!
//! The one call of CloudFormation is signed here and its answer read as text: a whole SDK for one call and one field of its
//! answer would be most of what the package grows by.
//! Source: "DescribeStacks" in the CloudFormation API reference.

use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::{SystemTimeSource, TimeSource};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::SdkConfig;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::check::{Answer, word};
use crate::invoke::Ask;
use crate::settings::Settings;

/// The output that has the address.
const OUTPUT: &str = "ApiURL";

/// Who asks: the workload sees it in the event, and knows a hook by it.
const AGENT: &str = "causeway-hook";

/// Attempts to read the address: CloudFormation throttles, and that says nothing about the new version.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Plain HTTPS calls, and what the call of CloudFormation is signed with. It follows no redirect.
#[derive(Debug, Clone)]
pub struct Web {
    connector: SharedHttpConnector,
    config: SdkConfig,
    /// Where CloudFormation is asked, if not at its own address.
    cloudformation: Option<String>,
}

impl Web {
    /// From the SDK's configuration, with the same kind of connection as the SDK's clients have.
    #[must_use]
    pub fn new(config: &SdkConfig, cloudformation: Option<String>) -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(Duration::from_secs(1)).build();
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            .build();
        let cloudformation = cloudformation.or_else(|| config.endpoint_url().map(ToOwned::to_owned));
        Self { connector: SharedHttpConnector::new(connector), config: config.clone(), cloudformation }
    }

    /// Sends a request; the answer's status and its body as text.
    async fn send(&self, request: HttpRequest) -> Result<(u16, String), String> {
        let response = self.connector.call(request).await.map_err(|error| {
            let kind =
                if error.is_timeout() { "a connection did not come about" } else { "the connection failed" };
            format!("no answer: {kind}")
        })?;
        let status = response.status().as_u16();
        let body = ByteStream::new(response.into_body()).collect().await;
        let body = body.map_err(|_| format!("status {status}, and the answer broke off"))?;
        Ok((status, String::from_utf8_lossy(&body.into_bytes()).into_owned()))
    }

    /// Signs a call of CloudFormation.
    async fn sign(&self, request: &mut HttpRequest, body: &str) -> Result<(), String> {
        let cannot = || "the call could not be signed".to_owned();
        let provider = self.config.credentials_provider().ok_or("there are no credentials")?;
        let identity = provider.provide_credentials().await.map_err(|_| "there are no credentials")?.into();
        let region = self.config.region().ok_or("there is no region")?;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name("cloudformation")
            .time(SystemTimeSource::new().now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| cannot())?
            .into();
        let headers = request.headers().iter().collect::<Vec<_>>();
        let signable = SignableRequest::new(
            request.method(),
            request.uri(),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let signed = sign(signable.map_err(|_| cannot())?, &parameters).map_err(|_| cannot())?;
        let (instructions, _) = signed.into_parts();
        for (name, value) in instructions.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

/// The API of one stack. Its address is asked for once a run.
#[derive(Debug)]
pub(crate) struct Api {
    web: Web,
    stack: Option<String>,
    suffix: String,
    address: OnceCell<String>,
}

impl Api {
    /// The API of the hook's own stack.
    pub(crate) fn new(web: &Web, settings: &Settings) -> Self {
        Self {
            web: web.clone(),
            stack: settings.stack.clone(),
            suffix: settings.url_suffix.clone(),
            address: OnceCell::new(),
        }
    }

    /// Asks a route.
    ///
    /// # Errors
    /// The reason, as a lowercase fragment: nobody answered, or the address cannot be found.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let address = self.address.get_or_try_init(|| self.find()).await?;
        let query = if ask.query.is_empty() { String::new() } else { format!("?{}", ask.query) };
        let body = ask.body.map_or_else(SdkBody::empty, SdkBody::from);
        let url = format!("{}{}{query}", address.trim_end_matches('/'), ask.path);
        let mut request = request(ask.method, &url, body)?;
        request.headers_mut().insert("content-type", "application/json");
        let (status, body) = self.web.send(request).await?;
        Ok(Answer { status, body, next: None })
    }

    /// The API's address, among the stack's outputs.
    async fn find(&self) -> Result<String, String> {
        let stack = self.stack.as_deref().ok_or("the environment variable STACK_NAME is not set")?;
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.describe(stack).await {
                Err(_) if attempt < ATTEMPTS => sleep(pause).await,
                Err(reason) => return Err(format!("the API's address cannot be read: {reason}")),
                Ok(answer) => return address(&answer),
            }
            pause *= 2;
        }
        Err("the API's address cannot be read".to_owned())
    }

    /// What CloudFormation says about a stack.
    async fn describe(&self, stack: &str) -> Result<String, String> {
        let region = self.web.config.region().ok_or("there is no region")?;
        // "AWS CloudFormation endpoints and quotas": the FIPS endpoints are in the same domain.
        let name =
            if self.web.config.use_fips() == Some(true) { "cloudformation-fips" } else { "cloudformation" };
        let own = || format!("https://{name}.{region}.{}/", self.suffix);
        let endpoint = self.web.cloudformation.as_deref();
        let endpoint = endpoint.map_or_else(own, |url| format!("{}/", url.trim_end_matches('/')));
        // A stack's name is letters, digits and hyphens: nothing to escape.
        let form = format!("Action=DescribeStacks&Version=2010-05-15&StackName={stack}");
        let mut request = request("POST", &endpoint, SdkBody::from(form.as_str()))?;
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
        self.web.sign(&mut request, &form).await?;
        let (status, answer) = self.web.send(request).await?;
        if status == 200 {
            return Ok(answer);
        }
        let code = between(&answer, "<Code>", "</Code>").unwrap_or("NoErrorCode");
        Err(format!("{} (status {status})", word(code)))
    }
}

fn request(method: &str, url: &str, body: SdkBody) -> Result<HttpRequest, String> {
    let mut request = HttpRequest::new(body);
    let shape = |_| "the request has a shape that cannot be sent".to_owned();
    request.set_method(method).map_err(shape)?;
    request.set_uri(url).map_err(|_| "the request has a shape that cannot be sent".to_owned())?;
    request.headers_mut().insert("user-agent", AGENT);
    Ok(request)
}

/// The address in an answer of DescribeStacks.
fn address(answer: &str) -> Result<String, String> {
    let named = format!("<OutputKey>{OUTPUT}</OutputKey>");
    let value = answer
        .split("<member>")
        .find(|member| member.contains(&named))
        .and_then(|member| between(member, "<OutputValue>", "</OutputValue>"))
        .ok_or_else(|| format!("the stack has no output {OUTPUT}"))?;
    // In the clear only to the local cloud.
    let reachable = value.starts_with("https://") || value.starts_with("http://127.0.0.1:");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_".contains(&byte);
    if reachable && value.bytes().all(plain) {
        Ok(value.to_owned())
    } else {
        Err(format!("the stack's output {OUTPUT} is no address"))
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.split_once(begin)?.1.split_once(end).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_output_of_that_name() {
        let outputs = |url: &str| {
            format!(
                "<Stacks><member><StackName>s</StackName><Outputs><member><OutputKey>ApiId</OutputKey>\
                 <OutputValue>a</OutputValue></member><member><OutputKey>ApiURL</OutputKey><OutputValue>{url}\
                 </OutputValue><Description>x</Description></member></Outputs></member></Stacks>"
            )
        };
        for good in ["https://a1.execute-api.eu-central-1.amazonaws.com/", "http://127.0.0.1:4000/"] {
            assert_eq!(address(&outputs(good)), Ok(good.to_owned()));
        }
        let none = Err("the stack has no output ApiURL".to_owned());
        assert_eq!(address("<Stacks></Stacks>"), none);
        assert_eq!(address(""), none);
        for bad in ["", "http://example.org/", "https://a&amp;b", "file:///etc/passwd", "https://a b"] {
            assert_eq!(
                address(&outputs(bad)),
                Err("the stack's output ApiURL is no address".to_owned()),
                "{bad}"
            );
        }
    }
}
