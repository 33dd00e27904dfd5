//! The deployed pipeline is walked before its first action: with the source that is released, which has the buildspecs and the
//! templates, and with the roles of the local cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};

use causeway_aws::Account;
use causeway_model::arn::account_of;
use causeway_model::buildspec::{self, OnFailure};
use causeway_model::config::Config;
use causeway_model::fault::Fault;
use causeway_model::known::{Complaint, Step, line_of};
use causeway_model::pipeline::walk::{Facts, Project, Spec, Walked, walk};
use causeway_model::pipeline::{Action, Pipeline};
use causeway_model::template::{self, Node};
use serde_json::Value;

use super::build_run::expression;
use super::codebuild::{SpecPlace, spec_place};
use super::definition::Definition;
use crate::control::Control;

/// The fault of a file's complaints: the first one, with all others below its reason.
pub(super) fn fault(what: &str, file: &str, complaints: &[Complaint]) -> Fault {
    let all: Vec<(String, Complaint)> =
        complaints.iter().map(|complaint| (file.to_owned(), complaint.clone())).collect();
    fault_of(what, &all)
}

/// The same of several files.
pub(super) fn fault_of(what: &str, complaints: &[(String, Complaint)]) -> Fault {
    let Some((file, first)) = complaints.first() else { return Fault::failed(what, "") };
    let mut why = first.why.clone();
    for (file, more) in complaints.iter().skip(1) {
        why.push_str(&format!("\n{}: {}: {} ({})", more.place(file), more.on, more.why, more.next));
    }
    Fault::failed(what, format!("{}: {}", first.place(file), first.on)).why(why).next(first.next.clone())
}

/// The files of the source that is released.
pub(super) struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    /// Of its zip.
    pub(super) fn of(zip: &'a [u8]) -> Self {
        Self(zip)
    }

    /// A file's text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let mut archive = zip::ZipArchive::new(Cursor::new(self.0)).ok()?;
        let mut file = archive.by_name(name.strip_prefix("./").unwrap_or(name)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// What a walk reads.
pub(super) struct Ground<'a> {
    /// The configuration.
    pub(super) config: &'a Config,
    /// The account of the pipeline.
    pub(super) build: &'a Account,
    /// The template's file.
    pub(super) file: &'a str,
    /// The template, for its lines.
    pub(super) root: &'a Node,
    /// The pipeline in it.
    pub(super) id: &'a str,
    /// Its build projects.
    pub(super) projects: &'a BTreeMap<String, Project>,
    /// The source.
    pub(super) source: &'a Source<'a>,
}

impl Ground<'_> {
    /// The line of a path below the resources.
    pub(super) fn line(&self, path: &[Step]) -> usize {
        let mut whole = vec![Step::Key("Resources".to_owned())];
        whole.extend_from_slice(path);
        line_of(self.root, &whole)
    }

    /// Walks the pipeline.
    pub(super) fn walk(&self, properties: &Value) -> (Option<Pipeline>, Walked) {
        let first = Pipeline::from_properties(properties).ok();
        walk(
            properties,
            &Facts {
                file: self.file,
                id: self.id,
                line: &|path| self.line(path),
                account: &self.build.id,
                region: self.build.region(),
                repository: &self.config.source.repository,
                projects: self.projects,
                spec: &|project| self.spec(project, first.as_ref()),
                outputs: &|action| self.outputs(action),
            },
        )
    }

    fn spec(&self, project: &Project, pipeline: Option<&Pipeline>) -> Option<Spec> {
        let at = self.line(&[
            Step::Key(project.id.clone()),
            Step::Key("Properties".to_owned()),
            Step::Key("Source".to_owned()),
            Step::Key("BuildSpec".to_owned()),
        ]);
        let refused = |why: String, next: &str| Spec {
            file: self.file.to_owned(),
            read: Err(vec![Complaint::new(at, format!("Source.BuildSpec of {}", project.id), why, next)]),
        };
        let (file, text) = match spec_place(project) {
            SpecPlace::Inline(text) => {
                (format!("{} line {at}: Source.BuildSpec of {},", self.file, project.id), text)
            }
            SpecPlace::File(path) => {
                let path = path.display().to_string();
                if path.starts_with("arn:") {
                    let next = "put the buildspec into the source, and name its path";
                    return Some(refused("a buildspec in S3 is not read here".to_owned(), next));
                }
                match self.source.text(&path) {
                    Some(text) => (path, text),
                    None if pipeline.is_some_and(|pipeline| takes_source(pipeline, project)) => {
                        let why = format!("the source has no {path}");
                        return Some(refused(why, "correct the path, or add the file"));
                    }
                    // What a build before it makes is not there yet.
                    None => return None,
                }
            }
        };
        let mut read = buildspec::read(&text);
        if let Ok(spec) = &read {
            let wrong = spec.phases.iter().find_map(|phase| match &phase.on_failure {
                OnFailure::Retry(_, pattern) => Some((phase, expression(pattern).err()?)),
                _ => None,
            });
            if let Some((phase, error)) = wrong {
                let why = causeway_model::fault::from_error(&error).why;
                let on = format!("phases.{}.on-failure", phase.name);
                read = Err(vec![Complaint::new(0, on, why, "write a simpler one")]);
            }
        }
        Some(Spec { file, read })
    }

    /// The outputs of the stack that an action deploys: of the application's template, or of a template of the source itself.
    fn outputs(&self, action: &Action) -> Option<BTreeSet<String>> {
        let stack = action.plain("StackName")?;
        let mut targets = self.config.targets();
        let app = targets.any(|target| self.config.names().app_stack(target) == stack);
        let file = if app {
            let deployed = |one: &&causeway_model::config::Stack| {
                one.deployed_by == causeway_model::config::DeployedBy::Pipeline
            };
            format!("cfn/{}", self.config.stacks.iter().find(deployed)?.template)
        } else {
            return None;
        };
        let root = template::parse(&self.source.text(&file)?).ok()?;
        let names: Vec<&str> = root
            .get("Outputs")
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|(key, _)| key.name.as_str())
            .collect();
        // A loop makes names that stand nowhere.
        let known = !names.iter().any(|name| name.starts_with("Fn::"));
        known.then(|| names.into_iter().map(ToOwned::to_owned).collect())
    }
}

/// Whether a project builds the source itself.
fn takes_source(pipeline: &Pipeline, project: &Project) -> bool {
    let actions = || pipeline.stages.iter().flat_map(|stage| &stage.actions);
    let name = project.properties.get("Name").and_then(Value::as_str);
    let sources: BTreeSet<&str> = actions()
        .filter(|action| action.action_type_id.category == "Source")
        .flat_map(|action| action.output_artifacts.iter().map(|one| one.name.as_str()))
        .collect();
    actions().filter(|action| action.plain("ProjectName") == name).any(|action| {
        let primary = action.plain("PrimarySource");
        let first = action.input_artifacts.first().map(|one| one.name.as_str());
        primary.or(first).is_some_and(|artifact| sources.contains(artifact))
    })
}

/// Roles that are named and are not there.
pub(super) async fn roles(
    definition: &Definition,
    config: &Config,
    control: &Control,
) -> Vec<(String, Complaint)> {
    let mut named: Vec<(String, usize, String)> = Vec::new();
    for stage in &definition.pipeline.stages {
        for action in &stage.actions {
            let on = format!("{}/{}", stage.name, action.name);
            if let Some(role) = &action.role_arn {
                named.push((
                    role.clone(),
                    definition.line_of(&stage.name, &action.name, &["RoleArn"]),
                    on.clone(),
                ));
            }
            if let Some(role) = action.plain("RoleArn").filter(|role| !role.contains("#{")) {
                let line = definition.line_of(&stage.name, &action.name, &["Configuration", "RoleArn"]);
                named.push((role.to_owned(), line, on));
            }
        }
    }
    let mut complaints = Vec::new();
    let mut seen: BTreeMap<String, Option<(String, &str)>> = BTreeMap::new();
    for (role, line, on) in named {
        if !seen.contains_key(&role) {
            let found = role_fault(&role, config, control).await;
            seen.insert(role.clone(), found);
        }
        if let Some(Some((why, next))) = seen.get(&role) {
            complaints.push((definition.file().to_owned(), Complaint::new(line, on, why.clone(), *next)));
        }
    }
    complaints
}

async fn role_fault(role: &str, config: &Config, control: &Control) -> Option<(String, &'static str)> {
    let account = account_of(role).unwrap_or_default();
    let Some((_, name)) = role.split_once(":role/") else {
        return Some((format!("{role} is no role's ARN"), "name a role by its ARN"));
    };
    if config.account_named_by_id(account).is_none() {
        return Some((
            format!("the role {role} is one of account {account}, which cfn/stacks.toml does not have"),
            "add the account to cfn/stacks.toml, or name a role of one that is there",
        ));
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    let parameters = [("Action", "GetRole"), ("Version", "2010-05-08"), ("RoleName", name)];
    let asked = control.query(&control.root(account), "iam", &parameters, "look for the role", role).await;
    let why = causeway_model::fault::from_error(&asked.err()?).why;
    // Whoever cannot be asked has the last word when the action runs.
    why.starts_with("NoSuchEntity").then(|| {
        (format!("there is no role {role}"), "correct the ARN, or add the role to the account's stack")
    })
}
