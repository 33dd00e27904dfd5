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

    /// As CloudWatch says it of values that crossed the threshold, and of values that did not.
    pub fn words(self, crossed: bool) -> &'static str {
        match (self, crossed) {
            (Comparison::AtLeast, true) | (Comparison::Below, false) => "greater than or equal to",
            (Comparison::Above, true) | (Comparison::AtMost, false) => "greater than",
            (Comparison::Below, true) | (Comparison::AtLeast, false) => "less than",
            (Comparison::AtMost, true) | (Comparison::Above, false) => "less than or equal to",
        }
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
mod tests;
