//! Objects in the artifact bucket: packages that are put once, and the artifacts that pass between actions.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::error::explain;
use super::session::Account;
use crate::model::artifact::Upload;
use crate::model::fault::Fault;

/// The artifact bucket, as seen with the rights of one account or session.
#[derive(Clone)]
pub(crate) struct Bucket {
    client: Client,
    name: String,
    key_arn: String,
}

impl Bucket {
    /// The bucket of that name, whose objects are encrypted under that key.
    pub(crate) fn new(account: &Account, name: &str, key_arn: &str) -> Self {
        // Path style: with an endpoint that is an address, host names for buckets would not resolve.
        let config =
            aws_sdk_s3::config::Builder::from(account.sdk()).force_path_style(account.loopback).build();
        Self { client: Client::from_conf(config), name: name.to_owned(), key_arn: key_arn.to_owned() }
    }

    /// Puts an object unless one of that key is there. It is encrypted under the project's key, and S3 verifies the
    /// content against its SHA-256.
    ///
    /// # Errors
    /// What S3 says; nothing is left behind then.
    pub(crate) async fn put_once(
        &self,
        key: &str,
        body: Vec<u8>,
        metadata: &[(&str, &str)],
    ) -> anyhow::Result<Upload> {
        let head = self.client.head_object().bucket(&self.name).key(key).send().await;
        if head.is_ok() {
            return Ok(Upload::Present);
        }
        // 404, or 403 for who may not list: either way the conditional PUT has the last word.
        let call =
            metadata.iter().fold(self.put(key, body), |call, (name, value)| call.metadata(*name, *value));
        match call.if_none_match("*").send().await {
            Ok(_) => Ok(Upload::Uploaded),
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(Upload::Present),
            Err(error) => Err(explain(error, "upload", &self.url(key))),
        }
    }

    /// Puts an object, whatever is there.
    pub(crate) async fn put_artifact(&self, key: &str, body: Vec<u8>) -> anyhow::Result<()> {
        self.put(key, body)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| explain(error, "write the artifact", &self.url(key)))
    }

    /// The whole content of an object.
    pub(crate) async fn get(&self, key: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let answer = answer.map_err(|error| explain(error, "read the artifact", &self.url(key)))?;
        let body = answer
            .body
            .collect()
            .await
            .map_err(|error| Fault::failed("read the artifact", self.url(key)).why(error))?;
        Ok(body.to_vec())
    }

    fn put(
        &self,
        key: &str,
        body: Vec<u8>,
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&body));
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.key_arn)
            .checksum_sha256(digest)
            .body(ByteStream::from(body))
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }
}
