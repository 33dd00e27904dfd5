//! The gates of `check` catch what they are there for: each is shown something bad, in a clone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;

use causeway_testing::{Ended, Project};
use serde_json::Value;

fn step<'a>(ended: &'a Ended, gate: &str) -> &'a Value {
    let mut steps =
        ended.of_type("step").filter(|step| step["action"] == gate && step["status"] != "started");
    steps.next().unwrap_or_else(|| panic!("{gate} did not end: {}", ended.stderr))
}

fn warned(ended: &Ended, start: &str, words: &[&str]) {
    let found = ended.of_type("warning").filter_map(|line| line["message"].as_str());
    let found: Vec<&str> = found.filter(|message| message.starts_with(start)).collect();
    assert!(
        found.iter().any(|message| words.iter().all(|word| message.contains(word))),
        "{start} {words:?}: {found:?}"
    );
}

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, before + text).unwrap();
}

/// That each gate has looked at what there is.
fn looked(ended: &Ended) {
    let data = &ended.result()["data"];
    assert!(data["checkov"]["passed"].as_u64().unwrap() > 100, "{data}");
    assert!(data["parliament"]["policies"].as_u64().unwrap() > 20, "{data}");
    assert!(data["secrets"]["files"].as_u64().unwrap() > 200, "{data}");
    let advisories = step(ended, "advisories");
    let made = (advisories["status"].as_str().unwrap(), advisories["mode"].as_str().unwrap());
    assert!([("succeeded", "executed"), ("not-run", "skipped")].contains(&made), "{advisories}");
}

#[test]
#[ignore = "every check holds the tree to its gates: check --full runs it"]
fn the_tree_as_it_is_passes() {
    let whole = Project::clone_of_repository().run(&["check", "--gates"]);
    assert_eq!(whole.code, 0, "{}: {:?}", whole.error(), whole.of_type("warning").collect::<Vec<_>>());
    looked(&whole);
    let data = &whole.result()["data"];
    let found =
        [&data["checkov"]["failed"], &data["cfn-lint"]["findings"], &data["dependencies"]["licenses"]];
    assert_eq!(found, [&Value::from(0); 3], "{data}");
}

#[test]
fn a_bad_template_policy_license_or_secret_is_caught() {
    let project = Project::clone_of_repository();
    let at = |name: &str| project.path().join(name);
    // A template: a property that does not exist, a bucket that anybody may read, a waiver that nothing needs, one without
    // a reason.
    project.edit(
        "cfn/build-base.yaml",
        "Resources:\n",
        "Resources:\n  OpenBucket:\n    # checkov:skip=CKV_AWS_109:There is no policy in a bucket at all.\n    Type: AWS::S3::Bucket\n    Properties: {AccessControl: PublicRead, NoSuchProperty: 1}\n",
    );
    project.edit(
        "cfn/app.yaml",
        "CKV_AWS_119:A key of its own costs; the account's DynamoDB key encrypts the table.",
        "CKV_AWS_119:no",
    );
    // A policy: a condition key that the action never has.
    project.edit(
        "cfn/pipeline.yaml",
        "              - Sid: LookAtBucket\n",
        "              - Sid: LookAtBucket\n                Condition: {StringEquals: {'s3:prefix': x}}\n",
    );
    // A license that is in use and no longer allowed, and a crate that is.
    project.edit("deny.toml", "\"ISC\", ", "");
    project.edit("deny.toml", "deny = [\n", "deny = [\n    { crate = \"anyhow\" },\n");
    // Secrets, put together here so that this file has none: AWS's shape of a key, and a private key that git does not know yet.
    let key = ["AKIA", "Q3EGWXJ5", "7LTRZ2MB"].concat();
    append(&at("hooks/src/lib.rs"), &format!("// {key}  pragma: allowlist secret\n"));
    append(&at("new.txt"), &["-----BEGIN RSA ", "PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq2\n"].concat());

    let bad = project.run(&["check", "--gates"]);
    assert_eq!(bad.code, 1, "{}", bad.stderr);
    looked(&bad);
    for gate in ["cfn-lint", "checkov", "parliament", "dependencies", "secrets"] {
        assert_eq!(step(&bad, gate)["status"], "failed", "{gate}");
        assert!(bad.error().contains(gate), "{}", bad.error());
    }
    warned(&bad, "cfn-lint:", &["cfn/build-base.yaml", "NoSuchProperty"]);
    warned(&bad, "checkov:", &["cfn/build-base.yaml", "CKV_AWS_20", "OpenBucket"]);
    warned(&bad, "checkov:", &["cfn/build-base.yaml", "skip=CKV_AWS_109", "no check"]);
    warned(&bad, "checkov:", &["cfn/app.yaml", "skip=CKV_AWS_119", "no reason"]);
    warned(&bad, "parliament:", &["cfn/pipeline.yaml", "UNKNOWN_CONDITION_FOR_ACTION"]);
    warned(&bad, "dependencies:", &["rustls-webpki", "ISC"]);
    warned(&bad, "dependencies:", &["anyhow", "banned"]);
    warned(&bad, "secrets:", &["hooks/src/lib.rs", "AWS Access Key"]);
    warned(&bad, "secrets:", &["new.txt", "Private Key"]);
    let printed: String = bad.lines.iter().map(ToString::to_string).collect();
    assert!(!printed.contains(&key) && !bad.stderr.contains(&key), "a secret is never printed");
}
