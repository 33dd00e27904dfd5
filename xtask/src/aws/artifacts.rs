//! Objects in the artifact bucket: packages that are put once, and the artifacts that pass between actions.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
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
    key_arn: Option<String>,
}

impl Bucket {
    /// The bucket of that name, whose objects are encrypted under that key.
    pub(crate) fn new(account: &Account, name: &str, key_arn: &str) -> Self {
        Self { key_arn: Some(key_arn.to_owned()), ..Self::plain(account, name) }
    }

    /// The bucket of that name, whose objects are encrypted as the bucket says.
    pub(crate) fn plain(account: &Account, name: &str) -> Self {
        // Path style: with an endpoint that is an address, host names for buckets would not resolve.
        let config =
            aws_sdk_s3::config::Builder::from(account.sdk()).force_path_style(account.loopback).build();
        Self { client: Client::from_conf(config), name: name.to_owned(), key_arn: None }
    }

    /// Whether an object of that key is there. A 404, or a 403 for who may not list, is a no: the conditional PUT has
    /// the last word then.
    ///
    /// # Errors
    /// What is there has another digest or length than the content: a key of ours names its content.
    pub(crate) async fn holds(&self, key: &str, content: &[u8]) -> anyhow::Result<bool> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        let Ok(found) = head.send().await else { return Ok(false) };
        let length = u64::try_from(found.content_length().unwrap_or_default()).unwrap_or_default();
        let stored = found.checksum_sha256();
        // A composite digest ("…-2") is one of parts.
        let other = stored.is_some_and(|stored| !stored.contains('-') && stored != digest(content));
        if other || length != content.len() as u64 {
            return Err(Fault::failed("upload the package", self.url(key))
                .why("what is stored under that key has another digest: it was not put there by this tool, or is damaged")
                .next("look at the object's versions; remove that one, and run it again")
                .into());
        }
        Ok(true)
    }

    /// Puts an object unless one of that key is there. It is encrypted under the project's key, and S3 verifies the
    /// content against its SHA-256. What breaks off is tried again.
    ///
    /// # Errors
    /// What S3 says; nothing is left behind then.
    pub(crate) async fn put_if_absent(
        &self,
        key: &str,
        body: Vec<u8>,
        metadata: &[(&str, &str)],
    ) -> anyhow::Result<Upload> {
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
        let digest = digest(&body);
        let call = self.client.put_object().bucket(&self.name).key(key).checksum_sha256(digest);
        let call = match &self.key_arn {
            Some(arn) => call.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(arn),
            None => call,
        };
        call.body(ByteStream::from(body))
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }
}

/// A SHA-256 as S3 writes it.
fn digest(content: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Script;
    use super::*;
    use crate::model::fault::from_error;

    async fn put(replies: Vec<(u16, &str)>) -> (anyhow::Result<Upload>, Vec<String>) {
        let replies = replies.into_iter().map(|(status, text)| (status, text.to_owned())).collect();
        let (script, account) = Script::start(replies).await;
        let bucket = Bucket::new(&account.retrying(), "bucket", "arn:key");
        let key = "packages/checkin/ab.zip";
        let result = match bucket.holds(key, b"zip").await {
            Ok(true) => Ok(Upload::Present),
            Ok(false) => bucket.put_if_absent(key, b"zip".to_vec(), &[("commit", "c")]).await,
            Err(error) => Err(error),
        };
        (result, script.asked())
    }

    #[tokio::test]
    async fn a_package_is_put_once() {
        let head = "HEAD /bucket/packages/checkin/ab.zip";
        let conditional = "PUT /bucket/packages/checkin/ab.zip if-none-match *";
        let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        let there = "<Error><Code>PreconditionFailed</Code><Message>there</Message></Error>";
        let table = [
            (vec![(200, "zip")], Upload::Present, vec![head]),
            (vec![(404, ""), (200, "")], Upload::Uploaded, vec![head, conditional]),
            // Whoever may not list is told 403 of a missing key: the conditional PUT has the last word.
            (vec![(403, ""), (200, "")], Upload::Uploaded, vec![head, conditional]),
            (vec![(403, ""), (412, there)], Upload::Present, vec![head, conditional]),
        ];
        for (replies, expected, asked) in table {
            let (result, found) = put(replies.clone()).await;
            assert_eq!(
                (result.unwrap(), found),
                (expected, asked.iter().map(ToString::to_string).collect()),
                "{replies:?}"
            );
        }
        let (result, _) = put(vec![(404, ""), (403, denied)]).await;
        let fault = from_error(&result.unwrap_err());
        assert_eq!(
            (fault.on.as_str(), fault.why.as_str()),
            ("s3://bucket/packages/checkin/ab.zip", "AccessDenied: no")
        );
        // A key names its content: what is there and is something else is never taken for it.
        let (result, asked) = put(vec![(200, "something else")]).await;
        assert!(from_error(&result.unwrap_err()).why.contains("another digest"));
        assert_eq!(asked, [head], "nothing is written over");
        // A service that fails for a moment is asked again.
        let (result, asked) = put(vec![(404, ""), (503, ""), (200, "")]).await;
        assert_eq!((result.unwrap(), asked.len()), (Upload::Uploaded, 3));
    }
}
