//! Templates that are too large for a request: put into a bucket, and read from there by CloudFormation.

use anyhow::Context as _;
use aws_sdk_s3::presigning::PresigningConfig;

use super::*;

/// How long CloudFormation may read a template. It reads it during the call that names it.
const VALID_FOR: Duration = Duration::from_secs(3_600);

impl Bucket {
    /// Puts a template below a prefix, under the digest of its text, and gives the URL at which CloudFormation reads it.
    ///
    /// # Errors
    /// What S3 says.
    pub async fn put_template(&self, prefix: &str, text: &str) -> anyhow::Result<String> {
        let key = format!("{prefix}{}", hex::encode(Sha256::digest(text)));
        self.put_artifact(&key, text.as_bytes().to_vec()).await.map_err(|error| {
            let mut fault = from_error(&error);
            fault.what = "put the template that is too large for a request".to_owned();
            if fault.kind == Kind::Failed {
                fault.next = format!(
                    "who deploys it needs s3:PutObject and s3:GetObject on {}*, and the bucket's key; or make the template smaller",
                    self.url(prefix)
                );
            }
            anyhow::Error::new(fault)
        })?;
        self.signed_url(&key).await
    }

    /// A URL at which anybody may read an object for a while: whoever signs it lends its own right to. CloudFormation reads
    /// a template with its caller's rights otherwise, and a caller in a target account has none in the artifact bucket.
    /// CodePipeline's action does the same; that a caller of ours may is unconfirmed on AWS.
    ///
    /// # Errors
    /// There are no credentials to sign with.
    pub async fn signed_url(&self, key: &str) -> anyhow::Result<String> {
        let valid = PresigningConfig::expires_in(VALID_FOR).context("sign the address of the template")?;
        let signed = self.client.get_object().bucket(&self.name).key(key).presigned(valid).await;
        let signed = signed.map_err(|error| explain(error, "sign the address of", &self.url(key)))?;
        Ok(signed.uri().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::scripted::Script;
    use super::*;

    #[tokio::test]
    async fn a_template_is_put_under_its_digest_and_read_by_a_signed_url() {
        let (script, account) = Script::start(vec![(200, String::new())]).await;
        let bucket = Bucket::new(&account, "b", "arn:key");
        let url = bucket.put_template("templates/", "Resources: {}").await.unwrap();
        let key = format!("templates/{}", hex::encode(Sha256::digest("Resources: {}")));
        assert_eq!(script.asked(), [format!("PUT /b/{key}")]);
        assert_eq!(script.sent()[0]["x-amz-server-side-encryption-aws-kms-key-id"], "arn:key");
        assert!(url.contains(&format!("/b/{key}?")), "{url}");
        // CloudFormation sends no header but the host.
        assert!(url.contains("X-Amz-SignedHeaders=host&"), "{url}");
        for part in ["X-Amz-Signature=", "X-Amz-Expires=3600", "X-Amz-Credential="] {
            assert!(url.contains(part), "{part}: {url}");
        }
    }

    #[tokio::test]
    async fn who_may_not_put_it_is_told_what_it_takes() {
        let refused = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned();
        let (_, account) = Script::start(vec![(403, refused)]).await;
        let error = Bucket::plain(&account, "b").put_template("templates/", "x").await.unwrap_err();
        let fault = from_error(&error);
        assert!(fault.why.contains("AccessDenied"), "{fault}");
        assert!(fault.next.contains("s3:GetObject on s3://b/templates/*"), "{}", fault.next);
    }
}
