//! The alarm engine: evaluates alarms on the metrics of the local cloud's CloudWatch ([`super::metrics`]) and on nothing
//! else, in scaled time.
//!
//! The definitions are the emulator's, as stacks and clients made them; the states are written back to it, so that any
//! client sees them. The rules are [`causeway_model::alarm`]'s. A state that a client sets is the alarm's state like any
//! other, and stays until the alarm is evaluated again.

mod definition;
#[cfg(test)]
mod second_opinion;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::cloud::Cloud;
use super::comparison::{Comparison as Compared, Period};
use super::shown;
use causeway_model::alarm::{Alarm, State};
use causeway_model::latency::{self, Course, Point, Unjudged};

#[cfg(test)]
pub(super) use definition::definition;
pub(super) use definition::unwatched;

/// How often alarms are looked at, in seconds of AWS.
const PACE: f64 = 10.0;
/// The shortest pause between two looks: the emulator has other things to do.
const SHORTEST: Duration = Duration::from_millis(50);
/// How many periods are made up for at most, after a look that came late.
const MOST_LATE: i64 = 1_000;
/// A state that a client set stays so long, in seconds of AWS: CloudWatch evaluates an alarm every minute
/// ("SetAlarmState" in the API reference: the alarm returns to its actual state quickly, often within seconds).
const HELD: f64 = 60.0;
/// How long the end of a deployment waits for the alarms to be looked at once more.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// The states of alarms by account and name, and a bell for changes.
pub struct Alarms {
    states: Mutex<BTreeMap<(String, String), State>>,
    /// Until when states that clients set stay, in seconds of AWS.
    held: Mutex<BTreeMap<(String, String), f64>>,
    /// The last period that was evaluated of each.
    evaluated: Mutex<BTreeMap<(String, String), i64>>,
    /// What the alarms of deployments in progress said so far.
    courses: Mutex<BTreeMap<(String, String), Followed>>,
    rounds: watch::Sender<Rounds>,
    /// Alarms that were said to be unwatched.
    told: Mutex<BTreeSet<(String, String)>>,
    bell: watch::Sender<u64>,
}

/// How many times all alarms were looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Rounds {
    begun: u64,
    done: u64,
}

/// An alarm in the course of a deployment.
#[derive(Debug, Clone, Default)]
struct Followed {
    alarm: Option<Alarm>,
    course: Course,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            states: Mutex::default(),
            held: Mutex::default(),
            evaluated: Mutex::default(),
            courses: Mutex::default(),
            rounds: watch::Sender::new(Rounds::default()),
            told: Mutex::default(),
            bell: watch::Sender::new(0),
        }
    }
}

impl Alarms {
    fn states(&self) -> MutexGuard<'_, BTreeMap<(String, String), State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of these alarms that is in ALARM.
    pub fn raised(&self, account: &str, names: &[String]) -> Option<String> {
        let states = self.states();
        names
            .iter()
            .find(|name| states.get(&(account.to_owned(), (*name).clone())) == Some(&State::Raised))
            .cloned()
    }

    /// Rings whenever a state changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Says in the log, once, that an alarm is not evaluated here.
    fn tell_unwatched(&self, account: &str, described: &Value, why: &str) {
        let name = described.get("AlarmName").and_then(Value::as_str).unwrap_or_default();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert((account.to_owned(), name.to_owned())) {
            tracing::warn!(account, alarm = name, why, "an alarm that is not evaluated here");
        }
    }

    /// Sets states, and rings where there are any.
    pub(super) fn set_all<'a>(&self, account: &str, changes: impl Iterator<Item = (&'a str, State)>) {
        let mut states = self.states();
        let mut any = false;
        for (name, state) in changes {
            states.insert((account.to_owned(), name.to_owned()), state);
            any = true;
        }
        drop(states);
        if any {
            self.bell.send_modify(|count| *count += 1);
        }
    }

    /// A client sets a state, at a time in seconds of AWS. Whoever is stopped by the alarm is stopped by this, too.
    pub(super) fn set_by_client(&self, account: &str, name: &str, state: State, now: f64) {
        let key = (account.to_owned(), name.to_owned());
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now + HELD);
        self.set_all(account, std::iter::once((name, state)));
    }

    /// Whether a state that a client set still stays.
    fn is_held(&self, account: &str, name: &str, now: f64) -> bool {
        let key = (account.to_owned(), name.to_owned());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = held.get(&key).is_some_and(|until| now < *until);
        if !stays {
            held.remove(&key);
        }
        stays
    }

    fn get(&self, account: &str, name: &str) -> Option<State> {
        self.states().get(&(account.to_owned(), name.to_owned())).copied()
    }

    fn courses(&self) -> MutexGuard<'_, BTreeMap<(String, String), Followed>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A deployment with these alarms begins: what they say is counted from now on.
    pub fn begin(&self, account: &str, names: &[String]) {
        let mut courses = self.courses();
        for name in names {
            courses.insert((account.to_owned(), name.clone()), Followed::default());
        }
    }

    /// What each of these alarms said since its deployment began; those that nobody evaluates are left out.
    pub fn courses_of(&self, account: &str, names: &[String]) -> Vec<(Alarm, Course)> {
        let courses = self.courses();
        let own = names.iter().filter_map(|name| courses.get(&(account.to_owned(), name.clone())));
        own.filter_map(|followed| Some((followed.alarm.clone()?, followed.course.clone()))).collect()
    }

    /// Counts what the latest period said of a new version, where a deployment follows the alarm.
    fn follow(&self, account: &str, alarm: &Alarm, latest: Option<&Period>) {
        if let Some(followed) = self.courses().get_mut(&(account.to_owned(), alarm.name.clone())) {
            followed.alarm = Some(alarm.clone());
            if let Some(period) = latest.filter(|period| period.of_new) {
                followed.course.add(&period.point);
            }
        }
    }

    /// The periods that are to be evaluated now, by their number: every one that ended since the last look, since a look
    /// that comes late must not pass over a period; at least the latest one, which is new or not.
    fn due(&self, account: &str, alarm: &Alarm, now: f64) -> Vec<(i64, bool)> {
        let latest = (now / alarm.period as f64).floor() as i64;
        let evaluated = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
        match evaluated.get(&(account.to_owned(), alarm.name.clone())) {
            Some(last) if *last < latest => {
                ((last + 1).max(latest - MOST_LATE)..=latest).map(|n| (n, true)).collect()
            }
            Some(_) => vec![(latest, false)],
            None => vec![(latest, true)],
        }
    }

    fn evaluated(&self, account: &str, alarm: &Alarm, period: i64) {
        let mut evaluated = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
        evaluated.insert((account.to_owned(), alarm.name.clone()), period);
    }

    /// Waits until all alarms were looked at once more; whether they were. At once where nobody looks at them.
    pub async fn settled(&self) -> bool {
        let mut rounds = self.rounds.subscribe();
        let begun = rounds.borrow().begun;
        if begun == 0 {
            return true;
        }
        let later = rounds.wait_for(|rounds| rounds.done > begun);
        tokio::time::timeout(SETTLED_WITHIN, later).await.is_ok_and(|waited| waited.is_ok())
    }
}

/// Evaluates all alarms of all accounts, for as long as the cloud runs.
pub(crate) async fn run(cloud: Arc<Cloud>) {
    let accounts: Vec<String> = cloud.state().accounts.values().cloned().collect();
    loop {
        cloud.alarms.rounds.send_modify(|rounds| rounds.begun += 1);
        let mut all = true;
        for account in &accounts {
            if let Err(error) = round(&cloud, account).await {
                tracing::warn!(account, "evaluate the alarms: {error:#}");
                all = false;
            }
        }
        if all {
            cloud.alarms.rounds.send_modify(|rounds| rounds.done = rounds.begun);
        }
        if shown::is_due(&cloud.metrics)
            && let Err(error) = shown::show(&cloud).await
        {
            tracing::warn!("{error:#}: clients do not see all that was measured");
        }
        sleep(cloud.clock.wall(PACE).clamp(SHORTEST, Duration::from_secs(10))).await;
    }
}

/// Looks at every alarm of an account once.
async fn round(cloud: &Cloud, account: &str) -> anyhow::Result<()> {
    if !cloud.edges.has_any(account) {
        return Ok(());
    }
    // The time is read afterwards, since this takes a while: what is over by then is looked at.
    let definitions = definition::definitions(cloud, account).await?;
    let now = cloud.clock.seconds();
    look(cloud, account, definitions, now).await
}

/// Evaluates alarms at a time, in seconds of AWS, given what the emulator says of their states.
pub(super) async fn look(
    cloud: &Cloud,
    account: &str,
    definitions: Vec<(Alarm, State)>,
    now: f64,
) -> anyhow::Result<()> {
    let comparison = Compared { metrics: &cloud.metrics, deployments: &cloud.deployments, account };
    let mut changes = Vec::new();
    for (alarm, told) in definitions {
        // The periods that pass meanwhile are evaluated afterwards.
        if cloud.alarms.is_held(account, &alarm.name, now) {
            continue;
        }
        let before = cloud.alarms.get(account, &alarm.name).unwrap_or(told);
        let (mut state, mut reason) = (before, String::new());
        for (period, is_new) in cloud.alarms.due(account, &alarm, now) {
            let periods = comparison.periods(&alarm, period as f64 * alarm.period as f64);
            let points: Vec<Point> = periods.iter().map(|period| period.point.clone()).collect();
            let (found, unjudged) = latency::state(&alarm, &points, state);
            cloud.alarms.follow(account, &alarm, periods.last().filter(|_| is_new));
            if is_new {
                cloud.alarms.evaluated(account, &alarm, period);
            }
            (state, reason) = (found, reason_for(&alarm, &periods, found, unjudged.as_ref()));
            // Whoever waits for it hears of it, though it may have cleared since; the periods after it come next.
            if state == State::Raised && before != State::Raised {
                break;
            }
        }
        if state == told && cloud.alarms.get(account, &alarm.name) == Some(state) {
            continue;
        }
        if state != before && [state, before].contains(&State::Raised) {
            tracing::info!(account, alarm = alarm.name, state = state.word(), reason, "alarm");
            cloud.tell_alarm(account, &alarm.name, state, &reason);
        }
        changes.push((alarm.name, told, state, reason));
    }
    // All at once: a deployment that several of them concern hears of all of them.
    cloud.alarms.set_all(account, changes.iter().map(|(name, _, state, _)| (name.as_str(), *state)));
    for (name, _, state, reason) in changes.iter().filter(|(_, told, state, _)| state != told) {
        let body = json!({"AlarmName": name, "StateValue": state.word(), "StateReason": reason});
        cloud
            .emulator
            .json(account, "monitoring", "GraniteServiceVersion20100801.SetAlarmState", &body)
            .await?;
    }
    Ok(())
}

/// Why an alarm is in its state, in CloudWatch's manner; where the state is not CloudWatch's, that is said.
fn reason_for(alarm: &Alarm, periods: &[Period], state: State, unjudged: Option<&Unjudged>) -> String {
    let values: Vec<String> = periods
        .iter()
        .rev()
        .take(alarm.evaluation_periods)
        .filter_map(|period| period.value)
        .map(|value| format!("{value}"))
        .collect();
    match (state, unjudged, values.is_empty()) {
        (_, Some(why), _) => format!("no verdict: {why}"),
        (State::InsufficientData, None, _) => "Insufficient Data".to_owned(),
        (_, _, true) => "no datapoints were received and missing data is treated so".to_owned(),
        _ => {
            let crossed = state == State::Raised;
            let datapoints = if values.len() == 1 { "datapoint" } else { "datapoints" };
            format!(
                "Threshold Crossed: {} {datapoints} [{}] {} {} the threshold ({})",
                values.len(),
                values.join(", "),
                if values.len() == 1 { "was" } else { "were" },
                alarm.comparison.words(crossed),
                alarm.threshold
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever ends a deployment waits for a round that began afterwards, and for no clock.
    #[tokio::test]
    async fn the_end_of_a_deployment_waits_for_a_whole_round() {
        let alarms = Arc::new(Alarms::default());
        assert!(alarms.settled().await, "nobody looks at them");
        let set = |begun, done| alarms.rounds.send_modify(|rounds| *rounds = Rounds { begun, done });
        let waits = || {
            let alarms = Arc::clone(&alarms);
            tokio::spawn(async move { alarms.settled().await })
        };
        set(3, 2);
        let waiting = waits();
        for (begun, done) in [(3, 3), (4, 3)] {
            tokio::task::yield_now().await;
            set(begun, done);
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished(), "{begun} {done}: that round had begun before");
        }
        set(4, 4);
        assert!(waiting.await.unwrap());
    }
}
