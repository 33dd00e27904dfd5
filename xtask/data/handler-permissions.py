"""Writes `handler-permissions.txt`: what the handlers of every CloudFormation type call, from the schemas that cfn-lint carries.

    python xtask/data/handler-permissions.py > xtask/data/handler-permissions.txt

Run it with a Python environment that has the cfn-lint of `xtask/requirements/check.txt`. The schemas are AWS's; cfn-lint is MIT-0.
"""

import collections
import json
import pathlib

import cfnlint

FOLDER = pathlib.Path(cfnlint.__file__).parent / "data" / "schemas"


def calls(permissions):
    """`service:A,B;other:C`, sorted."""
    found = collections.defaultdict(set)
    for permission in permissions:
        prefix, _, name = permission.strip().partition(":")
        if name and not set(name) & set(" ,;"):
            found[prefix.lower()].add(name)
    return ";".join(f"{prefix}:{','.join(sorted(found[prefix]))}" for prefix in sorted(found))


def main():
    print("# What the handlers of every CloudFormation type call, by handler-permissions.py from cfn-lint's schemas: its own service, the")
    print("# property that names it, its identifiers, what GetAtt gives, and the calls of create, update, delete and tagging.")
    names = json.loads((FOLDER / "providers" / "us-east-1.json").read_text())
    for name, digest in sorted(names.items()):
        schema = json.loads((FOLDER / "resources" / f"{digest}.json").read_text())
        handlers = schema.get("handlers", {})
        of = {key: handlers.get(key, {}).get("permissions", []) for key in ("create", "update", "delete")}
        of["tag"] = (schema.get("tagging") or {}).get("permissions", [])
        prefixes = collections.Counter(
            one.split(":")[0].strip().lower() for one in [*of["create"], *of["delete"], *of["update"]])
        service = name.split("::")[1].lower()
        own = service if service in prefixes else (prefixes.most_common(1)[0][0] if prefixes else service)
        properties = set(schema.get("properties", {}))
        read_only = sorted({
            one.removeprefix("/properties/").replace("/", ".") for one in schema.get("readOnlyProperties", [])
        } - {""})
        settable = properties - set(read_only)
        last = name.split("::")[-1]
        named = next((one for one in (f"{last}Name", "Name") if one in settable), "")
        identifiers = [one.removeprefix("/properties/") for one in schema.get("primaryIdentifier", [])]
        words = {
            "own": own, "name": named, "id": ",".join(identifiers), "att": ",".join(read_only),
            "c": calls(of["create"]), "u": calls(of["update"]), "d": calls(of["delete"]), "t": calls(of["tag"]),
        }
        print(name, *(f"{key}={value}" for key, value in words.items() if value))


main()
