//! What was approved is what runs: packages that somebody exchanges after the approval, and what stops them where the packaged
//! template does not pin their versions. Each step stands on the cloud of the one before it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};
use serde_json::{Value, json};

const FUNCTION: &str = "causeway-app-prod-contacts";

fn rehearse(project: &Project, more: &[&str]) -> Ended {
    project.run(&[&["rehearse", "--approve", "auto", "--keep", "--minute", "100ms"], more].concat())
}

fn verdict(ended: &Ended) -> (i32, &str) {
    (ended.code, ended.result()["verdict"].as_str().unwrap())
}

/// The function as prod serves it: Lambda's number of the version, and the digest of its code in hexadecimal digits.
fn served(aws: &Client) -> Value {
    aws.ask(&format!(
        "import base64\nfound = client('lambda', 'prod').get_function_configuration(FunctionName='{FUNCTION}', Qualifier='live')\nanswer = {{'version': found['Version'], 'digest': base64.b64decode(found['CodeSha256']).hex()}}"
    ))
}

/// What the last build recorded of the function's package.
fn packaged(aws: &Client) -> Value {
    aws.ask(
        "record = json.loads(newest('BuildOutput')['package.json'])\nanswer = next(one for one in record['functions'] if one['name'] == 'contacts')",
    )
}

/// Other bytes that the source makes, so that the release brings a package.
fn edit(project: &Project) {
    project.edit("api/src/bin/contacts/main.rs", "//! ", "//! Edited. ");
    project.commit();
}

fn warned(ended: &Ended, word: &str) -> bool {
    ended.of_type("warning").any(|line| line["message"].as_str().unwrap().contains(word))
}

/// Updates prod to the packaged template of the last release without the versions of packages: what lies under their keys
/// is what CloudFormation takes. Another release parameter publishes a version of each function.
const UNPINNED: &str = r#"
import base64, re, time
cfn, files = client('cloudformation', 'prod'), newest('BuildOutput')
template = re.sub(r'(CodeUri: \{[^}]*?), *Version: [^,}]+', r'\1', files['template.yaml'])
assert template.count('CodeUri: {') == files['template.yaml'].count(', Version: ') > 0, template
assert not re.search(r'CodeUri:[^\n]*Version', template), template

def update(release, **other):
    given = json.loads(files['params-prod.json'])
    values = {**given.get('Parameters', given), 'ContactsRelease': release, **other}
    stack = 'causeway-app-prod'
    parameters = [{'ParameterKey': name, 'ParameterValue': value} for name, value in values.items()]
    cfn.update_stack(StackName=stack, TemplateBody=template, Parameters=parameters, Capabilities=['CAPABILITY_NAMED_IAM', 'CAPABILITY_AUTO_EXPAND'], RoleARN=f"arn:aws:iam::{IDS['prod']}:role/causeway-eu-central-1-cfn-exec")
    # It gives up after ten minutes, when whatever it is hangs on however busy a machine.
    for _ in range(6000):
        status = cfn.describe_stacks(StackName=stack)['Stacks'][0]['StackStatus']
        if not status.endswith('_IN_PROGRESS'):
            break
        time.sleep(0.1)
    deploy = client('codedeploy', 'prod')
    newest_deployment = deploy.list_deployments()['deployments'][0]
    return {'status': status, 'deployment': deploy.get_deployment(deploymentId=newest_deployment)['deploymentInfo']}
"#;

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn packages_that_are_exchanged_after_their_approval_do_not_run() {
    let project = Project::clone_of_repository();
    let first = rehearse(&project, &["--no-baseline"]);
    assert_eq!(verdict(&first), (0, "released"), "{} {}", first.error(), first.stderr);
    let aws = Client::from_printed(&first);
    let old = served(&aws);
    assert_eq!(old["digest"], packaged(&aws)["sha256"]);

    // The approved version is gone: the update fails before any traffic.
    edit(&project);
    let deleted = rehearse(&project, &["--swap-package"]);
    assert_eq!(verdict(&deleted), (5, "rolled-back"), "{} {}", deleted.error(), deleted.stderr);
    let package = packaged(&aws);
    assert_ne!(package["sha256"], old["digest"]);
    for part in ["NoSuchVersion", package["key"].as_str().unwrap()] {
        assert!(deleted.error().contains(part), "{part}: {}", deleted.error());
    }
    assert!(warned(&deleted, "was deleted"), "{:?}", deleted.lines);
    let moved = |line: &&Value| line["env"] == "prod" && line["new_weight"] != 0;
    assert_eq!(deleted.of_type("weight").filter(moved).count(), 0, "no traffic moved");
    assert_eq!(served(&aws), old);
    let versions = |ended: &Ended| ended.result()["data"]["versions"]["prod"].clone();
    assert_eq!(versions(&deleted), versions(&first));

    // Other bytes beside it: what was approved is what runs.
    edit(&project);
    let beside = rehearse(&project, &["--swap-package=beside"]);
    assert_eq!(verdict(&beside), (0, "released"), "{} {}", beside.error(), beside.stderr);
    assert!(warned(&beside, "beside it"), "{:?}", beside.lines);
    let (package, approved) = (packaged(&aws), served(&aws));
    assert_eq!(approved["digest"], package["sha256"]);
    let under_key = aws.ask(&format!(
        "import hashlib\nanswer = hashlib.sha256(client('s3').get_object(Bucket=BUCKET, Key={})['Body'].read()).hexdigest()",
        package["key"]
    ));
    assert_ne!(under_key, package["sha256"], "other bytes are what a key without a version gives");

    // With the pin taken out the hook before traffic stops them.
    let stopped = aws.ask(&format!("{UNPINNED}\nanswer = update('a' * 64)"));
    assert_eq!(stopped["status"], "UPDATE_ROLLBACK_COMPLETE", "{stopped}");
    let why = stopped["deployment"]["errorInformation"]["message"].as_str().unwrap();
    for part in ["not what was packaged", under_key.as_str().unwrap(), package["sha256"].as_str().unwrap()] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(served(&aws), approved);
    // The hook alone: one that is told no digest lets the same update pass.
    let passed = aws.ask(&format!("{UNPINNED}\nanswer = update('b' * 64, ContactsCodeSha256='')"));
    assert_eq!(passed["status"], "UPDATE_COMPLETE", "{passed}");
    assert_eq!(served(&aws)["digest"], under_key);
    assert_eq!(json!(passed["deployment"]["status"]), "Succeeded");
}
