//! Lifecycle hooks that were invoked and have not reported yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// What a hook reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// `Succeeded`.
    Succeeded,
    /// `Failed`.
    Failed,
}

/// A hook that is waited for.
struct Waiting {
    deployment: String,
    report: oneshot::Sender<Report>,
}

/// All hooks that are waited for, by execution id.
#[derive(Default)]
pub struct PendingHooks(Mutex<HashMap<String, Waiting>>);

impl PendingHooks {
    /// Waits for a hook from now on.
    pub fn expect(&self, deployment: &str, execution: &str) -> oneshot::Receiver<Report> {
        let (report, receiver) = oneshot::channel();
        let waiting = Waiting { deployment: deployment.to_owned(), report };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(execution.to_owned(), waiting);
        receiver
    }

    /// Takes a report. False where nobody waits for it: an unknown id, or a second report.
    pub fn report(&self, deployment: &str, execution: &str, report: Report) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.remove(execution) {
            Some(waiting) if waiting.deployment == deployment => waiting.report.send(report).is_ok(),
            Some(other) => {
                all.insert(execution.to_owned(), other);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_report_of_the_right_deployment_counts() {
        let hooks = PendingHooks::default();
        let receiver = hooks.expect("d-1", "e-1");
        assert!(!hooks.report("d-2", "e-1", Report::Succeeded));
        assert!(!hooks.report("d-1", "e-2", Report::Succeeded));
        assert!(hooks.report("d-1", "e-1", Report::Failed));
        assert!(!hooks.report("d-1", "e-1", Report::Succeeded));
        assert_eq!(receiver.await.unwrap(), Report::Failed);
    }
}
