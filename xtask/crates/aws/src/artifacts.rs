//! Objects in the artifact bucket: packages that are put once, and the artifacts that pass between actions.

mod templates;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use aws_smithy_types::retry::RetryConfig;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::error::explain;
use super::session::Account;
use causeway_model::artifact::Upload;
use causeway_model::fault::{Fault, Kind, from_error};

/// So often is an upload tried.
const ATTEMPTS: u32 = 5;

/// The artifact bucket, as seen with the rights of one account or session.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    key_arn: Option<String>,
    /// The first pause before an upload is tried again.
    pause: Duration,
}

/// What a look at a key showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The very content is there, by S3's digest of it or by what was read; with the version that it is.
    Same(Option<String>),
    /// Nothing is there.
    Absent,
    /// Who may not read it, or may not list, is not told: 403.
    Hidden,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Whether it was put, or something was there.
    pub upload: Upload,
    /// The version that was put; none in a bucket without versions.
    pub version: Option<String>,
}

impl Bucket {
    /// The bucket of that name, whose objects are encrypted under that key.
    pub fn new(account: &Account, name: &str, key_arn: &str) -> Self {
        Self { key_arn: Some(key_arn.to_owned()), ..Self::plain(account, name) }
    }

    /// The bucket of that name, whose objects are encrypted as the bucket says.
    pub fn plain(account: &Account, name: &str) -> Self {
        Self { client: account.s3(), name: name.to_owned(), key_arn: None, pause: account.pace() / 4 }
    }

    /// Sees that the bucket is there, before anything is built for it. Asked by listing packages, which the build's role may.
    ///
    /// # Errors
    /// There is none of that name, or S3 cannot be asked. Who may not list is not told: the upload has the last word then.
    pub async fn find(&self) -> anyhow::Result<()> {
        let list = self.client.list_objects_v2().bucket(&self.name).prefix("packages/").max_keys(1).send();
        let Err(error) = list.await else { return Ok(()) };
        let status = error.raw_response().map(|reply| reply.status().as_u16());
        let on = format!("s3://{}", self.name);
        let fault = Fault::usage("find the artifact bucket", on.as_str());
        match (status, error.code()) {
            (Some(403), _) | (_, Some("AccessDenied")) => Ok(()),
            (Some(404), _) | (_, Some("NoSuchBucket")) => Err(fault
                .why("there is no bucket of that name")
                .next("correct --bucket (CAUSEWAY_ARTIFACT_BUCKET), or leave it out for the base stack's; or package with --no-upload")
                .into()),
            (Some(301 | 307), _) => Err(fault
                .why("the bucket is in another region")
                .next("correct `region` in cfn/stacks.toml, or name a bucket in that region")
                .into()),
            _ => Err(explain(error, "find the artifact bucket", &on)),
        }
    }

    /// Looks whether a content is there under its key. An object that S3 keeps no SHA-256 of is read and hashed: anything of the
    /// right length could be there.
    ///
    /// # Errors
    /// What is there has another digest or length: a key of ours names its content. Or it may not be read, or S3 cannot be asked.
    pub async fn look(&self, key: &str, content: &[u8]) -> anyhow::Result<Seen> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        let found = match head.send().await {
            Ok(found) => found,
            // A HEAD has no body, so the status is all it says.
            Err(error) => {
                return match error.raw_response().map(|reply| reply.status().as_u16()) {
                    Some(404) => Ok(Seen::Absent),
                    Some(403) => Ok(Seen::Hidden),
                    _ => Err(explain(error, "look for the package", &self.url(key))),
                };
            }
        };
        let length = u64::try_from(found.content_length().unwrap_or_default()).unwrap_or_default();
        // A composite digest ("…-2") is one of parts.
        let stored = found.checksum_sha256().filter(|stored| !stored.contains('-'));
        if length != content.len() as u64 || stored.is_some_and(|stored| stored != digest(content)) {
            return Err(self.another_digest(key).into());
        }
        if stored.is_some() {
            return Ok(Seen::Same(version(found.version_id())));
        }
        let (read, read_version) = self.read(key).await.map_err(|error| {
            let mut fault = from_error(&error);
            fault.what = "verify the package that is there".to_owned();
            fault.why = format!("S3 keeps no SHA-256 of it, and it cannot be read: {}", fault.why);
            fault.next = "who packages needs s3:GetObject on it and kms:Decrypt on its key; or remove the object, and run it again".to_owned();
            fault
        })?;
        if digest(&read) != digest(content) {
            return Err(self.another_digest(key).into());
        }
        Ok(Seen::Same(read_version))
    }

    /// Puts an object unless one of that key is there. It is encrypted under the project's key, and S3 verifies the
    /// content against its SHA-256. What breaks off, and what another writer was in the way of, is tried again; `say` hears it.
    ///
    /// # Errors
    /// What S3 says, or a stored digest that is not the content's; nothing is left behind where it was not taken.
    pub async fn put_if_absent(
        &self,
        key: &str,
        body: Vec<u8>,
        metadata: &[(&str, &str)],
        say: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<Put> {
        let wanted = digest(&body);
        let mut attempt = 1;
        loop {
            let call = metadata
                .iter()
                .fold(self.put(key, body.clone()), |call, (name, value)| call.metadata(*name, *value));
            // Tried again here and not by the SDK: it does not know 409, and says nothing.
            let once = aws_sdk_s3::config::Config::builder().retry_config(RetryConfig::disabled());
            let error = match call.if_none_match("*").customize().config_override(once).send().await {
                Ok(put) => return self.stored(key, &put, &wanted),
                Err(error) if error.code() == Some("PreconditionFailed") => {
                    return Ok(Put { upload: Upload::Present, version: None });
                }
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !is_passing(&error) {
                return Err(self.refused(key, error, attempt));
            }
            let pause = self.pause * 2_u32.pow(attempt - 1);
            say(&format!(
                "{}: {}; trying again ({attempt} of {})",
                self.url(key),
                short(&error),
                ATTEMPTS - 1
            ));
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// What S3 says of what it took: the digest it stored must be the content's.
    fn stored(&self, key: &str, put: &PutObjectOutput, wanted: &str) -> anyhow::Result<Put> {
        if put.checksum_sha256().is_some_and(|stored| stored != wanted) {
            return Err(self.another_digest(key).into());
        }
        Ok(Put { upload: Upload::Uploaded, version: version(put.version_id()) })
    }

    fn another_digest(&self, key: &str) -> Fault {
        Fault::failed("upload the package", self.url(key))
            .why("what is stored under that key has another digest: it was not put there by this tool, or is damaged")
            .next("look at the object's versions; remove that one, and run it again")
    }

    /// Why an upload failed for good; what may not be done is named with the rights it takes.
    fn refused(&self, key: &str, error: SdkError<PutObjectError>, attempts: u32) -> anyhow::Error {
        let code = error.code().unwrap_or_default().to_owned();
        let mut fault = from_error(&explain(error, "upload", &self.url(key)));
        if code == "AccessDenied" || code.starts_with("KMS.") {
            fault.next = format!(
                "who uploads needs s3:PutObject on this object, and kms:GenerateDataKey and kms:Decrypt on the key {} (its policy and the role's); nothing was written",
                self.key_arn.as_deref().unwrap_or("of the bucket")
            );
        } else if code == "NoSuchBucket" {
            fault.next =
                "correct --bucket (CAUSEWAY_ARTIFACT_BUCKET), or run cargo xtask bootstrap".to_owned();
        } else if fault.kind != Kind::Credentials {
            fault.next = "run it again: what arrived is found, and only the rest is sent".to_owned();
        }
        if attempts > 1 {
            fault.why = format!("{} ({attempts} attempts)", fault.why);
        }
        fault.into()
    }

    /// The key of the newest object whose key begins and ends so; none where there is none.
    ///
    /// # Errors
    /// What S3 says.
    pub async fn newest(&self, prefix: &str, ending: &str) -> anyhow::Result<Option<String>> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        let mut newest = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "list the packages", &self.url(prefix)))?;
            for object in page.contents() {
                let Some(key) = object.key().filter(|key| key.ends_with(ending)) else { continue };
                let at = object.last_modified().map(|at| (at.secs(), at.subsec_nanos()));
                newest = newest.max(Some((at, key.to_owned())));
            }
        }
        Ok(newest.map(|(_, key)| key))
    }

    /// Puts an object, whatever is there.
    pub async fn put_artifact(&self, key: &str, body: Vec<u8>) -> anyhow::Result<()> {
        self.put(key, body)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| explain(error, "write the artifact", &self.url(key)))
    }

    /// Puts a file that is deployed to a bucket.
    pub async fn deploy(
        &self,
        key: &str,
        body: Vec<u8>,
        cache_control: Option<&str>,
        acl: Option<&str>,
    ) -> anyhow::Result<()> {
        let call = self.put(key, body).set_cache_control(cache_control.map(ToOwned::to_owned));
        call.set_acl(acl.map(Into::into))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| explain(error, "deploy the file", &self.url(key)))
    }

    /// Deletes one version of an object for good.
    pub async fn delete_version(&self, key: &str, version: &str) -> anyhow::Result<()> {
        let call = self.client.delete_object().bucket(&self.name).key(key).version_id(version);
        call.send()
            .await
            .map(|_| ())
            .map_err(|error| explain(error, "delete the version of the artifact", &self.url(key)))
    }

    /// The whole content of an object.
    pub async fn get(&self, key: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self.read(key).await?.0)
    }

    /// The whole content of an object, and the version that it is.
    async fn read(&self, key: &str) -> anyhow::Result<(Vec<u8>, Option<String>)> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let answer = answer.map_err(|error| explain(error, "read the artifact", &self.url(key)))?;
        let version = version(answer.version_id());
        let body = answer
            .body
            .collect()
            .await
            .map_err(|error| Fault::failed("read the artifact", self.url(key)).why(error))?;
        Ok((body.to_vec(), version))
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

/// Whether what stood against an upload may be gone in a moment: a conflict with another writer, a service that fails or
/// asks to be slower, a connection that broke off.
fn is_passing(error: &SdkError<PutObjectError>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            error.code() == Some("ConditionalRequestConflict")
                || matches!(service.raw().status().as_u16(), 408 | 409 | 429 | 500..=599)
                || matches!(error.code(), Some("RequestTimeout" | "SlowDown"))
        }
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => false,
    }
}

/// An error in few words.
fn short(error: &SdkError<PutObjectError>) -> String {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16().to_string();
            format!("S3 answered {}", error.code().unwrap_or(&status))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        _ => "the connection broke off".to_owned(),
    }
}

/// The version of an object. A bucket without versions names none; what was put before a bucket got versions has the version
/// "null", which another object can take the place of ("How S3 Versioning works").
fn version(named: Option<&str>) -> Option<String> {
    named.filter(|id| !id.is_empty() && *id != "null").map(ToOwned::to_owned)
}

/// A SHA-256 as S3 writes it.
fn digest(content: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content))
}

#[cfg(test)]
mod tests;
