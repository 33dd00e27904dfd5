//! `prove` as a command: exit codes, the numbers of its result, what it writes, what it says of a change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::{Ended, Project};
use serde_json::Value;

fn data(ended: &Ended) -> &Value {
    &ended.result()["data"]
}

fn number(ended: &Ended, key: &str) -> u64 {
    data(ended)[key].as_u64().unwrap()
}

#[test]
fn every_row_holds_and_nearly_every_mutant_is_caught() {
    let ended = Project::new().run(&["prove", "--mutate"]);
    assert_eq!(ended.code, 0, "{}", ended.error());
    assert!(number(&ended, "rows") > 200 && number(&ended, "failed") == 0);
    let (mutants, caught) = (number(&ended, "mutants"), number(&ended, "caught"));
    assert!(mutants >= 150 && caught * 100 >= mutants * 95, "{caught} of {mutants}");
    assert_eq!(data(&ended)["problems"], serde_json::json!([]));
}

#[test]
fn a_decrypt_taken_away_names_role_action_key_and_line() {
    let project = Project::new();
    project.edit(
        "cfn/target-roles.yaml",
        "- Sid: DecryptPackagesThroughS3\n                Effect: Allow\n                Action: kms:Decrypt",
        "- Sid: DecryptPackagesThroughS3\n                Effect: Allow\n                Action: kms:DescribeKey",
    );
    let ended = project.run(&["prove"]);
    assert_eq!(ended.code, 1);
    let failed = ended.of_type("warning").map(|line| line["message"].as_str().unwrap()).find(|text| {
        text.contains("ExecutionRole (prod) kms:Decrypt on arn:aws:kms:") && text.starts_with("row ")
    });
    assert!(failed.unwrap().contains("cfn/target-roles.yaml:"), "{failed:?}");
    let rows = number(&ended, "failed");
    assert!(rows > 0 && rows < 20, "rows alone are counted: {rows}");
    assert!(!data(&ended)["missing"].as_array().unwrap().is_empty());
}

#[test]
fn a_build_role_that_may_do_everything_with_pipelines_fails_at_that_line() {
    let project = Project::new();
    let wide = "- Sid: Wide\n                Effect: Allow\n                Action: codepipeline:*\n                Resource: '*'\n              ";
    project.edit("cfn/pipeline.yaml", "- Sid: WriteBuildOutput", &format!("{wide}- Sid: WriteBuildOutput"));
    let text = std::fs::read_to_string(project.path().join("cfn/pipeline.yaml")).unwrap();
    let line = text[..text.find("- Sid: Wide").unwrap()].matches('\n').count() + 1;
    let ended = project.run(&["prove"]);
    assert_eq!(ended.code, 1);
    let results = data(&ended)["results"].as_array().unwrap();
    let row = results.iter().find(|one| one["says"] == "build job approves prod" && one["holds"] == false);
    assert_eq!(row.unwrap()["by"], format!("cfn/pipeline.yaml:{line} BuildRole.Wide"));
}

#[test]
fn a_log_delivery_taken_away_is_insufficient_and_fails_no_further_rows() {
    let project = Project::new();
    project.edit("cfn/target-roles.yaml", "                  - logs:CreateLogDelivery\n", "");
    let ended = project.run(&["prove"]);
    assert_eq!(ended.code, 1);
    let missing = data(&ended)["missing"].as_array().unwrap();
    assert!(missing.iter().any(|one| one["action"] == "logs:CreateLogDelivery"), "{missing:?}");
}

#[test]
fn what_cannot_be_read_fails_without_a_failed_row() {
    let project = Project::new();
    project.edit("cfn/pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Reff ConnectionArn");
    let ended = project.run(&["prove"]);
    assert_eq!(ended.code, 1);
    assert!(ended.error().contains("cfn/pipeline.yaml:"), "{}", ended.error());
    let problems = data(&ended)["problems"].as_array().unwrap();
    assert!(problems.iter().any(|one| one["message"].as_str().unwrap().contains("Fn::Reff")));
}

#[test]
fn the_policies_of_bootstrap_are_written_one_an_account_and_all_of_them_as_one() {
    let project = Project::new();
    let ended = project.run(&["prove", "--bootstrap-policies", "policies"]);
    assert_eq!(ended.code, 0, "{}", ended.error());
    for account in ["build", "dev", "prod"] {
        for of in ["bootstrap", "destroy"] {
            let path = project.path().join(format!("policies/{of}-{account}.json"));
            let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert!(policy["Statement"].as_array().unwrap().len() > 3, "{of} {account}");
        }
    }
    for name in ["scp-names.json", "scp-release.json", "scp-artifacts.json"] {
        let text = std::fs::read_to_string(project.path().join("policies").join(name)).unwrap();
        assert!(text.len() <= 5_120 && !text.contains(['\n', ' ']), "{name}: {}", text.len());
    }
    assert_eq!(ended.result()["changed"].as_array().unwrap().len(), 11);
    // Each action of an account is allowed on each of its resources, under its conditions, in the one for a permission set.
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    for of in ["bootstrap", "destroy"] {
        let read = |name: &str| std::fs::read_to_string(project.path().join("policies").join(name)).unwrap();
        let text = read(&format!("{of}.json"));
        assert!(text.len() <= 32_768 && !text.contains('\n'), "{of}: {} characters", text.len());
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut asked = 0;
        for account in ["build", "dev", "prod"] {
            let policy: Value = serde_json::from_str(&read(&format!("{of}-{account}.json"))).unwrap();
            for statement in policy["Statement"].as_array().unwrap() {
                let among = |other: &&Value| {
                    let has = |key: &str| {
                        let own = list(&other[key]);
                        list(&statement[key]).iter().all(|one| own.contains(one))
                    };
                    other["Condition"] == statement["Condition"] && has("Action") && has("Resource")
                };
                assert!(whole["Statement"].as_array().unwrap().iter().any(|one| among(&one)), "{statement}");
                asked += 1;
            }
        }
        assert!(asked > 9, "{of}: {asked}");
    }
    // As text, what was written is listed, and nothing else.
    let output = project.command(&["prove", "--bootstrap-policies", "policies"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<&str> = listed.lines().collect();
    rows.sort_unstable();
    let changed = ended.result()["changed"].clone();
    let mut changed: Vec<&str> =
        changed.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    changed.sort_unstable();
    assert_eq!(rows, changed);
}

#[test]
fn a_project_of_another_name_proves_and_has_policies_of_its_own() {
    for name in ["acme", "project-of-twenty-ch"] {
        let project = Project::new();
        project.edit("cfn/stacks.toml", "project = \"causeway\"", &format!("project = \"{name}\""));
        let ended = project.run(&["prove", "--bootstrap-policies", "policies"]);
        assert_eq!((ended.code, number(&ended, "failed")), (0, 0), "{name}: {}", ended.error());
        let text = std::fs::read_to_string(project.path().join("policies/scp-release.json")).unwrap();
        assert!(text.contains(&format!("arn:*:codepipeline:*:*:{name}/*")), "{text}");
        assert!(!text.contains("causeway") && !text.contains("{project}"), "{text}");
    }
}

#[test]
fn without_the_right_to_set_an_acl_the_source_of_its_row_is_named() {
    let project = Project::new();
    project.edit("cfn/pipeline.yaml", "                  - s3:PutObjectAcl\n", "");
    let ended = project.run(&["prove"]);
    assert_eq!(ended.code, 1);
    for word in
        ["row A5f", "s3:PutObjectAcl", "source: aws-cdk issues 13557", "codepipeline-access-denied-errors"]
    {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
}

#[test]
fn isolated_stacks_in_a_protected_account_are_refused_with_file_and_line() {
    let project = Project::new();
    project.edit("cfn/stacks.toml", "Approval = true ", "IsolatedStacks = true # ");
    let text = std::fs::read_to_string(project.path().join("cfn/stacks.toml")).unwrap();
    let line = text[..text.find("IsolatedStacks = true # ").unwrap()].matches('\n').count() + 1;
    let ended = project.run(&["prove"]);
    assert_ne!(ended.code, 0);
    let said = ended.error();
    assert!(said.contains("cfn/stacks.toml") && said.contains(&format!("line {line}")), "{said}");
    assert!(said.contains("prod is protected"), "{said}");
}

#[test]
fn a_change_is_told_and_fails_only_where_that_is_wished() {
    let project = Project::clone_of_repository();
    let same = project.run(&["prove", "--diff", "HEAD", "--fail-on-widening"]);
    assert_eq!((same.code, &data(&same)["diff"]), (0, &serde_json::json!([])), "{}", same.error());
    project.edit(
        "cfn/pipeline.yaml",
        "                  - codebuild:StopBuild\n",
        "                  - codebuild:StopBuild\n                  - codebuild:RetryBuild\n",
    );
    let told = project.run(&["prove", "--diff", "HEAD"]);
    assert_eq!(told.code, 0, "{}", told.error());
    let first = &data(&told)["diff"][0];
    assert_eq!((&first["widened"], &first["who"]), (&true.into(), &"PipelineRole (build)".into()), "{first}");
    assert_eq!(first["actions"], serde_json::json!(["codebuild:RetryBuild"]));
    let refused = project.run(&["prove", "--diff", "HEAD", "--fail-on-widening"]);
    assert_eq!(refused.code, 1);
    assert!(refused.error().contains("permissions are added"), "{}", refused.error());
    let unknown = project.run(&["prove", "--diff", "no-such-revision"]);
    assert_eq!(unknown.code, 2, "{}", unknown.error());
}

#[test]
fn a_revision_that_cannot_be_read_is_no_base_of_comparison() {
    let project = Project::clone_of_repository();
    project.edit("cfn/pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Ref ConectionArn");
    project.commit();
    project.edit("cfn/pipeline.yaml", "Resource: !Ref ConectionArn", "Resource: !Ref ConnectionArn");
    let ended = project.run(&["prove", "--diff", "HEAD", "--fail-on-widening"]);
    assert_eq!(ended.code, 2, "{}", ended.error());
    assert!(
        ended.error().contains("cfn/pipeline.yaml line ") && ended.error().contains("at HEAD"),
        "{}",
        ended.error()
    );
}
