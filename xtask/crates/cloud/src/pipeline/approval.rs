//! The manual approval: its notice goes to the topic with the pipeline role's rights; who follows the execution decides,
//! where the order did not.

use std::sync::Arc;

use super::{Approval, Decision, Run, notices};
use causeway_aws::assume_role;
use causeway_model::config::BUILD;
use causeway_model::line::Line;
use causeway_model::pipeline::Action;

impl Run {
    /// Asks; false where the approval is refused.
    pub(super) async fn approve(
        self: &Arc<Self>,
        stage: &str,
        action: &Action,
    ) -> anyhow::Result<(bool, Option<String>)> {
        if let Some(topic) = self.setting(action, "NotificationArn")? {
            let data = self.setting(action, "CustomData")?.unwrap_or_default();
            let link = self.setting(action, "ExternalEntityLink")?.unwrap_or_default();
            let subject =
                format!("APPROVAL NEEDED: {} action {}", self.definition.pipeline.name, action.name);
            let message = format!("{data}\n{link}").trim().to_owned();
            // Published with the pipeline role's own rights: a missing permission shows here as on AWS.
            let build = self.world.accounts.get(BUILD)?;
            let keys = assume_role(build, &self.definition.pipeline.role_arn, "approval").await?;
            notices::publish(&self.world.control, &keys, &topic, &subject, &message).await?;
            (self.emit)(Line::Notice { topic: notices::topic_name(&topic), subject, message });
        }
        let changes = self.pending().changes();
        let Decision { yes, said } = match self.order.approval {
            Approval::Ask => self.active.ask(stage, &action.name, &changes).await?,
            Approval::Approved => Decision { yes: true, said: "approved by --approve auto".to_owned() },
            Approval::Rejected => Decision { yes: false, said: "rejected by --approve reject".to_owned() },
        };
        if let Some(how) = self.order.swap.filter(|_| yes) {
            self.swap(how).await?;
        }
        if let Some(namespace) = &action.namespace {
            self.set_variable(namespace, "ApprovalSummary", said.clone());
        }
        Ok((yes, Some(said)))
    }
}
