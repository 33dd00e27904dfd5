//! Shifts that other people's templates ask for, in whatever way they are written: by a parameter, in Globals, in a loop; and alarms
//! that stop one, or that nobody here evaluates.

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::{Value, json};

use crate::any_client::ask;

/// Templates with `CODE` for what a function says, and how each is deployed.
const STACKS: &str = r#"
deploy = client('codedeploy', 'dev')

PARAMETER = '''
Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String, Default: live}}
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.12, Handler: index.handler, InlineCode: "def handler(e, c): return 'CODE'", AutoPublishAlias: !Ref Stage, DeploymentPreference: {Type: Canary10Percent5Minutes}}
'''
GLOBALS = '''
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.12
    Handler: index.handler
    AutoPublishAlias: live
    DeploymentPreference: {Type: Canary10Percent5Minutes, Alarms: [!Ref Errors], Hooks: {PreTraffic: !Ref Before}}
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: "def handler(e, c): return 'CODE'", DeploymentPreference: {Alarms: [!Ref Slow], Hooks: {PostTraffic: !Ref After}}}
  Before: {Type: AWS::Serverless::Function, Properties: {DeploymentPreference: {Enabled: false}, InlineCode: "def handler(e, c): raise Exception('no')"}}
  After: {Type: AWS::Serverless::Function, Properties: {DeploymentPreference: {Enabled: false}, InlineCode: "def handler(e, c): pass"}}
  Errors: {Type: AWS::CloudWatch::Alarm, Properties: {Namespace: AWS/Lambda, MetricName: Errors, Statistic: Sum, Period: 60, EvaluationPeriods: 1, Threshold: 1, ComparisonOperator: GreaterThanOrEqualToThreshold}}
  Slow: {Type: AWS::CloudWatch::Alarm, Properties: {Namespace: AWS/Lambda, MetricName: Duration, Statistic: Maximum, Period: 60, EvaluationPeriods: 1, Threshold: 60000, ComparisonOperator: GreaterThanOrEqualToThreshold}}
'''
LOOP = '''
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Resources:
  Fn::ForEach::Functions:
    - Name
    - [Orders, Bills]
    - ${Name}Function:
        Type: AWS::Serverless::Function
        Properties: {Runtime: python3.12, Handler: index.handler, InlineCode: "def handler(e, c): return 'CODE'", AutoPublishAlias: live, DeploymentPreference: {Type: Canary10Percent5Minutes}}
'''
ALARMED = '''
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.12, Handler: index.handler, InlineCode: "def handler(e, c): return 'CODE'", AutoPublishAlias: live, DeploymentPreference: {Type: Canary10Percent5Minutes, Alarms: [!Ref Incident, !Ref Rate]}}
  Incident: {Type: AWS::CloudWatch::Alarm, Properties: {AlarmName: incident, Namespace: AWS/Lambda, MetricName: Errors, Statistic: Sum, Period: 60, EvaluationPeriods: 1, Threshold: 1, ComparisonOperator: GreaterThanOrEqualToThreshold, TreatMissingData: ignore}}
  Rate:
    Type: AWS::CloudWatch::Alarm
    Properties:
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Threshold: 5
      Metrics:
        - {Id: rate, Expression: 100 * errors}
        - {Id: errors, ReturnData: false, MetricStat: {Stat: Sum, Period: 60, Metric: {Namespace: AWS/Lambda, MetricName: Errors}}}
'''
MACHINE = '''
Transform: AWS::Serverless-2016-10-31
Resources:
  Flow:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Done, States: {Done: {Type: Succeed}}}
      AutoPublishAlias: live
      DeploymentPreference: {Type: CANARY, Interval: 5, Percentage: 10}
'''

def update(name, text):
    cfn.update_stack(StackName=name, TemplateBody=text, Capabilities=CAPABILITIES)
    return settled(name)

def types(name):
    return sorted(one['ResourceType'] for one in cfn.describe_stack_resources(StackName=name)['StackResources'])

def deployments(name):
    found = [deploy.get_deployment(deploymentId=id)['deploymentInfo'] for id in deploy.list_deployments()['deployments']]
    return sorted([one['deploymentConfigName'], one['status'], (one.get('errorInformation') or {}).get('message', '')] for one in found if one['applicationName'].startswith(name))
"#;

#[test]
fn a_shift_is_done_however_it_was_asked_for() {
    let mut project = Project::new();
    project.up();
    project.minute(10);
    let aws = Client::of_empty(&project);
    let found = ask(
        &aws,
        &format!(
            "{STACKS}\n{}",
            r#"
answer = {}
for name, text in (('parameter', PARAMETER), ('globals', GLOBALS), ('loop', LOOP), ('alarmed', ALARMED), ('machine', MACHINE)):
    made = create(text.replace('CODE', 'one'), name)
    assert made[1] == 'it is not refused', (name, made)
for name, text in (('parameter', PARAMETER), ('globals', GLOBALS), ('loop', LOOP), ('alarmed', ALARMED)):
    made = settled(name)
    answer[name] = [made, update(name, text.replace('CODE', 'two')), deployments(name)]
answer['machine'] = [settled('machine'), types('machine')]
answer['types'] = types('alarmed')
# Whoever sets an alarm stops the next shift, and until it is over nothing is released.
alarms = client('cloudwatch', 'dev')
alarms.set_alarm_state(AlarmName='incident', StateValue='ALARM', StateReason='incident')
answer['incident'] = [update('alarmed', ALARMED.replace('CODE', 'three')), deployments('alarmed')]
alarms.set_alarm_state(AlarmName='incident', StateValue='OK', StateReason='over')
answer['over'] = update('alarmed', ALARMED.replace('CODE', 'four'))
"#
        ),
    );
    let canary = "CodeDeployDefault.LambdaCanary10Percent5Minutes";
    let shifted = |count: usize| json!(vec![json!([canary, "Succeeded", ""]); count]);
    for (name, count) in [("parameter", 1), ("loop", 2), ("alarmed", 1)] {
        let expected = json!(["CREATE_COMPLETE", "UPDATE_COMPLETE", shifted(count)]);
        assert_eq!(found[name], expected, "{name}");
    }
    // The hook of Globals is there beside the function's own, and fails it.
    let globals = &found["globals"];
    assert_eq!((&globals[0], &globals[1]), (&json!("CREATE_COMPLETE"), &json!("UPDATE_ROLLBACK_COMPLETE")));
    assert!(globals[2].to_string().contains("Before"), "{globals}");
    let machine = found["machine"][1].as_array().unwrap();
    assert_eq!(found["machine"][0], "CREATE_COMPLETE");
    for kind in ["AWS::StepFunctions::StateMachineAlias", "AWS::StepFunctions::StateMachineVersion"] {
        assert!(machine.contains(&Value::from(kind)), "{machine:?}");
    }
    // Metric math is no reason not to make the stack, and every client sees an alarm.
    let alarms = found["types"].as_array().unwrap().iter().filter(|kind| **kind == "AWS::CloudWatch::Alarm");
    assert_eq!(alarms.count(), 2, "{}", found["types"]);
    assert_eq!(found["incident"][0], "UPDATE_ROLLBACK_COMPLETE", "{}", found["incident"]);
    assert!(found["incident"][1].to_string().contains("incident"), "{}", found["incident"]);
    assert_eq!(found["over"], "UPDATE_COMPLETE");
}
