//! Change sets that were made to be looked at. When a command ends, also by Ctrl-C, those that it did not execute are removed:
//! they would stand in the console as if somebody still meant them, and a stack that was never created with them. Only a
//! kill and a defect of ours leave them; the next run plans anew beside them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::aws::cloudformation::Stacks;
use crate::model::fault::from_error;
use crate::model::line::Line;
use crate::term::Out;

/// How long the removal may take. A change set that is still being made can only be removed afterwards.
const LIMIT: Duration = Duration::from_secs(20);

/// The change sets that are planned now. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Planned(Arc<Mutex<Vec<Plan>>>);

/// A change set and the way to its account.
#[derive(Clone)]
struct Plan {
    stacks: Stacks,
    stack: String,
    /// The change set's name.
    name: String,
    /// Whether there was no such stack before.
    is_new: bool,
}

impl Planned {
    /// A change set of that name is made now; `is_new`: it would create the stack, and nobody else planned that before.
    pub(crate) fn begin(&self, stacks: &Stacks, stack: &str, name: &str, is_new: bool) {
        let (stacks, stack, name) = (stacks.clone(), stack.to_owned(), name.to_owned());
        self.all().push(Plan { stacks, stack, name, is_new });
    }

    /// It is executed or removed: nothing is left to do for us.
    pub(crate) fn settled(&self, name: &str) {
        self.all().retain(|plan| plan.name != name);
    }

    /// Removes what is left, and says so.
    pub(super) async fn take_back(&self, out: &Out) {
        let plans = std::mem::take(&mut *self.all());
        let mut tasks = JoinSet::new();
        for plan in plans {
            tasks.spawn(async move {
                let removal = plan.stacks.withdraw(&plan.name, &plan.stack, plan.is_new);
                let result = match timeout(LIMIT, removal).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(from_error(&error).why),
                    Err(_) => Err(format!("it was still there after {} s", LIMIT.as_secs())),
                };
                (plan, result)
            });
        }
        let mut removed = Vec::new();
        while let Some(Ok((plan, result))) = tasks.join_next().await {
            let place = format!("{}/{}", plan.stacks.account(), plan.stack);
            match result {
                Ok(()) => removed.push(place),
                Err(why) => out.line(&Line::Warning {
                    message: format!(
                        "the change set {} of {place} was only planned, and could not be removed ({why}); remove it by hand, or leave it: it changes nothing unless somebody executes it",
                        plan.name
                    ),
                }),
            }
        }
        removed.sort();
        if !removed.is_empty() {
            out.note(format!("removed the change sets that were only planned: {}", removed.join(", ")));
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::scripted::{Script, error, result};
    use crate::term::Options;

    #[tokio::test]
    async fn what_is_left_is_removed_once_and_what_is_settled_is_left_alone() {
        let removed = result("DeleteChangeSet", "");
        let (script, account) = Script::start(vec![removed, error(403, "AccessDenied", "no")]).await;
        let (planned, stacks) = (Planned::default(), Stacks::new(&account));
        planned.begin(&stacks, "s", "shown", false);
        planned.begin(&stacks, "s", "executed", false);
        planned.settled("executed");
        let out = Out::new(Options::default());
        planned.take_back(&out).await;
        planned.take_back(&out).await;
        assert_eq!(script.asked(), ["DeleteChangeSet"]);
        assert!(script.bodies()[0].contains("ChangeSetName=shown"), "{:?}", script.bodies());
        // What cannot be removed is said, and is no failure of the command.
        planned.begin(&stacks, "s", "shown", false);
        planned.take_back(&out).await;
        assert_eq!(script.asked().len(), 2);
    }
}
