//! A store at an endpoint of the test's choice.

use api::store::DynamoStore;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};

/// A client of a local cloud: the access key is an account id, which stands for that account's root; its secret is in
/// `CAUSEWAY_TEST_DYNAMODB_SECRET`. Other endpoints look at neither.
pub(crate) fn client(endpoint: &str) -> Client {
    let secret = std::env::var("CAUSEWAY_TEST_DYNAMODB_SECRET").unwrap_or_else(|_| "secret".to_owned());
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("222222222222", secret, None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(api::clients::https_client());
    Client::from_conf(config.build())
}

/// A store in a table there.
pub(crate) fn store(endpoint: &str, table: &str) -> DynamoStore {
    DynamoStore::new(client(endpoint), table.to_owned())
}
