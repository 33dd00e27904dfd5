//! A pipeline is walked before it runs: keys, types of actions, settings, artifacts, variables, roles, projects and buildspecs. What
//! would end it in its third stage, or what a rehearsal cannot do, is said before Source.

pub mod build;
mod deploy;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Action, Conditions, Pipeline, Stage, named};
use crate::arn::account_of;
use crate::buildspec::Buildspec;
use crate::known::{self, Complaint, Provider, Step, shown};

/// A build project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its name in the template.
    pub id: String,
    /// Its evaluated properties.
    pub properties: Value,
}

/// A buildspec that was found for a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The file, or where in the template it stands.
    pub file: String,
    /// What it says.
    pub read: Result<Buildspec, Vec<Complaint>>,
}

/// What is known beside the pipeline itself.
pub struct Facts<'a> {
    /// The template's file.
    pub file: &'a str,
    /// The pipeline's name in the template.
    pub id: &'a str,
    /// The line of a path from the template's resources on.
    pub line: &'a dyn Fn(&[Step]) -> usize,
    /// The pipeline's account.
    pub account: &'a str,
    /// The pipeline's region.
    pub region: &'a str,
    /// The repository that is rehearsed.
    pub repository: &'a str,
    /// The stack's build projects by their name.
    pub projects: &'a BTreeMap<String, Project>,
    /// A project's buildspec; `None` where it cannot be known before the build.
    pub spec: &'a dyn Fn(&Project) -> Option<Spec>,
    /// The outputs of the stack that an action deploys; `None` where they cannot be known before.
    pub outputs: &'a dyn Fn(&Action) -> Option<BTreeSet<String>>,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Walked {
    /// What is wrong: the file, and what of it.
    pub complaints: Vec<(String, Complaint)>,
    /// What is not rehearsed, and AWS goes on, too: what and why.
    pub told: Vec<(String, String)>,
}

/// Walks a pipeline's evaluated properties.
pub fn walk(properties: &Value, facts: &Facts<'_>) -> (Option<Pipeline>, Walked) {
    let mut walker = Walker { facts, walked: Walked::default(), given: BTreeMap::new() };
    walker.keys(properties, facts.id, &known::known().pipeline);
    let pipeline = match Pipeline::from_properties(properties) {
        Ok(pipeline) => Some(pipeline),
        Err(error) => {
            walker.complain(&[], "Pipeline", error.to_string(), "correct the pipeline's properties");
            None
        }
    };
    if let Some(pipeline) = &pipeline {
        walker.pipeline(pipeline);
    }
    let mut walked = walker.walked;
    let mut seen = BTreeSet::new();
    walked.complaints.retain(|one| seen.insert(one.clone()));
    let mut seen = BTreeSet::new();
    walked.told.retain(|one| seen.insert(one.clone()));
    (pipeline, walked)
}

struct Walker<'a> {
    facts: &'a Facts<'a>,
    walked: Walked,
    /// Artifacts that are given, and who gave them.
    given: BTreeMap<String, Giver>,
}

/// Who gives an artifact.
#[derive(Debug, Clone)]
struct Giver {
    /// A build whose project names no key: what it gives is encrypted under a key of its account alone.
    own_key: bool,
    place: String,
}

/// The variables of a namespace; `None` where only the run knows them.
type Namespaces = BTreeMap<String, Option<BTreeSet<String>>>;

/// Where an action stands.
struct At<'p> {
    stage: &'p str,
    action: &'p Action,
    path: Vec<Step>,
}

impl At<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.stage, self.action.name)
    }

    /// The path of a setting.
    fn setting(&self, key: &str) -> Vec<Step> {
        let mut path = self.path.clone();
        path.extend([Step::Key("Configuration".into()), Step::Key(key.into())]);
        path
    }

    fn below(&self, key: &str) -> Vec<Step> {
        let mut path = self.path.clone();
        path.push(Step::Key(key.into()));
        path
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

impl Walker<'_> {
    /// The line of a path of a resource's properties.
    fn line(&self, id: &str, path: &[Step]) -> usize {
        let mut whole = vec![key(id), key("Properties")];
        whole.extend_from_slice(path);
        (self.facts.line)(&whole)
    }

    fn complain(&mut self, path: &[Step], on: &str, why: impl Into<String>, next: impl Into<String>) {
        let line = self.line(self.facts.id, path);
        let complaint = Complaint::new(line, on, why, next);
        self.walked.complaints.push((self.facts.file.to_owned(), complaint));
    }

    fn tell(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.walked.told.push((what.into(), why.into()));
    }

    /// The keys of a resource's properties.
    fn keys(&mut self, properties: &Value, id: &str, keys: &known::Keys) {
        let found = keys.walk(properties, &|path| self.line(id, path));
        for complaint in found.complaints {
            self.walked.complaints.push((self.facts.file.to_owned(), complaint));
        }
        let told = found.told.into_iter().map(|(path, why)| (format!("{path} of {id}"), why));
        self.walked.told.extend(told);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        if let Some(mode) = pipeline.execution_mode.as_deref().filter(|mode| *mode != "SUPERSEDED") {
            let why =
                format!("the execution mode {mode} is not rehearsed: one execution runs at a time here");
            self.complain(&[key("ExecutionMode")], "ExecutionMode", why, "write SUPERSEDED, or leave it out");
        }
        let v2 = pipeline.pipeline_type.as_deref() == Some("V2");
        if !v2 && !pipeline.variables.is_empty() {
            let why = "a pipeline of type V1 has no variables";
            self.complain(&[key("Variables")], "Variables", why, "write PipelineType: V2");
        }
        for (index, variable) in pipeline.variables.iter().enumerate() {
            if variable.default_value.is_none() {
                let path = [key("Variables"), Step::Item(index, Some(variable.name.clone()))];
                let why =
                    "it has no DefaultValue, and nobody gives it another when a push starts the pipeline";
                self.complain(&path, &shown(&path), why, "give it a DefaultValue");
            }
        }
        self.store(pipeline);
        for (index, closed) in pipeline.disable_inbound_stage_transitions.iter().enumerate() {
            if !pipeline.stages.iter().any(|stage| stage.name == closed.stage_name) {
                let path = [key("DisableInboundStageTransitions"), Step::Item(index, None), key("StageName")];
                let why = format!("there is no stage {}", closed.stage_name);
                self.complain(&path, "DisableInboundStageTransitions", why, "name a stage of the pipeline");
            }
        }
        let mut spaces = Namespaces::new();
        spaces.insert("codepipeline".into(), Some(BTreeSet::from(["PipelineExecutionId".to_owned()])));
        let own = pipeline.variables.iter().map(|one| one.name.clone()).collect();
        spaces.insert("variables".into(), Some(own));
        self.shape(pipeline);
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let path = [key("Stages"), Step::Item(index, Some(stage.name.clone()))];
            self.conditions(stage.before_entry.as_ref(), stage, &path, "BeforeEntry", &spaces);
            for group in stage.groups() {
                for action in &group {
                    self.action(
                        &At { stage: &stage.name, action, path: path_of(&path, stage, action) },
                        &spaces,
                        pipeline,
                    );
                }
                // Actions of one run order run side by side: none sees what another gives.
                for action in &group {
                    let at = At { stage: &stage.name, action, path: path_of(&path, stage, action) };
                    self.gives(&at, &mut spaces);
                }
            }
            self.conditions(stage.on_success.as_ref(), stage, &path, "OnSuccess", &spaces);
        }
    }

    /// What CodePipeline asks of every pipeline.
    fn shape(&mut self, pipeline: &Pipeline) {
        let mut names = BTreeSet::new();
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let path = [key("Stages"), Step::Item(index, Some(stage.name.clone()))];
            if !names.insert(&stage.name) {
                self.complain(&path, &stage.name, "two stages have this name", "rename one of them");
            }
            let mut actions = BTreeSet::new();
            for action in &stage.actions {
                let at = path_of(&path, stage, action);
                let on = format!("{}/{}", stage.name, action.name);
                if !actions.insert(&action.name) {
                    self.complain(&at, &on, "two actions of the stage have this name", "rename one of them");
                }
                if (action.action_type_id.category == "Source") != (index == 0) {
                    let why = "source actions, and no others, belong into the first stage";
                    self.complain(&at, &on, why, "move it");
                }
            }
            if stage.actions.is_empty() {
                self.complain(&path, &stage.name, "it has no action", "give it one, or take it out");
            }
        }
        if pipeline.stages.len() < 2 {
            let why = "a pipeline has at least two stages";
            self.complain(&[key("Stages")], "Stages", why, "add a stage");
        }
    }

    fn store(&mut self, pipeline: &Pipeline) {
        let (one, many) = (pipeline.artifact_store.is_some(), !pipeline.artifact_stores.is_empty());
        if one && many {
            let why = "CodePipeline takes ArtifactStore or ArtifactStores, not both";
            self.complain(&[key("ArtifactStores")], "ArtifactStores", why, "take one of them out");
        } else if pipeline.store(self.facts.region).is_none() {
            let why = format!("it names no artifact store of the pipeline's region {}", self.facts.region);
            let field = if many { "ArtifactStores" } else { "ArtifactStore" };
            self.complain(&[key(field)], field, why, "add the artifact bucket of that region");
        }
    }

    fn action(&mut self, at: &At<'_>, spaces: &Namespaces, pipeline: &Pipeline) {
        let (action, on) = (at.action, at.name());
        let name = action.action_type_id.name();
        let Some(provider) = known::known().action(&name) else {
            let why = format!("a rehearsal cannot do the action {name}");
            let known: Vec<&str> = known::known().actions().collect();
            let next = format!("take the action out, or use one of {}", known.join(", "));
            self.complain(&at.below("ActionTypeId"), &on, why, next);
            return;
        };
        if let Some(region) = action.region.as_deref().filter(|region| *region != self.facts.region) {
            let why = format!("it runs in {region}, and only {} is rehearsed", self.facts.region);
            self.complain(&at.below("Region"), &on, why, "leave Region out, or take the action out");
        }
        self.settings(at, provider);
        self.artifacts(at, provider);
        for (setting, value) in &action.configuration {
            let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            self.variables(&at.setting(setting), &format!("{on}: {setting}"), &text, spaces);
        }
        if self.crosses(action) {
            let no_key =
                pipeline.store(self.facts.region).is_some_and(|store| store.encryption_key.is_none());
            let lacking = action.input_artifacts.iter().find_map(|artifact| self.given.get(&artifact.name));
            let why = match lacking {
                Some(giver) if giver.own_key => format!(
                    "it reads, as a role of another account, what {} encrypts under its account's own key for S3",
                    giver.place
                ),
                _ if no_key => {
                    "a role of another account cannot read artifacts under the account's own key for S3"
                        .to_owned()
                }
                _ => String::new(),
            };
            if !why.is_empty() {
                let next = "name a KMS key: EncryptionKey of the artifact store and of the build project";
                self.complain(&at.below("RoleArn"), &on, why, next);
            }
        }
        match name.as_str() {
            "Build/AWS/CodeBuild" | "Test/AWS/CodeBuild" => self.build(at),
            "Deploy/AWS/CloudFormation" => self.cloudformation(at),
            "Deploy/AWS/S3" => self.s3(at),
            _ if action.action_type_id.category == "Source" => self.source(at),
            _ => {}
        }
    }

    /// Whether it is done as a role of another account.
    fn crosses(&self, action: &Action) -> bool {
        action.role_arn.as_deref().and_then(account_of).is_some_and(|account| account != self.facts.account)
    }

    fn settings(&mut self, at: &At<'_>, provider: &Provider) {
        let on = at.name();
        for name in at.action.configuration.keys().filter(|name| !provider.done.contains(*name)) {
            let known: Vec<&str> = provider.done.iter().map(String::as_str).collect();
            let why = format!("{} takes no {name}", provider.name);
            self.complain(&at.setting(name), &on, why, format!("correct it; known are {}", known.join(", ")));
        }
        for name in provider.wanted.iter().filter(|name| !at.action.configuration.contains_key(*name)) {
            let why = format!("it has no {name}");
            self.complain(&at.below("Configuration"), &on, why, format!("add {name} to its Configuration"));
        }
    }

    fn artifacts(&mut self, at: &At<'_>, provider: &Provider) {
        let (action, on) = (at.action, at.name());
        let counts = [
            ("InputArtifacts", action.input_artifacts.len(), provider.inputs),
            ("OutputArtifacts", action.output_artifacts.len(), provider.outputs),
        ];
        for (field, count, (least, most)) in counts {
            if count < least || count > most {
                let why = format!("{} has {least} to {most} {field}, and this has {count}", provider.name);
                self.complain(&at.below(field), &on, why, format!("correct its {field}"));
            }
        }
        for artifact in &action.input_artifacts {
            if !self.given.contains_key(&artifact.name) {
                let why = format!("it takes the artifact {}, which no earlier action gives", artifact.name);
                let known: Vec<&str> = self.given.keys().map(String::as_str).collect();
                let next = format!("name one that is there by then: {}", known.join(", "));
                self.complain(&at.below("InputArtifacts"), &on, why, next);
            }
        }
    }

    fn gives(&mut self, at: &At<'_>, spaces: &mut Namespaces) {
        let action = at.action;
        let own_key = action.action_type_id.provider == "CodeBuild"
            && self.project(action).is_some_and(build::only_its_account_reads);
        for artifact in &action.output_artifacts {
            let giver = Giver { own_key, place: at.name() };
            if let Some(other) = self.given.insert(artifact.name.clone(), giver) {
                let why = format!("it gives the artifact {}, as {} does", artifact.name, other.place);
                self.complain(&at.below("OutputArtifacts"), &at.name(), why, "give it another name");
            }
        }
        let Some(namespace) = &action.namespace else { return };
        let given = known::known().action(&action.action_type_id.name()).and_then(|provider| {
            if !provider.variables.contains("*") {
                return Some(provider.variables.clone());
            }
            match action.action_type_id.provider.as_str() {
                "CodeBuild" => {
                    let spec = (self.facts.spec)(self.project(action)?)?.read.ok()?;
                    Some(spec.exported.into_iter().collect())
                }
                // Source: "Variables reference": the modes that make or update a stack.
                "CloudFormation" => match action.plain("ActionMode") {
                    Some("CREATE_UPDATE" | "CHANGE_SET_EXECUTE" | "REPLACE_ON_FAILURE") => {
                        (self.facts.outputs)(action)
                    }
                    _ => Some(BTreeSet::new()),
                },
                _ => None,
            }
        });
        if spaces.insert(namespace.clone(), given).is_some() {
            let why = format!("the namespace {namespace} is taken");
            self.complain(&at.below("Namespace"), &at.name(), why, "give it another one");
        }
    }

    /// Whether every variable of a text is set by then.
    fn variables(&mut self, path: &[Step], on: &str, text: &str, spaces: &Namespaces) {
        for name in named(text) {
            let (why, known) = match name.split_once('.') {
                None => ("it is not written #{namespace.name}".to_owned(), spaces.keys().cloned().collect()),
                Some((space, variable)) => match spaces.get(space) {
                    None => (
                        format!("no earlier action has the namespace {space}"),
                        spaces.keys().cloned().collect::<Vec<_>>(),
                    ),
                    Some(Some(all)) if !all.contains(variable) => (
                        format!("nothing before it sets {variable} in {space}"),
                        all.iter().map(|one| format!("{space}.{one}")).collect(),
                    ),
                    _ => continue,
                },
            };
            let next = if known.is_empty() {
                "take it out, or have an earlier action set it".to_owned()
            } else {
                format!("set it, or use one that is there by then: {}", known.join(", "))
            };
            self.complain(path, on, format!("variable `#{{{name}}}`: {why}"), next);
        }
    }

    fn conditions(
        &mut self,
        conditions: Option<&Conditions>,
        stage: &Stage,
        path: &[Step],
        field: &str,
        spaces: &Namespaces,
    ) {
        let results: &[&str] = if field == "BeforeEntry" { &["FAIL", "SKIP"] } else { &["FAIL", "ROLLBACK"] };
        for (number, condition) in conditions.map_or(&[][..], |all| &all.conditions).iter().enumerate() {
            let mut at = path.to_vec();
            at.extend([key(field), key("Conditions"), Step::Item(number, None)]);
            let on = format!("{}: {field}", stage.name);
            if !results.contains(&condition.result()) {
                let mut at = at.clone();
                at.push(key("Result"));
                let why = format!("{} is no result of {field}", condition.result());
                self.complain(&at, &on, why, format!("write {}", results.join(" or ")));
            }
            for (number, rule) in condition.rules.iter().enumerate() {
                let mut at = at.clone();
                at.extend([key("Rules"), Step::Item(number, Some(rule.name.clone()))]);
                let on = format!("{on}: {}", rule.name);
                let Some(provider) = known::known().rule(&rule.rule_type_id.provider) else {
                    at.push(key("RuleTypeId"));
                    let why = format!("a rehearsal cannot ask the rule {}", rule.rule_type_id.provider);
                    let known: Vec<&str> = known::known().rules().collect();
                    let next = format!("take the rule out, or use one of {}", known.join(", "));
                    self.complain(&at, &on, why, next);
                    continue;
                };
                let setting = |name: &str| {
                    let mut path = at.clone();
                    path.extend([key("Configuration"), key(name)]);
                    path
                };
                for name in rule.configuration.keys().filter(|name| !provider.done.contains(*name)) {
                    let why = format!("the rule {} takes no {name}", provider.name);
                    self.complain(&setting(name), &on, why, "correct it");
                }
                for name in provider.wanted.iter().filter(|name| !rule.configuration.contains_key(*name)) {
                    let why = format!("it has no {name}");
                    self.complain(&at, &on, why, format!("add {name} to its Configuration"));
                }
                for (name, value) in &rule.configuration {
                    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                    self.variables(&setting(name), &on, &text, spaces);
                }
                if let Some((name, why, next)) = rule.fault() {
                    self.complain(&setting(name), &on, why, next);
                }
            }
        }
    }

    fn source(&mut self, at: &At<'_>) {
        let action = at.action;
        let repository = match action.action_type_id.provider.as_str() {
            "CodeStarSourceConnection" => action.plain("FullRepositoryId").map(ToOwned::to_owned),
            "GitHub" => {
                action.plain("Owner").zip(action.plain("Repo")).map(|(owner, repo)| format!("{owner}/{repo}"))
            }
            _ => None,
        };
        if let Some(other) = repository.filter(|one| one != self.facts.repository) {
            let why = format!("its repository is {other}, and {} is rehearsed", self.facts.repository);
            let next = "name the repository of cfn/stacks.toml: no other source is here";
            self.complain(&at.below("Configuration"), &at.name(), why, next);
        }
        if action.plain("OutputArtifactFormat") == Some("CODEBUILD_CLONE_REF") {
            let why = "a build has the commit's files without their history";
            self.tell(format!("the clone that {} hands on", at.name()), why);
        }
    }

    fn project(&self, action: &Action) -> Option<&Project> {
        self.facts.projects.get(action.plain("ProjectName")?)
    }
}

/// The path of an action.
fn path_of(stage_path: &[Step], stage: &Stage, action: &Action) -> Vec<Step> {
    let index = stage.actions.iter().position(|one| std::ptr::eq(one, action)).unwrap_or_default();
    let mut path = stage_path.to_vec();
    path.extend([key("Actions"), Step::Item(index, Some(action.name.clone()))]);
    path
}

#[cfg(test)]
mod tests;
