//! Brings a stack into a state that takes a change set. After each thing that is done its state is read again: another run's
//! operation may have ended in a state that wants something else.

use super::act::{STACK_LIMIT, failed};
use causeway_aws::cloudformation::{StackInfo, Stacks};
use causeway_command::Context;
use causeway_model::changeset::Change;
use causeway_model::fault::{Fault, Kind};
use causeway_model::plan::Met;
use causeway_model::retained::retained;
use causeway_model::stack::{Action, StackStatus};
use causeway_model::template;

/// How often a state may want something to be done. Two runs that undo each other's work would go on for ever.
const ROUNDS: usize = 6;

/// What may be done without asking again.
#[derive(Debug, Clone, Copy)]
pub struct May {
    /// The removal of what a failed create left was in the plan that was confirmed.
    pub recreate: bool,
    /// The stack's data may be lost.
    pub lose: bool,
}

/// What a state wants to be done.
///
/// # Errors
/// Nothing can be done with it.
pub fn action(status: &StackStatus, (account, stack): (&str, &str)) -> Result<Action, Fault> {
    status.action().map_err(|advice| {
        Fault::new(Kind::Stuck, "deploy the stack", format!("{stack} in {account}"))
            .why(format!("it is in {status}"))
            .next(advice)
    })
}

/// Brings a stack, given by account and name, into a state that takes a change set: waits for another run, removes what a
/// failed create left, finishes a rollback that got stuck. The stack as it is then.
///
/// # Errors
/// It cannot be removed, its rollback cannot be finished, data would be lost, nobody wants it, or it takes longer than an hour.
pub async fn ready(
    context: &Context,
    stacks: &Stacks,
    (account, stack): (&str, &str),
    may: May,
    met: &mut Vec<Met>,
) -> anyhow::Result<Option<StackInfo>> {
    let emit = context.out.emitter();
    for _ in 0..ROUNDS {
        let Some(info) = stacks.describe(stack).await? else { return Ok(None) };
        let stuck = |why: String| {
            Fault::new(Kind::Stuck, "deploy the stack", format!("{stack} in {account}")).why(why)
        };
        let action = action(&info.status, (account, stack))?;
        let mut note = |did: &str| {
            let (account, stack) = (account.to_owned(), stack.to_owned());
            met.push(Met { account, stack, state: info.status.to_string(), did: did.to_owned() });
        };
        match action {
            // `Delete` is `destroy`'s; no state wants it.
            Action::None | Action::Create | Action::Update | Action::Delete => return Ok(Some(info)),
            Action::Wait => {
                stacks.wait(stack, STACK_LIMIT, &emit).await?;
                note("waited for the run at work");
            }
            Action::Recreate => {
                let question = format!(
                    "{stack} in {account} is in {}: its create failed, so it can only be removed and made anew. Do that?",
                    info.status
                );
                if !may.recreate && !context.out.confirm(&question).await? {
                    return Err(stuck(format!("it is in {}, and nobody wants it removed", info.status))
                        .next("cargo xtask bootstrap plans its removal")
                        .into());
                }
                let lost = lost(stacks, stack).await?;
                if !lost.is_empty() && !may.lose && !may.recreate {
                    let names: Vec<String> = lost
                        .iter()
                        .map(|change| format!("{} ({})", change.logical_id, change.resource_type))
                        .collect();
                    return Err(stuck(format!(
                        "what its failed create left holds data: {}",
                        names.join(", ")
                    ))
                    .next(format!("nothing was removed; --allow-data-loss {stack} says that it may be lost"))
                    .into());
                }
                let gone = stacks.delete(stack, STACK_LIMIT, &emit).await?;
                if gone.status != StackStatus::Absent {
                    let what = "remove what a failed create left of the stack";
                    return Err(failed(what, (account, stack), &gone));
                }
                note("removed what a failed create left");
            }
            Action::Repair => {
                let finished = stacks.continue_rollback(stack, &[], STACK_LIMIT, &emit).await?;
                if finished.status.action() != Ok(Action::Repair) {
                    note("continued the rollback");
                    continue;
                }
                // It stopped at the same place again. CloudFormation takes these out of the rollback, and the next update
                // sets them again.
                let skipped = stacks.unfinished(stack).await?;
                let question = format!(
                    "The rollback of {stack} in {account} stopped again at {}. Continue it, and leave these as they are?",
                    skipped.join(", ")
                );
                if skipped.is_empty() || !context.out.confirm(&question).await? {
                    return Err(failed("finish the rollback of the stack", (account, stack), &finished));
                }
                let finished = stacks.continue_rollback(stack, &skipped, STACK_LIMIT, &emit).await?;
                if finished.status.action() == Ok(Action::Repair) {
                    return Err(failed("finish the rollback of the stack", (account, stack), &finished));
                }
                note(&format!("continued the rollback without {}", skipped.join(", ")));
            }
        }
    }
    Err(Fault::new(Kind::Stuck, "deploy the stack", format!("{stack} in {account}"))
        .why("its state changes again and again: somebody else is at work on it")
        .next("see in the console who, and run the same command again")
        .into())
}

/// What goes with a stack whose create failed, as far as it holds data and nothing keeps it.
///
/// # Errors
/// Its resources or its template cannot be read.
pub(super) async fn lost(stacks: &Stacks, stack: &str) -> anyhow::Result<Vec<Change>> {
    let resources = stacks.resources(stack).await?;
    let changes =
        resources.iter().map(|(id, physical)| Change::new("Remove", None, id, &physical.resource_type));
    let mut all: Vec<Change> = changes.filter(Change::endangers_data).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let text = stacks.template(stack).await?;
    // A template that cannot be read keeps nothing, as far as we know.
    let kept = template::parse(&text).map(|root| retained(&root)).unwrap_or_default();
    all.retain(|change| !kept.iter().any(|(id, _)| *id == change.logical_id));
    Ok(all)
}
