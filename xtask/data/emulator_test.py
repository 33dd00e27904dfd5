"""Tests of `emulator.py`, over the emulator's own modules: nothing is served, and no function runs.

A test of `xtask/crates/cloud/src/emulator.rs` runs them with the Python that has the emulator.
"""

import asyncio
import pathlib
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import emulator
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

ACCOUNT, REGION = "111111111111", "eu-central-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
RAN = []


def ran(func, event):
    """In place of what runs a function: remembers which version of it."""
    assert emulator.MARK not in func
    RAN.append(func["config"]["Version"])
    return {"body": {}}


lambda_svc._execute_function = ran
emulator.prepare()


def record(version):
    arn = ARN if version == "$LATEST" else f"{ARN}:{version}"
    return {"config": {"FunctionName": "f", "FunctionArn": arn, "Version": version, "Runtime": "python3.12"}}


def weighed(version="1", arn=f"{ARN}:live", **weights):
    alias = {"AliasArn": arn, "Name": "live", "FunctionVersion": version}
    if weights:
        versions = {name.removeprefix("v"): weight for name, weight in weights.items()}
        alias["RoutingConfig"] = {"AdditionalVersionWeights": versions}
    return alias


class Case(unittest.TestCase):
    def setUp(self):
        RAN.clear()
        lambda_svc._request_account_id.set(ACCOUNT)
        lambda_svc._request_region.set(REGION)
        self.function = {**record("$LATEST"), "versions": {}, "aliases": {}}
        for version in ("1", "2"):
            self.function["versions"][version] = record(version)
        self.set()
        lambda_svc._functions["f"] = self.function

    def set(self, **weights):
        # Each test begins to count anew.
        self.function["aliases"]["live"] = weighed(arn=self.id(), **weights)

    def invoke(self, qualifier="live", **headers):
        status, answered, _ = asyncio.run(lambda_svc._invoke("f", {}, headers, qualifier, {}))
        self.assertIn(status, (200, 202, 204))
        return answered["X-Amz-Executed-Version"]

    def deliver(self, event):
        """As topics, rules, notifications do it."""
        func, config, _ = lambda_svc._get_func_record_for_ref(f"{ARN}:live")
        lambda_svc._execute_function_with_config_scope(lambda_svc._execution_record_for_config(func, config), event)
        return RAN[-1]

    def poll(self, event):
        """As the pollers of queues and streams do it: they look first, and invoke where there is something."""
        func, _ = lambda_svc._get_func_record_for_qualifier("f", "live")
        if event is None:
            return None
        lambda_svc._execute_function(func, event)
        return RAN[-1]


class Shares(Case):
    def test_of_a_hundred_exactly_the_share_evenly_spread(self):
        for percent in range(1, 100):
            counts, alias, new = emulator.Counts(), weighed(v2=percent / 100), 0
            for sent in range(1, 201):
                new += counts.due(alias, "") == "2"
                self.assertLessEqual(abs(new - sent * percent / 100), 1, (percent, sent))
                if sent % 100 == 0:
                    self.assertEqual(new, percent * sent // 100)

    def test_nothing_and_everything_are_exactly_that(self):
        for alias, expected in ((weighed(), "1"), (weighed(v2=0.0), "1"), (weighed(v2=1.0), "2"), (weighed("2"), "2")):
            counts = emulator.Counts()
            self.assertEqual({counts.due(alias, "") for _ in range(50)}, {expected})

    def test_origins_do_not_take_each_others_turns(self):
        counts, new = emulator.Counts(), {"a": 0, "b": 0}
        for number in range(40):
            origin = "ab"[number % 2]
            new[origin] += counts.due(weighed(v2=0.5), origin) == "2"
        self.assertEqual(new, {"a": 10, "b": 10})
        crowd = sum(counts.due(weighed(v2=0.5), str(number)) == "2" for number in range(1000))
        self.assertLessEqual(abs(crowd - 500), emulator.ORIGINS)

    def test_new_weights_begin_anew(self):
        counts = emulator.Counts()
        self.assertEqual([counts.due(weighed(v2=0.5), "") for _ in range(3)], ["1", "2", "1"])
        self.assertEqual([counts.due(weighed(v2=0.25), "") for _ in range(4)], ["1", "1", "1", "2"])

    def test_a_batch_counts_as_what_it_carries(self):
        counts, new, sent = emulator.Counts(), 0, 0
        for cost in ([1] * 9 + [10]) * 20:
            sent += cost
            new += cost * (counts.due(weighed(v2=0.1), "q", cost) == "2")
            self.assertLessEqual(abs(new - sent / 10), 10, "off by no more than a batch")


class WaysIn(Case):
    def test_a_call_by_alias_follows_the_weights(self):
        self.set(v2=0.1)
        told = [self.invoke() for _ in range(100)]
        self.assertEqual(told.count("2"), 10)
        self.assertEqual(RAN, told, "what is told is what ran")

    def test_a_call_that_is_not_waited_for_follows_them_too(self):
        self.set(v2=0.5)
        told = [self.invoke(**{"x-amz-invocation-type": "Event"}) for _ in range(4)]
        self.assertEqual(told, ["1", "2", "1", "2"])
        while len(RAN) < len(told):
            time.sleep(0.001)

    def test_a_dry_run_takes_nobodys_turn(self):
        self.set(v2=0.5)
        for _ in range(4):
            self.assertEqual(self.invoke(**{"x-amz-invocation-type": "DryRun"}), "1")
        self.assertEqual([self.invoke() for _ in range(2)], ["1", "2"])

    def test_clients_have_counts_of_their_own(self):
        self.set(v2=0.5)
        told = [self.invoke(**{"user-agent": agent}) for agent in "abab"]
        self.assertEqual(told, ["1", "1", "2", "2"])

    def test_events_follow_the_weights_each_source_by_itself(self):
        self.set(v2=0.2)
        queue = {"Records": [{"eventSourceARN": "arn:q"}]}
        topic = {"Records": [{"EventSubscriptionArn": "arn:t"}]}
        bucket = {"Records": [{"s3": {"bucket": {"arn": "arn:b"}}}]}
        rule = {"detail-type": "Scheduled Event", "source": "aws.events", "resources": ["arn:r"]}
        ways = [(self.poll, queue), (self.deliver, topic), (self.deliver, bucket), (self.deliver, rule)]
        counted = [[way(event) for way, event in ways] for _ in range(20)]
        for number in range(len(ways)):
            self.assertEqual([row[number] for row in counted].count("2"), 4)

    def test_who_only_looks_takes_nobodys_turn(self):
        self.set(v2=0.5)
        queue, told = {"Records": [{"eventSourceARN": "arn:q"}]}, []
        for _ in range(10):
            self.poll(None)
            told.append(self.poll(queue))
            lambda_svc._get_function("f", "live")
        self.assertEqual(told, ["1", "2"] * 5)

    def test_versions_and_plain_aliases_are_what_they_were(self):
        self.assertEqual([self.invoke(), self.invoke("2"), self.invoke("$LATEST")], ["1", "2", "$LATEST"])
        self.set(v2=0.5)
        self.assertEqual([self.invoke("2") for _ in range(3)] + [self.invoke("1")], ["2", "2", "2", "1"])

    def test_a_version_that_is_gone_is_an_error(self):
        self.set(v3=1.0)
        func, _ = lambda_svc._get_func_record_for_qualifier("f", "live")
        answer = lambda_svc._execute_function(func, {})
        self.assertTrue(answer["error"])
        self.assertIn("version 3, which is gone", answer["body"]["errorMessage"])
        self.assertEqual(RAN, [])


class Holds(Case):
    def update(self, version, weights=None):
        """As a stack's update does it."""
        old = {"FunctionName": "f", "Name": "live", "FunctionVersion": self.version()}
        new = {**old, "FunctionVersion": version, "Description": f"to {version}"}
        if weights:
            new["RoutingConfig"] = {"AdditionalVersionWeights": weights}
        handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Alias"]["update"]
        handler(f"{ARN}:live", old, new, "stack", logical_id="Live")

    def hold(self, kept, owner="a", alias="live"):
        data = {"CausewayHold": kept, "CausewayOwner": owner}
        status, _, body = lambda_svc._update_alias("f", alias, data)
        return status, (lambda_svc.json.loads(body).get("CausewayWanted") if status == 200 else None)

    def version(self):
        return self.function["aliases"]["live"]["FunctionVersion"]

    def test_a_template_moves_an_alias_that_nobody_holds(self):
        self.update("2")
        self.assertEqual(self.version(), "2")

    def test_a_held_alias_is_moved_by_calls_alone(self):
        self.assertEqual(self.hold(True), (200, {}))
        self.update("2", {"1": 0.5})
        self.assertEqual(self.function["aliases"]["live"]["Description"], "to 2", "the rest is updated")
        self.assertEqual(self.version(), "1")
        self.assertNotIn("RoutingConfig", self.function["aliases"]["live"])
        wanted = {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}
        self.assertEqual(self.hold(True), (200, wanted))
        lambda_svc._update_alias("f", "live", {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}})
        self.assertIn("RoutingConfig", self.function["aliases"]["live"])
        lambda_svc._update_alias("f", "live", {"FunctionVersion": "2", "RoutingConfig": {}})
        self.update("1")
        self.assertEqual(self.version(), "2", "a stack that rolls back does not move it either")
        self.hold(False)
        self.update("1")
        self.assertEqual(self.version(), "1")

    def test_one_that_two_hold_is_held_until_both_let_go(self):
        self.hold(True, "a")
        self.hold(True, "b")
        self.hold(False, "b")
        self.update("2")
        self.assertEqual(self.version(), "1")
        self.assertEqual(self.hold(False, "a"), (200, {"FunctionVersion": "2"}))
        self.hold(False, "nobody")
        self.update("2")
        self.assertEqual(self.version(), "2")

    def test_an_alias_that_is_not_there_is_not_held(self):
        self.assertEqual(self.hold(True, alias="other"), (404, None))

    def test_looking_does_not_change_the_revision(self):
        before = dict(self.function["aliases"]["live"])
        self.hold(True)
        self.hold(False)
        self.assertEqual(self.function["aliases"]["live"], before)


class OneVersion(Case):
    def test_another_emulator_is_refused(self):
        with self.assertRaisesRegex(emulator.Changed, "ministack 9.9.9 is installed"):
            emulator.prepare("9.9.9")

    def test_a_changed_function_is_refused(self):
        with self.assertRaisesRegex(emulator.Changed, "_get_alias does not have the expression"):
            emulator.rewritten(lambda_svc, "_get_alias", "not there", "")


if __name__ == "__main__":
    unittest.main()
