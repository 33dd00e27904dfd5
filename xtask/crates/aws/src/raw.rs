//! Calls that no SDK client makes for us: signed by hand, as a session of any role, to the local cloud.

use std::time::Duration;

use anyhow::Context as _;
use http::Method;

use super::session::LocalWorld;
use crate::sign;
use causeway_model::calls::{Call, answer, code};
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;

/// How long one call may take: an invocation may have to start a function.
const LIMIT: Duration = Duration::from_secs(60);

/// A client of the local cloud.
#[derive(Clone)]
pub struct Raw {
    http: reqwest::Client,
    endpoint: String,
    host: String,
    region: String,
}

impl Raw {
    /// For a running cloud.
    ///
    /// # Errors
    /// Its certificates cannot be read.
    pub fn new(world: &LocalWorld, region: &str) -> anyhow::Result<Self> {
        // Only one provider is compiled in; an earlier installation of it is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bundle =
            std::fs::read(&world.bundle).with_context(|| format!("read {}", world.bundle.display()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&bundle).context("read the certificates")?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(certificates).timeout(LIMIT).build();
        Ok(Self {
            http: http.context("make an HTTP client")?,
            endpoint: world.endpoint.clone(),
            host: world.endpoint.trim_start_matches("https://").to_owned(),
            region: region.to_owned(),
        })
    }

    /// Makes a call, and gives the status and what was said.
    ///
    /// # Errors
    /// The cloud does not answer.
    pub async fn send(&self, keys: &Keys, call: &Call) -> anyhow::Result<(u16, String)> {
        let method = Method::from_bytes(call.method.as_bytes()).context("read the method")?;
        let url = format!("{}{}", self.endpoint, call.path);
        let mut headers: Vec<(String, String)> =
            call.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        headers.push(("host".to_owned(), self.host.clone()));
        let body = call.body.as_bytes();
        let signature = sign::headers(keys, call.service, &self.region, &method, &url, &headers, body)?;
        let mut request = self.http.request(method, &url).body(call.body.clone()).headers(signature);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let on = || format!("{} {}", call.method, call.path);
        let came = request
            .send()
            .await
            .map_err(|error| Fault::failed("call the local cloud", on()).why(format!("{error:#}")))?;
        let status = came.status().as_u16();
        let text = came.bytes().await.map_err(|error| {
            Fault::failed("read the local cloud's answer", on()).why(format!("{error:#}"))
        })?;
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Whether the caller may make the call, and how the answer said so: its status, and the code of an error.
    ///
    /// # Errors
    /// As for [`Raw::send`], and where the answer says nothing of the caller's rights.
    pub async fn may(&self, keys: &Keys, call: &Call) -> anyhow::Result<(bool, String)> {
        let (status, text) = self.send(keys, call).await?;
        let said = format!("{status} {}", code(&text));
        answer(status, &text).map(|allowed| (allowed, said)).map_err(|said| {
            Fault::failed("ask the local cloud", format!("{} {} {}", call.service, call.method, call.path))
                .why(said)
                .into()
        })
    }
}
