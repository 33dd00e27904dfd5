//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK's configuration: environment, role credentials, our HTTPS client, and an end to waiting. Three
/// attempts fit into the time that API Gateway and the template leave.
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(https_client())
        .timeout_config(timeouts)
        .load()
        .await
}
