//! A plan in a file: what is in it, that it is applied as it was shown, and that it is refused once anything moved.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::Project;
use serde_json::{Value, json};

use crate::stack_states::standing;
use crate::stub_stacks::Aws;

const ROLES: &str = "causeway-target-roles";

/// A template and a parameter of the stacks of roles are changed, and what CloudFormation says of that.
fn changed(project: &Project, aws: &Aws) {
    project.edit("cfn/target-roles.yaml", "What the pipeline becomes in", "What the pipeline is in");
    aws.cloud().changes = vec!["<member><Type>Resource</Type><ResourceChange><Action>Modify</Action><LogicalResourceId>ActionRole</LogicalResourceId><ResourceType>AWS::IAM::Role</ResourceType><Replacement>Conditional</Replacement></ResourceChange></member>".to_owned()];
}

/// The kept plan.
fn plan(project: &Project) -> Value {
    serde_json::from_str(&std::fs::read_to_string(project.path().join("plan.json")).unwrap()).unwrap()
}

#[test]
fn a_kept_plan_has_names_and_digests_and_is_applied_once() {
    let (project, aws) = standing();
    changed(&project, &aws);
    let made = project.run(&["bootstrap", "--plan-file", "plan.json"]);
    assert_eq!((made.code, made.result()["verdict"].as_str()), (0, Some("changes")), "{}", made.error());
    assert_eq!(made.result()["data"]["plan_file"], "plan.json");
    let asked = aws.asked();
    assert!(!asked.iter().any(|one| one.contains("Execute")), "{asked:?}");
    // The plan shows what changes of the role, in words of the template.
    let shown = made.of_type("plan").next().unwrap();
    let change = &shown["waves"][1][0]["changes"][0];
    assert_eq!((&change["logical_id"], &change["may_replace"]), (&json!("ActionRole"), &json!(true)));
    let property = &change["properties"][0];
    assert_eq!(property["path"], "Description", "{change}");
    assert!(property["before"].as_str().unwrap().contains("What the pipeline becomes in"), "{change}");
    assert!(property["after"].as_str().unwrap().contains("What the pipeline is in"), "{change}");
    // Values of parameters are in neither.
    let text = plan(&project).to_string();
    for value in ["arn:aws:kms", "causeway-bucket", "example/causeway", "111111111111:", "main"] {
        assert!(!text.contains(value), "{value}: {text}");
    }
    let entry = plan(&project)["stacks"][1].clone();
    assert_eq!(
        json!([entry["account"], entry["account_id"], entry["stack"], entry["state"], entry["action"]]),
        json!(["dev", "222222222222", ROLES, "CREATE_COMPLETE", "update"])
    );
    assert_eq!(entry["parameters"].as_str().unwrap().len(), 64);
    // Another file of the same plan has other digests.
    let first = plan(&project);
    assert_eq!(project.run(&["bootstrap", "--plan-file", "plan.json"]).code, 0);
    assert_ne!(plan(&project)["stacks"][1]["template"], first["stacks"][1]["template"]);
    let applied = project.run(&["bootstrap", "--apply", "plan.json", "--yes"]);
    assert_eq!(
        (applied.code, applied.result()["verdict"].as_str()),
        (0, Some("done")),
        "{}",
        applied.error()
    );
    assert_eq!(
        applied.result()["changed"],
        json!(["dev/causeway-target-roles", "prod/causeway-target-roles"])
    );
    // It was applied: now it is no plan any more.
    let again = project.run(&["bootstrap", "--apply", "plan.json", "--yes"]);
    assert_eq!(again.code, 6, "{}", again.error());
}

#[test]
fn a_kept_plan_is_refused_once_anything_moved() {
    let (project, aws) = standing();
    changed(&project, &aws);
    let plan_anew = || assert_eq!(project.run(&["bootstrap", "--plan-file", "plan.json"]).code, 0);
    let refused = |said: &str| {
        aws.asked();
        let ended = project.run(&["bootstrap", "--apply", "plan.json", "--yes"]);
        assert_eq!((ended.code, ended.result()["verdict"].as_str()), (6, Some("stuck")), "{said}");
        assert!(ended.error().contains(said), "{said}: {}", ended.error());
        assert_eq!(ended.result()["changed"], json!([]), "{said}");
        let asked = aws.asked();
        assert!(
            !asked.iter().any(|one| one.contains(" Execute") || one.contains("Protection")),
            "{said}: {asked:?}"
        );
    };
    plan_anew();
    project.edit("cfn/target-roles.yaml", "What the pipeline is in", "What the pipeline will be in");
    refused("dev/causeway-target-roles: the template is another one");
    plan_anew();
    project.edit("cfn/stacks.toml", "branch = \"main\"", "branch = \"next\"");
    refused("build/causeway-pipeline: a parameter's value is another one");
    plan_anew();
    aws.with("dev", ROLES, |stack| stack.status = "UPDATE_ROLLBACK_FAILED".to_owned());
    refused("dev/causeway-target-roles: its state is UPDATE_ROLLBACK_FAILED, and was CREATE_COMPLETE");
    aws.with("dev", ROLES, |stack| stack.status = "CREATE_COMPLETE".to_owned());
    plan_anew();
    aws.with("prod", ROLES, |stack| stack.protected = false);
    refused("prod/causeway-target-roles: the stack itself");
    plan_anew();
    aws.with("build", "causeway-build-base", |stack| {
        stack.tags.insert("cost-center".to_owned(), "4711".to_owned());
    });
    refused("build/causeway-build-base: the stack itself");
    plan_anew();
    let other = plan(&project).to_string().replace("222222222222", "444444444444");
    std::fs::write(project.path().join("plan.json"), other).unwrap();
    refused("dev/causeway-target-roles: the account is 222222222222, and was 444444444444");
    // What is none is said before anybody is asked anything.
    for (text, why) in [(None, "no such file"), (Some("{}"), "missing field"), (Some("{\"v\":"), "EOF")] {
        match text {
            Some(text) => std::fs::write(project.path().join("plan.json"), text).unwrap(),
            None => std::fs::remove_file(project.path().join("plan.json")).unwrap(),
        }
        aws.asked();
        let ended = project.run(&["bootstrap", "--apply", "plan.json", "--yes"]);
        assert_eq!((ended.code, aws.asked().len()), (2, 0), "{}", ended.error());
        assert!(ended.error().contains(why), "{}", ended.error());
    }
    let both = project.run(&["bootstrap", "--apply", "plan.json", "--plan-file", "plan.json"]);
    assert_eq!(both.code, 2);
}
