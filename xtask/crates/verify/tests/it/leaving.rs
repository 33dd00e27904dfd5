//! Leaving: `doctor` and `destroy` on a cloud that holds a whole release, as people with the rights that `prove` writes
//! and no others. The local cloud holds their sessions to these policies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use causeway_testing::{Ended, Project};
use serde_json::Value;

const ACCOUNTS: [&str; 3] = ["build", "dev", "prod"];

/// Makes a role with each policy in each account and writes its session's keys as profiles of the same names.
const PEOPLE: &str = r#"
import boto3, json, sys, uuid
folder = sys.argv[1]
for person in ("bootstrap", "destroy"):
    with open(f"{folder}/{person}.credentials", "w") as out:
        for account in ("build", "dev", "prod"):
            session = boto3.Session(profile_name=f"causeway-{account}")
            own = session.client("sts").get_caller_identity()["Account"]
            trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{own}:root"}, "Action": "sts:AssumeRole"}]}
            iam, name = session.client("iam"), f"person-{person}"
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
            policy = open(f"{folder}/{person}-{account}.json").read()
            iam.put_role_policy(RoleName=name, PolicyName=person, PolicyDocument=policy)
            keys = session.client("sts").assume_role(RoleArn=f"arn:aws:iam::{own}:role/{name}", RoleSessionName="test")["Credentials"]
            out.write(f"[causeway-{account}]\naws_access_key_id = {keys['AccessKeyId']}\naws_secret_access_key = {keys['SecretAccessKey']}\naws_session_token = {keys['SessionToken']}\n\n")
"#;

/// Two isolated stacks in dev: one whose first create fails, and one with a log group that it keeps.
const ISOLATED: &str = r#"
import boto3, json, time
client = boto3.Session(profile_name="causeway-dev").client("cloudformation")
handle = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
broken = {"Type": "AWS::CloudFormation::WaitCondition", "DependsOn": ["Kept"], "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"}}
def group(name):
    return {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Retain", "Properties": {"LogGroupName": name}}
for name, resources in (
    ("causeway-isolated-ann", {"Handle": handle, "Kept": group("/kept/ann"), "Broken": broken}),
    ("causeway-isolated-bob", {"Kept": group("/kept/bob")}),
):
    client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    while client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith("IN_PROGRESS"):
        time.sleep(0.2)
"#;

/// Everything of the project that is there, by account: stacks, buckets, roles, tables, log groups, keys.
const LEFT: &str = r#"
import boto3, json
left = []
for account in ("build", "dev", "prod"):
    session = boto3.Session(profile_name=f"causeway-{account}")
    of = lambda service: session.client(service)
    stacks = [s["StackName"] for page in of("cloudformation").get_paginator("list_stacks").paginate() for s in page["StackSummaries"] if s["StackStatus"] != "DELETE_COMPLETE"]
    buckets = [b["Name"] for b in of("s3").list_buckets()["Buckets"]]
    roles = [r["RoleName"] for page in of("iam").get_paginator("list_roles").paginate() for r in page["Roles"]]
    tables = of("dynamodb").list_tables()["TableNames"]
    groups = [g["logGroupName"] for page in of("logs").get_paginator("describe_log_groups").paginate() for g in page["logGroups"]]
    named = {"stack": stacks, "bucket": buckets, "role": roles, "table": tables, "log group": groups}
    left += [f"{kind} {account}/{name}" for kind, names in named.items() for name in names if "causeway" in name]
    for page in of("kms").get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            about = of("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            if about.get("KeyManager") == "CUSTOMER":
                left.append(f"key {account}/{about['KeyState']}")
print(json.dumps(left))
"#;

/// Runs a program of boto3 against a project's cloud, as the root of each account.
fn python(project: &Project, env: &BTreeMap<String, String>, text: &str, words: &[&str]) -> String {
    let file = project.path().join("program.py");
    std::fs::write(&file, text).unwrap();
    let mut command =
        assert_cmd::Command::new(causeway_testing::workspace().join("target/causeway/venv/bin/python"));
    let output = command.arg(&file).args(words).envs(env).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

/// What `doctor` found out about the accounts: names, and the problem where there is one.
fn findings(ended: &Ended) -> BTreeMap<String, Option<String>> {
    let all = ended.result()["data"]["findings"].as_array().unwrap();
    let of_accounts = all.iter().filter(|found| {
        let name = found["name"].as_str().unwrap();
        ["account-", "region-", "stack-", "alarms-", "isolated-", "connection"]
            .iter()
            .any(|start| name.starts_with(start))
    });
    of_accounts
        .map(|found| {
            let problem = (found["ok"] == false).then(|| found["problem"].to_string());
            (found["name"].as_str().unwrap().to_owned(), problem)
        })
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_whole_release_is_listed_and_removed_with_the_rights_of_leaving() {
    let mut project = Project::clone_of_repository();
    let released = project.run(&["rehearse", "--no-baseline", "--approve", "auto", "--keep"]);
    assert_eq!(released.result()["verdict"], "released", "{} {}", released.error(), released.stderr);
    let env: BTreeMap<String, String> =
        serde_json::from_value(project.run(&["local", "env"]).result()["data"]["env"].clone()).unwrap();
    for (name, value) in &env {
        project.set(name, value);
    }
    let policies = project.run(&["prove", "--bootstrap-policies", "people"]);
    assert_eq!(policies.code, 0, "{}", policies.error());
    assert_eq!(policies.result()["changed"].as_array().unwrap().len(), 2 * ACCOUNTS.len() + 2 + 3);
    let people = project.path().join("people").display().to_string();
    python(&project, &env, PEOPLE, &[&people]);
    python(&project, &env, ISOLATED, &[]);
    let before = list(&python(&project, &env, LEFT, &[]));

    // Whoever runs bootstrap may run doctor, too.
    project.set("AWS_SHARED_CREDENTIALS_FILE", format!("{people}/bootstrap.credentials"));
    let found = findings(&project.run(&["doctor"]));
    let wrong: Vec<_> = found.iter().filter_map(|(name, problem)| Some((name, problem.as_ref()?))).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let (name, problem) = wrong[0];
    assert_eq!(name, "stack-dev-isolated-ann");
    assert!(
        problem.contains("ROLLBACK_COMPLETE") && problem.contains("Kept (AWS::Logs::LogGroup)"),
        "{problem}"
    );
    for name in ["alarms-prod-app", "connection", "region-build", "stack-dev-isolated-bob", "stack-prod-app"]
    {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
    let refused = project.run(&["destroy", "--dry-run"]);
    assert_eq!(refused.code, 1, "bootstrap's rights are not those of leaving: {}", refused.error());
    assert!(refused.error().contains("AccessDenied"), "{}", refused.error());

    project.set("AWS_SHARED_CREDENTIALS_FILE", format!("{people}/destroy.credentials"));
    let mended = project.run(&["doctor", "--fix", "--yes"]);
    assert_eq!(
        mended.result()["changed"],
        serde_json::json!(["dev/causeway-isolated-ann"]),
        "{}",
        mended.error()
    );

    let dry = project.run(&["destroy", "--dry-run"]);
    assert_eq!((dry.code, &dry.result()["verdict"]), (0, &"changes".into()), "{}", dry.error());
    let data = &dry.result()["data"];
    let stacks = texts(&data["stacks"]);
    assert_eq!(stacks.len(), 7, "{stacks:?}");
    let kinds = |kind: &str| -> Vec<(String, String)> {
        let all = data["leftovers"].as_array().unwrap().iter().filter(|left| left["type"] == kind);
        all.map(|left| (left["account"].as_str().unwrap().into(), left["holds"].as_str().unwrap().into()))
            .collect()
    };
    let buckets = kinds("AWS::S3::Bucket");
    let versions: usize = buckets[0].1.split(' ').next().unwrap().parse().unwrap();
    assert!(buckets.len() == 1 && versions > 4, "{buckets:?}");
    let tables = kinds("AWS::DynamoDB::Table");
    let accounts: Vec<&str> = tables.iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ["dev", "prod"]);
    assert!(tables.iter().all(|(_, holds)| holds.contains("items")), "{tables:?}");
    assert_eq!(kinds("AWS::KMS::Key"), [("build".into(), "30 days of waiting time".into())]);
    let kept = kinds("AWS::Logs::LogGroup");
    assert_eq!(kept.len(), 2, "what bob's stack keeps, and what ann's left behind: {kept:?}");
    let groups = texts(&data["log_groups"]);
    for group in ["build /aws/codebuild/causeway-build", "prod /aws/lambda/causeway-app-prod-checkin"] {
        assert!(groups.contains(&group), "{group}: {groups:?}");
    }

    for (words, why) in [
        (&["destroy"][..], "no terminal"),
        (&["destroy", "--yes"], "--yes is not enough"),
        (&["destroy", "--confirm-delete", "causewa"], "not the project's name"),
    ] {
        let refused = project.run(words);
        assert_eq!(refused.code, 2, "{words:?}: {}", refused.error());
        assert!(refused.error().contains(why), "{words:?}: {}", refused.error());
    }
    let kept = list(&python(&project, &env, LEFT, &[]));
    assert_eq!(kept.len(), before.len() - 1, "only ann's stack went: {kept:?}");

    let gone = project.run(&["destroy", "--confirm-delete", "causeway"]);
    assert_eq!((gone.code, &gone.result()["verdict"]), (0, &"done".into()), "{}", gone.error());
    let changed = texts(&gone.result()["changed"]);
    let at = |name: &str| changed.iter().position(|one| *one == name).unwrap();
    assert!(at("prod/causeway-app-prod") < at("build/causeway-pipeline"));
    assert!(at("build/causeway-pipeline") < at("prod/causeway-target-roles"));
    assert!(at("prod/causeway-target-roles") < at("build/causeway-build-base"));
    // Seven stacks, two tables, the bucket, the key.
    assert_eq!(changed.len(), 11, "{changed:?}");
    let remains = texts(&gone.result()["data"]["remains"]).join("\n");
    for part in [
        "key build/",
        "cancel-key-deletion",
        "AWS::Logs::LogGroup dev//kept/bob",
        "AWS::Logs::LogGroup dev//kept/ann",
        "prod, for the whole account: what API Gateway set up",
        "AWS Connector for GitHub",
    ] {
        assert!(remains.contains(part), "{part}: {remains}");
    }
    // Not even the name of the project is left in any account; the key waits for its end.
    assert_eq!(list(&python(&project, &env, LEFT, &[])), ["key build/PendingDeletion"]);

    let again = project.run(&["destroy", "--confirm-delete", "causeway"]);
    assert_eq!((again.code, &again.result()["verdict"]), (0, &"nothing-to-do".into()), "{}", again.error());
    let remains = texts(&again.result()["data"]["remains"]).join("\n");
    assert!(remains.contains("/kept/ann") && remains.contains("/kept/bob"), "{remains}");
}
