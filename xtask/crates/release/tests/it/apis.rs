//! APIs as other people write them down, asked at the addresses that their stacks' outputs name, and alarms on what they answer.

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::json;

use crate::any_client::ask;

/// Templates with `CODE` for what a function answers.
const STACKS: &str = r#"
s3, deploy = client('s3', 'dev'), client('codedeploy', 'dev')
PATHS = '''
openapi: 3.0.1
info: {title: shop, version: '1'}
paths:
  /arn: {get: {x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, payloadFormatVersion: '2.0', uri: {Fn::Sub: 'arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Orders.Arn}:live/invocations'}}}}
  /alias: {get: {x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, payloadFormatVersion: '2.0', uri: {Fn::Sub: 'arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Orders.Alias}/invocations'}}}}
  /one: {get: {x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, payloadFormatVersion: '1.0', uri: {Fn::Sub: 'arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Orders.Arn}/invocations'}}}}
  /out: {get: {x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, payloadFormatVersion: '1.0', uri: 'https://example.com/'}}}
'''
HTTP = '''
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
BODY
  Orders: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: index.handler, AutoPublishAlias: live, InlineCode: "def handler(e, c): return {'statusCode': 200, 'body': e['version'] + ' ' + c.invoked_function_arn.split(':', 7)[-1]}"}}
Outputs: {Url: {Value: !Sub 'https://${Api}.execute-api.${AWS::Region}.amazonaws.com/'}}
'''
INCLUDED = '        Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://shop-documents/paths.yaml}}'
REST = '''
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      AutoPublishAlias: live
      InlineCode: "def handler(e, c): return {'statusCode': CODE, 'body': 'CODE'}"
      DeploymentPreference: {Type: Canary10Percent10Minutes, Alarms: [!Ref Broken]}
      Events:
        Get: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /orders, Method: get}}
        Rest: {Type: Api, Properties: {RestApiId: !Ref Api, Path: '/orders/{proxy+}', Method: any}}
  Api: {Type: AWS::Serverless::Api, Properties: {Name: shop, StageName: v1}}
  Broken: {Type: AWS::CloudWatch::Alarm, Properties: {Namespace: AWS/ApiGateway, MetricName: 5XXError, Dimensions: [{Name: ApiName, Value: shop}], Statistic: Sum, Period: 60, EvaluationPeriods: 1, Threshold: 1, ComparisonOperator: GreaterThanOrEqualToThreshold, TreatMissingData: notBreaching}}
Outputs: {Url: {Value: !Sub 'https://${Api}.execute-api.${AWS::Region}.amazonaws.com/v1/'}}
'''

def get(url):
    answer = URLLib3Session().send(AWSRequest('GET', url).prepare())
    return [answer.status_code, answer.content.decode()]

def deployed(name, text):
    made = create(text, name)
    assert made[1] == 'it is not refused', made
    assert settled(name) == 'CREATE_COMPLETE', (name, settled(name))
    return outputs(name, 'dev')['Url']
"#;

#[test]
fn an_api_answers_however_it_is_written_down_and_its_alarm_stops_a_shift() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let found = ask(
        &aws,
        &format!(
            "{STACKS}\n{}",
            r"
s3.create_bucket(Bucket='shop-documents', CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})
s3.put_object(Bucket='shop-documents', Key='paths.yaml', Body=PATHS.encode())
inline = ''.join(f'        {row}\n' for row in PATHS.strip().split('\n'))
answer = {}
for name, body in (('inline', inline), ('included', INCLUDED)):
    url = deployed(name, HTTP.replace('BODY\n', body.rstrip() + '\n'))
    answer[name] = [get(url + path) for path in ('arn', 'alias', 'one', 'out', 'none')]
    answer[name].append(url.startswith('http://127.0.0.1:'))
url = deployed('rest', REST.replace('CODE', '200'))
root = url[:-len('v1/')]
answer['rest'] = [get(url + 'orders'), get(url + 'orders/a/b'), get(url + 'none'), get(root + 'orders')]
"
        ),
    );
    for name in ["inline", "included"] {
        let seen = &found[name];
        assert_eq!(seen[0], json!([200, "2.0 live"]), "{name}: {found}");
        assert_eq!(seen[1], json!([200, "2.0 live"]), "{name}: {found}");
        assert_eq!(seen[2][0], 200, "{name}: {found}");
        assert!(seen[2][1].as_str().is_some_and(|said| said.starts_with("1.0 ")), "{name}: {found}");
        assert_eq!(seen[3][0], 501, "{name}: {found}");
        assert!(seen[3][1].to_string().contains("http_proxy, which only AWS has"), "{name}: {found}");
        assert_eq!((&seen[4][0], &seen[5]), (&json!(404), &json!(true)), "{name}: {found}");
    }
    let rest: Vec<_> = found["rest"].as_array().into_iter().flatten().map(|seen| seen[0].clone()).collect();
    assert_eq!(rest, [json!(200), json!(200), json!(403), json!(403)], "{found}");

    // The alarm on what the API answers is what stops the shift; every client of the API drives it.
    project.minute(500);
    let found = ask(
        &aws,
        &format!(
            "{STACKS}\n{}",
            r"
url = outputs('rest', 'dev')['Url']
cfn.update_stack(StackName='rest', TemplateBody=REST.replace('CODE', '500'), Capabilities=CAPABILITIES)
seen = set()
while status('rest').endswith('_IN_PROGRESS'):
    seen.add(get(url + 'orders')[0])
ids = deploy.list_deployments()['deployments']
answer = [status('rest'), sorted(seen), [deploy.get_deployment(deploymentId=id)['deploymentInfo'].get('errorInformation', {}).get('message') for id in ids], get(url + 'orders')]
"
        ),
    );
    assert_eq!(found[0], "UPDATE_ROLLBACK_COMPLETE", "{found}");
    assert_eq!(found[1], json!([200, 500]), "both versions answered: {found}");
    assert!(found[2].to_string().contains("Broken"), "the alarm is named: {found}");
    assert_eq!(found[3], json!([200, "200"]));
}
