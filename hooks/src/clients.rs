//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud. The api has the same few
//! lines: a hook depends on nothing that it is there to judge.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_codedeploy::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The services a hook talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Where the version under test runs.
    pub lambda: aws_sdk_lambda::Client,
    /// Who waits for the report. It never retries by itself: [`crate::report`] does, and counts.
    pub codedeploy: aws_sdk_codedeploy::Client,
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
        }
    }
}

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK's configuration: environment, role credentials, our HTTPS client. How long an answer may take is each
/// check's own matter; only a connection that does not come about is given up here.
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(https_client())
        .timeout_config(timeouts)
        .load()
        .await
}
