//! A client of the check-in API that counts its requests.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use causeway_aws::sign;
use causeway_machine::clock::Stopwatch;
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// A client of one API.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    signer: Option<Signer>,
}

/// What calls are signed with.
#[derive(Clone)]
struct Signer {
    keys: Keys,
    region: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The workload's version, from the header.
    pub version: Option<String>,
    /// Lambda's number of the version, from the header.
    pub lambda_version: Option<String>,
    /// The share in percent that a new version had when the version was picked; only the local cloud says it.
    pub new_weight: Option<u32>,
    /// The gateway's id of the request, from the header.
    pub request_id: Option<String>,
    /// The link to the next page, where there is one.
    pub next: Option<String>,
    /// The body, where it is JSON.
    pub body: Value,
}

impl ApiClient {
    /// For an address; a missing slash at its end is added.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        // Only one provider is compiled in; an earlier installation of it is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The local cloud's edge splits traffic by client, so two that watch the same shift differ.
        let agent = format!("causeway/{} (process {})", env!("CARGO_PKG_VERSION"), std::process::id());
        // What another server answers says nothing of this API, and signed headers are for this one alone.
        let mut builder = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .user_agent(agent)
            .redirect(reqwest::redirect::Policy::none());
        if causeway_model::net::is_loopback(url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().context("make an HTTP client")?;
        Ok(Self { http, base: format!("{}/", url.trim_end_matches('/')), signer: None })
    }

    /// The API's address.
    pub fn address(&self) -> &str {
        &self.base
    }

    /// The same client, which signs every call.
    pub fn signing(&self, keys: Keys, region: &str) -> Self {
        Self { signer: Some(Signer { keys, region: region.to_owned() }), ..self.clone() }
    }

    /// Sends a request; `path` is relative to the address.
    ///
    /// # Errors
    /// No answer came, one that is too large, or a redirect, which is not followed.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut call = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            call = call.json(body);
        }
        // A query may say who is asked about; no error repeats it.
        let shown = without_query(path);
        let mut call = call.build().with_context(|| format!("make the request {method} {shown}"))?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut call)?;
        }
        let answer = self.http.execute(call).await.map_err(|error| {
            let cause = causes(&error);
            Fault::failed("call the API", format!("{method} {}{shown}", self.base))
                .why(cause)
                .next("see that API_URL is right and the API is deployed")
        })?;
        if answer.status().is_redirection() {
            let host = redirected_to(&answer);
            return Err(Fault::failed("call the API", format!("{method} {}{shown}", self.base))
                .why(format!(
                    "it answers {} with a redirect to {host}, which is not followed",
                    answer.status()
                ))
                .next("give the API's own address in API_URL, one that answers without a redirect")
                .into());
        }
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
        };
        let found = Answer {
            status: answer.status(),
            version: header("x-causeway-version"),
            lambda_version: header("x-causeway-lambda-version"),
            new_weight: header("x-causeway-new-weight").and_then(|share| share.parse().ok()),
            request_id: header("apigw-requestid").or_else(|| header("x-amzn-requestid")),
            next: header("x-next"),
            body: Value::Null,
        };
        let bytes = read(answer).await.with_context(|| format!("read the answer to {method} {shown}"))?;
        Ok(Answer { body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), ..found })
    }

    /// Waits until the API answers at all; the version that does.
    ///
    /// # Errors
    /// It does not within the limit; the fault says what came instead.
    pub async fn wait_until_it_answers(&self, limit: Duration) -> anyhow::Result<String> {
        let watch = Stopwatch::start();
        loop {
            let last = match self.send(Method::GET, "api/version", None).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    let version = answer.body.get("version").and_then(Value::as_str);
                    return version.map(ToOwned::to_owned).ok_or_else(|| {
                        Fault::failed("read the version", format!("{}api/version", self.base))
                            .why("the answer has no `version`")
                            .next("see that API_URL leads to the check-in API")
                            .into()
                    });
                }
                Ok(answer) => anyhow::Error::new(
                    Fault::failed("call the API", format!("GET {}api/version", self.base))
                        .why(format!("it answers {}", answer.status))
                        .next("see the function's log"),
                ),
                Err(error) => error,
            };
            if watch.elapsed() > limit {
                return Err(last);
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Every cause of an error, outermost first: a name that does not resolve, a certificate that is refused and a port where
/// nobody listens differ in the innermost one alone. The error's own text repeats the URL and is left out.
fn causes(error: &dyn std::error::Error) -> String {
    let all: Vec<String> =
        std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string).collect();
    if all.is_empty() { error.to_string() } else { all.join(": ") }
}

/// The host that a redirect leads to. The rest of its address may carry what was asked, or a token.
fn redirected_to(answer: &reqwest::Response) -> String {
    let location = answer.headers().get(http::header::LOCATION).map(|value| value.to_str());
    match location {
        None => "nowhere (it has no Location)".to_owned(),
        Some(Err(_)) => "a Location that is no text".to_owned(),
        Some(Ok(location)) => match answer.url().join(location) {
            Ok(url) => match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (Some(host), None) => host.to_owned(),
                (None, _) => format!("an address of the scheme {}", url.scheme()),
            },
            Err(_) => "a Location that is no address".to_owned(),
        },
    }
}

/// A path without its query, for messages.
pub(super) fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

impl Signer {
    /// Adds a signature to a request.
    fn sign(&self, call: &mut reqwest::Request) -> anyhow::Result<()> {
        let url = call.url().clone();
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let body = call.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
        let (method, signed) = (call.method().clone(), [("host".to_owned(), host)]);
        let headers =
            sign::headers(&self.keys, "execute-api", &self.region, &method, url.as_str(), &signed, &body)?;
        call.headers_mut().extend(headers);
        Ok(())
    }
}

async fn read(mut answer: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        anyhow::ensure!(bytes.len() + chunk.len() <= MAX_ANSWER, "it is larger than {MAX_ANSWER} bytes");
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::from_error;

    #[tokio::test]
    async fn no_error_repeats_who_was_asked_about() {
        // Bound and not listened to: it is ours, and refuses.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let url = format!("http://{}/", deaf.local_addr().unwrap());
        let api = ApiClient::new(&url).unwrap();
        let error =
            api.send(Method::GET, "api/contacts?dt=2026-01-01&email=a@example.com", None).await.unwrap_err();
        let fault = from_error(&error);
        assert_eq!(fault.on, format!("GET {url}api/contacts"));
        assert!(!format!("{fault}").contains("example.com"), "{fault}");
    }

    /// A server that answers every request alike; its address, and how many requests it had.
    async fn answering(
        status: StatusCode,
        location: Option<String>,
    ) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let asked = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&asked);
        let app = axum::Router::new().fallback(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut answer = axum::response::Response::new(axum::body::Body::from("{}"));
            *answer.status_mut() = status;
            if let Some(location) = &location {
                answer.headers_mut().insert(http::header::LOCATION, location.parse().unwrap());
            }
            async move { answer }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, asked)
    }

    #[tokio::test]
    async fn no_redirect_is_followed_and_each_is_named() {
        use std::sync::atomic::Ordering;
        let (other, other_asked) = answering(StatusCode::OK, None).await;
        let host = other.trim_start_matches("http://").trim_end_matches('/').to_owned();
        for status in [301, 302, 303, 307, 308] {
            let (url, _) = answering(
                StatusCode::from_u16(status).unwrap(),
                Some(format!("{other}api/version?token=secret")),
            )
            .await;
            let api = ApiClient::new(&url).unwrap();
            let keys = Keys { id: "AKIA".to_owned(), secret: "s".to_owned(), token: None };
            for api in [api.clone(), api.signing(keys, "eu-central-1")] {
                let error = api.send(Method::POST, "api/version", Some(&Value::Null)).await.unwrap_err();
                let fault = from_error(&error);
                assert!(fault.why.contains(&status.to_string()), "{fault}");
                assert!(fault.why.contains(&host) && !fault.why.contains("secret"), "{fault}");
            }
        }
        assert_eq!(other_asked.load(Ordering::Relaxed), 0, "the other server was never asked");
        for (location, said) in [
            (None, "no Location"),
            (Some("file:///etc/passwd"), "scheme file"),
            (Some("http://["), "no address"),
            (Some("/elsewhere"), "127.0.0.1:"),
        ] {
            let (url, _) = answering(StatusCode::FOUND, location.map(ToOwned::to_owned)).await;
            let error = ApiClient::new(&url).unwrap().send(Method::GET, "x", None).await.unwrap_err();
            assert!(from_error(&error).why.contains(said), "{location:?}: {error:#}");
        }
    }
}
