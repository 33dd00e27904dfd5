//! What every action has: its settings and variables, the artifacts it takes and gives, its role's session, and its line.

use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use anyhow::Context as _;
use causeway_aws::artifacts::Bucket;
use causeway_aws::{Account, assume_role};
use causeway_model::arn::account_of;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::judgement::too_busy;
use causeway_model::line::{Line, Mode, Status, Step};
use causeway_model::pipeline::{Action, ArtifactStore, Variables};
use tokio::time::Instant;

use super::Run;
use super::pendings::Pendings;

impl Run {
    pub(super) fn pending(&self) -> MutexGuard<'_, Pendings> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failure as it is, or as what it is where the emulator has ended, or where time alone is its cause and this machine had
    /// none. What a build waits for is its own doing.
    pub(super) async fn explained(
        &self,
        error: anyhow::Error,
        begin: Instant,
        is_build: bool,
    ) -> anyhow::Error {
        let fault = from_error(&error);
        if self.cloud.emulator.is_gone().await {
            let log = self.log("emulator");
            return Fault::failed("run the local cloud", "the emulator")
                .why(format!("the emulator ended; what came of it: {fault}"))
                .next(format!("its log is {}; then run it again", log.display()))
                .into();
        }
        if is_build {
            return error;
        }
        match self.cloud.strains.explains(begin, &fault.to_string()) {
            Some(strain) if fault.kind != Kind::TimedOut => {
                let why = format!("{strain}; what came of it: {}", fault.why);
                too_busy(&fault.what, fault.on, why).into()
            }
            _ => error,
        }
    }

    pub(super) fn step(
        &self,
        stage: &str,
        action: &str,
        status: Status,
        mode: Mode,
        seconds: Option<f64>,
        reason: Option<String>,
    ) {
        (self.emit)(Line::Step(Step::whole(stage, action, status, mode, seconds, reason)));
    }

    /// What an action takes is there: its variables, its artifacts.
    pub(super) fn prepared(&self, action: &Action) -> anyhow::Result<()> {
        for key in action.configuration.keys() {
            self.setting(action, key)?;
        }
        for artifact in &action.input_artifacts {
            self.artifact(&artifact.name)?;
        }
        Ok(())
    }

    /// Where artifacts are kept.
    pub(super) fn store(&self) -> anyhow::Result<&ArtifactStore> {
        let store = self.definition.pipeline.store(self.session.region());
        store.context("the pipeline has no artifact store of its region")
    }

    /// The bucket with the rights of a session.
    pub(super) fn bucket(&self, account: &Account) -> anyhow::Result<Bucket> {
        let store = self.store()?;
        Ok(match &store.encryption_key {
            Some(key) => Bucket::new(account, &store.location, &key.id),
            None => Bucket::plain(account, &store.location),
        })
    }

    /// A fresh key for an artifact, as CodePipeline makes them: both names cut, then something random.
    pub(super) fn artifact_key(&self, name: &str) -> String {
        let cut = |text: &str, n: usize| text.chars().take(n).collect::<String>();
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("{}/{}/{}", cut(&self.definition.pipeline.name, 20), cut(name, 10), cut(&random, 7))
    }

    /// Takes what a build says of how far it is.
    pub(super) fn show(&self, text: &str) {
        self.active.journal.progress(text);
    }

    pub(super) fn remember_artifact(&self, name: &str, key: String) {
        let bucket = self.store().map(|store| store.location.clone()).unwrap_or_default();
        self.active.note(|execution| execution.gives(name, &bucket, &key));
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), key);
    }

    pub(super) fn artifact(&self, name: &str) -> anyhow::Result<String> {
        let found = self.artifacts.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        found.ok_or_else(|| {
            Fault::failed("take the artifact", name)
                .why("no earlier action gave it")
                .next("have an earlier action give it, or take it out of InputArtifacts")
                .into()
        })
    }

    pub(super) fn setting(&self, action: &Action, key: &str) -> anyhow::Result<Option<String>> {
        let variables = self.variables();
        action.setting(key, &variables).map_err(|error| {
            Fault::failed("fill the variables of the action", format!("{}: {key}", action.name))
                .why(error)
                .next("have an earlier action set it: an output of its stack, or an exported variable of its build")
                .into()
        })
    }

    pub(super) fn wanted(&self, action: &Action, key: &str) -> anyhow::Result<String> {
        self.setting(action, key)?.ok_or_else(|| {
            Fault::failed("read the action", action.name.as_str())
                .why(format!("it has no {key}"))
                .next("add it in cfn/pipeline.yaml")
                .into()
        })
    }

    pub(super) fn variables(&self) -> MutexGuard<'_, Variables> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_variable(&self, namespace: &str, name: &str, value: impl Into<String>) {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).set(namespace, name, value);
    }

    /// The session that an action is done with: its own role's, taken on by the pipeline's, or the pipeline's itself.
    pub(super) async fn session_of(&self, action: &Action) -> anyhow::Result<Account> {
        let Some(role) = &action.role_arn else { return Ok(self.session.clone()) };
        let keys = assume_role(&self.session, role, &self.execution).await?;
        let id = account_of(role).unwrap_or_default().to_owned();
        let name = self.world.config.account_named_by_id(&id).unwrap_or("other").to_owned();
        Ok(self.session.with_keys(&name, &id, &keys))
    }

    /// The folder of logs.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.world.paths.log(name)
    }
}
