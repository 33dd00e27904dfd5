//! The rollout engine: PreTraffic hook, weight steps by the schedule, PostTraffic hook; or back to the old version.
//!
//! It stands in for CodeDeploy, which no emulator runs. The schedule is [`crate::model::rollout`]'s; time is scaled.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::cloud::Cloud;
use super::happenings::What;
use super::hooks::Report;
use super::ledger::{Record, StackKey};
use super::operation::alias_version;
use super::resources::Resources;
use crate::clock::Stopwatch;
use crate::model::line::{Status, tenths};
use crate::model::rollout::Shifting;

/// CodeDeploy waits this long for a hook that never reports ("AppSpec hooks section", Lambda).
const HOOK_MINUTES: u32 = 60;

/// One function's way from its old version to its new one.
struct Deployment {
    cloud: Arc<Cloud>,
    key: StackKey,
    /// The function's name in AWS.
    function: String,
    /// Its short name.
    short: String,
    old: String,
    new: String,
    shifting: Shifting,
    pre_hook: Option<String>,
    post_hook: Option<String>,
    id: String,
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
    let deployments = plan(cloud, key, record, old).await.map_err(|error| format!("{error:#}"))?;
    let mut tasks = JoinSet::new();
    for deployment in deployments {
        tasks.spawn(async move {
            let result = deployment.run().await;
            (deployment, result)
        });
    }
    let mut failure = None;
    let mut moved = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((deployment, Ok(()))) => moved.push(deployment),
            Ok((deployment, Err(reason))) => {
                deployment.weigh(0);
                failure.get_or_insert(format!("{}: {reason}", deployment.short));
            }
            Err(error) => {
                failure.get_or_insert(format!("the rollout engine failed: {error}"));
            }
        }
    }
    match failure {
        None => Ok(()),
        Some(reason) => {
            // One that fails takes the others back: CloudFormation rolls the whole stack back.
            moved.iter().for_each(|deployment| deployment.weigh(0));
            Err(reason)
        }
    }
}

async fn plan(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    old: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<Deployment>> {
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
        let text = |path: &str| preference.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        if preference.get("Enabled").is_some_and(|enabled| enabled == false || enabled == "false") {
            continue;
        }
        let short = function.strip_prefix(&format!("{}-", key.1)).unwrap_or(function).to_owned();
        all.push(Deployment {
            cloud: Arc::clone(cloud),
            key: key.clone(),
            short,
            function: function.to_owned(),
            old: old.clone(),
            new,
            shifting: Shifting::parse(&text("/Type").unwrap_or_else(|| "AllAtOnce".to_owned()))?,
            pre_hook: text("/Hooks/PreTraffic"),
            post_hook: text("/Hooks/PostTraffic"),
            id: format!("d-{}", &uuid::Uuid::new_v4().simple().to_string()[..9].to_uppercase()),
        });
    }
    Ok(all)
}

impl Deployment {
    async fn run(&self) -> Result<(), String> {
        self.weigh(0);
        self.hook("pre-hook", self.pre_hook.as_deref()).await?;
        self.shift().await;
        self.hook("post-hook", self.post_hook.as_deref()).await
    }

    /// The weight steps, each at its time.
    async fn shift(&self) {
        let watch = Stopwatch::start();
        self.phase("shift", Status::Started, None, None);
        let start = Instant::now();
        for step in self.shifting.schedule() {
            sleep_until(start + self.cloud.minute() * step.minute).await;
            self.weigh(step.weight);
            self.tell(What::Weight {
                function: self.short.clone(),
                t_minutes: step.minute,
                old: self.old.clone(),
                new: self.new.clone(),
                new_weight: step.weight,
            });
        }
        self.phase("shift", Status::Succeeded, Some(watch.seconds()), None);
    }

    /// Invokes a hook and waits for its report, as long as CodeDeploy does.
    async fn hook(&self, sub: &str, function: Option<&str>) -> Result<(), String> {
        let Some(function) = function else { return Ok(()) };
        let watch = Stopwatch::start();
        self.phase(sub, Status::Started, None, None);
        let execution = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let report = self.cloud.hooks.expect(&self.id, &execution);
        let event = json!({"DeploymentId": self.id, "LifecycleEventHookExecutionId": execution});
        let invoked = self.invoke(function, event);
        let limit = self.cloud.minute() * HOOK_MINUTES;
        let (outcome, said) = tokio::join!(timeout(limit, report), timeout(limit, invoked));
        let said = match said {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => format!("it could not be invoked: {error:#}"),
            Err(_) => "it never ended".to_owned(),
        };
        let result = match outcome {
            Ok(Ok(Report::Succeeded)) => Ok(()),
            Ok(Ok(Report::Failed)) => Err(format!("{function} reported Failed: {said}")),
            _ => Err(format!("{function} did not report within {HOOK_MINUTES} minutes of AWS: {said}")),
        };
        let status = if result.is_ok() { Status::Succeeded } else { Status::Failed };
        self.phase(sub, status, Some(watch.seconds()), result.as_ref().err().cloned());
        result
    }

    /// Invokes a function; what it answered, in short.
    async fn invoke(&self, function: &str, event: Value) -> anyhow::Result<String> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let body = event.to_string().into_bytes();
        let (headers, answer) =
            self.cloud.emulator.rest(Method::POST, &path, &self.key.0, "lambda", body).await?;
        let text: String = String::from_utf8_lossy(&answer).chars().take(600).collect();
        let failed = headers
            .get("x-amz-function-error")
            .map(|kind| format!("{}: ", String::from_utf8_lossy(kind.as_bytes())));
        Ok(format!("{}{text}", failed.unwrap_or_default()))
    }

    fn weigh(&self, new_weight: u32) {
        self.cloud.edges.weigh(&self.key.0, &self.function, &self.old, &self.new, new_weight);
    }

    fn phase(&self, sub: &str, status: Status, seconds: Option<f64>, reason: Option<String>) {
        let seconds = seconds.map(tenths);
        self.tell(What::Phase { function: self.short.clone(), sub: sub.to_owned(), status, seconds, reason });
    }

    fn tell(&self, what: What) {
        self.cloud.happenings.add(&self.key.0, &self.key.1, what);
    }
}
