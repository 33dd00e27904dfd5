//! CloudWatch alarms: what a metric alarm makes of its datapoints.
//!
//! Source: "Using Amazon CloudWatch alarms", with its sections on evaluation and on missing data, and "Statistics
//! definitions" in the CloudWatch user guide.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which of a stack's alarms can stop one of its deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopping {
    /// The alarms with these logical ids or names.
    These(BTreeSet<String>),
    /// The template leaves it to a value that only CloudFormation knows: any of them may.
    Any,
}

impl Stopping {
    /// Reads a template in long form, before or after SAM: `Alarms` of deployment preferences and of deployment groups,
    /// but of those that are turned off.
    pub fn of(template: &Value, stack: &str) -> Self {
        let mut all = BTreeSet::new();
        let globals = template.pointer("/Globals/Function/DeploymentPreference");
        let resources = template.get("Resources").and_then(Value::as_object).into_iter().flatten();
        let own = resources.flat_map(|(_, resource)| {
            ["/Properties/DeploymentPreference", "/Properties/AlarmConfiguration"]
                .map(|path| resource.pointer(path))
        });
        for asking in own.chain([globals]).flatten().filter(|asking| !is_off(asking)) {
            if asking.get("Alarms").is_some_and(|list| !collect(list, template, stack, &mut all)) {
                return Self::Any;
            }
        }
        Self::These(all)
    }

    /// Whether an alarm is one of them.
    pub fn has(&self, logical_id: &str, name: &str) -> bool {
        match self {
            Self::These(all) => all.contains(logical_id) || all.contains(name),
            Self::Any => true,
        }
    }
}

/// Whether a preference or an alarm configuration says that it is off, and no parameter decides on it.
fn is_off(asking: &Value) -> bool {
    match asking.get("Enabled") {
        Some(Value::Bool(enabled)) => !enabled,
        Some(Value::String(enabled)) => enabled == "false",
        _ => false,
    }
}

/// Collects whatever a value can refer to or say; whether all of it is known.
fn collect(value: &Value, template: &Value, stack: &str, all: &mut BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => {
            let name = text.replace("${AWS::StackName}", stack);
            let known = !name.contains("${");
            all.insert(name);
            known
        }
        Value::Array(items) => items.iter().all(|item| collect(item, template, stack, all)),
        Value::Object(map) => map.iter().all(|(key, value)| match (key.as_str(), value.as_str()) {
            ("Ref", Some("AWS::NoValue")) => true,
            ("Ref", Some(id)) => {
                all.insert(id.to_owned());
                template.get("Resources").is_some_and(|resources| resources.get(id).is_some())
            }
            ("Fn::GetAtt" | "Fn::ImportValue" | "Fn::FindInMap" | "Fn::Transform", _) => false,
            _ => collect(value, template, stack, all),
        }),
        _ => true,
    }
}

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Nothing is known.
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
    /// Within the threshold.
    #[serde(rename = "OK")]
    Ok,
    /// Beyond it.
    #[serde(rename = "ALARM")]
    Raised,
}

impl State {
    /// CloudWatch's word.
    pub fn word(self) -> &'static str {
        match self {
            State::InsufficientData => "INSUFFICIENT_DATA",
            State::Ok => "OK",
            State::Raised => "ALARM",
        }
    }
}

/// How the values of a period become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// `Sum`
    Sum,
    /// `Average`
    Average,
    /// `Minimum`
    Minimum,
    /// `Maximum`
    Maximum,
    /// `SampleCount`
    SampleCount,
    /// `p99` and so on, 0 to 100.
    Percentile(f64),
}

impl Statistic {
    /// The statistic of that name; `None` for one that is not known.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Sum" => Statistic::Sum,
            "Average" => Statistic::Average,
            "Minimum" => Statistic::Minimum,
            "Maximum" => Statistic::Maximum,
            "SampleCount" => Statistic::SampleCount,
            other => {
                let percent: f64 = other.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0).contains(&percent).then_some(Statistic::Percentile(percent))?
            }
        })
    }

    /// The value of a period; `None` where it has no values.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        Some(match self {
            Statistic::Sum => values.iter().sum(),
            Statistic::Average => values.iter().sum::<f64>() / count,
            Statistic::Minimum => values.iter().copied().fold(f64::INFINITY, f64::min),
            Statistic::Maximum => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Statistic::SampleCount => count,
            Statistic::Percentile(percent) => {
                let mut sorted = values.to_vec();
                sorted.sort_by(f64::total_cmp);
                let rank = (percent / 100.0 * count).ceil().max(1.0);
                // The nearest rank; a rank is at most the count.
                sorted[(rank as usize - 1).min(sorted.len() - 1)]
            }
        })
    }
}

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `GreaterThanOrEqualToThreshold`
    AtLeast,
    /// `GreaterThanThreshold`
    Above,
    /// `LessThanThreshold`
    Below,
    /// `LessThanOrEqualToThreshold`
    AtMost,
}

impl Comparison {
    /// The comparison of that name; `None` for one that needs an anomaly model.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GreaterThanOrEqualToThreshold" => Comparison::AtLeast,
            "GreaterThanThreshold" => Comparison::Above,
            "LessThanThreshold" => Comparison::Below,
            "LessThanOrEqualToThreshold" => Comparison::AtMost,
            _ => return None,
        })
    }

    fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::AtLeast => value >= threshold,
            Comparison::Above => value > threshold,
            Comparison::Below => value < threshold,
            Comparison::AtMost => value <= threshold,
        }
    }
}

/// What a missing datapoint counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// As missing.
    #[default]
    Absent,
    /// It leaves the state as it is.
    Ignore,
    /// As beyond the threshold.
    Breaching,
    /// As within the threshold.
    NotBreaching,
}

impl Missing {
    /// The treatment of that name; CloudWatch's default for anything else.
    pub fn parse(name: &str) -> Self {
        match name {
            "ignore" => Missing::Ignore,
            "breaching" => Missing::Breaching,
            "notBreaching" => Missing::NotBreaching,
            _ => Missing::Absent,
        }
    }
}

/// How many seconds CloudWatch may need besides an alarm's periods: a minute until a value is there, which Lambda and the
/// extraction from logs send every minute, and one until the alarm is looked at.
///
/// Source: "Types of metrics for Lambda functions" and "Alarm evaluation" in their guides (read in 2026).
pub const DELAY: u64 = 120;

/// How many alarms CodeDeploy looks at for one deployment group ("CodeDeploy quotas").
pub const MOST_OF_A_GROUP: usize = 10;

/// A metric alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// The metric's namespace.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// The metric's dimensions, sorted.
    pub dimensions: Vec<(String, String)>,
    /// How the values of a period become one.
    pub statistic: Statistic,
    /// Seconds.
    pub period: u64,
    /// How many periods are looked at.
    pub evaluation_periods: usize,
    /// How many of them must breach.
    pub datapoints_to_alarm: usize,
    /// What the value is compared with.
    pub threshold: f64,
    /// How.
    pub comparison: Comparison,
    /// What a missing datapoint counts as.
    pub missing: Missing,
}

impl Alarm {
    /// How many periods back datapoints are fetched: more than are evaluated, so that gaps can be bridged.
    pub fn range(&self) -> usize {
        self.evaluation_periods + 2
    }

    /// Seconds until it rings for a fault of the very first request of a shift, at the latest.
    pub fn rings_within(&self) -> u64 {
        self.period * self.evaluation_periods as u64 + DELAY
    }

    /// Whether a value is beyond the threshold.
    pub fn breaches(&self, value: f64) -> bool {
        self.comparison.breaches(value, self.threshold)
    }

    /// The state, given whether each period of [`Alarm::range`] breaches, oldest first (`None` where it has no data), and
    /// the state before.
    pub fn decide(&self, points: &[Option<bool>], before: State) -> State {
        let (n, m) =
            (self.evaluation_periods, self.datapoints_to_alarm.clamp(1, self.evaluation_periods.max(1)));
        let mut latest: Vec<bool> = points.iter().rev().filter_map(|point| *point).take(n).collect();
        latest.truncate(n);
        let beyond = latest.iter().filter(|breaching| **breaching).count();
        let verdict = |alarm: bool| if alarm { State::Raised } else { State::Ok };
        let filled = n.saturating_sub(latest.len());
        if filled == 0 {
            return verdict(beyond >= m);
        }
        // All that is there breaches, and the oldest of it is old enough: waiting longer would only delay the alarm.
        let oldest = points.iter().position(|point| *point == Some(true)).map_or(0, |at| points.len() - at);
        let only_breaching = !latest.is_empty() && beyond == latest.len();
        match self.missing {
            Missing::Breaching => verdict(beyond + filled >= m),
            Missing::NotBreaching => verdict(beyond >= m),
            Missing::Absent if latest.is_empty() => State::InsufficientData,
            Missing::Absent => verdict(beyond >= m || (only_breaching && oldest >= m)),
            Missing::Ignore if latest.is_empty() || (only_breaching && beyond < m) => before,
            Missing::Ignore => verdict(beyond >= m),
        }
    }
}

#[cfg(test)]
mod tests {
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
        for unknown in [
            json!({"Ref": "AParameter"}),
            json!([{"Fn::ImportValue": "x"}]),
            json!([{"Fn::Sub": "${P}-slow"}]),
        ] {
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
        let source = include_str!("../../../../cfn/app.yaml");
        let template = crate::template::parse(source).unwrap().to_json();
        let resources = template["Resources"].as_object().unwrap();
        let is_alarm = |found: &Value| found["Type"] == "AWS::CloudWatch::Alarm";
        let alarms = resources.iter().filter(|(_, found)| is_alarm(found));
        let lists = resources.values().filter_map(|found| {
            found.pointer("/Properties/DeploymentPreference/Alarms")?.as_array().cloned()
        });
        let ids = |list: Vec<Value>| list.iter().map(|one| one["Ref"].as_str().unwrap().to_owned()).collect();
        (
            alarms.map(|(id, found)| (id.clone(), found["Properties"].clone())).collect(),
            lists.map(ids).collect(),
        )
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
        let stacks: toml::Value = toml::from_str(include_str!("../../../../cfn/stacks.toml")).unwrap();
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
}
