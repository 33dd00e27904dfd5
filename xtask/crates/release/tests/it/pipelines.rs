//! Pipelines of other shapes than the demo's, whole: what an action does is looked at in the cloud that it was done in. Their build
//! compiles nothing, so each release takes seconds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};
use serde_json::Value;

const PIPELINE: &str = "cfn/pipeline.yaml";

/// A build that copies, with a parameter and a secret of the local cloud.
const BUILD: &str = r#"version: 0.2
env:
  parameter-store: {DB_URL: /shop/db-url}
  secrets-manager: {TOKEN: 'shop/token:value', WHOLE: shop/plain}
phases:
  build:
    commands:
      - test "$DB_URL" = postgres://db && test "$TOKEN" = s3cr3t-token && test "$WHOLE" = s3cr3t-whole
      - echo "the token is $TOKEN"
      - mkdir -p out/buildspecs out/files/deep
      - cp cfn/light.yaml out/template.yaml && cp cfn/side.yaml out/side.yaml
      - echo '{}' > out/params-dev.json && echo '{}' > out/params-prod.json
      - cp buildspecs/test.yml out/buildspecs/test.yml && echo one > out/files/one.txt && echo two > out/files/deep/two.txt
artifacts:
  secondary-artifacts:
    BuildOutput: {base-directory: out, files: ['**/*']}
    Tool: {base-directory: out, files: ['**/*']}
    Files: {base-directory: out/files, files: ['**/*']}
"#;

const TEST: &str = "version: 0.2\nphases:\n  build:\n    commands:\n      - mkdir -p out && echo x > out/x\nartifacts: {base-directory: out, files: ['**/*']}\n";

/// An application with what does less here than on AWS, marked as this project's, which `package` does for templates of a release.
const APP: &str = r#"Metadata: {Causeway: {project: causeway, stack: app}}
Resources:
  Topic: {Type: AWS::SNS::Topic}
  Queue: {Type: AWS::SQS::Queue}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]}
  Function:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: index.handler, Role: !GetAtt Role.Arn, Code: {ZipFile: "def handler(e, c): return 1"}}
  Address:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !GetAtt Function.Arn, AuthType: AWS_IAM}
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties: {ScheduleExpression: rate(1 minute), FlexibleTimeWindow: {Mode: 'OFF'}, Target: {Arn: !GetAtt Function.Arn, RoleArn: !GetAtt Role.Arn}}
  ErrorRate:
    Type: AWS::CloudWatch::Alarm
    Properties:
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Threshold: 5
      Metrics:
        - {Id: rate, Expression: 100 * errors / calls}
        - {Id: errors, ReturnData: false, MetricStat: {Stat: Sum, Period: 60, Metric: {Namespace: AWS/Lambda, MetricName: Errors}}}
        - {Id: calls, ReturnData: false, MetricStat: {Stat: Sum, Period: 60, Metric: {Namespace: AWS/Lambda, MetricName: Invocations}}}
Outputs:
  ApiURL: {Value: 'http://127.0.0.1:9/'}
  CheckinVersion: {Value: a}
  ContactsVersion: {Value: a}
  ApiAuth: {Value: NONE}
  ApiClientRoleArn: {Value: x}
"#;

/// What the pipeline's stack has besides: whoever may do everything, a function that reports its job, a bucket, values for builds.
const BESIDES: &str = r#"  Everything:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: everything
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Action: '*', Resource: '*'}]}
      Roles: [!Ref PipelineRole, !Ref BuildRole, !Ref ReporterRole, !Ref SideRole]
  SideRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: cloudformation.amazonaws.com}, Action: sts:AssumeRole}]}
  ReporterRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]}
  Reporter:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: reporter
      Runtime: python3.12
      Handler: index.handler
      Timeout: 60
      Role: !GetAtt ReporterRole.Arn
      Code:
        ZipFile: |
          import boto3, io, zipfile
          def handler(event, context):
              job = event['CodePipeline.job']
              data, keys = job['data'], job['data']['artifactCredentials']
              where = data['inputArtifacts'][0]['location']['s3Location']
              s3 = boto3.client('s3', aws_access_key_id=keys['accessKeyId'], aws_secret_access_key=keys['secretAccessKey'], aws_session_token=keys['sessionToken'])
              body = s3.get_object(Bucket=where['bucketName'], Key=where['objectKey'])['Body'].read()
              names = zipfile.ZipFile(io.BytesIO(body)).namelist()
              boto3.client('codepipeline').put_job_success_result(jobId=job['id'], outputVariables={'Channel': data['actionConfiguration']['configuration']['UserParameters'], 'Files': str(len(names))})
  Uploads:
    Type: AWS::S3::Bucket
    Properties: {BucketName: uploads-of-the-pipeline}
  DbUrl:
    Type: AWS::SSM::Parameter
    Properties: {Name: /shop/db-url, Type: String, Value: 'postgres://db'}
  Token:
    Type: AWS::SecretsManager::Secret
    Properties: {Name: shop/token, SecretString: '{"value": "s3cr3t-token"}'}
  Plain:
    Type: AWS::SecretsManager::Secret
    Properties: {Name: shop/plain, SecretString: s3cr3t-whole}

"#;

/// Actions of Dev behind its tests.
const ACTIONS: &str = r#"            - Name: Tell
              RunOrder: 3
              Namespace: Told
              ActionTypeId: {Category: Invoke, Owner: AWS, Provider: Lambda, Version: '1'}
              Configuration: {FunctionName: !Ref Reporter, UserParameters: stable}
              InputArtifacts:
                - Name: Files
            - Name: Upload
              RunOrder: 4
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: S3, Version: '1'}
              Configuration: {BucketName: !Ref Uploads, Extract: 'true', ObjectKey: '#{Told.Channel}/#{Told.Files}'}
              InputArtifacts:
                - Name: Files
            - Name: Side
              RunOrder: 4
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: CloudFormation, Version: '1'}
              Configuration: {ActionMode: REPLACE_ON_FAILURE, StackName: side, RoleArn: !GetAtt SideRole.Arn, TemplatePath: 'BuildOutput::side.yaml'}
              InputArtifacts:
                - Name: BuildOutput
            - Name: Gone
              RunOrder: 4
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: CloudFormation, Version: '1'}
              Configuration: {ActionMode: CREATE_UPDATE, StackName: gone, RoleArn: !GetAtt SideRole.Arn, TemplatePath: 'BuildOutput::side.yaml'}
              InputArtifacts:
                - Name: BuildOutput
            - Name: Remove
              RunOrder: 5
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: CloudFormation, Version: '1'}
              Configuration: {ActionMode: DELETE_ONLY, StackName: gone, RoleArn: !GetAtt SideRole.Arn}
"#;

/// A second change set, of a stack that has nothing to change, made after prod's and before the approval.
const SECOND: &str = r#"            - Name: SideChangeSet
              RunOrder: 2
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: CloudFormation, Version: '1'}
              Configuration: {ActionMode: CHANGE_SET_REPLACE, ChangeSetName: side, StackName: side, RoleArn: !GetAtt SideRole.Arn, TemplatePath: 'BuildOutput::side.yaml'}
              InputArtifacts:
                - Name: BuildOutput
"#;

/// Clones share the workspace's builds, and where the tool is kept for them: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clone whose release compiles nothing.
fn light() -> Project {
    let project = Project::clone_of_repository();
    for (file, text) in [
        ("buildspecs/build.yml", BUILD),
        ("buildspecs/test.yml", TEST),
        ("cfn/light.yaml", APP),
        ("cfn/side.yaml", "Resources:\n  T: {Type: AWS::SNS::Topic}\n"),
    ] {
        std::fs::write(project.path().join(file), text).unwrap();
    }
    project.edit(PIPELINE, "  Pipeline:\n    Type:", &format!("{BESIDES}  Pipeline:\n    Type:"));
    project.edit(
        PIPELINE,
        "                - Name: Tool\n        # A commit",
        "                - Name: Tool\n                - Name: Files\n        # A commit",
    );
    project.edit(
        PIPELINE,
        "                - Name: TestOutput\n",
        &format!("                - Name: TestOutput\n{ACTIONS}"),
    );
    let approve = "            - Name: Approve\n              RunOrder: 2\n";
    project.edit(PIPELINE, approve, &format!("{SECOND}{}", approve.replace('2', "3")));
    project.edit(
        PIPELINE,
        "            - Name: ExecuteChangeSet\n              RunOrder: 3\n",
        "            - Name: ExecuteChangeSet\n              RunOrder: 4\n",
    );
    project.commit();
    project
}

fn released(project: &Project, keep: bool) -> Ended {
    let mut words = vec!["rehearse", "--no-baseline", "--approve", "auto"];
    words.extend(keep.then_some("--keep"));
    project.run(&words)
}

fn step<'a>(ended: &'a Ended, action: &str) -> &'a Value {
    ended.of_type("step").filter(|line| line["action"] == action).last().unwrap()
}

fn status(aws: &Client, account: &str, stack: &str) -> Value {
    aws.ask(&format!(
        "cfn = client('cloudformation', '{account}')\nanswer = [one['StackStatus'] for one in cfn.describe_stacks()['Stacks'] if one['StackName'] == '{stack}']"
    ))
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn actions_of_every_kind_do_in_the_cloud_what_they_say() {
    let _alone = alone();
    let project = light();
    let ended = released(&project, true);
    assert_eq!(ended.result()["verdict"], "released", "{}\n{}", ended.error(), ended.stderr);
    let aws = Client::from_printed(&ended);
    // The function was invoked with the artifact, and its variables reached the next action.
    let uploaded = aws.ask("found = client('s3').list_objects_v2(Bucket='uploads-of-the-pipeline')['Contents']\nanswer = sorted(one['Key'] for one in found)");
    assert_eq!(uploaded, serde_json::json!(["stable/2/deep/two.txt", "stable/2/one.txt"]));
    assert_eq!(step(&ended, "Upload")["reason"], "2 files to s3://uploads-of-the-pipeline");
    assert_eq!(status(&aws, "build", "side"), serde_json::json!(["CREATE_COMPLETE"]));
    assert_eq!(status(&aws, "build", "gone"), serde_json::json!([]));
    assert_eq!(step(&ended, "Remove")["reason"], "deleted");
    // Two change sets waited; what was approved is what prod runs.
    assert_eq!(status(&aws, "prod", "causeway-app-prod"), serde_json::json!(["CREATE_COMPLETE"]));
    // Values of the local cloud reached the build, and no log has them.
    let mut logs = String::new();
    for entry in std::fs::read_dir(project.path().join("target/causeway/local/logs")).unwrap() {
        logs.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(logs.contains("the token is ***"), "the build's log is there");
    assert!(!logs.contains("s3cr3t"), "a secret is in a log");
    assert!(
        !ended.stderr.contains("s3cr3t")
            && !ended.lines.iter().any(|line| line.to_string().contains("s3cr3t"))
    );
    // What does less here than on AWS is said.
    let told = ended.result()["data"]["not_rehearsed"].as_array().unwrap();
    for (what, why) in [
        ("AWS::Scheduler::Schedule Nightly of causeway-app-dev, causeway-app-prod", "never fires"),
        ("AWS::Lambda::Url Address of causeway-app-dev, causeway-app-prod", "leads nowhere"),
        ("AWS::CloudWatch::Alarm ErrorRate of causeway-app-dev, causeway-app-prod", "metric math"),
        ("the rights to make ", "prove does not know"),
    ] {
        let found = told.iter().find(|one| one["what"].as_str().unwrap().starts_with(what));
        let found = found.unwrap_or_else(|| panic!("{what}: {told:?}"));
        assert!(found["why"].as_str().unwrap().contains(why), "{found}");
    }

    // REPLACE_ON_FAILURE removes what failed, and makes it anew.
    aws.ask("import time\ncfn = client('cloudformation')\ncfn.delete_stack(StackName='side')\nwhile any(one['StackName'] == 'side' for one in cfn.describe_stacks()['Stacks']): time.sleep(0.1)\ncfn.create_stack(StackName='side', TemplateBody=json.dumps({'Resources': {'F': {'Type': 'AWS::SQS::Queue', 'Properties': {'DelaySeconds': 901}}}}))\nwhile cfn.describe_stacks(StackName='side')['Stacks'][0]['StackStatus'] != 'ROLLBACK_COMPLETE': time.sleep(0.1)\nanswer = 1");
    let ended = released(&project, true);
    assert_eq!(ended.result()["verdict"], "released", "{}", ended.error());
    let warned = ended
        .of_type("warning")
        .any(|line| line["message"].as_str().unwrap().contains("REPLACE_ON_FAILURE deletes it"));
    assert!(warned, "{}", ended.stderr);
    assert_eq!(status(&aws, "build", "side"), serde_json::json!(["CREATE_COMPLETE"]));
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_closed_stage_is_not_entered_and_what_it_would_have_done_is_not_run() {
    let _alone = alone();
    let prod = ["CreateChangeSet", "SideChangeSet", "Approve", "ExecuteChangeSet"];
    let project = light();
    project.edit(
        PIPELINE,
        "      Stages:\n        - Name: Source\n",
        "      DisableInboundStageTransitions: [{StageName: Prod, Reason: freeze until Monday}]\n      Stages:\n        - Name: Source\n",
    );
    project.commit();
    let ended = released(&project, true);
    assert_eq!((ended.code, &ended.result()["verdict"]), (1, &"failed".into()), "{}", ended.stderr);
    let why = ended.result()["error"].to_string();
    assert!(why.contains("freeze until Monday") && why.contains("cfn/pipeline.yaml line "), "{why}");
    for action in prod {
        assert_eq!(step(&ended, action)["status"], "not-run", "{action}");
    }
    let aws = Client::from_printed(&ended);
    assert_eq!(status(&aws, "prod", "causeway-app-prod"), serde_json::json!([]));

    // A condition that stops, and one that skips.
    let condition = |result: &str| {
        format!(
            "        - Name: Prod\n          BeforeEntry: {{Conditions: [{{Result: {result}, Rules: [{{Name: Open, RuleTypeId: {{Category: Rule, Owner: AWS, Provider: VariableCheck, Version: '1'}}, Configuration: {{Variable: '#{{DevDeploy.ApiAuth}}', Value: AWS_IAM, Operator: EQ}}}}]}}]}}\n"
        )
    };
    project.edit(
        PIPELINE,
        "      DisableInboundStageTransitions: [{StageName: Prod, Reason: freeze until Monday}]\n",
        "",
    );
    project.edit(PIPELINE, "        - Name: Prod\n", &condition("FAIL"));
    project.commit();
    let ended = released(&project, true);
    assert_eq!((ended.code, &ended.result()["verdict"]), (1, &"failed".into()), "{}", ended.stderr);
    assert!(ended.result()["error"].to_string().contains("the rule Open does not hold"), "{}", ended.error());
    assert_eq!(step(&ended, "Approve")["status"], "not-run");
    project.edit(PIPELINE, &condition("FAIL"), &condition("SKIP"));
    project.commit();
    let ended = released(&project, true);
    // Nothing failed, and prod has nothing of it: so it is no release.
    assert_eq!((ended.code, &ended.result()["verdict"]), (1, &"rejected".into()), "{}", ended.stderr);
    assert!(ended.result()["error"].to_string().contains("the stage was skipped"), "{}", ended.error());
    for action in prod {
        let step = step(&ended, action);
        assert_eq!((&step["status"], &step["mode"]), (&"not-run".into(), &"skipped".into()), "{action}");
    }
    assert_eq!(step(&ended, "Upload")["status"], "succeeded");
    assert_eq!(status(&aws, "prod", "causeway-app-prod"), serde_json::json!([]));
}

/// As CDK writes them: a text of YAML, or of JSON.
#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_buildspec_may_stand_in_its_project() {
    let _alone = alone();
    let project = light();
    let whole = |text: &str| {
        format!("BuildSpec: |\n{}", text.lines().map(|row| format!("          {row}\n")).collect::<String>())
    };
    project.edit(PIPELINE, "BuildSpec: buildspecs/build.yml\n", &whole(BUILD));
    let test = serde_json::json!({
        "version": "0.2",
        "phases": {"build": {"commands": ["mkdir -p out && echo inline > out/x"]}},
        "artifacts": {"base-directory": "out", "files": ["**/*"]},
    });
    project.edit(
        PIPELINE,
        "BuildSpec: buildspecs/test.yml\n",
        &whole(&serde_json::to_string_pretty(&test).unwrap()),
    );
    std::fs::remove_file(project.path().join("buildspecs/build.yml")).unwrap();
    std::fs::write(project.path().join("buildspecs/test.yml"), "nothing reads it").unwrap();
    project.commit();
    let ended = released(&project, false);
    assert_eq!(ended.result()["verdict"], "released", "{}\n{}", ended.error(), ended.stderr);

    // What cannot be run is refused before Source, at its line of the template.
    project.edit(
        PIPELINE,
        "            build:\n              commands:\n",
        "            build:\n              run-as: nobody\n              commands:\n",
    );
    project.commit();
    let ended = released(&project, false);
    assert_eq!((ended.code, &ended.result()["verdict"]), (1, &"failed".into()), "{}", ended.stderr);
    let why = ended.result()["error"].to_string();
    assert!(why.contains("run-as") && why.contains("cfn/pipeline.yaml line "), "{why}");
    assert!(
        ended.of_type("step").all(|step| step["action"] != "Source" || step["status"] == "not-run"),
        "{why}"
    );
}

/// Two releases of one checkout: one at a time has its cloud.
#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_second_release_waits_or_is_told_who_has_the_cloud() {
    let _alone = alone();
    let project = light();
    let words = ["rehearse", "--no-baseline", "--approve", "auto"];
    let prepared = project.command(&words);
    #[expect(clippy::disallowed_methods, reason = "the test waits for what it starts")]
    let mut first = std::process::Command::new(prepared.get_program());
    first.args(words).args(["--output", "json"]).current_dir(project.path());
    first.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    for (key, value) in prepared.get_envs() {
        match value {
            Some(value) => first.env(key, value),
            None => first.env_remove(key),
        };
    }
    let child = first.spawn().unwrap();
    let pid = child.id();
    let lock = project.path().join("target/causeway/local/release.lock");
    causeway_testing::wait_until("the first one has begun", || {
        std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&pid.to_string()))
    });
    let refused = project.run(&words);
    assert_eq!((refused.code, &refused.result()["verdict"]), (6, &"stuck".into()), "{}", refused.stderr);
    let sh = causeway_testing::shell(project.path());
    let commit = causeway_testing::read(causeway_machine::cmd::cmd!(sh, "git rev-parse HEAD"));
    let said = refused.result()["error"].to_string();
    assert!(said.contains(&format!("process {pid} holds it and releases {}", &commit[..12])), "{said}");
    assert!(refused.of_type("step").next().is_none(), "nothing was begun");
    let waited = project.run(&["rehearse", "--no-baseline", "--approve", "auto", "--wait", "600"]);
    assert_eq!(waited.result()["verdict"], "released", "{}", waited.error());
    let first = child.wait_with_output().unwrap();
    let last = String::from_utf8(first.stdout).unwrap();
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((first.status.code(), &last["verdict"]), (Some(0), &"released".into()));
}
