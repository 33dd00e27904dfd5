//! What the resident process shares between the front, the edge and the engines.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::edge::Edges;
use super::emulator::Client;
use super::front::Identities;
use super::happenings::Happenings;
use super::hooks::PendingHooks;
use super::ledger::Ledger;
use super::lower::Target;
use super::paths::Paths;
use super::state::State;
use crate::model::config::Names;

/// The shared parts of the local cloud.
pub(crate) struct Cloud {
    /// The way to the emulator.
    pub(crate) emulator: Client,
    /// What lowering needs to know.
    pub(crate) target: Target,
    /// Where things are kept.
    pub(crate) paths: Paths,
    /// Templates and operations of stacks.
    pub(crate) ledger: Ledger,
    /// Deployed APIs.
    pub(crate) edges: Edges,
    /// What the engines did.
    pub(crate) happenings: Happenings,
    /// Lifecycle hooks that have not reported yet.
    pub(crate) hooks: PendingHooks,
    /// Keys that STS handed out.
    pub(crate) identities: Identities,
    /// Whether connections are still waiting for a person.
    pub(crate) connections_pending: AtomicBool,
    /// Set when the cloud shall end.
    pub(crate) stop: watch::Sender<bool>,
    minute_millis: AtomicU64,
    state: Mutex<State>,
}

impl Cloud {
    /// A cloud around a running emulator.
    pub(crate) fn new(
        emulator: Client,
        target: Target,
        paths: Paths,
        state: State,
        minute: Duration,
    ) -> Self {
        Self {
            emulator,
            target,
            paths,
            ledger: Ledger::default(),
            edges: Edges::default(),
            happenings: Happenings::default(),
            hooks: PendingHooks::default(),
            identities: Identities::default(),
            connections_pending: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            minute_millis: AtomicU64::new(millis(minute)),
            state: Mutex::new(state),
        }
    }

    /// How long a minute of AWS takes here.
    pub(crate) fn minute(&self) -> Duration {
        Duration::from_millis(self.minute_millis.load(Ordering::Relaxed))
    }

    /// Changes how long a minute of AWS takes.
    pub(crate) fn set_minute(&self, minute: Duration) {
        self.minute_millis.store(millis(minute), Ordering::Relaxed);
    }

    /// The state as it is written for other commands.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of an environment's app stack.
    pub(crate) fn app_stack(&self, env: &str) -> String {
        let state = self.state();
        Names { project: &state.project }.app_stack(env)
    }

    /// Writes the addresses of deployed APIs into the state file.
    pub(crate) fn publish_url(&self, env: &str, url: Option<&str>) {
        let mut state = self.state();
        match url {
            Some(url) => state.urls.insert(env.to_owned(), url.to_owned()),
            None => state.urls.remove(env),
        };
        if let Err(error) = state.write(&self.paths) {
            tracing::error!("write the state: {error:#}");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
