//! Watches a stack while it is deployed: steady traffic at its API, CodeDeploy's deployments and the alarms beside it.

pub(crate) mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::api_client::ApiClient;
use crate::aws::rollouts::{Group, Rollouts};
use crate::clock;
use crate::model::fault::from_error;
use crate::model::tally::Tally;
use crate::model::verdict::Verdict;
use crate::model::watch::{self, Deploying, Watched};
use traffic::Route;

/// How long answers that are on their way are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long a deployment that is announced (the stack is being updated) may take to begin.
pub(crate) const BEGIN_LIMIT: Duration = Duration::from_secs(15 * 60);

/// When a watch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When every deployment that was seen is over; at the latest after this time.
    Done(Duration),
    /// After this time.
    For(Duration),
}

/// What is watched.
#[derive(Clone)]
pub(crate) struct Plan {
    /// The environment.
    pub(crate) env: String,
    /// The stack.
    pub(crate) stack: String,
    /// The API.
    pub(crate) api: ApiClient,
    /// What is asked of it.
    pub(crate) routes: Vec<Route>,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Where deployments are found.
    pub(crate) groups: Vec<Group>,
    /// The stack's alarms.
    pub(crate) alarms: Vec<String>,
    /// How often CodeDeploy and CloudWatch are asked.
    pub(crate) pace: Duration,
    /// When it ends.
    pub(crate) until: Until,
    /// Whether a deployment is on its way (the stack is being updated).
    pub(crate) expecting: bool,
}

/// What a watcher tells while it watches.
pub(crate) enum News<'a> {
    /// A deployment changed: before and now.
    Deployment(Option<&'a Deploying>, &'a Deploying),
    /// An alarm changed its state.
    Alarm(&'a str, &'a str),
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

/// Watches until the end of the plan, or until `interrupt` resolves. What was seen, the verdict, and its cause.
pub(crate) async fn run(
    plan: &Plan,
    rollouts: &Rollouts,
    interrupt: impl Future<Output = ()>,
    mut tell: impl FnMut(News<'_>),
) -> (Watched, Verdict, Option<String>) {
    let begin = Instant::now();
    let mut tally = Tally::new(&plan.env, &plan.stack, plan.rate);
    let (samples, mut sampled) = mpsc::unbounded_channel();
    let traffic = tokio::spawn(traffic::drive(plan.api.clone(), plan.routes.clone(), plan.rate, samples));
    let (looks, mut looked) = mpsc::channel(1);
    let looking = tokio::spawn(look_on(plan.clone(), rollouts.clone(), looks));
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (Until::Done(limit) | Until::For(limit)) = plan.until;
    tokio::pin!(interrupt);
    let (mut interrupted, mut in_time, mut waited_for_more) = (false, false, false);
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
                note(&mut tally, begin.elapsed().as_secs_f64(), look, &mut tell);
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
    let last = sleep(if interrupted { Duration::ZERO } else { LAST_ANSWERS });
    tokio::pin!(last);
    // No new requests; those on their way are heard.
    traffic.abort();
    loop {
        tokio::select! {
            Some((function, sample)) = sampled.recv() => tally.add(&function, &sample),
            () = &mut last => break,
            else => break,
        }
    }
    let watched = tally.finish();
    let (verdict, cause) = watch::verdict(&watched, in_time);
    if interrupted && verdict != Verdict::RolledBack {
        return (
            watched,
            Verdict::Interrupted,
            Some("it was interrupted; the deployment goes on".to_owned()),
        );
    }
    (watched, verdict, cause)
}

fn note(tally: &mut Tally, at: f64, look: Look, tell: &mut impl FnMut(News<'_>)) {
    match look.deployments {
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
        Err(error) => tell(News::Trouble(format!("{}; it is asked again", from_error(&error).why))),
    }
    match look.alarms {
        Ok(now) => {
            for (name, state) in &now {
                if tally.so_far().alarms.get(name) != Some(state) {
                    tell(News::Alarm(name, state));
                }
            }
            tally.alarms(at, now);
        }
        Err(error) => tell(News::Trouble(format!("{}; it is asked again", from_error(&error).why))),
    }
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
