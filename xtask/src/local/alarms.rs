//! The alarm engine: evaluates the alarms of deployed stacks on what the edge recorded, in scaled time.
//!
//! The definitions are the emulator's, as the stacks made them; the states are written back to it, so that any client
//! sees them. The rules are [`crate::model::alarm`]'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::cloud::Cloud;
use super::metrics::Metric;
use crate::model::alarm::{Alarm, Comparison, Missing, State, Statistic};

/// How often alarms are looked at, in seconds of AWS.
const PACE: f64 = 10.0;
/// The shortest pause between two looks: the emulator has other things to do.
const SHORTEST: Duration = Duration::from_millis(50);

/// The states of alarms by account and name, and a bell for changes.
pub(crate) struct Alarms {
    states: Mutex<BTreeMap<(String, String), State>>,
    bell: watch::Sender<u64>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { states: Mutex::default(), bell: watch::Sender::new(0) }
    }
}

impl Alarms {
    fn states(&self) -> MutexGuard<'_, BTreeMap<(String, String), State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of these alarms that is in ALARM.
    pub(crate) fn raised(&self, account: &str, names: &[String]) -> Option<String> {
        let states = self.states();
        names
            .iter()
            .find(|name| states.get(&(account.to_owned(), (*name).clone())) == Some(&State::Raised))
            .cloned()
    }

    /// Rings whenever a state changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    fn set(&self, account: &str, name: &str, state: State) {
        self.states().insert((account.to_owned(), name.to_owned()), state);
        self.bell.send_modify(|count| *count += 1);
    }

    fn get(&self, account: &str, name: &str) -> Option<State> {
        self.states().get(&(account.to_owned(), name.to_owned())).copied()
    }
}

/// Evaluates all alarms of all accounts, for as long as the cloud runs.
pub(crate) async fn run(cloud: Arc<Cloud>) {
    let accounts: Vec<String> = cloud.state().accounts.values().cloned().collect();
    loop {
        for account in &accounts {
            if let Err(error) = round(&cloud, account).await {
                tracing::warn!(account, "evaluate the alarms: {error:#}");
            }
        }
        sleep(cloud.clock.wall(PACE).clamp(SHORTEST, Duration::from_secs(10))).await;
    }
}

/// Looks at every alarm of an account once.
async fn round(cloud: &Cloud, account: &str) -> anyhow::Result<()> {
    if !cloud.edges.has_any(account) {
        return Ok(());
    }
    let now = cloud.clock.seconds();
    for (alarm, told) in definitions(cloud, account).await? {
        let before = cloud.alarms.get(account, &alarm.name).unwrap_or(told);
        let metric = Metric {
            account: account.to_owned(),
            namespace: alarm.namespace.clone(),
            name: alarm.metric.clone(),
            dimensions: alarm.dimensions.clone(),
        };
        let periods = cloud.metrics.periods(&metric, now, alarm.period as f64, alarm.range());
        let values: Vec<Option<f64>> = periods.iter().map(|values| alarm.statistic.of(values)).collect();
        let state = alarm.evaluate(&values, before);
        if state == told && cloud.alarms.get(account, &alarm.name) == Some(state) {
            continue;
        }
        let reason = reason(&alarm, &values, state);
        if state != told {
            let body = json!({"AlarmName": alarm.name, "StateValue": state.word(), "StateReason": reason});
            cloud
                .emulator
                .json(account, "monitoring", "GraniteServiceVersion20100801.SetAlarmState", &body)
                .await?;
        }
        if state != before && [state, before].contains(&State::Raised) {
            tracing::info!(account, alarm = alarm.name, state = state.word(), reason, "alarm");
            cloud.tell_alarm(account, &alarm.name, state, &reason);
        }
        cloud.alarms.set(account, &alarm.name, state);
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
        all.extend(alarms.into_iter().flatten().filter_map(definition));
        token = answer.get("NextToken").cloned().unwrap_or(Value::Null);
        if token.is_null() {
            return Ok(all);
        }
    }
}

/// An alarm as CloudWatch describes it; `None` for one that our metrics say nothing about, such as metric math.
fn definition(described: &Value) -> Option<(Alarm, State)> {
    let text = |name: &str| described.get(name).and_then(Value::as_str);
    let number = |name: &str| described.get(name).and_then(Value::as_f64);
    let namespace =
        text("Namespace").filter(|namespace| ["AWS/Lambda", "AWS/ApiGateway"].contains(namespace))?;
    let mut dimensions: Vec<(String, String)> = described
        .get("Dimensions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|d| Some((d.get("Name")?.as_str()?.to_owned(), d.get("Value")?.as_str()?.to_owned())))
        .collect();
    dimensions.sort();
    let periods = number("EvaluationPeriods").map_or(1, |n| n as usize);
    let statistic =
        text("ExtendedStatistic").filter(|name| !name.is_empty()).or_else(|| text("Statistic"))?;
    let alarm = Alarm {
        name: text("AlarmName")?.to_owned(),
        namespace: namespace.to_owned(),
        metric: text("MetricName")?.to_owned(),
        dimensions,
        statistic: Statistic::parse(statistic)?,
        period: number("Period").map_or(60, |n| n as u64).max(1),
        evaluation_periods: periods.max(1),
        datapoints_to_alarm: number("DatapointsToAlarm").map_or(periods, |n| n as usize).max(1),
        threshold: number("Threshold")?,
        comparison: Comparison::parse(text("ComparisonOperator")?)?,
        missing: Missing::parse(text("TreatMissingData").unwrap_or_default()),
    };
    let state = match text("StateValue") {
        Some("OK") => State::Ok,
        Some("ALARM") => State::Raised,
        _ => State::InsufficientData,
    };
    Some((alarm, state))
}

/// Why an alarm is in its state, in CloudWatch's manner.
fn reason(alarm: &Alarm, values: &[Option<f64>], state: State) -> String {
    let latest: Vec<String> = values
        .iter()
        .rev()
        .take(alarm.evaluation_periods)
        .flatten()
        .map(|value| format!("{value}"))
        .collect();
    match (state, latest.is_empty()) {
        (State::InsufficientData, _) => "Insufficient Data".to_owned(),
        (_, true) => "no datapoints were received and missing data is treated so".to_owned(),
        _ => format!(
            "Threshold Crossed: datapoints [{}] against the threshold {}",
            latest.join(", "),
            alarm.threshold
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alarms_of_what_is_recorded_are_read() {
        let described = json!({"AlarmName": "a", "Namespace": "AWS/Lambda", "MetricName": "Duration", "ExtendedStatistic": "p99", "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 2000.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching", "StateValue": "OK", "Dimensions": [{"Name": "Resource", "Value": "f:live"}, {"Name": "FunctionName", "Value": "f"}]});
        let (alarm, state) = definition(&described).unwrap();
        assert_eq!(
            (alarm.statistic, alarm.evaluation_periods, alarm.datapoints_to_alarm, state),
            (Statistic::Percentile(99.0), 3, 2, State::Ok)
        );
        assert_eq!(alarm.dimensions[0].0, "FunctionName");
        for (name, value) in [
            ("Namespace", json!("Own")),
            ("ComparisonOperator", json!("GreaterThanUpperThreshold")),
            ("Threshold", Value::Null),
            ("ExtendedStatistic", json!("tm99")),
        ] {
            let mut other = described.clone();
            other[name] = value;
            assert!(definition(&other).is_none(), "{name}");
        }
    }
}
