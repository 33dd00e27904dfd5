//! Watches a stack while it is deployed: steady traffic at its API, CodeDeploy's deployments and the alarms beside it.

pub mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::api_client::ApiClient;
use causeway_aws::rollouts::{Group, Rollouts};
use causeway_machine::clock;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::tally::Tally;
use causeway_model::verdict::Verdict;
use causeway_model::watch::{self, Deploying, Watched};
use traffic::Route;

/// How long answers that are on their way are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long a deployment that is announced (the stack is being updated) may take to begin.
pub const BEGIN_LIMIT: Duration = Duration::from_secs(15 * 60);

/// When a watch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When every deployment that was seen is over; at the latest after this time.
    Done(Duration),
    /// After this time.
    For(Duration),
}

/// What is watched.
#[derive(Clone)]
pub struct Plan {
    /// The environment.
    pub env: String,
    /// The stack.
    pub stack: String,
    /// The API.
    pub api: ApiClient,
    /// What is asked of it.
    pub routes: Vec<Route>,
    /// Requests a second.
    pub rate: f64,
    /// Where deployments are found.
    pub groups: Vec<Group>,
    /// The stack's alarms.
    pub alarms: Vec<String>,
    /// How often CodeDeploy and CloudWatch are asked.
    pub pace: Duration,
    /// How many seconds a minute of CodeDeploy takes, where that is known.
    pub minute: Option<f64>,
    /// When it ends.
    pub until: Until,
    /// Whether a deployment is on its way (the stack is being updated).
    pub expecting: bool,
}

/// What a watcher tells while it watches.
pub enum News<'a> {
    /// A deployment changed: before and now.
    Deployment(Option<&'a Deploying>, &'a Deploying),
    /// An alarm has another state than before.
    Alarm {
        /// Its name.
        name: &'a str,
        /// Its state now.
        state: &'a str,
        /// Its state until now, where that is known.
        before: Option<&'a str>,
    },
    /// Something went wrong that the watch gets over.
    Trouble(String),
    /// A second went by.
    Second(&'a Tally, f64),
}

/// What a look at AWS brought.
struct Look {
    deployments: anyhow::Result<Vec<Deploying>>,
    alarms: anyhow::Result<BTreeMap<String, String>>,
}

/// How a watch ended.
pub struct Ended {
    /// What was seen.
    pub watched: Watched,
    /// What that amounts to.
    pub verdict: Verdict,
    /// Why.
    pub cause: Option<String>,
    /// A refusal that nothing mends by waiting, such as missing rights: the watch ended with it.
    pub refused: Option<Fault>,
}

/// Watches until the end of the plan, or until `interrupt` resolves.
pub async fn run(
    plan: &Plan,
    rollouts: &Rollouts,
    interrupt: impl Future<Output = ()>,
    mut tell: impl FnMut(News<'_>),
) -> Ended {
    let begin = Instant::now();
    let mut tally = Tally::new(&plan.env, &plan.stack, plan.rate);
    let (samples, mut sampled) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<Duration>();
    let (api, routes, rate) = (plan.api.clone(), plan.routes.clone(), plan.rate);
    let stopped = async { drop(stopped.await) };
    tokio::spawn(traffic::drive_until(api, routes, rate, samples, stopped, LAST_ANSWERS));
    let (looks, mut looked) = mpsc::channel(1);
    let looking = tokio::spawn(look_on(plan.clone(), rollouts.clone(), looks));
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (Until::Done(limit) | Until::For(limit)) = plan.until;
    tokio::pin!(interrupt);
    let (mut interrupted, mut in_time, mut waited_for_more) = (false, false, false);
    let (mut refused, mut asked) = (None, false);
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt => {
                interrupted = true;
                break;
            }
            () = sleep_until(begin + limit) => {
                in_time = matches!(plan.until, Until::For(_));
                break;
            }
            Some(look) = looked.recv() => {
                if let Err(fault) = note(plan, &mut tally, begin.elapsed().as_secs_f64(), look, &mut tell) {
                    if is_final(&fault) {
                        refused = Some(fault);
                        break;
                    }
                    // Nothing was seen, so nothing follows from it.
                    tally.blind((!asked).then_some(fault.why));
                    waited_for_more = false;
                    continue;
                }
                asked = true;
                tally.blind(None);
                let seen = &tally.so_far().deployments;
                let over = !seen.is_empty() && seen.iter().all(Deploying::is_over);
                let none = seen.is_empty() && (!plan.expecting || begin.elapsed() > BEGIN_LIMIT);
                if plan.until == Until::Done(limit) && (over || none) {
                    // The functions of a stack do not end at the same moment: look once more.
                    if waited_for_more {
                        in_time = true;
                        break;
                    }
                    waited_for_more = true;
                } else {
                    waited_for_more = false;
                }
            }
            _ = second.tick() => tell(News::Second(&tally, begin.elapsed().as_secs_f64())),
            Some((function, sample)) = sampled.recv() => tally.add(&function, &sample),
        }
    }
    looking.abort();
    // No new requests; those on their way are heard, or counted as unanswered.
    drop(stop);
    while !interrupted && let Some((function, sample)) = sampled.recv().await {
        tally.add(&function, &sample);
    }
    let watched = tally.finish();
    let (verdict, cause) = watch::verdict(&watched, in_time);
    if interrupted {
        let cause = Some(so_far(&watched, verdict, cause));
        return Ended { watched, verdict: Verdict::Interrupted, cause, refused };
    }
    Ended { watched, verdict, cause, refused }
}

/// What an interrupted watch had seen until then.
fn so_far(watched: &Watched, verdict: Verdict, cause: Option<String>) -> String {
    let going = watched.deployments.iter().filter(|deploying| !deploying.is_over()).count();
    match (verdict, going) {
        (Verdict::RolledBack, _) => {
            format!("it was interrupted after it had been rolled back: {}", cause.unwrap_or_default())
        }
        (_, 0) if watched.deployments.is_empty() => "it was interrupted; no deployment was seen".to_owned(),
        (_, 0) => "it was interrupted; the deployments it saw are over".to_owned(),
        (_, going) => format!("it was interrupted; {going} deployments go on, and were left alone"),
    }
}

/// Whether a refusal stays one however often it is asked again.
fn is_final(fault: &Fault) -> bool {
    fault.kind == Kind::Credentials || fault.why.starts_with("AccessDenied")
}

/// Notes what a look brought.
///
/// # Errors
/// What could not be looked at; that is told, too.
fn note(
    plan: &Plan,
    tally: &mut Tally,
    at: f64,
    look: Look,
    tell: &mut impl FnMut(News<'_>),
) -> Result<(), Fault> {
    let mut refused = |error: anyhow::Error| {
        let fault = from_error(&error);
        tell(News::Trouble(format!("{}; it is asked again", fault.why)));
        fault
    };
    let deployments = look.deployments.map_err(&mut refused);
    let alarms = look.alarms.map_err(&mut refused);
    let mut seen = Ok(());
    match deployments {
        Ok(now) => {
            let before = tally.so_far().deployments.clone();
            for deploying in &now {
                let old = before.iter().find(|old| old.id == deploying.id);
                if old != Some(deploying) {
                    tell(News::Deployment(old, deploying));
                }
            }
            tally.deployments(at, now);
        }
        Err(fault) => seen = Err(fault),
    }
    match alarms {
        Ok(now) => {
            let first = tally.so_far().alarms.is_empty();
            for missing in plan.alarms.iter().filter(|name| first && !now.contains_key(*name)) {
                tell(News::Trouble(format!(
                    "the alarm {missing} of the stack does not exist, so it guards nothing"
                )));
            }
            for (name, state) in &now {
                let before = tally.so_far().alarms.get(name);
                if before != Some(state) {
                    tell(News::Alarm { name, state, before: before.map(String::as_str) });
                }
            }
            tally.alarms(at, now);
        }
        Err(fault) => seen = seen.and(Err(fault)),
    }
    seen
}

/// Looks at deployments and alarms again and again. A refusal makes it slower: throttling ends by itself.
async fn look_on(plan: Plan, rollouts: Rollouts, looks: mpsc::Sender<Look>) {
    let since = clock::now().as_second();
    let mut known = BTreeSet::new();
    let mut finished: BTreeMap<String, Deploying> = BTreeMap::new();
    let mut pause = plan.pace;
    loop {
        let (deployments, alarms) = tokio::join!(
            deployments(&plan, &rollouts, since, &mut known, &mut finished),
            rollouts.alarms(&plan.alarms)
        );
        let refused = deployments.is_err() || alarms.is_err();
        pause = if refused { (pause * 2).min(Duration::from_secs(60)) } else { plan.pace };
        if looks.send(Look { deployments, alarms }).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

async fn deployments(
    plan: &Plan,
    rollouts: &Rollouts,
    since: i64,
    known: &mut BTreeSet<String>,
    finished: &mut BTreeMap<String, Deploying>,
) -> anyhow::Result<Vec<Deploying>> {
    for group in &plan.groups {
        known.extend(rollouts.deployments(group, since).await?);
    }
    let mut all = Vec::new();
    for id in known.iter() {
        if let Some(over) = finished.get(id) {
            all.push(over.clone());
            continue;
        }
        let mut deploying = rollouts.look(id).await?;
        let short = deploying.function.strip_prefix(&format!("{}-", plan.stack)).map(ToOwned::to_owned);
        deploying.function = short.unwrap_or(deploying.function);
        if deploying.is_over() {
            finished.insert(id.clone(), deploying.clone());
        }
        all.push(deploying);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
