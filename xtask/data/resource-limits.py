"""Writes `resource-limits.json`: what CloudFormation's schemas say of the properties of resources, as far as the local cloud holds
templates to it.

    target/causeway/venv/bin/python xtask/data/resource-limits.py > xtask/data/resource-limits.json

The schemas are AWS's ("CloudFormation registry: Resource type schema"), as cfn-lint bundles them. A test
(`prove-cmd/src/prove/held.rs`) runs this and compares. One type a line:

    required, properties, closed (no other property), items, minimum, maximum, minLength, maxLength, minItems, maxItems,
    uniqueItems, pattern, enum    as in the schema, references resolved
    id      the properties that name the resource, where a template can set all of them
    given   every property that a template cannot set
"""

import json
import os
import sys

import cfnlint

SERVICES = (
    "ApiGateway ApiGatewayV2 AppSync CloudWatch CodeBuild CodeConnections CodeDeploy CodePipeline CodeStarConnections "
    "Cognito DynamoDB ECR Events IAM Kinesis KMS Lambda Logs Pipes S3 Scheduler SecretsManager SNS SQS SSM StepFunctions"
).split()
LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "pattern", "enum", "required",
)
DEPTH = 12


def compact(part, definitions, depth=0):
    """What of a part of a schema is checked."""
    if depth > DEPTH:
        return {}
    while "$ref" in part:
        name = part["$ref"].removeprefix("#/definitions/")
        target = definitions.get(name, {})
        part = {**target, **{key: value for key, value in part.items() if key != "$ref"}}
    made = {key: part[key] for key in LIMITS if part.get(key) not in (None, [])}
    for key in ("minLength", "minItems"):
        if made.get(key) == 0:
            del made[key]
    if part.get("uniqueItems"):
        made["uniqueItems"] = True
    if part.get("properties"):
        below = part["properties"].items()
        made["properties"] = {name: compact(one, definitions, depth + 1) for name, one in sorted(below)}
        if part.get("additionalProperties") is False and not part.get("patternProperties"):
            made["closed"] = True
    if isinstance(part.get("items"), dict):
        items = compact(part["items"], definitions, depth + 1)
        if items:
            made["items"] = items
    return made


def main():
    folder = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas")
    with open(os.path.join(folder, "providers", "us-east-1.json")) as file:
        names = json.load(file)
    lines = []
    for kind in sorted(names):
        if kind.split("::")[1] not in SERVICES or kind.endswith("::MODULE"):
            continue
        with open(os.path.join(folder, "resources", names[kind] + ".json")) as file:
            schema = json.load(file)
        made = compact(schema, schema.get("definitions", {}))
        top = "/properties/"
        given = {one.removeprefix(top) for one in schema.get("readOnlyProperties", [])}
        names_it = [one.removeprefix(top) for one in schema.get("primaryIdentifier", [])]
        if names_it and not given.intersection(names_it) and not any("/" in one for one in names_it):
            made["id"] = names_it
        given = sorted(one for one in given if "/" not in one)
        if given:
            made["given"] = given
        lines.append(f"{json.dumps(kind)}: {json.dumps(made, separators=(',', ':'), sort_keys=True)}")
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


main()
