//! The metrics of the local cloud's CloudWatch, in scaled time: what AWS would have measured, what functions say of
//! themselves in their logs, what clients put. Alarms are evaluated from here and from nowhere else. Of each value it is
//! known which version it is of and when it began, so that versions can be compared in the same seconds.
//!
//! Whatever is put here is shown to clients as well, in the wall's time ([`super::shown`]).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

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

/// A value as clients see it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) metric: Metric,
    pub(super) unit: String,
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    pub(super) value: f64,
}

/// Every value of every metric, oldest first, and the requests that are not answered yet.
#[derive(Default)]
pub struct Metrics {
    values: Mutex<HashMap<Metric, VecDeque<Datum>>>,
    /// What no client could see yet.
    unseen: Mutex<Vec<Shown>>,
    /// Held while it is shown.
    pub(super) showing: tokio::sync::Mutex<()>,
    /// What was said of metrics that could not be taken, by account.
    complaints: Mutex<BTreeSet<(String, String)>>,
    under_way: Arc<Mutex<HashMap<u64, UnderWay>>>,
    next: AtomicU64,
}

/// A request that a version has not answered yet.
struct UnderWay {
    account: String,
    version: Version,
    /// In seconds of AWS.
    began: f64,
    since: Instant,
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
    /// A REST API's name, under which its metrics are kept; `None` for an HTTP API.
    pub rest: Option<&'a str>,
    /// The stage's name; empty where the request named none.
    pub stage: &'a str,
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
    /// Whether Lambda refused it, since too many ran already; then nothing else is known of it.
    pub throttled: bool,
    /// Milliseconds the function took.
    pub millis: f64,
}

impl Metrics {
    fn all(&self) -> MutexGuard<'_, HashMap<Metric, VecDeque<Datum>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a value: `began` and `at` are when its request came in and was answered, in seconds of AWS, `timestamp` is what
    /// clients see, in milliseconds since 1970.
    pub(super) fn put(
        &self,
        metric: &Metric,
        unit: &str,
        timestamp: i64,
        (began, at): (f64, f64),
        sample: Sample,
        by: Option<&Arc<Version>>,
    ) {
        let shown = Shown { metric: metric.clone(), unit: unit.to_owned(), timestamp, value: sample.value };
        self.unseen().push(shown);
        self.keep(metric, (began, at), sample, by);
    }

    /// Puts a value that clients see already.
    pub(super) fn keep(
        &self,
        metric: &Metric,
        (began, at): (f64, f64),
        sample: Sample,
        by: Option<&Arc<Version>>,
    ) {
        let mut all = self.all();
        let values = all.entry(metric.clone()).or_default();
        values.push_back(Datum { began: began.min(at), at, sample, by: by.cloned() });
        while values.front().is_some_and(|first| first.at < at - KEPT) || values.len() > MOST {
            values.pop_front();
        }
    }

    fn unseen(&self) -> MutexGuard<'_, Vec<Shown>> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What no client could see yet; it is to be shown now.
    pub(super) fn take_unseen(&self) -> Vec<Shown> {
        std::mem::take(&mut *self.unseen())
    }

    /// How many values no client could see yet.
    pub(super) fn count_unseen(&self) -> usize {
        self.unseen().len()
    }

    /// Whether this is said for the first time of an account's metrics.
    pub(super) fn is_new_complaint(&self, account: &str, message: &str) -> bool {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.insert((account.to_owned(), message.to_owned()))
    }

    /// Notes that a version was given a request, at a time in seconds of AWS.
    pub fn depart(&self, account: &str, function: &str, version: &str, began: f64) -> Departed {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = UnderWay {
            account: account.to_owned(),
            version: Version { function: function.to_owned(), version: version.to_owned() },
            began,
            since: Instant::now(),
        };
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        Departed { id, under_way: Arc::clone(&self.under_way) }
    }

    /// How long each request of these versions that began before a time is under way already, in milliseconds.
    pub fn under_way(&self, account: &str, before: f64, of: impl Fn(&Version) -> bool) -> Vec<f64> {
        let all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.values().filter(|one| one.account == account && one.began < before && of(&one.version));
        own.map(|one| one.since.elapsed().as_secs_f64() * 1_000.0).collect()
    }

    /// Records an answer at a time, in seconds of AWS, under every set of dimensions that AWS keeps; Lambda's metrics
    /// only where a function was invoked for it.
    ///
    /// Source: "Types of metrics for Lambda functions", "Monitor CloudWatch metrics for HTTP APIs" and "Amazon API Gateway
    /// dimensions and metrics".
    pub fn record(&self, at: f64, answered: &Answered<'_>, call: Option<&Invocation<'_>>) {
        let by = call.map(|call| {
            Arc::new(Version { function: call.function.to_owned(), version: call.version.to_owned() })
        });
        let now = causeway_machine::clock::now().as_millisecond();
        let put = |metric: &Metric, unit: &str, value: f64, millis: f64, late: bool| {
            let sample = Sample { value, millis, late };
            self.put(metric, unit, now, (answered.began, at), sample, by.as_ref());
        };
        if let Some(call) = call {
            let failed = f64::from(u8::from(call.failed));
            let (millis, late) = (call.millis, call.failed && answered.late);
            let ran = [
                ("Invocations", "Count", 1.0, false),
                ("Errors", "Count", failed, late),
                ("Duration", "Milliseconds", millis, false),
            ];
            let throttled = ("Throttles", "Count", f64::from(u8::from(call.throttled)), false);
            let ran = ran.into_iter().filter(|_| !call.throttled).chain([throttled]);
            for (name, unit, value, late) in ran {
                for dimensions in sets(call) {
                    let metric = metric(answered.account, "AWS/Lambda", name, dimensions);
                    put(&metric, unit, value, millis, late);
                }
            }
        }
        let (api, client, server) = match answered.rest {
            Some(name) => (pair("ApiName", name), "4XXError", "5XXError"),
            None => (pair("ApiId", answered.api), "4xx", "5xx"),
        };
        let is = |error: bool| f64::from(u8::from(error));
        let millis = answered.millis;
        let fault = answered.status >= 500;
        let integration = call.filter(|call| !call.throttled).map(|call| call.millis);
        let values = [
            ("Count", "Count", Some(1.0), millis, false),
            (client, "Count", Some(is((400..500).contains(&answered.status))), millis, false),
            (server, "Count", Some(is(fault)), millis, fault && answered.late),
            ("Latency", "Milliseconds", Some(millis), millis, false),
            ("IntegrationLatency", "Milliseconds", integration, integration.unwrap_or(millis), false),
        ];
        let staged = (!answered.stage.is_empty()).then(|| vec![api.clone(), pair("Stage", answered.stage)]);
        for dimensions in [Some(vec![api]), staged].into_iter().flatten() {
            for (name, unit, value, millis, late) in values {
                let Some(value) = value else { continue };
                let metric = metric(answered.account, "AWS/ApiGateway", name, dimensions.clone());
                put(&metric, unit, value, millis, late);
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
impl<'a> Answered<'a> {
    /// An answer of an HTTP API in its default stage, in time.
    pub fn http(account: &'a str, api: &'a str, status: u16, millis: f64) -> Self {
        Self { began: 0.0, account, api, rest: None, stage: "$default", status, millis, late: false }
    }
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
        Invocation {
            function: "f",
            alias: Some("live"),
            version: "4",
            failed,
            throttled: false,
            millis: 12.0,
        }
    }

    fn answered(status: u16) -> Answered<'static> {
        Answered::http("1", "a", status, 15.0)
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
    fn a_rest_api_is_measured_under_its_name() {
        let metrics = Metrics::default();
        metrics.record(1.0, &Answered { rest: Some("shop"), stage: "live", ..answered(502) }, None);
        metrics.record(2.0, &Answered { rest: Some("shop"), stage: "live", ..answered(403) }, None);
        for dimensions in
            [vec![pair("ApiName", "shop")], vec![pair("ApiName", "shop"), pair("Stage", "live")]]
        {
            let of = |name: &str| {
                metrics
                    .values(&metric("1", "AWS/ApiGateway", name, dimensions.clone()), 60.0, 60.0, 1)
                    .concat()
            };
            assert_eq!(
                (of("5XXError"), of("4XXError"), of("Count")),
                (vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0; 2])
            );
        }
        let of_http = metric("1", "AWS/ApiGateway", "5xx", vec![pair("ApiId", "a")]);
        assert_eq!(metrics.values(&of_http, 60.0, 60.0, 1).concat(), [0.0; 0]);
    }

    #[test]
    fn an_invocation_that_is_refused_is_throttled_and_nothing_else() {
        let metrics = Metrics::default();
        metrics.record(1.0, &answered(500), Some(&Invocation { throttled: true, ..call(false) }));
        metrics.record(2.0, &answered(200), Some(&call(false)));
        let own = [pair("FunctionName", "f"), pair("Resource", "f:live")];
        let of = |name: &str, dimensions: &[(String, String)]| {
            metrics.values(&metric("1", "AWS/Lambda", name, dimensions.to_vec()), 60.0, 60.0, 1).concat()
        };
        for dimensions in [&own[..1], &own[..]] {
            assert_eq!(of("Throttles", dimensions), [1.0, 0.0]);
            assert_eq!((of("Invocations", dimensions), of("Errors", dimensions)), (vec![1.0], vec![0.0]));
        }
        assert_eq!(of("Duration", &own), [12.0]);
        // A client sees every value, and each of them once.
        assert_eq!(metrics.take_unseen().len(), 3 + 3 * 4 + 2 * 4 + 2 * 5);
        assert_eq!(metrics.count_unseen(), 0);
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
