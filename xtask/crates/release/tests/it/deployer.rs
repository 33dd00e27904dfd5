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

#[test]
fn a_strangers_stack_is_refused_whatever_is_said_and_its_data_stays() {
    let mut project = Project::new();
    project.up();
    let client = Client::of_empty(&project);
    client.ask(
        "
made = client('cloudformation', 'build')
template = 'Resources: {Data: {Type: AWS::DynamoDB::Table, Properties: {TableName: books, BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: id, AttributeType: S}], KeySchema: [{AttributeName: id, KeyType: HASH}]}}}'
made.create_stack(StackName='causeway-build-base', TemplateBody=template, EnableTerminationProtection=True,
    Tags=[{'Key': 'owner', 'Value': 'accounting'}])
client('cloudformation', 'dev').create_stack(StackName='causeway-isolated-ann', TemplateBody=template)
for account in ['build', 'dev']:
    client('dynamodb', account).put_item(TableName='books', Item={'id': {'S': '1'}})
answer = None",
    );
    let table: [&[&str]; 6] = [
        &["bootstrap", "--yes"],
        &["bootstrap", "--dry-run"],
        &["bootstrap", "--yes", "--allow-data-loss", "causeway-build-base"],
        &["destroy", "--confirm-delete", "causeway"],
        &["destroy", "--dry-run"],
        &["deploy", "--isolated", "ann", "--delete", "--yes", "--allow-data-loss", "causeway-isolated-ann"],
    ];
    for words in table {
        let refused = project.run(words);
        assert_eq!((refused.code, refused.result()["verdict"].as_str()), (6, Some("stuck")), "{words:?}");
        for word in ["no mark", "Data (AWS::DynamoDB::Table)", "--adopt", "nothing was changed"] {
            assert!(refused.error().contains(word), "{words:?}: {word}: {}", refused.error());
        }
        assert_eq!(refused.of_type("event").count(), 0, "{words:?}");
    }
    // It is taken over by its name in a terminal alone.
    let shown = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode", "--adopt"]);
    assert_eq!(shown.code, 3, "{}", shown.error());
    let plan = &shown.of_type("plan").next().unwrap()["waves"][0][0];
    assert_eq!(plan["adopts"], true);
    let gone = json!(["Data", "remove", true]);
    let changes = plan["changes"].as_array().unwrap();
    assert!(changes.iter().any(|c| json!([c["logical_id"], c["op"], c["stateful"]]) == gone), "{changes:?}");
    let refused = project.run(&["bootstrap", "--adopt", "--yes", "--allow-data-loss", "causeway-build-base"]);
    assert_eq!(refused.code, 2, "{}", refused.error());
    assert!(refused.error().contains("--yes is not enough"), "{}", refused.error());
    let seen = client.ask(
        "
stack = client('cloudformation').describe_stacks(StackName='causeway-build-base')['Stacks'][0]
items = [len(client('dynamodb', account).scan(TableName='books')['Items']) for account in ['build', 'dev']]
sets = client('cloudformation').list_change_sets(StackName='causeway-build-base')['Summaries']
answer = [items, stack['EnableTerminationProtection'], stack['Tags'], len(sets)]",
    );
    assert_eq!(seen, json!([[1, 1], true, [{"Key": "owner", "Value": "accounting"}], 0]));
}

#[test]
fn data_is_lost_by_its_stacks_name_alone_and_a_stack_of_before_gets_its_mark() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let client = Client::of_empty(&project);
    // As a version without the mark left it.
    client.ask(
        "
cloud = client('cloudformation')
text = cloud.get_template(StackName='causeway-build-base', TemplateStage='Original')['TemplateBody']
head, mark = text.rstrip().rsplit('Metadata:', 1)
assert 'Causeway' in mark, mark
cloud.update_stack(StackName='causeway-build-base', TemplateBody=head + '# before', Capabilities=['CAPABILITY_NAMED_IAM'],
    Parameters=[{'ParameterKey': p['ParameterKey'], 'UsePreviousValue': True}
        for p in cloud.describe_stacks(StackName='causeway-build-base')['Stacks'][0]['Parameters']])
cloud.get_waiter('stack_update_complete').wait(StackName='causeway-build-base', WaiterConfig={'Delay': 1})
answer = None",
    );
    let text = std::fs::read_to_string(project.path().join("cfn/build-base.yaml")).unwrap();
    project.edit("cfn/build-base.yaml", "Resources:\n", "Resources:\n  Extra: {Type: AWS::DynamoDB::Table, Properties: {BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: id, AttributeType: S}], KeySchema: [{AttributeName: id, KeyType: HASH}]}}\n");
    let added = project.run(&["bootstrap", "--yes"]);
    assert_eq!(added.code, 0, "{}", added.error());
    let marked = client.ask(
        "answer = 'Metadata:\\n  Causeway: {project: causeway, stack: build-base}' in client('cloudformation').get_template(StackName='causeway-build-base', TemplateStage='Original')['TemplateBody']",
    );
    assert_eq!(marked, true);
    std::fs::write(project.path().join("cfn/build-base.yaml"), &text).unwrap();
    let refused = project.run(&["bootstrap", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.error());
    for word in ["Extra (AWS::DynamoDB::Table) goes", "--allow-data-loss causeway-build-base"] {
        assert!(refused.error().contains(word), "{word}: {}", refused.error());
    }
    let other = project.run(&["bootstrap", "--yes", "--allow-data-loss", "causeway-other"]);
    assert_eq!(other.code, 2, "{}", other.error());
    let done = project.run(&["bootstrap", "--yes", "--allow-data-loss", "build/causeway-build-base"]);
    assert_eq!(done.code, 0, "{}", done.error());
    // A removal of everything: --yes alone is nothing, and neither is one of two stacks.
    for words in [&["destroy", "--yes"][..], &["destroy", "--yes", "--allow-data-loss", "causeway-pipeline"]]
    {
        assert_eq!(project.run(words).code, 2, "{words:?}");
    }
}

#[test]
fn a_state_is_read_again_after_another_run_was_waited_for() {
    let mut project = Project::new();
    project.up();
    let client = Client::of_empty(&project);
    // Another run creates the stack, and its create fails while we wait for it.
    client.ask(
        "
text = open('cfn/build-base.yaml').read() + 'Metadata: {Causeway: {project: causeway, stack: build-base}}\\n'
broken = 'Resources:\\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\\n  Broken:\\n    Type: AWS::CloudFormation::WaitCondition\\n    Properties: {Handle: !Ref Handle, Timeout: \"4\"}\\n'
client('cloudformation').create_stack(StackName='causeway-build-base', TemplateBody=text.replace('Resources:\\n', broken, 1),
    Capabilities=['CAPABILITY_NAMED_IAM'],
    Parameters=[{'ParameterKey': 'TargetAccountIds', 'ParameterValue': '222222222222,333333333333'}])
answer = None"
            .replace("cfn/build-base.yaml", &project.path().join("cfn/build-base.yaml").display().to_string())
            .as_str(),
    );
    let done = project.run(&["bootstrap", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.error());
    let met: Vec<(String, String)> = done.result()["data"]["met"]
        .as_array()
        .unwrap()
        .iter()
        .map(|met| (met["state"].as_str().unwrap().to_owned(), met["did"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("CREATE_IN_PROGRESS", "waited for the run at work"),
        ("ROLLBACK_COMPLETE", "removed what a failed create left"),
    ];
    assert_eq!(met, expected.map(|(state, did)| (state.to_owned(), did.to_owned())));
}

#[test]
fn what_a_killed_run_had_planned_is_removed_by_the_next_one() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let client = Client::of_empty(&project);
    // As a kill leaves it: a change set, and the row that says whose it is, in a file that nobody holds.
    let made = client.ask(
        "
cloud = client('cloudformation')
cloud.create_change_set(StackName='causeway-pipeline', ChangeSetName='causeway-left', UsePreviousTemplate=True,
    Capabilities=['CAPABILITY_NAMED_IAM', 'CAPABILITY_AUTO_EXPAND'], Tags=[{'Key': 'a', 'Value': 'b'}],
    Parameters=[{'ParameterKey': p['ParameterKey'], 'UsePreviousValue': True}
        for p in cloud.describe_stacks(StackName='causeway-pipeline')['Stacks'][0]['Parameters']])
answer = len(cloud.list_change_sets(StackName='causeway-pipeline')['Summaries'])",
    );
    assert!(made.as_u64().unwrap() >= 1);
    let folder = project.path().join("target/causeway/planned");
    std::fs::create_dir_all(&folder).unwrap();
    let row = r#"{"planned":{"account":"111111111111","stack":"causeway-pipeline","name":"causeway-left","is_new":false}}"#;
    std::fs::write(folder.join("1-1.jsonl"), format!("{row}\n{{\"pla")).unwrap();
    let next = project.run(&["bootstrap", "--dry-run", "--detailed-exitcode"]);
    assert_eq!(next.code, 0, "{}", next.error());
    assert!(next.stderr.contains("build/causeway-pipeline"), "{}", next.stderr);
    let left = client.ask(
        "answer = [s['ChangeSetName'] for s in client('cloudformation').list_change_sets(StackName='causeway-pipeline')['Summaries'] if s['ChangeSetName'] == 'causeway-left']",
    );
    assert_eq!((left, std::fs::read_dir(&folder).unwrap().count()), (json!([]), 0));
}
