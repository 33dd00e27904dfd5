//! A function of prod fails after the other one of its stack has finished, and the other way round. What CloudFormation makes of
//! an alias that had finished is unconfirmed on AWS, so it is said to be simulated; both functions end at their old versions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};
use serde_json::json;

const TEMPLATE: &str = "cfn/app.yaml";
const MANIFEST: &str = "api/Cargo.toml";

/// Lets one function's version have all traffic at once, and the other's, which is broken in prod, follow the stack's setting.
fn break_after(project: &Project, [template, manifest]: [&str; 2], finished: &str, broken: &str) {
    let (head, name) =
        ("        Type: !Ref DeploymentPreference\n", finished[..1].to_uppercase() + &finished[1..]);
    let (before, own) = template.split_once(&format!("\n  {name}Function:\n")).unwrap();
    assert!(own.contains(head));
    let own = own.replacen(head, "        Type: AllAtOnce\n", 1);
    let template = format!("{before}\n  {name}Function:\n{own}");
    std::fs::write(project.path().join(TEMPLATE), template).unwrap();
    // Which function is broken on purpose.
    let own = "\ncheckin = \"checkin-broken\"\n";
    assert!(manifest.contains(own));
    let manifest = manifest.replace(own, &format!("\n{broken} = \"{broken}-broken\"\n"));
    std::fs::write(project.path().join(MANIFEST), manifest).unwrap();
    project.commit();
}

/// Lambda's number of the version of each function that prod serves, and the state of its stack.
fn prod(aws: &Client) -> serde_json::Value {
    aws.ask(
        "served = lambda name: client('lambda', 'prod').get_alias(FunctionName=f'causeway-app-prod-{name}', Name='live')['FunctionVersion']\nstack = client('cloudformation', 'prod').describe_stacks(StackName='causeway-app-prod')['Stacks'][0]\nanswer = [served('checkin'), served('contacts'), stack['StackStatus']]",
    )
}

fn last<'a>(ended: &'a Ended, function: &str) -> &'a serde_json::Value {
    let own = |line: &&serde_json::Value| line["env"] == "prod" && line["function"] == function;
    let last = ended.of_type("weight").filter(own).last();
    last.unwrap_or_else(|| panic!("no weight of {function}: {}", ended.stderr))
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_function_that_had_finished_goes_back_with_the_one_that_fails_and_that_is_said_to_be_simulated() {
    let project = Project::clone_of_repository();
    let read = |file: &str| std::fs::read_to_string(project.path().join(file)).unwrap();
    let (template, manifest) = (read(TEMPLATE), read(MANIFEST));
    for (finished, broken) in [("contacts", "checkin"), ("checkin", "contacts")] {
        break_after(&project, [&template, &manifest], finished, broken);
        // The parent is the baseline: it is not broken.
        let ended =
            project.run(&["rehearse", "--approve", "auto", "--keep", "--break-prod", "--minute", "30s"]);
        project.minute(100);
        let verdict = (ended.code, ended.result()["verdict"].as_str());
        assert_eq!(verdict, (5, Some("rolled-back")), "{broken}: {} {}", ended.error(), ended.stderr);
        let why = ended.result()["error"]["why"].as_str().unwrap();
        let alarm = format!("{broken}: alarm causeway-app-prod-{broken}-new-version-faults is in ALARM");
        assert!(why.contains(&alarm), "{why}");
        // It had all of the traffic before the other one failed, and none afterwards.
        let moved = |line: &serde_json::Value| {
            line["env"] == "prod" && line["function"] == finished && line["new_weight"] == 100
        };
        assert!(ended.of_type("weight").any(moved), "{finished} had finished");
        for function in [finished, broken] {
            assert_eq!(last(&ended, function)["new_weight"], 0, "{function}");
        }
        let said: Vec<&str> =
            ended.of_type("warning").map(|line| line["message"].as_str().unwrap()).collect();
        let own = format!("{finished}: its deployment had finished before another function failed");
        let own = said.iter().find(|message| message.starts_with(&own));
        let own = own.unwrap_or_else(|| panic!("nothing is said of {finished}: {said:?}"));
        for part in ["simulated", "unconfirmed", "serverless-application-model 291, 351"] {
            assert!(own.contains(part), "{part}: {own}");
        }
        let aws = Client::from_printed(&ended);
        assert_eq!(prod(&aws), json!(["1", "1", "UPDATE_ROLLBACK_COMPLETE"]), "{broken}");
        for function in [finished, broken] {
            let versions = &ended.result()["data"]["versions"];
            assert_ne!(versions["prod"][function], versions["dev"][function], "{function}");
        }
    }
}
