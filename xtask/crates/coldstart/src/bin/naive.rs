//! For `cargo xtask bench coldstart`: a function as it is commonly written, with the SDK's whole chain of providers, that reads
//! from its table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12()).http_client(http);
    let client = Client::new(&loader.load().await);
    let client = &client;
    lambda_runtime::run(service_fn(async move |_: LambdaEvent<Value>| {
        let locations = client
            .query()
            .table_name(std::env::var("TABLE_NAME")?)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S("LOCATION".to_owned()))
            .send()
            .await?;
        Ok::<_, Error>(json!({"statusCode": 200, "body": locations.count().to_string()}))
    }))
    .await
}
