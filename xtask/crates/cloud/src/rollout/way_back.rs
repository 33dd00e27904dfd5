//! What a failed rollout leaves to be done: deployments that had finished when another function of the stack failed.
//!
//! CloudFormation rolls the stack back, and updates each such alias again under its UpdatePolicy, so CodeDeploy deploys the
//! version before. What comes of that is unconfirmed on AWS. Seen are "A conflicting deployment is in progress",
//! INVALID_LAMBDA_CONFIGURATION and stacks in UPDATE_ROLLBACK_FAILED (serverless-application-model 291, 351). So it is
//! simulated as a deployment of the group, and said to be.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Rollout, Way};
use crate::cloud::Cloud;
use crate::happenings::What;
use causeway_model::deployment::End;

/// A rollout that failed.
pub(crate) struct Failed {
    /// Why, naming the function.
    pub reason: String,
    /// The deployments back, each with who asks it to stop. They stand in the list already, so that everybody who looks
    /// sees that the stack is not settled.
    back: Vec<(Rollout, watch::Receiver<Option<String>>)>,
}

impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let back: Vec<&str> = self.back.iter().map(|(rollout, _)| rollout.short.as_str()).collect();
        f.debug_struct("Failed").field("reason", &self.reason).field("back", &back).finish()
    }
}

impl PartialEq for Failed {
    fn eq(&self, other: &Self) -> bool {
        let ids = |failed: &Self| failed.back.iter().map(|(back, _)| back.id.clone()).collect::<Vec<_>>();
        self.reason == other.reason && ids(self) == ids(other)
    }
}

impl Failed {
    /// One that leaves nothing to be done.
    pub(crate) fn of(reason: String) -> Self {
        Self { reason, back: Vec::new() }
    }

    /// One after which some deployments must be undone.
    pub(super) fn after(cloud: &Cloud, reason: String, moved: &[Arc<Rollout>]) -> Self {
        let back = moved.iter().map(|rollout| {
            let back = rollout.back();
            let stop = cloud.deployments.begin(back.described());
            (back, stop)
        });
        Self { reason, back: back.collect() }
    }

    /// Carries the deployments back out, side by side, once the stack is being rolled back: the hooks are the old ones then.
    /// Whatever comes of them, all traffic is at the old versions afterwards, as the aliases are.
    pub(crate) async fn go_back(self) {
        let mut tasks = JoinSet::new();
        for (rollout, stop) in self.back {
            tasks.spawn(async move {
                rollout.say(format!(
                    "{}: its deployment had finished before another function failed; the rollback of the stack updates its alias again under its deployment group: simulated, as a deployment back from version {} to {} with {}. What AWS does here is unconfirmed: seen are \"A conflicting deployment is in progress\" and INVALID_LAMBDA_CONFIGURATION (serverless-application-model 291, 351)",
                    rollout.short, rollout.old, rollout.new, rollout.config
                ));
                let rollout = Arc::new(rollout);
                let driven = Arc::clone(&rollout);
                // A task of its own: a panic must not leave the traffic between two versions.
                let end = tokio::spawn(async move { driven.drive(Way::Back, stop).await }).await;
                let why = match end {
                    Ok(End::Succeeded) => return,
                    Ok(End::Failed(cause)) => cause.to_string(),
                    Err(_) => {
                        let why = "the rollout engine itself failed";
                        rollout.break_off(Way::Back, why).await;
                        why.to_owned()
                    }
                };
                rollout.say(format!(
                    "{}: the simulated deployment back to version {} failed: {why}. On AWS the stack would stand in UPDATE_ROLLBACK_FAILED until a person continues the rollback (docs/aws.md, \"When a rollback gets stuck\"); here all traffic goes to version {} without a deployment",
                    rollout.short, rollout.new, rollout.new
                ));
                if let Err(error) = rollout.step(Way::Back, 0, 100).await {
                    rollout.say(format!("{}: {error:#}", rollout.short));
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Rollout {
    /// The deployment that undoes this one, under the same group.
    fn back(&self) -> Rollout {
        Rollout {
            cloud: Arc::clone(&self.cloud),
            key: self.key.clone(),
            id: format!("{}B", self.id),
            function: self.function.clone(),
            alias: self.alias.clone(),
            short: self.short.clone(),
            old: self.new.clone(),
            new: self.old.clone(),
            config: self.config.clone(),
            application: self.application.clone(),
            group: self.group.clone(),
            shifting: self.shifting,
            before: self.before.clone(),
            after: self.after.clone(),
            alarms: self.alarms.clone(),
            begun: OnceLock::new(),
            late: Arc::default(),
        }
    }

    pub(super) fn say(&self, message: String) {
        self.cloud.happenings.add(&self.key.0, &self.key.1, What::Warning { message });
    }
}
