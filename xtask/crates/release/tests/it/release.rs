//! One cloud, kept over five rehearsals: everything the contract says of a release, as a script and an ordinary AWS
//! client see it, and what is left of it after one that is rejected, one that fails its tests, one that does not get
//! out of the build, and one that is not committed.
//!
//! They are one test, since each begins where the one before it ended.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use causeway_machine::cmd::cmd;
use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project, read, shell, workspace};
use serde_json::{Value, json};

const FUNCTIONS: [&str; 2] = ["checkin", "contacts"];

/// Every stage and action of the contract, with what stands behind it.
const ACTIONS: [(&str, &str, &str); 10] = [
    ("setup", "LocalCloud", "executed"),
    ("setup", "Bootstrap", "executed"),
    ("setup", "Baseline", "executed"),
    ("Source", "Source", "simulated"),
    ("Build", "Build", "executed"),
    ("Dev", "Deploy", "executed"),
    ("Dev", "IntegrationTests", "executed"),
    ("Prod", "CreateChangeSet", "executed"),
    ("Prod", "Approve", "simulated"),
    ("Prod", "ExecuteChangeSet", "executed"),
];

/// The last line of an action.
fn step<'a>(ended: &'a Ended, stage: &str, action: &str) -> &'a Value {
    let own = |line: &&Value| line["stage"] == stage && line["action"] == action && line["sub"].is_null();
    let last = ended.of_type("step").filter(own).last();
    last.unwrap_or_else(|| panic!("no step {stage}/{action}: {}", ended.stderr))
}

/// How each action of Prod, and the one before, ended.
fn statuses(ended: &Ended, actions: &[(&str, &str)]) -> Vec<String> {
    let status =
        |(stage, action): &(&str, &str)| step(ended, stage, action)["status"].as_str().unwrap().to_owned();
    actions.iter().map(status).collect()
}

fn verdict(ended: &Ended) -> (i32, &str) {
    (ended.code, ended.result()["verdict"].as_str().unwrap())
}

/// The text of every warning.
fn warnings(ended: &Ended) -> Vec<&str> {
    ended.of_type("warning").map(|line| line["message"].as_str().unwrap()).collect()
}

/// What a deployed function says its version is.
fn answers(url: &str, function: &str) -> Value {
    let route = if function == "checkin" { "api/version" } else { "api/contacts/version" };
    let sh = shell(&workspace());
    let body = read(cmd!(sh, "curl --silent --fail --noproxy * {url}{route}"));
    let body: Value = serde_json::from_str(&body).unwrap();
    body["version"].clone()
}

#[test]
fn a_release_on_a_kept_cloud_and_what_becomes_of_the_ones_after_it() {
    let project = Project::clone_of_repository();
    let pages = tempfile::tempdir().unwrap();
    let page = pages.path().join("report.html");
    let words = ["rehearse", "--approve", "auto", "--keep", "--report", page.to_str().unwrap()];
    let released = project.run(&words);
    assert_eq!(verdict(&released), (0, "released"), "{} {}", released.error(), released.stderr);
    every_action_is_there(&released);
    causeway_testing::page::hold(&page, released.result());
    both_functions_shift_side_by_side(&released);
    let aws = Client::from_printed(&released);
    what_is_printed_leads_any_client_there(&project, &released, &aws);
    what_is_deployed_is_what_was_packaged(&released, &aws);
    protected_routes_of_prod_want_the_right_signature(&project, &aws);

    listen(&aws);
    let rejected = a_rejected_release_leaves_prod_alone(&project, &released, &aws);
    notices_read_as_a_subscriber_reads_them(&rejected, &aws);
    the_tests_of_the_pipeline_sign_their_calls(&aws);
    a_failed_test_stops_before_prod(&project);
    a_failing_unit_test_stops_at_build(&project, &aws);
    a_working_tree_is_released_and_said(&project, &released, &aws);
    nobody_is_left_in_logs_and_records(&project, &aws);
}

fn every_action_is_there(ended: &Ended) {
    for (stage, action, mode) in ACTIONS {
        let last = step(ended, stage, action);
        assert_eq!((&last["status"], &last["mode"]), (&json!("succeeded"), &json!(mode)), "{last}");
        assert!(last["seconds"].is_number(), "{last}");
    }
    let known: BTreeSet<(&str, &str)> = ACTIONS.iter().map(|(stage, action, _)| (*stage, *action)).collect();
    for line in ended.of_type("step") {
        let name = (line["stage"].as_str().unwrap(), line["action"].as_str().unwrap());
        assert!(known.contains(&name), "the contract has no {name:?}");
    }
    // In the pipeline's order.
    let order: Vec<&str> = ended
        .of_type("step")
        .filter(|line| line["status"] == "succeeded" && line["sub"].is_null())
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(order, ACTIONS.map(|(_, action, _)| action));
    let result = ended.result();
    assert_eq!(result["data"]["working_tree"], false);
    let reason = step(ended, "Source", "Source")["reason"].as_str().unwrap();
    assert_eq!(reason, format!("commit {}", &result["commit"].as_str().unwrap()[..12]));
    assert_eq!(step(ended, "Prod", "Approve")["reason"], "approved by --approve auto");
}

fn both_functions_shift_side_by_side(ended: &Ended) {
    let part = |function: &str, sub: &str| -> &Value {
        let own = |line: &&Value| {
            line["stage"] == "Prod"
                && line["action"] == "ExecuteChangeSet"
                && line["sub"] == sub
                && line["function"] == function
        };
        ended.of_type("step").filter(own).last().unwrap_or_else(|| panic!("no {sub} of {function}"))
    };
    let prod: Vec<&Value> = ended.of_type("weight").filter(|line| line["env"] == "prod").collect();
    for function in FUNCTIONS {
        for (sub, mode) in [("pre-hook", "executed"), ("shift", "simulated"), ("post-hook", "executed")] {
            let line = part(function, sub);
            assert_eq!((&line["status"], &line["mode"]), (&json!("succeeded"), &json!(mode)), "{line}");
        }
        let own: Vec<&&Value> = prod.iter().filter(|line| line["function"] == function).collect();
        let steps: Vec<(u64, u64)> = own
            .iter()
            .map(|line| (line["t_minutes"].as_u64().unwrap(), line["new_weight"].as_u64().unwrap()))
            .collect();
        assert_eq!(steps, (0..10).map(|n| (n, 10 * (n + 1))).collect::<Vec<_>>(), "{function}");
        let new = own[0]["new"].as_str().unwrap();
        assert!(own.iter().all(|line| line["new"] == new && line["old"] != new));

        let probes: Vec<&Value> = ended
            .of_type("probe")
            .filter(|line| line["env"] == "prod" && line["function"] == function)
            .collect();
        let asked: Vec<u64> = probes.iter().map(|probe| probe["new_weight"].as_u64().unwrap()).collect();
        assert_eq!(asked, (1..=10).map(|n| 10 * n).collect::<Vec<_>>(), "{function}: one for each weight");
        let mut sent = 0.0;
        for probe in &probes {
            let number = |value: &Value| value.as_f64().unwrap();
            let share = number(&probe["sent"]) * number(&probe["new_weight"]) / 100.0;
            let found = probe["by_version"].get(new).map_or(0.0, number);
            assert!((found - share).abs() <= 1.0, "{probe}");
            assert_eq!(probe["errors"], 0, "{probe}");
            sent += number(&probe["sent"]);
        }
        assert!(sent >= 10.0, "{function} was asked {sent} times");
    }
    let order: Vec<&str> = prod.iter().map(|line| line["function"].as_str().unwrap()).collect();
    let (first, last) = (order.first().unwrap(), order.last().unwrap());
    let other = FUNCTIONS.iter().find(|name| name != &first).unwrap();
    let begins = order.iter().position(|name| name == other).unwrap();
    assert!(begins < order.iter().rposition(|name| name == first).unwrap(), "one after the other: {order:?}");
    assert_eq!(order.len(), 20, "{first} … {last}");
}

fn what_is_printed_leads_any_client_there(project: &Project, ended: &Ended, aws: &Client) {
    let told = project.run(&["local", "env"]);
    let told = told.result()["data"]["env"].as_object().unwrap().clone();
    for (name, value) in &told {
        assert_eq!(aws.variable(name), value.as_str().unwrap(), "{name}");
    }
    let urls = &ended.result()["data"]["urls"];
    assert_eq!((&told["CAUSEWAY_DEV_URL"], &told["CAUSEWAY_PROD_URL"]), (&urls["dev"], &urls["prod"]));
    let stacks = aws.ask(
        "answer = {account: sorted(f\"{stack['StackName']} {stack['StackStatus']}\" for stack in client('cloudformation', account).list_stacks()['StackSummaries'] if stack['StackStatus'] != 'DELETE_COMPLETE') for account in IDS}",
    );
    let expected = json!({
        "build": ["causeway-build-base CREATE_COMPLETE", "causeway-pipeline CREATE_COMPLETE"],
        "dev": ["causeway-app-dev UPDATE_COMPLETE", "causeway-target-roles CREATE_COMPLETE"],
        "prod": ["causeway-app-prod UPDATE_COMPLETE", "causeway-target-roles CREATE_COMPLETE"],
    });
    assert_eq!(stacks, expected);
}

fn what_is_deployed_is_what_was_packaged(ended: &Ended, aws: &Client) {
    let found = aws.ask(
        "record = json.loads(newest('BuildOutput')['package.json'])\nheads = {f['name']: client('s3').head_object(Bucket=BUCKET, Key=f['key']) for f in record['functions']}\nanswer = {'record': record, 'key': BASE['KeyArn'], 'heads': {name: [head['ServerSideEncryption'], head['SSEKMSKeyId'], head['ContentLength']] for name, head in heads.items()}}",
    );
    let (record, result) = (&found["record"], ended.result());
    assert_eq!(record["commit"], result["commit"]);
    let functions = record["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 4, "two functions and two hooks: {record}");
    for function in functions {
        let name = function["name"].as_str().unwrap();
        let head = &found["heads"][name];
        assert_eq!(head, &json!(["aws:kms", found["key"], function["bytes"]]), "{name}");
        if FUNCTIONS.contains(&name) {
            for env in ["dev", "prod"] {
                assert_eq!(result["data"]["versions"][env][name], function["version"], "{env} {name}");
                let url = result["data"]["urls"][env].as_str().unwrap();
                assert_eq!(answers(url, name), function["version"], "{env} {name}");
            }
        }
    }
}

/// `integration-test` as the test role of the build account, against prod, whose protected routes want a signature.
fn test_prod(project: &Project, aws: &Client, keys: &Value) -> Ended {
    let mut command = project.command(&["integration-test"]);
    command.envs(aws.without_profile().map(|(name, value)| (name, value)));
    // In CodeBuild the role's keys are in the environment, and no profile is asked for.
    command.env("CODEBUILD_BUILD_ID", "test").env_remove("AWS_PROFILE");
    for (name, key) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ] {
        command.env(name, keys[key].as_str().unwrap());
    }
    command.env("API_URL", aws.variable("CAUSEWAY_PROD_URL")).env("API_AUTH", "AWS_IAM");
    command.env("API_CLIENT_ROLE_ARN", "arn:aws:iam::333333333333:role/causeway-eu-central-1-api-client");
    project.run_command(&mut command)
}

fn protected_routes_of_prod_want_the_right_signature(project: &Project, aws: &Client) {
    let url = format!("{}api/registrations?dt=2000-01-01", aws.variable("CAUSEWAY_PROD_URL"));
    let found = aws.ask(&format!(
        "url = '{url}'\npipeline, test = become('build', 'pipeline'), become('build', 'test')\nanswer = {{\n 'unsigned': call('GET', url),\n 'of another account': call('GET', url, test),\n 'without the right': call('GET', url, become('prod', 'action', pipeline)),\n 'not the test role': [refused(account, 'api-client', become('build', role)) for account in ('dev', 'prod') for role in ('pipeline', 'build')],\n 'prod by the test role': refused('prod', 'api-client', test),\n 'dev by the test role': bool(become('dev', 'api-client', test)),\n 'test': test}}",
    ));
    for who in ["unsigned", "of another account", "without the right"] {
        assert_eq!(found[who], 403, "{who}");
    }
    assert_eq!(found["not the test role"], json!(vec!["AccessDenied"; 4]), "{found}");
    // Prod trusts the test role, but the pipeline's stack lets that role enter dev alone.
    assert_eq!(found["prod by the test role"], "AccessDenied");
    assert_eq!(found["dev by the test role"], true);
    let refused = test_prod(project, aws, &found["test"]);
    assert_eq!(refused.code, 1, "{}", refused.error());
    assert!(refused.error().contains("causeway-eu-central-1-api-client"), "{}", refused.error());

    // With the right to enter prod, too, everything that the tests do is answered there.
    let test = aws.ask(
        "client('iam').put_role_policy(RoleName='causeway-eu-central-1-test', PolicyName='prod', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 'sts:AssumeRole', 'Resource': 'arn:aws:iam::333333333333:role/causeway-eu-central-1-api-client'}]}))\nanswer = become('build', 'test')",
    );
    let tested = test_prod(project, aws, &test);
    assert_eq!(verdict(&tested), (0, "done"), "{} {}", tested.error(), tested.stderr);
    let record = &tested.result()["data"];
    assert_eq!(record["auth"], "AWS_IAM");
    let passed = record["checks"].as_array().unwrap();
    assert!(passed.contains(&json!("protected routes refuse unsigned calls")), "{record}");
    assert!(passed.contains(&json!("registrations are removed")), "{record}");
    let signed = aws.ask(&format!(
        "answer = call('GET', '{url}', become('prod', 'api-client', become('build', 'test')))\nclient('iam').delete_role_policy(RoleName='causeway-eu-central-1-test', PolicyName='prod')"
    ));
    assert_eq!(signed, 200);
}

/// Subscribes a queue to both topics.
fn listen(aws: &Client) {
    aws.ask(
        "sqs, sns = client('sqs'), client('sns')\nqueue = sqs.create_queue(QueueName='listener')['QueueUrl']\narn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=['QueueArn'])['Attributes']['QueueArn']\nallow = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': 'sns.amazonaws.com'}, 'Action': 'sqs:SendMessage', 'Resource': arn}]}\nsqs.set_queue_attributes(QueueUrl=queue, Attributes={'Policy': json.dumps(allow)})\nfound = outputs('causeway-pipeline')\nfor topic in ('ApprovalTopicArn', 'FailureTopicArn'):\n    sns.subscribe(TopicArn=found[topic], Protocol='sqs', Endpoint=arn)\nanswer = None",
    );
}

fn a_rejected_release_leaves_prod_alone(project: &Project, before: &Ended, aws: &Client) -> Ended {
    project.edit("api/src/bin/checkin/main.rs", "//! ", "//! Edited. ");
    // From now on the pipeline's own tests sign, too.
    project.edit("cfn/stacks.toml", "ApiAuth = \"NONE\"   ", "ApiAuth = \"AWS_IAM\"");
    project.commit();
    let ended = project.run(&["rehearse", "--approve", "reject", "--keep"]);
    assert_eq!(verdict(&ended), (1, "rejected"), "{} {}", ended.error(), ended.stderr);
    let actions = [
        ("Dev", "IntegrationTests"),
        ("Prod", "CreateChangeSet"),
        ("Prod", "Approve"),
        ("Prod", "ExecuteChangeSet"),
    ];
    assert_eq!(statuses(&ended, &actions), ["succeeded", "succeeded", "failed", "not-run"]);
    assert_eq!(step(&ended, "Prod", "Approve")["reason"], "rejected by --approve reject");
    let (old, new) = (&before.result()["data"]["versions"], &ended.result()["data"]["versions"]);
    assert_eq!(new["prod"], old["prod"]);
    assert_ne!(new["dev"]["checkin"], old["dev"]["checkin"]);
    assert_eq!(new["dev"]["contacts"], old["dev"]["contacts"], "it was not edited");
    assert_eq!(answers(aws.variable("CAUSEWAY_PROD_URL"), "checkin"), old["prod"]["checkin"]);
    assert_eq!(ended.of_type("weight").filter(|line| line["env"] == "prod").count(), 0);
    ended
}

fn notices_read_as_a_subscriber_reads_them(ended: &Ended, aws: &Client) {
    let printed: Vec<[&str; 3]> = ended
        .of_type("notice")
        .map(|line| ["topic", "subject", "message"].map(|part| line[part].as_str().unwrap()))
        .collect();
    let [approval, failure] = printed.as_slice() else { panic!("{printed:?}") };
    assert_eq!((approval[0], failure[0]), ("causeway-approval", "causeway-failure"));
    assert_eq!(approval[1], "APPROVAL NEEDED: causeway action Approve");
    let execution = approval[2].split("execution ").nth(1).unwrap().split('.').next().unwrap();
    assert_eq!(execution.len(), 36, "{approval:?}");
    for part in [
        format!("change set causeway-{execution} of stack causeway-app-prod in eu-central-1"),
        format!("/pipelines/causeway/executions/{execution}/timeline?region=eu-central-1"),
    ] {
        assert!(approval[2].contains(&part), "{part}: {approval:?}");
    }
    assert_eq!(failure[1], "AWS Notification Message");
    let rows: Vec<&str> = failure[2].lines().collect();
    assert!(rows[0].starts_with("The pipeline causeway failed at 20"), "{rows:?}");
    assert_eq!(rows[1], format!("Execution: {execution}"));
    assert_eq!(
        rows[2],
        format!(
            "Details: https://eu-central-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/causeway/executions/{execution}/timeline?region=eu-central-1"
        )
    );
    assert!(!failure[2].contains(['<', '"']), "the transformer's marks are gone: {failure:?}");

    let heard = aws.ask(
        "sqs = client('sqs')\nqueue = sqs.get_queue_url(QueueName='listener')['QueueUrl']\nfound = []\nwhile batch := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get('Messages', []):\n    for message in batch:\n        body = json.loads(message['Body'])\n        found.append([body['TopicArn'].split(':')[-1], body.get('Subject'), body['Message']])\n        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message['ReceiptHandle'])\nanswer = sorted(found)",
    );
    assert_eq!(heard, json!(printed), "what was printed is what arrived");
}

/// The release that was rejected has been tested in dev where protected routes asked for a signature.
fn the_tests_of_the_pipeline_sign_their_calls(aws: &Client) {
    let record = aws.ask("answer = json.loads(newest('TestOutput')['result.json'])");
    assert_eq!((&record["auth"], &record["passed"]), (&json!("AWS_IAM"), &json!(true)), "{record}");
}

fn a_failed_test_stops_before_prod(project: &Project) {
    let ended = project.run(&["rehearse", "--approve", "auto", "--fail-test", "--keep"]);
    assert_eq!(verdict(&ended), (1, "failed"), "{} {}", ended.error(), ended.stderr);
    let actions = [
        ("Dev", "Deploy"),
        ("Dev", "IntegrationTests"),
        ("Prod", "CreateChangeSet"),
        ("Prod", "Approve"),
        ("Prod", "ExecuteChangeSet"),
    ];
    assert_eq!(statuses(&ended, &actions), ["succeeded", "failed", "not-run", "not-run", "not-run"]);
    let said = warnings(&ended);
    assert!(said.iter().any(|text| text.contains("Dev would be rolled back")), "{said:?}");
}

/// What the build handed on: every package, and every artifact.
const UPLOADED: &str = "answer = sorted(found['Key'] for prefix in ('packages/', 'causeway/BuildOutpu', 'causeway/Tool') for found in keys_below(prefix))";

fn a_failing_unit_test_stops_at_build(project: &Project, aws: &Client) {
    let (good, broken) = ("\"jane%2Bx%40example.com\"", "\"jane%2Bx%40example.org\"");
    project.edit("api/src/query.rs", good, broken);
    project.commit();
    let before = aws.ask(UPLOADED);
    assert!(!before.as_array().unwrap().is_empty());
    let ended = project.run(&["rehearse", "--approve", "auto", "--keep"]);
    assert_eq!(verdict(&ended), (1, "failed"), "{} {}", ended.error(), ended.stderr);
    let actions = ACTIONS.map(|(stage, action, _)| (stage, action));
    let expected = ["succeeded", "failed", "not-run", "not-run", "not-run", "not-run", "not-run"];
    assert_eq!(statuses(&ended, &actions[3..]), expected);
    let name = "query::tests::what_is_encoded_is_decoded_again";
    let reason = step(&ended, "Build", "Build")["reason"].as_str().unwrap();
    assert!(reason.contains(name) && reason.contains("cargo xtask test --report"), "{reason}");
    assert!(ended.error().contains(name), "{}", ended.error());
    assert_eq!(aws.ask(UPLOADED), before, "nothing is uploaded");
    let said = warnings(&ended);
    assert!(
        !said.iter().any(|text| text.contains("tried once more")),
        "failed tests are not repeated: {said:?}"
    );
    let junit = causeway_testing::workspace()
        .join("target/causeway/rehearsal/source/target/causeway/reports/junit.xml");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains(name) && junit.contains("<failure"), "{junit}");
    project.edit("api/src/query.rs", broken, good);
    project.commit();
}

fn a_working_tree_is_released_and_said(project: &Project, before: &Ended, aws: &Client) {
    project.edit("api/src/bin/contacts/main.rs", "//! ", "//! Edited. ");
    std::fs::write(project.path().join("a note.txt"), "not tracked").unwrap();
    // There is no terminal here: `ask`, the default, approves and says so.
    let ended = project.run(&["rehearse", "--keep", "--minute", "100ms"]);
    assert_eq!(verdict(&ended), (0, "released"), "{} {}", ended.error(), ended.stderr);
    assert_eq!(step(&ended, "Prod", "Approve")["reason"], "approved (no terminal to ask in)");
    let said = warnings(&ended);
    assert!(said.iter().any(|text| text.starts_with("2 files differ from the commit")), "{said:?}");
    let result = ended.result();
    assert_eq!(result["data"]["working_tree"], true);
    let commit = result["commit"].as_str().unwrap();
    let reason = step(&ended, "Source", "Source")["reason"].as_str().unwrap();
    assert_eq!(reason, format!("commit {} + 2 uncommitted files", &commit[..12]));

    // What answers is what was edited, and the package's record says which version that is.
    let record = aws.ask("answer = json.loads(newest('BuildOutput')['package.json'])");
    let contacts = record["functions"].as_array().unwrap().iter().find(|f| f["name"] == "contacts").unwrap();
    let old = &before.result()["data"]["versions"]["prod"]["contacts"];
    assert_ne!(&contacts["version"], old);
    for env in ["dev", "prod"] {
        let url = result["data"]["urls"][env].as_str().unwrap();
        assert_eq!(answers(url, "contacts"), contacts["version"], "{env}");
    }
}

/// The tests let made-up people check in; nothing that is kept of a release knows of them.
fn nobody_is_left_in_logs_and_records(project: &Project, aws: &Client) {
    let nobody = |text: &str, whose: &str| {
        for person in ["@example.com", "%40example.com", "Test Person", "@EXAMPLE.COM", "+1 555"] {
            assert!(!text.contains(person), "{person} is in {whose}");
        }
    };
    let found = aws.ask(
        "logs = {}\nfor account in IDS:\n    log = client('logs', account)\n    for group in log.describe_log_groups()['logGroups']:\n        name = group['logGroupName']\n        pages = log.get_paginator('filter_log_events').paginate(logGroupName=name)\n        logs[f'{account} {name}'] = '\\n'.join(event['message'] for page in pages for event in page['events'])\nanswer = {'logs': logs, 'tests': newest('TestOutput')}",
    );
    let logs = found["logs"].as_object().unwrap();
    for (group, text) in logs {
        nobody(text.as_str().unwrap(), group);
    }
    for env in ["dev", "prod"] {
        let log = logs[&format!("{env} /aws/lambda/causeway-app-{env}-checkin")].as_str().unwrap();
        assert!(log.contains("\"level\":\"INFO\"") && log.contains("POST"), "{env} logs its requests: {log}");
    }
    let files = found["tests"].as_object().unwrap();
    let files: Vec<(&String, &str)> =
        files.iter().map(|(name, text)| (name, text.as_str().unwrap())).collect();
    let [("result.json", record)] =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect::<Vec<_>>()[..]
    else {
        panic!("{files:?}")
    };
    nobody(record, "the test artifact");
    let record: Value = serde_json::from_str(record).unwrap();
    let known =
        ["api", "version", "auth", "passed", "checks", "requests", "locations", "registrations", "seconds"];
    let names: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(known));
    let ids = record["registrations"].as_array().unwrap();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id.as_str().unwrap()).is_ok()), "{record}");
    // What the tool itself wrote down: builds, tests, the edge, the emulator.
    let dir = project.path().join("target/causeway/local/logs");
    let mut read = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // The unit tests are about made-up people, too, and one was broken on purpose.
        if path.ends_with("causeway-build.log") {
            continue;
        }
        nobody(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), &path.display().to_string());
        read += 1;
    }
    assert!(read >= 2, "the cloud and the tests leave logs");
}
