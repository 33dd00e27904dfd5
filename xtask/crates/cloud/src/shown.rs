//! What clients see of the metrics: they are put into the emulator's CloudWatch, which knows every protocol and asks every
//! client for its rights. It evaluates nothing.
//!
//! Clients see the wall's time: what a minute of AWS measured lies in the seconds that it took here. Values are put when
//! somebody asks for them, and before that only when there are many: a rehearsal that nobody looks into pays nothing.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::metrics::{Metrics, Shown};

/// So many values are put without anybody asking for them.
const MANY: usize = 100_000;
/// How many values of a metric one call may have, and how many metrics ("PutMetricData" in the API reference).
const VALUES: usize = 150;
const DATA: usize = 1_000;

/// A metric's name, dimensions and unit, and the second of its values.
type Series<'a> = (&'a str, &'a [(String, String)], &'a str, i64);

/// Shows all that was measured until now. Who comes while it is being shown waits for it.
///
/// # Errors
/// The emulator does not take it; it is lost to clients, and the alarms have it.
pub(crate) async fn show(cloud: &Cloud) -> anyhow::Result<()> {
    let _showing = cloud.metrics.showing.lock().await;
    let unseen = cloud.metrics.take_unseen();
    for (account, body) in calls(&unseen) {
        cloud
            .emulator
            .json(account, "monitoring", "GraniteServiceVersion20100801.PutMetricData", &body)
            .await
            .context("show what was measured")?;
    }
    Ok(())
}

/// Whether so much was measured that it is to be shown though nobody asks.
pub(crate) fn is_due(metrics: &Metrics) -> bool {
    metrics.count_unseen() >= MANY
}

/// The calls that put values: account and body.
fn calls(unseen: &[Shown]) -> Vec<(&str, Value)> {
    let mut all: BTreeMap<(&str, &str), BTreeMap<Series<'_>, Vec<f64>>> = BTreeMap::new();
    for Shown { metric, unit, timestamp, value } in unseen {
        let series =
            (metric.name.as_str(), metric.dimensions.as_slice(), unit.as_str(), timestamp.div_euclid(1_000));
        let account = all.entry((&metric.account, &metric.namespace)).or_default();
        account.entry(series).or_default().push(*value);
    }
    let mut calls = Vec::new();
    for ((account, namespace), series) in all {
        let data: Vec<Value> = series.into_iter().flat_map(|(series, values)| data(series, values)).collect();
        for part in data.chunks(DATA) {
            calls.push((account, json!({"Namespace": namespace, "MetricData": part})));
        }
    }
    calls
}

/// The values of a metric within a second: each distinct one with how often it came.
fn data((name, dimensions, unit, second): Series<'_>, mut values: Vec<f64>) -> Vec<Value> {
    values.sort_by(f64::total_cmp);
    let mut counted: Vec<(f64, u32)> = Vec::new();
    for value in values {
        match counted.last_mut() {
            Some((last, count)) if last.total_cmp(&value).is_eq() => *count += 1,
            _ => counted.push((value, 1)),
        }
    }
    let dimensions: Vec<Value> =
        dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    let datum = |part: &[(f64, u32)]| {
        let (values, counts): (Vec<f64>, Vec<u32>) = part.iter().copied().unzip();
        json!({"MetricName": name, "Dimensions": dimensions, "Unit": unit, "Timestamp": second,
            "Values": values, "Counts": counts})
    };
    counted.chunks(VALUES).map(datum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metric;

    #[test]
    fn every_value_is_put_once_and_no_call_is_too_large() {
        let metric = |account: &str, name: &str| Metric {
            account: account.to_owned(),
            namespace: "Own".to_owned(),
            name: name.to_owned(),
            dimensions: vec![("F".to_owned(), "f".to_owned())],
        };
        let shown = |metric: Metric, timestamp: i64, value: f64| Shown {
            metric,
            unit: "Count".to_owned(),
            timestamp,
            value,
        };
        let mut unseen = vec![
            shown(metric("1", "a"), 5_001, 0.0),
            shown(metric("1", "a"), 5_999, 1.0),
            shown(metric("1", "a"), 5_002, 0.0),
            shown(metric("2", "a"), 5_000, 7.0),
            shown(metric("1", "a"), 6_000, 1.0),
        ];
        let found = calls(&unseen);
        let datum = |second: i64, values: Value, counts: Value| {
            json!({"MetricName": "a", "Dimensions": [{"Name": "F", "Value": "f"}], "Unit": "Count",
                "Timestamp": second, "Values": values, "Counts": counts})
        };
        let own = json!({"Namespace": "Own", "MetricData": [
            datum(5, json!([0.0, 1.0]), json!([2, 1])), datum(6, json!([1.0]), json!([1]))]});
        let other = json!({"Namespace": "Own", "MetricData": [datum(5, json!([7.0]), json!([1]))]});
        assert_eq!(found, [("1", own), ("2", other)]);
        unseen = (0..1_200).map(|n| shown(metric("1", &format!("m{n}")), 0, 1.0)).collect();
        unseen.extend((0..400_i32).map(|n| shown(metric("1", "many"), 0, f64::from(n))));
        let found = calls(&unseen);
        let sizes: Vec<usize> =
            found.iter().map(|(_, body)| body["MetricData"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [1_000, 203]);
        let counted: usize = found
            .iter()
            .flat_map(|(_, body)| body["MetricData"].as_array().unwrap().clone())
            .inspect(|datum| assert!(datum["Values"].as_array().unwrap().len() <= VALUES))
            .map(|datum| datum["Values"].as_array().unwrap().len())
            .sum();
        assert_eq!(counted, 1_600);
    }
}
