//! What a rehearsal's alarms make of time: a machine that has other things to do makes every version slow, and CloudWatch
//! would hold that against the new one.
//!
//! So a period in which the new version is too slow counts against it only by comparison: where the old one, in the same
//! seconds, was not too slow, and the difference between them is beyond the threshold as well. Where it does not, there is
//! no verdict, which is neither good nor bad. Periods, datapoints and missing data stay CloudWatch's ([`super::alarm`]).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Comparison, State, Statistic};

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// Milliseconds that what it was measured of took.
    pub millis: f64,
    /// Whether it counts as an error only because it took too long: the invocation ran into its timeout, or nobody
    /// invoked anything.
    pub late: bool,
}

/// What a period says about the new version.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// There are no data.
    Missing,
    /// It is within the threshold.
    Within,
    /// It is beyond it, and that is the version's doing.
    Beyond,
    /// It is beyond it, and nobody can say whose doing that is.
    Unjudged(Unjudged),
}

/// Why a period has no verdict. All times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Unjudged {
    /// No request of the old version was under way in the same seconds.
    NoOld {
        /// What the new version took.
        new: f64,
        /// What it may take.
        threshold: f64,
    },
    /// The old version was beyond the threshold, too.
    OldToo {
        /// What the new version took.
        new: f64,
        /// What the old one took.
        old: f64,
        /// What it may take.
        threshold: f64,
    },
    /// The new version took longer than the old one, but not by more than the threshold.
    Close {
        /// What the new version took.
        new: f64,
        /// What the old one took.
        old: f64,
        /// What it may take.
        threshold: f64,
    },
    /// All errors are timeouts, and the old version took more than half as long, or did not run.
    TimedOut {
        /// What the invocation had.
        new: f64,
        /// The longest that the old one took.
        old: Option<f64>,
    },
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unjudged::NoOld { new, threshold } => write!(
                f,
                "the new version took {new:.0} ms, beyond the threshold of {threshold:.0}, and no request of the old one was under way in the same seconds"
            ),
            Unjudged::OldToo { new, old, threshold } => write!(
                f,
                "the new version took {new:.0} ms and the old one {old:.0} ms in the same seconds, both beyond the threshold of {threshold:.0}"
            ),
            Unjudged::Close { new, old, threshold } => write!(
                f,
                "the new version took {new:.0} ms and the old one {old:.0} ms in the same seconds: the difference is within the threshold of {threshold:.0}"
            ),
            Unjudged::TimedOut { new, old: Some(old) } => write!(
                f,
                "an invocation of the new version timed out after {new:.0} ms, and the old one took {old:.0} ms in the same seconds"
            ),
            Unjudged::TimedOut { new, old: None } => write!(
                f,
                "an invocation of the new version timed out after {new:.0} ms, and no request of the old one was under way in the same seconds"
            ),
        }
    }
}

/// Whether an alarm is about how long something takes, on whatever template: it is the metric that says so.
///
/// Source: "Types of metrics for Lambda functions", "Monitor CloudWatch metrics for HTTP APIs" and "… for REST APIs".
pub fn is_latency(alarm: &Alarm) -> bool {
    let of_time = match alarm.namespace.as_str() {
        "AWS/Lambda" => alarm.metric.ends_with("Duration"),
        "AWS/ApiGateway" => ["Latency", "IntegrationLatency"].contains(&alarm.metric.as_str()),
        _ => false,
    };
    // How many were measured is no time.
    of_time && alarm.statistic != Statistic::SampleCount
}

/// What a period says, given what was measured of the new version (or of whatever the alarm is about), and of the old
/// version in the same seconds.
pub fn point(alarm: &Alarm, new: &[Sample], old: &[Sample]) -> Point {
    let values = |samples: &[Sample]| samples.iter().map(|sample| sample.value).collect::<Vec<_>>();
    let Some(value) = alarm.statistic.of(&values(new)) else { return Point::Missing };
    if !alarm.breaches(value) {
        return Point::Within;
    }
    let threshold = alarm.threshold;
    if !is_latency(alarm) {
        return timeouts(alarm, new, old).map_or(Point::Beyond, Point::Unjudged);
    }
    let Some(reference) = reference(alarm.statistic, new.len(), &values(old)) else {
        return Point::Unjudged(Unjudged::NoOld { new: value, threshold });
    };
    if alarm.breaches(reference) {
        return Point::Unjudged(Unjudged::OldToo { new: value, old: reference, threshold });
    }
    let grows = matches!(alarm.comparison, Comparison::Above | Comparison::AtLeast);
    if grows && !alarm.breaches(value - reference) {
        return Point::Unjudged(Unjudged::Close { new: value, old: reference, threshold });
    }
    Point::Beyond
}

/// The old version's value; a sum is that of as many requests as the new one had.
fn reference(statistic: Statistic, count: usize, old: &[f64]) -> Option<f64> {
    match statistic {
        Statistic::Sum => Statistic::Average.of(old).map(|average| average * count as f64),
        other => other.of(old),
    }
}

/// Why errors that are timeouts alone are no verdict, where that is so: a version that hangs takes at least twice as long
/// as one that does not.
fn timeouts(alarm: &Alarm, new: &[Sample], old: &[Sample]) -> Option<Unjudged> {
    let mut late = new.iter().filter(|sample| sample.late).map(|sample| sample.millis).peekable();
    late.peek()?;
    let others: Vec<f64> = new.iter().map(|sample| if sample.late { 0.0 } else { sample.value }).collect();
    if alarm.statistic.of(&others).is_some_and(|value| alarm.breaches(value)) {
        return None;
    }
    let new = late.fold(f64::INFINITY, f64::min);
    let old = old.iter().map(|sample| sample.millis).reduce(f64::max);
    if old.is_some_and(|old| old <= new / 2.0) { None } else { Some(Unjudged::TimedOut { new, old }) }
}

/// The state that follows from the periods, oldest first, and the state before. Periods without a verdict are taken for
/// good ones and for bad ones: where both come to the same, that is the state. Otherwise nothing is known, for the reason
/// of the latest of them.
pub fn state(alarm: &Alarm, points: &[Point], before: State) -> (State, Option<Unjudged>) {
    let taking = |unjudged: bool| {
        let points: Vec<Option<bool>> = points
            .iter()
            .map(|point| match point {
                Point::Missing => None,
                Point::Within => Some(false),
                Point::Beyond => Some(true),
                Point::Unjudged(_) => Some(unjudged),
            })
            .collect();
        alarm.decide(&points, before)
    };
    let (at_best, at_worst) = (taking(false), taking(true));
    if at_best == at_worst {
        return (at_best, None);
    }
    let latest = points.iter().rev().find_map(|point| match point {
        Point::Unjudged(why) => Some(why.clone()),
        _ => None,
    });
    (State::InsufficientData, latest)
}

/// What an alarm's periods said in the course of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Periods with a verdict.
    pub judged: u32,
    /// Periods without one, though there were data.
    pub unjudged: u32,
    /// Why the latest of those has none.
    pub why: Option<String>,
}

impl Course {
    /// Counts a period.
    pub fn add(&mut self, point: &Point) {
        match point {
            Point::Missing => {}
            Point::Within | Point::Beyond => self.judged += 1,
            Point::Unjudged(why) => self.lacks(why.to_string()),
        }
    }

    /// Counts a period without a verdict.
    pub fn lacks(&mut self, why: String) {
        self.unjudged += 1;
        self.why = Some(why);
    }

    /// Whether the alarm has judged the release: by more periods than it had to leave open. One that saw no data has
    /// nothing to judge, as on AWS.
    pub fn is_verdict(&self) -> bool {
        self.unjudged == 0 || self.judged > self.unjudged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Missing;

    fn alarm(metric: &str, statistic: Statistic, comparison: Comparison) -> Alarm {
        let namespace =
            if metric.contains("Latency") || metric == "5xx" { "AWS/ApiGateway" } else { "AWS/Lambda" };
        Alarm {
            name: "a".into(),
            namespace: namespace.into(),
            metric: metric.into(),
            dimensions: vec![],
            statistic,
            period: 60,
            evaluation_periods: 1,
            datapoints_to_alarm: 1,
            threshold: 2_000.0,
            comparison,
            missing: Missing::NotBreaching,
        }
    }

    fn samples(values: &[f64]) -> Vec<Sample> {
        values.iter().map(|value| Sample { value: *value, millis: *value, late: false }).collect()
    }

    /// `.` no data, `o` within, `X` beyond, `?` no verdict.
    fn word(point: &Point) -> char {
        match point {
            Point::Missing => '.',
            Point::Within => 'o',
            Point::Beyond => 'X',
            Point::Unjudged(_) => '?',
        }
    }

    #[test]
    fn it_is_the_metric_that_makes_an_alarm_one_of_time() {
        let p99 = Statistic::Percentile(99.0);
        for (metric, statistic, expected) in [
            ("Duration", p99, true),
            ("Duration", Statistic::Average, true),
            ("Duration", Statistic::Sum, true),
            ("Duration", Statistic::SampleCount, false),
            ("PostRuntimeExtensionsDuration", Statistic::Maximum, true),
            ("Errors", Statistic::Sum, false),
            ("Invocations", Statistic::Sum, false),
            ("Latency", p99, true),
            ("IntegrationLatency", Statistic::Maximum, true),
            ("5xx", Statistic::Sum, false),
        ] {
            assert_eq!(
                is_latency(&alarm(metric, statistic, Comparison::Above)),
                expected,
                "{metric} {statistic:?}"
            );
        }
    }

    #[test]
    fn a_slow_period_counts_by_comparison_alone() {
        let (p99, above) = (Statistic::Percentile(99.0), Comparison::Above);
        type Row<'a> = (&'a str, Statistic, Comparison, &'a [f64], &'a [f64], char);
        let table: &[Row<'_>] = &[
            ("nobody asked", p99, above, &[], &[10.0], '.'),
            ("both are quick", p99, above, &[20.0], &[10.0], 'o'),
            ("the new one is quick and there is no old one", p99, above, &[20.0], &[], 'o'),
            ("the new one is quick, whatever the old one is", p99, above, &[20.0], &[9_000.0], 'o'),
            ("exactly at the threshold", p99, above, &[2_000.0], &[10.0], 'o'),
            ("only the new one is slow", p99, above, &[4_500.0], &[10.0], 'X'),
            ("one slow answer of many", p99, above, &[10.0, 10.0, 4_500.0], &[10.0], 'X'),
            ("both are slow", p99, above, &[4_500.0], &[2_001.0], '?'),
            ("the old one exactly at the threshold", p99, above, &[4_500.0], &[2_000.0], 'X'),
            ("there is no old one", p99, above, &[4_500.0], &[], '?'),
            ("a little over it, as the old one is a little under", p99, above, &[2_050.0], &[1_950.0], '?'),
            ("the difference exactly at the threshold", p99, above, &[3_000.0], &[1_000.0], '?'),
            ("the difference beyond it", p99, above, &[3_000.1], &[1_000.0], 'X'),
            ("at least: the threshold itself", p99, Comparison::AtLeast, &[2_000.0], &[0.0], 'X'),
            ("at least: the old one at it", p99, Comparison::AtLeast, &[9_000.0], &[2_000.0], '?'),
            ("an average", Statistic::Average, above, &[9_000.0, 1_000.0], &[10.0, 30.0], 'X'),
            ("an average of a busy second", Statistic::Average, above, &[4_000.0], &[4_500.0, 100.0], '?'),
            // As many requests of the old one as the new one had: 4 x 600 is beyond the threshold as well.
            ("a sum", Statistic::Sum, above, &[600.0; 4], &[600.0], '?'),
            ("a sum of slow ones", Statistic::Sum, above, &[4_000.0; 2], &[10.0; 90], 'X'),
            ("too quick, and only the new one", p99, Comparison::Below, &[1.0], &[3_000.0], 'X'),
            ("too quick, both", p99, Comparison::Below, &[1.0], &[2.0], '?'),
        ];
        for (what, statistic, comparison, new, old, expected) in table {
            let found = point(&alarm("Duration", *statistic, *comparison), &samples(new), &samples(old));
            assert_eq!(word(&found), *expected, "{what}: {found:?}");
        }
    }

    #[test]
    fn why_there_is_no_verdict_is_said_with_both_times() {
        let alarm = alarm("Duration", Statistic::Percentile(99.0), Comparison::Above);
        for (new, old, expected) in [
            (
                2_500.4,
                Some(2_300.0),
                "took 2500 ms and the old one 2300 ms in the same seconds, both beyond the threshold of 2000",
            ),
            (
                2_500.4,
                Some(900.0),
                "took 2500 ms and the old one 900 ms in the same seconds: the difference is within",
            ),
            (2_500.4, None, "took 2500 ms, beyond the threshold of 2000, and no request of the old one"),
        ] {
            let old: Vec<f64> = old.into_iter().collect();
            let Point::Unjudged(why) = point(&alarm, &samples(&[new]), &samples(&old)) else {
                panic!("{expected}")
            };
            assert!(why.to_string().contains(expected), "{why}");
        }
    }

    /// An error is an error on however busy a machine; one that is nothing but a timeout is compared.
    #[test]
    fn errors_count_and_timeouts_count_by_comparison() {
        let error = |late: bool, millis: f64| Sample { value: 1.0, millis, late };
        let fine = |millis: f64| Sample { value: 0.0, millis, late: false };
        let table: &[(&str, &[Sample], &[Sample], char)] = &[
            ("an error", &[fine(5.0), error(false, 5.0)], &[], 'X'),
            ("an error, while the old one fails as well", &[error(false, 5.0)], &[error(false, 5.0)], 'X'),
            ("a slow error", &[error(false, 9_000.0)], &[fine(9_000.0)], 'X'),
            ("a timeout, while the old one is quick", &[error(true, 10_000.0)], &[fine(40.0)], 'X'),
            (
                "a timeout, while the old one takes half of it",
                &[error(true, 10_000.0)],
                &[fine(5_000.0)],
                'X',
            ),
            (
                "a timeout, while the old one takes more",
                &[error(true, 10_000.0)],
                &[fine(10.0), fine(5_001.0)],
                '?',
            ),
            ("both time out", &[error(true, 10_000.0)], &[error(true, 10_000.0)], '?'),
            ("a timeout without an old one", &[error(true, 10_000.0)], &[], '?'),
            ("a timeout beside an error", &[error(true, 10_000.0), error(false, 3.0)], &[], 'X'),
            ("none", &[fine(5.0)], &[], 'o'),
        ];
        let mut alarm = alarm("Errors", Statistic::Sum, Comparison::AtLeast);
        alarm.threshold = 1.0;
        for (what, new, old, expected) in table {
            let found = point(&alarm, new, old);
            assert_eq!(word(&found), *expected, "{what}: {found:?}");
        }
    }

    fn points(text: &str) -> Vec<Point> {
        let why = || Unjudged::NoOld { new: 1.0, threshold: 1.0 };
        let point = |c: char| match c {
            'o' => Point::Within,
            'X' => Point::Beyond,
            '?' => Point::Unjudged(why()),
            _ => Point::Missing,
        };
        text.chars().map(point).collect()
    }

    #[test]
    fn a_state_follows_only_where_open_periods_cannot_change_it() {
        let table = [
            (1, 1, "..X", "ALARM"),
            (1, 1, "..?", "INSUFFICIENT_DATA"),
            (1, 1, ".?o", "OK"),
            (1, 1, ".o.", "OK"),
            (3, 2, "..XX?", "ALARM"),
            (3, 2, "..X?o", "INSUFFICIENT_DATA"),
            (3, 2, "..?oo", "OK"),
            (3, 2, "..??X", "INSUFFICIENT_DATA"),
        ];
        for (n, m, text, expected) in table {
            let mut alarm = alarm("Duration", Statistic::Maximum, Comparison::Above);
            (alarm.evaluation_periods, alarm.datapoints_to_alarm) = (n, m);
            for before in [State::Ok, State::Raised, State::InsufficientData] {
                let (found, why) = state(&alarm, &points(text), before);
                assert_eq!(found.word(), expected, "{m} of {n}: {text}");
                assert_eq!(why.is_some(), expected == "INSUFFICIENT_DATA", "{m} of {n}: {text}");
            }
        }
        // Open is not missing: where missing data are a breach, an open period is none.
        let mut strict = alarm("Duration", Statistic::Maximum, Comparison::Above);
        strict.missing = Missing::Breaching;
        assert_eq!(state(&strict, &points("o?"), State::Ok).0, State::InsufficientData);
        assert_eq!(state(&strict, &points(".."), State::Ok).0, State::Raised);
    }

    #[test]
    fn most_periods_must_be_judged() {
        for (text, expected) in [
            ("", true),
            ("...", true),
            ("ooo", true),
            ("oo?", true),
            ("o?", false),
            ("?", false),
            ("o.??", false),
            ("..?..", false),
        ] {
            let mut course = Course::default();
            points(text).iter().for_each(|point| course.add(point));
            assert_eq!(course.is_verdict(), expected, "{text}: {course:?}");
            assert_eq!(course.why.is_some(), text.contains('?'), "{text}");
        }
    }
}
