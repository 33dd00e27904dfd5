//! What a template says and the emulator ignores, set through the services' own calls once the stack's resources are there. A value
//! may be written in whatever way CloudFormation takes it, so it is evaluated first and read then.

use anyhow::Context as _;
use http::Method;
use serde_json::Value;

use super::cloud::Cloud;
use super::ledger::{Record, StackKey};
use super::resources::Resources;

/// The resources of a type that are there: physical ids, and a property's value where the template has one.
async fn given(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    (kind, property): (&str, &str),
) -> anyhow::Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    let Some(definitions) = record.plain.get("Resources").and_then(Value::as_object) else { return Ok(all) };
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(all) };
    for (logical_id, definition) in definitions {
        if definition.get("Type").and_then(Value::as_str) != Some(kind) {
            continue;
        }
        let value = definition.get("Properties").and_then(|all| all.get(property));
        let (Some(value), Some(physical)) = (value, resources.physical(logical_id)) else { continue };
        let value = resources.eval(&cloud.emulator, key, record, value)?;
        // AWS::NoValue takes a property away.
        if !value.is_null() {
            all.push((physical.to_owned(), value));
        }
    }
    Ok(all)
}

/// Sets the boundaries of a stack's roles.
///
/// # Errors
/// One is no text, or the emulator does not take it.
pub(crate) async fn bound_roles(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    for (role, boundary) in given(cloud, key, record, ("AWS::IAM::Role", "PermissionsBoundary")).await? {
        let boundary = boundary.as_str().with_context(|| format!("the boundary of {role} is no text"))?;
        let parameters = [("RoleName", role.as_str()), ("PermissionsBoundary", boundary)];
        let set = cloud.emulator.query(&key.0, "iam", "PutRolePermissionsBoundary", &parameters).await;
        set.with_context(|| format!("set the boundary of {role}"))?;
    }
    Ok(())
}

/// Sets the encryption of a stack's buckets.
///
/// # Errors
/// It cannot be read, or the emulator does not take it.
pub(crate) async fn encrypt_buckets(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    for (bucket, encryption) in given(cloud, key, record, ("AWS::S3::Bucket", "BucketEncryption")).await? {
        let body = encryption_of(&encryption).with_context(|| format!("read the encryption of {bucket}"))?;
        let path = format!("/{bucket}?encryption");
        let set = cloud.emulator.rest(Method::PUT, &path, &key.0, "s3", body.into_bytes()).await;
        set.with_context(|| format!("set the encryption of {bucket}"))?;
    }
    Ok(())
}

/// What S3 takes for a template's encryption.
fn encryption_of(encryption: &Value) -> anyhow::Result<String> {
    let rule = encryption.pointer("/ServerSideEncryptionConfiguration/0").context("it has no rule")?;
    let default =
        |name: &str| rule.pointer(&format!("/ServerSideEncryptionByDefault/{name}")).and_then(Value::as_str);
    let algorithm = default("SSEAlgorithm").context("its rule has no SSEAlgorithm")?;
    let by_bucket = match rule.get("BucketKeyEnabled") {
        None => false,
        Some(Value::Bool(given)) => *given,
        // CloudFormation takes the text for the value.
        Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
        Some(other) => anyhow::bail!("BucketKeyEnabled is {other}"),
    };
    Ok(format!(
        "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{}</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{by_bucket}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
        quick_xml::escape::escape(algorithm),
        quick_xml::escape::escape(default("KMSMasterKeyID").unwrap_or_default()),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::lower::Lowered;
    use crate::mirror;
    use crate::stub_emulator::{Answer, Emulator};

    const ACCOUNT: &str = "111111111111";

    /// What is set of a role `R` and a bucket `B` with these properties: the bodies of the calls.
    async fn set(role: Value, bucket: Value) -> anyhow::Result<Vec<String>> {
        let emulator = Emulator::start(|asked, _| {
            let member = |id: &str, kind: &str| {
                format!("<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>{kind}</ResourceType><PhysicalResourceId>the-{id}</PhysicalResourceId></member>")
            };
            Some(match asked.action().as_str() {
                "DescribeStackResources" => Answer::new(200, &format!("<R><DescribeStackResourcesResult><StackResources>{}{}</StackResources></DescribeStackResourcesResult></R>", member("R", "AWS::IAM::Role"), member("B", "AWS::S3::Bucket"))),
                _ => Answer::new(200, "<R/>"),
            })
        })
        .await;
        let record = Record {
            original: String::new(),
            transformed: false,
            plain: json!({
                "Conditions": {"No": {"Fn::Equals": ["a", "b"]}},
                "Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": role}, "B": {"Type": "AWS::S3::Bucket", "Properties": bucket}},
            }),
            parameters: BTreeMap::new(),
            lowered: Lowered {
                template: Value::Null,
                types: BTreeMap::new(),
                shifts: Vec::new(),
                gate: None,
            },
            code: mirror::Code::default(),
        };
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), "app".to_owned()));
        bound_roles(&cloud, &key, &record).await?;
        encrypt_buckets(&cloud, &key, &record).await?;
        let all = emulator.asked().into_iter().filter(|asked| asked.action() != "DescribeStackResources");
        Ok(all.map(|asked| asked.body).collect())
    }

    #[tokio::test]
    async fn what_is_set_is_read_in_every_notation() {
        let no_value =
            json!({"Fn::If": ["No", "arn:aws:iam::111111111111:policy/b", {"Ref": "AWS::NoValue"}]});
        let rule = |by_bucket: Value| json!([{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}, "BucketKeyEnabled": by_bucket}]);
        let encrypted =
            |rules: Value| json!({"BucketEncryption": {"ServerSideEncryptionConfiguration": rules}});
        // A boundary that a condition takes away is none, and no empty one.
        assert_eq!(
            set(json!({"PermissionsBoundary": no_value}), json!({})).await.unwrap(),
            Vec::<String>::new()
        );
        let bounded = set(
            json!({"PermissionsBoundary": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:policy/b"}}),
            json!({}),
        );
        assert!(bounded.await.unwrap()[0].contains("policy%2Fb"));
        for (rules, by_bucket) in [
            (rule(json!(true)), true),
            (rule(json!("true")), true),
            (rule(json!("false")), false),
            // The whole list is chosen by a condition.
            (json!({"Fn::If": ["No", rule(json!(false)), rule(json!(true))]}), true),
            (
                json!([{"Fn::If": ["No", {"Ref": "AWS::NoValue"}, {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}]),
                false,
            ),
        ] {
            let found = set(json!({}), encrypted(rules.clone())).await.unwrap();
            assert_eq!(found.len(), 1, "{rules}");
            assert!(found[0].contains(&format!("<BucketKeyEnabled>{by_bucket}<")), "{rules}: {found:?}");
        }
        let whole = json!({"BucketEncryption": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}});
        assert_eq!(set(json!({}), whole).await.unwrap(), Vec::<String>::new());
        for bad in [json!([]), json!([{}]), rule(json!("maybe")), rule(json!(1))] {
            assert!(set(json!({}), encrypted(bad.clone())).await.is_err(), "{bad}");
        }
        assert!(set(json!({"PermissionsBoundary": ["a"]}), json!({})).await.is_err());
    }
}
