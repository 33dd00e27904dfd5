//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud.
//!
//! Nor is `aws-config` used: its chain of profiles, SSO, STS and metadata services cannot meet a function, which has
//! its region and credentials in the environment, and would be a seventh of its package.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedAsyncSleep, SharedHttpClient};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK's configuration: region, role credentials and endpoint from the environment, our HTTPS client, and an end to
/// waiting. Three attempts fit into the time that API Gateway and the template leave.
#[must_use]
pub fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6))
        .build();
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

/// Something that is being made.
pub type Soon<T> = Arc<LazyLock<T, Box<dyn FnOnce() -> T + Send>>>;

/// Makes something on a thread of its own, so that a function asks for work at once: reading the certificates takes as long
/// as everything else before. Whoever needs it earlier waits for it.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn soon<T: Send + Sync + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Soon<T> {
    let made: Soon<T> = Arc::new(LazyLock::new(Box::new(make)));
    let making = Arc::clone(&made);
    tokio::task::spawn_blocking(move || {
        LazyLock::force(&making);
    });
    made
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_made_soon_is_made_once_and_waited_for() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = soon(|| MADE.fetch_add(1, Ordering::SeqCst) + 1);
        assert_eq!((**made, **made), (1, 1));
        assert_eq!(MADE.load(Ordering::SeqCst), 1);
    }
}
