"""Lists the types of CloudFormation's registry that the emulator does not know, for `inert-types.txt` beside this.

The registry's schemas are those that cfn-lint carries; ` arn` behind a type says that its identifier, which `Ref` gives, is an ARN.
It runs in the local cloud's own Python environment, which pins both:

    target/causeway/venv/bin/python xtask/data/inert-types.py > xtask/data/inert-types.txt
"""

import json
import pathlib

import cfnlint.data.schemas as schemas
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as KNOWN

DATA = pathlib.Path(schemas.__file__).parent
REGISTRY = json.loads((DATA / "providers" / "us-east-1.json").read_text())

for kind, digest in sorted(REGISTRY.items()):
    # CloudFormation's own are engines, and none of them does nothing.
    if kind in KNOWN or not kind.startswith("AWS::") or kind.startswith("AWS::CloudFormation::"):
        continue
    schema = json.loads((DATA / "resources" / f"{digest}.json").read_text())
    identifier = schema.get("primaryIdentifier", [])
    is_arn = len(identifier) == 1 and identifier[0].lower().endswith("arn")
    print(kind + (" arn" if is_arn else ""))
