//! Code that is copied, over a scripted emulator.

use super::*;
use crate::stub_emulator::{Answer, Emulator};

const ACCOUNT: &str = "222222222222";

fn location(bucket: &str, key: &str, version: Option<&str>) -> Location {
    Location { bucket: bucket.into(), key: key.into(), version: version.map(ToOwned::to_owned) }
}

/// A template with one function of that code.
fn template(code: &Value) -> Value {
    json!({"Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": code}}}})
}

/// An emulator without objects of these versions, and with every other one.
async fn without(gone: &'static [&'static str]) -> Emulator {
    Emulator::start(move |asked, _| {
        Some(match asked.path.split_once("?versionId=") {
            Some((_, version)) if gone.contains(&version) => Answer::new(
                404,
                "<Error><Code>NoSuchVersion</Code><Message>The specified version does not exist.</Message></Error>",
            ),
            _ => Answer::new(200, "zip"),
        })
    })
    .await
}

fn pinned(version: &str) -> Value {
    json!({"Bucket": "b", "Key": "packages/f/ab.zip", "Version": version})
}

async fn copied(emulator: &Emulator, deployed: Option<&Code>, code: &Value) -> Result<Code, Refused> {
    let mut template = template(code);
    let client = &emulator.cloud().emulator;
    super::code(client, ACCOUNT, (&Reader::Root, "role"), deployed, &mut template).await.unwrap()
}

#[tokio::test]
async fn code_is_in_no_path_of_the_emulators_own() {
    let emulator = without(&[]).await;
    for code in [
        json!("s3://_ministack/health"),
        json!("s3://b/../_ministack/reset"),
        json!("s3://b/x/../../_ministack/reset"),
        json!({"Bucket": "%5fministack", "Key": "health"}),
        json!({"Bucket": "b", "Key": "../../../_ministack/reset", "Version": "1"}),
    ] {
        let refused = copied(&emulator, None, &code).await.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.answer_code()),
            ("NoSuchBucket", "ValidationError"),
            "{code}"
        );
    }
    assert!(emulator.asked().is_empty(), "{:?}", emulator.asked());
}

#[test]
fn every_way_to_name_code_is_known() {
    let table = [
        (json!("s3://b/k/x.zip"), location("b", "k/x.zip", None)),
        (json!({"Bucket": "b", "Key": "k/x.zip"}), location("b", "k/x.zip", None)),
        (json!({"S3Bucket": "b", "S3Key": "k/x.zip"}), location("b", "k/x.zip", None)),
        (json!({"Bucket": "b", "Key": "k", "Version": "1+a"}), location("b", "k", Some("1+a"))),
        (json!({"S3Bucket": "b", "S3Key": "k", "S3ObjectVersion": "1"}), location("b", "k", Some("1"))),
    ];
    for (place, expected) in table {
        assert_eq!(Location::read(&place), Some(expected), "{place}");
    }
    for place in [
        json!("../x.zip"),
        json!({"ZipFile": "x"}),
        json!({"Bucket": {"Ref": "B"}, "Key": "k"}),
        json!({"Bucket": "b", "Key": "k", "Version": {"Ref": "V"}}),
        json!(3),
    ] {
        assert_eq!(Location::read(&place), None, "{place}");
    }
    assert_eq!(location("b", "k/x.zip", Some("1+a/b")).path(), "/b/k/x.zip?versionId=1%2Ba%2Fb");
    // Each version has a copy of its own.
    let copies = [None, Some("1"), Some("2")].map(|version| location("b", "k", version).copy());
    assert!(copies[0] == "k" && copies[1] != copies[2] && copies[1].ends_with("/k"), "{copies:?}");
}

#[tokio::test]
async fn the_very_version_is_read_and_the_template_leads_to_its_copy() {
    let emulator = without(&[]).await;
    let mut template = template(&pinned("v1"));
    let client = &emulator.cloud().emulator;
    let code = super::code(client, ACCOUNT, (&Reader::Root, ""), None, &mut template).await.unwrap().unwrap();
    let copy = location("b", "packages/f/ab.zip", Some("v1")).copy();
    let asked: Vec<String> = emulator.asked().into_iter().map(|asked| asked.path).collect();
    let own = format!("/local-cloud-code-{ACCOUNT}");
    assert_eq!(asked, ["/b/packages/f/ab.zip?versionId=v1", own.as_str(), &format!("{own}/{copy}")]);
    assert_eq!(
        template["Resources"]["F"]["Properties"]["CodeUri"],
        json!(format!("s3://local-cloud-code-{ACCOUNT}/{copy}"))
    );
    // What the stack has already is not read again: on AWS neither.
    let before = emulator.asked().len();
    assert_eq!(copied(&emulator, Some(&code), &pinned("v1")).await.unwrap().sources, code.sources);
    assert_eq!(emulator.asked().len(), before);
    copied(&emulator, Some(&code), &pinned("v2")).await.unwrap();
    assert!(emulator.asked().len() > before, "other code is");
}

#[tokio::test]
async fn a_version_that_is_gone_is_refused_in_lambdas_words() {
    let emulator = without(&["v1"]).await;
    let refused = copied(&emulator, None, &pinned("v1")).await.unwrap_err();
    assert_eq!(refused.answer_code(), "ValidationError");
    assert_eq!(
        refused.message,
        "Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: The specified version does not exist. (b/packages/f/ab.zip, version v1)"
    );
    // Other bytes that lie under the key now are no way out.
    assert!(!emulator.asked().iter().any(|asked| asked.path == "/b/packages/f/ab.zip"));
}

#[tokio::test]
async fn what_is_gone_when_a_change_set_is_executed_fails_the_stack_or_the_call() {
    let there = without(&[]).await;
    let old = copied(&there, None, &pinned("v1")).await.unwrap();
    let new = copied(&there, Some(&old), &pinned("v2")).await.unwrap();
    let gone = without(&["v2"]).await;
    let client = &gone.cloud().emulator;
    // A function that is there: its update fails for the emulator, too, since the copy is gone.
    let updated = again(client, ACCOUNT, &Reader::Root, &new, Some(&old)).await.unwrap();
    assert_eq!(updated, Ok(()));
    let copy = location("b", "packages/f/ab.zip", Some("v2")).copy();
    let last = gone.asked().pop().unwrap().path;
    assert_eq!(last, format!("/local-cloud-code-{ACCOUNT}/{copy}"));
    let reason = format!("code update failed: b'{{\"message\": \"Failed to fetch code from s3:/{last}\"}}'");
    assert_eq!(
        told(&reason),
        "Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: The specified version does not exist. (packages/f/ab.zip)"
    );
    assert_eq!(told("anything else"), "anything else");
    // A function that is not there yet: the emulator would create it without code.
    let created = again(client, ACCOUNT, &Reader::Root, &new, None).await.unwrap();
    assert!(created.unwrap_err().message.contains("NoSuchVersion"));
    // What is there is read once more, and its copy is what lies there now.
    let before = there.asked().len();
    again(&there.cloud().emulator, ACCOUNT, &Reader::Root, &new, Some(&old)).await.unwrap().unwrap();
    let asked: Vec<String> = there.asked().split_off(before).into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].ends_with("?versionId=v2") && asked[2].ends_with(&copy), "{asked:?}");
}
