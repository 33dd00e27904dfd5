//! The rollout engine: carries out what [`crate::model::deployment`] decides — hooks are invoked, weights are set,
//! alarms are watched, in scaled time.
//!
//! It stands in for CodeDeploy, which no emulator runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::cloud::Cloud;
use super::deployments::Described;
use super::happenings::What;
use super::hooks::Report;
use super::ledger::{Record, StackKey};
use super::operation::alias_version;
use super::resources::Resources;
use crate::clock::{self, Stopwatch};
use crate::model::deployment::{Cause, Deployment, Effect, End, Hook, Input};
use crate::model::line::{Status, tenths};
use crate::model::rollout::{Shift, Shifting};

/// CodeDeploy waits this long for a hook that never reports ("AppSpec hooks section", Lambda).
const HOOK_MINUTES: u32 = 60;

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
    group: String,
    schedule: Vec<Shift>,
    before: Option<String>,
    after: Option<String>,
    alarms: Vec<String>,
}

/// Shifts every function of a stack whose alias moved, side by side.
///
/// # Errors
/// Why the rollout failed, naming the function; all functions serve their old version again then.
pub(crate) async fn run(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    old: &BTreeMap<String, String>,
) -> Result<(), String> {
    let rollouts = plan(cloud, key, record, old).await.map_err(|error| format!("{error:#}"))?;
    let mut tasks = JoinSet::new();
    for rollout in rollouts {
        let stop = cloud.deployments.begin(rollout.described());
        tasks.spawn(async move {
            let end = rollout.drive(stop).await;
            (rollout, end)
        });
    }
    let mut failure = None;
    let mut moved = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((rollout, End::Succeeded)) => moved.push(rollout),
            Ok((rollout, End::Failed(cause))) => {
                if failure.is_none() {
                    failure = Some(format!("{}: {cause}", rollout.short));
                    // One that fails takes the others back: CloudFormation rolls the whole stack back.
                    let why = format!("{} of the same stack failed", rollout.short);
                    cloud.deployments.stop_stack(&key.0, &key.1, &why);
                }
            }
            Err(error) => {
                failure.get_or_insert(format!("the rollout engine failed: {error}"));
            }
        }
    }
    match failure {
        None => Ok(()),
        Some(reason) => {
            moved.iter().for_each(|rollout| rollout.weigh(0));
            Err(reason)
        }
    }
}

async fn plan(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    old: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<Rollout>> {
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    let mut all = Vec::new();
    for shift in &record.lowered.shifts {
        let (Some(old), Some(function)) = (old.get(&shift.function), resources.physical(&shift.function))
        else {
            continue;
        };
        let Some(new) = alias_version(cloud, &key.0, function, &shift.alias).await? else { continue };
        if new == *old {
            continue;
        }
        let preference = resources.eval(&cloud.emulator, key, record, &shift.preference)?;
        if preference.get("Enabled").is_some_and(|enabled| enabled == false || enabled == "false") {
            continue;
        }
        let text = |path: &str| preference.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        let config = text("/Type").unwrap_or_else(|| "AllAtOnce".to_owned());
        let alarms = preference.get("Alarms").map(|alarms| alarms.get("List").unwrap_or(alarms));
        let alarms = alarms.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        all.push(Rollout {
            cloud: Arc::clone(cloud),
            key: key.clone(),
            id: format!("d-{}", &uuid::Uuid::new_v4().simple().to_string()[..9].to_uppercase()),
            short: function.strip_prefix(&format!("{}-", key.1)).unwrap_or(function).to_owned(),
            function: function.to_owned(),
            alias: shift.alias.clone(),
            old: old.clone(),
            new,
            schedule: schedule(&resources, cloud, key, record, &config)?,
            config,
            group: format!("{}-{}DeploymentGroup", key.1, shift.function),
            before: text("/Hooks/PreTraffic"),
            after: text("/Hooks/PostTraffic"),
            alarms: alarms.map(ToOwned::to_owned).collect(),
        });
    }
    Ok(all)
}

/// The schedule of a configuration: AWS's own, or one that the stack defines.
fn schedule(
    resources: &Resources,
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    config: &str,
) -> anyhow::Result<Vec<Shift>> {
    let known = Shifting::parse(config);
    if let Ok(shifting) = &known {
        return Ok(shifting.schedule());
    }
    let definitions = record.long.get("Resources").and_then(Value::as_object).into_iter().flatten();
    for (id, definition) in definitions {
        if definition.get("Type").and_then(Value::as_str) != Some("AWS::CodeDeploy::DeploymentConfig") {
            continue;
        }
        let properties = resources.eval(
            &cloud.emulator,
            key,
            record,
            definition.get("Properties").unwrap_or(&Value::Null),
        )?;
        let named = properties.get("DeploymentConfigName").and_then(Value::as_str).map(ToOwned::to_owned);
        // A reference gives the inert resource's own id, a name the name.
        let physical = resources.physical(id).unwrap_or_default();
        if [named.as_deref().unwrap_or_default(), physical, &format!("{}-{id}", key.1)].contains(&config) {
            return Ok(Shifting::custom(&properties)?.schedule());
        }
    }
    Ok(known?.schedule())
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
            application: format!("{}-ServerlessDeploymentApplication", self.key.1),
            group: self.group.clone(),
            config: if self.config.contains('.') {
                self.config.clone()
            } else {
                format!("CodeDeployDefault.Lambda{}", self.config)
            },
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
    async fn drive(&self, mut stop: watch::Receiver<Option<String>>) -> End {
        let mut machine = Deployment::new(self.schedule.clone(), self.before.is_some(), self.after.is_some());
        let (reports, mut reported) = mpsc::unbounded_channel();
        let mut alarms = self.cloud.alarms.subscribe();
        let mut shift: Option<(Instant, Stopwatch)> = None;
        let mut wake: Option<(Instant, u32)> = None;
        let mut phase: Option<Hook> = None;
        let mut moved = false;
        let mut effects = machine.on(Input::Start(self.cloud.alarms.raised(&self.key.0, &self.alarms)));
        loop {
            for effect in effects {
                match effect {
                    Effect::Invoke(hook) => {
                        phase = Some(hook);
                        self.event(hook_index(hook), "InProgress");
                        self.invoke_beside(hook, reports.clone());
                    }
                    Effect::BeginShift => {
                        shift = Some((Instant::now(), Stopwatch::start()));
                        self.event(1, "InProgress");
                        self.phase("shift", Status::Started, None, None);
                    }
                    Effect::Weigh { minute, weight } => {
                        moved = true;
                        self.step(minute, weight);
                    }
                    Effect::WakeAt(minute) => {
                        let begin = shift.map_or_else(Instant::now, |(begin, _)| begin);
                        wake = Some((begin + self.cloud.clock.minute() * minute, minute));
                    }
                    Effect::EndShift => {
                        self.event(1, "Succeeded");
                        if let Some((_, watch)) = shift.take() {
                            self.phase("shift", Status::Succeeded, Some(watch.seconds()), None);
                        }
                        wake = None;
                    }
                    Effect::Restore if !moved => self.weigh(0),
                    Effect::Restore => {
                        let since = shift.map_or(0.0, |(begin, _)| begin.elapsed().as_secs_f64());
                        let minute = since / self.cloud.clock.minute().as_secs_f64();
                        self.step(minute as u32, 0);
                    }
                    Effect::Finish(end) => {
                        self.finish(&end, phase, shift.map(|(_, watch)| watch));
                        return end;
                    }
                }
            }
            let due = wake.map(|(at, _)| at);
            let input = tokio::select! {
                Some((hook, result)) = reported.recv() => {
                    let own = matches!(phase, Some(now) if now == hook);
                    if own {
                        phase = None;
                        self.event(hook_index(hook), if result.is_ok() { "Succeeded" } else { "Failed" });
                    }
                    Input::Reported(hook, result)
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    Input::Minute(wake.take().map_or(0, |(_, minute)| minute))
                }
                Ok(()) = alarms.changed() => match self.cloud.alarms.raised(&self.key.0, &self.alarms) {
                    Some(alarm) => Input::Alarm(alarm),
                    None => { effects = Vec::new(); continue; }
                },
                Ok(()) = stop.changed() => match stop.borrow_and_update().clone() {
                    Some(why) => Input::Stop(why),
                    None => { effects = Vec::new(); continue; }
                },
            };
            effects = machine.on(input);
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
        self.phase(hook_word(hook), Status::Started, None, None);
        tokio::spawn(async move {
            let watch = Stopwatch::start();
            let result = match function {
                Some(function) => call_hook(&cloud, &account, &id, &function).await,
                None => Ok(()),
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
                };
                cloud.happenings.add(&account, &stack, what);
            }
        });
    }

    fn step(&self, minute: u32, weight: u32) {
        self.weigh(weight);
        self.tell(What::Weight {
            function: self.short.clone(),
            t_minutes: minute,
            old: self.old.clone(),
            new: self.new.clone(),
            new_weight: weight,
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

    fn weigh(&self, weight: u32) {
        self.cloud.edges.weigh(&self.key.0, &self.function, &self.old, &self.new, weight);
        self.cloud.deployments.update(&self.id, |described| described.weight = weight);
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
        self.tell(What::Phase { function: self.short.clone(), sub: sub.to_owned(), status, seconds, reason });
    }

    fn tell(&self, what: What) {
        self.cloud.happenings.add(&self.key.0, &self.key.1, what);
    }
}

/// Invokes a hook and waits for its report, as long as CodeDeploy does.
async fn call_hook(cloud: &Cloud, account: &str, deployment: &str, function: &str) -> Result<(), String> {
    let execution = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let report = cloud.hooks.expect(deployment, &execution);
    let event = json!({"DeploymentId": deployment, "LifecycleEventHookExecutionId": execution});
    let limit = cloud.clock.minute() * HOOK_MINUTES;
    let (outcome, said) =
        tokio::join!(timeout(limit, report), timeout(limit, invoke(cloud, account, function, event)));
    let said = match said {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => format!("it could not be invoked: {error:#}"),
        Err(_) => "it never ended".to_owned(),
    };
    match outcome {
        Ok(Ok(Report::Succeeded)) => Ok(()),
        Ok(Ok(Report::Failed)) => Err(format!("{function} reported Failed: {said}")),
        _ => Err(format!("{function} did not report within {HOOK_MINUTES} minutes of AWS: {said}")),
    }
}

/// Invokes a function; what it answered, in short.
async fn invoke(cloud: &Cloud, account: &str, function: &str, event: Value) -> anyhow::Result<String> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (headers, answer) =
        cloud.emulator.rest(Method::POST, &path, account, "lambda", event.to_string().into_bytes()).await?;
    let text: String = String::from_utf8_lossy(&answer).chars().take(600).collect();
    let failed = headers
        .get("x-amz-function-error")
        .map(|kind| format!("{}: ", String::from_utf8_lossy(kind.as_bytes())));
    Ok(format!("{}{text}", failed.unwrap_or_default()))
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
