"""What AWS refuses of a call of any client and the emulator takes, for `emulator.py`: a function that is made by hand is held to
the limits that one of a template is held to, no role of another account is passed to a service, and who passes one needs
`iam:PassRole` for it. Which calls, and where a role stands in each, is in `refusals.toml`.
"""

import json
import os
import re
from urllib.parse import parse_qs

import refusals

# What CloudFormation's validator says of a value that does not fit its schema, and what a service says of it.
WORDS = (
    (r"(?P<value>\S+) is not greater or equal to (?P<limit>\S+)$", "Member must have value greater than or equal to {limit}"),
    (r"(?P<value>\S+) is not less or equal to (?P<limit>\S+)$", "Member must have value less than or equal to {limit}"),
    (r"expected (?:minLength|minimum item count): (?P<limit>\d+)", "Member must have length greater than or equal to {limit}"),
    (r"expected (?:maxLength|maximum item count): (?P<limit>\d+)", "Member must have length less than or equal to {limit}"),
    (r"string does not match pattern (?P<limit>.*)$", "Member must satisfy regular expression pattern: {limit}"),
    (r"#: .* is not a valid enum value$", "Member must satisfy enum value set"),
)


def validation(found):
    """The words of a service for a value that does not fit; nothing for what it does not look at."""
    path, _, said = found.partition(": ")
    for pattern, words in WORDS:
        fits = re.match(pattern, said)
        if fits:
            names = [name[:1].lower() + name[1:] for name in path.strip("#/").split("/") if not name.isdigit()]
            value = fits.groupdict().get("value")
            given = f"Value '{value}'" if value else "Value"
            constraint = words.format(**fits.groupdict())
            return f"1 validation error detected: {given} at '{'.'.join(names)}' failed to satisfy constraint: {constraint}"
    return None


def fields(headers, body, query):
    """What a call says, of whichever protocol; nothing where it cannot be read, which the emulator answers itself."""
    said = {name: value[0] if isinstance(value, list) and value else value for name, value in (query or {}).items()}
    try:
        text = (body or b"").decode()
        if text.lstrip().startswith("{"):
            told = json.loads(text)
            return told if isinstance(told, dict) else {}
    except ValueError:
        return {}
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        said.update({name: values[0] for name, values in parse_qs(text).items()})
    return said


def weights(props):
    """An alias's weights as a template has them: a call has a map."""
    config = props.get("RoutingConfig")
    weighted = config.get("AdditionalVersionWeights") if isinstance(config, dict) else None
    if not isinstance(weighted, dict):
        return props
    items = [{"FunctionVersion": version, "FunctionWeight": weight} for version, weight in weighted.items()]
    return {**props, "RoutingConfig": {"AdditionalVersionWeights": items}}


class Calls:
    """The table of calls, and what each is held to."""

    def __init__(self, rules, table):
        self.rules = rules
        self.by_action = {action: call for call in table for action in call["actions"]}

    def limits(self, call, data):
        """Raises what is refused of a call's own values."""
        kind = call.get("type")
        if kind is None:
            return
        props = weights({name: data[name] for name in call["takes"] if data.get(name) is not None})
        known = self.rules.limits.get(kind, {}).get("properties", {})
        for name, value in props.items():
            for found in refusals.violations(known.get(name, {}), value, f"#/{name}"):
                said = validation(found)
                if said:
                    raise refusals.by_service(said, call["service"])
        self.rules.by_its_service(kind, props)

    def roles(self, call, data):
        """The roles that a call passes."""
        for path in call.get("passes", ()):
            for arn in refusals.at(data, path):
                if isinstance(arn, str) and ":role/" in arn:
                    yield arn


def action_of(service, method, path, headers, body, query):
    """The action of a call; the emulator takes a change of an alias for a list of them."""
    from ministack.core.iam_actions import extract_iam_action

    if service == "lambda" and method == "PUT" and re.search("/functions/[^/]+/aliases/[^/]+$", path):
        return "lambda:UpdateAlias"
    return extract_iam_action(service, method, path, headers, body, query)


def answer(service, headers, code, message, status):
    """A refusal in the protocol of a service."""
    from ministack.core.iam_actions import access_denied_response

    if service == "cloudformation" or status == 403:
        return access_denied_response(service, "", "", refusals.request_id(), headers=headers, message=message)
    from ministack.core.responses import error_response_json

    return error_response_json(code, message, status)


def passing(service, call, arn, access_key, region, headers):
    """The refusal of who may not pass a role to a service; nothing for who may.

    Source: IAM user guide, "Grant a user permissions to pass a role to an AWS service".
    """
    from ministack.core.iam_actions import access_denied_response, identity_denial_message
    from ministack.core.iam_evaluator import AuthError, enforce

    keys = {"iam:PassedToService": call["to"]}
    denied = enforce(access_key, "iam:PassRole", "iam", region, resource_arn=arn, service_context=keys)
    # Who cannot be known has been answered before.
    if denied is None or isinstance(denied, AuthError):
        return None
    explicit = denied.decision == "Deny"
    message = identity_denial_message("iam:PassRole", denied.principal_arn, arn, explicit)
    return access_denied_response(
        service, "iam:PassRole", denied.principal_arn, refusals.request_id(), headers=headers, message=message, explicit_deny=explicit
    )


def refused(calls, service, method, path, headers, body, query):
    """The answer to a call that AWS would refuse; nothing to any other."""
    from ministack.core.router import extract_access_key_id, extract_region

    call = calls.by_action.get(action_of(service, method, path, headers, body, query))
    if call is None:
        return None
    data = fields(headers, body, query)
    try:
        calls.limits(call, data)
    except refusals.Refused as error:
        code = "ValidationException" if error.message.startswith("1 validation error") else "InvalidParameterValueException"
        return answer(service, headers, code, error.message, 400)
    account, access_key = refusals.account_id(), extract_access_key_id(headers, query)
    for arn in calls.roles(call, data):
        if arn.split(":")[4] not in ("", account):
            return answer(service, headers, "AccessDeniedException", "Cross-account pass role is not allowed.", 403)
        if access_key and os.environ.get("AUTH", "").lower() == "true":
            denied = passing(service, call, arn, access_key, extract_region(headers, query), headers)
            if denied is not None:
                return denied
    return None


def install(rules, table):
    """Holds the calls of the table to it, before the emulator's own service answers them."""
    calls = Calls(rules, table)
    services = {call["emulator"]: call["service-key"] for call in table}
    for module, service in services.items():
        hold(calls, refusals.service(module), service)


def hold(calls, module, service):
    before = module.handle_request

    async def handle_request(method, path, headers, body, query_params):
        found = refused(calls, service, method, path, headers, body, query_params)
        return found if found is not None else await before(method, path, headers, body, query_params)

    module.handle_request = handle_request
