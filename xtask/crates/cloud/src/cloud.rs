//! What the resident process shares between the front, the edge and the engines.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::alarms::Alarms;
use super::deployments::Deployments;
use super::edge::Edges;
use super::emulator::Client;
use super::executions::Executions;
use super::front::Identities;
use super::happenings::{Happenings, What};
use super::hooks::PendingHooks;
use super::ledger::Ledger;
use super::lower::Target;
use super::metrics::Metrics;
use super::state::State;
use super::strain::Strains;
use super::time::ScaledClock;
use causeway_machine::paths::Paths;
use causeway_model::alarm;
use causeway_model::config::Names;
use causeway_model::template::Expand;

/// The shared parts of the local cloud.
pub struct Cloud {
    /// The way to the emulator.
    pub emulator: Client,
    /// What lowering needs to know.
    pub target: Target,
    /// Runs AWS's transforms.
    pub expand: Arc<dyn Expand + Send + Sync>,
    /// Where things are kept.
    pub paths: Paths,
    /// Templates and operations of stacks.
    pub ledger: Ledger,
    /// Deployed APIs.
    pub edges: Edges,
    /// What the engines did.
    pub happenings: Happenings,
    /// Executions of the pipeline.
    pub executions: Executions,
    /// Lifecycle hooks that have not reported yet.
    pub hooks: PendingHooks,
    /// Keys that STS handed out.
    pub identities: Identities,
    /// Whether connections are still waiting for a person.
    pub connections_pending: AtomicBool,
    /// Set when the cloud shall end.
    pub stop: watch::Sender<bool>,
    /// Scaled time.
    pub clock: ScaledClock,
    /// What the edges measured.
    pub metrics: Metrics,
    /// The states of alarms.
    pub alarms: Alarms,
    /// How busy this machine is.
    pub strains: Strains,
    /// CodeDeploy's deployments.
    pub deployments: Deployments,
    state: Mutex<State>,
}

impl Cloud {
    /// A cloud around a running emulator.
    pub fn new(
        emulator: Client,
        target: Target,
        expand: Arc<dyn Expand + Send + Sync>,
        paths: Paths,
        state: State,
        minute: Duration,
    ) -> Self {
        Self {
            emulator,
            target,
            expand,
            paths,
            ledger: Ledger::default(),
            edges: Edges::default(),
            happenings: Happenings::default(),
            executions: Executions::default(),
            hooks: PendingHooks::default(),
            identities: Identities::new(state.root_secret.clone()),
            connections_pending: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            clock: ScaledClock::new(minute),
            metrics: Metrics::default(),
            alarms: Alarms::default(),
            strains: Strains::default(),
            deployments: Deployments::default(),
            state: Mutex::new(state),
        }
    }

    /// Tells whoever follows that an alarm changed its state.
    pub fn tell_alarm(&self, account: &str, alarm: &str, state: alarm::State, reason: &str) {
        let what = What::Alarm {
            alarm: alarm.to_owned(),
            state: state.word().to_owned(),
            reason: reason.to_owned(),
        };
        match self.edges.stack_of(account, alarm) {
            Some((account, stack)) => self.happenings.add(&account, &stack, what),
            None => tracing::info!(account, alarm, "an alarm of no deployed API"),
        }
    }

    /// The state as it is written for other commands.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of an environment's app stack.
    pub fn app_stack(&self, env: &str) -> String {
        let state = self.state();
        Names { project: &state.project }.app_stack(env)
    }

    /// Writes the addresses of deployed APIs into the state file.
    pub fn publish_url(&self, env: &str, url: Option<&str>) {
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
