//! The rollout engine: carries out what [`crate::model::deployment`] decides — hooks are invoked, weights are set,
//! alarms are watched, in scaled time.
//!
//! It stands in for CodeDeploy, which no emulator runs.

mod hook;
mod judged;
mod plan;
#[cfg(test)]
mod tests;
mod way_back;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::alarms;
use super::alias::{self, Alias, Held};
use super::cloud::Cloud;
use super::deployments::Described;
use super::happenings::What;
use super::ledger::{Record, StackKey};
use causeway_machine::clock::{self, Stopwatch};
use causeway_model::deployment::{Cause, Deployment, Effect, End, Hook, Input};
use causeway_model::line::{Status, tenths};
use causeway_model::rollout::{AWS_PREFIX, Shifting};
use hook::Called;
pub(crate) use way_back::Failed;

/// One function's way from its old version to its new one.
struct Rollout {
    cloud: Arc<Cloud>,
    key: StackKey,
    id: String,
    /// The function's name in AWS.
    function: String,
    alias: String,
    /// Its short name.
    short: String,
    old: String,
    new: String,
    config: String,
    application: String,
    group: String,
    shifting: Shifting,
    before: Option<String>,
    after: Option<String>,
    alarms: Vec<String>,
    /// When the shift began.
    begun: OnceLock<Instant>,
    /// Set where a hook failed because this machine had no time for it.
    late: Arc<AtomicBool>,
}

/// How often a hook is called that this machine had no time for.
const CALLS: u32 = 3;

/// Shifts every function of a stack whose alias moved, side by side.
///
/// # Errors
/// Why the rollout failed, naming the function. All functions serve their old version again then, but those whose
/// deployments had finished: what CloudFormation's rollback does to them is still to be carried out.
pub(crate) async fn run(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    held: &Held,
) -> Result<(), Failed> {
    let rollouts =
        plan::plan(cloud, key, record, held).await.map_err(|error| Failed::of(format!("{error:#}")))?;
    warn_of_unwatched(cloud, key, record, &rollouts).await;
    carry_out(cloud, key, rollouts).await
}

/// Says of every alarm that a deployment asks for, and that cannot ring before the shift is over, that it stops nothing.
async fn warn_of_unwatched(cloud: &Cloud, key: &StackKey, record: &Record, rollouts: &[Rollout]) {
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for (rollout, alarm) in
        rollouts.iter().flat_map(|rollout| rollout.alarms.iter().map(move |own| (rollout, own)))
    {
        // Where several deployments ask for it, the shortest that takes any time is the first that it comes too late for.
        let least = names.entry(alarm.clone()).or_default();
        *least = [*least, rollout.shifting.minutes()]
            .into_iter()
            .filter(|minutes| *minutes > 0)
            .min()
            .unwrap_or(0);
    }
    let unevaluated = match plan::unevaluated(cloud, key, record).await {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(stack = key.1, "read which alarms nobody evaluates: {error:#}");
            BTreeMap::new()
        }
    };
    let said = match alarms::unwatched(cloud, &key.0, &names, &unevaluated).await {
        Ok(unwatched) => unwatched,
        Err(error) => vec![format!("the deployment's alarms cannot be looked at: {error:#}")],
    };
    for message in said {
        cloud.happenings.add(&key.0, &key.1, What::Warning { message });
    }
}

/// Drives all of them, until all are over; one that fails stops the others, as CloudFormation rolls the whole stack back.
async fn carry_out(cloud: &Cloud, key: &StackKey, rollouts: Vec<Rollout>) -> Result<(), Failed> {
    let mut tasks = JoinSet::new();
    let mut all = HashMap::new();
    let all_alarms: Vec<Vec<String>> = rollouts.iter().map(|rollout| rollout.alarms.clone()).collect();
    for rollout in rollouts {
        let rollout = Arc::new(rollout);
        let stop = cloud.deployments.begin(rollout.described());
        let driven = Arc::clone(&rollout);
        let task = tasks.spawn(async move { driven.drive(Way::Forth, stop).await });
        all.insert(task.id(), rollout);
    }
    let shared = |alarm: &String| all_alarms.iter().filter(|alarms| alarms.contains(alarm)).count() > 1;
    let mut failures: Vec<(u8, String)> = Vec::new();
    let mut moved = Vec::new();
    while let Some(joined) = tasks.join_next_with_id().await {
        let (id, end) = match joined {
            Ok((id, end)) => (id, Some(end)),
            Err(error) => (error.id(), None),
        };
        let Some(rollout) = all.remove(&id) else { continue };
        let (rank, cause) = match end {
            Some(End::Succeeded) => {
                moved.push(rollout);
                continue;
            }
            Some(End::Failed(cause)) => {
                let rank = match &cause {
                    Cause::Stop(_) => 3,
                    Cause::Hook(..) if rollout.late.load(Ordering::Relaxed) => 2,
                    Cause::Alarm(alarm) if shared(alarm) => 1,
                    Cause::Hook(..) | Cause::Alarm(_) => 0,
                };
                (rank, cause.to_string())
            }
            None => {
                let why = "the rollout engine itself failed";
                rollout.break_off(Way::Forth, why).await;
                (0, why.to_owned())
            }
        };
        if failures.is_empty() {
            let why = format!("{} of the same stack failed", rollout.short);
            cloud.deployments.stop_stack(&key.0, &key.1, &why);
        }
        failures.push((rank, format!("{}: {cause}", rollout.short)));
    }
    // What a function failed by itself says more than an alarm of all of them, that more than what this machine had no time
    // for, and that more than who was stopped.
    let failure = failures.into_iter().min_by_key(|(rank, _)| *rank).map(|(_, reason)| reason);
    match failure {
        Some(reason) => Err(Failed::after(cloud, reason, &moved)),
        None => Ok(()),
    }
}

/// Which way a deployment goes. Weights are told as the release sees them either way: the share of the version it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the version before the release to the release's.
    Forth,
    /// Back again, when the stack is rolled back.
    Back,
}

impl Rollout {
    fn described(&self) -> Described {
        let events = [
            if self.before.is_some() { "Pending" } else { "Skipped" },
            "Pending",
            if self.after.is_some() { "Pending" } else { "Skipped" },
        ];
        Described {
            id: self.id.clone(),
            account: self.key.0.clone(),
            stack: self.key.1.clone(),
            application: self.application.clone(),
            group: self.group.clone(),
            config: full_name(&self.config),
            shifting: self.shifting,
            function: self.function.clone(),
            alias: self.alias.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
            weight: 0,
            status: "InProgress",
            error: None,
            events,
            started: seconds_now(),
            ended: None,
        }
    }

    /// Feeds the machine with what happens, and does what it says, until it is over.
    async fn drive(&self, way: Way, mut stop: watch::Receiver<Option<String>>) -> End {
        let mut machine =
            Deployment::new(self.shifting.schedule(), self.before.is_some(), self.after.is_some());
        let (reports, mut reported) = mpsc::unbounded_channel();
        let mut alarms = self.cloud.alarms.subscribe();
        let mut shift: Option<Stopwatch> = None;
        let mut wake: Option<(Instant, u32)> = None;
        let mut phase: Option<Hook> = None;
        if way == Way::Forth {
            self.cloud.alarms.begin(&self.key.0, &self.alarms);
        }
        let begin = Input::Start(self.cloud.alarms.raised(&self.key.0, &self.alarms));
        let mut effects = VecDeque::from(machine.on(begin));
        loop {
            while let Some(effect) = effects.pop_front() {
                match effect {
                    Effect::Invoke(hook) => {
                        phase = Some(hook);
                        self.event(hook_index(hook), "InProgress");
                        self.invoke_beside(hook, reports.clone());
                    }
                    Effect::BeginShift => {
                        self.begun.get_or_init(Instant::now);
                        shift = Some(Stopwatch::start());
                        self.event(1, "InProgress");
                        self.phase("shift", Status::Started, None, None);
                    }
                    Effect::Weigh { minute, weight } => {
                        if let Err(why) = self.step(way, minute, weight).await {
                            effects = failed(&mut machine, format!("{why:#}"));
                        }
                    }
                    Effect::WakeAt(minute) => {
                        let begin = *self.begun.get_or_init(Instant::now);
                        wake = Some((begin + self.cloud.clock.minute() * minute, minute));
                    }
                    Effect::EndShift => {
                        self.event(1, "Succeeded");
                        if let Some(watch) = shift.take() {
                            self.phase("shift", Status::Succeeded, Some(watch.seconds()), None);
                        }
                        wake = None;
                    }
                    Effect::Restore => self.restore(way).await,
                    Effect::Finish(end) => {
                        let end = match end {
                            End::Succeeded if way == Way::Forth => self.judged().await,
                            end => end,
                        };
                        self.finish(&end, phase, shift);
                        return end;
                    }
                }
            }
            let due = wake.map(|(at, _)| at);
            let input = tokio::select! {
                // An alarm of its own comes before being stopped for another's.
                biased;
                Some((hook, result)) = reported.recv() => {
                    let own = matches!(phase, Some(now) if now == hook);
                    if own {
                        phase = None;
                        self.event(hook_index(hook), if result.is_ok() { "Succeeded" } else { "Failed" });
                    }
                    Input::Reported(hook, result)
                }
                Ok(()) = alarms.changed() => match self.cloud.alarms.raised(&self.key.0, &self.alarms) {
                    Some(alarm) => Input::Alarm(alarm),
                    None => continue,
                },
                Ok(()) = stop.changed() => match stop.borrow_and_update().clone() {
                    Some(why) => Input::Stop(why),
                    None => continue,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    Input::Minute(wake.take().map_or(0, |(_, minute)| minute))
                }
            };
            effects = VecDeque::from(machine.on(input));
        }
    }

    /// Invokes a hook in a task of its own and feeds its report back.
    fn invoke_beside(&self, hook: Hook, reports: mpsc::UnboundedSender<(Hook, Result<(), String>)>) {
        let function = match hook {
            Hook::Before => self.before.clone(),
            Hook::After => self.after.clone(),
        };
        let (cloud, account, id, short, stack) = (
            Arc::clone(&self.cloud),
            self.key.0.clone(),
            self.id.clone(),
            self.short.clone(),
            self.key.1.clone(),
        );
        let excused = Arc::clone(&self.late);
        self.phase(hook_word(hook), Status::Started, None, None);
        tokio::spawn(async move {
            let watch = Stopwatch::start();
            let mut calls = 0;
            let Called { result, checks, .. } = loop {
                let begin = Instant::now();
                let called = match &function {
                    Some(function) => hook::call(&cloud, &account, &id, function).await,
                    None => Called { result: Ok(()), checks: Vec::new(), late: false },
                };
                calls += 1;
                let strain = cloud.strains.since(begin);
                // Nobody waits for it where the deployment is over.
                if !called.late || !strain.is_starved() || reports.is_closed() {
                    break called;
                }
                // A good version shall not be rolled back because this machine has other things to do.
                let word = hook_word(hook);
                if calls < CALLS {
                    let message = format!(
                        "{short}: the {word} ran out of time while {strain}; it is called once more, which CodeDeploy does not do"
                    );
                    cloud.happenings.add(&account, &stack, What::Warning { message });
                    continue;
                }
                let why = format!("the {word} ran out of time {calls} times while {strain}");
                cloud.happenings.add(&account, &stack, What::NoVerdict { function: short.clone(), why });
                excused.store(true, Ordering::Relaxed);
                break called;
            };
            let status = if result.is_ok() { Status::Succeeded } else { Status::Failed };
            // Nobody listens any more where the deployment is over: then the phase was told already.
            if reports.send((hook, result.clone())).is_ok() {
                let what = What::Phase {
                    function: short,
                    sub: hook_word(hook).to_owned(),
                    status,
                    seconds: Some(tenths(watch.seconds())),
                    reason: result.err(),
                    checks,
                };
                cloud.happenings.add(&account, &stack, what);
            }
        });
    }

    /// One step of the shift.
    ///
    /// # Errors
    /// The alias cannot be moved.
    async fn step(&self, way: Way, minute: u32, weight: u32) -> anyhow::Result<()> {
        self.weigh(way, weight).await?;
        let (old, new, new_weight) = self.seen_by_release(way, weight);
        self.tell(What::Weight {
            function: self.short.clone(),
            t_minutes: minute,
            old: old.to_owned(),
            new: new.to_owned(),
            new_weight,
        });
        Ok(())
    }

    /// All traffic to the version that it came from, and told, where any of it had moved.
    async fn restore(&self, way: Way) {
        let Some(begin) = self.begun.get() else { return };
        let minutes = begin.elapsed().as_secs_f64() / self.cloud.clock.minute().as_secs_f64();
        if let Err(error) = self.step(way, minutes as u32, 0).await {
            self.say(format!("{}: {error:#}", self.short));
        }
    }

    /// The version before the release, the release's, and its share, when the version that this deployment brings has that
    /// weight.
    fn seen_by_release(&self, way: Way, weight: u32) -> (&str, &str, u32) {
        match way {
            Way::Forth => (&self.old, &self.new, weight),
            Way::Back => (&self.new, &self.old, 100_u32.saturating_sub(weight)),
        }
    }

    /// Ends it where the engine itself failed.
    async fn break_off(&self, way: Way, why: &str) {
        self.restore(way).await;
        self.phase("shift", Status::Failed, None, Some(format!("rolled back: {why}")));
        self.cloud.deployments.update(&self.id, |described| {
            described.ended = Some(seconds_now());
            described.status = "Stopped";
            described.error = Some(("CLOUDFORMATION_STACK_FAILURE", why.to_owned()));
        });
    }

    fn finish(&self, end: &End, phase: Option<Hook>, shifting: Option<Stopwatch>) {
        if let End::Failed(cause) = end {
            if let Some(watch) = shifting {
                self.event(1, "Failed");
                self.phase("shift", Status::Failed, Some(watch.seconds()), Some(cause.to_string()));
            } else if let (Some(hook), false) = (phase, matches!(cause, Cause::Hook(..))) {
                self.event(hook_index(hook), "Failed");
                self.phase(hook_word(hook), Status::Failed, None, Some(cause.to_string()));
            } else if let Cause::Alarm(_) = cause {
                self.phase(
                    "shift",
                    Status::Failed,
                    Some(0.0),
                    Some(format!("{cause}; the deployment was stopped at once")),
                );
            }
        }
        self.cloud.deployments.update(&self.id, |described| {
            described.ended = Some(seconds_now());
            match end {
                End::Succeeded => described.status = "Succeeded",
                End::Failed(cause) => {
                    let (status, code) = match cause {
                        Cause::Hook(..) => ("Failed", "HEALTH_CONSTRAINTS"),
                        Cause::Alarm(_) => ("Stopped", "ALARM_ACTIVE"),
                        Cause::Stop(_) => ("Stopped", "MANUAL_STOP"),
                    };
                    described.status = status;
                    described.error = Some((code, cause.to_string()));
                    for event in &mut described.events {
                        if *event == "Pending" {
                            *event = "Skipped";
                        }
                    }
                }
            }
        });
    }

    /// Gives the version that this deployment brings its share: of the alias, which all that invoke by it follow.
    async fn weigh(&self, way: Way, weight: u32) -> anyhow::Result<()> {
        let (old, new, _) = self.seen_by_release(way, weight);
        self.cloud.edges.shifting(&self.key.0, &self.function, old, new);
        let to = Alias::between(&self.old, &self.new, weight);
        alias::set(&self.cloud, &self.key.0, &self.function, &self.alias, &to).await?;
        self.cloud.deployments.update(&self.id, |described| described.weight = weight);
        Ok(())
    }

    fn event(&self, index: usize, status: &'static str) {
        self.cloud.deployments.update(&self.id, |described| {
            if let Some(event) = described.events.get_mut(index) {
                *event = status;
            }
        });
    }

    fn phase(&self, sub: &str, status: Status, seconds: Option<f64>, reason: Option<String>) {
        let seconds = seconds.map(tenths);
        let (function, sub) = (self.short.clone(), sub.to_owned());
        self.tell(What::Phase { function, sub, status, seconds, reason, checks: Vec::new() });
    }

    fn tell(&self, what: What) {
        self.cloud.happenings.add(&self.key.0, &self.key.1, what);
    }
}

/// What is to be done where the engine cannot go on by itself.
fn failed(machine: &mut Deployment, why: String) -> VecDeque<Effect> {
    let effects = machine.on(Input::Stop(why.clone()));
    if !effects.is_empty() {
        return VecDeque::from(effects);
    }
    // The machine has nothing left to do: that was its last step.
    VecDeque::from([Effect::Restore, Effect::Finish(End::Failed(Cause::Stop(why)))])
}

/// CodeDeploy's name of a configuration: SAM knows those of AWS by their short names.
fn full_name(config: &str) -> String {
    if !config.starts_with(AWS_PREFIX) && Shifting::parse(config).is_ok() {
        format!("{AWS_PREFIX}{config}")
    } else {
        config.to_owned()
    }
}

fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::Before => "pre-hook",
        Hook::After => "post-hook",
    }
}

fn hook_index(hook: Hook) -> usize {
    match hook {
        Hook::Before => 0,
        Hook::After => 2,
    }
}

/// Seconds since 1970, as CodeDeploy writes times.
fn seconds_now() -> f64 {
    clock::now().as_millisecond() as f64 / 1_000.0
}
