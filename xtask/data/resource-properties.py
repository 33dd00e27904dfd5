"""Writes `resource-properties.txt`: every CloudFormation type with its top properties, from the schemas that cfn-lint carries.

    python xtask/data/resource-properties.py > xtask/data/resource-properties.txt

Run it with a Python environment that has the cfn-lint of `xtask/requirements/check.txt`. The schemas are AWS's; cfn-lint is MIT-0.
"""

import json
import pathlib

import cfnlint

FOLDER = pathlib.Path(cfnlint.__file__).parent / "data" / "schemas"


def main():
    print("# Every CloudFormation type and its top properties, by resource-properties.py from cfn-lint's schemas.")
    names = json.loads((FOLDER / "providers" / "us-east-1.json").read_text())
    for name, digest in sorted(names.items()):
        schema = json.loads((FOLDER / "resources" / f"{digest}.json").read_text())
        read_only = {one.removeprefix("/properties/") for one in schema.get("readOnlyProperties", [])}
        print(name, *sorted(set(schema.get("properties", {})) - read_only))


main()
