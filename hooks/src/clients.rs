//! The way to AWS, made once per process.
//!
//! The HTTPS client is built by hand: rustls on ring, because the SDK's default brings a second crypto
//! library and its `rustls` feature a second HTTP stack. It trusts what `rustls-native-certs` finds at
//! run time, so `SSL_CERT_FILE` and `AWS_ENDPOINT_URL` lead to the local cloud. The api has much the same
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

/// Where services are asked, beside what a configuration says of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    lambda: Option<String>,
    codedeploy: Option<String>,
    cloudformation: Option<String>,
}

impl Clients {
    /// Clients from a configuration. The two share no connection: behind one endpoint the report would go out
    /// over one that belongs to a check, and wait for it.
    #[must_use]
    pub fn new(config: &SdkConfig, endpoints: Endpoints) -> Self {
        let mut asked = aws_sdk_lambda::config::Builder::from(config);
        if endpoints.lambda.is_some() {
            asked.set_endpoint_url(endpoints.lambda);
        }
        let mut once = aws_sdk_codedeploy::config::Builder::from(config)
            .http_client(https_client())
            .retry_config(RetryConfig::disabled());
        if endpoints.codedeploy.is_some() {
            once.set_endpoint_url(endpoints.codedeploy);
        }
        Self {
            lambda: aws_sdk_lambda::Client::from_conf(asked.build()),
            codedeploy: aws_sdk_codedeploy::Client::from_conf(once.build()),
            web: Web::new(config, endpoints.cloudformation),
        }
    }
}

/// The HTTPS client. It reads the certificates in force once, when it is made.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// A variable without which nobody can be asked, nor told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct Missing(pub &'static str);

/// The SDK's configuration, and where its services are: region, role credentials and endpoints through `lookup`, which gives a
/// variable's value (empty counts as unset), and our HTTPS client. How long an answer may take is each check's own matter; only
/// a connection that does not come about is given up here.
///
/// # Errors
/// Region or credentials are not there. Lambda gives a process that it starts from a zip its role's credentials once; where it has
/// them behind `AWS_CONTAINER_CREDENTIALS_FULL_URI` (SnapStart), they end before the process does, and `aws-config` is needed.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<(SdkConfig, Endpoints), Missing> {
    let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let required = |name| value(name).ok_or(Missing(name));
    let on = |name: &str| value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let (id, secret) = (required("AWS_ACCESS_KEY_ID")?, required("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, secret, value("AWS_SESSION_TOKEN"), None, "environment");
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .use_fips(on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(on("AWS_USE_DUALSTACK_ENDPOINT"))
        .http_client(https_client())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()));
    let ignored = on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    let endpoint = |name: &str| value(name).or_else(|| value("AWS_ENDPOINT_URL")).filter(|_| !ignored);
    let endpoints = Endpoints {
        lambda: endpoint("AWS_ENDPOINT_URL_LAMBDA"),
        codedeploy: endpoint("AWS_ENDPOINT_URL_CODEDEPLOY"),
        cloudformation: endpoint("AWS_ENDPOINT_URL_CLOUDFORMATION"),
    };
    Ok((config.build(), endpoints))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: [(&str, &str); 3] =
        [("AWS_REGION", "eu-central-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    fn reading(variables: &[(&str, &str)]) -> Result<(SdkConfig, Endpoints), Missing> {
        let all: Vec<_> = variables.iter().chain(&BASE).collect();
        read(|name| all.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_is_missing_is_named() {
        for (name, _) in BASE {
            assert_eq!(reading(&[(name, "")]).err(), Some(Missing(name)));
        }
    }

    #[test]
    fn each_service_is_asked_where_the_environment_says() {
        let of = |variables: &[(&str, &str)]| {
            let Endpoints { lambda, codedeploy, cloudformation } = reading(variables).unwrap().1;
            [lambda, codedeploy, cloudformation].map(Option::unwrap_or_default)
        };
        let all = ("AWS_ENDPOINT_URL", "http://all");
        assert_eq!(of(&[]), ["", "", ""]);
        assert_eq!(of(&[all]), ["http://all"; 3]);
        assert_eq!(of(&[all, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]), ["", "", ""]);
        for (at, name) in ["LAMBDA", "CODEDEPLOY", "CLOUDFORMATION"].into_iter().enumerate() {
            let mut expected = ["http://all"; 3];
            expected[at] = "http://own";
            assert_eq!(of(&[all, (&format!("AWS_ENDPOINT_URL_{name}"), "http://own")]), expected);
        }
    }

    #[test]
    fn fips_and_dual_stack_are_asked_for_where_they_are_wanted() {
        let (plain, _) = reading(&[]).unwrap();
        assert_eq!((plain.use_fips(), plain.use_dual_stack()), (Some(false), Some(false)));
        let variables = [("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE")];
        let (both, _) = reading(&variables).unwrap();
        assert_eq!((both.use_fips(), both.use_dual_stack()), (Some(true), Some(true)));
    }
}
