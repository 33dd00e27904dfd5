//! What a change newly allows, wherever it is written; and the list of differences with the other evaluator.

use super::*;
use causeway_testing::expander;

fn shifts(old: &Files, new: &Files) -> Vec<compare::Shift> {
    with(new, &config_of(new), &**expander(), |new| {
        with(old, &config_of(old), &**expander(), |old| new.compare(old)).unwrap()
    })
    .unwrap()
}

#[test]
fn what_a_group_may_newly_do_is_told() {
    let wide = edited(
        "pipeline.yaml",
        "              - codepipeline:GetPipeline\n",
        "              - codepipeline:*\n",
    );
    let all = shifts(&files(), &wide);
    let one = all.iter().find(|one| one.widened && one.who == "approver").unwrap();
    assert!(!one.made_up, "a group of a template: {one:?}");
    assert!(one.actions.contains(&"codepipeline:UpdatePipeline".to_owned()), "{one:?}");
    assert!(one.by.contains("ApproverPolicy.SeePipeline") && one.setting.is_empty(), "{one:?}");
    let back = shifts(&wide, &files());
    assert!(back.iter().any(|one| !one.widened && one.who == "approver"), "{back:?}");
}

#[test]
fn a_group_that_the_matrix_does_not_name_is_asked_too() {
    let group = "  Admins:\n    Type: AWS::IAM::Group\n    Properties:\n      ManagedPolicyArns:\n        - !Ref ApproverPolicy\n\n  ApprovalTopic:\n";
    let all = shifts(&files(), &edited("pipeline.yaml", "  ApprovalTopic:\n", group));
    let approves = |one: &&compare::Shift| one.actions.contains(&"codepipeline:PutApprovalResult".to_owned());
    let one = all.iter().find(approves).unwrap();
    assert!(one.widened && one.who == "Admins", "{one:?}");
}

#[test]
fn a_wider_boundary_is_told() {
    let at = "            Action: codedeploy:PutLifecycleEventHookExecutionStatus";
    let wide = |action: &str| {
        format!(
            "            Action: '{action}'\n            Resource: '*'\n          - Sid: More\n            Effect: Allow\n{at}"
        )
    };
    // `*` of a boundary is bounded by nothing but denials of its own.
    let all = shifts(&files(), &edited("target-roles.yaml", at, &wide("iam:*")));
    let one = all.iter().find(|one| one.widened && one.who == "star (prod)").unwrap();
    assert!(one.made_up, "no template has it: {one:?}");
    assert!(one.actions.iter().any(|action| action.starts_with("iam:")), "{one:?}");
    let all = shifts(&files(), &edited("target-roles.yaml", at, &wide("kms:*")));
    assert!(
        all.iter().any(|one| one.widened && one.who == "star (dev)"),
        "a service that no row asks about: {all:?}"
    );
}

#[test]
fn a_statement_gone_from_the_organization_is_told_with_its_setting() {
    let mut fewer = files();
    let mut policy: Value = serde_json::from_str(&fewer["scp-release.json"]).unwrap();
    policy["Statement"].as_array_mut().unwrap().retain(|one| one["Sid"] != "OnlyApproversApprove");
    fewer.insert("scp-release.json".to_owned(), policy.to_string());
    let all = shifts(&files(), &fewer);
    let one = all.iter().find(|one| one.who == "build-admin (build)").unwrap();
    assert!(one.widened && one.setting == "scp", "{one:?}");
    assert!(one.actions.contains(&"codepipeline:PutApprovalResult".to_owned()), "{one:?}");
    assert!(one.by.contains("no longer denied by") && one.by.contains("OnlyApproversApprove"), "{one:?}");
    assert!(one.sentence().contains(", in the setting `scp` — "), "{}", one.sentence());
    // And one that shuts out more than it did.
    let other = edited(
        "build-base.yaml",
        "aws:PrincipalOrgID: !Ref OrganizationId",
        "aws:PrincipalOrgID: o-zzzzzzzzzz",
    );
    let all = shifts(&files(), &other);
    let one = all.iter().find(|one| one.who == "ActionRole (prod)").unwrap();
    assert!(!one.widened && one.setting == "organization", "{one:?}");
    assert!(one.by.contains("ArtifactBucketPolicy.OrganizationOnly"), "{one:?}");
}

#[test]
fn what_the_organization_changes_for_everybody_is_told_once() {
    let mut fewer = files();
    let mut policy: Value = serde_json::from_str(&fewer["scp-names.json"]).unwrap();
    policy["Statement"].as_array_mut().unwrap().retain(|one| one["Sid"] != "OnlyBootstrapMakesTheseRoles");
    fewer.insert("scp-names.json".to_owned(), policy.to_string());
    let all = shifts(&files(), &fewer);
    let people: std::collections::BTreeSet<&str> = all.iter().map(|one| one.who.as_str()).collect();
    assert!(people.len() > 10, "{people:?}");
    let told = compare::sentences(&all);
    assert!(told.len() <= 3, "{told:#?}");
    let (widened, first) = &told[0];
    assert!(*widened && first.starts_with("build-admin (build), "), "{first}");
    assert!(
        first.contains(" more may now iam: ") && first.contains("OnlyBootstrapMakesTheseRoles"),
        "{first}"
    );
    // Two who may do different things have a sentence each.
    let [mut one, mut other] = [all[0].clone(), all[0].clone()];
    one.who = "a".to_owned();
    other.who = "b".to_owned();
    assert_eq!(compare::sentences(&[one.clone(), other.clone()]).len(), 1);
    other.actions = vec!["iam:GetRole".to_owned()];
    assert_eq!(compare::sentences(&[one, other]).len(), 2);
}

#[test]
fn what_cannot_be_read_in_the_other_version_is_known() {
    let broken = edited("pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Ref ConectionArn");
    let unread = with(&broken, &config_of(&broken), &**expander(), |proof| proof.unread()).unwrap();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert!(unread[0].file == "cfn/pipeline.yaml" && unread[0].line > 1);
    // A row of a newer matrix that names what is not there yet is no such thing.
    let newer = edited("access-matrix.toml", "\"target-roles.ActionRole\"", "\"target-roles.NewRole\"");
    assert_eq!(with(&newer, &config_of(&newer), &**expander(), |proof| proof.unread()).unwrap(), []);
}
