//! Which alarms are evaluated here: what CloudWatch's description of one says, and why some are not.

use std::collections::BTreeMap;

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
/// A namespace, its metrics, and the sets of dimensions under which they are measured.
type Measured = (&'static str, &'static [&'static str], &'static [&'static [&'static str]]);

/// What AWS's own metrics here are: by namespace, their names and the sets of dimensions under which they are kept.
///
/// Source: "Types of metrics for Lambda functions", "Monitor CloudWatch metrics for HTTP APIs" and "Amazon API Gateway
/// dimensions and metrics", which are those of a REST API.
const MEASURED: [Measured; 3] = [
    (
        "AWS/Lambda",
        &["Invocations", "Errors", "Duration", "Throttles"],
        &[&["FunctionName"], &["FunctionName", "Resource"], &["ExecutedVersion", "FunctionName", "Resource"]],
    ),
    (
        "AWS/ApiGateway",
        &["Count", "4xx", "5xx", "Latency", "IntegrationLatency"],
        &[&["ApiId"], &["ApiId", "Stage"]],
    ),
    (
        "AWS/ApiGateway",
        &["Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"],
        &[&["ApiName"], &["ApiName", "Stage"]],
    ),
];

/// Why each of these alarms cannot stop the deployment that asks for it, for a warning: nobody here watches it, or the shift,
/// of so many minutes, is over before it can ring. `unevaluated` are those of the stack that the emulator does not have.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn unwatched(
    cloud: &Cloud,
    account: &str,
    names: &BTreeMap<String, u32>,
    unevaluated: &BTreeMap<String, &'static str>,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    let nobody = |name: &str, why: &str| {
        format!("the alarm {name} of the deployment is watched by nobody here, so it stops nothing: {why}")
    };
    for (name, minutes) in names {
        if let Some(why) = unevaluated.get(name) {
            all.push(nobody(name, why));
            continue;
        }
        let body = json!({"AlarmNames": [name], "AlarmTypes": ["MetricAlarm"]});
        let answer = cloud
            .emulator
            .json(account, "monitoring", "GraniteServiceVersion20100801.DescribeAlarms", &body)
            .await?;
        let found = answer.get("MetricAlarms").and_then(Value::as_array);
        let message = match found.and_then(|found| found.first()) {
            None => nobody(name, "there is no such alarm in the account"),
            Some(described) => match definition(described) {
                Ok((alarm, _)) => match too_late(&alarm, *minutes) {
                    Some(message) => message,
                    None => continue,
                },
                Err(why) => nobody(name, &why),
            },
        };
        all.push(message);
    }
    Ok(all)
}

/// What to say of an alarm that cannot ring within a shift of so many minutes. A shift of none is nobody's mistake: all of the
/// traffic moves at once, and whoever chose that knows.
fn too_late(alarm: &Alarm, minutes: u32) -> Option<String> {
    let (within, shift) = (alarm.rings_within(), u64::from(minutes) * 60);
    (shift > 0 && within > shift).then(|| {
        format!(
            "the alarm {} cannot stop the deployment: it rings within {within} s (its periods, and two minutes until their data are there and looked at), and the shift is over after {shift} s; shorten its periods or lengthen the shift",
            alarm.name
        )
    })
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
    if namespace.starts_with("AWS/") && !MEASURED.iter().any(|(name, ..)| *name == namespace) {
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
    let metric = text("MetricName").ok_or("it has no metric")?;
    let of_service: Vec<&Measured> = MEASURED.iter().filter(|(name, ..)| *name == namespace).collect();
    if !of_service.is_empty() {
        let mut kept = of_service.iter().filter(|(_, metrics, _)| metrics.contains(&metric)).peekable();
        if kept.peek().is_none() {
            return Err(format!("the metric {metric:?} of {namespace:?} is not measured here"));
        }
        let own: Vec<&str> = dimensions.iter().map(|(name, _)| name.as_str()).collect();
        if !kept.any(|(.., sets)| sets.contains(&own.as_slice())) {
            let own = own.join(", ");
            return Err(format!("{metric:?} of {namespace:?} has no data under the dimensions [{own}] here"));
        }
    }
    let periods = number("EvaluationPeriods").map_or(1, |n| n as usize);
    let statistic = text("ExtendedStatistic").filter(|name| !name.is_empty()).or_else(|| text("Statistic"));
    let statistic = statistic.unwrap_or_default();
    let comparison = text("ComparisonOperator").unwrap_or_default();
    let alarm = Alarm {
        name: text("AlarmName").ok_or("it has no name")?.to_owned(),
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::{Answered, Invocation, Metrics};

    /// Every name and dimension under which the edge's answers are kept is one that alarms are read of, and no other is.
    #[test]
    fn alarms_on_whatever_is_recorded_are_read() {
        let metrics = Metrics::default();
        let call = Invocation {
            function: "f",
            alias: Some("live"),
            version: "1",
            failed: false,
            throttled: false,
            millis: 1.0,
        };
        for rest in [None, Some("shop")] {
            let answered = Answered {
                began: 0.0,
                account: "1",
                api: "a",
                rest,
                stage: "live",
                status: 200,
                millis: 1.0,
                late: false,
            };
            metrics.record(1.0, &answered, Some(&call));
        }
        let recorded: BTreeSet<(String, String, Vec<String>)> = metrics
            .take_unseen()
            .into_iter()
            .map(|shown| {
                let names = shown.metric.dimensions.into_iter().map(|(name, _)| name).collect();
                (shown.metric.namespace, shown.metric.name, names)
            })
            .collect();
        let services: BTreeSet<&str> = recorded.iter().map(|(service, ..)| service.as_str()).collect();
        let names: BTreeSet<&str> = recorded.iter().map(|(_, name, _)| name.as_str()).collect();
        let sets: BTreeSet<&Vec<String>> = recorded.iter().map(|(.., set)| set).collect();
        for service in services {
            for name in &names {
                for set in &sets {
                    let dimensions: Vec<Value> =
                        set.iter().map(|name| json!({"Name": name, "Value": "x"})).collect();
                    let described = json!({"AlarmName": "a", "Namespace": service, "MetricName": name, "Dimensions": dimensions, "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"});
                    let kept = recorded.contains(&(service.to_owned(), (*name).to_owned(), (*set).clone()));
                    assert_eq!(
                        definition(&described).is_ok(),
                        kept,
                        "{service} {name} {set:?}: {:?}",
                        definition(&described).err()
                    );
                }
            }
        }
    }

    #[test]
    fn an_alarm_that_rings_after_the_shift_is_told() {
        let mut described = json!({"AlarmName": "a", "Namespace": "Own", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 3, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"});
        let told = |described: &Value, minutes| too_late(&definition(described).unwrap().0, minutes);
        for (minutes, late) in [(0, false), (4, true), (5, false), (9, false)] {
            assert_eq!(told(&described, minutes).is_some(), late, "{minutes}");
        }
        described["Period"] = json!(300);
        let said = told(&described, 9).unwrap();
        assert!(said.contains("the alarm a ") && said.contains("1020 s") && said.contains("540 s"), "{said}");
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
            ("Namespace", json!("AWS/DynamoDB"), "\"AWS/DynamoDB\" are not measured"),
            ("ComparisonOperator", json!("GreaterThanUpperThreshold"), "GreaterThanUpperThreshold"),
            ("Threshold", Value::Null, "threshold"),
            ("ExtendedStatistic", json!("tm99"), "tm99"),
            (
                "MetricName",
                json!("ConcurrentExecutions"),
                "\"ConcurrentExecutions\" of \"AWS/Lambda\" is not measured",
            ),
            (
                "Dimensions",
                json!([{"Name": "Resource", "Value": "f:live"}]),
                "\"Duration\" of \"AWS/Lambda\" has no data under the dimensions [Resource]",
            ),
            ("Dimensions", json!([]), "no data under the dimensions []"),
            ("Metrics", json!([{"Id": "m1", "Expression": "m2 * 2"}]), "metric math"),
        ] {
            let mut other = described.clone();
            other[name] = value;
            let said = definition(&other).unwrap_err();
            assert!(said.contains(why), "{name}: {said}");
        }
    }
}
