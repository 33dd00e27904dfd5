//! Checks the data of `prove` against AWS's resource schemas, which come with the Python environment that `check` installs;
//! without it the test says that it is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use causeway_machine::cmd::{Shell, cmd};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The Python of the environment, where it has the package.
pub(super) fn python(package: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("CAUSEWAY_VENV_DIR")
        .map_or_else(|| root().join("target/causeway/venv"), PathBuf::from);
    let python = dir.join("bin/python");
    let sh = Shell::new().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
    let probe = cmd!(sh, "{python} -c 'import '{package}").ignore_stderr().read();
    if probe.is_ok() {
        return Some(python);
    }
    assert!(
        !causeway_machine::shell::is_ci(),
        "with CI set nothing is skipped: {} has no {package}",
        dir.display()
    );
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} has no {package}", dir.display());
    None
}

pub(super) fn run(python: &Path, script: &str, arguments: &[&str]) -> Value {
    let sh = Shell::new().unwrap();
    // A region must be set; nothing is asked of it.
    sh.set_var("AWS_DEFAULT_REGION", "eu-central-1");
    #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
    let said = cmd!(sh, "{python} -c {script} {arguments...}").read().unwrap();
    serde_json::from_str(&said).unwrap()
}

const SCHEMAS: &str = r#"
import glob, json, os, sys
import cfnlint
folder = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas")
wanted = set(sys.argv[1:])
with open(os.path.join(folder, "providers", "us-east-1.json")) as file:
    names = json.load(file)
found = {}
for kind in wanted & set(names):
    with open(os.path.join(folder, "resources", names[kind] + ".json")) as file:
        schema = json.load(file)
    handlers = schema.get("handlers", {})
    calls = {name: handlers.get(name, {}).get("permissions", []) for name in ("create", "update", "delete")}
    calls["tag"] = (schema.get("tagging") or {}).get("permissions", [])
    calls["read"] = [call for name in ("read", "list") for call in handlers.get(name, {}).get("permissions", [])]
    found[kind] = calls
print(json.dumps(found))
"#;

#[test]
fn every_resource_type_is_held_to_the_schema_of_aws() {
    let data = std::fs::read_to_string(root().join("xtask/data/resource-types.toml")).unwrap();
    let types: BTreeMap<String, toml::Value> = toml::from_str(&data).unwrap();
    let Some(python) = python("cfnlint") else { return };
    let names: Vec<&str> = types.keys().map(String::as_str).collect();
    let schemas = run(&python, SCHEMAS, &names);
    let action = |call: &toml::Value| call.as_str().unwrap().split(' ').next().unwrap().to_owned();
    let list = |entry: &toml::Value, key: &str| -> BTreeSet<String> {
        entry.get(key).and_then(toml::Value::as_array).into_iter().flatten().map(action).collect()
    };
    let inner = |entry: &toml::Value, table: &str, key: &str| -> BTreeSet<String> {
        let tables = entry.get(table).and_then(toml::Value::as_array).into_iter().flatten();
        tables.flat_map(|one| list(one, key)).collect()
    };
    let mut wrong = Vec::new();
    for (kind, entry) in &types {
        let listed: BTreeSet<String> =
            ["create", "update", "delete", "tag"].iter().flat_map(|key| list(entry, key)).collect();
        let mut all = listed.clone();
        all.extend(inner(entry, "needs", "do"));
        all.extend(inner(entry, "apart", "calls"));
        let calls = |handler: &str| -> BTreeSet<String> {
            let found = schemas[kind][handler].as_array().into_iter().flatten();
            found.map(|call| call.as_str().unwrap().to_owned()).collect()
        };
        let writes: BTreeSet<String> =
            ["create", "update", "delete", "tag"].into_iter().flat_map(calls).collect();
        let known: BTreeSet<String> = writes.iter().cloned().chain(calls("read")).collect();
        wrong.extend(writes.difference(&all).map(|call| format!("{kind}: {call} of the schema is left out")));
        if entry.get("source").is_none() {
            if writes.is_empty() {
                wrong.push(format!("{kind}: the schema names no calls, so the entry needs a `source`"));
            }
            wrong.extend(
                listed
                    .difference(&known)
                    .map(|call| format!("{kind}: {call} is not of the schema, so it needs a `source`")),
            );
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(types.len() > 20);
}

const REPLACED: &str = r#"
import json, os, sys
import cfnlint
folder = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas")
with open(os.path.join(folder, "providers", "us-east-1.json")) as file:
    names = json.load(file)
found = {}
for kind in set(sys.argv[1:]) & set(names):
    with open(os.path.join(folder, "resources", names[kind] + ".json")) as file:
        schema = json.load(file)
    all = (schema.get("createOnlyProperties") or []) + (schema.get("conditionalCreateOnlyProperties") or [])
    found[kind] = sorted({one.removeprefix("/properties/").split("/*")[0] for one in all})
print(json.dumps(found))
"#;

#[test]
fn what_replaces_a_resource_is_what_its_schema_says() {
    let data = std::fs::read_to_string(root().join("xtask/data/create-only.toml")).unwrap();
    let types: BTreeMap<String, Vec<String>> = toml::from_str(&data).unwrap();
    assert!(types["AWS::DynamoDB::Table"].contains(&"KeySchema".to_owned()));
    let Some(python) = python("cfnlint") else { return };
    let names: Vec<&str> = types.keys().map(String::as_str).collect();
    let schemas: BTreeMap<String, Vec<String>> =
        serde_json::from_value(run(&python, REPLACED, &names)).unwrap();
    for (kind, properties) in &types {
        assert_eq!(Some(properties), schemas.get(kind), "{kind}");
    }
    // Every type that a template of ours has is known, so that nothing is published for the sake of a type alone.
    let ours = std::fs::read_to_string(root().join("cfn/app.yaml")).unwrap();
    let kinds = ours.lines().filter_map(|line| line.strip_prefix("    Type: AWS::")).map(str::trim);
    for kind in kinds.filter(|kind| !kind.starts_with("Serverless::")) {
        assert!(types.contains_key(&format!("AWS::{kind}")), "AWS::{kind}");
    }
}

/// What the local cloud holds properties to is what AWS's schemas say; a script writes it out of them.
#[test]
fn the_limits_of_properties_are_those_of_the_schemas() {
    let Some(python) = python("cfnlint") else { return };
    let script = std::fs::read_to_string(root().join("xtask/data/resource-limits.py")).unwrap();
    let found = run(&python, &script, &[]);
    let kept = std::fs::read_to_string(root().join("xtask/data/resource-limits.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert!(kept.as_object().unwrap().len() > 150);
    for (kind, limits) in kept.as_object().unwrap() {
        assert_eq!(Some(limits), found.get(kind), "{kind}: write xtask/data/resource-limits.json anew");
    }
    assert_eq!(kept.as_object().unwrap().len(), found.as_object().unwrap().len());
}

const RESERVED: &str = r#"
import json, os
import cfnlint
folder = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas", "extensions", "aws_lambda_function")
with open(os.path.join(folder, "environment_variable_keys.json")) as file:
    print(json.dumps(sorted(json.load(file)["propertyNames"]["not"]["enum"])))
"#;

#[test]
fn the_variables_that_lambda_reserves_are_all_known() {
    let data = std::fs::read_to_string(root().join("xtask/data/refusals.toml")).unwrap();
    let table: toml::Value = toml::from_str(&data).unwrap();
    let texts = |name: &str| -> BTreeSet<String> {
        table[name].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let Some(python) = python("cfnlint") else { return };
    let found: BTreeSet<String> = serde_json::from_value(run(&python, RESERVED, &[])).unwrap();
    assert_eq!(texts("lambda-reserved"), found);
}
