//! What the engines did, in order, for whoever follows: a rehearsal, a watcher.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use causeway_model::latency::Course;
use causeway_model::line::{Check, Status};

/// One thing that an engine did to a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// Its place in the order, counted from 1.
    pub seq: u64,
    /// The account's id.
    pub account: String,
    /// The stack's name.
    pub stack: String,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What an engine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A part of a rollout began or ended.
    Phase {
        /// The function, for instance `checkin`.
        function: String,
        /// `pre-hook`, `shift` or `post-hook`.
        sub: String,
        /// How it stands.
        status: Status,
        /// How long it took, once it ended.
        seconds: Option<f64>,
        /// Why it failed or was not run.
        reason: Option<String>,
        /// What a hook checked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<Check>,
    },
    /// The share of the new version changed.
    Weight {
        /// The function.
        function: String,
        /// Minutes of AWS since the shift began.
        t_minutes: u32,
        /// Lambda's number of the old version.
        old: String,
        /// Lambda's number of the new version.
        new: String,
        /// Percent for the new version from now on.
        new_weight: u32,
    },
    /// An alarm changed its state.
    Alarm {
        /// Its name.
        alarm: String,
        /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        state: String,
        /// Why.
        reason: String,
    },
    /// An alarm of a deployment that succeeded: what it had to say of it.
    Judged {
        /// The function.
        function: String,
        /// The alarm's name.
        alarm: String,
        /// Its metric.
        metric: String,
        /// What its periods said.
        course: Course,
    },
    /// A deployment failed, and this machine explains it: nothing is said about the release.
    NoVerdict {
        /// The function.
        function: String,
        /// Why.
        why: String,
    },
    /// Something that whoever follows should know, and that stops nothing.
    Warning {
        /// One sentence.
        message: String,
    },
}

/// The list, and a bell for who waits for more.
#[derive(Default)]
pub struct Happenings {
    list: Mutex<Vec<Happening>>,
    bell: Notify,
}

impl Happenings {
    fn list(&self) -> MutexGuard<'_, Vec<Happening>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one.
    pub fn add(&self, account: &str, stack: &str, what: What) {
        let mut list = self.list();
        let seq = u64::try_from(list.len()).unwrap_or(u64::MAX) + 1;
        tracing::info!(stack, happening = ?what, "rollout");
        list.push(Happening { seq, account: account.to_owned(), stack: stack.to_owned(), what });
        drop(list);
        self.bell.notify_waiters();
    }

    /// Those after a place in the order. `patient`: where there are none yet, a moment is waited for one.
    pub async fn after(&self, seq: u64, patient: bool) -> Vec<Happening> {
        let found = |list: &[Happening]| list.iter().filter(|h| h.seq > seq).cloned().collect::<Vec<_>>();
        let bell = self.bell.notified();
        let now = found(&self.list());
        if !now.is_empty() || !patient {
            return now;
        }
        let _ = tokio::time::timeout(Duration::from_millis(500), bell).await;
        found(&self.list())
    }
}
