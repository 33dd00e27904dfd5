//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud. The api has the same few
//! lines: a hook depends on nothing that it is there to judge.
//!
//! Nor is `aws-config` used: its chain of profiles, SSO, STS and metadata services cannot meet a function, which has
//! its region and credentials in the environment, and would be a seventh of its package.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_codedeploy::config::retry::RetryConfig;
use aws_sdk_codedeploy::config::timeout::TimeoutConfig;
use aws_sdk_codedeploy::config::{BehaviorVersion, Region, SharedAsyncSleep, SharedHttpClient};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;

use crate::api::Web;

/// The services a hook talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Where the version under test runs.
    pub lambda: aws_sdk_lambda::Client,
    /// Who waits for the report. It never retries by itself: [`crate::report`] does, and counts.
    pub codedeploy: aws_sdk_codedeploy::Client,
    /// The way to the deployed API.
    pub web: Web,
}

impl Clients {
    /// Clients from a configuration. The two share no connection: behind one endpoint the report would go out
    /// over one that belongs to a check, and wait for it.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let once = aws_sdk_codedeploy::config::Builder::from(config)
            .http_client(https_client())
            .retry_config(RetryConfig::disabled());
        Self {
            lambda: aws_sdk_lambda::Client::new(config),
            codedeploy: aws_sdk_codedeploy::Client::from_conf(once.build()),
            web: Web::new(config),
        }
    }
}

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK's configuration: region, role credentials and endpoint from the environment, our HTTPS client. How long an
/// answer may take is each check's own matter; only a connection that does not come about is given up here.
#[must_use]
pub fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(https_client())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()));
    config.set_region(set("AWS_REGION").map(Region::new));
    config.set_endpoint_url(set("AWS_ENDPOINT_URL"));
    // Lambda gives a process its role's credentials once; they outlive it.
    if let (Some(id), Some(secret)) = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
        let credentials = Credentials::new(id, secret, set("AWS_SESSION_TOKEN"), None, "environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
    }
    config.build()
}
