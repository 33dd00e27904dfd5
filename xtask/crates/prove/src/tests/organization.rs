//! The organization's policies follow the project's name, and every policy fits with the longest names.

use super::*;
use causeway_iam::{Limit, size};

/// The names that a project may have at the most, and the longest region of a partition with a long name.
fn longest() -> Files {
    let mut files = named("project-of-twenty-ch");
    let text = &files["stacks.toml"];
    let text = text
        .replace("eu-central-1", "us-gov-west-1")
        .replace("dev = {", "developing = {")
        .replace("prod = {", "production = {")
        .replace("overrides.dev]", "overrides.developing]")
        .replace("overrides.prod]", "overrides.production]")
        .replace("account = \"dev\"", "account = \"developing\"")
        .replace("account = \"prod\"", "account = \"production\"");
    files.insert("stacks.toml".to_owned(), text);
    let matrix = files["access-matrix.toml"].replace("env = \"dev\"", "env = \"developing\"");
    files.insert("access-matrix.toml".to_owned(), matrix);
    files
}

fn named(project: &str) -> Files {
    edited("stacks.toml", "project = \"causeway\"", &format!("project = \"{project}\""))
}

#[test]
fn a_project_of_any_name_proves_without_an_edit() {
    for project in ["acme", "project-of-twenty-ch"] {
        let report = report(&named(project));
        assert_eq!(complaints(&report), Vec::<String>::new(), "{project}");
        let failed: Vec<&rows::Checked> = report.checked.iter().filter(|one| !one.holds).collect();
        assert!(failed.is_empty(), "{project}: {failed:#?}");
        assert!(report.sufficiency.missing.is_empty(), "{project}: {:#?}", report.sufficiency.missing);
    }
}

#[test]
fn every_policy_fits_its_quota_with_the_longest_names() {
    let files = longest();
    with(&files, &config_of(&files), &**expander(), |proof| {
        // Inline, managed, trust, bucket, key and topic policies are measured where they are read.
        let everything = World::build(proof.worlds.ground, &matrix::Variant::default(), None, true);
        let over = |all: &[Problem]| -> Vec<String> {
            all.iter()
                .map(Problem::to_string)
                .filter(|text| text.contains(" characters, AWS takes "))
                .collect()
        };
        assert_eq!(over(&everything.problems), Vec::<String>::new());
        assert_eq!(over(&proof.worlds.problems()), Vec::<String>::new());
        assert!(everything.roles.len() > 20 && everything.managed.len() > 6);
        for (policies, _) in [proof.bootstrap_policies(), proof.leaving_policies()] {
            for (account, policy) in policies {
                assert!(size(&policy) <= Limit::INLINE.most, "{account}: {}", size(&policy));
            }
        }
        let organization = proof.organization_policies();
        // FullAWSAccess takes the fifth place ("Quotas for AWS Organizations").
        assert!((1..=4).contains(&organization.len()), "{:?}", organization.keys());
        for (name, policy) in &organization {
            assert!(size(policy) <= Limit::SCP.most, "{name}: {}", size(policy));
        }
    })
    .unwrap();
}

#[test]
fn the_policies_that_are_written_name_the_project_and_hold_no_placeholder() {
    let files = named("acme");
    let all = with(&files, &config_of(&files), &**expander(), |proof| proof.organization_policies()).unwrap();
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["scp-artifacts.json", "scp-names.json", "scp-release.json"]);
    for (name, policy) in &all {
        let text = policy.to_string();
        assert!(
            text.contains("acme-bootstrap") && !text.contains("{project}") && !text.contains("causeway"),
            "{name}"
        );
    }
}

#[test]
fn a_right_that_a_service_needs_is_missed_with_its_source() {
    for action in
        ["s3:PutObjectAcl", "s3:PutObjectTagging", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"]
    {
        let report = report(&edited("pipeline.yaml", &format!("                  - {action}\n"), ""));
        let row = report.checked.iter().find(|one| !one.holds).unwrap();
        assert_eq!((row.id.as_str(), row.action.as_str()), ("A5f", action));
        assert!(row.source.as_ref().unwrap().contains("13557"), "{row:?}");
    }
}

#[test]
fn whoever_is_exempted_by_name_cannot_be_made() {
    // Every name that a statement exempts is one that another statement keeps people from making, trusting and tagging.
    let files = files();
    with(&files, &config_of(&files), &**expander(), |proof| {
        let world = proof.worlds.get("scp", "").unwrap();
        let statements: Vec<_> = world.scps.iter().flatten().collect();
        let mut exempted = BTreeSet::new();
        for statement in &statements {
            for condition in statement.raw.conditions.iter().filter(|one| one.operator == "ArnNotLike") {
                exempted.extend(condition.values.iter().cloned());
            }
        }
        assert!(exempted.len() > 8, "{exempted:?}");
        for name in exempted.iter().filter(|name| !name.contains("role/aws-reserved/sso.amazonaws.com/")) {
            assert!(name.contains(":role/"), "{name} is no role");
            for action in ["iam:CreateRole", "iam:UpdateAssumeRolePolicy", "iam:TagRole"] {
                let example = name.replace('*', "x");
                let held = statements.iter().any(|statement| {
                    statement.raw.actions.all.iter().any(|one| one == action)
                        && statement.raw.resources.as_ref().is_some_and(|on| {
                            on.all.iter().any(|on| iam_rs::Arn::wildcard_match(&example, on))
                        })
                });
                assert!(held, "{action} on {name}");
            }
        }
    })
    .unwrap();
}

#[test]
fn isolated_stacks_may_have_an_account_of_their_own() {
    // A target without a stage of the pipeline; dev has none of them then.
    let mut files = edited(
        "stacks.toml",
        "dev = { id = \"222222222222\" }",
        "dev = { id = \"222222222222\" }\nsandbox = { id = \"444444444444\" }",
    );
    let text = files["stacks.toml"]
        .replace("[stacks.overrides.dev]\nIsolated", "[stacks.overrides.sandbox]\nIsolated");
    assert_ne!(text, files["stacks.toml"]);
    files.insert("stacks.toml".to_owned(), text);
    let config = config_of(&files);
    assert!(
        config.is_released_to("dev") && !config.is_released_to("sandbox") && !config.is_released_to("build")
    );
    let report = report(&files);
    assert_eq!(complaints(&report), Vec::<String>::new());
    let failed: Vec<&rows::Checked> = report.checked.iter().filter(|one| !one.holds).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.sufficiency.missing.is_empty(), "{:#?}", report.sufficiency.missing);
    let asked = |who: &str| report.checked.iter().any(|one| one.who == who);
    assert!(asked("IsolatedExecutionRole (sandbox)") && !asked("IsolatedExecutionRole (dev)"));
}
