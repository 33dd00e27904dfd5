//! Follows what the rollout engine does to a stack while an action deploys it: parts of the action, weights, probes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Run;
use crate::api_client::ApiClient;
use crate::clock::Stopwatch;
use crate::local::happenings::{Happening, What};
use crate::local::state::State;
use crate::model::line::{Line, Mode, Probe, Step, Weight};
use crate::model::pipeline::Action;
use crate::model::tally::Tally;
use crate::model::watch::{Deploying, Sample};
use crate::watch::traffic::{self, Answered};

/// How many requests are sent to a function at each weight. The emulator answers some fifteen a second.
const REQUESTS: u32 = 10;

/// How long an answer is waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// A follower at work.
pub(super) struct Following {
    done: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Following {
    /// Follows what happens from now on, until [`Following::end`].
    pub(super) async fn start(
        run: &Arc<Run>,
        stage: &str,
        action: &Action,
        account: &str,
        stack: &str,
    ) -> Self {
        // What happened before belongs to earlier deployments.
        let before = run.world.control.happenings(0, false).await.unwrap_or_default();
        let seen = before.last().map_or(0, |last| last.seq);
        let (done, stop) = watch::channel(false);
        let env = run.world.config.account_named_by_id(account).unwrap_or_default();
        let follower = Arc::new(Follower {
            run: Arc::clone(run),
            stage: stage.to_owned(),
            action: action.name.clone(),
            account: account.to_owned(),
            stack: stack.to_owned(),
            begin: Stopwatch::start(),
            seen: Mutex::new(Seen {
                tally: Tally::new(env, stack, 0.0),
                deployments: BTreeMap::new(),
                alarms: BTreeMap::new(),
            }),
        });
        Self { done, task: tokio::spawn(follower.follow(stop, seen)) }
    }

    /// Waits until everything that happened has been told.
    pub(super) async fn end(self) {
        self.done.send_replace(true);
        let _ = self.task.await;
    }
}

/// The last probe of each function.
type Probes = HashMap<String, JoinHandle<()>>;

struct Follower {
    run: Arc<Run>,
    stage: String,
    action: String,
    account: String,
    stack: String,
    begin: Stopwatch,
    seen: Mutex<Seen>,
}

/// What a watcher would say of it.
struct Seen {
    tally: Tally,
    deployments: BTreeMap<String, Deploying>,
    alarms: BTreeMap<String, String>,
}

impl Follower {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing happens any more: what did not fail succeeded, unless another function took it back.
    fn over(&self) {
        let functions: Vec<String> = self.seen().deployments.keys().cloned().collect();
        let failed = self.seen().deployments.values().any(|deploying| deploying.status == "Failed");
        for function in functions {
            self.note(&function, |deploying| {
                if !deploying.is_over() {
                    deploying.status = if failed { "Stopped" } else { "Succeeded" }.to_owned();
                }
            });
        }
    }

    /// Percent for a function's new version, as far as was told.
    fn weight(&self, function: &str) -> Option<u32> {
        self.seen().deployments.get(function).map(|deploying| deploying.weight as u32)
    }

    /// Notes how a function's deployment stands.
    fn note(&self, function: &str, change: impl FnOnce(&mut Deploying)) {
        let at = self.begin.seconds();
        let mut seen = self.seen();
        let deploying = seen.deployments.entry(function.to_owned()).or_insert_with(|| Deploying {
            function: function.to_owned(),
            status: "InProgress".to_owned(),
            ..Deploying::default()
        });
        change(deploying);
        let now = seen.deployments.values().cloned().collect();
        seen.tally.deployments(at, now);
    }

    async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>, mut seen: u64) {
        let control = &self.run.world.control;
        let mut probes = Probes::default();
        loop {
            // Looked at first: what comes in afterwards is fetched once more.
            let last_round = *stop.borrow_and_update();
            let list = if last_round {
                control.happenings(seen, false).await
            } else {
                tokio::select! {
                    list = control.happenings(seen, true) => list,
                    // What was on its way is asked for once more.
                    _ = stop.changed() => continue,
                }
            };
            let Ok(list) = list else { break };
            let nothing_new = list.is_empty();
            for happening in list {
                seen = happening.seq;
                if happening.account == self.account && happening.stack == self.stack {
                    self.tell(happening, &mut probes).await;
                }
            }
            if last_round && nothing_new {
                break;
            }
        }
        for (_, probe) in probes.drain() {
            let _ = probe.await;
        }
        let env = self.run.world.config.account_named_by_id(&self.account).unwrap_or_default().to_owned();
        self.over();
        let watched = self.seen().tally.finish();
        if !watched.seconds.is_empty() {
            self.run.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(env, watched);
        }
    }

    async fn tell(self: &Arc<Self>, happening: Happening, probes: &mut Probes) {
        let emit = &self.run.emit;
        let env = self.run.world.config.account_named_by_id(&self.account).unwrap_or_default().to_owned();
        match happening.what {
            What::Phase { function, sub, status, seconds, reason, checks } => {
                // The hooks are the real programs; only the shift is ours.
                self.note(&function, |deploying| deploying.phase(&sub, status, reason.as_deref()));
                let mode = if sub == "shift" { Mode::Simulated } else { Mode::Executed };
                emit(Line::Step(Step {
                    stage: self.stage.clone(),
                    action: self.action.clone(),
                    sub: Some(sub),
                    function: Some(function),
                    status,
                    mode,
                    seconds,
                    reason,
                    checks,
                }));
            }
            What::Warning { message } => emit(Line::Warning { message }),
            What::Alarm { alarm, state, reason } => {
                let at = self.begin.seconds();
                let mut seen = self.seen();
                seen.alarms.insert(alarm.clone(), state.clone());
                let now = seen.alarms.clone();
                seen.tally.alarms(at, now);
                drop(seen);
                emit(Line::Warning { message: format!("the alarm {alarm} in {env} is {state}: {reason}") });
            }
            What::Weight { function, t_minutes, old, new, new_weight } => {
                self.note(&function, |deploying| {
                    deploying.old.clone_from(&old);
                    deploying.new.clone_from(&new);
                    deploying.weight = f64::from(new_weight);
                });
                emit(Line::Weight(Weight {
                    env: env.clone(),
                    function: function.clone(),
                    t_minutes,
                    old,
                    new,
                    new_weight,
                }));
                let Some(route) = self.run.order.probes.get(&function).cloned() else { return };
                // Functions shift side by side, so they are asked side by side; each one's probes come in order.
                let before = probes.remove(&function);
                let follower = Arc::clone(self);
                let name = function.clone();
                let task = tokio::spawn(async move {
                    if let Some(before) = before {
                        let _ = before.await;
                    }
                    let probe = follower.probe(&env, &name, &route, new_weight).await;
                    if probe.sent > 0 {
                        (follower.run.emit)(Line::Probe(probe));
                    }
                });
                probes.insert(function, task);
            }
        }
    }

    /// Sends a few requests to a function's version route and counts who answered.
    async fn probe(&self, env: &str, function: &str, route: &str, new_weight: u32) -> Probe {
        let mut probe = Probe {
            env: env.to_owned(),
            function: function.to_owned(),
            new_weight,
            sent: 0,
            by_version: BTreeMap::new(),
            errors: 0,
        };
        let url = State::read(&self.run.world.paths).and_then(|state| state.urls.get(env).cloned());
        let Some(api) = url.and_then(|url| ApiClient::new(&url).ok()) else { return probe };
        for _ in 0..REQUESTS {
            // Slow answers: the next step has come meanwhile, and it has a probe of its own.
            if self.weight(function) != Some(new_weight) {
                break;
            }
            probe.sent += 1;
            let (intended, watch) = (self.begin.seconds(), Stopwatch::start());
            let asked = tokio::time::timeout(LONGEST, traffic::ask(&api, route)).await;
            let Answered { version, says, error } = asked.unwrap_or_else(|_| Answered {
                error: Some(format!("GET {route}: no answer within {} s", LONGEST.as_secs())),
                ..Answered::default()
            });
            if let Some(version) = &version {
                *probe.by_version.entry(version.clone()).or_default() += 1;
            }
            probe.errors += u32::from(error.is_some());
            let sample = Sample { intended, millis: watch.seconds() * 1_000.0, version, says, error };
            self.seen().tally.add(function, &sample);
        }
        probe
    }
}
