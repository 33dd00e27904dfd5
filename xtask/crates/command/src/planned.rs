//! Change sets that were made to be looked at. When a command ends, also by Ctrl-C, those that it did not execute are removed:
//! they would stand in the console as if somebody still meant them, and a stack that was never created with them. Only a
//! kill and a defect of ours leave them; the next run plans anew beside them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::term::Out;
use causeway_model::fault::from_error;
use causeway_model::line::Line;

/// How long the removal may take. A change set that is still being made can only be removed afterwards.
const LIMIT: Duration = Duration::from_secs(20);

/// The change sets that are planned now. Cheap to clone.
#[derive(Clone, Default)]
pub struct Planned(Arc<Mutex<Vec<Plan>>>);

/// Removes a change set.
pub type Removal = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A change set and the way to remove it.
struct Plan {
    /// Account and stack, as in `build/causeway-build-base`.
    place: String,
    /// The change set's name.
    name: String,
    removal: Removal,
}

impl Planned {
    /// A change set of that name is made now at that place; nothing of the removal happens before the command ends.
    pub fn begin(&self, place: String, name: &str, removal: Removal) {
        self.all().push(Plan { place, name: name.to_owned(), removal });
    }

    /// It is executed or removed: nothing is left to do for us.
    pub fn settled(&self, name: &str) {
        self.all().retain(|plan| plan.name != name);
    }

    /// Removes what is left, and says so.
    pub async fn take_back(&self, out: &Out) {
        let plans = std::mem::take(&mut *self.all());
        let mut tasks = JoinSet::new();
        for Plan { place, name, removal } in plans {
            tasks.spawn(async move {
                let result = match timeout(LIMIT, removal).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(from_error(&error).why),
                    Err(_) => Err(format!("it was still there after {} s", LIMIT.as_secs())),
                };
                (place, name, result)
            });
        }
        let mut removed = Vec::new();
        while let Some(Ok((place, name, result))) = tasks.join_next().await {
            match result {
                Ok(()) => removed.push(place),
                Err(why) => out.line(&Line::Warning {
                    message: format!(
                        "the change set {name} of {place} was only planned, and could not be removed ({why}); remove it by hand, or leave it: it changes nothing unless somebody executes it"
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
    use crate::term::Options;

    /// A removal that writes down that it was made.
    fn removal(
        name: &'static str,
        made: &Arc<Mutex<Vec<&'static str>>>,
        result: Result<(), &'static str>,
    ) -> Removal {
        let made = Arc::clone(made);
        Box::pin(async move {
            made.lock().unwrap().push(name);
            result.map_err(anyhow::Error::msg)
        })
    }

    #[tokio::test]
    async fn what_is_left_is_removed_once_and_what_is_settled_is_left_alone() {
        let (planned, made, place) = (Planned::default(), Arc::default(), || "build/s".to_owned());
        planned.begin(place(), "shown", removal("shown", &made, Ok(())));
        planned.begin(place(), "executed", removal("executed", &made, Ok(())));
        planned.settled("executed");
        let out = Out::new(Options::default());
        planned.take_back(&out).await;
        planned.take_back(&out).await;
        assert_eq!(*made.lock().unwrap(), ["shown"]);
        // What cannot be removed is said, and is no failure of the command.
        planned.begin(place(), "refused", removal("refused", &made, Err("AccessDenied")));
        planned.take_back(&out).await;
        assert_eq!(*made.lock().unwrap(), ["shown", "refused"]);
    }
}
