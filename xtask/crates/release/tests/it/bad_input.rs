//! Input as large, as odd and as wrong as people have it, and what the deployer makes of it.

use std::fmt::Write as _;

use causeway_testing::Project;
use serde_json::json;

use crate::stack_states::standing;
use crate::stub_stacks::{ACCOUNTS, Aws, Stack};

const BASE: &str = "causeway-build-base";

/// A resource of its own for each number, as text of a template.
fn topics(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "  Topic{n}:\n    Type: AWS::SNS::Topic");
        text
    })
}

fn add_resources(project: &Project, text: &str) {
    project.edit("cfn/build-base.yaml", "\nResources:\n", &format!("\nResources:\n{text}"));
}

#[test]
fn two_profiles_of_one_account_are_told_apart_before_anything_is_changed() {
    let mut project = Project::new();
    let aws = Aws::start(&mut project);
    let path = project.path().join("credentials");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("AKIADEV", "AKIABUILD")).unwrap();
    for words in [&["bootstrap", "--yes"][..], &["destroy", "--confirm-delete", "causeway"]] {
        let ended = project.run(words);
        assert_eq!(ended.code, 4, "{}", ended.error());
        for part in
            ["causeway-dev leads to 111111111111, which is `build`", "222222222222", "nothing was changed"]
        {
            assert!(ended.error().contains(part), "{part}: {}", ended.error());
        }
        let asked = aws.asked();
        assert!(asked.iter().all(|one| one.contains("GetCallerIdentity")), "{asked:?}");
    }
    // Nor may the configuration give two of its accounts the same id.
    project.edit("cfn/stacks.toml", "222222222222", "111111111111");
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!((ended.code, aws.asked().len()), (2, 0), "{}", ended.error());
    assert!(ended.error().contains("`build` and `dev` have the same id"), "{}", ended.error());
}

#[test]
fn a_clock_that_is_off_by_an_hour_is_said_and_stops_nothing() {
    for (off, said) in [(3_600, "60 minutes behind"), (-3_600, "60 minutes ahead")] {
        let mut project = Project::new();
        let aws = Aws::start(&mut project);
        aws.cloud().clock = off;
        let ended = project.run(&["bootstrap", "--yes"]);
        assert_eq!(ended.code, 0, "{}", ended.error());
        let warnings: Vec<&str> =
            ended.of_type("warning").map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(warnings.iter().filter(|text| text.contains(said)).count(), 1, "{warnings:?}");
    }
}

#[test]
fn a_stack_of_five_hundred_resources_and_two_hundred_parameters_is_deployed_whole() {
    let (project, aws) = standing();
    aws.cloud().page = 7;
    add_resources(&project, &topics(480));
    let names: Vec<String> = (0..190).map(|n| format!("Own{n}")).collect();
    let declared: String = names.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "  {name}:\n    Type: String\n    NoEcho: true");
        text
    });
    project.edit("cfn/build-base.yaml", "\nParameters:\n", &format!("\nParameters:\n{declared}"));
    let given: String = names.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{name} = \"geheim-{name}\"");
        text
    });
    project.edit("cfn/stacks.toml", "TargetAccountIds = ", &format!("{given}TargetAccountIds = "));
    aws.cloud().changes = (0..500).map(|n| format!("<member><Type>Resource</Type><ResourceChange><Action>Add</Action><LogicalResourceId>Topic{n}</LogicalResourceId><ResourceType>AWS::SNS::Topic</ResourceType></ResourceChange></member>")).collect();
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let shown = &done.of_type("plan").next().unwrap()["waves"][0][0]["changes"];
    assert_eq!(shown.as_array().unwrap().len(), 500, "every page of a change set");
    let stack = aws.with("build", BASE, |stack| stack.clone());
    assert!(stack.resources.len() > 480 && stack.parameters.len() >= 194, "{}", stack.parameters.len());
    assert_eq!(stack.parameters["Own189"], "geheim-Own189");
    let text = done.lines.iter().map(ToString::to_string).collect::<String>() + &done.stderr;
    assert!(!text.contains("geheim"), "no value of a parameter is printed");
    aws.cloud().changes.clear();
    let again = project.run(&["bootstrap", "--yes"]);
    assert_eq!(again.result()["verdict"], "nothing-to-do", "{}", again.error());
}

#[test]
fn values_in_any_script_arrive_as_they_are_and_are_no_difference_afterwards() {
    let (project, aws) = standing();
    let value = "Grüße, 你好 🎉 + & <%> = ?\u{a0}Ende";
    project.edit(
        "cfn/build-base.yaml",
        "\nParameters:\n",
        "\nParameters:\n  Greeting:\n    Type: String\n    Description: Grüße an 東京\n",
    );
    project.edit(
        "cfn/stacks.toml",
        "TargetAccountIds = ",
        &format!("Greeting = \"{value}\"\nTargetAccountIds = "),
    );
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let stack = aws.with("build", BASE, |stack| stack.clone());
    assert_eq!(stack.parameters["Greeting"], value);
    assert!(stack.template.contains("Grüße an 東京"));
    aws.with("build", BASE, |stack| stack.tags.insert("Besitzer".to_owned(), "Jürgen Ω".to_owned()));
    let again = project.run(&["bootstrap", "--yes"]);
    assert_eq!(again.result()["verdict"], "nothing-to-do", "{}", again.error());
    let stacks = again.result()["data"]["stacks"].as_array().unwrap();
    let base = stacks.iter().find(|one| one["stack"] == BASE).unwrap();
    assert_eq!(base["tags"], json!({"Besitzer": "Jürgen Ω"}));
}

#[test]
fn a_template_of_a_megabyte_goes_through_the_bucket_and_a_larger_one_is_refused() {
    let (project, aws) = standing();
    // The stack that makes the bucket is the one that must fit into a request.
    let row = |n: usize| {
        format!(
            "  Big{n}:\n    Type: AWS::SNS::Topic\n    Properties:\n      DisplayName: {}\n",
            "x".repeat(2_000)
        )
    };
    let with = |count: usize| (0..count).map(row).collect::<String>();
    let add = |text: &str| {
        project.edit("cfn/target-roles.yaml", "\nResources:\n", &format!("\nResources:\n{text}"))
    };
    add(&with(470));
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let bytes = aws.with("dev", "causeway-target-roles", |stack| stack.template.len());
    assert!(bytes > 960_000, "{bytes}");
    let asked = aws.asked();
    assert!(asked.iter().any(|one| one.starts_with("build PUT /causeway-bucket/templates/")), "{asked:?}");
    add(&with(60).replace("Big", "More"));
    let refused = project.run(&["bootstrap", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.error());
    assert!(refused.error().contains("1048576"), "{}", refused.error());
    assert_eq!(aws.asked().iter().filter(|one| one.contains(" Execute")).count(), 0);
}

#[test]
fn every_page_of_every_list_is_read() {
    let (project, aws) = standing();
    aws.cloud().page = 1;
    // The last of the list is the one that counts.
    for n in 0..3 {
        let stack = Stack {
            status: "ROLLBACK_COMPLETE".to_owned(),
            resources: vec![
                ("A".into(), "AWS::SNS::Topic".into(), "DELETE_COMPLETE".into()),
                ("B".into(), "AWS::SNS::Topic".into(), "CREATE_COMPLETE".into()),
            ],
            ..Stack::default()
        };
        aws.cloud().stacks.insert(("dev".to_owned(), format!("causeway-isolated-z{n}")), stack);
    }
    let doctor = project.run(&["doctor"]);
    let findings = doctor.result()["data"]["findings"].as_array().unwrap();
    let dead = findings.iter().filter(|one| one["id"].as_str().unwrap().starts_with("stack-dev-isolated-z"));
    let dead: Vec<&str> = dead.map(|one| one["seen"].as_str().unwrap()).collect();
    assert_eq!(dead.len(), 3, "{}", doctor.error());
    assert!(dead.iter().all(|seen| seen.contains("it holds B (AWS::SNS::Topic)")), "{dead:?}");
    assert_eq!(ACCOUNTS.len(), 3);
    // A create that failed: what holds data in it stands on the last page.
    aws.with("build", BASE, |stack| {
        stack.status = "ROLLBACK_COMPLETE".to_owned();
        stack.resources = topics(9)
            .lines()
            .step_by(2)
            .map(|row| {
                (
                    row.trim().trim_end_matches(':').to_owned(),
                    "AWS::SNS::Topic".to_owned(),
                    "CREATE_COMPLETE".to_owned(),
                )
            })
            .collect();
        stack.resources.push((
            "Last".to_owned(),
            "AWS::DynamoDB::Table".to_owned(),
            "CREATE_COMPLETE".to_owned(),
        ));
    });
    let refused = project.run(&["bootstrap", "--yes"]);
    assert!(refused.error().contains("Last (AWS::DynamoDB::Table)"), "{}", refused.error());
}
