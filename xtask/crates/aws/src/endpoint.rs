//! Where a service of a region is: the host by partition, or what `AWS_ENDPOINT_URL` says.
//!
//! Source: `partitions.json` and the endpoint rules that AWS publishes with its SDKs.

use aws_config::{Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;

use super::spoken::Service;

/// A partition: the first words of its regions, the end of its hosts, and that of its hosts that have IPv6 as well.
type Partition = (&'static [&'static str], &'static str, &'static str);

/// The partitions beside the largest one, whose regions begin with whatever none of these does.
const OTHERS: [Partition; 6] = [
    (&["cn-"], "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    (&["eusc-"], "amazonaws.eu", "api.amazonwebservices.eu"),
    (&["us-iso-"], "c2s.ic.gov", "api.aws.ic.gov"),
    (&["us-isob-"], "sc2s.sgov.gov", "api.aws.scloud"),
    (&["eu-isoe-"], "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    (&["us-isof-"], "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
];

/// The largest partition. That of `us-gov-` has the same hosts.
const LARGEST: Partition = (&[], "amazonaws.com", "api.aws");

fn partition(region: &str) -> Partition {
    let is_in = |(begins, ..): &Partition| begins.iter().any(|begin| region.starts_with(begin));
    OTHERS.into_iter().find(is_in).unwrap_or(LARGEST)
}

/// The end of the hosts in the partition of a region, for instance `amazonaws.com`.
pub fn suffix(region: &str) -> &'static str {
    partition(region).1
}

/// The one URL of all services, where there is one.
///
/// # Errors
/// The configuration names none.
pub(super) fn anywhere(sdk: &SdkConfig) -> Result<String, &'static str> {
    sdk.endpoint_url().map(str::to_owned).ok_or("no endpoint is configured that has all services")
}

/// The URL of a service for a configuration. As the SDK's clients find it: a URL in the code first, then
/// `AWS_ENDPOINT_URL_<SERVICE>` or the profile's `services` section, then `AWS_ENDPOINT_URL`, then the host by region.
///
/// # Errors
/// The configuration names no region.
pub(super) fn url(sdk: &SdkConfig, service: &Service) -> Result<String, &'static str> {
    let configured = sdk.service_config().filter(|_| !sdk.get_origin("endpoint_url").is_client_config());
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = configured.zip(key.ok()).and_then(|(configured, key)| configured.load_config(key));
    if let Some(url) = own.or_else(|| sdk.endpoint_url().map(str::to_owned)) {
        return Ok(url);
    }
    let region = sdk.region().map(Region::as_ref).ok_or("no region is configured")?;
    Ok(host(service, region, sdk.use_fips().unwrap_or(false), sdk.use_dual_stack().unwrap_or(false)))
}

/// Where IAM is, in each partition whose regions begin so: its host and the region that its signatures name. It has no host of
/// its own in a region.
const IAM: [(&str, &str, &str); 8] = [
    ("cn-", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ("us-gov-", "iam.us-gov.amazonaws.com", "us-gov-west-1"),
    ("eusc-", "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    ("us-isob-", "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    ("us-isof-", "iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
    ("us-iso-", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    ("eu-isoe-", "iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
    ("", "iam.amazonaws.com", "us-east-1"),
];

/// IAM's host and region for a region.
fn iam(region: &str) -> (&'static str, &'static str) {
    let found = IAM.iter().find(|(begin, ..)| region.starts_with(begin));
    found.map_or(("iam.amazonaws.com", "us-east-1"), |(_, host, signed)| (host, signed))
}

/// The region that a service's signatures name. An endpoint that was configured is told the configured one.
pub(super) fn signing_region(sdk: &SdkConfig, service: &str) -> Option<Region> {
    let region = sdk.region().cloned()?;
    let is_global = service == "iam" && sdk.endpoint_url().is_none();
    Some(if is_global { Region::new(iam(region.as_ref()).1) } else { region })
}

/// The URL of a service's host in a region; `fips` and `dual` as `AWS_USE_FIPS_ENDPOINT` and
/// `AWS_USE_DUALSTACK_ENDPOINT` ask for it.
fn host(service: &Service, region: &str, fips: bool, dual: bool) -> String {
    if service.id == "IAM" {
        return format!("https://{}", iam(region).0);
    }
    let (_, plain, both) = partition(region);
    let (v4, v6) = service.gov_is_fips;
    let is_fips = region.starts_with("us-gov-") && if dual { v6 } else { v4 };
    let word = if fips && !is_fips { "-fips" } else { "" };
    format!("https://{}{word}.{region}.{}", service.host, if dual { both } else { plain })
}

#[cfg(test)]
mod tests {
    use aws_types::origin::Origin;

    use super::super::spoken::{CLOUDWATCH, CODEDEPLOY, DYNAMODB};
    use super::*;

    /// The URLs of the endpoint tests that AWS publishes for these services.
    #[test]
    fn hosts_are_those_of_the_partition() {
        for (service, region, fips, dual, url) in [
            (&CODEDEPLOY, "eu-central-1", false, false, "https://codedeploy.eu-central-1.amazonaws.com"),
            (&CODEDEPLOY, "us-east-1", true, false, "https://codedeploy-fips.us-east-1.amazonaws.com"),
            (&CODEDEPLOY, "us-east-1", false, true, "https://codedeploy.us-east-1.api.aws"),
            (&CODEDEPLOY, "cn-north-1", false, false, "https://codedeploy.cn-north-1.amazonaws.com.cn"),
            (
                &CODEDEPLOY,
                "cn-north-1",
                true,
                true,
                "https://codedeploy-fips.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                &CODEDEPLOY,
                "us-gov-west-1",
                true,
                false,
                "https://codedeploy-fips.us-gov-west-1.amazonaws.com",
            ),
            (&DYNAMODB, "us-gov-west-1", true, false, "https://dynamodb.us-gov-west-1.amazonaws.com"),
            (&DYNAMODB, "us-gov-west-1", true, true, "https://dynamodb-fips.us-gov-west-1.api.aws"),
            (&CLOUDWATCH, "us-gov-west-1", true, false, "https://monitoring.us-gov-west-1.amazonaws.com"),
            (&CLOUDWATCH, "us-gov-west-1", true, true, "https://monitoring.us-gov-west-1.api.aws"),
            (&CLOUDWATCH, "us-iso-east-1", false, false, "https://monitoring.us-iso-east-1.c2s.ic.gov"),
            (&CLOUDWATCH, "us-isob-east-1", false, false, "https://monitoring.us-isob-east-1.sc2s.sgov.gov"),
            (&DYNAMODB, "eusc-de-east-1", false, false, "https://dynamodb.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(host(service, region, fips, dual), url);
        }
    }

    #[test]
    fn iam_is_one_service_for_all_regions_of_a_partition() {
        for (region, url, signed) in [
            ("eu-central-1", "https://iam.amazonaws.com", "us-east-1"),
            ("cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("us-gov-east-1", "https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
            ("us-isob-east-1", "https://iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
        ] {
            assert_eq!(host(&super::super::spoken::IAM, region, false, false), url);
            let sdk = SdkConfig::builder().region(Region::new(region)).build();
            assert_eq!(signing_region(&sdk, "iam"), Some(Region::new(signed)));
            assert_eq!(signing_region(&sdk, "sns"), Some(Region::new(region)));
            let sdk = sdk.to_builder().endpoint_url("http://127.0.0.1:1").build();
            assert_eq!(signing_region(&sdk, "iam"), Some(Region::new(region)));
        }
    }

    #[test]
    fn a_url_that_is_configured_comes_before_the_host() {
        let sdk = SdkConfig::builder().region(Region::new("eu-central-1")).build();
        let host = "https://dynamodb.eu-central-1.amazonaws.com";
        assert_eq!(url(&sdk, &DYNAMODB), Ok(host.to_owned()));
        let sdk = sdk.to_builder().endpoint_url("http://127.0.0.1:1").build();
        assert_eq!(url(&sdk, &DYNAMODB), Ok("http://127.0.0.1:1".to_owned()));
        assert!(url(&SdkConfig::builder().build(), &DYNAMODB).is_err());
    }

    /// A configuration of services as a profile or the environment gives it.
    #[derive(Debug)]
    struct Configured;

    impl aws_types::service_config::LoadServiceConfig for Configured {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            let asked = (key.service_id(), key.env(), key.profile());
            (asked == ("DynamoDB", "AWS_ENDPOINT_URL", "endpoint_url"))
                .then(|| "http://127.0.0.1:2".to_owned())
        }
    }

    #[test]
    fn the_url_of_one_service_comes_before_that_of_all_but_not_before_the_codes_own() {
        let from = |origin: Origin| {
            let mut sdk = SdkConfig::builder().endpoint_url("http://127.0.0.1:1").service_config(Configured);
            sdk.insert_origin("endpoint_url", origin);
            sdk.build()
        };
        let (code, environment) = (Origin::shared_config(), Origin::shared_environment_variable());
        assert_eq!(url(&from(code), &DYNAMODB), Ok("http://127.0.0.1:1".to_owned()));
        assert_eq!(url(&from(environment), &DYNAMODB), Ok("http://127.0.0.1:2".to_owned()));
        assert_eq!(url(&from(environment), &CODEDEPLOY), Ok("http://127.0.0.1:1".to_owned()));
    }
}
