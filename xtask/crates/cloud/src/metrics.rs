//! What AWS would have measured, recorded by the edge in scaled time; of each value also which version it is of and when
//! it began, so that versions can be compared in the same seconds.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_machine::clock::Stopwatch;
use causeway_model::latency::Sample;

/// A metric: account, namespace, name, and its dimensions sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Metric {
    /// The account's id.
    pub account: String,
    /// For instance `AWS/Lambda`.
    pub namespace: String,
    /// For instance `Errors`.
    pub name: String,
    /// Name and value of each dimension.
    pub dimensions: Vec<(String, String)>,
}

/// How long values are kept, in seconds of AWS: longer than any alarm of ours looks back.
const KEPT: f64 = 6.0 * 3_600.0;
/// How many values of one metric are kept at most.
const MOST: usize = 100_000;

/// A version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The function's name.
    pub function: String,
    /// Lambda's number of the version.
    pub version: String,
}

/// A value of a metric. Times are seconds of AWS.
#[derive(Debug, Clone)]
pub struct Datum {
    /// When its request came in.
    pub began: f64,
    /// When it was answered.
    at: f64,
    /// The value.
    pub sample: Sample,
    /// The version that answered; `None` where none did.
    pub by: Option<Arc<Version>>,
}

/// Every value of every metric, oldest first, and the requests that are not answered yet.
#[derive(Default)]
pub struct Metrics {
    values: Mutex<HashMap<Metric, VecDeque<Datum>>>,
    under_way: Arc<Mutex<HashMap<u64, UnderWay>>>,
    next: AtomicU64,
}

/// A request that a version has not answered yet.
struct UnderWay {
    account: String,
    version: Version,
    /// In seconds of AWS.
    began: f64,
    watch: Stopwatch,
}

/// Dropped, its request is under way no more.
pub struct Departed {
    id: u64,
    under_way: Arc<Mutex<HashMap<u64, UnderWay>>>,
}

impl Drop for Departed {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// One answer of the edge, whoever gave it.
#[derive(Debug, Clone)]
pub struct Answered<'a> {
    /// When the request came in, in seconds of AWS.
    pub began: f64,
    /// The account's id.
    pub account: &'a str,
    /// The API's id.
    pub api: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Milliseconds from the request to the answer.
    pub millis: f64,
    /// Whether it is an error only because something took too long.
    pub late: bool,
}

/// The invocation behind an answer.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The alias it was invoked through.
    pub alias: Option<&'a str>,
    /// Lambda's number of the version that ran.
    pub version: &'a str,
    /// Whether it ended in a function error.
    pub failed: bool,
    /// Milliseconds the function took.
    pub millis: f64,
}

impl Metrics {
    fn all(&self) -> MutexGuard<'_, HashMap<Metric, VecDeque<Datum>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, metric: Metric, datum: Datum) {
        let mut all = self.all();
        let values = all.entry(metric).or_default();
        let oldest = datum.at - KEPT;
        values.push_back(datum);
        while values.front().is_some_and(|first| first.at < oldest) || values.len() > MOST {
            values.pop_front();
        }
    }

    /// Notes that a version was given a request, at a time in seconds of AWS.
    pub fn depart(&self, account: &str, function: &str, version: &str, began: f64) -> Departed {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = UnderWay {
            account: account.to_owned(),
            version: Version { function: function.to_owned(), version: version.to_owned() },
            began,
            watch: Stopwatch::start(),
        };
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        Departed { id, under_way: Arc::clone(&self.under_way) }
    }

    /// How long each request of these versions that began before a time is under way already, in milliseconds.
    pub fn under_way(&self, account: &str, before: f64, of: impl Fn(&Version) -> bool) -> Vec<f64> {
        let all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.values().filter(|one| one.account == account && one.began < before && of(&one.version));
        own.map(|one| one.watch.seconds() * 1_000.0).collect()
    }

    /// Records an answer at a time, in seconds of AWS, under every set of dimensions that AWS keeps; Lambda's metrics
    /// only where a function was invoked for it.
    ///
    /// Source: "Types of metrics for Lambda functions" and "Monitor CloudWatch metrics for HTTP APIs".
    pub fn record(&self, at: f64, answered: &Answered<'_>, call: Option<&Invocation<'_>>) {
        let by = call.map(|call| {
            Arc::new(Version { function: call.function.to_owned(), version: call.version.to_owned() })
        });
        let datum = |value: f64, millis: f64, late: bool| Datum {
            began: answered.began.min(at),
            at,
            sample: Sample { value, millis, late },
            by: by.clone(),
        };
        if let Some(call) = call {
            let failed = f64::from(u8::from(call.failed));
            let values = [
                ("Invocations", datum(1.0, call.millis, false)),
                ("Errors", datum(failed, call.millis, call.failed && answered.late)),
                ("Duration", datum(call.millis, call.millis, false)),
            ];
            for dimensions in sets(call) {
                for (name, datum) in &values {
                    let metric = metric(answered.account, "AWS/Lambda", name, dimensions.clone());
                    self.put(metric, datum.clone());
                }
            }
        }
        let api = pair("ApiId", answered.api);
        let is = |error: bool| f64::from(u8::from(error));
        let millis = answered.millis;
        let values = [
            ("Count", Some(datum(1.0, millis, false))),
            ("4xx", Some(datum(is((400..500).contains(&answered.status)), millis, false))),
            ("5xx", Some(datum(is(answered.status >= 500), millis, answered.status >= 500 && answered.late))),
            ("Latency", Some(datum(millis, millis, false))),
            ("IntegrationLatency", call.map(|call| datum(call.millis, call.millis, false))),
        ];
        for dimensions in [vec![api.clone()], vec![api, pair("Stage", "$default")]] {
            for (name, datum) in &values {
                let Some(datum) = datum else { continue };
                let metric = metric(answered.account, "AWS/ApiGateway", name, dimensions.clone());
                self.put(metric, datum.clone());
            }
        }
    }

    /// The data of each of so many periods up to an end, oldest first.
    pub fn periods(&self, metric: &Metric, end: f64, period: f64, count: usize) -> Vec<Vec<Datum>> {
        let all = self.all();
        let start = end - period * count as f64;
        let mut periods = vec![Vec::new(); count];
        for datum in all.get(metric).into_iter().flatten() {
            if datum.at >= start && datum.at < end {
                let index = ((datum.at - start) / period) as usize;
                if let Some(data) = periods.get_mut(index) {
                    data.push(datum.clone());
                }
            }
        }
        periods
    }

    /// What a metric measured of these versions' requests that were under way between two times. Where there are any, but
    /// fewer than `count`, those just before join them, down to `earliest`: the slowest of one request says less than the
    /// slowest of many.
    pub fn beside(
        &self,
        metric: &Metric,
        of: impl Fn(&Version) -> bool,
        (from, to): (f64, f64),
        count: usize,
        earliest: f64,
    ) -> Vec<Sample> {
        let all = self.all();
        let own = all.get(metric).into_iter().flatten().rev();
        let own = own.filter(|datum| datum.began < to && datum.by.as_deref().is_some_and(&of));
        let mut found = Vec::new();
        let mut earlier = Vec::new();
        for datum in own {
            if datum.at >= from {
                found.push(datum.sample);
            } else if datum.at >= earliest && earlier.len() < count {
                earlier.push(datum.sample);
            }
        }
        if !found.is_empty() {
            let more = count.saturating_sub(found.len());
            found.extend(earlier.into_iter().take(more));
        }
        found
    }
}

/// The dimensions under which Lambda keeps an invocation.
fn sets(call: &Invocation<'_>) -> Vec<Vec<(String, String)>> {
    let own = pair("FunctionName", call.function);
    let mut sets = vec![vec![own.clone()]];
    if let Some(alias) = call.alias {
        let resource = pair("Resource", &format!("{}:{alias}", call.function));
        sets.push(vec![own.clone(), resource.clone()]);
        sets.push(vec![pair("ExecutedVersion", call.version), own, resource]);
    }
    sets
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn metric(account: &str, namespace: &str, name: &str, mut dimensions: Vec<(String, String)>) -> Metric {
    dimensions.sort();
    Metric { account: account.to_owned(), namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Metrics {
        /// The values of each of the last periods that are over, oldest first.
        pub fn values(&self, metric: &Metric, now: f64, period: f64, count: usize) -> Vec<Vec<f64>> {
            let periods = self.periods(metric, (now / period).floor() * period, period, count);
            periods.iter().map(|data| data.iter().map(|datum| datum.sample.value).collect()).collect()
        }
    }

    fn call(failed: bool) -> Invocation<'static> {
        Invocation { function: "f", alias: Some("live"), version: "4", failed, millis: 12.0 }
    }

    fn answered(status: u16) -> Answered<'static> {
        Answered { began: 0.0, account: "1", api: "a", status, millis: 15.0, late: false }
    }

    #[test]
    fn an_invocation_counts_under_every_set_of_dimensions() {
        let metrics = Metrics::default();
        metrics.record(10.0, &answered(500), Some(&call(true)));
        metrics.record(70.0, &answered(404), Some(&call(false)));
        let of = |namespace: &str, name: &str, dimensions: &[(&str, &str)]| {
            let dimensions = dimensions.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            metrics.values(&metric("1", namespace, name, dimensions), 125.0, 60.0, 3)
        };
        let expected: Vec<Vec<f64>> = vec![vec![], vec![1.0], vec![0.0]];
        let alias = ("Resource", "f:live");
        assert_eq!(of("AWS/Lambda", "Errors", &[("FunctionName", "f")]), expected);
        assert_eq!(of("AWS/Lambda", "Errors", &[alias, ("FunctionName", "f")]), expected);
        assert_eq!(
            of("AWS/Lambda", "Errors", &[("FunctionName", "f"), alias, ("ExecutedVersion", "4")]),
            expected
        );
        assert_eq!(
            of("AWS/Lambda", "Errors", &[("FunctionName", "f"), alias, ("ExecutedVersion", "3")]),
            vec![Vec::<f64>::new(); 3]
        );
        // How long a version takes is its own, as its errors are: deployments are stopped by either.
        let version = |number| [("FunctionName", "f"), alias, ("ExecutedVersion", number)];
        let duration: Vec<Vec<f64>> = vec![vec![], vec![12.0], vec![12.0]];
        assert_eq!(of("AWS/Lambda", "Duration", &version("4")), duration);
        assert_eq!(of("AWS/Lambda", "Duration", &version("3")), vec![Vec::<f64>::new(); 3]);
        assert_eq!(of("AWS/ApiGateway", "5xx", &[("ApiId", "a")]), expected);
        assert_eq!(of("AWS/ApiGateway", "4xx", &[("ApiId", "a")]), [vec![], vec![0.0], vec![1.0]]);
    }

    #[test]
    fn an_answer_without_a_function_counts_for_the_api_alone() {
        let metrics = Metrics::default();
        for (at, status) in [(1.0, 404), (2.0, 403), (3.0, 500)] {
            metrics.record(at, &answered(status), None);
        }
        metrics.record(4.0, &answered(200), Some(&call(false)));
        let api = |name: &str| {
            let dimensions = vec![pair("ApiId", "a"), pair("Stage", "$default")];
            metrics.values(&metric("1", "AWS/ApiGateway", name, dimensions), 60.0, 60.0, 1).concat()
        };
        assert_eq!(api("Count"), [1.0; 4]);
        assert_eq!((api("4xx"), api("5xx")), (vec![1.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]));
        assert_eq!((api("Latency"), api("IntegrationLatency")), (vec![15.0; 4], vec![12.0]));
        let invocations = metric("1", "AWS/Lambda", "Invocations", vec![pair("FunctionName", "f")]);
        assert_eq!(metrics.values(&invocations, 60.0, 60.0, 1), [vec![1.0]]);
    }

    #[test]
    fn only_periods_that_are_over_count() {
        let metrics = Metrics::default();
        metrics.record(59.9, &answered(500), Some(&call(true)));
        let errors = metric("1", "AWS/Lambda", "Errors", vec![("FunctionName".into(), "f".into())]);
        assert_eq!(metrics.values(&errors, 59.95, 60.0, 1), [Vec::<f64>::new()]);
        assert_eq!(metrics.values(&errors, 60.0, 60.0, 1), [vec![1.0]]);
    }
}
