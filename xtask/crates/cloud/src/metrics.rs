//! What AWS would have measured, recorded by the edge in scaled time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Every value of every metric, oldest first.
#[derive(Default)]
pub struct Metrics(Mutex<HashMap<Metric, VecDeque<(f64, f64)>>>);

/// One answer of the edge, whoever gave it.
#[derive(Debug, Clone)]
pub struct Answered<'a> {
    /// The account's id.
    pub account: &'a str,
    /// The API's id.
    pub api: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Milliseconds from the request to the answer.
    pub millis: f64,
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
    fn all(&self) -> MutexGuard<'_, HashMap<Metric, VecDeque<(f64, f64)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, metric: Metric, at: f64, value: f64) {
        let mut all = self.all();
        let values = all.entry(metric).or_default();
        values.push_back((at, value));
        while values.front().is_some_and(|(first, _)| *first < at - KEPT) || values.len() > MOST {
            values.pop_front();
        }
    }

    /// Records an answer at a time, in seconds of AWS, under every set of dimensions that AWS keeps; Lambda's metrics
    /// only where a function was invoked for it.
    ///
    /// Source: "Types of metrics for Lambda functions" and "Monitor CloudWatch metrics for HTTP APIs".
    pub fn record(&self, at: f64, answered: &Answered<'_>, call: Option<&Invocation<'_>>) {
        if let Some(call) = call {
            self.record_invocation(at, answered.account, call);
        }
        let api = pair("ApiId", answered.api);
        let client = f64::from(u8::from((400..500).contains(&answered.status)));
        let server = f64::from(u8::from(answered.status >= 500));
        let values = [
            ("Count", Some(1.0)),
            ("4xx", Some(client)),
            ("5xx", Some(server)),
            ("Latency", Some(answered.millis)),
            ("IntegrationLatency", call.map(|call| call.millis)),
        ];
        for dimensions in [vec![api.clone()], vec![api, pair("Stage", "$default")]] {
            for (name, value) in values {
                let Some(value) = value else { continue };
                self.put(metric(answered.account, "AWS/ApiGateway", name, dimensions.clone()), at, value);
            }
        }
    }

    fn record_invocation(&self, at: f64, account: &str, call: &Invocation<'_>) {
        let mut sets = vec![vec![pair("FunctionName", call.function)]];
        if let Some(alias) = call.alias {
            let resource = format!("{}:{alias}", call.function);
            let own = pair("FunctionName", call.function);
            sets.push(vec![own.clone(), pair("Resource", &resource)]);
            sets.push(vec![pair("ExecutedVersion", call.version), own, pair("Resource", &resource)]);
        }
        for dimensions in sets {
            for (name, value) in [
                ("Invocations", 1.0),
                ("Errors", f64::from(u8::from(call.failed))),
                ("Duration", call.millis),
            ] {
                self.put(metric(account, "AWS/Lambda", name, dimensions.clone()), at, value);
            }
        }
    }

    /// The values of each of the last periods that are over, oldest first.
    pub fn periods(&self, metric: &Metric, now: f64, period: f64, count: usize) -> Vec<Vec<f64>> {
        let all = self.all();
        let end = (now / period).floor() * period;
        let start = end - period * count as f64;
        let mut periods = vec![Vec::new(); count];
        for (at, value) in all.get(metric).into_iter().flatten() {
            if *at >= start && *at < end {
                let index = ((at - start) / period) as usize;
                if let Some(values) = periods.get_mut(index) {
                    values.push(*value);
                }
            }
        }
        periods
    }
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

    fn call(failed: bool) -> Invocation<'static> {
        Invocation { function: "f", alias: Some("live"), version: "4", failed, millis: 12.0 }
    }

    fn answered(status: u16) -> Answered<'static> {
        Answered { account: "1", api: "a", status, millis: 15.0 }
    }

    #[test]
    fn an_invocation_counts_under_every_set_of_dimensions() {
        let metrics = Metrics::default();
        metrics.record(10.0, &answered(500), Some(&call(true)));
        metrics.record(70.0, &answered(404), Some(&call(false)));
        let of = |namespace: &str, name: &str, dimensions: &[(&str, &str)]| {
            let dimensions = dimensions.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            metrics.periods(&metric("1", namespace, name, dimensions), 125.0, 60.0, 3)
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
            metrics.periods(&metric("1", "AWS/ApiGateway", name, dimensions), 60.0, 60.0, 1).concat()
        };
        assert_eq!(api("Count"), [1.0; 4]);
        assert_eq!((api("4xx"), api("5xx")), (vec![1.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]));
        assert_eq!((api("Latency"), api("IntegrationLatency")), (vec![15.0; 4], vec![12.0]));
        let invocations = metric("1", "AWS/Lambda", "Invocations", vec![pair("FunctionName", "f")]);
        assert_eq!(metrics.periods(&invocations, 60.0, 60.0, 1), [vec![1.0]]);
    }

    #[test]
    fn only_periods_that_are_over_count() {
        let metrics = Metrics::default();
        metrics.record(59.9, &answered(500), Some(&call(true)));
        let errors = metric("1", "AWS/Lambda", "Errors", vec![("FunctionName".into(), "f".into())]);
        assert_eq!(metrics.periods(&errors, 59.95, 60.0, 1), [Vec::<f64>::new()]);
        assert_eq!(metrics.periods(&errors, 60.0, 60.0, 1), [vec![1.0]]);
    }
}
