//! Which alarms are evaluated here: what CloudWatch's description of one says, and why some are not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cloud::Cloud;
use causeway_model::alarm::{Alarm, Comparison, Missing, State, Statistic};

/// The alarms of an account that rest on what the edge records, and the states the emulator has for them.
pub(super) async fn definitions(cloud: &Cloud, account: &str) -> anyhow::Result<Vec<(Alarm, State)>> {
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
/// alarm never stops anything. `unevaluated` are those of the stack that the emulator does not have.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn unwatched(
    cloud: &Cloud,
    account: &str,
    names: &BTreeSet<String>,
    unevaluated: &BTreeMap<String, &'static str>,
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
            _ if unevaluated.contains_key(name) => {
                unevaluated.get(name).copied().unwrap_or_default().to_owned()
            }
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
pub(crate) fn definition(described: &Value) -> Result<(Alarm, State), String> {
    let text = |name: &str| described.get(name).and_then(Value::as_str);
    let number = |name: &str| described.get(name).and_then(Value::as_f64);
    if described.get("Metrics").and_then(Value::as_array).is_some_and(|metrics| !metrics.is_empty()) {
        return Err("it rests on metric math".to_owned());
    }
    let namespace = text("Namespace").unwrap_or_default();
    // What AWS's services measure is measured here of these two alone; any other namespace is whoever's who puts data there.
    if namespace.starts_with("AWS/") && !["AWS/Lambda", "AWS/ApiGateway"].contains(&namespace) {
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
        for (name, value, why) in [
            ("Namespace", json!("AWS/DynamoDB"), "\"AWS/DynamoDB\" are not measured"),
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
}
