//! Isolated stacks: developers side by side on a local cloud, beside the pipeline's stack, without touching each other.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use causeway_testing::{Ended, Project, workspace};
use serde_json::{Value, json};

/// The line of a template that a create cannot get past, and what is there without it.
const BROKEN: &str = "Resources:\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n  Broken:\n    Type: AWS::CloudFormation::WaitCondition\n    Properties: {Handle: !Ref Handle, Timeout: '1'}\n";

/// A clone whose kept cloud has what the pipeline deployed to dev.
fn released_to_dev() -> (Project, String) {
    let mut project = Project::clone_of_repository();
    let ended = project.run(&["rehearse", "--no-baseline", "--approve", "reject", "--keep"]);
    assert_eq!(ended.result()["verdict"], "rejected", "{}", ended.stderr);
    let env = project.run(&["local", "env"]);
    let mut url = String::new();
    for (name, value) in env.result()["data"]["env"].as_object().unwrap() {
        match name.as_str() {
            "AWS_PROFILE" => {}
            "CAUSEWAY_DEV_URL" => value.as_str().unwrap().clone_into(&mut url),
            _ => project.set(name, value.as_str().unwrap()),
        }
    }
    project.set("CAUSEWAY_PROFILE", "rehearse");
    (project, url)
}

/// What a URL answers, or nothing where nobody does.
fn curl(words: &[&str]) -> Option<Value> {
    let output = assert_cmd::Command::new("curl").args(["-s", "-m", "20"]).args(words).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn version(url: &str) -> Option<String> {
    Some(curl(&[&format!("{url}api/version")])?["version"].as_str()?.to_owned())
}

fn locations(url: &str) -> Vec<String> {
    let all = curl(&[&format!("{url}api/locations")]).unwrap();
    all.as_array().unwrap().iter().map(|one| one["locationName"].as_str().unwrap().to_owned()).collect()
}

/// Another AWS client: a few lines of Python, with `session(profile)` and `roles(name)` for a role's session in dev.
fn python(project: &Project, text: &str) -> Value {
    let head = r#"
import boto3, json
def session(account): return boto3.Session(profile_name=f"causeway-{account}")
def keys(bucket, account):
    pages = session(account).client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sorted(o["Key"] for page in pages for o in page.get("Contents", []))
def outputs(stack, account):
    found = session(account).client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]}
def resource(stack, logical):
    cfn = session("dev").client("cloudformation")
    return cfn.describe_stack_resource(StackName=stack, LogicalResourceId=logical)["StackResourceDetail"]["PhysicalResourceId"]
def become(role):
    got = session("dev").client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.Session(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], region_name="eu-central-1")
def answer(call, **words):
    try:
        call(**words)
        return "allowed"
    except Exception as error:
        return getattr(error, "response", {}).get("Error", {}).get("Code", repr(error))
"#;
    let like = project.command(&[]);
    let mut command = assert_cmd::Command::new(workspace().join("target/causeway/venv/bin/python3"));
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.args(["-c", &format!("{head}{text}")]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// What lies in the artifact bucket, and in the one for isolated stacks.
fn buckets(project: &Project) -> (Value, Value) {
    let found = python(
        project,
        "print(json.dumps([keys(outputs('causeway-build-base', 'build')['BucketName'], 'build'), keys(outputs('causeway-target-roles', 'dev')['IsolatedBucketName'], 'dev')]))",
    );
    (found[0].clone(), found[1].clone())
}

fn plan(ended: &Ended) -> &Value {
    &ended.of_type("plan").next().unwrap_or_else(|| panic!("no plan: {}", ended.stderr))["waves"][0][0]
}

fn data(ended: &Ended) -> &Value {
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    &ended.result()["data"]
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn developers_and_the_pipeline_stand_side_by_side() {
    let (mut project, dev) = released_to_dev();
    let released = version(&dev).unwrap();
    let (artifacts, none) = buckets(&project);
    assert_eq!(none, json!([]));

    // A dry run says what would come, and leaves nothing.
    project.set("USER", "ann");
    let dry = project.run(&["deploy", "--isolated", "ann", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((dry.code, dry.result()["verdict"].as_str()), (3, Some("changes")), "{}", dry.error());
    let planned = plan(&dry);
    assert_eq!((&planned["state"], &planned["action"]), (&json!("ABSENT"), &json!("create")));
    let ids: Vec<&str> =
        planned["changes"].as_array().unwrap().iter().map(|c| c["logical_id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"Table") && !ids.iter().any(|id| id.contains("Hook")), "{ids:?}");
    let unasked = project.run(&["deploy", "--isolated", "ann"]);
    assert_eq!(unasked.code, 2, "without a terminal and without --yes nothing is deployed");
    assert_eq!(project.run(&["deploy", "--list"]).result()["data"]["stacks"], json!([]));
    assert_eq!(buckets(&project), (artifacts.clone(), json!([])));

    let first = project.run(&["deploy", "--isolated", "ann", "--yes"]);
    let ann = data(&first)["url"].as_str().unwrap().to_owned();
    assert!(first.of_type("event").any(|event| event["stack"] == "causeway-isolated-ann"));
    assert_eq!(version(&ann).as_deref(), data(&first)["versions"]["checkin"].as_str());
    assert!(data(&first)["role"].as_str().unwrap().ends_with("isolated-exec"));
    assert!(first.result()["changed"].as_array().unwrap().contains(&json!("dev/causeway-isolated-ann")));
    let again = project.run(&["deploy", "--isolated", "ann", "--yes"]);
    assert_eq!(again.result()["verdict"], "nothing-to-do", "{}", again.error());
    assert_eq!(data(&again)["url"], json!(ann));

    // Somebody else, whose first create fails and whose second attempt fixes it.
    project.set("USER", "bob");
    project.edit("cfn/app.yaml", "Resources:\n", BROKEN);
    let failed = project.run(&["deploy", "--isolated", "bob", "--yes"]);
    assert_eq!(failed.code, 1, "{}", failed.error());
    assert!(failed.error().contains("Broken") && failed.error().contains("causeway-isolated-bob"));
    project.edit("cfn/app.yaml", BROKEN, "Resources:\n");
    let fixed = project.run(&["deploy", "--isolated", "bob", "--yes"]);
    let bob = data(&fixed)["url"].as_str().unwrap().to_owned();
    assert_eq!(plan(&fixed)["action"], "recreate");

    let listed = project.run(&["deploy", "--list"]);
    let rows = data(&listed)["stacks"].as_array().unwrap();
    let named: Vec<(&str, &str, i64, &str)> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap();
            (text("name"), text("owner"), row["days_left"].as_i64().unwrap(), text("url"))
        })
        .collect();
    assert_eq!(named, [("ann", "ann", 14, ann.as_str()), ("bob", "bob", 14, bob.as_str())]);
    assert!(ann != bob && ann != dev && bob != dev);

    // Each has its own table.
    let add = |url: &str, name: &str| {
        let body = json!({"locationName": name}).to_string();
        curl(&["-H", "content-type: application/json", "-d", &body, &format!("{url}api/locations")]).unwrap()
    };
    add(&ann, "Ann's desk");
    add(&bob, "Bob's desk");
    assert_eq!((locations(&ann), locations(&bob)), (vec!["Ann's desk".into()], vec!["Bob's desk".into()]));
    let theirs = locations(&dev);
    assert!(!theirs.is_empty() && !theirs.iter().any(|name| name.ends_with("desk")), "{theirs:?}");

    // The packages lie in the developers' bucket, and the artifact bucket is as it was.
    let (now, own) = buckets(&project);
    assert_eq!(now, artifacts);
    assert_eq!(own.as_array().unwrap().len(), 8, "four packages with their bills: {own}");
    only_isolated_stacks_are_in_reach(&project);

    // A new version of one of them: no hooks, all at once; the others stay.
    project.edit("api/src/lib.rs", "//!", "// Another version.\n//!");
    project.set("USER", "ann");
    let update = project.run(&["deploy", "--isolated", "ann", "--yes"]);
    let newer = data(&update)["versions"]["checkin"].as_str().unwrap();
    assert_eq!(
        (&plan(&update)["action"], data(&update)["url"].as_str()),
        (&json!("update"), Some(ann.as_str()))
    );
    assert_eq!(version(&ann).as_deref(), Some(newer));
    assert_ne!(data(&first)["versions"]["checkin"], newer);
    assert!(data(&update)["uncommitted"].as_u64().unwrap() >= 1, "a dirty tree is said");
    assert!(update.of_type("warning").any(|line| line["message"].as_str().unwrap().contains("differ")));
    assert_eq!((version(&bob), version(&dev)), (version(&bob), Some(released.clone())));
    assert_ne!(version(&bob), version(&ann));
    let watch = ["test-deployment", "--env", "dev", "--isolated", "ann", "--rate", "5", "--for", "2s"];
    let watched = project.run(&watch);
    // Nothing is deployed meanwhile, and the watcher says so; it found the stack's API all the same.
    assert_eq!(watched.result()["verdict"], "nothing-to-watch", "{} {}", watched.error(), watched.stderr);
    assert!(data(&watched)["versions"]["checkin 2"]["requests"].as_u64().unwrap() > 0);

    // What goes is said, nobody is taken by surprise, and the others stay.
    let unasked = project.run(&["deploy", "--isolated", "ann", "--delete"]);
    assert_eq!(unasked.code, 2);
    assert!(unasked.error().contains("AWS::DynamoDB::Table"), "{}", unasked.error());
    let dry = project.run(&["deploy", "--isolated", "ann", "--delete", "--dry-run"]);
    assert_eq!((dry.code, dry.result()["verdict"].as_str()), (0, Some("changes")));
    assert_eq!(locations(&ann), ["Ann's desk"]);
    let refused = project.run(&["deploy", "--isolated", "ann", "--delete", "--yes"]);
    assert_eq!(refused.code, 2, "its table goes with it: {}", refused.error());
    assert!(refused.error().contains("--allow-data-loss causeway-isolated-ann"), "{}", refused.error());
    let loss = ["--allow-data-loss", "causeway-isolated-ann"];
    let gone = project.run(&[&["deploy", "--isolated", "ann", "--delete", "--yes"][..], &loss].concat());
    let removed = data(&gone)["removed"].as_array().unwrap();
    assert!(removed.contains(&json!("dev/causeway-isolated-ann")) && removed.len() == 2, "{removed:?}");
    assert_eq!(version(&ann), None, "its API is gone");
    let twice = project.run(&["deploy", "--isolated", "ann", "--delete", "--yes"]);
    assert_eq!((twice.code, twice.result()["verdict"].as_str()), (0, Some("nothing-to-do")));
    assert_eq!(locations(&bob), ["Bob's desk"]);
    assert_eq!((version(&dev), locations(&dev)), (Some(released), theirs));
    let published = project.run(&["local", "env"]);
    assert_eq!(published.result()["data"]["env"]["CAUSEWAY_DEV_URL"], json!(dev));
    let listed = project.run(&["deploy", "--list"]);
    assert_eq!(data(&listed)["stacks"].as_array().unwrap().len(), 1);
    let all = project.run(&["destroy", "--dry-run"]);
    let stacks = all.result()["data"]["stacks"].as_array().unwrap();
    assert!(stacks.contains(&json!("dev/causeway-isolated-bob")), "destroy finds it: {stacks:?}");
}

/// With the role's own session: what belongs to isolated stacks is allowed, what belongs to the pipeline is not.
/// Roles are left to the access matrix: the emulator leaves the path out of a role's ARN when it asks whether somebody may.
fn only_isolated_stacks_are_in_reach(project: &Project) {
    let answers = python(
        project,
        r#"
ours, theirs = "causeway-isolated-ann", "causeway-app-dev"
roles = outputs("causeway-target-roles", "dev")
role = become(roles["IsolatedExecutionRoleArn"])
packages, own = outputs("causeway-build-base", "build")["BucketName"], roles["IsolatedBucketName"]
s3, tables, functions = role.client("s3"), role.client("dynamodb"), role.client("lambda")
result = {}
for name, stack in [("ours", ours), ("theirs", theirs)]:
    result[name] = {
        "function": answer(functions.get_function, FunctionName=resource(stack, "CheckinFunction")),
        "table": answer(tables.describe_table, TableName=resource(stack, "Table")),
    }
result["theirs"]["code"] = answer(functions.delete_function, FunctionName=resource(theirs, "CheckinFunction"))
result["theirs"]["items"] = answer(tables.delete_table, TableName=resource(theirs, "Table"))
result["ours"]["package"] = answer(s3.get_object, Bucket=own, Key=keys(own, "dev")[0])
result["theirs"]["package"] = answer(s3.get_object, Bucket=packages, Key=[k for k in keys(packages, "build") if k.startswith("packages/")][0])
print(json.dumps(result))
"#,
    );
    for (thing, answer) in answers["ours"].as_object().unwrap() {
        assert_eq!(answer, "allowed", "{thing}: {answers}");
    }
    let theirs = answers["theirs"].as_object().unwrap();
    assert_eq!((answers["ours"].as_object().unwrap().len(), theirs.len()), (3, 5));
    for (thing, answer) in theirs {
        assert!(answer.as_str().unwrap().starts_with("AccessDenied"), "{thing}: {answers}");
    }
}

#[test]
fn what_does_not_fit_is_named_before_anything_is_asked() {
    let project = Project::new();
    let long = "a".repeat(26);
    let table: [(&[&str], &str); 7] = [
        (&["--isolated", "Ann"], "lowercase letters and digits"),
        (&["--isolated", "ann-2"], "lowercase letters and digits"),
        (&["--isolated", &long], "26 characters; 25 are the most"),
        (&["--isolated", "ann", "--env", "prod"], "it takes none; these do: dev"),
        (&["--isolated", "ann", "--env", "nowhere"], "these do: dev"),
        (&["--isolated", "ann", "--days", "15"], "--days"),
        (&[], "--isolated"),
    ];
    for (words, expected) in table {
        let ended = project.run(&[&["deploy"], words].concat());
        let told = format!("{} {}", ended.error(), ended.stderr);
        assert_eq!(ended.code, 2, "{words:?}: {told}");
        assert!(told.contains(expected), "{words:?}: {told}");
    }
    project.edit("cfn/stacks.toml", "IsolatedStacks = true", "IsolatedStacks = false");
    let nobody = project.run(&["deploy", "--isolated", "ann"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.error().contains("no account takes them"), "{}", nobody.error());
}
