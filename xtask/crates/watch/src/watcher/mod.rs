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
use causeway_model::watch::{self, Deploying, ENOUGH, Terms, Watched};
use traffic::Route;

/// How long answers that are on their way are waited for at the end; a short watch waits for a fifth of its time.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long a watch that saw errors goes on for enough requests to tell their share.
const FOR_A_SHARE: Duration = Duration::from_secs(30);
/// A service that has not answered for so long is one of which nothing is known.
const STALE: Duration = Duration::from_secs(60);
/// How long a deployment that is announced may take to begin, unless the watch's own time is shorter.
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
    /// How long a deployment that is on its way (the stack is being updated, or somebody says so) may take to begin; `None`
    /// where none is expected.
    pub expecting: Option<Duration>,
    /// What it is held to.
    pub terms: Terms,
}

impl Plan {
    /// How long the watch takes at most, and how much of that is for answers that are on their way.
    fn limits(&self) -> (Duration, Duration) {
        let (Until::Done(limit) | Until::For(limit)) = self.until;
        (limit, LAST_ANSWERS.min(limit / 5))
    }
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

/// What a look at AWS brought. Each service is looked at by itself: one that hangs hides nothing of the other.
enum Look {
    Deployments(anyhow::Result<Vec<Deploying>>),
    Alarms(anyhow::Result<BTreeMap<String, String>>),
}

/// What is known of a service that is asked.
struct Asked {
    name: &'static str,
    /// When it answered last.
    answered: Option<Instant>,
    /// What it said last in place of an answer.
    trouble: Option<String>,
}

impl Asked {
    fn new(name: &'static str) -> Self {
        Self { name, answered: None, trouble: None }
    }

    fn note(&mut self, heard: &Result<(), Fault>) {
        match heard {
            Ok(()) => (self.answered, self.trouble) = (Some(Instant::now()), None),
            Err(fault) => self.trouble = Some(fault.why.clone()),
        }
    }

    /// Why nothing is known of it, where that is so: no answer yet is not none.
    fn blind(&self) -> Option<String> {
        let since = self.answered.map(|at| at.elapsed());
        if since.is_some_and(|since| since < STALE) {
            return None;
        }
        let trouble = self.trouble.as_deref().unwrap_or("it did not answer");
        let last = since.map(|since| format!(" (its last answer is {} s old)", since.as_secs()));
        Some(format!("{} could not be asked: {trouble}{}", self.name, last.unwrap_or_default()))
    }
}

/// How a watch ended.
pub struct Ended {
    /// What was seen.
    pub watched: Watched,
    /// What that amounts to.
    pub verdict: Verdict,
    /// Why.
    pub cause: Option<String>,
    /// A refusal that nothing fixes by waiting, such as missing rights: the watch ended with it.
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
    tally.began(plan.api.address(), clock::now_rfc3339());
    let (samples, mut sampled) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<Duration>();
    let (api, routes, rate) = (plan.api.clone(), plan.routes.clone(), plan.rate);
    let stopped = async { drop(stopped.await) };
    let (limit, last_answers) = plan.limits();
    tokio::spawn(traffic::drive_until(api, routes, rate, samples, stopped, last_answers));
    let (looks, mut looked) = mpsc::channel(1);
    let looking = [
        tokio::spawn(look_at_deployments(plan.clone(), rollouts.clone(), looks.clone())),
        tokio::spawn(look_at_alarms(plan.clone(), rollouts.clone(), looks)),
    ];
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(interrupt);
    let (mut interrupted, mut in_time, mut seen_at_end) = (false, false, None);
    let mut refused = None;
    let (mut codedeploy, mut cloudwatch) = (Asked::new("CodeDeploy"), Asked::new("CloudWatch"));
    let end = begin + limit.saturating_sub(last_answers);
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt => {
                interrupted = true;
                break;
            }
            () = sleep_until(end) => {
                in_time = matches!(plan.until, Until::For(_));
                break;
            }
            Some(look) = looked.recv() => {
                let is_deployments = matches!(look, Look::Deployments(_));
                let heard = note(plan, &mut tally, begin.elapsed().as_secs_f64(), look, &mut tell);
                let service = if is_deployments { &mut codedeploy } else { &mut cloudwatch };
                service.note(&heard);
                if let Err(fault) = heard {
                    if is_final(&fault) {
                        refused = Some(fault);
                        break;
                    }
                    // Nothing was seen, so nothing follows from it.
                    if is_deployments {
                        seen_at_end = None;
                    }
                    continue;
                }
                let seen = &tally.so_far().deployments;
                let over = !seen.is_empty() && seen.iter().all(Deploying::is_over);
                let is_expected = plan.expecting.is_some_and(|within| begin.elapsed() <= within);
                let none = seen.is_empty() && !is_expected && cloudwatch.blind().is_none();
                if !matches!(plan.until, Until::Done(_)) || !(over || none) {
                    seen_at_end = None;
                } else if is_deployments {
                    // The functions of a stack do not end at the same moment: look once more. And errors want a share.
                    match seen_at_end {
                        None => seen_at_end = Some(Instant::now()),
                        Some(since) if !wants_more(&tally, since) => {
                            in_time = true;
                            break;
                        }
                        Some(_) => {}
                    }
                }
            }
            _ = second.tick() => tell(News::Second(&tally, begin.elapsed().as_secs_f64())),
            Some((function, sample)) = sampled.recv() => tally.add(&function, &sample),
        }
    }
    looking.iter().for_each(tokio::task::JoinHandle::abort);
    tally.blind(codedeploy.blind().or_else(|| cloudwatch.blind()));
    // No new requests; those on their way are heard, or counted as unanswered.
    drop(stop);
    while !interrupted && let Some((function, sample)) = sampled.recv().await {
        tally.add(&function, &sample);
    }
    tally.ended(clock::now_rfc3339());
    let watched = tally.finish();
    let (verdict, cause) = watch::verdict(&watched, in_time, plan.terms);
    if interrupted {
        let cause = Some(so_far(&watched, verdict, cause));
        return Ended { watched, verdict: Verdict::Interrupted, cause, refused };
    }
    Ended { watched, verdict, cause, refused }
}

/// Whether there were errors, but too few requests to tell their share, and time for more.
fn wants_more(tally: &Tally, since: Instant) -> bool {
    let (sent, _) = tally.judged();
    // Errors of any time: those of a deployment say nothing of what comes after it, but ask for a look.
    let errors = tally.seconds().any(|second| second.errors > 0);
    errors && sent < ENOUGH && since.elapsed() < FOR_A_SHARE
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
    match look {
        Look::Deployments(now) => {
            let now = now.map_err(&mut refused)?;
            let before = tally.so_far().deployments.clone();
            for deploying in &now {
                let old = before.iter().find(|old| old.id == deploying.id);
                if old != Some(deploying) {
                    tell(News::Deployment(old, deploying));
                }
            }
            tally.deployments(at, now);
        }
        Look::Alarms(now) => {
            let now = now.map_err(&mut refused)?;
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
    }
    Ok(())
}

/// The pause after a look: a refusal makes it longer, since throttling ends by itself.
fn next_pause(before: Duration, pace: Duration, refused: bool) -> Duration {
    if refused { (before * 2).min(Duration::from_secs(60)) } else { pace }
}

/// Looks at the deployments again and again.
async fn look_at_deployments(plan: Plan, rollouts: Rollouts, looks: mpsc::Sender<Look>) {
    let since = clock::now().as_second();
    let mut known = BTreeSet::new();
    let mut finished: BTreeMap<String, Deploying> = BTreeMap::new();
    let mut pause = plan.pace;
    loop {
        let found = deployments(&plan, &rollouts, since, &mut known, &mut finished).await;
        pause = next_pause(pause, plan.pace, found.is_err());
        if looks.send(Look::Deployments(found)).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

/// Looks at the alarms again and again.
async fn look_at_alarms(plan: Plan, rollouts: Rollouts, looks: mpsc::Sender<Look>) {
    let mut pause = plan.pace;
    loop {
        let found = rollouts.alarms(&plan.alarms).await;
        pause = next_pause(pause, plan.pace, found.is_err());
        if looks.send(Look::Alarms(found)).await.is_err() {
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
