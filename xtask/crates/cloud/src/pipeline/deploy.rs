//! CloudFormation actions, with the action role's session and the execution role passed on.
//!
//! Source: "AWS CloudFormation deploy action reference" in the CodePipeline user guide.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::pendings::Pending;
use super::{Run, follow};
use crate::ledger::{Record, StackKey};
use causeway_aws::Account;
use causeway_aws::cloudformation::{Settled, StackInfo, Stacks, Wanted};
use causeway_model::changeset::Change;
use causeway_model::difference;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::isolated::Filled;
use causeway_model::line::Line;
use causeway_model::pipeline::Action;
use causeway_model::pipeline::overrides::{self, Attribute, Override};
use causeway_model::plan::StackPlan;
use causeway_model::stack::{self, Outcome, Phase, StackStatus};
use causeway_model::template::{self, MAX_BODY};

/// How long a stack may take, a gradual shift included.
const LIMIT: Duration = Duration::from_secs(3_600);

/// A template configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// What an action gives CloudFormation, however it does.
struct Submission {
    template: String,
    configuration: Configuration,
    role: Option<String>,
    url: Option<String>,
}

impl Submission {
    /// For a stack, by a change set of that name where there is one.
    fn of<'a>(&'a self, stack: &'a str, change_set: &'a str) -> Wanted<'a> {
        Wanted {
            stack,
            template: &self.template,
            url: self.url.as_deref(),
            parameters: &self.configuration.parameters,
            tags: &self.configuration.tags,
            role_arn: self.role.as_deref(),
            name: change_set,
            is_own: false,
        }
    }
}

impl Run {
    /// Does a CloudFormation action; what there is to say of it.
    pub(super) async fn deploy(
        self: &Arc<Self>,
        stage: &str,
        action: &Action,
    ) -> anyhow::Result<Option<String>> {
        let session = self.session_of(action).await?;
        let stacks = Stacks::new(&session);
        let stack = self.wanted(action, "StackName")?;
        let key = (session.id.clone(), stack.clone());
        let env = self.world.config.account_named_by_id(&session.id).unwrap_or_default().to_owned();
        self.meant().entry(key.clone()).or_default().env = env;
        let mode = self.wanted(action, "ActionMode")?;
        let said = match mode.as_str() {
            "CREATE_UPDATE" | "REPLACE_ON_FAILURE" => {
                if mode == "REPLACE_ON_FAILURE" {
                    self.remove_failed(&stacks, &stack).await?;
                }
                let following = follow::Following::start(self, stage, action, &session.id, &stack).await;
                let result = self.create_update(action, &session, &stacks, &stack).await;
                following.end().await;
                let said = self.excused(&session, result)?;
                // The engine is done with it a moment after CloudFormation is.
                self.cloud.ledger.idle(&key).await;
                let record = self.cloud.ledger.current(&key);
                self.deployed(key, record);
                said
            }
            "CHANGE_SET_REPLACE" => self.replace_change_set(action, &session, &stacks, &stack).await?,
            "CHANGE_SET_EXECUTE" => {
                let following = follow::Following::start(self, stage, action, &session.id, &stack).await;
                let result = self.execute_change_set(action, &session, &stacks, &stack).await;
                following.end().await;
                self.excused(&session, result)?
            }
            "DELETE_ONLY" => {
                let said = match stacks.describe(&stack).await? {
                    None => "there is no such stack",
                    Some(_) => {
                        deleted(&stack, &stacks.delete(&stack, LIMIT, &self.emit).await?)?;
                        "deleted"
                    }
                };
                // Nothing is meant to stand there at the end.
                self.meant().remove(&key);
                Some(said.to_owned())
            }
            other => {
                return Err(Fault::failed("run the action", action.name.as_str())
                    .why(format!("ActionMode {other} is not known to the rehearsal"))
                    .next("correct ActionMode in cfn/pipeline.yaml")
                    .into());
            }
        };
        // The modes that make or update a stack give variables ("Variables reference").
        if !["CREATE_UPDATE", "REPLACE_ON_FAILURE", "CHANGE_SET_EXECUTE"].contains(&mode.as_str()) {
            return Ok(said);
        }
        self.give_outputs(action, &session, &stacks, &stack).await?;
        Ok(said)
    }

    /// A stack is what a record says now.
    fn deployed(&self, key: StackKey, record: Option<Arc<Record>>) {
        let mut all = self.meant();
        let meant = all.entry(key).or_default();
        (meant.record, meant.waits) = (record, None);
    }

    /// REPLACE_ON_FAILURE deletes a stack that failed before it makes it anew.
    async fn remove_failed(&self, stacks: &Stacks, stack: &str) -> anyhow::Result<()> {
        let Some(info) = stacks.describe(stack).await? else { return Ok(()) };
        // Source: "AWS CloudFormation deploy action reference": these states count as failed.
        let failed = [
            "CREATE_FAILED",
            "ROLLBACK_FAILED",
            "ROLLBACK_COMPLETE",
            "DELETE_FAILED",
            "UPDATE_ROLLBACK_FAILED",
        ];
        if !failed.contains(&info.status.to_string().as_str()) {
            return Ok(());
        }
        let message =
            format!("{stack} is in {}: REPLACE_ON_FAILURE deletes it and makes it anew", info.status);
        (self.emit)(Line::Warning { message });
        deleted(stack, &stacks.delete(stack, LIMIT, &self.emit).await?)
    }

    /// What became of a deployment; a failure that this machine explains is none of the release's.
    fn excused<T>(&self, session: &Account, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let env = self.world.config.account_named_by_id(&session.id).unwrap_or_default();
        result.map_err(|error| self.judged().excuse(env, from_error(&error)).into())
    }

    async fn create_update(
        &self,
        action: &Action,
        session: &Account,
        stacks: &Stacks,
        stack: &str,
    ) -> anyhow::Result<Option<String>> {
        let submission = self.submission(action, session).await?;
        if let Some(info) = stacks.describe(stack).await? {
            refuse_dead_stack(stack, &info)?;
        }
        match stacks.create_or_update(&submission.of(stack, ""), LIMIT, &self.emit).await? {
            None => Ok(Some("nothing to change".to_owned())),
            Some(settled) => good(stack, &settled).map(|()| None),
        }
    }

    async fn replace_change_set(
        &self,
        action: &Action,
        session: &Account,
        stacks: &Stacks,
        stack: &str,
    ) -> anyhow::Result<Option<String>> {
        let submission = self.submission(action, session).await?;
        let name = self.wanted(action, "ChangeSetName")?;
        let info = stacks.describe(stack).await?;
        if let Some(info) = &info {
            refuse_dead_stack(stack, info)?;
        }
        let state = info.as_ref().map_or_else(|| "ABSENT".to_owned(), |info| info.status.to_string());
        let is_new = info.as_ref().is_none_or(|info| info.status == StackStatus::Review);
        let made = stacks.create_change_set(&submission.of(stack, &name), is_new).await?;
        let said = match &made {
            Some(made) => format!("{} changes", made.changes.len()),
            None => "nothing to change".to_owned(),
        };
        let key = (session.id.clone(), stack.to_owned());
        let record = match &made {
            Some(made) => self.cloud.ledger.change_set(&key, &made.id),
            None => self.cloud.ledger.current(&key),
        };
        let mut changes = made.map(|made| made.changes).unwrap_or_default();
        if let Some(info) = info.filter(|_| !is_new && !changes.is_empty()) {
            self.tell(&mut changes, (&session.id, stack), &info.parameters, &submission).await;
        }
        if !changes.is_empty() {
            self.meant().entry(key.clone()).or_default().waits = Some(name.clone());
        }
        // Before anybody is asked, everybody who reads the lines can see what the release would change.
        let action = match (changes.is_empty(), is_new) {
            (true, _) => stack::Action::None,
            (false, true) => stack::Action::Create,
            (false, false) => stack::Action::Update,
        };
        let account = self.world.config.account_named_by_id(&session.id).unwrap_or_default().to_owned();
        (self.emit)(Line::Plan {
            waves: vec![vec![StackPlan {
                changes: changes.clone(),
                ..StackPlan::new(&account, stack, state, action)
            }]],
        });
        self.pending().put(Pending { name, changes, account, key, record });
        Ok(Some(said))
    }

    /// Adds to the changes what the templates tell of them, as whoever approves reads it. The deployed one is read as the account's
    /// root: no role of the pipeline has to be able to. What cannot be read tells nothing, and fails nothing.
    async fn tell(
        &self,
        changes: &mut [Change],
        (account, stack): (&str, &str),
        parameters: &BTreeMap<String, String>,
        submission: &Submission,
    ) {
        let config = &self.world.config;
        let root = config.account_named_by_id(account).and_then(|name| self.world.accounts.get(name).ok());
        let Some(root) = root else { return };
        let read = |text: &str| template::parse(text).map(|root| root.to_json());
        let Ok(deployed) = Stacks::new(root).template(stack).await else { return };
        if let (Ok(before), Ok(after)) = (read(&deployed), read(&submission.template)) {
            let before = Filled { template: &before, parameters };
            let after = Filled { template: &after, parameters: &submission.configuration.parameters };
            difference::tell(changes, before, after);
        }
    }

    async fn execute_change_set(
        &self,
        action: &Action,
        session: &Account,
        stacks: &Stacks,
        stack: &str,
    ) -> anyhow::Result<Option<String>> {
        let name = self.wanted(action, "ChangeSetName")?;
        let key = (session.id.clone(), stack.to_owned());
        let pending = self.pending().take(&key, &name);
        let record = match pending {
            // An empty change set was not kept; CodePipeline executes it as a success, with no shift.
            Some(pending) if pending.changes.is_empty() => {
                self.deployed(key, pending.record);
                return Ok(Some("nothing to change".to_owned()));
            }
            Some(pending) => pending.record,
            // One that no action of this run made: CloudFormation knows whether it is there.
            None => self.cloud.ledger.change_set(&key, &name),
        };
        let settled = stacks.execute(stack, &name, false, || {}, LIMIT, &self.emit).await?;
        good(stack, &settled)?;
        self.deployed(key, record);
        Ok(None)
    }

    /// The template and its parameters, read from artifacts with the action's own rights.
    async fn submission(&self, action: &Action, session: &Account) -> anyhow::Result<Submission> {
        let template = self.file(session, &self.wanted(action, "TemplatePath")?).await?;
        let mut configuration = match self.setting(action, "TemplateConfiguration")? {
            Some(path) => {
                let text = self.file(session, &path).await?;
                serde_json::from_str(&text).with_context(|| format!("read {path}"))?
            }
            None => Configuration::default(),
        };
        if let Some(text) = self.setting(action, "ParameterOverrides")? {
            let all = overrides::read(&text).map_err(|why| {
                Fault::failed("read ParameterOverrides", action.name.as_str())
                    .why(why)
                    .next("correct ParameterOverrides in cfn/pipeline.yaml")
            })?;
            for (name, value) in all {
                let value = self.overridden(session, value).await?;
                configuration.parameters.insert(name, value);
            }
        }
        let role = self.setting(action, "RoleArn")?;
        let url = self.template_url(&template, session).await?;
        Ok(Submission { template, configuration, role, url })
    }

    /// The value of a parameter that an action overrides.
    async fn overridden(&self, session: &Account, value: Override) -> anyhow::Result<String> {
        match value {
            Override::Text(text) => Ok(text),
            Override::Attribute(artifact, attribute) => {
                let (bucket, key) = (&self.store()?.location, self.artifact(&artifact)?);
                Ok(match attribute {
                    Attribute::BucketName => bucket.clone(),
                    Attribute::ObjectKey => key,
                    Attribute::Url => {
                        format!("https://{bucket}.s3.{}.amazonaws.com/{key}", self.session.region())
                    }
                })
            }
            Override::FromFile(artifact, file, key) => {
                let path = format!("{artifact}::{file}");
                let text = self.file(session, &path).await?;
                let all: serde_json::Value =
                    serde_json::from_str(&text).with_context(|| format!("read {path}"))?;
                let found = all.get(&key).and_then(serde_json::Value::as_str);
                found.map(ToOwned::to_owned).ok_or_else(|| {
                    Fault::failed("take the parameter", format!("{path}: {key}"))
                        .why("the file has no text of that name")
                        .next("correct Fn::GetParam in cfn/pipeline.yaml, or the file")
                        .into()
                })
            }
        }
    }

    /// Where CloudFormation reads a template that is too large for a request. As CodePipeline does, it lies in the artifact
    /// bucket, and the address is signed with the action's own rights (aws-codepipeline-user-guide 48).
    async fn template_url(&self, template: &str, session: &Account) -> anyhow::Result<Option<String>> {
        if template.len() <= MAX_BODY {
            return Ok(None);
        }
        let key = self.artifact_key("Template");
        self.bucket(&self.session)?.put_artifact(&key, template.as_bytes().to_vec()).await?;
        self.bucket(session)?.signed_url(&key).await.map(Some)
    }

    /// A file of an artifact, `Artifact::path`.
    pub(super) async fn file(&self, session: &Account, path: &str) -> anyhow::Result<String> {
        let (artifact, name) =
            path.split_once("::").with_context(|| format!("{path} is not written Artifact::file"))?;
        let zip = self.bucket(session)?.get(&self.artifact(artifact)?).await?;
        let mut archive =
            zip::ZipArchive::new(Cursor::new(zip)).with_context(|| format!("open artifact {artifact}"))?;
        let mut file = archive.by_name(name).map_err(|error| {
            Fault::failed("take the file", path)
                .why(error)
                .next("see the artifacts section of buildspecs/build.yml")
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("read {path}"))?;
        Ok(text)
    }

    /// The stack's outputs become variables of the action's namespace, and a file of its artifact.
    async fn give_outputs(
        &self,
        action: &Action,
        session: &Account,
        stacks: &Stacks,
        stack: &str,
    ) -> anyhow::Result<()> {
        let file = self.setting(action, "OutputFileName")?;
        if action.namespace.is_none() && file.is_none() {
            return Ok(());
        }
        let outputs = stacks.describe(stack).await?.map(|info| info.outputs).unwrap_or_default();
        if let (Some(file), Some(artifact)) = (file, action.output_artifacts.first()) {
            let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file(file, zip::write::SimpleFileOptions::default()).context("zip the outputs")?;
            let text = serde_json::to_vec(&outputs).context("write the outputs")?;
            zip.write_all(&text).context("zip the outputs")?;
            let zip = zip.finish().context("zip the outputs")?.into_inner();
            let key = self.artifact_key(&artifact.name);
            self.bucket(session)?.put_artifact(&key, zip).await?;
            self.remember_artifact(&artifact.name, key);
        }
        if let Some(namespace) = &action.namespace {
            for (name, value) in outputs {
                self.set_variable(namespace, &name, value);
            }
        }
        Ok(())
    }
}

/// CloudFormation refuses for ever to update a stack whose create was rolled back.
fn refuse_dead_stack(stack: &str, info: &StackInfo) -> anyhow::Result<()> {
    if info.status == StackStatus::Known(Phase::Rollback, Outcome::Complete) {
        return Err(Fault::new(Kind::Stuck, "deploy the stack", stack)
            .why("it is in ROLLBACK_COMPLETE: its first create failed, and it can only be removed")
            .next("cargo xtask doctor --fix removes it (it was never in service); then release again")
            .into());
    }
    Ok(())
}

fn deleted(stack: &str, settled: &Settled) -> anyhow::Result<()> {
    match settled.status {
        // `DELETE_COMPLETE` is read so.
        StackStatus::Absent => Ok(()),
        _ => {
            let why = settled.first_failure.clone().unwrap_or_else(|| "no reason was given".to_owned());
            Err(Fault::failed("delete the stack", stack).why(format!("{}: {why}", settled.status)).into())
        }
    }
}

fn good(stack: &str, settled: &Settled) -> anyhow::Result<()> {
    if settled.status.is_good() {
        return Ok(());
    }
    let why = settled.first_failure.clone().unwrap_or_else(|| "no reason was given".to_owned());
    let rolled_back = matches!(settled.status, StackStatus::Known(Phase::UpdateRollback, Outcome::Complete));
    let kind = if rolled_back { Kind::RolledBack } else { Kind::Failed };
    Err(Fault::new(kind, "deploy the stack", stack).why(format!("{}: {why}", settled.status)).into())
}
