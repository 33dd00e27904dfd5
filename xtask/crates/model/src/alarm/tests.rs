//! Alarms against tables: what each datum, missing data and thresholds come to.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

impl Alarm {
    /// The state, given the value of each period.
    fn evaluate(&self, values: &[Option<f64>], before: State) -> State {
        let points: Vec<Option<bool>> =
            values.iter().map(|value| value.map(|value| self.breaches(value))).collect();
        self.decide(&points, before)
    }
}

#[test]
fn alarms_that_a_deployment_names_can_stop_it_and_no_others() {
    let stopping = |alarms: Value| {
        let function = json!({"Properties": {"DeploymentPreference": {"Alarms": alarms}}});
        Stopping::of(&json!({"Resources": {"F": function, "Own": {}, "Other": {}}}), "app")
    };
    let some = stopping(json!([{"Ref": "Own"}, {"Fn::Sub": "${AWS::StackName}-slow"}, "literal"]));
    for (id, name, expected) in [
        ("Own", "app-own", true),
        ("Slow", "app-slow", true),
        ("Third", "literal", true),
        ("Other", "app-other", false),
    ] {
        assert_eq!(some.has(id, name), expected, "{id}");
    }
    let when = json!([{"Fn::If": ["HasHooks", {"Ref": "Own"}, {"Ref": "AWS::NoValue"}]}]);
    assert!(stopping(when.clone()).has("Own", "") && !stopping(when).has("Other", ""));
    for unknown in
        [json!({"Ref": "AParameter"}), json!([{"Fn::ImportValue": "x"}]), json!([{"Fn::Sub": "${P}-slow"}])]
    {
        assert_eq!(stopping(unknown.clone()), Stopping::Any, "{unknown}");
    }
    assert!(
        !Stopping::of(&json!({"Resources": {"Own": {}}}), "app").has("Own", ""),
        "nothing is deployed gradually"
    );
    let group = json!({"Properties": {"AlarmConfiguration": {"Enabled": true, "Alarms": [{"Name": {"Ref": "Own"}}]}}});
    let expanded = Stopping::of(&json!({"Resources": {"Group": group, "Own": {}}}), "app");
    assert!(expanded.has("Own", "") && !expanded.has("Other", ""));
    let globals = json!({"Globals": {"Function": {"DeploymentPreference": {"Alarms": [{"Ref": "Own"}]}}}, "Resources": {"Own": {}}});
    assert!(Stopping::of(&globals, "app").has("Own", ""));
}

#[test]
fn what_is_turned_off_stops_nothing() {
    for (enabled, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        // A parameter decides.
        (json!({"Ref": "Shift"}), true),
        (json!({"Fn::If": ["Prod", true, false]}), true),
    ] {
        let alarms = json!([{"Ref": "Own"}]);
        let preference = json!({"Enabled": enabled, "Alarms": alarms});
        let group = json!({"Enabled": enabled, "Alarms": [{"Name": {"Ref": "Own"}}]});
        for template in [
            json!({"Resources": {"F": {"Properties": {"DeploymentPreference": preference}}, "Own": {}}}),
            json!({"Resources": {"G": {"Properties": {"AlarmConfiguration": group}}, "Own": {}}}),
            json!({"Globals": {"Function": {"DeploymentPreference": preference}}, "Resources": {"Own": {}}}),
        ] {
            assert_eq!(Stopping::of(&template, "app").has("Own", ""), expected, "{template}");
        }
    }
    // An unknown alarm of one that is off makes nobody's unknown.
    let off = json!({"Enabled": false, "Alarms": [{"Fn::ImportValue": "x"}]});
    let template = json!({"Resources": {"F": {"Properties": {"DeploymentPreference": off}}}});
    assert_eq!(Stopping::of(&template, "app"), Stopping::These(BTreeSet::new()));
}

/// The application's alarms by logical id, and the ids that each deployment group lists.
fn of_the_application() -> (BTreeMap<String, Value>, Vec<Vec<String>>) {
    let source = include_str!("../../../../../cfn/app.yaml");
    let template = crate::template::parse(source).unwrap().to_json();
    let resources = template["Resources"].as_object().unwrap();
    let is_alarm = |found: &Value| found["Type"] == "AWS::CloudWatch::Alarm";
    let alarms = resources.iter().filter(|(_, found)| is_alarm(found));
    let lists = resources
        .values()
        .filter_map(|found| found.pointer("/Properties/DeploymentPreference/Alarms")?.as_array().cloned());
    let ids = |list: Vec<Value>| list.iter().map(|one| one["Ref"].as_str().unwrap().to_owned()).collect();
    (alarms.map(|(id, found)| (id.clone(), found["Properties"].clone())).collect(), lists.map(ids).collect())
}

#[test]
fn the_application_is_stopped_by_its_new_versions_alone() {
    let (alarms, groups) = of_the_application();
    assert!(alarms.len() >= 15 && groups.len() == 2, "{} {}", alarms.len(), groups.len());
    for (id, alarm) in &alarms {
        let dimensions = alarm["Dimensions"].as_array().unwrap();
        let of_a_version = dimensions.iter().any(|dimension| dimension["Name"] == "ExecutedVersion");
        let of = groups.iter().filter(|group| group.contains(id)).count();
        assert_eq!(of, usize::from(of_a_version), "{id}");
        assert!(alarm["MetricName"] != "Throttles" || of == 0, "{id}: nothing ran, so no version did it");
    }
    for group in groups {
        assert!((1..=MOST_OF_A_GROUP).contains(&group.len()), "{group:?}");
    }
}

#[test]
fn what_stops_a_release_can_ring_before_the_shift_is_over() {
    let (alarms, groups) = of_the_application();
    let stacks: toml::Value = toml::from_str(include_str!("../../../../../cfn/stacks.toml")).unwrap();
    let of_app = |stack: &&toml::Value| stack.get("name").and_then(toml::Value::as_str) == Some("app");
    let app = stacks["stacks"].as_array().unwrap().iter().find(of_app).unwrap();
    let shifts: Vec<crate::rollout::Shifting> = app["overrides"]
        .as_table()
        .unwrap()
        .values()
        .filter_map(|of_env| of_env.get("DeploymentPreference")?.as_str())
        .map(|name| crate::rollout::Shifting::parse(name).unwrap())
        .collect();
    assert!(!shifts.is_empty(), "an environment shifts its traffic step by step");
    for shift in shifts.into_iter().filter(|shift| shift.minutes() > 0) {
        for id in groups.iter().flatten() {
            let number = |name: &str| alarms[id][name].as_u64().unwrap();
            let own = Alarm {
                period: number("Period"),
                ..alarm(number("EvaluationPeriods") as usize, 1, Missing::NotBreaching)
            };
            assert!(own.rings_within() <= u64::from(shift.minutes()) * 60, "{id} {shift:?}");
        }
    }
}

#[test]
fn an_alarm_rings_after_its_periods_and_the_delay() {
    assert_eq!(alarm(1, 1, Missing::NotBreaching).rings_within(), 180);
    assert_eq!(alarm(3, 2, Missing::NotBreaching).rings_within(), 300);
    let shift = |name: &str| crate::rollout::Shifting::parse(name).unwrap().minutes();
    let names = ["AllAtOnce", "Canary10Percent5Minutes", "Linear10PercentEvery1Minute"];
    assert_eq!(names.map(shift), [0, 5, 9]);
}

fn alarm(n: usize, m: usize, missing: Missing) -> Alarm {
    Alarm {
        name: "a".into(),
        namespace: "AWS/Lambda".into(),
        metric: "Errors".into(),
        dimensions: vec![],
        statistic: Statistic::Sum,
        period: 60,
        evaluation_periods: n,
        datapoints_to_alarm: m,
        threshold: 1.0,
        comparison: Comparison::AtLeast,
        missing,
    }
}

/// `0` within, `X` beyond, `-` missing; oldest first.
fn points(text: &str) -> Vec<Option<f64>> {
    let point = |c: char| match c {
        '0' => Some(Some(0.0)),
        'X' => Some(Some(1.0)),
        '-' => Some(None),
        _ => None,
    };
    text.chars().filter_map(point).collect()
}

/// The two tables of "Configuring how CloudWatch alarms treat missing data". `=` keeps the state.
#[test]
fn missing_data_is_treated_as_the_guide_says() {
    let table = [
        (3, 3, "0 - X - X", ["OK", "OK", "OK", "OK"]),
        (3, 3, "0 - - - -", ["OK", "OK", "OK", "OK"]),
        (3, 3, "- - - - -", ["INSUFFICIENT_DATA", "=", "ALARM", "OK"]),
        (3, 3, "0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, 3, "- - X - -", ["ALARM", "=", "ALARM", "OK"]),
        (3, 2, "0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, 2, "0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, 2, "0 - X - -", ["OK", "OK", "ALARM", "OK"]),
        (3, 2, "- - - - 0", ["OK", "OK", "ALARM", "OK"]),
        (3, 2, "- - - X -", ["ALARM", "=", "ALARM", "OK"]),
    ];
    let treatments = [Missing::Absent, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];
    for (n, m, text, expected) in table {
        for (missing, expected) in treatments.into_iter().zip(expected) {
            for before in [State::Ok, State::Raised, State::InsufficientData] {
                let found = alarm(n, m, missing).evaluate(&points(text), before);
                let expected = if expected == "=" { before.word() } else { expected };
                assert_eq!(found.word(), expected, "{m} of {n}, {text}, {missing:?}, before {before:?}");
            }
        }
    }
}

#[test]
fn statistics_are_cloudwatchs() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    let table = [
        ("Sum", 5_050.0),
        ("Average", 50.5),
        ("Minimum", 1.0),
        ("Maximum", 100.0),
        ("SampleCount", 100.0),
        ("p99", 99.0),
        ("p50", 50.0),
        ("p100", 100.0),
        ("p0", 1.0),
    ];
    for (name, expected) in table {
        assert_eq!(Statistic::parse(name).unwrap().of(&values), Some(expected), "{name}");
        assert_eq!(Statistic::parse(name).unwrap().of(&[]), None, "{name}");
    }
    for name in ["", "p", "p101", "tm99", "pxx"] {
        assert_eq!(Statistic::parse(name), None, "{name}");
    }
}

#[test]
fn every_comparison_is_known() {
    let table = [
        ("GreaterThanOrEqualToThreshold", [false, true, true]),
        ("GreaterThanThreshold", [false, false, true]),
        ("LessThanThreshold", [true, false, false]),
        ("LessThanOrEqualToThreshold", [true, true, false]),
    ];
    for (name, expected) in table {
        let comparison = Comparison::parse(name).unwrap();
        assert_eq!([0.0, 1.0, 2.0].map(|value| comparison.breaches(value, 1.0)), expected, "{name}");
    }
    assert_eq!(Comparison::parse("GreaterThanUpperThreshold"), None);
}
