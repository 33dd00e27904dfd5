//! Packages that are named by the version of their object, on a local cloud with the real bucket and the real roles: what was approved
//! is what runs, or nothing.

use causeway_testing::Project;
use causeway_testing::aws::Client;

/// An application of one function, deployed as the pipeline deploys: a change set with the execution role.
const APP: &str = r#"
import base64, hashlib, time

KEY = 'packages/f/ab.zip'
STACK = 'causeway-app-dev'
FUNCTION = STACK + '-f'
ROLE = 'arn:aws:iam::222222222222:role/causeway-eu-central-1-cfn-exec'

def package(text):
    body = io.BytesIO()
    with zipfile.ZipFile(body, 'w') as files:
        files.writestr(zipfile.ZipInfo('bootstrap'), '#!/bin/sh\n# ' + text + '\n')
    return body.getvalue()

def put(text):
    client('s3').delete_object(Bucket=BUCKET, Key=KEY)
    return client('s3').put_object(Bucket=BUCKET, Key=KEY, Body=package(text), IfNoneMatch='*',
        ServerSideEncryption='aws:kms', SSEKMSKeyId=BASE['KeyArn'])['VersionId']

def forget(version):
    client('s3').delete_object(Bucket=BUCKET, Key=KEY, VersionId=version)

def template(version):
    role = {'Type': 'AWS::IAM::Role', 'Properties': {
        'Path': '/causeway-app/',
        'PermissionsBoundary': {'Fn::Sub': 'arn:aws:iam::${AWS::AccountId}:policy/causeway-${AWS::Region}-boundary'},
        'AssumeRolePolicyDocument': {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': 'lambda.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]}}}
    function = {'Type': 'AWS::Serverless::Function', 'Properties': {
        'FunctionName': FUNCTION, 'Runtime': 'provided.al2023', 'Handler': 'bootstrap',
        'Role': {'Fn::GetAtt': ['Role', 'Arn']},
        'CodeUri': {'Bucket': BUCKET, 'Key': KEY, 'Version': version}}}
    return json.dumps({'Transform': 'AWS::Serverless-2016-10-31', 'Resources': {'Role': role, 'F': function}})

cfn = client('cloudformation', 'dev')

def planned(version, kind='UPDATE'):
    name = 'c' + version.replace('-', '')
    cfn.create_change_set(StackName=STACK, ChangeSetName=name, ChangeSetType=kind, RoleARN=ROLE, TemplateBody=template(version),
        Capabilities=['CAPABILITY_IAM', 'CAPABILITY_AUTO_EXPAND'])
    cfn.get_waiter('change_set_create_complete').wait(StackName=STACK, ChangeSetName=name, WaiterConfig={'Delay': 1})
    return name

def settled():
    for _ in range(600):
        status = cfn.describe_stacks(StackName=STACK)['Stacks'][0]['StackStatus']
        if not status.endswith('_IN_PROGRESS'):
            return status
        time.sleep(0.2)
    return status

def executed(name):
    cfn.execute_change_set(StackName=STACK, ChangeSetName=name)
    return settled()

def runs():
    digest = client('lambda', 'dev').get_function_configuration(FunctionName=FUNCTION)['CodeSha256']
    texts = {base64.b64encode(hashlib.sha256(package(text)).digest()).decode(): text for text in ('one', 'two', 'other')}
    return texts.get(digest, digest)

def failures():
    events = cfn.describe_stack_events(StackName=STACK)['StackEvents']
    return [e['LogicalResourceId'] + ': ' + e.get('ResourceStatusReason', '') for e in events if e['ResourceStatus'] == 'UPDATE_FAILED']

def refused(call):
    try:
        call()
        return 'it is not refused'
    except ClientError as error:
        return error.response['Error']['Code'] + ': ' + error.response['Error']['Message']
"#;

const SHOW: &str = r#"
answer = {}
one = put('one')
# Other bytes beside the version, and in its place for whoever names the key alone.
other = put('other')
answer['created'] = [executed(planned(one, 'CREATE')), runs()]
# The approved version goes between the change set and its execution.
two = put('two')
name = planned(two)
forget(two)
put('other')
answer['gone'] = [executed(name), runs()]
answer['why'] = failures()
# Naming it anew is refused, and so is a function that is not there yet.
answer['named'] = refused(lambda: planned(two))
answer['alone'] = refused(lambda: client('cloudformation', 'dev').create_stack(StackName='causeway-app-new', RoleARN=ROLE,
    TemplateBody=template(two).replace(FUNCTION, 'causeway-app-new-f'), Capabilities=['CAPABILITY_IAM', 'CAPABILITY_AUTO_EXPAND']))
# Code that does not change is not read again, gone or not.
forget(one)
cfn.update_stack(StackName=STACK, RoleARN=ROLE, TemplateBody=template(one).replace('"Handler"', '"Timeout": 9, "Handler"'),
    Capabilities=['CAPABILITY_IAM', 'CAPABILITY_AUTO_EXPAND'])
answer['unchanged'] = [settled(), runs()]
"#;

#[test]
fn the_version_that_was_approved_runs_or_nothing_changes() {
    let mut project = Project::new();
    project.up();
    let bootstrapped = project.run(&["bootstrap", "--yes"]);
    assert_eq!(bootstrapped.code, 0, "{}", bootstrapped.error());
    let aws = Client::of(&project);
    let found = aws.ask(&format!("{APP}\n{SHOW}"));
    assert_eq!(found["created"], serde_json::json!(["CREATE_COMPLETE", "one"]), "{found}");
    assert_eq!(found["gone"], serde_json::json!(["UPDATE_ROLLBACK_COMPLETE", "one"]), "{found}");
    let why = found["why"].to_string();
    for word in ["F: ", "Error occurred while GetObject. S3 Error Code: NoSuchVersion", "packages/f/ab.zip"] {
        assert!(why.contains(word), "{word}: {found}");
    }
    for name in ["named", "alone"] {
        let said = found[name].as_str().unwrap();
        assert!(said.starts_with("ValidationError: ") && said.contains("NoSuchVersion"), "{name}: {found}");
    }
    assert_eq!(found["unchanged"], serde_json::json!(["UPDATE_COMPLETE", "one"]), "{found}");
}
