//! The front: one TLS endpoint that is AWS enough.
//!
//! Every call is passed through to the emulator byte for byte (the Host header is kept: signatures are verified),
//! except: CloudFormation calls that carry a template, which is lowered; answers about stacks, which get their real
//! types and the edge's addresses back; and the few CodeDeploy and CodeConnections calls that the engines answer.
//!
//! What is no call of AWS does not get that far (`guard.rs`): requests to another name or for another's page, and the
//! emulator's own paths in any spelling. No answer lets a page of another origin read it.

mod answers;
mod cfn;
mod control;
mod executions;
mod expansion;
mod guard;
mod identity;
mod monitoring;
mod refusals;
mod services;
mod template_url;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::cloud::Cloud;
use super::tls::Leaf;
pub(crate) use executions::Refusal;
pub(crate) use guard::is_emulators_own;
pub(crate) use identity::{Identities, Signer};

/// The largest body that is taken: Lambda's zip limit is 50 MB, an artifact may be larger.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// A request whose body has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method, path and query.
    pub parts: Arc<http::request::Parts>,
    /// The body.
    pub body: Bytes,
    /// The access key id of the signature; empty where there is none.
    pub access_key: String,
    /// The service of the signature's scope.
    pub service: String,
}

/// The front's state.
#[derive(Clone)]
pub(crate) struct Front {
    cloud: Arc<Cloud>,
    emulator: HyperClient<HttpConnector, Body>,
}

/// Serves the front on an open listener until the handle says otherwise.
///
/// # Errors
/// The certificate cannot be used, or the listener breaks.
pub(crate) async fn serve(
    cloud: Arc<Cloud>,
    listener: std::net::TcpListener,
    leaf: Leaf,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let tls = RustlsConfig::from_config(Arc::new(tls_config(&leaf)?));
    let emulator = HyperClient::builder(TokioExecutor::new()).build_http();
    let app = Router::new().fallback(answer).with_state(Front { cloud, emulator });
    axum_server::from_tcp_rustls(listener, tls)
        .context("listen for the front")?
        .handle(handle)
        .serve(app.into_make_service())
        .await
        .context("serve the front")
}

/// HTTP/1.1 only: HTTP/2 has no Host header, and signatures cover it.
fn tls_config(leaf: &Leaf) -> anyhow::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes())
        .context("read the front's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).context("read the front's key")?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .context("use the front's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (access_key, service) = identity::scope(&parts);
    if let Some(refused) = guard::look(&parts, front.cloud.state().port, !access_key.is_empty()) {
        tracing::warn!("{} {}: refused: {refused:?}", parts.method, parts.uri.path());
        return not_ours(refused);
    }
    let body = match http_body_util::Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body cannot be read: {error}"));
        }
    };
    let call = Call { parts: Arc::new(parts), body, access_key, service };
    let path = call.parts.uri.path();
    let result = if let Some(rest) = path.strip_prefix("/_causeway/") {
        Ok(control::answer(&front, &call, rest).await)
    } else if !front.cloud.identities.is_genuine(&call) {
        Ok(not_genuine(&call))
    } else if call.service == "cloudformation" {
        cfn::answer(&front, &call).await
    } else if call.service == "sts" {
        front.pass_and_learn(&call).await
    } else if call.service == "monitoring" {
        monitoring::answer(&front, &call).await
    } else if let Some(asked) = services::asked(&front, &call) {
        Ok(services::answer(&front, &asked))
    } else {
        front.pass(&call).await
    };
    result.unwrap_or_else(|error| {
        tracing::error!("{} {}: {error:#}", call.parts.method, call.parts.uri.path());
        text(StatusCode::BAD_GATEWAY, format!("the local cloud failed: {error:#}"))
    })
}

/// The answer to a request that is no call of AWS.
fn not_ours(refused: guard::Refused) -> Response {
    match refused {
        guard::Refused::Host => text(
            StatusCode::MISDIRECTED_REQUEST,
            "the local cloud answers to 127.0.0.1 and localhost, with its port\n".to_owned(),
        ),
        guard::Refused::Origin => {
            text(StatusCode::FORBIDDEN, "the local cloud answers no page of another origin\n".to_owned())
        }
        guard::Refused::Path => text(StatusCode::NOT_FOUND, "not part of AWS\n".to_owned()),
        guard::Refused::Anonymous => {
            let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
            let mut answer = text(StatusCode::FORBIDDEN, body.to_owned());
            answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
            answer
        }
    }
}

/// The answer to a call whose signature is not its caller's, in the words of the caller's protocol.
fn not_genuine(call: &Call) -> Response {
    const CODE: &str = "SignatureDoesNotMatch";
    let message = "The request signature we calculated does not match the signature you provided. The keys of this local cloud are in target/causeway/local/aws/credentials.";
    if call.parts.headers.contains_key("x-amz-target") || call.parts.headers.contains_key("smithy-protocol") {
        return json(StatusCode::FORBIDDEN, &serde_json::json!({"__type": CODE, "message": message}));
    }
    let error = format!("<Error><Type>Sender</Type><Code>{CODE}</Code><Message>{message}</Message></Error>");
    let body = if call.service == "s3" { error } else { format!("<ErrorResponse>{error}</ErrorResponse>") };
    let mut answer = text(StatusCode::FORBIDDEN, body);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(CODE));
    answer
}

impl Front {
    /// Passes a call through as it came.
    pub(crate) async fn pass(&self, call: &Call) -> anyhow::Result<Response> {
        self.send(call, call.parts.headers.clone(), call.body.clone()).await
    }

    /// Passes a call through and returns the whole answer.
    pub(crate) async fn pass_whole(&self, call: &Call) -> anyhow::Result<(http::response::Parts, Bytes)> {
        whole(self.pass(call).await?).await
    }

    /// Sends a call with another body, signed anew where its signer's secret is known.
    ///
    /// # Errors
    /// The secret is not known; only account roots and sessions that the front saw begin can do this.
    pub(crate) async fn send_changed(&self, call: &Call, body: Bytes) -> anyhow::Result<Response> {
        let headers = self.cloud.identities.sign_anew(call, &body, self.cloud.emulator.region())?;
        self.send(call, headers, body).await
    }

    async fn pass_and_learn(&self, call: &Call) -> anyhow::Result<Response> {
        let (parts, body) = self.pass_whole(call).await?;
        if parts.status.is_success() {
            self.cloud.identities.learn(&String::from_utf8_lossy(&body));
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn send(&self, call: &Call, mut headers: HeaderMap, body: Bytes) -> anyhow::Result<Response> {
        // Hop by hop, and set anew by the client.
        for name in
            ["connection", "expect", "transfer-encoding", "keep-alive", "te", "upgrade", "content-length"]
        {
            headers.remove(name);
        }
        headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("https"));
        let path = call.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = http::Request::builder()
            .method(call.parts.method.clone())
            .uri(format!("{}{path}", self.cloud.emulator.base()))
            .body(Body::from(body))
            .context("make the request to the emulator")?;
        *request.headers_mut() = headers;
        let mut answer = self.emulator.request(request).await.context("the emulator does not answer")?;
        without_cors(answer.headers_mut());
        Ok(answer.map(Body::new))
    }
}

/// Removes what would let pages of other origins read an answer: the emulator gives it to everybody.
fn without_cors(headers: &mut HeaderMap) {
    let cors: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
}

/// An answer with its whole body.
pub(crate) async fn whole(answer: Response) -> anyhow::Result<(http::response::Parts, Bytes)> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.context("the emulator's answer broke off")?.to_bytes();
    Ok((parts, body))
}

/// A plain answer.
fn text(status: StatusCode, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A JSON answer.
fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut answer = text(status, body.to_string());
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub_emulator::{Answer, Asked, Emulator};

    /// A front before a stand-in for the emulator that answers so.
    pub(super) async fn front_that(
        script: impl Fn(&Asked, &[Asked]) -> Option<Answer> + Send + Sync + 'static,
    ) -> (Emulator, Front) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let emulator = Emulator::start(script).await;
        let cloud = emulator.cloud();
        let client = HyperClient::builder(TokioExecutor::new()).build_http();
        (emulator, Front { cloud, emulator: client })
    }

    /// One before a stand-in that answers every call with 200 and lets every page read it.
    async fn front() -> (Emulator, Front) {
        front_that(|_, _| {
            Some(
                Answer::new(200, "passed")
                    .header("access-control-allow-origin", "*")
                    .header("access-control-allow-methods", "GET")
                    .header("x-amzn-requestid", "1"),
            )
        })
        .await
    }

    async fn ask(front: &Front, method: &str, uri: &str, headers: &[(&str, &str)]) -> Response {
        let port = front.cloud.state().port;
        let mut request = http::Request::builder().method(method).uri(uri);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", format!("127.0.0.1:{port}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(State(front.clone()), request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn what_is_no_call_of_aws_never_reaches_the_emulator() {
        let (emulator, front) = front().await;
        for (method, uri, headers, status) in [
            ("POST", "/%5fministack/reset", vec![], 404),
            ("GET", "/_ministack%2fhealth", vec![], 404),
            ("GET", "//_ministack/health", vec![], 404),
            ("GET", "/", vec![], 403),
            ("OPTIONS", "/bucket", vec![("origin", "https://evil.example")], 403),
            ("POST", "/", vec![("origin", "null")], 403),
            ("POST", "/", vec![("host", "evil.example:80")], 421),
            ("POST", "/_causeway/stop", vec![("host", "evil.example:80")], 421),
            ("POST", "/_causeway/stop", vec![], 403),
            ("GET", "/_causeway/../_ministack/health", vec![], 403),
            ("GET", "/_causeway/health", vec![], 200),
        ] {
            let answer = ask(&front, method, uri, &headers).await;
            assert_eq!(answer.status().as_u16(), status, "{method} {uri} {headers:?}");
            let cors = answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
            assert!(!cors, "{method} {uri}");
        }
        assert!(emulator.asked().is_empty(), "{:?}", emulator.asked());
    }

    /// A hook's session began inside the emulator, so its keys are known there alone.
    #[tokio::test]
    async fn a_functions_own_session_sees_a_stack_as_everybody_does() {
        let (emulator, front) = front_that(|_, _| {
            let reason = "The following resource(s) failed to create: [CausewayGate12ab].";
            Some(Answer::new(
                200,
                &format!(
                    "<R><Stacks><member><StackStatusReason>{reason}</StackStatusReason></member></Stacks></R>"
                ),
            ))
        })
        .await;
        let port = front.cloud.state().port;
        let credential = "AWS4-HMAC-SHA256 Credential=ASIAFUNCTION/20260101/eu-central-1/cloudformation/aws4_request, SignedHeaders=host, Signature=0";
        let request = http::Request::builder()
            .method("POST")
            .uri("/")
            .header("host", format!("127.0.0.1:{port}"))
            .header("authorization", credential)
            .body(Body::from("Action=DescribeStacks&Version=2010-05-15&StackName=causeway-app-dev"));
        let answer = answer(State(front.clone()), request.unwrap()).await;
        let (parts, body) = whole(answer).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(parts.status.is_success() && body.contains("[the deployment]"), "{body}");
        assert_eq!(emulator.asked().len(), 1);
    }

    #[tokio::test]
    async fn no_answer_lets_another_origin_read_it() {
        let (emulator, front) = front().await;
        for method in ["OPTIONS", "GET", "POST"] {
            let answer = ask(&front, method, "/bucket/key", &[]).await;
            assert_eq!(answer.status().as_u16(), 200, "{method}");
            let names: Vec<&str> = answer.headers().keys().map(HeaderName::as_str).collect();
            assert!(names.iter().all(|name| !name.starts_with("access-control-")), "{names:?}");
            assert!(names.contains(&"x-amzn-requestid"), "the rest of it is kept: {names:?}");
        }
        assert_eq!(emulator.asked().len(), 3);
    }
}
