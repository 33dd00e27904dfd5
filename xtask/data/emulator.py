"""The emulator with aliases that are true for every client, for `xtask/crates/cloud/src/emulator.rs`.

It stores the weights of an alias and never looks at them when it invokes, and a template's update moves an alias at once.
So, before it starts:

* whoever invokes a function by an alias with weights gets the version that is due: the API, the pollers of queues and
  streams, topics, rules, schedules, notifications. The share is counted, not drawn;
* an alias that is held (`UpdateAlias` with `CausewayHold`, which AWS does not know) stays where it is, whatever a template
  says: who holds it moves it with `UpdateAlias`, as CodeDeploy does;
* it leaves out what the local cloud has itself: its evaluation of alarms and its own metrics;
* it refuses of a template's resources and of calls what AWS refuses (`refusals.py`, `calls.py`).

What is proposed to the emulator's project stands in `docs/upstream/alias-weights.md`. This works with one version of it.
"""

import contextvars
import importlib.metadata
import inspect
import json
import os
import sys
import threading

# The version in `xtask/requirements/local.txt`.
VERSION = "1.5.33"

# So many origins of invocations have a count of their own; those that come later share one.
ORIGINS = 32

# A whole: weights are counted in millionths.
WHOLE = 1_000_000

# Under this key a record carries that its version is still to be picked.
MARK = "CausewayAlias"


class Changed(Exception):
    """The emulator is not the one that this was written for."""


class Counts:
    """Which version is due, by alias and origin."""

    def __init__(self):
        self._lock = threading.Lock()
        self._aliases = {}

    def due(self, alias, origin, cost=1):
        """The version that gets the next invocation of an origin; `cost` is how many records it carries.

        Origins do not take each other's turns, so the share of each is exact. New weights begin to count anew.
        """
        first = alias.get("FunctionVersion", "$LATEST")
        weights = additional(alias)
        if not weights:
            return first
        state = (first, tuple(sorted(weights.items())))
        with self._lock:
            kept = self._aliases.get(alias["AliasArn"])
            if kept is None or kept[0] != state:
                kept = self._aliases[alias["AliasArn"]] = (state, {})
            origins = kept[1]
            if origin not in origins and len(origins) >= ORIGINS:
                origin = ""
            owed = origins.setdefault(origin, dict.fromkeys(weights, 0))
            for version, weight in weights.items():
                owed[version] += weight * cost
            most = max(owed, key=owed.get)
            if owed[most] < WHOLE * cost:
                return first
            owed[most] -= WHOLE * cost
            return most


def additional(alias):
    """An alias's additional versions with their weights in millionths."""
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {version: round(float(weight) * WHOLE) for version, weight in weights.items() if float(weight) > 0}


def origin_of(event):
    """Where an event comes from, and how many records it carries."""
    if not isinstance(event, dict):
        return "", 1
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        first = records[0]
        bucket = ((first.get("s3") or {}).get("bucket") or {}).get("arn")
        names = (first.get("eventSourceARN"), first.get("EventSubscriptionArn"), bucket)
        return next((name for name in names if isinstance(name, str)), ""), len(records)
    if "detail-type" in event:
        resources = event.get("resources") or [""]
        return f"{event.get('source')} {resources[0]}", 1
    return "", 1


class Held:
    """The aliases that somebody holds, and what a template said of each meanwhile."""

    def __init__(self):
        self._lock = threading.Lock()
        self._aliases = {}

    def hold(self, alias, owner):
        with self._lock:
            return dict(self._aliases.setdefault(alias, {}).setdefault(owner, {}))

    def release(self, alias, owner):
        with self._lock:
            owners = self._aliases.get(alias, {})
            wanted = owners.pop(owner, {})
            if not owners:
                self._aliases.pop(alias, None)
            return wanted

    def keeps(self, alias, data):
        """What of a template's update is left for an alias: all of it where nobody holds it."""
        with self._lock:
            owners = self._aliases.get(alias)
            if not owners:
                return data
            moving = {key: data[key] for key in ("FunctionVersion", "RoutingConfig") if key in data}
            for wanted in owners.values():
                wanted.update(moving)
            return {key: value for key, value in data.items() if key not in moving}


def rewritten(module, name, old, new):
    """Compiles a function of a module again, with one expression in it replaced."""
    lines, first = inspect.getsourcelines(getattr(module, name))
    source = "".join(lines)
    if source.count(old) != 1:
        raise Changed(f"{module.__name__}.{name} does not have the expression that is to be replaced once")
    code = compile("\n" * (first - 1) + source.replace(old, new), module.__file__, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102


def install(lambda_svc, provisioners):
    """Gives the emulator's Lambda both rules."""
    counts, held = Counts(), Held()
    by_template = contextvars.ContextVar("by_template", default=False)
    resolve, execute, update = (
        lambda_svc._effective_func_record_for_qualifier, lambda_svc._execute_function, lambda_svc._update_alias
    )

    def version_for_call(func, qualifier, headers, kind):
        alias = func["aliases"][qualifier]
        # Nothing is invoked by a dry run.
        if kind == "DryRun":
            return alias.get("FunctionVersion", "$LATEST")
        agent = next((value for name, value in headers.items() if name.lower() == "user-agent"), "")
        return counts.due(alias, f"invoke {agent}")

    def record_for(func, qualifier):
        record, config = resolve(func, qualifier)
        alias = ((func or {}).get("aliases") or {}).get(qualifier)
        if record is None or alias is None or not additional(alias):
            return record, config
        # Who asks may only be looking, and a poller that finds nothing invokes nothing: it is picked at the invocation.
        return {**record, MARK: (func, alias)}, config

    def execute_due(func, event):
        marked = func.get(MARK)
        if marked is None:
            return execute(func, event)
        func = {key: value for key, value in func.items() if key != MARK}
        whole, alias = marked
        version = counts.due(alias, *origin_of(event))
        if version != alias.get("FunctionVersion", "$LATEST"):
            picked = whole if version == "$LATEST" else whole["versions"].get(version)
            if picked is None:
                message = f"Function not found: {alias['AliasArn']} leads to version {version}, which is gone"
                return {"error": True, "body": {"errorType": "ResourceNotFoundException", "errorMessage": message}}
            func = {**picked, "config": dict(picked["config"])}
        return execute(func, event)

    def update_alias(func_name, alias_name, data):
        key = (lambda_svc.get_account_id(), lambda_svc.get_region(), func_name, alias_name)
        if "CausewayHold" in data:
            owner = data["CausewayOwner"]
            alias = ((lambda_svc._functions.get(func_name) or {}).get("aliases") or {}).get(alias_name)
            wanted = held.hold(key, owner) if data["CausewayHold"] and alias else held.release(key, owner)
            if alias is None:
                return lambda_svc._get_alias(func_name, alias_name)
            return lambda_svc.json_response({**alias, "CausewayWanted": wanted})
        return update(func_name, alias_name, held.keeps(key, data) if by_template.get() else data)

    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Alias"]
    from_template = handler["update"]

    def update_from_template(*args, **kwargs):
        token = by_template.set(True)
        try:
            return from_template(*args, **kwargs)
        finally:
            by_template.reset(token)

    target = 'func["aliases"][qualifier].get("FunctionVersion", "$LATEST")'
    lambda_svc._causeway_version = version_for_call
    rewritten(lambda_svc, "_invoke", target, "_causeway_version(func, qualifier, headers, invocation_type)")
    lambda_svc._effective_func_record_for_qualifier = record_for
    lambda_svc._execute_function = execute_due
    lambda_svc._update_alias = update_alias
    handler["update"] = update_from_template
    if provisioners._lambda_svc is not lambda_svc:
        raise Changed("templates do not use the module that invokes functions")


def replaced(module, name, by):
    """Puts `by(what was there)` in place of a function that must be there."""
    before = getattr(module, name, None)
    if not callable(before):
        raise Changed(f"there is no {module.__name__}.{name} any more: see what took its place")
    setattr(module, name, by(before))


def leave_to_the_cloud(cloudwatch, lambda_svc):
    """Takes out what the local cloud has itself."""
    # It evaluates an alarm whenever one is put and whenever any data are, in the wall's time, on the data of a metric's
    # name whatever their dimensions are: an error of one function raised the alarms of the other. The alarm engine
    # evaluates alone.
    replaced(cloudwatch, "_evaluate_alarm", lambda _: lambda alarm: None)
    # It measures invocations by function alone, whatever version ran, and counts those that it throttled as invocations.
    # The local cloud measures them, and puts its metrics here.
    replaced(cloudwatch, "record_metric", lambda _: lambda *_args, **_named: None)

    # The edge asks for the version that it picked, on behalf of an alias. Lambda tells the function which ARN was asked for.
    asked = contextvars.ContextVar("asked", default=None)

    def invoke(before):
        async def invoke(name, event, headers, *args, **named):
            asked.set(headers.get("x-causeway-alias"))
            return await before(name, event, headers, *args, **named)

        return invoke

    def execute(before):
        def execute(func, event, *args, **named):
            arn, alias = func["config"].get("FunctionArn", ""), asked.get()
            if alias and arn.count(":") >= 6:
                func["config"]["FunctionArn"] = ":".join(arn.split(":")[:7]) + ":" + alias
            return before(func, event, *args, **named)

        return execute

    replaced(lambda_svc, "_invoke", invoke)
    replaced(lambda_svc, "_execute_function_with_config_scope", execute)


def hold_to_aws(stacks, provisioners):
    """Lets the emulator refuse what AWS would; module and tables lie where `CAUSEWAY_DATA` says."""
    folder = os.environ["CAUSEWAY_DATA"]
    sys.path.insert(0, folder)
    import calls
    import refusals

    def table(name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)

    services = table("refusals.json")
    rules = refusals.Rules(table("resource-limits.json"), services)
    refusals.install(stacks, provisioners, rules)
    calls.install(rules, services["call"])


def prepare(found=None):
    """Prepares the emulator that is installed here; only the version that this was written for is.

    Raises `Changed` for any other.
    """
    found = found or importlib.metadata.version("ministack")
    if found != VERSION:
        raise Changed(f"ministack {found} is installed, and xtask/data/emulator.py is written for {VERSION}")
    from ministack.services import cloudwatch, lambda_svc
    from ministack.services.cloudformation import provisioners, stacks

    # First: the source of what it rewrites is the emulator's own.
    install(lambda_svc, provisioners)
    leave_to_the_cloud(cloudwatch, lambda_svc)
    hold_to_aws(stacks, provisioners)


if __name__ == "__main__":
    try:
        prepare()
    except (Changed, AttributeError, KeyError, OSError) as error:
        sys.exit(
            f"the emulator cannot be given the weights of aliases: {error}; "
            "xtask/requirements/local.txt and xtask/data/emulator.py are changed together"
        )
    from ministack.app import main

    main()
