//! What a person at a terminal sees and answers: questions, links to follow, and Ctrl-C at any of them.

use causeway_testing::{Project, Then, wait_until};

#[test]
fn bootstrap_asks_and_ctrl_c_at_the_question_ends_it() {
    let mut project = Project::new();
    project.up();
    let (code, shown) = project.in_terminal(&["bootstrap"], &[("Deploy this? [y/N]", Then::Type("\x03"))]);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("interrupted"), "{shown}");
    let (code, shown) = project.in_terminal(&["bootstrap"], &[("Deploy this? [y/N]", Then::Type("n\r"))]);
    assert!(code == 0 && shown.contains("nothing-to-do"), "{code}: {shown}");
    assert_eq!(
        project.run(&["destroy", "--dry-run"]).result()["verdict"],
        "nothing-to-do",
        "nothing was deployed"
    );
}

#[test]
fn what_was_only_planned_is_removed_whatever_the_answer_is() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let planned = || {
        let state = project.state();
        let root = state["accounts"]["build"].as_str().unwrap().to_owned();
        let secret = state["root_secret"].as_str().unwrap().to_owned();
        let ask = "Action=ListChangeSets&Version=2010-05-15&StackName=causeway-build-base";
        let (status, body) = project.call(Some((&root, &secret)), "cloudformation", &["--data", ask], "/");
        assert_eq!(status, "200", "{body}");
        // One that was executed may still be listed.
        body.matches("<ExecutionStatus>AVAILABLE<").count()
    };
    project.edit(
        "cfn/build-base.yaml",
        "            ExpirationInDays: 30\n",
        "            ExpirationInDays: 31\n",
    );
    for (keys, expected) in [("\x03", 130), ("n\r", 0)] {
        let (code, shown) = project.in_terminal(&["bootstrap"], &[("Deploy this? [y/N]", Then::Type(keys))]);
        assert_eq!(code, expected, "{shown}");
        assert!(shown.contains("were only planned: build/causeway-build-base"), "{shown}");
        assert_eq!(planned(), 0, "{shown}");
    }
    let dry = project.run(&["bootstrap", "--dry-run"]);
    assert_eq!((dry.code, planned()), (0, 0), "{}", dry.error());
    let done = project.run(&["bootstrap", "--yes", "--allow-data-loss", "causeway-build-base"]);
    assert_eq!(done.result()["changed"], serde_json::json!(["build/causeway-build-base"]), "{}", done.stderr);
    assert!(!done.stderr.contains("only planned"), "what was executed is not taken back: {}", done.stderr);
}

#[test]
fn ctrl_c_in_the_middle_tells_what_was_changed_and_what_goes_on() {
    let mut project = Project::new();
    project.up();
    let asked = ("Deploy this? [y/N]", Then::Type("y\r"));
    let (code, shown) = project.in_terminal(
        &["bootstrap"],
        // The second wave is at work when its events come.
        &[asked, ("causeway-target-roles CREATE_IN_PROGRESS", Then::Type("\x03"))],
    );
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("while it changed") && shown.contains("/causeway-target-roles"), "{shown}");
    assert!(shown.contains("goes on in AWS"), "{shown}");
    let next = project.run(&["bootstrap", "--yes"]);
    assert_eq!(next.code, 0, "{}", next.error());
    assert!(!next.result()["changed"].to_string().contains("build-base"), "the first wave was done");
}

#[test]
fn a_pending_connection_is_shown_with_its_link_and_waited_for() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["local", "connection", "pending"]).code, 0);
    let (code, shown) = project.in_terminal(
        &["bootstrap"],
        &[
            ("Deploy this? [y/N]", Then::Type("y\r")),
            ("This goes on by itself afterwards", Then::Run(&["local", "connection", "available"])),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("console.aws.amazon.com/codesuite/settings/connections"), "{shown}");
    assert!(shown.contains("bootstrap: done"), "{shown}");
    assert_eq!(project.run(&["bootstrap", "--yes"]).result()["verdict"], "nothing-to-do");
}

#[test]
fn destroy_wants_the_name_typed() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let question = "to remove all of it:";
    let (code, shown) = project.in_terminal(&["destroy"], &[(question, Then::Type("causewey\r"))]);
    assert!(code == 2 && shown.contains("nothing was removed"), "{code}: {shown}");
    let (code, shown) = project.in_terminal(&["destroy"], &[(question, Then::Type("\x03"))]);
    assert_eq!(code, 130, "{shown}");
    let left = project.run(&["destroy", "--dry-run"]);
    assert_eq!(left.result()["data"]["stacks"].as_array().unwrap().len(), 4, "nothing is removed yet");
    let (code, shown) = project.in_terminal(&["destroy"], &[(question, Then::Type("causeway\r"))]);
    assert!(code == 0 && shown.contains("destroy: done"), "{code}: {shown}");
    assert_eq!(project.run(&["destroy", "--dry-run"]).result()["verdict"], "nothing-to-do");
}

#[test]
fn the_doctor_asks_before_it_removes() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    // A first create that fails leaves a stack that can only be removed.
    let secret = project.state()["root_secret"].as_str().unwrap().to_owned();
    let template = r#"{"Resources": {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}, "Broken": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"}}}}"#;
    let body = format!("TemplateBody={template}");
    let words = [
        "--data",
        "Action=CreateStack&Version=2010-05-15&StackName=causeway-app-dev",
        "--data-urlencode",
        &body,
    ];
    let (status, said) = project.call(Some(("222222222222", &secret)), "cloudformation", &words, "/");
    assert_eq!(status, "200", "{said}");
    let dead = || project.run(&["doctor"]).result()["error"].to_string().contains("stack-dev-app");
    wait_until("the stack has failed", dead);
    let question = "Remove causeway-app-dev in dev? [y/N]";
    let (code, shown) = project.in_terminal(&["doctor", "--fix"], &[(question, Then::Type("n\r"))]);
    assert_eq!(code, 6, "{shown}");
    let (code, shown) = project.in_terminal(&["doctor", "--fix"], &[(question, Then::Type("y\r"))]);
    assert_eq!(code, 0, "{shown}");
    assert!(!dead(), "it is gone");
}
