//! CloudWatch alarms: what a metric alarm makes of its datapoints.
//!
//! Source: "Using Amazon CloudWatch alarms", with its sections on evaluation and on missing data, and "Statistics
//! definitions" in the CloudWatch user guide.

use serde::{Deserialize, Serialize};

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum State {
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
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::InsufficientData => "INSUFFICIENT_DATA",
            State::Ok => "OK",
            State::Raised => "ALARM",
        }
    }
}

/// How the values of a period become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Statistic {
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
    pub(crate) fn parse(name: &str) -> Option<Self> {
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
    pub(crate) fn of(self, values: &[f64]) -> Option<f64> {
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
pub(crate) enum Comparison {
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
    pub(crate) fn parse(name: &str) -> Option<Self> {
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
pub(crate) enum Missing {
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
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "ignore" => Missing::Ignore,
            "breaching" => Missing::Breaching,
            "notBreaching" => Missing::NotBreaching,
            _ => Missing::Absent,
        }
    }
}

/// A metric alarm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alarm {
    /// Its name.
    pub(crate) name: String,
    /// The metric's namespace.
    pub(crate) namespace: String,
    /// The metric's name.
    pub(crate) metric: String,
    /// The metric's dimensions, sorted.
    pub(crate) dimensions: Vec<(String, String)>,
    /// How the values of a period become one.
    pub(crate) statistic: Statistic,
    /// Seconds.
    pub(crate) period: u64,
    /// How many periods are looked at.
    pub(crate) evaluation_periods: usize,
    /// How many of them must breach.
    pub(crate) datapoints_to_alarm: usize,
    /// What the value is compared with.
    pub(crate) threshold: f64,
    /// How.
    pub(crate) comparison: Comparison,
    /// What a missing datapoint counts as.
    pub(crate) missing: Missing,
}

impl Alarm {
    /// How many periods back datapoints are fetched: more than are evaluated, so that gaps can be bridged.
    pub(crate) fn range(&self) -> usize {
        self.evaluation_periods + 2
    }

    /// The state, given the value of each period of [`Alarm::range`], oldest first, and the state before.
    pub(crate) fn evaluate(&self, values: &[Option<f64>], before: State) -> State {
        let breaching =
            |value: &Option<f64>| value.map(|value| self.comparison.breaches(value, self.threshold));
        let points: Vec<Option<bool>> = values.iter().map(breaching).collect();
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
    use super::*;

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
