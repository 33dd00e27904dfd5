//! The emulator's own evaluation of alarms, and its statistics, beside ours.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::definition;
use crate::metrics::{Answered, Invocation, Metric};
use causeway_model::alarm::{State, Statistic};

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
    let emulator = crate::emulator::start_whole(&venv, &paths, "eu-central-1").await.unwrap();
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
            let mut alarm = json!({"AlarmName": metric, "Namespace": "Own", "MetricName": metric,
                "Period": 60, "EvaluationPeriods": 1, "Threshold": threshold,
                "ComparisonOperator": comparison, "TreatMissingData": "notBreaching"});
            let percent: Option<f64> = statistic.strip_prefix('p').and_then(|number| number.parse().ok());
            let kind = if percent.is_some() { "ExtendedStatistic" } else { "Statistic" };
            alarm[kind] = (*statistic).into();
            call("PutMetricAlarm", alarm).await;
            // All data of a call are put before the alarms are evaluated.
            let data: Vec<Value> =
                values.iter().map(|value| json!({"MetricName": metric, "Value": value})).collect();
            call("PutMetricData", json!({"Namespace": "Own", "MetricData": data})).await;
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
        let answered = Answered::http(account, "a", 200, millis);
        let call =
            Invocation { function, alias: Some("live"), version, failed: false, throttled: false, millis };
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
                    assert!(own == low || own == high, "{statistic} of {dimensions:?}: {own} {low} {high}");
                    assert!((low..=high).contains(&their), "{statistic} of {dimensions:?}: {their}");
                }
            }
        }
    }
    emulator.group.end().await;
}
