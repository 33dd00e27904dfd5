//! What AWS would refuse to store, and rights whose lack stops the first day: each is found and named.

use super::*;
use causeway_testing::expander;

/// A copy with a text set before another one, which must be there.
fn before(file: &str, at: &str, text: &str) -> Files {
    edited(file, at, &format!("{text}{at}"))
}

fn line_of(files: &Files, file: &str, text: &str) -> usize {
    files[file][..files[file].find(text).unwrap()].matches('\n').count() + 1
}

#[test]
fn a_policy_over_its_limit_is_named_with_its_resource() {
    let statement = |size: usize, principal: &str| {
        let sid = "A".repeat(size);
        format!("          - Sid: {sid}\n            Effect: Deny\n{principal}            Action: '*'\n")
    };
    let on = "            Resource: '*'\n";
    let by = "            Principal: '*'\n";
    let long = |size: usize, principal: &str, on: &str| format!("{}{on}", statement(size, principal));
    // Longer once it is resolved: as a text it would take the template over its own limit.
    let many = format!("            Resource: [{}]\n", vec!["!Ref FailureTopic"; 560].join(", "));
    let table = [
        (
            "target-roles.yaml",
            "          - Sid: DescribeLogGroups",
            long(6_200, "", on),
            "a managed policy",
            "  CommonExecutionPolicy:",
        ),
        (
            "target-roles.yaml",
            "          - Effect: Allow\n",
            long(2_100, by, ""),
            "a trust policy",
            "  ActionRole:",
        ),
        (
            "build-base.yaml",
            "          - Sid: TlsOnly",
            long(20_500, by, on),
            "a bucket policy",
            "  ArtifactBucketPolicy:",
        ),
        (
            "build-base.yaml",
            "          - Sid: AdministrationByBuildAccount",
            long(32_800, by, on),
            "a key policy",
            "  ArtifactKey:",
        ),
        (
            "pipeline.yaml",
            "          - Sid: EventBridgePublishes",
            long(10, by, &many),
            "a topic policy",
            "  FailureTopicPolicy:",
        ),
    ];
    for (file, at, text, what, resource) in table {
        let files = before(file, at, &text);
        let problems = problems(&files);
        let found = problems.iter().find(|one| one.message.starts_with(what));
        let found = found.unwrap_or_else(|| panic!("{what}: {problems:?}"));
        let line = line_of(&files, file, resource);
        assert_eq!((found.file.as_str(), found.line), (format!("cfn/{file}").as_str(), line), "{found}");
    }
    let sid = format!("\"{}\"", "A".repeat(5_200));
    let all = read(&edited("scp-release.json", "\"OnlyApproversApprove\"", &sid));
    assert!(
        all.iter().any(|one| one.starts_with("cfn/scp-release.json:1: a service control policy has")),
        "{all:?}"
    );
}

#[test]
fn an_allow_in_a_service_control_policy_is_refused_with_its_line() {
    let problems = problems(&edited("scp-names.json", "\"Effect\": \"Deny\"", "\"Effect\": \"Allow\""));
    let found = problems.iter().find(|one| one.file == "cfn/scp-names.json").unwrap();
    assert_eq!(found.line, 4);
    assert!(found.message.contains("FullAWSAccess"), "{found}");
}

#[test]
fn a_service_control_policy_that_is_no_json_or_says_nothing_is_refused_with_its_line() {
    let table = [
        (edited("scp-names.json", "\"Statement\"", "Statement"), 3, "it is no JSON"),
        (edited("scp-names.json", "\"Statement\"", "\"Statements\""), 1, "has no `Statement`"),
    ];
    for (files, line, word) in table {
        let all = read(&files);
        let start = format!("cfn/scp-names.json:{line}: ");
        assert!(all.iter().any(|one| one.starts_with(&start) && one.contains(word)), "{word}: {all:?}");
    }
    // One statement need not stand in a list.
    let files = files();
    let policy: Value = serde_json::from_str(&files["scp-names.json"]).unwrap();
    let one = serde_json::json!({"Version": "2012-10-17", "Statement": policy["Statement"][0]});
    let mut files = files.clone();
    files.insert("scp-names.json".to_owned(), one.to_string());
    with(&files, &config_of(&files), &**expander(), |proof| {
        assert_eq!(proof.worlds.get("scp", "").unwrap().scps[0].len(), 1);
    })
    .unwrap();
}

#[test]
fn a_template_that_does_not_parse_is_the_only_complaint() {
    let files = edited("build-base.yaml", "Resources:\n", "Resources: [\n");
    let (report, mutation) =
        with(&files, &config_of(&files), &**expander(), |proof| (proof.report(), proof.mutate())).unwrap();
    let all = complaints(&report);
    let line = line_of(&files, "build-base.yaml", "    Type: AWS::KMS::Key");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with(&format!("cfn/build-base.yaml:{line}: ")) && all[0].len() > 40, "{all:?}");
    assert!(report.checked.is_empty() && mutation.mutants.is_empty() && !report.holds());
}

#[test]
fn what_stacks_toml_gets_wrong_has_its_line_there() {
    let files = edited("stacks.toml", "build-base.BucketName", "build-base.BucketNam");
    let line = line_of(&files, "stacks.toml", "BucketName = { output = \"build-base.BucketNam\" }");
    let all = read(&files);
    let wanted = format!("cfn/stacks.toml:{line}: parameter BucketName of target-roles@dev");
    assert!(all.iter().any(|one| one.starts_with(&wanted)), "{wanted}: {all:?}");
    let files = edited("stacks.toml", "template = \"app.yaml\"", "template = \"ap.yaml\"");
    let line = line_of(&files, "stacks.toml", "template = \"ap.yaml\"");
    let wanted = format!("cfn/stacks.toml:{line}: there is no template cfn/ap.yaml");
    assert_eq!(read(&files), [wanted]);
}

#[test]
fn a_row_for_a_target_that_is_not_there_and_a_deployment_by_nobody_have_their_line() {
    let files = edited("access-matrix.toml", "env = \"dev\"", "env = \"devv\"");
    let line = line_of(&files, "access-matrix.toml", "env = \"devv\"");
    let wanted = format!(
        "cfn/access-matrix.toml:{line}: row A14b: there is no target account `devv`; did you mean `dev`?"
    );
    assert_eq!(read(&files), [wanted]);
    let files =
        edited("access-matrix.toml", "role = \"target-roles.ExecutionRole\"", "role = \"target-roles.Exec\"");
    let line = line_of(&files, "access-matrix.toml", "role = \"target-roles.Exec\"");
    let wanted = format!("cfn/access-matrix.toml:{line}: no template has the role `target-roles.Exec`");
    let all = read(&files);
    assert!(all.iter().any(|one| one.starts_with(&wanted)), "{all:?}");
}

#[test]
fn without_isolated_stacks_the_rows_about_them_are_not_asked_and_nothing_fails() {
    let files = edited("stacks.toml", "IsolatedStacks = true", "IsolatedStacks = false");
    // Mutants of what the templates mean take minutes: `slips.rs` makes them in this setting, too.
    let (report, mutation) = with(&files, &config_of(&files), &**expander(), |proof| {
        (proof.report(), mutate::run(proof.worlds, &proof.asked))
    })
    .unwrap();
    assert_eq!(complaints(&report), Vec::<String>::new());
    let failed: Vec<&rows::Checked> = report.checked.iter().filter(|one| !one.holds).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.sufficiency.missing.is_empty());
    assert!(report.checked.iter().any(|one| one.id == "A14b"), "the test role still becomes the API client");
    assert!(!report.checked.iter().any(|one| one.who.starts_with("IsolatedExecutionRole")));
    assert_eq!(mutation.problems, []);
    let typo = edited(
        "access-matrix.toml",
        "only_with = \"target-roles.Isolated",
        "only_with = \"target-roles.Issolated",
    );
    let all = read(&typo);
    assert!(all.iter().any(|one| one.contains("no template has `target-roles.Issolated")), "{all:?}");
}

#[test]
fn a_right_that_one_handler_needs_is_missed() {
    let dropped = |action: &str| edited("target-roles.yaml", &format!("                  - {action}\n"), "");
    let mut table: Vec<(Files, &str, &str)> = [
        ("codedeploy:CreateDeployment", "AWS::Lambda::Alias"),
        ("codedeploy:GetDeployment", "AWS::Lambda::Alias"),
        ("codedeploy:RegisterApplicationRevision", "AWS::Lambda::Alias"),
        ("dynamodb:UpdateContinuousBackups", "AWS::DynamoDB::Table"),
        ("dynamodb:TagResource", "AWS::DynamoDB::Table"),
        ("lambda:TagResource", "AWS::Lambda::Function"),
        ("logs:TagResource", "AWS::Logs::LogGroup"),
        ("cloudwatch:TagResource", "AWS::CloudWatch::Alarm"),
    ]
    .map(|(action, kind)| (dropped(action), action, kind))
    .into();
    let pass = "              - Sid: PassApplicationRoles\n                Effect: Allow\n                Action: iam:PassRole";
    let without = pass.replace("iam:PassRole", "iam:GetRole");
    for kind in ["AWS::Lambda::Function", "AWS::CodeDeploy::DeploymentGroup"] {
        table.push((edited("target-roles.yaml", pass, &without), "iam:PassRole", kind));
    }
    for (files, action, kind) in table {
        let missing = missing(&files);
        let found = missing.iter().any(|one| {
            one.action == action && one.resource.contains(kind) && one.who.starts_with("ExecutionRole (")
        });
        assert!(found, "{action} of {kind}: {missing:?}");
    }
}
