//! A client of the front: its control calls, and single AWS calls with the rights of a role.

use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use super::happenings::Happening;
use super::state::State;
use causeway_aws::sign;
use causeway_machine::paths::Paths;
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;

/// How long an answer may take: a function's longest run, and some.
const LONGEST: Duration = Duration::from_secs(930);

/// A client of the front of a running cloud.
#[derive(Clone)]
pub struct Control {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    token: String,
    root_secret: String,
}

impl Control {
    /// For a running cloud.
    ///
    /// # Errors
    /// Its certificates cannot be read.
    pub fn new(paths: &Paths, state: &State) -> anyhow::Result<Self> {
        // Only one provider is compiled in; an earlier installation of it is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(paths.ca()).with_context(|| format!("read {}", paths.ca().display()))?;
        let ca = reqwest::Certificate::from_pem(&ca).context("read the local cloud's certificate")?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([ca])
            .timeout(Duration::from_secs(60))
            .build();
        Ok(Self {
            http: http.context("make an HTTP client")?,
            endpoint: state.endpoint(),
            region: state.region.clone(),
            token: state.token.clone(),
            root_secret: state.root_secret.clone(),
        })
    }

    /// The keys of an account's root in this cloud.
    pub fn root(&self, account: &str) -> Keys {
        Keys { id: account.to_owned(), secret: self.root_secret.clone(), token: None }
    }

    /// What the engines did after a place in the order. `patient`: where there is nothing, a moment is waited for something.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub async fn happenings(&self, after: u64, patient: bool) -> anyhow::Result<Vec<Happening>> {
        let path = format!("happenings?after={after}{}", if patient { "&patient" } else { "" });
        let answer = self.control(Method::GET, &path, None).await?;
        serde_json::from_value(answer).context("read what the engines did")
    }

    /// Sets how long a minute of AWS takes.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub async fn set_minute(&self, minute: Duration) -> anyhow::Result<()> {
        let millis = u64::try_from(minute.as_millis()).unwrap_or(u64::MAX);
        self.control(Method::POST, "minute", Some(json!({"millis": millis}))).await.map(|_| ())
    }

    /// Why this machine explains a failure of the last seconds, where it does: time alone is its cause, and there was none.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub async fn explains(&self, seconds: f64, said: &str) -> anyhow::Result<Option<String>> {
        let asked = json!({"seconds": seconds, "said": said});
        let answer = self.control(Method::POST, "explain", Some(asked)).await?;
        Ok(answer.get("why").and_then(Value::as_str).map(ToOwned::to_owned))
    }

    /// Lets connections wait for a person, or be finished.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub async fn set_connections_pending(&self, pending: bool) -> anyhow::Result<()> {
        self.control(Method::POST, "connections", Some(json!({"pending": pending}))).await.map(|_| ())
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let call =
            self.http.request(method, format!("{}/_causeway/{path}", self.endpoint)).bearer_auth(&self.token);
        let call = match body {
            Some(body) => call.body(body.to_string()),
            None => call,
        };
        let answer = call
            .send()
            .await
            .context("the local cloud does not answer")?
            .error_for_status()
            .context("call the local cloud")?;
        let text = answer.text().await.context("read the local cloud's answer")?;
        serde_json::from_str(&text).context("read the local cloud's answer")
    }

    /// A control call with a body of bytes: its status and its text.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> anyhow::Result<(http::StatusCode, String)> {
        let url = format!("{}/_causeway/{path}", self.endpoint);
        let call = self.http.request(method, url).bearer_auth(&self.token).timeout(limit).body(body);
        let answer = call.send().await.context("the local cloud does not answer")?;
        let status = answer.status();
        Ok((status, answer.text().await.context("the local cloud's answer broke off")?))
    }

    /// A call of the query protocol with the rights of these keys.
    ///
    /// # Errors
    /// A fault that carries what the service said.
    pub async fn query(
        &self,
        keys: &Keys,
        service: &str,
        parameters: &[(&str, &str)],
        what: &str,
        on: &str,
    ) -> anyhow::Result<()> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let url = format!("{}/", self.endpoint);
        let host = self.endpoint.trim_start_matches("https://").to_owned();
        let kind = "application/x-www-form-urlencoded; charset=utf-8".to_owned();
        let signed = [("host".to_owned(), host), ("content-type".to_owned(), kind.clone())];
        let headers =
            sign::headers(keys, service, &self.region, &Method::POST, &url, &signed, body.as_bytes())?;
        let call = self.http.post(&url).headers(headers).header("content-type", kind).body(body);
        let answer = call.send().await.context("the local cloud does not answer")?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let root = causeway_model::xml::Element::parse(&text).unwrap_or_default();
        let (code, message) = (root.text_at(&["Error", "Code"]), root.text_at(&["Error", "Message"]));
        let why = if code.is_empty() { format!("{status}: {text}") } else { format!("{code}: {message}") };
        Err(Fault::failed(what, on).why(why).into())
    }

    /// A call of a JSON protocol with the rights of these keys: `target` is `Service.Operation`.
    ///
    /// # Errors
    /// A fault that carries what the service said.
    pub async fn json(
        &self,
        keys: &Keys,
        (service, version): (&str, &str),
        target: &str,
        input: &Value,
        (what, on): (&str, &str),
    ) -> anyhow::Result<Value> {
        let url = format!("{}/", self.endpoint);
        let headers = [
            ("content-type", format!("application/x-amz-json-{version}")),
            ("x-amz-target", target.to_owned()),
        ];
        let (_, text) = self.signed(keys, service, &url, &headers, input.to_string(), what, on).await?;
        serde_json::from_str(&text).with_context(|| format!("read the answer to {target}"))
    }

    /// Invokes a function and waits for its end. A service invokes it as an event; this one wants to know of a function that ended.
    ///
    /// # Errors
    /// A fault that carries what Lambda said.
    pub async fn invoke(&self, keys: &Keys, function: &str, event: &Value, on: &str) -> anyhow::Result<()> {
        let name: String = form_urlencoded::byte_serialize(function.as_bytes()).collect();
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-amz-invocation-type", "RequestResponse".to_owned()),
        ];
        self.signed(keys, "lambda", &url, &headers, event.to_string(), "invoke the function", on).await?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a call has these parts")]
    async fn signed(
        &self,
        keys: &Keys,
        service: &str,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
        what: &str,
        on: &str,
    ) -> anyhow::Result<(http::StatusCode, String)> {
        let host = self.endpoint.trim_start_matches("https://").to_owned();
        let mut signed = vec![("host".to_owned(), host)];
        signed.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let signature =
            sign::headers(keys, service, &self.region, &Method::POST, url, &signed, body.as_bytes())?;
        let mut call = self.http.post(url).timeout(LONGEST).headers(signature).body(body);
        for (name, value) in headers {
            call = call.header(*name, value);
        }
        let answer = call.send().await.context("the local cloud does not answer")?;
        let status = answer.status();
        let text = answer.text().await.context("the local cloud's answer broke off")?;
        if status.is_success() {
            return Ok((status, text));
        }
        let error: Value = serde_json::from_str(&text).unwrap_or_default();
        let of = |keys: [&str; 3]| {
            keys.iter().find_map(|key| error.get(key)?.as_str()).unwrap_or_default().to_owned()
        };
        let code = of(["__type", "code", "Code"]);
        let code = code.rsplit('#').next().unwrap_or_default();
        let message = of(["message", "Message", "errorMessage"]);
        let why = if code.is_empty() && message.is_empty() {
            status.to_string()
        } else {
            format!("{code}: {message}")
        };
        Err(Fault::failed(what, on).why(why).into())
    }
}
