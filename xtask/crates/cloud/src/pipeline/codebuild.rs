//! A build or test action: its project, sources and buildspec, in a clean checkout, under the project's role.
//!
//! It stands in for CodeBuild; the commands are the real ones. What runs them is in `build_run.rs`, what they see in
//! `build_environment.rs`, what they hand on in `collect.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::build_environment::Started;
use super::build_run::{BuildRun, Told};
use super::collect::collect;
use super::{Run, checkout, without_cargo};
use causeway_aws::artifacts::Bucket;
use causeway_aws::{Account, assume_role};
use causeway_machine::files;
use causeway_machine::process;
use causeway_model::buildspec;
use causeway_model::config::BUILD;
use causeway_model::fault::Fault;
use causeway_model::line::Line;
use causeway_model::pipeline::Action;
use causeway_model::pipeline::walk::Project;

impl Run {
    /// Runs a build or test action.
    pub(super) async fn codebuild(self: &Arc<Self>, action: &Action) -> anyhow::Result<Option<String>> {
        let project_name = self.wanted(action, "ProjectName")?;
        let project = self.definition.project(&project_name)?.clone();
        let role = text(&project, "/ServiceRole").context("the build project has no ServiceRole")?;
        // CodeBuild takes on the project's role; the build account's root stands for the service.
        let build = self.world.accounts.get(BUILD)?;
        let keys = assume_role(build, &role, "codebuild").await?;
        let session = build.with_keys("build", &build.id, &keys);

        let primary = self.setting(action, "PrimarySource")?;
        let inputs = &action.input_artifacts;
        let source = inputs
            .iter()
            .find(|input| Some(&input.name) == primary.as_ref())
            .or_else(|| inputs.first())
            .context("a build takes a source artifact")?;
        let zip = self.bucket(&session)?.get(&self.artifact(&source.name)?).await?;
        // Each kind of build has a checkout of its own: bringing one to another source would touch every file.
        let kind = if action.action_type_id.category == "Test" { "test" } else { "source" };
        let dir = self.world.paths.rehearsal().join(kind);
        // Two rehearsals share one checkout; each has it for the length of a build.
        let place = self.world.paths.rehearsal();
        std::fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
        let show = |text: &str| self.show(text);
        let _lock = files::lock(&place.join("lock"), &|text| show(text)).await?;
        // No other build of this cloud is at work now: what is written down was left behind by a run that was killed.
        let records = self.world.paths.processes().join("builds");
        for name in process::reap(&records).await {
            show(&format!("ended what an earlier run had left behind: {name}"));
        }
        checkout::sync(&dir, &zip)?;
        // Every further source lies beside the first, and is found by a variable.
        let mut more = Vec::new();
        for input in inputs.iter().filter(|input| input.name != source.name) {
            let key = self.artifact(&input.name)?;
            let beside = place.join(format!("{kind}-{}", input.name));
            checkout::sync(&beside, &self.bucket(&session)?.get(&key).await?)?;
            more.push((input.name.clone(), beside, key));
        }

        let (place_of_spec, spec_text) = spec_text(&project, &dir, self.definition.file())?;
        let spec = buildspec::read(&spec_text)
            .map_err(|complaints| super::walked::fault("read the buildspec", &place_of_spec, &complaints))?;

        let id = format!("{project_name}:{}", uuid::Uuid::new_v4());
        let scratch = tempfile::tempdir().context("make a folder for the build")?;
        let started = Started {
            action,
            project: &project.properties,
            spec: &spec,
            keys: &keys,
            id: &id,
            dir: &dir,
            source: self.artifact(&source.name)?,
            more: &more,
        };
        let (mut environment, secrets) = self.environment(&started).await?;
        if kind == "test"
            && let Some(path) = environment.get_mut("PATH")
        {
            *path = without_cargo::path(path, scratch.path())?;
        }
        let build_run = BuildRun {
            environment,
            secrets,
            scratch,
            log: self.log(&project_name),
            records,
            limit: limit(&project.properties),
            dir,
            spec,
        };
        let warn = |message: String| (self.emit)(Line::Warning { message });
        build_run.phases(&Told { show: &show, warn: &warn }).await?;
        if let Some(namespace) = &action.namespace {
            for (name, value) in build_run.exported() {
                self.set_variable(namespace, &name, value);
            }
        }
        self.put_artifacts(action, &session, &project, &build_run).await?;
        Ok(None)
    }

    /// Zips and uploads what the build hands on, with the project role's rights and under the project's key: a single artifact is the
    /// primary one, several are secondary ones of their names.
    async fn put_artifacts(
        &self,
        action: &Action,
        session: &Account,
        project: &Project,
        build: &BuildRun,
    ) -> anyhow::Result<()> {
        let store = self.store()?;
        let bucket = match text(project, "/EncryptionKey") {
            Some(key) => Bucket::new(session, &store.location, &key),
            None => Bucket::plain(session, &store.location),
        };
        let variables = build.variables();
        for output in &action.output_artifacts {
            let artifacts = build.spec.artifacts.as_ref();
            let artifacts = match artifacts.and_then(|all| all.secondary.get(&output.name)) {
                Some(secondary) => Some(secondary),
                None if action.output_artifacts.len() == 1 => artifacts,
                None => None,
            };
            let artifacts = artifacts.ok_or_else(|| {
                Fault::failed("hand on the artifact", output.name.as_str())
                    .why("the buildspec has none of that name")
                    .next("add it to `artifacts` in the buildspec")
            })?;
            let zip = collect(&build.dir, &artifacts.filled(&variables))
                .with_context(|| format!("collect artifact {}", output.name))?;
            let key = self.artifact_key(&output.name);
            bucket.put_artifact(&key, zip).await?;
            self.remember_artifact(&output.name, key);
        }
        Ok(())
    }
}

/// A text of a project.
pub(super) fn text(project: &Project, path: &str) -> Option<String> {
    project.properties.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned)
}

/// Where a project's buildspec stands, and in a file of its source, which.
pub(super) enum SpecPlace {
    /// In the project itself, as CDK writes it.
    Inline(String),
    /// In a file of the source.
    File(PathBuf),
}

/// Where a project has its buildspec.
pub(super) fn spec_place(project: &Project) -> SpecPlace {
    match text(project, "/Source/BuildSpec").filter(|spec| !spec.is_empty()) {
        Some(spec)
            if spec.contains('\n') || spec.trim_start().starts_with('{') || spec.starts_with("version:") =>
        {
            SpecPlace::Inline(spec)
        }
        Some(spec) => SpecPlace::File(PathBuf::from(spec)),
        None => SpecPlace::File(PathBuf::from("buildspec.yml")),
    }
}

fn spec_text(project: &Project, dir: &Path, template: &str) -> anyhow::Result<(String, String)> {
    match spec_place(project) {
        SpecPlace::Inline(text) => Ok((inline(project, template), text)),
        SpecPlace::File(path) => {
            let read = std::fs::read_to_string(dir.join(&path)).map_err(|error| {
                Fault::failed("read the buildspec", path.display().to_string())
                    .why(error)
                    .next(format!("correct Source.BuildSpec of {} in {template}", project.id))
            })?;
            Ok((path.display().to_string(), read))
        }
    }
}

/// Where a buildspec stands that is no file.
pub(super) fn inline(project: &Project, template: &str) -> String {
    format!("Source.BuildSpec of {} in {template}", project.id)
}

/// A project's time-out; CodeBuild's own default is an hour.
fn limit(project: &Value) -> Duration {
    let minutes =
        project.get("TimeoutInMinutes").map(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Duration::from_secs(60 * minutes.flatten().unwrap_or(60))
}
