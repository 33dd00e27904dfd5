//! What AWS refuses is refused by the local cloud, too, in AWS's words and in AWS's way: the resource fails, and its stack is rolled
//! back. Kind by kind with many inputs in `xtask/data/refusals_test.py`; here through CloudFormation, as any client brings it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::{Value, json};

use crate::any_client::ask;

/// Stacks by their resources, and why the first resource of each failed.
const STACKS: &str = r#"
TRUST = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': 'lambda.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]}
ROLE = {'Type': 'AWS::IAM::Role', 'Properties': {'AssumeRolePolicyDocument': TRUST}}

def function(**more):
    return {'R': ROLE, 'F': {'Type': 'AWS::Lambda::Function', 'Properties': {'Runtime': 'python3.12', 'Handler': 'index.handler', 'Role': {'Fn::GetAtt': ['R', 'Arn']}, 'Code': {'ZipFile': 'def handler(e, c): pass'}, **more}}}

def made(name, resources, **words):
    body = json.dumps({'Resources': resources, **words})
    refused = create(body, name)
    if refused[1] != 'it is not refused':
        return refused
    return [settled(name), failed(name)]

def failed(name):
    events = cfn.describe_stack_events(StackName=name)['StackEvents']
    return [f"{one['LogicalResourceId']} {one['ResourceType']}: {one['ResourceStatusReason']}" for one in events if one['ResourceStatus'].endswith('_FAILED')]
"#;

fn refusals(aws: &Client, script: &str) -> Value {
    ask(aws, &format!("{STACKS}\n{script}"))
}

/// A stack that was rolled back, and the words of its failure.
fn rolled_back(found: &Value, words: &[&str]) {
    assert_eq!(found[0], "ROLLBACK_COMPLETE", "{found}");
    let why = found[1][0].as_str().unwrap();
    for word in words {
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[test]
fn what_aws_refuses_fails_the_stack_in_its_words() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);

    // Limits, reserved names, an environment that is too large, the case of the issue.
    let found = refusals(
        &aws,
        "answer = {'both': made('both', function(MemorySize=20480, Timeout=1200)), 'memory': made('memory', function(MemorySize=20480)), 'time': made('time', function(Timeout=1200)), 'reserved': made('reserved', function(Environment={'Variables': {'AWS_REGION': 'eu-west-1'}})), 'large': made('large', function(Environment={'Variables': {'A1': 'x' * 5000}})), 'schema': made('schema', function(Layers=['arn:aws:lambda:eu-central-1:222222222222:layer:l:%d' % n for n in range(1, 7)], Colour='red')), 'alarms': made('alarms', {'App': {'Type': 'AWS::CodeDeploy::Application', 'Properties': {'ComputePlatform': 'Lambda'}}, 'G': {'Type': 'AWS::CodeDeploy::DeploymentGroup', 'Properties': {'ApplicationName': {'Ref': 'App'}, 'ServiceRoleArn': 'arn:aws:iam::222222222222:role/r', 'AlarmConfiguration': {'Alarms': [{'Name': 'a%d' % n} for n in range(11)]}}}})}",
    );
    rolled_back(&found["both"], &["F AWS::Lambda::Function: ", "10240"]);
    rolled_back(&found["memory"], &["less than or equal to 10240", "Service: Lambda, Status Code: 400"]);
    rolled_back(&found["time"], &["Value '1200' at 'timeout'", "less than or equal to 900"]);
    rolled_back(&found["reserved"], &["Reserved keys used in this request: AWS_REGION"]);
    rolled_back(&found["large"], &["exceeded the 4KB limit"]);
    rolled_back(
        &found["schema"],
        &["#/Layers: expected maximum item count: 5, found: 6", "extraneous key [Colour] is not permitted"],
    );
    rolled_back(&found["alarms"], &["G AWS::CodeDeploy::DeploymentGroup: ", "(10) was exceeded"]);

    // A deployment configuration that is not there fails the create, and not the first update.
    let preference = |kind: &str| {
        format!(
            "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {{Runtime: python3.12, Handler: index.handler, InlineCode: 'def handler(e, c): pass', AutoPublishAlias: live, DeploymentPreference: {{Type: {kind}}}}}\n"
        )
    };
    let body = Value::from(preference("CodeDeployDefault.LambdaCanary20Percent5Minutes")).to_string();
    let found =
        refusals(&aws, &format!("create({body}, 'canary')\nanswer = [settled('canary'), failed('canary')]"));
    rolled_back(
        &found,
        &[
            "AWS::CodeDeploy::DeploymentGroup: ",
            "No Deployment Configuration found for name: CodeDeployDefault.LambdaCanary20Percent5Minutes",
        ],
    );
    // What was rolled back is updated no more.
    let found = refusals(
        &aws,
        "words = {'StackName': 'memory', 'TemplateBody': json.dumps({'Resources': function()}), 'Capabilities': CAPABILITIES}\nanswer = [told(cfn.update_stack, **words), told(cfn.create_change_set, ChangeSetName='c', **words), told(cfn.create_change_set, ChangeSetName='c', ChangeSetType='CREATE', **words)]",
    );
    for refused in [&found[0], &found[1]] {
        assert_eq!(refused[0], "ValidationError", "{refused}");
        let said = refused[1].as_str().unwrap();
        assert!(
            said.starts_with("Stack:arn:aws:cloudformation:eu-central-1:222222222222:stack/memory/"),
            "{said}"
        );
        assert!(said.ends_with(" is in ROLLBACK_COMPLETE state and can not be updated."), "{said}");
    }
    let said = "Stack [memory] already exists and cannot be created again with the changeSet [c]";
    assert_eq!(found[2], json!(["ValidationError", said]));
}

#[test]
fn a_name_that_is_taken_is_left_to_whom_it_belongs() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let found = refusals(
        &aws,
        r#"
iam, logs, tables, alarms = client('iam', 'dev'), client('logs', 'dev'), client('dynamodb', 'dev'), client('cloudwatch', 'dev')
other = dict(TRUST, Statement=[dict(TRUST['Statement'][0], Principal={'Service': 'ec2.amazonaws.com'})])
iam.create_role(RoleName='by-hand', AssumeRolePolicyDocument=json.dumps(other))
logs.create_log_group(logGroupName='/by/hand')
tables.create_table(TableName='by-hand', BillingMode='PAY_PER_REQUEST', KeySchema=[{'AttributeName': 'a', 'KeyType': 'HASH'}], AttributeDefinitions=[{'AttributeName': 'a', 'AttributeType': 'S'}])
alarm = {'Namespace': 'N', 'MetricName': 'M', 'Statistic': 'Sum', 'Period': 60, 'EvaluationPeriods': 1, 'Threshold': 1, 'ComparisonOperator': 'GreaterThanThreshold'}
alarms.put_metric_alarm(AlarmName='by-hand', **alarm)
table = {'Type': 'AWS::DynamoDB::Table', 'DeletionPolicy': 'Retain', 'Properties': {'TableName': 'kept', 'BillingMode': 'PAY_PER_REQUEST', 'KeySchema': [{'AttributeName': 'a', 'KeyType': 'HASH'}], 'AttributeDefinitions': [{'AttributeName': 'a', 'AttributeType': 'S'}]}}
named = lambda name: dict(table, Properties=dict(table['Properties'], TableName=name))
answer = {
    'role': made('role', {'X': {'Type': 'AWS::IAM::Role', 'Properties': {'RoleName': 'by-hand', 'AssumeRolePolicyDocument': TRUST}}}),
    'group': made('group', {'X': {'Type': 'AWS::Logs::LogGroup', 'Properties': {'LogGroupName': '/by/hand'}}}),
    'table': made('table', {'X': named('by-hand')}),
    'alarm': made('alarm', {'X': {'Type': 'AWS::CloudWatch::Alarm', 'Properties': {'AlarmName': 'by-hand', **alarm}}}),
}
answer['trusts'] = iam.get_role(RoleName='by-hand')['Role']['AssumeRolePolicyDocument']['Statement'][0]['Principal']
# A table that a deleted stack left is in the way of the next one.
made('first', {'X': table})
cfn.delete_stack(StackName='first')
wait_for(lambda: 'first' not in [one['StackName'] for one in cfn.describe_stacks()['Stacks']])
answer['retained'] = made('second', {'X': table})
# Of another stack: of a type that the local cloud has, and of one that it has no more of than its name.
app = {'Type': 'AWS::CodeDeploy::Application', 'Properties': {'ApplicationName': 'app', 'ComputePlatform': 'Lambda'}}
topic = {'Type': 'AWS::SNS::Topic', 'Properties': {'TopicName': 'news'}}
answer['owner'] = made('owner', {'App': app, 'Topic': topic})
answer['app'], answer['topic'] = made('app', {'App': app}), made('topic', {'Topic': topic})
# The table was not taken away with the stack that failed.
answer['still'] = tables.describe_table(TableName='by-hand')['Table']['TableName']
"#,
    );
    for (name, word) in [
        ("role", "Role with name by-hand already exists."),
        ("group", "Resource of type 'AWS::Logs::LogGroup' with identifier '/by/hand' already exists."),
        ("table", "Resource of type 'AWS::DynamoDB::Table' with identifier 'by-hand' already exists."),
        ("alarm", "Resource of type 'AWS::CloudWatch::Alarm' with identifier 'by-hand' already exists."),
        ("retained", "'kept' already exists"),
        (
            "app",
            "App AWS::CodeDeploy::Application: Resource handler returned message: \"Resource of type 'AWS::CodeDeploy::Application' with identifier 'app' already exists.\"",
        ),
        ("topic", "'news' already exists"),
    ] {
        rolled_back(&found[name], &[word]);
    }
    assert_eq!(found["trusts"], json!({"Service": "ec2.amazonaws.com"}), "it was not taken over");
    assert_eq!((&found["owner"][0], &found["still"]), (&json!("CREATE_COMPLETE"), &json!("by-hand")));
}

#[test]
fn what_is_not_empty_stays_and_no_foreign_role_is_passed() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let found = refusals(
        &aws,
        r#"
s3 = client('s3', 'dev')
bucket = {'Type': 'AWS::S3::Bucket', 'Properties': {'BucketName': 'full-of-things'}}
answer = {'made': made('full', {'B': bucket, 'T': {'Type': 'AWS::SNS::Topic'}})}
s3.put_object(Bucket='full-of-things', Key='k', Body=b'x')
cfn.delete_stack(StackName='full')
answer['deleted'] = [settled('full'), failed('full')]
s3.delete_object(Bucket='full-of-things', Key='k')
cfn.delete_stack(StackName='full')
wait_for(lambda: 'full' not in [one['StackName'] for one in cfn.describe_stacks()['Stacks']])
words = {'StackName': 'passed', 'TemplateBody': json.dumps({'Resources': {'T': {'Type': 'AWS::SNS::Topic'}}}), 'RoleARN': 'arn:aws:iam::111111111111:role/foreign'}
answer['passed'] = [told(cfn.create_stack, **words), told(cfn.create_change_set, ChangeSetName='c', ChangeSetType='CREATE', **words), told(cfn.delete_stack, StackName='passed', RoleARN=words['RoleARN'])]
answer['function'] = made('function', function(Role='arn:aws:iam::111111111111:role/foreign'))
# The same of calls: a function made by hand, and roles that somebody may pass to one service.
file = io.BytesIO()
with zipfile.ZipFile(file, 'w') as archive:
    archive.writestr('index.py', 'def handler(e, c): pass')
iam = client('iam', 'dev')
role = iam.create_role(RoleName='run', Path='/own/', AssumeRolePolicyDocument=json.dumps(TRUST))['Role']['Arn']
iam.create_user(UserName='passer')
may = [{'Effect': 'Allow', 'Action': ['lambda:*', 'cloudformation:*'], 'Resource': '*'}, {'Effect': 'Allow', 'Action': 'iam:PassRole', 'Resource': role, 'Condition': {'StringEquals': {'iam:PassedToService': 'lambda.amazonaws.com'}}}]
iam.put_user_policy(UserName='passer', PolicyName='p', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': may}))
key = iam.create_access_key(UserName='passer')['AccessKey']
of = lambda service: boto3.Session(key['AccessKeyId'], key['SecretAccessKey']).client(service)
by_hand = lambda role=role, **more: told(of('lambda').create_function, FunctionName='by-hand', Runtime='python3.12', Handler='index.handler', Role=role, Code={'ZipFile': file.getvalue()}, **more)
answer['calls'] = [by_hand(MemorySize=20480), by_hand(role='arn:aws:iam::111111111111:role/foreign'), by_hand(role=role + '-other'), by_hand()]
answer['stack'] = told(of('cloudformation').delete_stack, StackName='passed', RoleARN=role)
"#,
    );
    let (calls, run) = (&found["calls"], "arn:aws:iam::222222222222:role/own/run");
    assert_eq!(calls[0][0], "InvalidParameterValueException", "{calls}");
    assert!(calls[0][1].to_string().contains("less than or equal to 10240"), "{calls}");
    assert_eq!(calls[1][1], "Cross-account pass role is not allowed.", "{calls}");
    assert!(calls[2][1].to_string().contains(&format!("iam:PassRole on resource: {run}-other")), "{calls}");
    assert_eq!(calls[3][1], "it is not refused", "{calls}");
    let stack = &found["stack"];
    assert_eq!(stack[0], "AccessDenied", "{stack}");
    assert!(stack[1].to_string().contains(&format!("iam:PassRole on resource: {run} ")), "{stack}");
    assert_eq!(
        (&found["made"][0], &found["deleted"][0]),
        (&json!("CREATE_COMPLETE"), &json!("DELETE_FAILED"))
    );
    let why = found["deleted"][1].to_string();
    assert!(
        why.contains("B AWS::S3::Bucket: ") && why.contains("The bucket you tried to delete is not empty"),
        "{why}"
    );
    for refused in found["passed"].as_array().unwrap() {
        assert_eq!(refused, &json!(["AccessDenied", "Cross-account pass role is not allowed."]));
    }
    rolled_back(&found["function"], &["Cross-account pass role is not allowed."]);
}
