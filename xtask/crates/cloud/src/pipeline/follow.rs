//! Follows what the rollout engine does to a stack while an action deploys it: parts of the action, weights, and the
//! watcher's steady traffic all along.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Run;
use crate::happenings::{Happening, What};
use crate::state::State;
use causeway_machine::clock::Stopwatch;
use causeway_model::judgement::Judgement;
use causeway_model::line::{Line, Mode, Step, Weight};
use causeway_model::pipeline::Action;
use causeway_model::steps::Steps;
use causeway_model::tally::Tally;
use causeway_model::watch::{Deploying, Sample};
use causeway_watch::api_client::ApiClient;
use causeway_watch::watcher::traffic::{self, Route};

/// Requests a second, one function after the other: as many as `test-deployment` sends by itself. The emulator answers
/// some fifteen.
const RATE: f64 = 10.0;

/// How long answers that are on their way at the end are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How often it is asked again what happened where no answer comes.
const MISSES: u32 = 5;
/// How long is waited between.
const BREATH: Duration = Duration::from_millis(200);

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
        let before = run.world.control.happenings(0, false).await.unwrap_or_else(|error| {
            let message = format!(
                "what happened before {stage}/{} cannot be read, so it may be told as of this deployment: {error:#}",
                action.name
            );
            (run.emit)(Line::Warning { message });
            Vec::new()
        });
        let seen = before.last().map_or(0, |last| last.seq);
        let (done, stop) = watch::channel(false);
        let env = run.world.config.account_named_by_id(account).unwrap_or_default();
        let rate = if run.order.probes.is_empty() { 0.0 } else { RATE };
        let follower = Arc::new(Follower {
            run: Arc::clone(run),
            stage: stage.to_owned(),
            action: action.name.clone(),
            account: account.to_owned(),
            stack: stack.to_owned(),
            env: env.to_owned(),
            begin: OnceLock::new(),
            seen: Mutex::new(Seen {
                tally: Tally::new(env, stack, rate),
                steps: Steps::new(env, rate),
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

/// Traffic at the environment's API, from the first thing that happens to its stack.
struct Traffic {
    /// Dropped, it ends the traffic.
    stop: oneshot::Sender<()>,
    /// Counts what comes of every request.
    counting: JoinHandle<()>,
}

struct Follower {
    run: Arc<Run>,
    stage: String,
    action: String,
    account: String,
    stack: String,
    env: String,
    /// Since the first thing happened.
    begin: OnceLock<Stopwatch>,
    seen: Mutex<Seen>,
}

/// What a watcher would say of it.
struct Seen {
    tally: Tally,
    steps: Steps,
    deployments: BTreeMap<String, Deploying>,
    alarms: BTreeMap<String, String>,
}

impl Follower {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing happens any more: what did not fail succeeded, unless another function's failure stopped it.
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

    /// Seconds since the first thing happened.
    fn now(&self) -> f64 {
        self.begin.get_or_init(Stopwatch::start).seconds()
    }

    /// Begins the traffic; `None` where nobody is to be asked.
    fn traffic(self: &Arc<Self>) -> Option<Traffic> {
        let routes: Vec<Route> = self
            .run
            .order
            .probes
            .iter()
            .map(|(function, path)| Route { function: function.clone(), path: path.clone() })
            .collect();
        if routes.is_empty() {
            return None;
        }
        let url = State::read(&self.run.world.paths)?.urls.get(&self.env)?.clone();
        let api = ApiClient::new(&url).ok()?;
        let (samples, mut sampled) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        self.now();
        tokio::spawn(traffic::drive_until(api, routes, RATE, samples, stopped, LAST_ANSWERS));
        let follower = Arc::clone(self);
        let counting = tokio::spawn(async move {
            while let Some((function, sample)) = sampled.recv().await {
                follower.count(&function, &sample);
            }
        });
        Some(Traffic { stop, counting })
    }

    /// Counts a request, and tells the steps that are complete with it.
    fn count(&self, function: &str, sample: &Sample) {
        let mut seen = self.seen();
        seen.tally.add(function, sample);
        seen.steps.add(function, sample);
        drop(seen);
        self.probes();
    }

    /// Tells the steps that have become complete.
    fn probes(&self) {
        let complete = self.seen().steps.complete();
        for probe in complete {
            (self.run.emit)(Line::Probe(probe));
        }
    }

    /// Notes how a function's deployment stands.
    fn note(&self, function: &str, change: impl FnOnce(&mut Deploying)) {
        let at = self.now();
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
        let mut traffic: Option<Traffic> = None;
        let mut misses = 0;
        loop {
            // Looked at first: what comes in afterwards is fetched once more.
            let last_round = *stop.borrow_and_update();
            let list = if last_round {
                control.happenings(seen, false).await
            } else {
                tokio::select! {
                    list = control.happenings(seen, true) => list,
                    changed = stop.changed() => match changed {
                        // What was on its way is asked for once more.
                        Ok(()) => continue,
                        // The execution was stopped.
                        Err(_) => break,
                    },
                }
            };
            let list = match list {
                Ok(list) => list,
                // What is not heard of is not judged, so a call that had no answer in time is made again.
                Err(error) if misses < MISSES => {
                    tracing::warn!("asked once more what happened: {error:#}");
                    misses += 1;
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
                Err(error) => {
                    let why = format!("what the engines did is not known: {error:#}");
                    self.run.judged().none.push((self.env.clone(), self.stack.clone(), why));
                    break;
                }
            };
            misses = 0;
            let nothing_new = list.is_empty();
            for happening in list {
                seen = happening.seq;
                if happening.account == self.account && happening.stack == self.stack {
                    let deploys = matches!(happening.what, What::Phase { .. } | What::Weight { .. });
                    if deploys && traffic.is_none() {
                        traffic = self.traffic();
                    }
                    self.tell(happening);
                }
            }
            if last_round && nothing_new {
                break;
            }
        }
        if let Some(Traffic { stop, counting }) = traffic {
            drop(stop);
            let _ = counting.await;
            self.seen().steps.over();
            self.probes();
        }
        self.over();
        let watched = self.seen().tally.finish();
        if !watched.seconds.is_empty() {
            let mut all = self.run.watched.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(self.env.clone(), watched);
        }
    }

    fn tell(&self, happening: Happening) {
        let emit = &self.run.emit;
        let env = self.env.clone();
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
            What::Judged { function, alarm, metric, course } => {
                if !course.is_verdict() {
                    let why = course.why.as_deref().unwrap_or_default();
                    let message = format!("the alarm {alarm} gave no verdict about {function}: {why}");
                    emit(Line::Warning { message });
                }
                self.run.judged().alarms.push(Judgement { env, function, alarm, metric, course });
            }
            What::NoVerdict { function, why } => {
                emit(Line::Warning { message: format!("no verdict about {function} in {env}: {why}") });
                self.run.judged().none.push((env, function, why));
            }
            What::Alarm { alarm, state, reason } => {
                let at = self.now();
                let mut seen = self.seen();
                seen.alarms.insert(alarm.clone(), state.clone());
                let now = seen.alarms.clone();
                seen.tally.alarms(at, now);
                seen.tally.because(&alarm, &reason);
                drop(seen);
                emit(Line::Warning { message: format!("the alarm {alarm} in {env} is {state}: {reason}") });
            }
            What::Weight { function, t_minutes, old, new, new_weight } => {
                self.note(&function, |deploying| {
                    deploying.old.clone_from(&old);
                    deploying.new.clone_from(&new);
                    deploying.weight = f64::from(new_weight);
                });
                // Told first: the step is complete only after the next one is.
                emit(Line::Weight(Weight {
                    env,
                    function: function.clone(),
                    t_minutes,
                    old,
                    new,
                    new_weight,
                }));
                let at = self.now();
                self.seen().steps.weigh(at, &function, new_weight);
            }
        }
    }
}
