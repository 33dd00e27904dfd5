//! Builds: their project, their buildspec, their variables and artifacts.

use serde::Deserialize;
use serde_json::Value;

use super::{At, Project, Spec, Walker, key};
use crate::buildspec::Buildspec;
use crate::known::{self, Step};

/// A variable of a build, as the action gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildVariable {
    /// Its name.
    pub name: String,
    /// Its value, or what has it.
    pub value: String,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: VariableKind,
}

/// What the value of a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum VariableKind {
    /// The value itself.
    #[default]
    #[serde(rename = "PLAINTEXT")]
    Plain,
    /// The name of a parameter.
    #[serde(rename = "PARAMETER_STORE")]
    Parameter,
    /// A value of a secret.
    #[serde(rename = "SECRETS_MANAGER")]
    Secret,
}

/// Whether only the project's own account can read what it gives: without a key, or under one that AWS manages.
pub(super) fn only_its_account_reads(project: &Project) -> bool {
    let key = project.properties.get("EncryptionKey").and_then(Value::as_str);
    key.is_none_or(|key| key.contains("alias/aws/"))
}

/// The kinds of machines whose commands this one can run.
const ENVIRONMENTS: [&str; 5] =
    ["LINUX_CONTAINER", "ARM_CONTAINER", "LINUX_GPU_CONTAINER", "LINUX_EC2", "ARM_EC2"];

/// A setting of a project: its path, its value, what it may be, and why no other.
type Wanted<'a> = (&'a [&'a str], Option<&'a str>, &'a [&'a str], &'a str);

impl Walker<'_> {
    pub(super) fn build(&mut self, at: &At<'_>) {
        let (action, on) = (at.action, at.name());
        for flag in ["BatchEnabled", "CombineArtifacts"] {
            let set = action.configuration.get(flag).is_some_and(|value| {
                value.as_bool() == Some(true)
                    || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
            });
            if set {
                let why = "a batch of builds is not rehearsed";
                self.complain(&at.setting(flag), &on, why, format!("take {flag} out"));
            }
        }
        if action.input_artifacts.len() > 1 {
            let primary = action.plain("PrimarySource");
            if !action.input_artifacts.iter().any(|artifact| Some(artifact.name.as_str()) == primary) {
                let why = "it takes more than one artifact, and PrimarySource names none of them";
                self.complain(&at.setting("PrimarySource"), &on, why, "name the one with the buildspec");
            }
        }
        if let Some(text) = action.plain("EnvironmentVariables")
            && let Err(error) = serde_json::from_str::<Vec<BuildVariable>>(text)
        {
            let why = format!("EnvironmentVariables is no list of variables ({error})");
            let next = r#"write [{"name":"…","value":"…","type":"PLAINTEXT"}], as a text"#;
            self.complain(&at.setting("EnvironmentVariables"), &on, why, next);
        }
        let Some(name) = action.plain("ProjectName").filter(|name| !name.contains("#{")) else { return };
        let Some(project) = self.facts.projects.get(name).cloned() else {
            let known: Vec<&str> = self.facts.projects.keys().map(String::as_str).collect();
            let why = format!("the pipeline's stack has no build project {name}");
            let next = format!("correct ProjectName; there are {}", known.join(", "));
            self.complain(&at.setting("ProjectName"), &on, why, next);
            return;
        };
        self.build_project(&project);
        let Some(Spec { file, read }) = (self.facts.spec)(&project) else { return };
        match read {
            Err(complaints) => {
                let all = complaints.into_iter().map(|complaint| (file.clone(), complaint));
                self.walked.complaints.extend(all);
            }
            Ok(spec) => {
                for (key, why) in &spec.told {
                    self.tell(format!("{key} of {file}"), why.clone());
                }
                self.given_by(at, &spec, &file);
            }
        }
    }

    /// Whether the buildspec hands on what the action gives. Source: "CodePipeline integration with CodeBuild and multiple input
    /// sources and output artifacts sample": several artifacts are secondary ones of their names, a single one is the primary.
    fn given_by(&mut self, at: &At<'_>, spec: &Buildspec, file: &str) {
        let outputs = &at.action.output_artifacts;
        for output in outputs {
            let there = spec.artifacts.as_ref().is_some_and(|all| {
                all.secondary.contains_key(&output.name) || (outputs.len() == 1 && !all.files.is_empty())
            });
            if !there {
                let why = format!("{file} hands on no artifact {}", output.name);
                let next = format!("add it to `artifacts` of {file}");
                self.complain(&at.below("OutputArtifacts"), &at.name(), why, next);
            }
        }
    }

    fn build_project(&mut self, project: &Project) {
        self.keys(&project.properties, &project.id, &known::known().project);
        let text = |path: &str| project.properties.pointer(path).and_then(Value::as_str);
        let table: [Wanted<'_>; 3] = [
            (
                &["Source", "Type"],
                text("/Source/Type"),
                &["CODEPIPELINE"],
                "a build of a pipeline has its source from there",
            ),
            (
                &["Artifacts", "Type"],
                text("/Artifacts/Type"),
                &["CODEPIPELINE"],
                "a build of a pipeline hands its artifacts on there",
            ),
            (
                &["Environment", "Type"],
                text("/Environment/Type"),
                &ENVIRONMENTS,
                "this machine does not run such commands as that one does",
            ),
        ];
        for (path, value, known, why) in table {
            if let Some(value) = value.filter(|value| !known.contains(value)) {
                let path: Vec<Step> = path.iter().map(|one| key(one)).collect();
                let line = self.line(&project.id, &path);
                let on = format!("{} of {}", known::shown(&path), project.id);
                let next = format!("write {}", known.join(" or "));
                let complaint = known::Complaint::new(line, on, format!("{value}: {why}"), next);
                self.walked.complaints.push((self.facts.file.to_owned(), complaint));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_aws_manages_is_read_by_its_account_alone() {
        for (properties, alone) in [
            (json!({}), true),
            (json!({"EncryptionKey": "alias/aws/s3"}), true),
            (json!({"EncryptionKey": "arn:aws:kms:eu-central-1:111111111111:alias/aws/s3"}), true),
            (json!({"EncryptionKey": "arn:aws:kms:eu-central-1:111111111111:key/1"}), false),
            (json!({"EncryptionKey": "alias/ours"}), false),
        ] {
            let project = Project { id: "P".into(), properties: properties.clone() };
            assert_eq!(only_its_account_reads(&project), alone, "{properties}");
        }
    }
}
