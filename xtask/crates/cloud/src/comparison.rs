//! What an alarm's periods say, each compared with what the old version did in the same seconds.
//!
//! The edge knows the version of each answer, and the deployments which version is the old one. In the seconds of a
//! period, that began with the first request that it measured, the old version's requests that were under way are the
//! reference. Once all traffic has moved there is none, as Lambda keeps no data by version then.

use super::deployments::Deployments;
use super::metrics::{Datum, Metric, Metrics, Version};
use causeway_model::alarm::Alarm;
use causeway_model::latency::{self, Point, Sample};

/// What tells versions apart among a metric's dimensions.
const VERSION: &str = "ExecutedVersion";

/// What the alarms of an account are compared with.
pub(super) struct Comparison<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) deployments: &'a Deployments,
    pub(super) account: &'a str,
}

/// A period of an alarm.
pub(super) struct Period {
    /// The statistic's value; `None` where there are no data.
    pub(super) value: Option<f64>,
    /// What it says.
    pub(super) point: Point,
    /// Whether a new version had a part in it.
    pub(super) of_new: bool,
}

impl Comparison<'_> {
    /// The periods that an alarm looks at, oldest first, when the last one ended at `end`, in seconds of AWS.
    pub(super) fn periods(&self, alarm: &Alarm, end: f64) -> Vec<Period> {
        self.cut(alarm, end, alarm.range())
    }

    /// The period that has begun at `now`, as far as it is over.
    pub(super) fn unfinished(&self, alarm: &Alarm, now: f64) -> Option<Period> {
        let end = ((now / alarm.period as f64).floor() + 1.0) * alarm.period as f64;
        self.cut(alarm, end, 1).pop()
    }

    fn cut(&self, alarm: &Alarm, end: f64, count: usize) -> Vec<Period> {
        let length = alarm.period as f64;
        let metric = self.metric(alarm);
        let versions = self.deployments.versions(self.account);
        let is_new = |one: &Version| {
            versions.get(&one.function).is_some_and(|(old, new)| *new == one.version && old != new)
        };
        let start = end - length * count as f64;
        let of_period = |(n, data): (usize, Vec<Datum>)| {
            let new: Vec<Sample> = data.iter().map(|datum| datum.sample).collect();
            // What is within the threshold is so on however busy a machine.
            let old = match latency::point(alarm, &new, &[]) {
                Point::Unjudged(_) => self.old(alarm, &metric, &data, start + length * (n + 1) as f64),
                _ => Vec::new(),
            };
            Period {
                value: alarm.statistic.of(&new.iter().map(|sample| sample.value).collect::<Vec<_>>()),
                point: latency::point(alarm, &new, &old),
                // What nobody answered may have been meant for it.
                of_new: data.iter().any(|datum| match &datum.by {
                    Some(by) => is_new(by),
                    None => datum.sample.late,
                }),
            }
        };
        self.metrics.periods(&metric, end, length, count).into_iter().enumerate().map(of_period).collect()
    }

    /// The metric of an alarm.
    fn metric(&self, alarm: &Alarm) -> Metric {
        Metric {
            account: self.account.to_owned(),
            namespace: alarm.namespace.clone(),
            name: alarm.metric.clone(),
            dimensions: alarm.dimensions.clone(),
        }
    }

    /// What the old versions took in the seconds of a period's data.
    fn old(&self, alarm: &Alarm, metric: &Metric, data: &[Datum], end: f64) -> Vec<Sample> {
        let own = metric.dimensions.iter().find(|(name, _)| name == VERSION).map(|(_, version)| version);
        let versions = self.deployments.versions(self.account);
        let is_old = |one: &Version| {
            versions.get(&one.function).is_some_and(|(old, new)| {
                *old == one.version && old != new && own.is_none_or(|own| own == new)
            })
        };
        let mut all = metric.clone();
        all.dimensions.retain(|(name, _)| name != VERSION);
        let function = all.dimensions.iter().find(|(name, _)| name == "FunctionName");
        let of =
            |one: &Version| function.is_none_or(|(_, function)| *function == one.function) && is_old(one);
        let from = data.iter().map(|datum| datum.began).fold(end, f64::min);
        let earliest = from - alarm.range() as f64 * alarm.period as f64;
        let mut old = self.metrics.beside(&all, of, (from, end), data.len(), earliest);
        // One that is not answered yet took at least so long; those that came in with the period say nothing yet.
        let waiting = self.metrics.under_way(self.account, from, of);
        let value = |millis: f64| if latency::is_latency(alarm) { millis } else { 0.0 };
        old.extend(waiting.into_iter().map(|millis| Sample { value: value(millis), millis, late: false }));
        old
    }

    /// How long each request of a function's version is under way already, in milliseconds.
    pub(super) fn waiting(&self, function: &str, version: &str) -> Vec<f64> {
        let of = |one: &Version| one.function == function && one.version == version;
        self.metrics.under_way(self.account, f64::INFINITY, of)
    }
}
