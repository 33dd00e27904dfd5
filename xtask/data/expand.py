"""Expands templates as CloudFormation does, for `xtask/crates/machine/src/expand.rs`.

One request a line on standard input, one answer a line on standard output, both JSON; the process ends with its input.

    {"template": {...}, "parameters": {...}, "pseudo": {"region", "partition", "account", "stack_name", "stack_id"}}
    {"template": {...}}    or    {"transform": "...", "message": "..."}

What expands is AWS's own code: the SAM translator (`aws-sam-translator`), and SAM CLI's processor of language extensions.
"""

import copy
import json
import logging
import os
import sys

os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samcli.lib.cfn_language_extensions.api import process_template
from samcli.lib.cfn_language_extensions.exceptions import InvalidTemplateException, UnresolvableReferenceError
from samcli.lib.cfn_language_extensions.models import PseudoParameterValues, ResolutionMode
from samcli.lib.cfn_language_extensions.resolvers.fn_sub import PLACEHOLDER_PATTERN, FnSubResolver
from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.arn_generator import ArnGenerator
from samtranslator.translator.transform import transform

LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
SERVERLESS = "AWS::Serverless-2016-10-31"

# The translator remarks on features and metrics of AWS's own service; its errors arrive as exceptions.
logging.disable(logging.CRITICAL)


class ManagedPolicies:
    """The list of AWS's managed policies that the translator carries along: nothing is asked of IAM."""

    def load(self):
        region = os.environ["AWS_DEFAULT_REGION"]
        return dict(get_bundled_managed_policy_map(ArnGenerator.get_partition_name(region)) or {})


class Refused(Exception):
    def __init__(self, name, message):
        super().__init__(message)
        self.name = name


def typed(template, values):
    """Parameters as a transform gets them: lists where their type is a list."""
    declared = template.get("Parameters") or {}
    found = {}
    for name, value in values.items():
        kind = declared.get(name, {}).get("Type", "String") if isinstance(declared, dict) else "String"
        is_list = kind == "CommaDelimitedList" or "List<" in kind
        found[name] = [item.strip() for item in value.split(",")] if is_list else value
    return found


def substituted(self, value, resolve=FnSubResolver.resolve):
    """`Fn::Sub` as CloudFormation has it: one that names a resource stays whole. SAM CLI fills in what it knows and leaves
    the rest as plain text, which nothing would ever fill in."""
    text, given = self._parse_args(self.get_function_args(value))
    known = self._resolve_variable_map(given)
    names = [name for name in PLACEHOLDER_PATTERN.findall(text) if not name.startswith("!")]
    if any(name not in known and self._resolve_variable(name, known) is None for name in names):
        return {"Fn::Sub": [text, known]} if known else {"Fn::Sub": text}
    if any(isinstance(known.get(name), (dict, list)) for name in names):
        return {"Fn::Sub": [text, known]}
    return resolve(self, value)


FnSubResolver.resolve = substituted

CONDITION = "CausewayCondition"


def renamed(part, old, new):
    """The condition of a resource or an output under another name. SAM CLI takes references out of what a false condition
    leaves out, and CloudFormation checks that as it is written."""
    if isinstance(part, list):
        return [renamed(item, old, new) for item in part]
    if not isinstance(part, dict):
        return part
    owns = isinstance(part.get(old), str) and ("Type" in part or "Value" in part)
    return {(new if owns and key == old else key): renamed(item, old, new) for key, item in part.items()}


def sections(template, old, new):
    """A template with the conditions of its resources and outputs under another name."""
    named = ("Resources", "Outputs")
    return {key: renamed(part, old, new) if key in named else part for key, part in template.items()}


def extended(template, values, pseudo):
    """What the language extensions make of a template. References to resources stay."""
    try:
        made = process_template(
            sections(template, "Condition", CONDITION),
            parameter_values=typed(template, values),
            pseudo_parameters=PseudoParameterValues(
                region=pseudo["region"],
                account_id=pseudo["account"],
                stack_id=pseudo["stack_id"],
                stack_name=pseudo["stack_name"],
                partition=pseudo["partition"],
            ),
            resolution_mode=ResolutionMode.PARTIAL,
        )
        return sections(made, CONDITION, "Condition")
    except (InvalidTemplateException, UnresolvableReferenceError) as error:
        raise Refused(LANGUAGE_EXTENSIONS, str(error)) from error


def serverless(template, values, pseudo):
    """What SAM makes of a template."""
    os.environ["AWS_DEFAULT_REGION"] = pseudo["region"]
    ArnGenerator.BOTO_SESSION_REGION_NAME = pseudo["region"]
    given = typed(template, values)
    given.update({"AWS::Region": pseudo["region"], "AWS::Partition": pseudo["partition"]})
    try:
        return transform(template, given, ManagedPolicies())
    except InvalidDocumentException as error:
        causes = " ".join(cause.message for cause in error.causes)
        raise Refused(SERVERLESS, f"{error.message} {causes}") from error


def expand(request):
    template = copy.deepcopy(request["template"])
    names = template.pop("Transform", None) or []
    names = names if isinstance(names, list) else [names]
    values, pseudo = request["parameters"], request["pseudo"]
    # Language extensions come first, in whatever order a template names them: SAM wants loops unrolled.
    for name, apply in ((LANGUAGE_EXTENSIONS, extended), (SERVERLESS, serverless)):
        if name in names:
            try:
                template = apply(template, values, pseudo)
            except Refused:
                raise
            except Exception as error:  # a fault of the transform itself on a template that it did not expect
                raise Refused(name, f"{type(error).__name__}: {error}") from error
            template.pop("Transform", None)
    return template


def main():
    for line in sys.stdin:
        try:
            answer = {"template": expand(json.loads(line))}
        except Refused as refused:
            answer = {"transform": refused.name, "message": str(refused)}
        json.dump(answer, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


main()
