//! Who may do what, as the account itself has it: roles with their trust, boundary and policies, the policies of keys and of
//! buckets. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::explain;
use super::json::Client;
use super::session::Account;
use super::spoken::{IAM, KMS};
use causeway_model::drift::Role;
use causeway_model::fault::Fault;
use causeway_model::xml::Element;

/// Reads policies in one account.
#[derive(Clone)]
pub struct Policies {
    iam: Client,
    kms: Client,
    s3: aws_sdk_s3::Client,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyPolicy {
    policy: String,
}

impl Policies {
    /// For an account.
    pub fn new(account: &Account) -> Self {
        Self { iam: Client::new(account, &IAM), kms: Client::new(account, &KMS), s3: account.s3() }
    }

    /// A role ("GetRole", "ListRolePolicies", "GetRolePolicy" and "ListAttachedRolePolicies" in the IAM API reference); `None`
    /// where there is none.
    ///
    /// # Errors
    /// It may not be looked at.
    pub async fn role(&self, name: &str) -> anyhow::Result<Option<Role>> {
        let fields = [("RoleName", name.to_owned())];
        let answer = match self.iam.query("GetRole", &fields).await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchEntity") => return Ok(None),
            Err(error) => return Err(explain(error, "look at the role", name)),
        };
        let found = answer
            .at(&["GetRoleResult", "Role"])
            .with_context(|| format!("the role {name} is in no answer"))?;
        let boundary = found.text_at(&["PermissionsBoundary", "PermissionsBoundaryArn"]);
        let mut role = Role {
            trust: document(found.text_at(&["AssumeRolePolicyDocument"]), name)?,
            boundary: Some(boundary.to_owned()).filter(|arn| !arn.is_empty()),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
        };
        for member in self.all("ListRolePolicies", name, "PolicyNames").await? {
            let policy = member.text.clone();
            let fields = [("RoleName", name.to_owned()), ("PolicyName", policy.clone())];
            let answer = self.iam.query("GetRolePolicy", &fields).await;
            let answer = answer.map_err(|error| explain(error, "read the policy of the role", name))?;
            let text = answer.text_at(&["GetRolePolicyResult", "PolicyDocument"]);
            role.inline.insert(policy, document(text, name)?);
        }
        for member in self.all("ListAttachedRolePolicies", name, "AttachedPolicies").await? {
            role.attached.insert(member.text_at(&["PolicyArn"]).to_owned());
        }
        Ok(Some(role))
    }

    /// Every page of a list about a role.
    async fn all(&self, operation: &'static str, role: &str, list: &str) -> anyhow::Result<Vec<Element>> {
        let (mut all, mut next) = (Vec::new(), None::<String>);
        loop {
            let mut fields = vec![("RoleName", role.to_owned())];
            fields.extend(next.clone().map(|next| ("Marker", next)));
            let answer = self.iam.query(operation, &fields).await;
            let answer = answer.map_err(|error| explain(error, "list the policies of the role", role))?;
            let result = format!("{operation}Result");
            all.extend(answer.all(&[&result, list]).iter().cloned());
            let marker = answer.text_at(&[&result, "Marker"]);
            let before = next.replace(marker.to_owned());
            if marker.is_empty() || before.as_deref() == Some(marker) {
                return Ok(all);
            }
        }
    }

    /// A key's policy ("GetKeyPolicy" in the KMS API reference; every key has one, called `default`).
    ///
    /// # Errors
    /// There is no such key, or it may not be looked at.
    pub async fn key(&self, id: &str) -> anyhow::Result<Value> {
        let input = json!({"KeyId": id, "PolicyName": "default"});
        let answer = self.kms.call::<KeyPolicy>("GetKeyPolicy", input).await;
        let answer = answer.map_err(|error| explain(error, "read the policy of the key", id))?;
        document(&answer.policy, id)
    }

    /// A bucket's policy ("GetBucketPolicy" in the S3 API reference); `None` where it has none.
    ///
    /// # Errors
    /// There is no such bucket, or it may not be looked at.
    pub async fn bucket(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match self.s3.get_bucket_policy().bucket(name).send().await {
            Ok(answer) => document(answer.policy().unwrap_or_default(), name).map(Some),
            Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(None),
            Err(error) => Err(explain(error, "read the policy of the bucket", name)),
        }
    }
}

/// A policy's document. IAM gives it URL-encoded ("GetRole": RFC 3986); one that is not begins with a brace.
fn document(text: &str, of: &str) -> anyhow::Result<Value> {
    let plain = match text.trim_start().starts_with('{') {
        true => text.into(),
        false => percent_decode_str(text).decode_utf8_lossy(),
    };
    serde_json::from_str(&plain).map_err(|error| {
        Fault::failed("read the policy", of).why(format!("the answer could not be read: {error}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Script, error, result};
    use super::*;

    #[tokio::test]
    async fn a_role_is_read_whole_page_by_page() {
        let trust = "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
        let own = "%7B%22Statement%22%3A%22%C3%A4+b%22%7D";
        let (script, account) = Script::start(vec![
            result("GetRole", &format!("<Role><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument><PermissionsBoundary><PermissionsBoundaryArn>b</PermissionsBoundaryArn></PermissionsBoundary></Role>")),
            result("ListRolePolicies", "<PolicyNames><member>one</member></PolicyNames><IsTruncated>true</IsTruncated><Marker>m</Marker>"),
            result("ListRolePolicies", "<PolicyNames><member>two</member></PolicyNames>"),
            result("GetRolePolicy", &format!("<PolicyDocument>{own}</PolicyDocument>")),
            result("GetRolePolicy", "<PolicyDocument>{\"Statement\": []}</PolicyDocument>"),
            result("ListAttachedRolePolicies", "<AttachedPolicies><member><PolicyArn>a</PolicyArn></member></AttachedPolicies><Marker>n</Marker>"),
            result("ListAttachedRolePolicies", "<AttachedPolicies><member><PolicyArn>c</PolicyArn></member></AttachedPolicies>"),
        ])
        .await;
        let role = Policies::new(&account).role("r").await.unwrap().unwrap();
        assert_eq!(role.trust["Statement"][0]["Action"], "sts:AssumeRole");
        assert_eq!(role.boundary.as_deref(), Some("b"));
        assert_eq!(role.inline["one"], json!({"Statement": "ä+b"}));
        assert_eq!((role.inline.len(), role.attached), (2, BTreeSet::from(["a".to_owned(), "c".to_owned()])));
        assert!(script.bodies()[2].contains("Marker=m") && script.bodies()[6].contains("Marker=n"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_apart_from_what_may_not_be_seen() {
        let (_, account) = Script::start(vec![
            error(404, "NoSuchEntity", "no role"),
            error(403, "AccessDenied", "no"),
            (404, "<Error><Code>NoSuchBucketPolicy</Code><Message>no</Message></Error>".to_owned()),
            (403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned()),
            (200, "{\"Statement\": \"x\"}".to_owned()),
            (200, "{\"Policy\": \"{\\\"Statement\\\": []}\", \"PolicyName\": \"default\"}".to_owned()),
            (200, "{\"Policy\": \"<\"}".to_owned()),
        ])
        .await;
        let policies = Policies::new(&account);
        assert_eq!(policies.role("r").await.unwrap(), None);
        assert!(policies.role("r").await.is_err());
        assert_eq!(policies.bucket("b").await.unwrap(), None);
        assert!(policies.bucket("b").await.is_err());
        assert_eq!(policies.bucket("b").await.unwrap(), Some(json!({"Statement": "x"})));
        assert_eq!(policies.key("k").await.unwrap(), json!({"Statement": []}));
        assert!(format!("{:#}", policies.key("k").await.unwrap_err()).contains("could not be read"));
    }
}
