//! The stack deployer on a local cloud: what it compares, whose stacks it takes, and what it never does without being told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};
use serde_json::{Value, json};

/// The settings that a plan shows, by stack.
fn settings(ended: &Ended) -> Vec<(String, String)> {
    let plan = ended.of_type("plan").next().unwrap();
    let stacks = plan["waves"].as_array().unwrap().iter().flat_map(|wave| wave.as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = stacks.flat_map(|stack| {
        let settings = stack["settings"].as_array().cloned().unwrap_or_default();
        let place = format!("{}/{}", text(&stack["account"]), text(&stack["stack"]));
        settings.into_iter().map(move |setting| (place.clone(), setting["name"].as_str().unwrap().to_owned()))
    });
    shown.collect()
}

#[test]
fn what_a_stack_has_beside_its_resources_is_compared_shown_and_set() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let client = Client::of_empty(&project);
    // Switched off by hand, or lost by a kill between "executed" and "protected"; and what an administrator tagged.
    client.ask(
        "
prod, dev = client('cloudformation', 'prod'), client('cloudformation', 'dev')
prod.update_termination_protection(StackName='causeway-target-roles', EnableTerminationProtection=False)
template = 'Metadata: {Causeway: {project: causeway, stack: app}}\\nResources: {T: {Type: AWS::SNS::Topic}}'
prod.create_stack(StackName='causeway-app-prod', TemplateBody=template)
dev.update_stack(StackName='causeway-target-roles', UsePreviousTemplate=True,
    Capabilities=['CAPABILITY_NAMED_IAM'], Tags=[{'Key': 'cost-center', 'Value': '4711'}],
    Parameters=[{'ParameterKey': p['ParameterKey'], 'UsePreviousValue': True}
        for p in dev.describe_stacks(StackName='causeway-target-roles')['Stacks'][0]['Parameters']])
dev.get_waiter('stack_update_complete').wait(StackName='causeway-target-roles', WaiterConfig={'Delay': 1})
answer = None",
    );
    let lacking = ["prod/causeway-target-roles", "prod/causeway-app-prod"]
        .map(|stack| (stack.to_owned(), "termination-protection".to_owned()));
    let dry = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((dry.code, settings(&dry)), (3, lacking.to_vec()), "{}", dry.error());
    project.edit("cfn/target-roles.yaml", "What the pipeline becomes in", "What the pipeline is in");
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let seen = client.ask(
        "
def stack(name, account):
    found = client('cloudformation', account).describe_stacks(StackName=name)['Stacks'][0]
    return [found['EnableTerminationProtection'], found['Tags']]
answer = [stack('causeway-target-roles', 'prod'), stack('causeway-app-prod', 'prod'), stack('causeway-target-roles', 'dev')]",
    );
    let tags = json!([{"Key": "cost-center", "Value": "4711"}]);
    assert_eq!(seen, json!([[true, []], [true, []], [false, tags]]));
    let stacks = done.result()["data"]["stacks"].as_array().unwrap();
    let roles = stacks.iter().find(|stack| stack["account"] == "dev").unwrap();
    assert_eq!(roles["tags"], json!({"cost-center": "4711"}), "{stacks:?}");
    let again = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!((again.code, again.result()["verdict"].as_str()), (0, Some("nothing-to-do")));
}
