//! What `bootstrap` and `doctor` do with stacks in every state, also those that no local cloud comes into: answers are written for it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::{Ended, Project};
use serde_json::{Value, json};

use crate::stub_stacks::{Aws, Stack, refused};

const BASE: &str = "causeway-build-base";
const ROLES: &str = "causeway-target-roles";

/// A project whose stacks stand.
pub(crate) fn standing() -> (Project, Aws) {
    let mut project = Project::new();
    let aws = Aws::start(&mut project);
    let first = project.run(&["bootstrap", "--yes"]);
    assert_eq!(first.code, 0, "{}", first.error());
    aws.asked();
    (project, aws)
}

/// States that were met, and what was done.
fn met(ended: &Ended) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = ended.result()["data"]["met"].as_array().unwrap();
    all.iter().map(|one| (text(&one["state"]), text(&one["did"]))).collect()
}

fn pair(state: &str, did: &str) -> (String, String) {
    (state.to_owned(), did.to_owned())
}

/// How often something was asked of a stack of the build account.
fn count(asked: &[String], action: &str) -> usize {
    asked.iter().filter(|one| **one == format!("build {action} {BASE}")).count()
}

#[test]
fn a_rollback_that_stops_again_is_continued_without_what_is_in_its_way() {
    let (project, aws) = standing();
    let stuck = |stack: &mut Stack| {
        stack.status = "UPDATE_ROLLBACK_FAILED".to_owned();
        stack.resources[0].2 = "UPDATE_FAILED".to_owned();
    };
    // Once is enough.
    aws.with("build", BASE, stuck);
    let once = project.run(&["bootstrap", "--yes"]);
    assert_eq!(
        (once.code, met(&once)),
        (0, vec![pair("UPDATE_ROLLBACK_FAILED", "continued the rollback")]),
        "{}",
        once.error()
    );
    assert_eq!(count(&aws.asked(), "ContinueUpdateRollback"), 1);
    // It stops at the same place, until that is left out.
    aws.with("build", BASE, stuck);
    let first = aws.with("build", BASE, |stack| stack.resources[0].0.clone());
    let skipped = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&skipped);
    aws.rewrite(move |_, call| {
        if call.action != "ContinueUpdateRollback" {
            return None;
        }
        let skip: Vec<String> = call.list("ResourcesToSkip").into_iter().map(str::to_owned).collect();
        let stops = skip.is_empty();
        seen.lock().unwrap().push(skip);
        stops.then(|| (200, "<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/></ContinueUpdateRollbackResponse>".to_owned()))
    });
    let refusal = project.run(&["bootstrap"]);
    assert_eq!(refusal.code, 2, "nobody can be asked: {}", refusal.error());
    assert_eq!(count(&aws.asked(), "ContinueUpdateRollback"), 0);
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    assert_eq!(
        met(&done),
        [pair("UPDATE_ROLLBACK_FAILED", &format!("continued the rollback without {first}"))]
    );
    assert_eq!(*skipped.lock().unwrap(), [Vec::new(), vec![first]]);
    assert_eq!(aws.with("build", BASE, |stack| stack.status.clone()), "UPDATE_COMPLETE");
}

#[test]
fn what_a_failed_create_left_is_planned_to_go_and_its_data_is_asked_for_by_name() {
    for state in ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"] {
        let (project, aws) = standing();
        aws.with("build", BASE, |stack| stack.status = state.to_owned());
        let dry = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
        assert_eq!(dry.code, 3, "{}", dry.error());
        let plan = &dry.of_type("plan").next().unwrap()["waves"][0][0];
        assert_eq!((&plan["state"], &plan["action"]), (&json!(state), &json!("recreate")));
        let changes = plan["changes"].as_array().unwrap();
        assert!(!changes.is_empty());
        let words: &[&str] = match changes.iter().any(|one| one["op"] == "remove" && one["stateful"] == true)
        {
            true => {
                let refusal = project.run(&["bootstrap", "--yes"]);
                assert!(refusal.error().contains("--allow-data-loss"), "{}", refusal.error());
                assert_eq!(count(&aws.asked(), "DeleteStack"), 0);
                &["bootstrap", "--yes", "--allow-data-loss", BASE]
            }
            false => &["bootstrap", "--yes"],
        };
        let done = project.run(words);
        assert_eq!(
            (done.code, met(&done)),
            (0, vec![pair(state, "removed what a failed create left")]),
            "{}",
            done.error()
        );
        assert_eq!(aws.with("build", BASE, |stack| stack.status.clone()), "CREATE_COMPLETE");
    }
}

#[test]
fn after_waiting_for_another_run_the_new_state_is_looked_at() {
    for (before, after, code) in [
        ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", 0),
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", 0),
        ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", 0),
        ("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", 6),
        ("DELETE_IN_PROGRESS", "DELETE_FAILED", 6),
    ] {
        let (project, aws) = standing();
        aws.with("dev", ROLES, |stack| stack.status = before.to_owned());
        // Another run ends when it is asked for the third time how it goes.
        let mut looks = 0;
        aws.rewrite(move |cloud, call| {
            if (call.account, call.action.as_str(), call.stack()) == ("dev", "DescribeStacks", ROLES) {
                looks += 1;
                if looks == 3 {
                    let key = ("dev".to_owned(), ROLES.to_owned());
                    let stack = cloud.stacks.get_mut(&key).unwrap();
                    stack.status = after.to_owned();
                    // What it left holds data.
                    stack.resources.push((
                        "Kept".to_owned(),
                        "AWS::DynamoDB::Table".to_owned(),
                        "CREATE_COMPLETE".to_owned(),
                    ));
                }
            }
            None
        });
        let ended = project.run(&["bootstrap", "--yes"]);
        assert_eq!(ended.code, code, "{before} {after}: {}", ended.error());
        let all = met(&ended);
        assert_eq!(all[0], pair(before, "waited for the run at work"), "{after}");
        let asked = aws.asked();
        let made = asked.iter().filter(|one| **one == format!("dev CreateChangeSet {ROLES}")).count();
        assert_eq!(made, usize::from(code == 0), "{before} {after}: {asked:?}");
        match after {
            "UPDATE_ROLLBACK_FAILED" => assert_eq!(all[1], pair(after, "continued the rollback")),
            "ROLLBACK_COMPLETE" => {
                assert!(ended.error().contains("Kept (AWS::DynamoDB::Table)"), "{}", ended.error())
            }
            "DELETE_FAILED" => assert!(ended.error().contains("DELETE_FAILED"), "{}", ended.error()),
            _ => assert_eq!(all.len(), 1),
        }
        assert_eq!(asked.iter().filter(|one| one.contains("DeleteStack")).count(), 0, "{before} {after}");
    }
}

#[test]
fn what_nobody_can_do_anything_about_is_a_persons_decision() {
    let (project, aws) = standing();
    for state in ["DELETE_FAILED", "IMPORT_ROLLBACK_FAILED", "A_WORD_OF_TOMORROW"] {
        aws.with("build", BASE, |stack| stack.status = state.to_owned());
        let stuck = project.run(&["bootstrap", "--yes"]);
        assert_eq!((stuck.code, stuck.result()["verdict"].as_str()), (6, Some("stuck")), "{state}");
        assert!(stuck.error().contains(state), "{}", stuck.error());
        let asked = aws.asked();
        assert!(
            asked.iter().all(|one| one.contains(" Describe") || one.contains(" Get")),
            "{state}: {asked:?}"
        );
    }
}

#[test]
fn a_stack_that_was_only_planned_is_created_and_is_one_warning_of_doctor() {
    let (project, aws) = standing();
    let there = aws.with("dev", ROLES, |stack| {
        std::mem::replace(stack, Stack { status: "REVIEW_IN_PROGRESS".to_owned(), ..Stack::default() })
    });
    let doctor = project.run(&["doctor"]);
    let findings = doctor.result()["data"]["findings"].as_array().unwrap();
    let of: Vec<&Value> = findings.iter().filter(|one| one["id"] == "stack-dev-target-roles").collect();
    assert_eq!(of.len(), 1, "{of:?}");
    assert_eq!(of[0]["severity"], "warning", "{of:?}");
    let asked = aws.asked();
    assert!(!asked.contains(&format!("dev GetTemplate {ROLES}")), "{asked:?}");
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let now = aws.with("dev", ROLES, |stack| stack.clone());
    assert_eq!((now.status.as_str(), now.template), ("CREATE_COMPLETE", there.template));
}

#[test]
fn a_run_that_ends_at_its_last_step_keeps_what_it_met() {
    let (project, aws) = standing();
    let app = Stack {
        status: "CREATE_COMPLETE".to_owned(),
        template:
            "Metadata: {Causeway: {project: causeway, stack: app}}\nResources: {T: {Type: AWS::SNS::Topic}}"
                .to_owned(),
        ..Stack::default()
    };
    aws.cloud().stacks.insert(("prod".to_owned(), "causeway-app-prod".to_owned()), app);
    aws.with("build", BASE, |stack| stack.status = "UPDATE_ROLLBACK_FAILED".to_owned());
    aws.rewrite(|_, call| {
        (call.action == "UpdateTerminationProtection").then(|| refused(403, "AccessDenied", "not you"))
    });
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!(ended.code, 1, "{}", ended.error());
    assert_eq!(ended.result()["changed"], json!(["build/causeway-build-base"]));
    assert_eq!(met(&ended), [pair("UPDATE_ROLLBACK_FAILED", "continued the rollback")]);
    aws.as_it_is();
    let again = project.run(&["bootstrap", "--yes"]);
    assert_eq!((again.code, &again.result()["changed"]), (0, &json!(["prod/causeway-app-prod"])));
}
