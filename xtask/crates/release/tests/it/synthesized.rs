//! An application that CDK synthesized, brought to the local cloud as any AWS client does: its API answers, its release is shifted
//! behind its hooks, and a hook that says no takes both functions back.

use causeway_testing::Project;
use causeway_testing::aws::Client;
use serde_json::{Value, json};

/// See the folder's README.
const SYNTHESIZED: &str = include_str!("../../../testing/fixtures/cdk.json");

/// The stack with other versions, as CDK names them anew with every change, and what is seen of it.
const SHOP: &str = r#"
import re, time
cfn, deploy = client('cloudformation', 'dev'), client('codedeploy', 'dev')

def words(release, answer, verdict):
    body = re.sub('(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}', lambda found: found[1] + f'{release:032x}', TEMPLATE)
    given = {'Answer': answer, 'Verdict': verdict}
    parameters = [{'ParameterKey': key, 'ParameterValue': value} for key, value in given.items()]
    return {'StackName': 'shop', 'TemplateBody': body, 'Parameters': parameters, 'Capabilities': ['CAPABILITY_IAM']}

# It gives up after twenty minutes, when whatever it is hangs on however busy a machine.
def settled():
    for _ in range(12000):
        status = cfn.describe_stacks(StackName='shop')['Stacks'][0]['StackStatus']
        if not status.endswith('_IN_PROGRESS'):
            return status
        time.sleep(0.1)
    raise Exception('it is never settled')

def said(path):
    url = outputs('shop', 'dev')['ApiURL'] + path
    return URLLib3Session().send(AWSRequest('GET', url).prepare()).content.decode()

def deployments():
    found = {}
    for group in ['OrdersGroupB6A64648', 'BillsGroup85005095']:
        detail = lambda id: cfn.describe_stack_resource(StackName='shop', LogicalResourceId=id)['StackResourceDetail']['PhysicalResourceId']
        application = detail(group[:-8] + 'Application' + {'O': 'F3AA08CB', 'B': '7C18081E'}[group[0]])
        ids = deploy.list_deployments(applicationName=application, deploymentGroupName=detail(group))['deployments']
        found[group[:-13]] = [deploy.get_deployment(deploymentId=id)['deploymentInfo'] for id in ids]
    return found

def seen():
    status = settled()
    reasons = {name: [(one['status'], one.get('errorInformation', {}).get('message')) for one in all] for name, all in deployments().items()}
    return {'status': status, 'orders': said('orders'), 'bills': said('bills'), 'deployments': reasons}
"#;

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn an_application_of_cdk_is_released_and_rolled_back_when_its_hook_says_no() {
    let mut project = Project::new();
    project.up();
    let aws = Client::of_empty(&project);
    let ask = |script: &str| aws.ask(&format!("TEMPLATE = {}\n{SHOP}\n{script}", Value::from(SYNTHESIZED)));

    let created = ask("cfn.create_stack(**words(1, 'first', 'Succeeded'))\nanswer = seen()");
    let first = json!({"status": "CREATE_COMPLETE", "orders": "Orders first", "bills": "Bills first", "deployments": {"Orders": [], "Bills": []}});
    assert_eq!(created, first, "the first create shifts nothing");

    project.minute(500);
    let released = ask("cfn.update_stack(**words(2, 'second', 'Succeeded'))\nanswer = seen()");
    assert_eq!(released["status"], "UPDATE_COMPLETE", "{released}");
    assert_eq!((&released["orders"], &released["bills"]), (&json!("Orders second"), &json!("Bills second")));
    for function in ["Orders", "Bills"] {
        assert_eq!(released["deployments"][function], json!([["Succeeded", null]]), "{released}");
    }

    let refused = ask("cfn.update_stack(**words(3, 'third', 'Failed'))\nanswer = seen()");
    assert_eq!(refused["status"], "UPDATE_ROLLBACK_COMPLETE", "{refused}");
    assert_eq!(
        (&refused["orders"], &refused["bills"]),
        (&json!("Orders second"), &json!("Bills second")),
        "{refused}"
    );
    let all = refused["deployments"].to_string();
    assert!(all.contains("After") && all.contains("Failed"), "the hook is named: {all}");
}
