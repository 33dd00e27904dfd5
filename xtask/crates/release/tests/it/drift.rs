//! `doctor --drift` on a local cloud: what was changed by hand is found, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};

/// What was seen of drift: the finding's id and severity, and what it says.
fn seen(ended: &Ended) -> Vec<(String, String, String)> {
    let findings = ended.result()["data"]["findings"].as_array().unwrap();
    let text = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = findings.iter().filter(|one| text(one, "id").starts_with("drift-"));
    all.map(|one| (text(one, "id"), text(one, "severity"), text(one, "seen"))).collect()
}

#[test]
fn what_somebody_changed_by_hand_is_found_and_nothing_else_is() {
    let mut project = Project::new();
    project.up();
    assert_eq!(project.run(&["bootstrap", "--yes"]).code, 0);
    let clean = project.run(&["doctor", "--drift"]);
    let all = seen(&clean);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|(_, severity, _)| severity == "ok"), "{all:?}");
    assert_eq!(seen(&project.run(&["doctor"])), [], "it is not asked for");
    let client = Client::of_empty(&project);
    client.ask(
        "
iam, role = client('iam', 'dev'), 'causeway-eu-central-1-action'
iam.put_role_policy(RoleName=role, PolicyName='more', PolicyDocument=json.dumps({'Statement': {'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}}))
iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps({'Statement': {'Effect': 'Allow', 'Principal': {'AWS': '*'}, 'Action': 'sts:AssumeRole'}}))
iam.attach_role_policy(RoleName='causeway-eu-central-1-cfn-exec', PolicyArn='arn:aws:iam::aws:policy/AdministratorAccess')
build, base = client('cloudformation'), 'causeway-build-base'
found = {one['LogicalResourceId']: one['PhysicalResourceId'] for one in build.describe_stack_resources(StackName=base)['StackResources']}
client('s3').delete_bucket_policy(Bucket=found['ArtifactBucket'])
key = json.loads(client('kms').get_key_policy(KeyId=found['ArtifactKey'], PolicyName='default')['Policy'])
key['Statement'].append({'Effect': 'Allow', 'Principal': {'AWS': 'arn:aws:iam::999999999999:root'}, 'Action': 'kms:Decrypt', 'Resource': '*'})
client('kms').put_key_policy(KeyId=found['ArtifactKey'], PolicyName='default', Policy=json.dumps(key))
answer = None",
    );
    let found = project.run(&["doctor", "--drift"]);
    assert_eq!(found.code, 1, "{}", found.error());
    let all = seen(&found);
    for (id, said) in [
        ("drift-dev-target-roles", "policy: + ActionRole may now s3:* on *"),
        ("drift-dev-target-roles", "trust: + anybody may now sts:AssumeRole"),
        ("drift-dev-target-roles", "AdministratorAccess is attached, and is not in the template"),
        ("drift-build-build-base", "bucket policy: "),
        ("drift-build-build-base", "key policy: + account 999999999999 may now kms:Decrypt on *"),
    ] {
        assert!(
            all.iter().any(|(of, severity, seen)| of == id && severity == "error" && seen.contains(said)),
            "{id} {said}: {all:#?}"
        );
    }
    // Nobody touched these.
    for id in ["drift-prod-target-roles", "drift-build-pipeline"] {
        let of: Vec<_> = all.iter().filter(|(of, ..)| of == id).collect();
        assert!(of.len() == 1 && of[0].1 == "ok", "{of:?}");
    }
}
