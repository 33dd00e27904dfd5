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

    /// A file's text; `None` where the source has no such file.
    ///
    /// # Errors
    /// Why the source or the file cannot be read.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let mut archive = zip::ZipArchive::new(Cursor::new(self.0))
            .map_err(|error| format!("the source is no archive that can be read: {error}"))?;
        let mut file = match archive.by_name(name.strip_prefix("./").unwrap_or(name)) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(format!("{name} of the source cannot be read: {error}")),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| format!("{name} of the source cannot be read: {error}"))?;
        String::from_utf8(bytes).map(Some).map_err(|_| format!("{name} of the source is not UTF-8"))
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
        let (pipeline, mut walked) = self.walk_with(properties, first.as_ref());
        // Its outputs are variables of the pipeline: what cannot be read has none, and that is no reason to say so of each.
        if let Some(file) = self.app_template()
            && let Err(why) = self.app(&file)
        {
            let complaint = Complaint::new(0, "the application's template", why, "correct the template");
            walked.complaints.push((file, complaint));
        }
        (pipeline, walked)
    }

    /// The file of the application's template.
    fn app_template(&self) -> Option<String> {
        let deployed = |one: &&causeway_model::config::Stack| {
            one.deployed_by == causeway_model::config::DeployedBy::Pipeline
        };
        Some(format!("cfn/{}", self.config.stacks.iter().find(deployed)?.template))
    }

    /// The application's template; `None` where the source has none: a build may make it.
    fn app(&self, file: &str) -> Result<Option<Node>, String> {
        let Some(text) = self.source.text(file)? else { return Ok(None) };
        template::parse(&text).map(Some).map_err(|error| error.to_string())
    }

    fn walk_with(&self, properties: &Value, first: Option<&Pipeline>) -> (Option<Pipeline>, Walked) {
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
                spec: &|project| self.spec(project, first),
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
                    Err(why) => return Some(refused(why, "save the file as UTF-8, and release again")),
                    Ok(Some(text)) => (path, text),
                    Ok(None) if pipeline.is_some_and(|pipeline| takes_source(pipeline, project)) => {
                        let why = format!("the source has no {path}");
                        return Some(refused(why, "correct the path, or add the file"));
                    }
                    // What a build before it makes is not there yet.
                    Ok(None) => return None,
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
        if !app {
            return None;
        }
        let root = self.app(&self.app_template()?).ok().flatten()?;
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_what_is_not_there() {
        let good = zipped(&[("a.yml", b"version: 0.2"), ("b.yml", b"\xff\xfe"), ("c.yml", b"c: 1")]);
        let mut broken = good.clone();
        // The bytes of the first file: what its checksum says no more.
        let at = broken.windows(7).position(|bytes| bytes == b"version").unwrap_or(40);
        broken[at] ^= 0xff;
        for (zip, name, expected) in [
            (&good, "a.yml", Ok(Some("version: 0.2"))),
            (&good, "./a.yml", Ok(Some("version: 0.2"))),
            (&good, "none.yml", Ok(None)),
            (&good, "b.yml", Err("b.yml of the source is not UTF-8")),
            (&broken, "a.yml", Err("a.yml of the source cannot be read: ")),
            (&b"no zip".to_vec(), "a.yml", Err("the source is no archive that can be read: ")),
        ] {
            match (Source::of(zip).text(name), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{name}"),
                (Err(why), Err(expected)) => assert!(why.starts_with(expected), "{name}: {why}"),
                (found, expected) => panic!("{name}: {found:?}, not {expected:?}"),
            }
        }
    }
}
