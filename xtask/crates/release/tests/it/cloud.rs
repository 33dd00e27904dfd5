//! Whole commands against a local cloud: bootstrap, its failures, and who may change anything there.

use causeway_testing::Project;
use serde_json::Value;

#[test]
fn bootstrap_deploys_in_order_and_a_second_run_changes_nothing() {
    let mut project = Project::new();
    project.up();
    let again = project.run(&["local", "up"]);
    assert_eq!((again.code, again.result()["verdict"].as_str()), (0, Some("nothing-to-do")));

    let dry = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((dry.code, dry.result()["verdict"].as_str()), (3, Some("changes")));
    let asked = project.run(&["bootstrap"]);
    assert_eq!(asked.code, 2, "without a terminal and without --yes nothing is deployed");
    assert!(asked.error().contains("--yes"), "{}", asked.error());

    let first = project.run(&["bootstrap", "--yes"]);
    assert_eq!(first.code, 0, "{}", first.error());
    assert_eq!(first.result()["changed"].as_array().unwrap().len(), 4);
    let plan = first.of_type("plan").next().unwrap();
    let shape: Vec<Vec<String>> = plan["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| {
            let name = |s: &Value| {
                format!(
                    "{}/{} {}",
                    s["account"].as_str().unwrap(),
                    s["stack"].as_str().unwrap(),
                    s["action"].as_str().unwrap()
                )
            };
            wave.as_array().unwrap().iter().map(name).collect()
        })
        .collect();
    assert_eq!(
        shape,
        [
            vec!["build/causeway-build-base create"],
            vec!["dev/causeway-target-roles create", "prod/causeway-target-roles create"],
            vec!["build/causeway-pipeline create"],
        ]
    );
    assert!(first.of_type("event").count() > 20, "events are followed");

    let second = project.run(&["bootstrap", "--yes"]);
    assert_eq!((second.code, second.result()["verdict"].as_str()), (0, Some("nothing-to-do")));
    let dry = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((dry.code, dry.result()["verdict"].as_str()), (0, Some("nothing-to-do")));

    project.edit("cfn/build-base.yaml", "PendingWindowInDays: 30", "PendingWindowInDays: 14");
    let dry = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!(dry.code, 3, "{}", dry.error());
    let changes = dry.of_type("plan").next().unwrap()["waves"][0][0]["changes"].as_array().unwrap().clone();
    let key = changes.iter().find(|change| change["logical_id"] == "ArtifactKey").unwrap();
    assert_eq!((&key["op"], &key["stateful"]), (&"modify".into(), &true.into()));
    // The local cloud cannot say that a key stays in its place, and what may be lost is lost by name alone.
    let refused = project.run(&["bootstrap", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.error());
    let third = project.run(&["bootstrap", "--yes", "--allow-data-loss", "causeway-build-base"]);
    assert_eq!(third.result()["changed"], serde_json::json!(["build/causeway-build-base"]));
}

/// Adds what is no comment, so that nothing but a URL is left, or what is one.
fn pad(project: &Project, template: &str, before: &str, with: &str) {
    let padding = "x".repeat(50);
    let rows: String = (0..1_000).map(|n| format!("{with}{n}: {padding}\n")).collect();
    let head = if with.starts_with('#') { "" } else { "Metadata:\n" };
    project.edit(template, before, &format!("{head}{rows}{before}"));
}

#[test]
fn templates_too_large_for_a_request_are_deployed() {
    let mut project = Project::new();
    project.up();
    // Into accounts that may not read the artifact bucket, and into the one it is in; and one that is large by its comments.
    pad(&project, "cfn/target-roles.yaml", "Parameters:\n", "  Row");
    pad(&project, "cfn/pipeline.yaml", "Parameters:\n", "# Row");
    for name in ["target-roles", "pipeline"] {
        let bytes = std::fs::metadata(project.path().join(format!("cfn/{name}.yaml"))).unwrap().len();
        assert!(bytes > 51_200, "{name} has {bytes} bytes");
    }
    let first = project.run(&["bootstrap", "--yes"]);
    assert_eq!(first.code, 0, "{}", first.error());
    assert_eq!(first.result()["changed"].as_array().unwrap().len(), 4);
    let second = project.run(&["bootstrap", "--yes"]);
    assert_eq!(
        (second.code, second.result()["verdict"].as_str()),
        (0, Some("nothing-to-do")),
        "{}",
        second.error()
    );
    // The stack that makes the bucket must fit.
    pad(&project, "cfn/build-base.yaml", "Parameters:\n", "  Row");
    let refused = project.run(&["bootstrap", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.error());
    assert!(
        refused.error().contains("causeway-build-base") && refused.error().contains("51200"),
        "{}",
        refused.error()
    );
}

#[test]
fn a_pending_connection_holds_the_pipeline_until_a_person_has_finished_it() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["local", "connection", "pending"]).code, 0);
    let held = project.run(&["bootstrap", "--yes"]);
    assert_eq!((held.code, held.result()["verdict"].as_str()), (6, Some("stuck")), "{}", held.error());
    for word in ["PENDING", "console.aws.amazon.com/codesuite/settings/connections", "cargo xtask bootstrap"]
    {
        assert!(held.error().contains(word), "{word}: {}", held.error());
    }
    let changed = held.result()["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 3, "everything else is deployed: {changed:?}");
    assert!(!changed.contains(&"build/causeway-pipeline".into()));
    assert_eq!(project.run(&["local", "connection", "available"]).code, 0);
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.result()["changed"], serde_json::json!(["build/causeway-pipeline"]), "{}", done.error());
}

#[test]
fn a_stack_that_fails_names_its_first_cause_and_a_second_run_mends_it() {
    let mut project = Project::new();
    project.up();
    let broken = "Resources:\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n  Broken:\n    Type: AWS::CloudFormation::WaitCondition\n    Properties: {Handle: !Ref Handle, Timeout: '1'}\n";
    project.edit("cfn/build-base.yaml", "Resources:\n", broken);
    let failed = project.run(&["bootstrap", "--yes"]);
    assert_eq!(failed.code, 1, "{}", failed.error());
    assert!(failed.error().contains("causeway-build-base"), "{}", failed.error());
    assert!(failed.error().contains("Broken"), "{}", failed.error());
    assert_eq!(failed.result()["changed"].as_array().unwrap().len(), 0);
    project.edit("cfn/build-base.yaml", broken, "Resources:\n");
    let plan = project.run(&["bootstrap", "--dry-run"]);
    let first = &plan.of_type("plan").next().unwrap()["waves"][0][0];
    assert_eq!(
        (first["state"].as_str(), first["action"].as_str()),
        (Some("ROLLBACK_COMPLETE"), Some("recreate"))
    );
    let fixed = project.run(&["bootstrap", "--yes"]);
    assert_eq!(fixed.code, 0, "{}", fixed.error());
}

#[test]
fn destroy_wants_the_name_removes_everything_and_says_what_remains() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["destroy", "--dry-run"]).result()["verdict"], "nothing-to-do");
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let dry = project.run(&["destroy", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((dry.code, dry.result()["verdict"].as_str()), (3, Some("changes")));
    assert_eq!(dry.result()["data"]["stacks"].as_array().unwrap().len(), 4);
    let fates: Vec<&str> = dry.result()["data"]["leftovers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["fate"].as_str().unwrap())
        .collect();
    assert_eq!(fates, ["key", "bucket"]);
    for words in [&["destroy", "--yes"][..], &["destroy", "--confirm-delete", "other"]] {
        let refused = project.run(words);
        assert_eq!(refused.code, 2, "{words:?}");
        assert!(refused.error().contains("nothing was removed"), "{}", refused.error());
    }
    let done = project.run(&["destroy", "--confirm-delete", "causeway"]);
    assert_eq!(done.code, 0, "{}", done.error());
    assert_eq!(done.result()["changed"].as_array().unwrap().len(), 6);
    let remains = done.result()["data"]["remains"].to_string();
    assert!(remains.contains("key build/") && remains.contains("gone on 20"), "{remains}");
    assert_eq!(project.run(&["destroy", "--dry-run"]).result()["verdict"], "nothing-to-do");
    // And everything can be made anew.
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
}

#[test]
fn doctor_names_what_is_wrong_and_its_fix() {
    let mut project = Project::new();
    let offline = project.run(&["doctor", "--offline"]);
    let names: Vec<&str> = offline.result()["data"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    let tools = ["rust", "cargo", "c-compiler", "rustfmt", "clippy", "git", "aws-cli", "python"];
    assert_eq!(names, [&tools[..], &["disk", "local-cloud", "arm64", "notification-emails"]].concat());
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let well = project.run(&["doctor"]);
    assert_eq!((well.code, well.result()["verdict"].as_str()), (0, Some("done")), "{}", well.error());
    assert_eq!(project.run(&["local", "connection", "pending"]).code, 0);
    let stuck = project.run(&["doctor"]);
    assert_eq!((stuck.code, stuck.result()["verdict"].as_str()), (6, Some("stuck")));
    assert!(stuck.error().contains("connection"), "{}", stuck.error());
    project.set("AWS_SHARED_CREDENTIALS_FILE", "/no/such/file");
    let without = project.run(&["doctor"]);
    assert_eq!(without.code, 4, "{}", without.error());
    for account in ["account-build", "account-dev", "account-prod"] {
        assert!(without.error().contains(account), "{}", without.error());
    }
}

#[test]
fn a_profile_of_another_account_stops_everything() {
    let mut project = Project::new();
    project.up();
    let credentials = project.path().join("credentials");
    let secret = project.state()["root_secret"].as_str().unwrap().to_owned();
    let keys = |profile: &str, id: &str| {
        format!("[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
    };
    let text = keys("causeway-build", "111111111111")
        + &keys("causeway-dev", "333333333333")
        + &keys("causeway-prod", "333333333333");
    std::fs::write(&credentials, text).unwrap();
    project.set("AWS_SHARED_CREDENTIALS_FILE", credentials.display().to_string());
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!(ended.code, 4, "{}", ended.error());
    for word in ["dev", "333333333333", "222222222222", "nothing was changed"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
    assert_eq!(ended.of_type("event").count(), 0);
    // Keys in the environment do not win over the profile.
    project.set("AWS_ACCESS_KEY_ID", "222222222222");
    project.set("AWS_SECRET_ACCESS_KEY", secret);
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 4);
}

#[test]
fn bad_templates_and_parameters_are_named_before_anything_is_changed() {
    let mut project = Project::new();
    project.up();
    let table = [
        ("cfn/pipeline.yaml", "Resources:\n", "Resources:\n  Broken: [\n", 2, "cfn/pipeline.yaml line"),
        ("cfn/stacks.toml", "BranchName = ", "BranchNam = ", 2, "BranchNam"),
        (
            "cfn/stacks.toml",
            "template = \"pipeline.yaml\"",
            "template = \"absent.yaml\"",
            2,
            "cfn/absent.yaml",
        ),
    ];
    for (file, from, to, code, word) in table {
        project.edit(file, from, to);
        let ended = project.run(&["bootstrap", "--yes"]);
        assert_eq!(ended.code, code, "{to}: {}", ended.error());
        assert!(ended.error().contains(word), "{to}: {}", ended.error());
        assert_eq!(ended.of_type("event").count(), 0, "{to}");
        project.edit(file, to, from);
    }
}

#[test]
fn only_who_has_the_clouds_keys_changes_anything() {
    let mut project = Project::new();
    project.up();
    let secret = project.state()["root_secret"].as_str().unwrap().to_owned();
    let (root, topic) = ("111111111111", ["--data", "Action=CreateTopic&Version=2010-03-31&Name=made"]);
    for wrong in ["local", "test", ""] {
        let (status, body) = project.call(Some((root, wrong)), "sns", &topic, "/");
        assert_eq!(status, "403", "{wrong:?}: {body}");
        assert!(body.contains("SignatureDoesNotMatch"), "{wrong:?}: {body}");
    }
    assert_eq!(project.call(None, "sns", &topic, "/").0, "403", "nobody has signed");
    let bucket = ["--request", "PUT", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
    assert_eq!(project.call(Some((root, "local")), "s3", &bucket, "/a-bucket").0, "403");
    let older = ["--request", "PUT", "--header", &format!("Authorization: AWS {root}:c2lnbmF0dXJl")];
    assert_eq!(project.call(None, "s3", &older, "/a-bucket").0, "403", "version 2");
    assert_eq!(
        project.call(None, "s3", &["--request", "PUT"], &format!("/a-bucket?AWSAccessKeyId={root}")).0,
        "403"
    );
    let reset = ["--request", "POST", "--path-as-is"];
    for path in [
        "/_ministack/reset",
        "/%5fministack/reset",
        "/%255fministack/reset",
        "/_ministack%2freset",
        "//_ministack/reset",
        "/x/../_ministack/reset",
        "/%5c_ministack/reset",
        "/_MINISTACK/reset",
    ] {
        assert_eq!(project.call(None, "", &reset, path).0, "404", "{path}");
    }
    assert_eq!(project.call(None, "", &["--path-as-is"], "/%5flocalstack/health").0, "404");
    let (status, body) = project.call(None, "", &[], "/");
    assert!(status == "403" && body.contains("AccessDenied"), "nobody lists buckets: {status}: {body}");
    let foreign = ["--request", "OPTIONS", "--include", "--header", "Origin: https://evil.example"];
    let (status, body) = project.call(None, "", &foreign, "/a-bucket");
    assert!(status == "403" && !body.to_lowercase().contains("access-control-"), "{status}: {body}");
    let elsewhere = ["--header", "Host: evil.example"];
    assert_eq!(project.call(Some((root, "local")), "s3", &elsewhere, "/").0, "421");
    assert_eq!(
        project.call(None, "", &["--request", "POST"], "/_causeway/stop").0,
        "403",
        "the token is wanted"
    );
    let list = ["--data", "Action=ListTopics&Version=2010-03-31"];
    let (status, body) = project.call(Some((root, &secret)), "sns", &list, "/");
    assert!(status == "200" && !body.contains(":made"), "{status}: {body}");
    let (status, body) = project.call(Some((root, &secret)), "sns", &topic, "/");
    assert!(status == "200" && body.contains(":made"), "{status}: {body}");
    let other = project.path().join("credentials");
    let profile = |name: &str, id: &str| {
        format!("[causeway-{name}]\naws_access_key_id = {id}\naws_secret_access_key = local\n")
    };
    let text = profile("build", root) + &profile("dev", "222222222222") + &profile("prod", "333333333333");
    std::fs::write(&other, text).unwrap();
    project.set("AWS_SHARED_CREDENTIALS_FILE", other.display().to_string());
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!(ended.code, 4, "{}", ended.error());
    assert!(ended.error().contains("SignatureDoesNotMatch"), "{}", ended.error());
}

#[test]
fn neither_values_nor_secrets_reach_what_is_printed_or_logged() {
    let mut project = Project::new();
    let (address, branch) = ("marker-4711@example.com", "marker-4712");
    project.edit(
        "cfn/stacks.toml",
        "notification_emails = []",
        &format!("notification_emails = [\"{address}\"]"),
    );
    project.edit("cfn/stacks.toml", "branch = \"main\"", &format!("branch = \"{branch}\""));
    project.up();
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.error());
    let state = project.state();
    let keys = ["root_secret", "token"].map(|name| state[name].as_str().unwrap().to_owned());
    let mut said = vec![("stderr".to_owned(), ended.stderr.clone())];
    said.extend(ended.lines.iter().map(|line| ("stdout".to_owned(), line.to_string())));
    for log in std::fs::read_dir(project.path().join("target/causeway/local/logs")).unwrap().flatten() {
        let text = String::from_utf8_lossy(&std::fs::read(log.path()).unwrap()).into_owned();
        said.push((log.path().display().to_string(), text));
    }
    assert!(said.len() > 20, "there is something to look at");
    for (place, text) in &said {
        for value in [address, branch, &keys[0], &keys[1], "SecretAccessKey", "SessionToken"] {
            let at = text.find(value).map(|at| text.get(at.saturating_sub(80)..at).unwrap_or_default());
            assert_eq!(at, None, "{value} is in {place}");
        }
    }
}
