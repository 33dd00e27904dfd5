//! The source action: the commit's zip goes into the bucket with the pipeline role's rights. The connection to the
//! provider is not there, so the step is simulated.

use std::sync::Arc;

use super::Run;
use causeway_model::pipeline::Action;

impl Run {
    /// Puts the source artifact.
    pub(super) async fn source(self: &Arc<Self>, action: &Action) -> anyhow::Result<Option<String>> {
        let session = self.session_of(action).await?;
        for artifact in &action.output_artifacts {
            let key = self.artifact_key(&artifact.name);
            self.bucket(&session)?.put_artifact(&key, self.order.source.as_ref().clone()).await?;
            self.remember_artifact(&artifact.name, key);
        }
        if let Some(namespace) = &action.namespace {
            let repository = self.world.config.source.repository.clone();
            let setting = |key: &str| action.plain(key).unwrap_or_default().to_owned();
            for (name, value) in [
                ("CommitId", self.order.commit.clone()),
                ("BranchName", self.world.config.source.branch.clone()),
                ("FullRepositoryName", repository.clone()),
                ("RepositoryName", repository.rsplit('/').next().unwrap_or_default().to_owned()),
                ("ConnectionArn", setting("ConnectionArn")),
            ] {
                self.set_variable(namespace, name, value);
            }
            for (name, value) in &self.order.revision {
                self.set_variable(namespace, name, value.clone());
            }
        }
        let commit = self.order.commit.chars().take(12).collect::<String>();
        let said = match self.order.uncommitted {
            0 => format!("commit {commit}"),
            n => format!("commit {commit} + {n} uncommitted files"),
        };
        self.active.note(|execution| execution.revision(&action.name, &self.order.commit, &said));
        Ok(Some(said))
    }
}
