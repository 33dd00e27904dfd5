//! The alarm engine: evaluates the alarms of deployed stacks on what the edge recorded, in scaled time.
//!
//! The definitions are the emulator's, as the stacks made them; the states are written back to it, so that any client
//! sees them. The rules are [`crate::model::alarm`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::cloud::Cloud;
use super::comparison::{Comparison as Compared, Period};
use causeway_model::alarm::{Alarm, Comparison, Missing, State, Statistic};
use causeway_model::latency::{self, Course, Point, Unjudged};

/// How often alarms are looked at, in seconds of AWS.
const PACE: f64 = 10.0;
/// The shortest pause between two looks: the emulator has other things to do.
const SHORTEST: Duration = Duration::from_millis(50);
/// How many periods are made up for at most, after a look that came late.
const MOST_LATE: i64 = 1_000;
/// How long the end of a deployment waits for the alarms to be looked at once more.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// The states of alarms by account and name, and a bell for changes.
pub struct Alarms {
    states: Mutex<BTreeMap<(String, String), State>>,
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
        sleep(cloud.clock.wall(PACE).clamp(SHORTEST, Duration::from_secs(10))).await;
    }
}

/// Looks at every alarm of an account once.
async fn round(cloud: &Cloud, account: &str) -> anyhow::Result<()> {
    if !cloud.edges.has_any(account) {
        return Ok(());
    }
    // The time is read afterwards, since this takes a while: what is over by then is looked at.
    let definitions = definitions(cloud, account).await?;
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

/// The alarms of an account that rest on what the edge records, and the states the emulator has for them.
async fn definitions(cloud: &Cloud, account: &str) -> anyhow::Result<Vec<(Alarm, State)>> {
    let mut all = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut body = json!({"AlarmTypes": ["MetricAlarm"]});
        if !token.is_null() {
            body["NextToken"] = token;
        }
        let answer = cloud
            .emulator
            .json(account, "monitoring", "GraniteServiceVersion20100801.DescribeAlarms", &body)
            .await?;
        let alarms = answer.get("MetricAlarms").and_then(Value::as_array);
        for described in alarms.into_iter().flatten() {
            match definition(described) {
                Ok(found) => all.push(found),
                Err(why) => cloud.alarms.tell_unwatched(account, described, &why),
            }
        }
        token = answer.get("NextToken").cloned().unwrap_or(Value::Null);
        if token.is_null() {
            return Ok(all);
        }
    }
}

/// Why each of these alarms is watched by nobody here, though a deployment asks for it: for a warning, since such an
/// alarm never stops anything. `composites` are the names of the stack's composite alarms.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn unwatched(
    cloud: &Cloud,
    account: &str,
    names: &BTreeSet<String>,
    composites: &BTreeSet<String>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for name in names {
        let body = json!({"AlarmNames": [name], "AlarmTypes": ["MetricAlarm"]});
        let answer = cloud
            .emulator
            .json(account, "monitoring", "GraniteServiceVersion20100801.DescribeAlarms", &body)
            .await?;
        let found = answer.get("MetricAlarms").and_then(Value::as_array);
        let why = match found.and_then(|found| found.first()) {
            _ if composites.contains(name) => "it is a composite alarm".to_owned(),
            None => "there is no such alarm in the account".to_owned(),
            Some(described) => match definition(described) {
                Ok(_) => continue,
                Err(why) => why,
            },
        };
        all.push((name.clone(), why));
    }
    Ok(all)
}

/// An alarm as CloudWatch describes it, and its state.
///
/// # Errors
/// Why our metrics say nothing about it, such as metric math.
pub(super) fn definition(described: &Value) -> Result<(Alarm, State), String> {
    let text = |name: &str| described.get(name).and_then(Value::as_str);
    let number = |name: &str| described.get(name).and_then(Value::as_f64);
    if described.get("Metrics").and_then(Value::as_array).is_some_and(|metrics| !metrics.is_empty()) {
        return Err("it rests on metric math".to_owned());
    }
    let namespace = text("Namespace").unwrap_or_default();
    if !["AWS/Lambda", "AWS/ApiGateway"].contains(&namespace) {
        return Err(format!("metrics of {namespace:?} are not measured here"));
    }
    let mut dimensions: Vec<(String, String)> = described
        .get("Dimensions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|d| Some((d.get("Name")?.as_str()?.to_owned(), d.get("Value")?.as_str()?.to_owned())))
        .collect();
    dimensions.sort();
    let periods = number("EvaluationPeriods").map_or(1, |n| n as usize);
    let statistic = text("ExtendedStatistic").filter(|name| !name.is_empty()).or_else(|| text("Statistic"));
    let statistic = statistic.unwrap_or_default();
    let comparison = text("ComparisonOperator").unwrap_or_default();
    let alarm = Alarm {
        name: text("AlarmName").ok_or("it has no name")?.to_owned(),
        namespace: namespace.to_owned(),
        metric: text("MetricName").ok_or("it has no metric")?.to_owned(),
        dimensions,
        statistic: Statistic::parse(statistic)
            .ok_or_else(|| format!("the statistic {statistic:?} is not evaluated here"))?,
        period: number("Period").map_or(60, |n| n as u64).max(1),
        evaluation_periods: periods.max(1),
        datapoints_to_alarm: number("DatapointsToAlarm").map_or(periods, |n| n as usize).max(1),
        threshold: number("Threshold").ok_or("it has no fixed threshold")?,
        comparison: Comparison::parse(comparison)
            .ok_or_else(|| format!("the comparison {comparison:?} is not evaluated here"))?,
        missing: Missing::parse(text("TreatMissingData").unwrap_or_default()),
    };
    let state = match text("StateValue") {
        Some("OK") => State::Ok,
        Some("ALARM") => State::Raised,
        _ => State::InsufficientData,
    };
    Ok((alarm, state))
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
        _ => format!(
            "Threshold Crossed: datapoints [{}] against the threshold {}",
            values.join(", "),
            alarm.threshold
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Answered, Invocation, Metric};

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

    #[test]
    fn only_alarms_of_what_is_recorded_are_read() {
        let described = json!({"AlarmName": "a", "Namespace": "AWS/Lambda", "MetricName": "Duration", "ExtendedStatistic": "p99", "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 2000.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching", "StateValue": "OK", "Dimensions": [{"Name": "Resource", "Value": "f:live"}, {"Name": "FunctionName", "Value": "f"}]});
        let (alarm, state) = definition(&described).unwrap();
        assert_eq!(
            (alarm.statistic, alarm.evaluation_periods, alarm.datapoints_to_alarm, state),
            (Statistic::Percentile(99.0), 3, 2, State::Ok)
        );
        assert_eq!(alarm.dimensions[0].0, "FunctionName");
        for (name, value, why) in [
            ("Namespace", json!("Own"), "\"Own\" are not measured"),
            ("ComparisonOperator", json!("GreaterThanUpperThreshold"), "GreaterThanUpperThreshold"),
            ("Threshold", Value::Null, "threshold"),
            ("ExtendedStatistic", json!("tm99"), "tm99"),
            ("Metrics", json!([{"Id": "m1", "Expression": "m2 * 2"}]), "metric math"),
        ] {
            let mut other = described.clone();
            other[name] = value;
            let said = definition(&other).unwrap_err();
            assert!(said.contains(why), "{name}: {said}");
        }
    }

    /// The two neighbors in rank that a percentile lies between when it is interpolated, as the emulator does. Ours is
    /// one of them: the nearest rank.
    fn neighbors(values: &[f64], percent: f64) -> (f64, f64) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = percent / 100.0 * (sorted.len() - 1) as f64;
        (sorted[at.floor() as usize], sorted[at.ceil() as usize])
    }

    /// The emulator evaluates alarms on its own when data are put. It takes all of one span of time as one datapoint and
    /// knows no missing data, so M of N periods cannot be compared with it (the guide's tables are the oracle of those,
    /// in `model/alarm.rs`). It leaves dimensions aside, too, but not in its statistics. So it is an oracle of one
    /// period with data, and its statistics are one of what is recorded under which dimensions.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_emulators_own_evaluation_agrees() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let dir = tempfile::tempdir().unwrap();
        let paths = causeway_machine::paths::Paths::of(&root).with_local(dir.path());
        let venv = causeway_machine::install::venv(&paths, causeway_machine::install::Set::Local, &|_| {})
            .await
            .unwrap();
        let emulator = super::super::emulator::start(&venv, &paths, "eu-central-1").await.unwrap();
        let (client, account) = (&emulator.client, "111111111111");
        let call = async |name: &str, body: Value| {
            let target = format!("GraniteServiceVersion20100801.{name}");
            client.json(account, "monitoring", &target, &body).await.unwrap()
        };
        let statistics = ["Sum", "Average", "Minimum", "Maximum", "SampleCount", "p50", "p90", "p99"];
        let comparisons = [
            "GreaterThanOrEqualToThreshold",
            "GreaterThanThreshold",
            "LessThanThreshold",
            "LessThanOrEqualToThreshold",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        let (mut raised, mut fine, mut between) = (0, 0, 0);
        for (n, (statistic, comparison)) in
            statistics.iter().flat_map(|s| comparisons.iter().map(move |c| (s, c))).enumerate()
        {
            for round in 0..3 {
                let metric = format!("Errors{n}x{round}");
                let values: Vec<f64> = (0..random.usize(1..6)).map(|_| f64::from(random.u8(0..4))).collect();
                let threshold = f64::from(random.u8(0..6));
                let mut alarm = json!({"AlarmName": metric, "Namespace": "AWS/Lambda", "MetricName": metric,
                    "Period": 60, "EvaluationPeriods": 1, "Threshold": threshold,
                    "ComparisonOperator": comparison, "TreatMissingData": "notBreaching"});
                let percent: Option<f64> = statistic.strip_prefix('p').and_then(|number| number.parse().ok());
                let kind = if percent.is_some() { "ExtendedStatistic" } else { "Statistic" };
                alarm[kind] = (*statistic).into();
                call("PutMetricAlarm", alarm).await;
                // All data of a call are put before the alarms are evaluated.
                let data: Vec<Value> =
                    values.iter().map(|value| json!({"MetricName": metric, "Value": value})).collect();
                call("PutMetricData", json!({"Namespace": "AWS/Lambda", "MetricData": data})).await;
                let described = call("DescribeAlarms", json!({"AlarmNames": [metric]})).await;
                let (alarm, emulators) = definition(&described["MetricAlarms"][0]).unwrap();
                let breaches = alarm.statistic.of(&values).map(|value| alarm.breaches(value));
                let ours = alarm.decide(&[None, None, breaches], State::InsufficientData);
                if let Some(percent) = percent {
                    let (low, high) = neighbors(&values, percent);
                    if low < high && (low..=high).contains(&threshold) {
                        between += 1;
                        continue;
                    }
                }
                assert_eq!(ours, emulators, "{statistic} of {values:?} {comparison} {threshold}");
                if ours == State::Raised { raised += 1 } else { fine += 1 }
            }
        }
        assert!(raised >= 20 && fine >= 20, "both states were seen: {raised} {fine}");
        assert!(between < 20, "most thresholds lie where a percentile's kind does not matter: {between}");

        // The same invocations, recorded by us and put to the emulator, dimension by dimension.
        let metrics = crate::metrics::Metrics::default();
        let mut put: BTreeMap<Vec<(String, String)>, Vec<f64>> = BTreeMap::new();
        for n in 0..120_u32 {
            let (function, version) = if n % 3 == 0 { ("f", "4") } else { ("f", "3") };
            let millis = f64::from(random.u16(1..2_000));
            let answered = Answered { began: 0.0, account, api: "a", status: 200, millis, late: false };
            let call = Invocation { function, alias: Some("live"), version, failed: false, millis };
            metrics.record(f64::from(n) / 4.0, &answered, Some(&call));
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let own = pair("FunctionName", function);
            let alias = pair("Resource", "f:live");
            let sets = [
                vec![own.clone()],
                vec![own.clone(), alias.clone()],
                vec![pair("ExecutedVersion", version), own, alias],
            ];
            for dimensions in sets {
                put.entry(dimensions).or_default().push(millis);
            }
        }
        assert_eq!(put.len(), 4, "the function, its alias, and each version");
        let hour = causeway_machine::clock::now().as_second() / 3_600 * 3_600;
        let listed = |dimensions: &[(String, String)]| -> Vec<Value> {
            dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
        };
        for (dimensions, values) in &put {
            let datum = |value: &f64| json!({"MetricName": "Duration", "Value": value, "Timestamp": hour + 10, "Dimensions": listed(dimensions)});
            let data: Vec<Value> = values.iter().map(datum).collect();
            call("PutMetricData", json!({"Namespace": "AWS/Lambda", "MetricData": data})).await;
        }
        for dimensions in put.keys() {
            let metric = Metric {
                account: account.to_owned(),
                namespace: "AWS/Lambda".to_owned(),
                name: "Duration".to_owned(),
                dimensions: dimensions.clone(),
            };
            let ours = metrics.values(&metric, 60.0, 60.0, 1).concat();
            let theirs = call(
                "GetMetricStatistics",
                json!({"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": listed(dimensions), "Period": 3600,
                    "StartTime": hour, "EndTime": hour + 3_600, "Statistics": statistics[..5], "ExtendedStatistics": statistics[5..]}),
            )
            .await;
            let datapoint = &theirs["Datapoints"][0];
            for statistic in statistics {
                let own = Statistic::parse(statistic).unwrap().of(&ours).unwrap();
                match statistic.strip_prefix('p').map(|percent| percent.parse().unwrap()) {
                    None => {
                        let their = datapoint[statistic].as_f64().unwrap();
                        assert!((own - their).abs() < 1e-6, "{statistic} of {dimensions:?}: {own} {their}");
                    }
                    Some(percent) => {
                        let their = datapoint["ExtendedStatistics"][statistic].as_f64().unwrap();
                        let (low, high) = neighbors(&ours, percent);
                        assert!(
                            own == low || own == high,
                            "{statistic} of {dimensions:?}: {own} {low} {high}"
                        );
                        assert!((low..=high).contains(&their), "{statistic} of {dimensions:?}: {their}");
                    }
                }
            }
        }
        emulator.group.end().await;
    }
}
