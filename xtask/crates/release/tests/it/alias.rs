//! What any client sees of an alias while its traffic is shifted, and what any way in gets: one state, the alias's own.

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::{Value, json};

/// A function behind an alias, a queue and a topic. What it was invoked with is appended to a file: version, way, step.
const STACK: &str = r#"
import os, tempfile, time
cfn, deploy, functions = client('cloudformation', 'dev'), client('codedeploy', 'dev'), client('lambda', 'dev')
queues, topics = client('sqs', 'dev'), client('sns', 'dev')
NAME, DIR = 'shares', os.path.join(tempfile.gettempdir(), 'causeway-' + os.environ['AWS_ENDPOINT_URL'].rsplit(':', 1)[1])
os.makedirs(DIR, exist_ok=True)
SEEN, GO = os.path.join(DIR, 'seen'), os.path.join(DIR, 'go')
CODE = '''
def handler(event, context):
    records = event.get('Records', [event])
    bodies = [record.get('body') or record.get('Sns', {}).get('Message') or record.get('said') for record in records]
    with open(%r, 'a') as seen:
        seen.write(''.join(f'VERSION {body}\\n' for body in bodies))
    return 'VERSION'
'''
WHO = "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Arn']\n"
HOOK = '''
import boto3, os, time
def handler(event, context):
    while not os.path.exists(%r):
        time.sleep(0.05)
    boto3.client('codedeploy').put_lifecycle_event_hook_execution_status(deploymentId=event['DeploymentId'], lifecycleEventHookExecutionId=event['LifecycleEventHookExecutionId'], status='Failed')
'''

def template(version, hook=False, policy=True):
    get = lambda id, attribute: {'Fn::GetAtt': [id, attribute]}
    by = lambda service: {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': service}, 'Action': 'sts:AssumeRole'}]}
    may = [{'PolicyName': 'all', 'PolicyDocument': {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}}]
    role = lambda service: {'Type': 'AWS::IAM::Role', 'Properties': {'AssumeRolePolicyDocument': by(service), 'Policies': may}}
    function = lambda code: {'Type': 'AWS::Lambda::Function', 'Properties': {'Runtime': 'python3.12', 'Handler': 'index.handler', 'Timeout': 300, 'Role': get('Role', 'Arn'), 'Code': {'ZipFile': code}}}
    shift = {'ApplicationName': {'Ref': 'App'}, 'DeploymentGroupName': {'Ref': 'Group'}}
    if hook:
        shift['BeforeAllowTrafficHook'] = {'Ref': 'Hook'}
    all = {
        'Role': role('lambda.amazonaws.com'), 'ShiftRole': role('codedeploy.amazonaws.com'),
        'Who': function(WHO), 'Hook': function(HOOK % GO), 'F': function((CODE % SEEN).replace('VERSION', version)),
        version: {'Type': 'AWS::Lambda::Version', 'DeletionPolicy': 'Retain', 'Properties': {'FunctionName': {'Ref': 'F'}}},
        'Live': {'Type': 'AWS::Lambda::Alias', 'Properties': {'FunctionName': {'Ref': 'F'}, 'FunctionVersion': get(version, 'Version'), 'Name': 'live'}},
        'App': {'Type': 'AWS::CodeDeploy::Application', 'Properties': {'ComputePlatform': 'Lambda'}},
        'Group': {'Type': 'AWS::CodeDeploy::DeploymentGroup', 'Properties': {'ApplicationName': {'Ref': 'App'}, 'ServiceRoleArn': get('ShiftRole', 'Arn'), 'DeploymentConfigName': 'CodeDeployDefault.LambdaLinear10PercentEvery1Minute', 'DeploymentStyle': {'DeploymentType': 'BLUE_GREEN', 'DeploymentOption': 'WITH_TRAFFIC_CONTROL'}}},
        'Queue': {'Type': 'AWS::SQS::Queue', 'Properties': {'VisibilityTimeout': 600}},
        'Mapping': {'Type': 'AWS::Lambda::EventSourceMapping', 'Properties': {'EventSourceArn': get('Queue', 'Arn'), 'FunctionName': {'Ref': 'Live'}}},
        'Topic': {'Type': 'AWS::SNS::Topic', 'Properties': {'Subscription': [{'Protocol': 'lambda', 'Endpoint': {'Ref': 'Live'}}]}},
        'Notifies': {'Type': 'AWS::Lambda::Permission', 'Properties': {'FunctionName': {'Ref': 'Live'}, 'Action': 'lambda:InvokeFunction', 'Principal': 'sns.amazonaws.com'}},
    }
    if policy:
        all['Live']['UpdatePolicy'] = {'CodeDeployLambdaAliasUpdate': shift}
    return json.dumps({'Resources': all})

WORDS = dict(StackName=NAME, Capabilities=['CAPABILITY_NAMED_IAM'])
def create(version, **words): cfn.create_stack(TemplateBody=template(version, **words), **WORDS)
def update(version, **words): cfn.update_stack(TemplateBody=template(version, **words), **WORDS)
def status(): return cfn.describe_stacks(StackName=NAME)['Stacks'][0]['StackStatus']
def physical(id): return cfn.describe_stack_resource(StackName=NAME, LogicalResourceId=id)['StackResourceDetail']['PhysicalResourceId']

def alias():
    found = functions.get_alias(FunctionName=physical('F'), Name='live')
    return [found['FunctionVersion'], found.get('RoutingConfig', {}).get('AdditionalVersionWeights', {})]

def invoke(said='', name=None):
    answer = functions.invoke(FunctionName=name or physical('F') + ':live', Payload=json.dumps({'said': said}))
    return [answer['ExecutedVersion'], json.loads(answer['Payload'].read())]

def seen(): return open(SEEN).read().split('\n')[:-1] if os.path.exists(SEEN) else []

# It gives up after ten minutes, when whatever it is hangs on however busy a machine.
def wait_for(what):
    until = time.monotonic() + 600
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise Exception('it never came')

def settled(): return wait_for(lambda: (lambda now: not now.endswith('_IN_PROGRESS') and now)(status()))
def deployments(): return [deploy.get_deployment(deploymentId=id)['deploymentInfo']['status'] for id in deploy.list_deployments()['deployments']]
"#;

fn ask(aws: &Client, script: &str) -> Value {
    aws.ask(&format!("{STACK}\n{script}"))
}

/// Twenty messages at each step of a shift through the queue, and ten through the topic and by calls: whoever asks for the
/// alias sees the old version with the new one's weight, and each way in has just that share by itself.
#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn every_way_in_follows_the_weights_that_every_client_sees() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let created = ask(&aws, "create('one')\nanswer = [settled(), alias(), invoke(name=physical('Who'))[1]]");
    assert_eq!((&created[0], &created[1]), (&json!("CREATE_COMPLETE"), &json!(["1", {}])), "{created}");
    // A function in Python reaches AWS by boto3.
    assert!(created[2].as_str().unwrap().contains(":assumed-role/"), "{created}");

    project.minute(6_000);
    let shifted = ask(
        &aws,
        r"
update('two')
queue, topic, known, states = physical('Queue'), physical('Topic'), [], []
def way(name, count, send):
    for _ in range(count):
        before, done = alias(), len(seen())
        send(name)
        wait_for(lambda: len(seen()) > done)
        known.append([name, before, alias()])
def ended(): return not status().endswith('_IN_PROGRESS')
while not ended() and len(states) < 10:
    state = alias()
    if state in states or not state[1]:
        time.sleep(0.02)
        continue
    states.append(state)
    way('queue', 20, lambda name: queues.send_message(QueueUrl=queue, MessageBody=name))
    way('topic', 10, lambda name: topics.publish(TopicArn=topic, Message=name))
    way('call', 10, invoke)
end = settled()
way('queue', 200 - sum(name == 'queue' for name, *_ in known), lambda name: queues.send_message(QueueUrl=queue, MessageBody=name))
answer = {'states': states, 'known': known, 'seen': seen(), 'end': [end, alias(), deployments()], 'after': invoke('over')}
",
    );
    assert_eq!(shifted["end"], json!(["UPDATE_COMPLETE", ["2", {}], ["Succeeded"]]), "{shifted}");
    assert_eq!(shifted["after"], json!(["2", "two"]));
    let states = shifted["states"].as_array().unwrap();
    for state in states {
        assert_eq!(state[0], "1", "{shifted}");
        let weights = state[1].as_object().unwrap();
        assert!(weights.len() == 1 && weights.contains_key("2"), "{shifted}");
    }
    assert!(states.windows(2).all(|pair| pair[0][1]["2"].as_f64() < pair[1][1]["2"].as_f64()), "{shifted}");
    let (known, seen) = (shifted["known"].as_array().unwrap(), shifted["seen"].as_array().unwrap());
    assert_eq!(known.iter().filter(|one| one[0] == "queue").count(), 200);
    let mut judged = 0;
    for name in ["queue", "topic", "call"] {
        for state in states {
            // What came while the weight changed belongs to neither step.
            let own = known
                .iter()
                .zip(seen)
                .filter(|(one, _)| one[0] == name && one[1] == *state && one[2] == *state);
            let answers: Vec<&str> = own.map(|(_, seen)| seen.as_str().unwrap()).collect();
            let new = answers.iter().filter(|seen| **seen == format!("two {name}")).count() as f64;
            let due = answers.len() as f64 * state[1]["2"].as_f64().unwrap();
            assert!((new - due).abs() <= 1.0, "{name} at {}: {new}, not {due}: {shifted}", state[1]["2"]);
            judged += answers.len();
        }
    }
    assert!(judged > 100, "the steps were too short to see anything: {shifted}");
}

/// Before its hook has reported, a new version gets nothing, whoever asks; and a failed release leaves the alias as it was.
#[test]
fn an_alias_stays_where_it_is_until_its_hook_has_passed() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    assert_eq!(ask(&aws, "create('one')\nanswer = settled()"), "CREATE_COMPLETE");
    let found = ask(
        &aws,
        r"
update('two', hook=True)
wait_for(lambda: deployments() == ['InProgress'])
during = [[invoke()[0] for _ in range(10)], alias(), status(), [version['Version'] for version in functions.list_versions_by_function(FunctionName=physical('F'))['Versions']]]
try:
    update('three')
    refused = 'it is not refused'
except ClientError as error:
    refused = error.response['Error']['Code']
still = [invoke()[0], alias()]
open(GO, 'w').close()
answer = {'during': during, 'refused': refused, 'still': still, 'end': [settled(), alias(), deployments()], 'after': [invoke()[0] for _ in range(10)]}
",
    );
    assert_eq!(found["during"][0], json!(vec!["1"; 10]), "{found}");
    assert_eq!(found["during"][1], json!(["1", {}]), "{found}");
    assert_eq!(found["during"][2], "UPDATE_IN_PROGRESS", "{found}");
    assert_eq!(found["during"][3], json!(["$LATEST", "1", "2"]), "{found}");
    assert_eq!(
        (&found["refused"], &found["still"]),
        (&json!("ValidationError"), &json!(["1", ["1", {}]])),
        "{found}"
    );
    assert_eq!(found["end"], json!(["UPDATE_ROLLBACK_COMPLETE", ["1", {}], ["Failed"]]), "{found}");
    assert_eq!(found["after"], json!(vec!["1"; 10]), "{found}");

    // Nothing holds it any longer: without a group it moves at once, and weights that a person sets count for all.
    project.minute(10);
    let found = ask(
        &aws,
        r"
update('four', policy=False)
at_once = [settled(), alias(), invoke()[1]]
name = physical('F')
functions.update_alias(FunctionName=name, Name='live', RoutingConfig={'AdditionalVersionWeights': {'1': 0.1}})
by_hand = [invoke()[1] for _ in range(100)]
functions.update_alias(FunctionName=name, Name='live', RoutingConfig={'AdditionalVersionWeights': {}})
answer = {'at once': at_once, 'by hand': [by_hand.count('one'), by_hand.count('four')], 'then': sorted({invoke()[1] for _ in range(20)})}
",
    );
    assert_eq!(
        (&found["at once"][0], &found["at once"][2]),
        (&json!("UPDATE_COMPLETE"), &json!("four")),
        "{found}"
    );
    assert_eq!((&found["by hand"], &found["then"]), (&json!([10, 90]), &json!(["four"])), "{found}");
}
