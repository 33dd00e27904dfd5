"""Tests of `calls.py`: calls as a client sends them, answered by the emulator's own modules.

A test of `xtask/crates/cloud/src/emulator.rs` runs them with the Python that has the emulator.
"""

import asyncio
import base64
import io
import json
import os
import pathlib
import sys
import unittest
import zipfile
from urllib.parse import urlencode

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import emulator

emulator.prepare()

import calls
import refusals

from ministack.services import cloudformation, codebuild, eventbridge, iam, lambda_svc, pipes, scheduler, stepfunctions

ACCOUNT, REGION, OTHER = "111111111111", "eu-central-1", "222222222222"
OWN, FOREIGN = f"arn:aws:iam::{ACCOUNT}:role/path/own", f"arn:aws:iam::{OTHER}:role/r"
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("index.py", "def handler(e, c): pass")
CODE = base64.b64encode(ZIP.getvalue()).decode()
FUNCTION = {"FunctionName": "f", "Runtime": "python3.12", "Handler": "index.handler", "Role": OWN, "Code": {"ZipFile": CODE}}


def signed(service, key):
    scope = f"{key}/20260101/{REGION}/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


def sent(module, service, path="/", method="POST", target=None, form=None, key=ACCOUNT, **data):
    """A call: its status, and its body as a text."""
    headers = {**signed(service, key), "content-type": "application/x-amz-json-1.1"}
    body = json.dumps(data).encode()
    if target:
        headers["x-amz-target"] = target
    if form:
        headers["content-type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
    status, _, said = asyncio.run(module.handle_request(method, path, headers, body, {}))[:3]
    return status, said.decode() if isinstance(said, bytes) else said


def function(key=ACCOUNT, **more):
    return sent(lambda_svc, "lambda", "/2015-03-31/functions", key=key, **{**FUNCTION, **more})


def passers(role, key=ACCOUNT):
    """A call of each kind that passes a role."""
    window = {"ScheduleExpression": "rate(1 minute)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
    stack = lambda action: sent(cloudformation, "cloudformation", key=key, form={"Action": action, "StackName": "s", "ChangeSetName": "c", "TemplateBody": "{}", "RoleARN": role})
    return {
        "lambda.amazonaws.com": [function(key, Role=role), sent(lambda_svc, "lambda", "/2015-03-31/functions/f/configuration", "PUT", key=key, Role=role)],
        "states.amazonaws.com": [sent(stepfunctions, "states", target="AWSStepFunctions.CreateStateMachine", key=key, name="m", definition="{}", roleArn=role)],
        "events.amazonaws.com": [
            sent(eventbridge, "events", target="AWSEvents.PutRule", key=key, Name="r", ScheduleExpression="rate(1 minute)", RoleArn=role),
            sent(eventbridge, "events", target="AWSEvents.PutTargets", key=key, Rule="r", Targets=[{"Id": "t", "Arn": queue, "RoleArn": role}]),
        ],
        "scheduler.amazonaws.com": [sent(scheduler, "scheduler", "/schedules/s", key=key, Target={"Arn": queue, "RoleArn": role}, **window)],
        "pipes.amazonaws.com": [sent(pipes, "pipes", "/v1/pipes/p", key=key, Source=queue, Target=queue, RoleArn=role)],
        "codebuild.amazonaws.com": [sent(codebuild, "codebuild", target="CodeBuild_20161006.CreateProject", key=key, name="p", serviceRole=role)],
        "cloudformation.amazonaws.com": [stack(action) for action in ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet")],
    }


class Case(unittest.TestCase):
    def setUp(self):
        lambda_svc._request_account_id.set(ACCOUNT)
        lambda_svc._request_region.set(REGION)
        os.environ.pop("AUTH", None)
        lambda_svc._functions.pop("f", None)
        lambda_svc._functions.pop("slow", None)


class Limits(Case):
    def test_a_function_is_held_to_the_limits_of_a_template(self):
        refusals = (
            ({"MemorySize": 20480}, "InvalidParameterValueException", "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 10240"),
            ({"MemorySize": 64}, "ValidationException", "1 validation error detected: Value '64' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"),
            ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"),
            ({"Timeout": 0}, "ValidationException", "Value '0' at 'timeout' failed"),
            ({"EphemeralStorage": {"Size": 100}}, "ValidationException", "at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value greater than or equal to 512"),
            ({"EphemeralStorage": {"Size": 10241}}, "ValidationException", "less than or equal to 10240"),
            ({"Description": "d" * 257}, "ValidationException", "at 'description' failed to satisfy constraint: Member must have length less than or equal to 256"),
            ({"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:{n}" for n in range(1, 7)]}, "ValidationException", "at 'layers' failed to satisfy constraint: Member must have length less than or equal to 5"),
            ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION"),
            ({"Environment": {"Variables": {"A1": "x" * 5000}}}, "InvalidParameterValueException", "exceeded the 4KB limit."),
            ({"Environment": {"Variables": {"A-B": "x"}}}, "ValidationException", "Map keys must satisfy constraint"),
            ({"Runtime": "cobol"}, "ValidationException", "at 'runtime' failed to satisfy constraint: Member must satisfy enum value set"),
        )
        for more, code, words in refusals:
            status, said = function(**more)
            self.assertEqual((status, json.loads(said)["__type"]), (400, code), f"{str(more)[:80]} {said[:300]}")
            self.assertIn(words, json.loads(said)["message"])
            self.assertNotIn("f", lambda_svc._functions)
        self.assertEqual(function(MemorySize=10240, Timeout=900)[0], 201)
        for more, code, words in refusals:
            status, said = sent(lambda_svc, "lambda", "/2015-03-31/functions/f/configuration", "PUT", **more)
            self.assertEqual((status, json.loads(said)["__type"]), (400, code), f"{str(more)[:80]} {said[:300]}")
        self.assertEqual(sent(lambda_svc, "lambda", "/2015-03-31/functions/f/configuration", "PUT", Timeout=3)[0], 200)

    def test_an_aliases_weights_are_a_share_of_one_other_version(self):
        function()
        many, over = {"2": 0.1, "3": 0.1}, {"2": 1.5}
        config = lambda found: {"RoutingConfig": {"AdditionalVersionWeights": found}}
        for weights, words in ((many, "more than 1"), (over, "Map value must satisfy constraint")):
            for method, path, more in (("POST", "", {"Name": "live"}), ("PUT", "/live", {})):
                status, said = sent(lambda_svc, "lambda", f"/2015-03-31/functions/f/aliases{path}", method, FunctionVersion="1", **more, **config(weights))
                self.assertEqual(status, 400, said)
                self.assertIn(words, said)
        self.assertEqual(sent(lambda_svc, "lambda", "/2015-03-31/functions/f/aliases", Name="12", FunctionVersion="1")[0], 400, "a number is no name")
        self.assertEqual(sent(lambda_svc, "lambda", "/2015-03-31/functions/f/aliases", Name="live", FunctionVersion="1", **config({"2": 0.1}))[0], 201)
        self.assertEqual(sent(lambda_svc, "lambda", "/2015-03-31/functions/f/aliases/live", "PUT", **config({}))[0], 200)

    def test_a_mapping_has_a_window_where_its_batches_are_large(self):
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:work"
        status, said = sent(lambda_svc, "lambda", "/2015-03-31/event-source-mappings", FunctionName="f", EventSourceArn=arn, BatchSize=11)
        self.assertEqual(status, 400, said)
        self.assertIn("batch window", said)

    def test_what_cannot_be_read_is_the_emulators_to_answer(self):
        with open(pathlib.Path(os.environ["CAUSEWAY_DATA"]) / "refusals.json", encoding="utf-8") as file:
            table = json.load(file)["call"]
        held = calls.Calls(rules=refusals.Rules({}, {"limit": [], "policy": [], "lambda-own-variables": [], "lambda-reserved": [], "name": []}), table=table)
        odd = ({name: value} for name in ("Environment", "MemorySize", "Layers", "Role", "RoutingConfig", "EphemeralStorage") for value in ("x", 1, [], {}, [1], {"Variables": 1}, None))
        for body in (b"", b"[]", b"{", b"\xff", b"null", *(json.dumps(one).encode() for one in odd)):
            for method, path in (("POST", "/functions"), ("PUT", "/functions/f/configuration"), ("PUT", "/functions/f/aliases/a"), ("POST", "/event-source-mappings"), ("GET", "/functions")):
                headers = signed("lambda", ACCOUNT)
                self.assertIsNone(calls.refused(held, "lambda", method, f"/2015-03-31{path}", headers, body, {}), body)


class Roles(Case):
    def test_a_role_of_another_account_is_passed_to_no_service(self):
        for service, found in passers(FOREIGN).items():
            for status, said in found:
                self.assertEqual(status, 403, f"{service} {said}")
                self.assertIn("Cross-account pass role is not allowed.", said)

    def test_who_passes_a_role_has_the_right_to_pass_it_to_that_service(self):
        os.environ["AUTH"] = "true"
        answer = iam._create_user({"UserName": ["passer"]})[2]
        made = iam._create_access_key({"UserName": ["passer"]})[2].decode()
        key = made.split("<AccessKeyId>")[1].split("<")[0]
        said_no = "is not authorized to perform: iam:PassRole on resource: " + OWN

        def may(**statement):
            document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:lambda:*"}, {"Effect": "Allow", "Action": "iam:PassRole", **statement}]})
            iam._put_user_policy({"UserName": ["passer"], "PolicyName": ["p"], "PolicyDocument": [document]})

        for statement, allowed in (
            ({"Resource": f"arn:aws:iam::{ACCOUNT}:role/path/other"}, set()),
            ({"Resource": OWN}, set(passers(OWN))),
            ({"Resource": "*", "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}, {"lambda.amazonaws.com"}),
            ({"Resource": "*", "Condition": {"StringEquals": {"iam:PassedToService": ["events.amazonaws.com", "pipes.amazonaws.com"]}}}, {"events.amazonaws.com", "pipes.amazonaws.com"}),
            ({"Resource": f"arn:aws:iam::{ACCOUNT}:role/path/*", "Condition": {"StringLike": {"iam:PassedToService": "cloudformation.*"}}}, {"cloudformation.amazonaws.com"}),
        ):
            may(**statement)
            for service, found in passers(OWN, key).items():
                for status, said in found:
                    self.assertEqual(said_no not in said, service in allowed, f"{service} {statement} {status} {said}")
                    if service not in allowed:
                        self.assertIn(status, (400, 403))


if __name__ == "__main__":
    unittest.main()
