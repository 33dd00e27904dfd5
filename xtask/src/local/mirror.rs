//! Code from another account: Lambda in the emulator only reads buckets of its own account, so the zip is copied into
//! one. It is read with the rights that CloudFormation would have, so a missing permission shows as on AWS.

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use super::emulator::Client;
use crate::model::keys::Keys;
use crate::sign;

/// Whose rights a function's code is read with.
pub(crate) enum Reader {
    /// An account's root: nothing is refused.
    Root,
    /// A role's session.
    Session(Keys),
}

/// Copies every function's code into a bucket of the account and leads the template there.
///
/// # Errors
/// A refusal in S3's words; the outer error is for when the emulator does not answer.
pub(crate) async fn code(
    emulator: &Client,
    account: &str,
    reader: &Reader,
    template: &mut Value,
) -> anyhow::Result<Result<(), String>> {
    let Some(resources) = template.get_mut("Resources").and_then(Value::as_object_mut) else {
        return Ok(Ok(()));
    };
    for resource in resources.values_mut() {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        let property = match kind {
            "AWS::Serverless::Function" => "CodeUri",
            "AWS::Lambda::Function" => "Code",
            _ => continue,
        };
        let Some(place) = resource.get_mut("Properties").and_then(|properties| properties.get_mut(property))
        else {
            continue;
        };
        let Some((bucket, key)) = location(place) else { continue };
        let zip = match read(emulator, account, reader, &bucket, &key).await? {
            Ok(zip) => zip,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let own = bucket_of(account);
        put(emulator, account, &own, &key, zip).await?;
        *place = if property == "CodeUri" {
            json!(format!("s3://{own}/{key}"))
        } else {
            json!({"S3Bucket": own, "S3Key": key})
        };
    }
    Ok(Ok(()))
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
    let root = super::xml::Element::parse(&String::from_utf8_lossy(&body)).unwrap_or_default();
    for key in
        root.children.iter().filter(|child| child.name == "Contents").map(|child| child.text_at(&["Key"]))
    {
        let _ = emulator.rest(Method::DELETE, &format!("/{bucket}/{key}"), account, "s3", Vec::new()).await;
    }
    let _ = emulator.rest(Method::DELETE, &format!("/{bucket}"), account, "s3", Vec::new()).await;
}

/// Bucket and key of a code property: `s3://bucket/key`, `{Bucket, Key}` or `{S3Bucket, S3Key}`.
fn location(place: &Value) -> Option<(String, String)> {
    if let Some(text) = place.as_str() {
        let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
        return Some((bucket.to_owned(), key.to_owned()));
    }
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| place.get(*name)).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    Some((text(["Bucket", "S3Bucket"])?, text(["Key", "S3Key"])?))
}

async fn read(
    emulator: &Client,
    account: &str,
    reader: &Reader,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Result<Vec<u8>, String>> {
    let path = format!("/{bucket}/{key}");
    let answer = match reader {
        Reader::Root => emulator.rest(Method::GET, &path, account, "s3", Vec::new()).await,
        Reader::Session(keys) => {
            let url = format!("{}{path}", emulator.base());
            let host = emulator.base().trim_start_matches("http://").to_owned();
            let headers = sign::headers(
                keys,
                "s3",
                emulator.region(),
                &Method::GET,
                &url,
                &[("host".to_owned(), host)],
                b"",
            )?;
            emulator.signed(Method::GET, &path, headers, Vec::new()).await
        }
    };
    match answer {
        Ok((_, body)) => Ok(Ok(body)),
        Err(error) => match error.downcast_ref::<super::emulator::Refusal>() {
            Some(refusal) => {
                let said = super::xml::Element::parse(&refusal.message).unwrap_or_default();
                let said = format!("{}: {}", said.text_at(&["Code"]), said.text_at(&["Message"]));
                Ok(Err(format!(
                    "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for {bucket}/{key}. S3 Error Code: {said}"
                )))
            }
            None => Err(error),
        },
    }
}

async fn put(emulator: &Client, account: &str, bucket: &str, key: &str, zip: Vec<u8>) -> anyhow::Result<()> {
    let path = format!("/{bucket}/{key}");
    if emulator.rest(Method::HEAD, &path, account, "s3", Vec::new()).await.is_ok() {
        return Ok(());
    }
    emulator.make_bucket(account, bucket).await;
    emulator.rest(Method::PUT, &path, account, "s3", zip).await.map(|_| ()).context("copy a function's code")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_code_is_known() {
        let expected = Some(("b".to_owned(), "k/x.zip".to_owned()));
        for place in [
            json!("s3://b/k/x.zip"),
            json!({"Bucket": "b", "Key": "k/x.zip"}),
            json!({"S3Bucket": "b", "S3Key": "k/x.zip"}),
        ] {
            assert_eq!(location(&place), expected, "{place}");
        }
        for place in [
            json!("../x.zip"),
            json!({"ZipFile": "x"}),
            json!({"Bucket": {"Ref": "B"}, "Key": "k"}),
            json!(3),
        ] {
            assert_eq!(location(&place), None, "{place}");
        }
    }
}
