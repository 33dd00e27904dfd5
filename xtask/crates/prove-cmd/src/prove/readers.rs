//! What the readers of buildspecs and pipelines know is held to AWS's own lists: CloudFormation's schemas (cfn-lint carries them), the
//! models of the API (botocore carries them), and the keys of the user guide's page, copied here with its date. A new field is a
//! failing test and no silence. Without the Python environment that `check` installs, the test says that it is skipped.

use std::collections::BTreeSet;

use causeway_model::known::{Keys, known};
use serde_json::Value;

use super::held::{python, run};

/// Every path of the schemas of both types, lists being no part of them.
const SCHEMAS: &str = r##"
import json, os, cfnlint
folder = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas")
names = json.load(open(os.path.join(folder, "providers", "us-east-1.json")))
found = {}
for kind in ("AWS::CodePipeline::Pipeline", "AWS::CodeBuild::Project"):
    schema = json.load(open(os.path.join(folder, "resources", names[kind] + ".json")))
    paths = []
    def go(part, path, depth=0):
        while "$ref" in part or "items" in part:
            part = schema["definitions"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part["items"]
        for name, below in part.get("properties", {}).items():
            paths.append(path + [name])
            if depth < 9:
                go(below, path + [name], depth + 1)
    go(schema, [])
    found[kind] = [".".join(path) for path in paths]
print(json.dumps(found))
"##;

/// The same of the API's models, with names as CloudFormation writes them.
const MODELS: &str = r##"
import json
import botocore.session
session = botocore.session.get_session()
found = {}
for service, shape in (("codepipeline", "PipelineDeclaration"), ("codebuild", "CreateProjectInput")):
    model = session.get_service_model(service)
    paths = []
    def go(part, path, depth=0):
        while part.type_name == "list":
            part = part.member
        if part.type_name == "structure" and depth < 9:
            for name, below in part.members.items():
                here = path + [name[0].upper() + name[1:]]
                paths.append(here)
                go(below, here, depth + 1)
    go(model.shape_for(shape), [])
    found[service] = [".".join(path) for path in paths]
names = {
    "types": model.shape_for("EnvironmentVariableType").enum,
    "categories": session.get_service_model("codepipeline").shape_for("ActionCategory").enum,
    "modes": session.get_service_model("codepipeline").shape_for("ExecutionMode").enum,
    "results": session.get_service_model("codepipeline").shape_for("Result").enum,
}
found["enums"] = names
print(json.dumps(found))
"##;

fn paths(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Paths that no list has, where nothing above them is taken whole.
fn unknown(keys: &Keys, all: &BTreeSet<String>) -> Vec<String> {
    all.iter().filter(|path| !keys.has(path)).cloned().collect()
}

#[test]
fn every_field_of_the_schemas_is_known() {
    let Some(python) = python("cfnlint") else { return };
    let found = run(&python, SCHEMAS, &[]);
    let (pipeline, project) =
        (paths(&found["AWS::CodePipeline::Pipeline"]), paths(&found["AWS::CodeBuild::Project"]));
    assert!(pipeline.len() > 60 && project.len() > 60, "{} {}", pipeline.len(), project.len());
    assert_eq!(unknown(&known().pipeline, &pipeline), Vec::<String>::new());
    assert_eq!(unknown(&known().project, &project), Vec::<String>::new());
}

#[test]
fn every_field_of_the_models_is_known() {
    let Some(python) = python("botocore") else { return };
    let found = run(&python, MODELS, &[]);
    // What CloudFormation calls otherwise, or does not have: it stands in the schema's test.
    let renamed = |paths: BTreeSet<String>, table: &[(&str, &str)]| -> BTreeSet<String> {
        let rename = |path: String| {
            table.iter().fold(path, |path, (from, to)| match path.strip_prefix(from) {
                Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("{to}{rest}"),
                _ => path,
            })
        };
        paths.into_iter().map(rename).collect()
    };
    let pipeline = paths(&found["codepipeline"]);
    let project = renamed(paths(&found["codebuild"]), &[("Source.Buildspec", "Source.BuildSpec")]);
    assert!(pipeline.len() > 60 && project.len() > 60, "{} {}", pipeline.len(), project.len());
    assert_eq!(unknown(&known().pipeline, &pipeline), Vec::<String>::new());
    assert_eq!(unknown(&known().project, &project), Vec::<String>::new());
    let enums = &found["enums"];
    assert_eq!(enums["types"], serde_json::json!(["PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER"]));
    let categories = ["Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"];
    assert_eq!(enums["categories"], serde_json::json!(categories));
    assert_eq!(enums["modes"], serde_json::json!(["QUEUED", "SUPERSEDED", "PARALLEL"]));
    assert_eq!(enums["results"], serde_json::json!(["ROLLBACK", "FAIL", "RETRY", "SKIP"]));
}

/// AWS CodeBuild user guide, "Build specification reference for CodeBuild", section "Buildspec syntax", as of 2026-11-28.
const PAGE: [&str; 47] = [
    "version",
    "run-as",
    "env",
    "env.shell",
    "env.variables",
    "env.parameter-store",
    "env.exported-variables",
    "env.secrets-manager",
    "env.git-credential-helper",
    "proxy",
    "proxy.upload-artifacts",
    "proxy.logs",
    "batch",
    "batch.fast-fail",
    "phases",
    "phases.install",
    "phases.install.run-as",
    "phases.install.on-failure",
    "phases.install.runtime-versions",
    "phases.install.commands",
    "phases.install.finally",
    "phases.pre_build",
    "phases.pre_build.commands",
    "phases.build",
    "phases.build.run-as",
    "phases.build.on-failure",
    "phases.post_build",
    "phases.post_build.finally",
    "reports",
    "reports.group.files",
    "reports.group.base-directory",
    "reports.group.discard-paths",
    "reports.group.file-format",
    "artifacts",
    "artifacts.files",
    "artifacts.name",
    "artifacts.discard-paths",
    "artifacts.base-directory",
    "artifacts.exclude-paths",
    "artifacts.enable-symlinks",
    "artifacts.s3-prefix",
    "artifacts.secondary-artifacts.id.files",
    "artifacts.secondary-artifacts.id.name",
    "cache.key",
    "cache.fallback-keys",
    "cache.action",
    "cache.paths",
];

#[test]
fn the_keys_of_buildspecs_are_those_of_the_page() {
    let page: BTreeSet<String> = PAGE.iter().map(|one| (*one).to_owned()).collect();
    assert_eq!(unknown(&known().buildspec, &page), Vec::<String>::new());
    // And none that the page does not have.
    let page_names: BTreeSet<&str> = PAGE.iter().flat_map(|path| path.split('.')).collect();
    let ours = known().buildspec.paths();
    let more: Vec<&str> = ours
        .iter()
        .flat_map(|path| path.split('.'))
        .filter(|name| *name != "*" && !page_names.contains(name))
        .collect();
    assert_eq!(more, ["secondary-artifacts"; 0]);
}
