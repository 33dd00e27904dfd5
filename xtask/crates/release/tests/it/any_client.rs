//! Templates as any AWS client brings them to the local cloud: what CloudFormation refuses is refused in its words, what a
//! transform makes is what is deployed, and an alias with an update policy is shifted whoever wrote it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::{Value, json};

/// Stacks in dev: what a call is refused with, templates, states.
pub(super) const CALLS: &str = r#"
import time
cfn = client('cloudformation', 'dev')
CAPABILITIES = ['CAPABILITY_NAMED_IAM', 'CAPABILITY_AUTO_EXPAND']

def told(call, **words):
    try:
        call(**words)
        return ['', 'it is not refused']
    except ClientError as error:
        return [error.response['Error']['Code'], error.response['Error']['Message']]

def create(body, name='refused', capabilities=CAPABILITIES):
    return told(cfn.create_stack, StackName=name, TemplateBody=body, Capabilities=capabilities)

def change_set(body):
    return told(cfn.create_change_set, StackName='refused', ChangeSetName='first', ChangeSetType='CREATE', TemplateBody=body, Capabilities=CAPABILITIES)

def status(name):
    return cfn.describe_stacks(StackName=name)['Stacks'][0]['StackStatus']

# It gives up after ten minutes, when whatever it is hangs on however busy a machine.
def wait_for(what):
    for _ in range(6000):
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise Exception('it never came')

def settled(name):
    return wait_for(lambda: (lambda now: not now.endswith('_IN_PROGRESS') and now)(status(name)))
"#;

pub(super) fn ask(aws: &Client, script: &str) -> Value {
    aws.ask(&format!("{CALLS}\n{script}"))
}

/// A text of Python.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The application with an alarm of its API in a deployment group: only what SAM makes of it has the circle. Packages are
/// named as they are packaged; nobody reads them before the template is refused.
fn circular_application(project: &Project) -> String {
    let own = "          - !Ref CheckinNewVersionErrors\n";
    project.edit("cfn/app.yaml", own, &format!("{own}          - !Ref ApiErrors\n"));
    let text = std::fs::read_to_string(project.path().join("cfn/app.yaml")).unwrap();
    let line = |line: &str| match line.split_once("CodeUri: ") {
        Some((head, _)) => format!("{head}CodeUri: s3://packages/code.zip\n"),
        None if line.trim_start().starts_with('#') => String::new(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn what_cloudformation_refuses_is_refused_in_its_words() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);

    let body = quoted(&circular_application(&project));
    let parameters = "[{'ParameterKey': 'EnvironmentName', 'ParameterValue': 'dev'}]";
    let found = ask(
        &aws,
        &format!(
            "words = {{'StackName': 'refused', 'TemplateBody': {body}, 'Capabilities': CAPABILITIES, 'Parameters': {parameters}}}\nanswer = [told(cfn.create_stack, **words), told(cfn.create_change_set, ChangeSetName='first', ChangeSetType='CREATE', **words)]"
        ),
    );
    for refusal in found.as_array().unwrap() {
        let message = refusal[1].as_str().unwrap();
        assert_eq!(refusal[0], "ValidationError", "{message}");
        assert!(message.starts_with("Circular dependency between resources: ["), "{message}");
        for id in ["ApiErrors", "HttpApi", "CheckinFunctionAliaslive", "CheckinFunctionDeploymentGroup"] {
            assert!(message.contains(id), "{id}: {message}");
        }
    }

    // A macro that only CloudFormation could run; a template that SAM cannot expand; what must be acknowledged.
    let log = "Resources:\n  Log: {Type: AWS::Logs::LogGroup}\n";
    let with_macro = quoted(&format!("Transform: MyMacro\n{log}"));
    let unfit = quoted(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Unfit: {Type: AWS::Serverless::Function, Properties: {Handler: index.handler}}\n",
    );
    let fit = quoted(&format!("Transform: AWS::Serverless-2016-10-31\n{log}"));
    let found = ask(
        &aws,
        &format!(
            "answer = {{'macro': [create({with_macro}), change_set({with_macro})], 'unfit': [create({unfit}), change_set({unfit})], 'unacknowledged': create({fit}, capabilities=['CAPABILITY_NAMED_IAM']), 'made': sorted(stack['StackName'] for stack in cfn.list_stacks()['StackSummaries'])}}"
        ),
    );
    for refusal in found["macro"].as_array().unwrap() {
        let message = refusal[1].as_str().unwrap();
        assert_eq!(refusal[0], "ValidationError", "{message}");
        assert!(message.contains("No transform named MyMacro found"), "{message}");
    }
    for refusal in found["unfit"].as_array().unwrap() {
        let message = refusal[1].as_str().unwrap();
        assert_eq!(refusal[0], "ValidationError", "{message}");
        for part in ["AWS::Serverless-2016-10-31", "Resource with id [Unfit] is invalid", "CodeUri"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let expected =
        json!(["InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_AUTO_EXPAND]"]);
    assert_eq!(found["unacknowledged"], expected);
    assert_eq!(found["made"], json!([]), "nothing of it became a stack");
}

#[test]
fn a_template_is_given_as_it_was_submitted_and_as_it_was_processed() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let body = "# A comment.\nTransform: AWS::Serverless-2016-10-31\nResources:\n  Items: {Type: AWS::Serverless::SimpleTable}\n";
    let found = ask(
        &aws,
        &format!(
            "made = create({}, 'items')\nnow = settled('items')\ngiven = lambda **words: cfn.get_template(StackName='items', **words)['TemplateBody']\nanswer = {{'status': now, 'original': given(TemplateStage='Original'), 'processed': given(TemplateStage='Processed'), 'unasked': given()}}",
            quoted(body)
        ),
    );
    assert_eq!(found["status"], "CREATE_COMPLETE");
    assert_eq!(found["original"], body);
    let processed = &found["processed"];
    assert_eq!(processed["Resources"]["Items"]["Type"], "AWS::DynamoDB::Table", "{processed}");
    assert!(processed.get("Transform").is_none(), "{processed}");
    assert_eq!(&found["unasked"], processed);
}

/// What people and CDK write without SAM: an alias whose update policy names a deployment group.
const RAW: &str = r#"
def raw(version, hook=False):
    by = lambda service: {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': service}, 'Action': 'sts:AssumeRole'}]}
    role = lambda service: {'Type': 'AWS::IAM::Role', 'Properties': {'AssumeRolePolicyDocument': by(service)}}
    function = lambda code: {'Type': 'AWS::Lambda::Function', 'Properties': {'Runtime': 'python3.12', 'Handler': 'index.handler', 'Role': {'Fn::GetAtt': ['Role', 'Arn']}, 'Code': {'ZipFile': code}}}
    policy = {'ApplicationName': {'Ref': 'App'}, 'DeploymentGroupName': {'Ref': 'Group'}}
    if hook:
        policy['BeforeAllowTrafficHook'] = {'Ref': 'Gatekeeper'}
    return json.dumps({'Resources': {
        'Role': role('lambda.amazonaws.com'),
        'ShiftRole': role('codedeploy.amazonaws.com'),
        'Gatekeeper': function("def handler(event, context): raise Exception('it never reports')"),
        'Orders': function(f"def handler(event, context): return '{version}'"),
        version: {'Type': 'AWS::Lambda::Version', 'DeletionPolicy': 'Retain', 'Properties': {'FunctionName': {'Ref': 'Orders'}}},
        'Live': {'Type': 'AWS::Lambda::Alias', 'UpdatePolicy': {'CodeDeployLambdaAliasUpdate': policy}, 'Properties': {'FunctionName': {'Ref': 'Orders'}, 'FunctionVersion': {'Fn::GetAtt': [version, 'Version']}, 'Name': 'live'}},
        'App': {'Type': 'AWS::CodeDeploy::Application', 'Properties': {'ComputePlatform': 'Lambda'}},
        'Group': {'Type': 'AWS::CodeDeploy::DeploymentGroup', 'Properties': {'ApplicationName': {'Ref': 'App'}, 'ServiceRoleArn': {'Fn::GetAtt': ['ShiftRole', 'Arn']}, 'DeploymentConfigName': 'CodeDeployDefault.LambdaCanary10Percent5Minutes', 'DeploymentStyle': {'DeploymentType': 'BLUE_GREEN', 'DeploymentOption': 'WITH_TRAFFIC_CONTROL'}}},
    }})

deploy, functions = client('codedeploy', 'dev'), client('lambda', 'dev')
physical = lambda id: cfn.describe_stack_resource(StackName='orders', LogicalResourceId=id)['StackResourceDetail']['PhysicalResourceId']

def update(version, **words):
    cfn.update_stack(StackName='orders', TemplateBody=raw(version, **words), Capabilities=CAPABILITIES)

def deployments():
    ids = deploy.list_deployments(applicationName=physical('App'), deploymentGroupName=physical('Group'))['deployments']
    return [deploy.get_deployment(deploymentId=id)['deploymentInfo'] for id in ids]

def served():
    return functions.get_alias(FunctionName=physical('Orders'), Name='live')['FunctionVersion']
"#;

#[test]
fn an_alias_with_an_update_policy_is_shifted_whoever_wrote_it() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let raw = |script: &str| ask(&aws, &format!("{RAW}\n{script}"));
    let created = raw(
        "created = create(raw('First'), 'orders')\nanswer = [settled('orders'), served(), deployments()]",
    );
    assert_eq!(created, json!(["CREATE_COMPLETE", "1", []]), "the first create shifts nothing");

    // The update waits for the deployment, and follows it.
    project.minute(3_600_000);
    let found = raw(
        "update('Second')\nat_work = (wait_for(lambda: deployments() or not status('orders').endswith('_IN_PROGRESS') and [{'status': status('orders')}]))[0]\nassert 'deploymentId' in at_work, at_work\nid = at_work['deploymentId']\ntarget = wait_for(lambda: (lambda now: now['lifecycleEvents'][1]['status'] == 'InProgress' and now)(deploy.batch_get_deployment_targets(deploymentId=id, targetIds=deploy.list_deployment_targets(deploymentId=id)['targetIds'])['deploymentTargets'][0]['lambdaTarget']))\nbefore = status('orders')\ndeploy.stop_deployment(deploymentId=id)\nafter = settled('orders')\nanswer = {'at work': at_work, 'target': target, 'before': before, 'after': after, 'served': served(), 'deployments': deployments()}",
    );
    assert_eq!(found["at work"]["status"], "InProgress", "{found}");
    assert_eq!(found["at work"]["deploymentConfigName"], "CodeDeployDefault.LambdaCanary10Percent5Minutes");
    let function = &found["target"]["lambdaFunctionInfo"];
    assert_eq!(
        (&function["currentVersion"], &function["targetVersion"], &function["functionAlias"]),
        (&json!("1"), &json!("2"), &json!("live")),
        "{found}"
    );
    assert_eq!(found["before"], "UPDATE_IN_PROGRESS", "{found}");
    assert_eq!(found["after"], "UPDATE_ROLLBACK_COMPLETE", "{found}");
    assert_eq!(
        (&found["served"], &found["deployments"][0]["status"]),
        (&json!("1"), &json!("Stopped")),
        "{found}"
    );

    project.minute(10);
    let found = raw(
        "update('Third')\nnow = settled('orders')\nanswer = [now, served(), [one['status'] for one in deployments()]]",
    );
    assert_eq!(
        (&found[0], &found[2]),
        (&json!("UPDATE_COMPLETE"), &json!(["Succeeded", "Stopped"])),
        "{found}"
    );
    let third = found[1].clone();
    assert_ne!(third, "1", "{found}");

    // A hook that never reports fails the update, and no traffic has moved.
    let found = raw(
        "update('Fourth', hook=True)\nnow = settled('orders')\nanswer = [now, served(), [one['status'] for one in deployments()], deployments()[0]]",
    );
    assert_eq!((&found[0], &found[1]), (&json!("UPDATE_ROLLBACK_COMPLETE"), &third), "{found}");
    assert_eq!(found[2], json!(["Failed", "Succeeded", "Stopped"]), "{found}");
    let why = found[3]["errorInformation"]["message"].as_str().unwrap();
    assert!(why.contains("Gatekeeper") && why.contains("did not report"), "{why}");
}
