//! What `bootstrap` sets of a stack that it does not deploy: the termination protection of a protected account's app stack.
//! The pipeline's action cannot set it, and the data is in that stack.

use super::plan::tasks;
use crate::ownership;
use causeway_aws::Accounts;
use causeway_aws::cloudformation::Stacks;
use causeway_command::Changes;
use causeway_model::config::{Config, DeployedBy};
use causeway_model::plan::{StackPlan, protection};
use causeway_model::stack::Action;

/// An app stack that is there, in an account that is protected.
pub(super) struct Guarded {
    stacks: Stacks,
    pub(super) plan: StackPlan,
}

/// The app stacks of protected accounts, as far as the pipeline has made them. Changes nothing.
///
/// # Errors
/// They cannot be looked at.
pub(super) async fn look(config: &Config, accounts: &Accounts) -> anyhow::Result<Vec<Guarded>> {
    let protected = |account: &str| config.accounts.get(account).is_some_and(|account| account.protected);
    let all = config.instances(DeployedBy::Pipeline).into_iter().filter(|one| protected(&one.account));
    let mut looks = Vec::new();
    for instance in all {
        let account = accounts.get(&instance.account)?.clone();
        let (name, config) = (config.stack_name(&instance), config.clone());
        looks.push(async move {
            let stacks = Stacks::new(&account);
            let Some(info) = stacks.describe(&name).await? else { return Ok(None) };
            let what = ("protect the stack", instance.stack.as_str());
            if ownership::template(&config, what, &stacks, &name, &info).await?.is_none() {
                return Ok(None);
            }
            let settings: Vec<_> = protection(true, info.protected).into_iter().collect();
            let action = if settings.is_empty() { Action::None } else { Action::Update };
            let plan = StackPlan { settings, ..StackPlan::new(&account.name, &name, &info.status, action) };
            anyhow::Ok(Some(Guarded { stacks, plan }))
        });
    }
    Ok(tasks(looks).await?.into_iter().flatten().collect())
}

/// Switches on what the plan showed.
///
/// # Errors
/// It is refused.
pub(super) async fn protect(
    changes: &Changes,
    all: &[Guarded],
    changed: &mut Vec<String>,
) -> anyhow::Result<()> {
    for guarded in all.iter().filter(|guarded| guarded.plan.action != Action::None) {
        let name = format!("{}/{}", guarded.plan.account, guarded.plan.stack);
        changes.begin(&name);
        guarded.stacks.protect(&guarded.plan.stack, true).await?;
        changes.done(&name);
        changed.push(name);
    }
    Ok(())
}
