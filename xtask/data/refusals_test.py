"""Tests of `refusals.py`, over the emulator's own modules: resources are made as a stack makes them, and nothing is served.

A test of `xtask/crates/cloud/src/emulator.rs` runs them with the Python that has the emulator.
"""

import io
import json
import pathlib
import sys
import unittest
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import emulator

emulator.prepare()

from ministack.services import cloudformation, lambda_svc, s3
from ministack.services.cloudformation import provisioners, stacks

ACCOUNT, REGION, OTHER = "111111111111", "eu-central-1", "222222222222"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
GROUP = {"ApplicationName": "app", "ServiceRoleArn": ROLE}
ALARM = {"Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}


def function(**more):
    return {"Runtime": "python3.12", "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": "def handler(e, c): pass"}, **more}


def inert(kind, **props):
    return "AWS::CDK::Metadata", {"Type": kind, "Properties": props}


def make(kind, props, stack="one", logical="R"):
    """As a stack makes it; it is part of the stack from then on."""
    physical, attributes = stacks._provision_resource(kind, logical, props, stack)
    stacks_of = cloudformation._stacks
    stack_record = stacks_of.get(stack) or {"StackName": stack, "StackStatus": "CREATE_IN_PROGRESS", "_resources": {}}
    stack_record["_resources"][logical] = {"ResourceType": kind, "PhysicalResourceId": physical, "Properties": props}
    stacks_of[stack] = stack_record
    return physical


def change(kind, old, new, stack="one", logical="R", physical="p"):
    return stacks._update_resource(kind, physical, old, new, stack, logical, {})


class Case(unittest.TestCase):
    def setUp(self):
        lambda_svc._request_account_id.set(ACCOUNT)
        lambda_svc._request_region.set(REGION)
        cloudformation._stacks.clear()

    def refused(self, says, kind, props, **where):
        with self.assertRaises(ValueError, msg=f"{kind} {str(props)[:200]}") as caught:
            make(kind, props, **where)
        self.assertIn(says, str(caught.exception))
        return str(caught.exception)


class Schemas(Case):
    def test_what_does_not_fit_a_schema_is_refused_in_the_words_of_its_validator(self):
        tag = [{"Key": "k", "Value": "v", "Other": 1}]
        for says, kind, props in (
            ("#/MemorySize: 64 is not greater or equal to 128", "AWS::Lambda::Function", function(MemorySize=64)),
            ("#/Timeout: 0 is not greater or equal to 1", "AWS::Lambda::Function", function(Timeout="0")),
            ("#/Layers: expected maximum item count: 5, found: 6", "AWS::Lambda::Function", function(Layers=[f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:{n}" for n in range(1, 7)])),
            ("#/Description: expected maxLength: 256, actual: 257", "AWS::Lambda::Function", function(Description="d" * 257)),
            ("#/Runtime: #: cobol is not a valid enum value", "AWS::Lambda::Function", function(Runtime="cobol")),
            ("#: extraneous key [Memory] is not permitted", "AWS::Lambda::Function", function(Memory=128)),
            ("#: extraneous key [Arn] is not permitted", "AWS::Lambda::Function", function(Arn="a")),
            ("#: required key [Role] not found", "AWS::Lambda::Function", {"Code": {"ZipFile": "x"}}),
            ("#/FunctionName: string does not match pattern", "AWS::Lambda::Function", function(FunctionName="f" * 65)),
            ("#/EphemeralStorage/Size: 100 is not greater or equal to 512", "AWS::Lambda::Function", function(EphemeralStorage={"Size": 100})),
            ("#/DelaySeconds: 901 is not less or equal to 900", "AWS::SQS::Queue", {"DelaySeconds": 901}),
            ("#/MessageRetentionPeriod: 59 is not greater or equal to 60", "AWS::SQS::Queue", {"MessageRetentionPeriod": "59"}),
            ("#/Tags/0: extraneous key [Other] is not permitted", "AWS::SQS::Queue", {"Tags": tag}),
            ("#/RetentionInDays: #: 15 is not a valid enum value", "AWS::Logs::LogGroup", {"RetentionInDays": 15}),
            ("#/MaxSessionDuration: 60 is not greater or equal to 3600", "AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "MaxSessionDuration": 60}),
            ("#/RoleName: expected maxLength: 64, actual: 65", "AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "RoleName": "r" * 65}),
            ("#/BatchSize: 10001 is not less or equal to 10000", "AWS::Lambda::EventSourceMapping", {"FunctionName": "f", "BatchSize": 10001}),
            ("#/Name: string does not match pattern", "AWS::Lambda::Alias", {"FunctionName": "f", "FunctionVersion": "1", "Name": "12"}),
            ("#/BillingMode: #: FREE is not a valid enum value", "AWS::DynamoDB::Table", {"KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "BillingMode": "FREE"}),
            ("#/ComparisonOperator: #: More is not a valid enum value", "AWS::CloudWatch::Alarm", {**ALARM, "ComparisonOperator": "More"}),
            ("#/ComputePlatform: #: Pigeon is not a valid enum value", *inert("AWS::CodeDeploy::Application", ComputePlatform="Pigeon")),
            ("#/ApplicationName: expected maxLength: 100, actual: 101", *inert("AWS::CodeDeploy::Application", ApplicationName="a" * 101)),
            ("#: required key [ServiceRoleArn] not found", *inert("AWS::CodeDeploy::DeploymentGroup", ApplicationName="app")),
        ):
            said = self.refused(says, kind, props)
            self.assertTrue(said.startswith("Properties validation failed for resource R with message:\n#"), said)

    def test_every_fault_is_told_and_no_text_of_the_template(self):
        said = self.refused("#/Timeout: 0", "AWS::Lambda::Function", function(Timeout=0, MemorySize=1, FunctionName="my secret!"))
        self.assertEqual(said.count("\n"), 3, said)
        self.assertNotIn("my secret", said)

    def test_what_fits_is_made_whatever_its_notation(self):
        for logical, (kind, props) in enumerate((
            ("AWS::Lambda::Function", function(MemorySize="10240", Timeout=900, EphemeralStorage={"Size": 10240})),
            ("AWS::SQS::Queue", {"DelaySeconds": "900", "FifoQueue": "true", "QueueName": "q.fifo"}),
            ("AWS::Logs::LogGroup", {"RetentionInDays": "14"}),
            ("AWS::CloudWatch::Alarm", {**ALARM, "Period": 3600, "EvaluationPeriods": 168}),
        )):
            make(kind, props, logical=f"R{logical}")

    def test_an_update_is_held_to_it_too(self):
        with self.assertRaisesRegex(ValueError, "Properties validation failed for resource R"):
            change("AWS::Lambda::Function", function(), function(Timeout=5401))
        # What does not change is not asked about: it is there already.
        change("AWS::Lambda::Function", function(Timeout=5401), function(Timeout=5401))


class Services(Case):
    def test_what_a_service_refuses_is_refused_in_its_words(self):
        many = {f"V{n}": "x" * 500 for n in range(9)}
        canary = lambda percent, interval: inert("AWS::CodeDeploy::DeploymentConfig", ComputePlatform="Lambda", TrafficRoutingConfig={"Type": "TimeBasedCanary", "TimeBasedCanary": {"CanaryPercentage": percent, "CanaryInterval": interval}})
        long = {"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::bucket-{n}/*" for n in range(300)]}]}
        for says, kind, props in (
            ("less than or equal to 10240", "AWS::Lambda::Function", function(MemorySize=20480)),
            ("less than or equal to 10240", "AWS::Lambda::Function", function(MemorySize="10241")),
            ("less than or equal to 900", "AWS::Lambda::Function", function(Timeout=1200)),
            ("less than or equal to 10240", "AWS::Lambda::Function", function(EphemeralStorage={"Size": 10241})),
            ("Reserved keys used in this request: AWS_REGION (", "AWS::Lambda::Function", function(Environment={"Variables": {"AWS_REGION": "x"}})),
            ("Reserved keys used in this request: _HANDLER, LAMBDA_TASK_ROOT (", "AWS::Lambda::Function", function(Environment={"Variables": {"LAMBDA_TASK_ROOT": "x", "_HANDLER": "y"}})),
            ("exceeded the 4KB limit", "AWS::Lambda::Function", function(Environment={"Variables": {"A1": "x" * 5000}})),
            ("exceeded the 4KB limit", "AWS::Lambda::Function", function(Environment={"Variables": many})),
            ("Map keys must satisfy constraint", "AWS::Lambda::Function", function(Environment={"Variables": {"A-B": "x"}})),
            ("less than or equal to 4194304", "AWS::Lambda::Function", function(Code={"ZipFile": "#" * 4194305})),
            ("maximum number of alarms for a deployment group (10) was exceeded", *inert("AWS::CodeDeploy::DeploymentGroup", **GROUP, AlarmConfiguration={"Alarms": [{"Name": f"a{n}"} for n in range(11)]})),
            ("between 1 and 99", *canary(0, 5)),
            ("between 1 and 99", *canary(100, 5)),
            ("between 1 and 2880", *canary(10, 2881)),
            ("more than 1", "AWS::Lambda::Alias", {"FunctionName": "f", "FunctionVersion": "1", "Name": "live", "RoutingConfig": {"AdditionalVersionWeights": [{"FunctionVersion": "2", "FunctionWeight": 0.1}, {"FunctionVersion": "3", "FunctionWeight": 0.1}]}}),
            ("Map value must satisfy constraint", "AWS::Lambda::Alias", {"FunctionName": "f", "FunctionVersion": "1", "Name": "live", "RoutingConfig": {"AdditionalVersionWeights": [{"FunctionVersion": "2", "FunctionWeight": 1.5}]}}),
            ("PoliciesPerRole: 10", "AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "ManagedPolicyArns": [f"arn:aws:iam::aws:policy/P{n}" for n in range(11)]}),
            ("ACLSizePerRole: 2048", "AWS::IAM::Role", {"AssumeRolePolicyDocument": long}),
            ("PolicySize: 6144", "AWS::IAM::ManagedPolicy", {"PolicyDocument": long}),
            ("10240 bytes exceeded", "AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "Policies": [{"PolicyName": f"p{n}", "PolicyDocument": long} for n in range(2)]}),
            ("multiple of 60", "AWS::CloudWatch::Alarm", {**ALARM, "Period": 45}),
            ("more than a day", "AWS::CloudWatch::Alarm", {**ALARM, "Period": 300, "EvaluationPeriods": 289}),
            ("must end with .fifo", "AWS::SQS::Queue", {"QueueName": "q", "FifoQueue": True}),
            ("1 to 80 in length", "AWS::SQS::Queue", {"QueueName": "q" * 81}),
            ("Invalid parameter: Topic Name", "AWS::SNS::Topic", {"TopicName": "a.b"}),
        ):
            said = self.refused(says, kind, props)
            self.assertIn("Resource handler returned message: ", said)

    def test_what_the_local_cloud_gives_a_function_does_not_count(self):
        own = {"AWS_ENDPOINT_URL": "https://127.0.0.1:1", "AWS_CA_BUNDLE": "/b" * 500, "SSL_CERT_FILE": "/b" * 500}
        make("AWS::Lambda::Function", function(Environment={"Variables": {**own, "A1": "x" * 3800}}))

    def test_a_function_on_instances_may_be_larger(self):
        provider = {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:c"}}
        make("AWS::Lambda::Function", function(MemorySize=20480, CapacityProviderConfig=provider))

    def test_code_is_measured_unzipped(self):
        for name, mega, fits in (("small", 1, True), ("large", 251, False)):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("index.py", "def handler(e, c): pass")
                archive.writestr("data", bytes(mega * 1024 * 1024))
            lambda_svc._fetch_code_from_s3 = lambda bucket, key, version_id=None: file.getvalue()
            code = function(Code={"S3Bucket": "bucket", "S3Key": name})
            if fits:
                make("AWS::Lambda::Function", code, logical=name)
            else:
                self.refused("Unzipped size must be smaller than 262144000 bytes", "AWS::Lambda::Function", code, logical=name)

    def test_a_mapping_is_held_to_its_queue(self):
        make("AWS::SQS::Queue", {"QueueName": "work"}, logical="Q")
        make("AWS::Lambda::Function", function(FunctionName="slow", Timeout=60), logical="F")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:work"
        mapping = {"FunctionName": "slow", "EventSourceArn": arn}
        said = "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
        self.refused(said, "AWS::Lambda::EventSourceMapping", mapping, logical="M")
        self.refused("batch window", "AWS::Lambda::EventSourceMapping", {**mapping, "BatchSize": 11}, logical="M")

    def test_a_deployment_group_names_a_configuration_that_is_there(self):
        group = lambda name: inert("AWS::CodeDeploy::DeploymentGroup", **GROUP, DeploymentConfigName=name)
        for number, name in enumerate((
            "CodeDeployDefault.LambdaCanary20Percent5Minutes", "CodeDeployDefault.Canary10Percent5Minutes", "LambdaAllAtOnce",
            "CodeDeployDefault.LambdaLinear10PercentEvery1Minutes", "codedeploydefault.lambdaallatonce", "mine", "x", "AllAtOnce",
            "CodeDeployDefault.LambdaCanary10Percent5Minute", "CodeDeployDefault.ECS",
        )):
            self.refused(f"No Deployment Configuration found for name: {name}", *group(name), logical=f"G{number}")
        make(*inert("AWS::CodeDeploy::Application", ApplicationName="app", ComputePlatform="Lambda"), logical="App")
        make(*inert("AWS::CodeDeploy::DeploymentConfig", ComputePlatform="Lambda"), logical="Own")
        make(*group("one-Own"), logical="Mine")
        make(*group("CodeDeployDefault.LambdaAllAtOnce"), logical="Known")
        self.refused("compute platform Server", *group("CodeDeployDefault.AllAtOnce"), logical="Foreign")

    def test_a_role_of_another_account_is_not_passed(self):
        foreign = f"arn:aws:iam::{OTHER}:role/r"
        artifacts = {"Type": "CODEPIPELINE"}
        project = {"Artifacts": artifacts, "Source": artifacts, "Environment": {"Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL", "Image": "i"}}
        machine = {"DefinitionString": json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})}
        window = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ScheduleExpression": "rate(1 minute)"}
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
        action = lambda name, category: {"Name": name, "ActionTypeId": {"Category": category, "Owner": "AWS", "Provider": "S3", "Version": "1"}, "RoleArn": foreign}
        # An action's own role is assumed and not passed: that one may be anybody's.
        stages = [{"Name": name, "Actions": [action(name, category)]} for name, category in (("A", "Source"), ("B", "Deploy"))]
        for kind, props in (
            ("AWS::Lambda::Function", {**function(), "Role": foreign}),
            ("AWS::CodeBuild::Project", {**project, "ServiceRole": foreign}),
            ("AWS::StepFunctions::StateMachine", {**machine, "RoleArn": foreign}),
            ("AWS::Events::Rule", {"ScheduleExpression": "rate(1 minute)", "Targets": [{"Id": "t", "Arn": arn, "RoleArn": foreign}]}),
            ("AWS::Events::Rule", {"ScheduleExpression": "rate(1 minute)", "RoleArn": foreign}),
            ("AWS::Scheduler::Schedule", {**window, "Target": {"Arn": arn, "RoleArn": foreign}}),
            ("AWS::Pipes::Pipe", {"Source": arn, "Target": arn, "RoleArn": foreign}),
            ("AWS::ApiGateway::Account", {"CloudWatchRoleArn": foreign}),
            inert("AWS::CodeDeploy::DeploymentGroup", ApplicationName="app", ServiceRoleArn=foreign),
            inert("AWS::CodePipeline::Pipeline", RoleArn=foreign, Stages=stages),
        ):
            self.refused("Cross-account pass role is not allowed.", kind, props)


NAMED = (
    ("AWS::IAM::Role", "RoleName", {"AssumeRolePolicyDocument": TRUST}),
    ("AWS::IAM::User", "UserName", {}),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName", {"PolicyDocument": {"Statement": []}}),
    ("AWS::IAM::InstanceProfile", "InstanceProfileName", {"Roles": []}),
    ("AWS::Lambda::Function", "FunctionName", function()),
    ("AWS::S3::Bucket", "BucketName", {}),
    ("AWS::SQS::Queue", "QueueName", {}),
    ("AWS::SNS::Topic", "TopicName", {}),
    ("AWS::DynamoDB::Table", "TableName", {"BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}]}),
    ("AWS::Logs::LogGroup", "LogGroupName", {}),
    ("AWS::CloudWatch::Alarm", "AlarmName", ALARM),
    ("AWS::CloudWatch::Dashboard", "DashboardName", {"DashboardBody": "{}"}),
    ("AWS::Events::EventBus", "Name", {}),
    ("AWS::Events::Rule", "Name", {"ScheduleExpression": "rate(1 minute)"}),
    ("AWS::SSM::Parameter", "Name", {"Type": "String", "Value": "v"}),
    ("AWS::SecretsManager::Secret", "Name", {}),
    ("AWS::Kinesis::Stream", "Name", {"ShardCount": 1}),
    ("AWS::ECR::Repository", "RepositoryName", {}),
    ("AWS::StepFunctions::StateMachine", "StateMachineName", {"RoleArn": ROLE, "DefinitionString": json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})}),
    ("AWS::Scheduler::ScheduleGroup", "Name", {}),
    ("AWS::CodeBuild::Project", "Name", {"ServiceRole": ROLE, "Artifacts": {"Type": "NO_ARTIFACTS"}, "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: 0.2"}, "Environment": {"Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL", "Image": "i"}}),
)
INERT = (
    ("AWS::CodeDeploy::Application", "ApplicationName", {}),
    ("AWS::CodeDeploy::DeploymentConfig", "DeploymentConfigName", {"ComputePlatform": "Lambda"}),
    ("AWS::CodeDeploy::DeploymentGroup", "DeploymentGroupName", GROUP),
    ("AWS::IAM::Group", "GroupName", {}),
    ("AWS::CodeBuild::ReportGroup", "Name", {"Type": "TEST", "ExportConfig": {"ExportConfigType": "NO_EXPORT"}}),
    ("AWS::CloudWatch::CompositeAlarm", "AlarmName", {"AlarmRule": "ALARM(x)"}),
)


class Names(Case):
    def named(self, kind, property, props, name="taken-name"):
        return kind, {**props, property: name}

    def test_a_name_of_another_stack_is_taken(self):
        every = [self.named(*one) for one in NAMED]
        every += [inert(one[0], **{**one[2], one[1]: "taken-inert"}) for one in INERT]
        for number, (kind, props) in enumerate(every):
            with self.subTest(kind=kind, props=props):
                make(kind, props, stack="first", logical=f"R{number}")
                said = self.refused("already exist", kind, props, stack="second", logical=f"R{number}")
                self.assertIn("taken-", said)
                # Nor does one template make it twice.
                self.refused("already exist", kind, props, stack="first", logical=f"Again{number}")

    def test_a_name_that_somebody_made_by_hand_is_taken(self):
        for number, (kind, property, props) in enumerate(NAMED):
            with self.subTest(kind=kind):
                # Made, and no stack knows of it any more.
                named = self.named(kind, property, props, f"by-hand-{number}")
                provisioners._RESOURCE_HANDLERS[kind]["create"]("R", named[1], "hand")
                self.refused("already exist", *named, stack="second")

    def test_what_another_account_or_region_has_is_not_taken(self):
        for number, (kind, property, props) in enumerate(NAMED):
            if kind in ("AWS::S3::Bucket",):
                continue
            named = self.named(kind, property, props, f"elsewhere-{number}")
            make(*named, logical=f"R{number}")
            lambda_svc._request_account_id.set(OTHER)
            try:
                if "Role" in named[1] or "RoleArn" in named[1] or "ServiceRole" in named[1]:
                    continue
                make(*named, logical=f"R{number}")
            finally:
                lambda_svc._request_account_id.set(ACCOUNT)

    def test_an_update_takes_no_name_and_keeps_its_own(self):
        for number, (kind, property, props) in enumerate(NAMED):
            if kind in ("AWS::ECR::Repository",):
                continue
            with self.subTest(kind=kind):
                mine, theirs = (self.named(kind, property, props, f"{whose}-{number}")[1] for whose in ("mine", "theirs"))
                make(kind, theirs, stack="second", logical=f"R{number}")
                physical = make(kind, mine, stack="first", logical=f"R{number}")
                with self.assertRaisesRegex(ValueError, "already exist"):
                    change(kind, mine, theirs, stack="first", logical=f"R{number}", physical=physical)

    def test_names_that_cloudformation_makes_are_nobodys(self):
        for stack in ("first", "second"):
            make("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST}, stack=stack)
            make(*inert("AWS::CodeDeploy::Application", ComputePlatform="Lambda"), stack=stack, logical="A")

    def test_alarms_of_both_kinds_share_their_names(self):
        make("AWS::CloudWatch::Alarm", {**ALARM, "AlarmName": "both"}, logical="A")
        self.refused("already exists", *inert("AWS::CloudWatch::CompositeAlarm", AlarmName="both", AlarmRule="x"), logical="C")

    def test_nested_stacks_are_held_to_it_too(self):
        for name in ("_cfn_nested_stack_deploy", "_cfn_nested_stack_delete"):
            known = getattr(provisioners, name).__globals__
            self.assertIs(known["_provision_resource"], stacks._provision_resource)
            self.assertIs(known["_delete_resource"], stacks._delete_resource)
        self.assertIsNot(provisioners._provision_resource, stacks._provision_resource)


class Deletions(Case):
    def deleted(self, kind, physical, props=None):
        stacks._delete_resource(kind, physical, props or {}, "one", "R")

    def test_a_bucket_with_something_in_it_stays(self):
        for number, (status, hidden) in enumerate(((None, False), ("Enabled", False), ("Enabled", True))):
            name = f"full-{number}"
            props = {"BucketName": name, **({"VersioningConfiguration": {"Status": status}} if status else {})}
            make("AWS::S3::Bucket", props, logical=f"B{number}")
            s3._put_object(name, "k", b"x", {})
            if hidden:
                s3._delete_object(name, "k", {})
            with self.assertRaisesRegex(ValueError, "The bucket you tried to delete is not empty"):
                self.deleted("AWS::S3::Bucket", name)
            self.assertIn(name, s3._buckets)
        make("AWS::S3::Bucket", {"BucketName": "empty-one"}, logical="E")
        self.deleted("AWS::S3::Bucket", "empty-one")
        self.assertNotIn("empty-one", s3._buckets)

    def test_what_is_protected_or_used_stays(self):
        table = {**NAMED[8][2], "TableName": "kept", "DeletionProtectionEnabled": True}
        make("AWS::DynamoDB::Table", table, logical="T")
        pool = make("AWS::Cognito::UserPool", {"UserPoolName": "p", "DeletionProtection": "ACTIVE"}, logical="P")
        make("AWS::Events::EventBus", {"Name": "used"}, logical="Bus")
        make("AWS::Events::Rule", {"Name": "r", "EventBusName": "used", "EventPattern": {"source": ["s"]}}, logical="Rule")
        for kind, physical, says in (
            ("AWS::DynamoDB::Table", "kept", "protected against deletion"),
            ("AWS::Cognito::UserPool", pool, "deletion protection is activated"),
            ("AWS::Events::EventBus", "used", "since it has rules"),
        ):
            with self.assertRaisesRegex(ValueError, says):
                self.deleted(kind, physical)


if __name__ == "__main__":
    unittest.main()
