//! Code from another account: Lambda in the emulator only reads buckets of its own account, so the zip is copied into
//! one. It is read with the rights that CloudFormation would have, so a missing permission shows as on AWS. Where a template
//! names the version of an object, that very version is read; it needs `s3:GetObjectVersion`.
//!
//! On AWS a function's code is read when its resource is created, or updated with other code. So code that did not change is
//! not read again, and what a change set names is read once more when it is executed: what lay there at its creation may
//! have been replaced since.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::emulator::Client;
use super::front::is_emulators_own;
use causeway_aws::sign;
use causeway_model::keys::Keys;

/// Whose rights a function's code is read with.
#[derive(Clone)]
pub(crate) enum Reader {
    /// An account's root: nothing is refused.
    Root,
    /// A role's session.
    Session(Keys),
}

impl Reader {
    /// Reads an object of the local cloud's S3.
    ///
    /// # Errors
    /// A [`super::emulator::Refusal`], or the emulator does not answer.
    pub(crate) async fn get(&self, emulator: &Client, account: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let (_, body) = match self {
            Self::Root => emulator.rest(Method::GET, path, account, "s3", Vec::new()).await?,
            Self::Session(keys) => {
                let url = format!("{}{path}", emulator.base());
                let host = emulator.base().trim_start_matches("http://").to_owned();
                let host = [("host".to_owned(), host)];
                let headers = sign::headers(keys, "s3", emulator.region(), &Method::GET, &url, &host, b"")?;
                emulator.signed(Method::GET, path, headers, Vec::new()).await?
            }
        };
        Ok(body)
    }
}

/// The code of a template's functions, and whose rights it is read with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Code {
    /// Where the code of each function is.
    sources: Vec<Source>,
    /// The role that CloudFormation got; empty where it has the caller's rights.
    pub role: String,
    /// The digest of each function's code, as Lambda writes it (SHA-256 in Base64), by the function's logical id. Code that a
    /// template carries in itself has none: what CloudFormation makes of it is its own.
    pub digests: BTreeMap<String, String>,
}

/// Where the code of a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    /// The function's logical id.
    function: String,
    place: Location,
}

/// An object, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Location {
    bucket: String,
    key: String,
    version: Option<String>,
}

/// Why a function's code could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// S3's code.
    code: String,
    /// Lambda's words for it.
    pub message: String,
}

impl Refused {
    /// The error code of an answer of CloudFormation.
    pub(crate) fn answer_code(&self) -> &'static str {
        if self.code == "AccessDenied" { "AccessDenied" } else { "ValidationError" }
    }

    /// Whether the object or its version is gone.
    fn is_gone(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchVersion" | "NoSuchKey")
    }
}

/// Copies every function's code into a bucket of the account and leads the template there. `deployed` is the code that the
/// stack has already.
///
/// # Errors
/// A refusal in Lambda's words; the outer error is for when the emulator does not answer.
pub(crate) async fn code(
    emulator: &Client,
    account: &str,
    (reader, role): (&Reader, &str),
    deployed: Option<&Code>,
    template: &mut Value,
) -> anyhow::Result<Result<Code, Refused>> {
    let mut code = Code { role: role.to_owned(), ..Code::default() };
    let Some(resources) = template.get_mut("Resources").and_then(Value::as_object_mut) else {
        return Ok(Ok(code));
    };
    for (id, resource) in resources {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        let property = match kind {
            "AWS::Serverless::Function" => "CodeUri",
            "AWS::Lambda::Function" => "Code",
            _ => continue,
        };
        let Some(value) = resource.get_mut("Properties").and_then(|properties| properties.get_mut(property))
        else {
            continue;
        };
        let Some(place) = Location::read(value) else { continue };
        let source = Source { function: id.clone(), place };
        let (own, copy) = (bucket_of(account), source.place.copy());
        let before = deployed.filter(|deployed| deployed.sources.contains(&source));
        let digest = match before {
            Some(before) => before.digests.get(id).cloned(),
            None => match read(emulator, account, reader, &source.place).await? {
                Ok(zip) => {
                    let digest = STANDARD.encode(Sha256::digest(&zip));
                    put(emulator, account, &copy, zip).await?;
                    Some(digest)
                }
                Err(refused) => return Ok(Err(refused)),
            },
        };
        code.digests.extend(digest.map(|digest| (id.clone(), digest)));
        *value = if property == "CodeUri" {
            json!(format!("s3://{own}/{copy}"))
        } else {
            json!({"S3Bucket": own, "S3Key": copy})
        };
        code.sources.push(source);
    }
    Ok(Ok(code))
}

/// Reads the code of a change set once more, now that it is executed. Where the code of a function that is there already is
/// gone, its copy is removed, so that the emulator fails at that function as AWS does and rolls the stack back.
///
/// # Errors
/// A refusal in Lambda's words: the emulator would create a function without code and go on. The outer error is for when the
/// emulator does not answer.
pub(crate) async fn again(
    emulator: &Client,
    account: &str,
    reader: &Reader,
    code: &Code,
    deployed: Option<&Code>,
) -> anyhow::Result<Result<(), Refused>> {
    let deployed = deployed.map_or(&[] as &[Source], |deployed| &deployed.sources);
    for source in code.sources.iter().filter(|source| !deployed.contains(source)) {
        let copy = source.place.copy();
        match read(emulator, account, reader, &source.place).await? {
            Ok(zip) => put(emulator, account, &copy, zip).await?,
            Err(refused)
                if refused.is_gone() && deployed.iter().any(|old| old.function == source.function) =>
            {
                let path = format!("/{}/{copy}", bucket_of(account));
                emulator
                    .rest(Method::DELETE, &path, account, "s3", Vec::new())
                    .await
                    .context("remove the copy of a function's code")?;
            }
            Err(refused) => return Ok(Err(refused)),
        }
    }
    Ok(Ok(()))
}

/// A reason of the emulator in Lambda's words, where it is that a copy is gone: then what was copied is.
pub(crate) fn told(reason: &str) -> String {
    let Some((_, rest)) = reason.split_once("Failed to fetch code from s3://") else {
        return reason.to_owned();
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/._-+".contains(c)).unwrap_or(rest.len());
    let copy = rest[..end].split_once('/').map_or("", |(_, copy)| copy);
    match copy.strip_prefix(VERSIONS).and_then(|copy| copy.split_once('/')) {
        Some((_, key)) => words("NoSuchVersion", "The specified version does not exist.", key),
        None => words("NoSuchKey", "The specified key does not exist.", copy),
    }
}

/// What Lambda says when S3 does not give it a function's code, and which object that is.
///
/// Source: a missing key as stack events on AWS tell it (serverless 13208, aws-account-vending-machine 23). That a missing version is
/// told in the same form is unconfirmed on AWS.
fn words(code: &str, message: &str, on: &str) -> String {
    if code == "AccessDenied" {
        return format!(
            "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for {on}. S3 Error Code: {code}. S3 Error Message: {message}"
        );
    }
    format!("Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message} ({on})")
}

/// The folder of copies of versions.
const VERSIONS: &str = "versions/";

impl Location {
    /// From a code property: `s3://bucket/key`, `{Bucket, Key, Version}` or `{S3Bucket, S3Key, S3ObjectVersion}`.
    fn read(place: &Value) -> Option<Self> {
        if let Some(text) = place.as_str() {
            let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
            return Some(Self { bucket: bucket.to_owned(), key: key.to_owned(), version: None });
        }
        let find = |names: [&str; 2]| names.iter().find_map(|name| place.get(*name));
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let version = match find(["Version", "S3ObjectVersion"]) {
            Some(version) => Some(text(version)?),
            None => None,
        };
        Some(Self {
            bucket: find(["Bucket", "S3Bucket"]).and_then(text)?,
            key: find(["Key", "S3Key"]).and_then(text)?,
            version,
        })
    }

    /// The key of its copy: each version has its own, since other bytes may lie under the same key.
    fn copy(&self) -> String {
        match &self.version {
            Some(version) => {
                let digest = hex::encode(Sha256::digest(version));
                format!("{VERSIONS}{}/{}", &digest[..16], self.key)
            }
            None => self.key.clone(),
        }
    }

    /// Its path in S3's API.
    fn path(&self) -> String {
        let path = format!("/{}/{}", self.bucket, self.key);
        match &self.version {
            Some(version) => format!("{path}?versionId={}", utf8_percent_encode(version, NON_ALPHANUMERIC)),
            None => path,
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)?;
        self.version.iter().try_for_each(|version| write!(f, ", version {version}"))
    }
}

/// The account's bucket for copied code; the emulator's, not the project's.
fn bucket_of(account: &str) -> String {
    format!("local-cloud-code-{account}")
}

/// Removes an account's copies.
pub(crate) async fn forget(emulator: &Client, account: &str) {
    let bucket = bucket_of(account);
    let Ok((_, body)) =
        emulator.rest(Method::GET, &format!("/{bucket}?list-type=2"), account, "s3", Vec::new()).await
    else {
        return;
    };
    let root = causeway_model::xml::Element::parse(&String::from_utf8_lossy(&body)).unwrap_or_default();
    for key in
        root.children.iter().filter(|child| child.name == "Contents").map(|child| child.text_at(&["Key"]))
    {
        let _ = emulator.rest(Method::DELETE, &format!("/{bucket}/{key}"), account, "s3", Vec::new()).await;
    }
    let _ = emulator.rest(Method::DELETE, &format!("/{bucket}"), account, "s3", Vec::new()).await;
}

async fn read(
    emulator: &Client,
    account: &str,
    reader: &Reader,
    place: &Location,
) -> anyhow::Result<Result<Vec<u8>, Refused>> {
    let path = place.path();
    // A template reaches no more of the emulator than a call does: neither by what it names nor by the key of its copy.
    let copy = format!("/{}/{}", bucket_of(account), place.copy());
    if [&path, &copy].into_iter().any(|path| is_emulators_own(path)) {
        let message = words("NoSuchBucket", "The specified bucket does not exist", &place.to_string());
        return Ok(Err(Refused { code: "NoSuchBucket".to_owned(), message }));
    }
    let answer = reader.get(emulator, account, &path).await;
    match answer {
        Ok(body) => Ok(Ok(body)),
        Err(error) => match error.downcast_ref::<super::emulator::Refusal>() {
            Some(refusal) => {
                let said = causeway_model::xml::Element::parse(&refusal.message).unwrap_or_default();
                let code = said.text_at(&["Code"]).to_owned();
                let message = words(&code, said.text_at(&["Message"]), &place.to_string());
                Ok(Err(Refused { code, message }))
            }
            None => Err(error),
        },
    }
}

/// Puts a copy, whatever is there: other bytes may have been put under the key of an object without versions.
async fn put(emulator: &Client, account: &str, copy: &str, zip: Vec<u8>) -> anyhow::Result<()> {
    let bucket = bucket_of(account);
    emulator.make_bucket(account, &bucket).await;
    let path = format!("/{bucket}/{copy}");
    emulator.rest(Method::PUT, &path, account, "s3", zip).await.map(|_| ()).context("copy a function's code")
}

#[cfg(test)]
mod tests;
