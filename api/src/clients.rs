//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud.
//!
//! Nor is `aws-config` used: its chain of profiles, SSO, STS and metadata services cannot meet a function, which has
//! its region and credentials in the environment, and would be a seventh of its package.

use std::sync::Arc;
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
use tokio::sync::watch;

use crate::settings::SettingsError;

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// What a client needs of the environment.
#[derive(Debug, Clone)]
pub struct Aws {
    region: String,
    credentials: Credentials,
    endpoint: Option<String>,
    fips: bool,
    dual_stack: bool,
}

impl Aws {
    /// Reads it through `lookup`, which gives a variable's value. An empty value counts as unset.
    ///
    /// # Errors
    /// Region or credentials are not there. The role's credentials are in the environment of a function from a zip. Where Lambda
    /// has them behind `AWS_CONTAINER_CREDENTIALS_FULL_URI` (SnapStart), they expire while the process lives, so the provider
    /// that fetches them anew is needed: `aws-config`'s.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required = |name| value(name).ok_or(SettingsError::Missing(name));
        let on = |name: &str| value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if value("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some() && value("AWS_ACCESS_KEY_ID").is_none() {
            return Err(SettingsError::CredentialsElsewhere);
        }
        let (id, secret) = (required("AWS_ACCESS_KEY_ID")?, required("AWS_SECRET_ACCESS_KEY")?);
        let endpoint = value("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| value("AWS_ENDPOINT_URL"));
        Ok(Self {
            region: required("AWS_REGION")?,
            credentials: Credentials::new(id, secret, value("AWS_SESSION_TOKEN"), None, "environment"),
            endpoint: endpoint.filter(|_| !on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")),
            fips: on("AWS_USE_FIPS_ENDPOINT"),
            dual_stack: on("AWS_USE_DUALSTACK_ENDPOINT"),
        })
    }

    /// Reads it from this process.
    ///
    /// # Errors
    /// As [`Aws::read`].
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The SDK's configuration: our HTTPS client, and an end to waiting. Three attempts fit into the time that API Gateway and the
    /// template leave.
    #[must_use]
    pub fn sdk_config(self) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(6))
            .build();
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials))
            .use_fips(self.fips)
            .use_dual_stack(self.dual_stack)
            .http_client(https_client())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()));
        config.set_endpoint_url(self.endpoint);
        config.build()
    }
}

/// Something that is being made.
#[derive(Debug)]
pub struct Soon<T>(watch::Receiver<Option<Arc<T>>>);

impl<T> Clone for Soon<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Soon<T> {
    /// Makes something on a thread of its own, so that a function asks for work at once: reading the certificates takes as long
    /// as everything else before. Whoever needs it earlier waits for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn make(make: impl FnOnce() -> T + Send + 'static) -> Self {
        let (made, soon) = watch::channel(None);
        // A panic drops the sender: whoever waits learns of it.
        tokio::task::spawn_blocking(move || made.send_replace(Some(Arc::new(make()))));
        Self(soon)
    }

    /// The thing. Where it could not be made the process ends, so that Lambda starts a new one: this one would fail for ever.
    #[expect(
        clippy::disallowed_methods,
        reason = "the invocation in hand must not be answered by a client that is none"
    )]
    pub async fn get(&self) -> Arc<T> {
        match self.0.clone().wait_for(Option::is_some).await.map(|made| (*made).clone()) {
            Ok(Some(made)) => made,
            _ => {
                tracing::error!("the client could not be made: the process ends");
                std::process::exit(1)
            }
        }
    }
}

impl<T> From<Arc<T>> for Soon<T> {
    fn from(made: Arc<T>) -> Self {
        Self(watch::channel(Some(made)).1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_made_soon_is_made_once_and_waited_for() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = Soon::make(|| MADE.fetch_add(1, Ordering::SeqCst) + 1);
        assert_eq!((*made.get().await, *made.clone().get().await), (1, 1));
        assert_eq!(MADE.load(Ordering::SeqCst), 1);
        assert_eq!(*Soon::from(Arc::new(7)).get().await, 7);
    }

    fn read(variables: &[(&str, &str)]) -> Result<Aws, SettingsError> {
        let base = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let all = variables.iter().chain(&base);
        Aws::read(|name| all.clone().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert_eq!(read(&[(name, "")]).err(), Some(SettingsError::Missing(name)));
        }
        let elsewhere =
            [("AWS_ACCESS_KEY_ID", ""), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9001/")];
        assert_eq!(read(&elsewhere).err(), Some(SettingsError::CredentialsElsewhere));
    }

    #[test]
    fn the_sdks_own_variables_choose_the_endpoint() {
        let (own, every) =
            (("AWS_ENDPOINT_URL_DYNAMODB", "http://own"), ("AWS_ENDPOINT_URL", "http://every"));
        for (variables, endpoint) in [
            (&[][..], None),
            (&[every][..], Some("http://every")),
            (&[every, own][..], Some("http://own")),
            (&[every, own, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE")][..], None),
        ] {
            assert_eq!(read(variables).unwrap().endpoint.as_deref(), endpoint, "{variables:?}");
        }
        let aws = read(&[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")]).unwrap();
        let config = aws.sdk_config();
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(true)));
    }
}
