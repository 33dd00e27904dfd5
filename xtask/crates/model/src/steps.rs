//! Counts requests by the step of the shift they met: how many were sent while the new version had a share, and who
//! answered them.
//!
//! An answer of the local cloud names the share at which its version was picked, so steady traffic need not know when a
//! step begins to be counted exactly. Where an answer does not come or names none, the step counts that had been told
//! when the request was to be sent.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Probe;
use super::watch::Sample;

/// How much later than its time a request may leave, in seconds: a step is told once all that were meant to be sent in
/// it, and so much longer, are heard of.
const SLACK: f64 = 0.1;

/// The steps of an environment's shifts.
pub struct Steps {
    env: String,
    rate: f64,
    functions: BTreeMap<String, Function>,
    /// Numbers of requests that were heard of out of turn.
    heard: BTreeSet<u64>,
    /// Every request before this one was heard of.
    next: u64,
    over: bool,
}

/// The steps of one function, and what was counted at each share.
#[derive(Default)]
struct Function {
    told: Vec<Step>,
    counts: BTreeMap<u32, Count>,
}

struct Step {
    new_weight: u32,
    /// Seconds since the traffic began.
    since: f64,
    reported: bool,
}

#[derive(Default)]
struct Count {
    sent: u32,
    by_version: BTreeMap<String, u32>,
    errors: u32,
}

impl Steps {
    /// Of an environment, for traffic of so many requests a second.
    pub fn new(env: &str, rate: f64) -> Self {
        Self {
            env: env.to_owned(),
            rate,
            functions: BTreeMap::new(),
            heard: BTreeSet::new(),
            next: 0,
            over: false,
        }
    }

    /// Notes that a function's new version has a share from now on, `at` seconds after the traffic began.
    pub fn weigh(&mut self, at: f64, function: &str, new_weight: u32) {
        let own = self.functions.entry(function.to_owned()).or_default();
        own.told.push(Step { new_weight, since: at, reported: false });
    }

    /// Counts a request to a function. Each request is counted once, in whatever order.
    pub fn add(&mut self, function: &str, sample: &Sample) {
        self.heard.insert((sample.intended * self.rate).round() as u64);
        while self.heard.remove(&self.next) {
            self.next += 1;
        }
        let own = self.functions.entry(function.to_owned()).or_default();
        let then = || own.told.iter().rfind(|step| step.since <= sample.intended).map(|step| step.new_weight);
        let Some(share) = sample.new_weight.or_else(then) else { return };
        let count = own.counts.entry(share).or_default();
        count.sent += 1;
        count.errors += u32::from(sample.error.is_some());
        if let Some(version) = &sample.version {
            *count.by_version.entry(version.clone()).or_default() += 1;
        }
    }

    /// Nothing more comes: every step is complete.
    pub fn over(&mut self) {
        self.over = true;
    }

    /// The steps that have become complete since this was asked last, each function's in order.
    pub fn complete(&mut self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (function, own) in &mut self.functions {
            for index in 0..own.told.len() {
                let ended = own.told.get(index + 1).map(|next| next.since);
                let heard = ended.is_some_and(|at| self.next as f64 > (at + SLACK) * self.rate);
                if !heard && !self.over {
                    break;
                }
                let step = &mut own.told[index];
                if std::mem::replace(&mut step.reported, true) {
                    continue;
                }
                let Count { sent, by_version, errors } =
                    own.counts.remove(&step.new_weight).unwrap_or_default();
                probes.push(Probe {
                    env: self.env.clone(),
                    function: function.clone(),
                    new_weight: step.new_weight,
                    sent,
                    by_version,
                    errors,
                });
            }
        }
        probes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(number: u32, new_weight: Option<u32>, version: Option<&str>) -> Sample {
        Sample {
            intended: f64::from(number) / 10.0,
            new_weight,
            version: version.map(ToOwned::to_owned),
            error: version.is_none().then(|| "no answer".to_owned()),
            ..Sample::default()
        }
    }

    fn told(probes: &[Probe]) -> Vec<(&str, u32, u32, u32)> {
        probes.iter().map(|p| (p.function.as_str(), p.new_weight, p.sent, p.errors)).collect()
    }

    #[test]
    fn a_request_belongs_to_the_share_it_was_picked_at() {
        let mut steps = Steps::new("prod", 10.0);
        // One that met a step that is told only later; then one before any step, whose answer was long in coming.
        steps.add("f", &sample(1, Some(10), Some("1")));
        steps.weigh(0.15, "f", 10);
        steps.add("f", &sample(0, None, Some("1")));
        steps.add("f", &sample(2, Some(10), Some("2")));
        steps.weigh(0.35, "f", 20);
        steps.add("f", &sample(3, Some(20), Some("1")));
        // Its answer was long in coming.
        assert!(steps.complete().is_empty(), "request 4 may still have met the first step");
        steps.add("f", &sample(5, None, None));
        assert!(steps.complete().is_empty());
        steps.add("f", &sample(4, Some(10), Some("1")));
        let probes = steps.complete();
        assert_eq!(told(&probes), [("f", 10, 3, 0)]);
        assert_eq!(probes[0].by_version, BTreeMap::from([("1".to_owned(), 2), ("2".to_owned(), 1)]));
        assert!(steps.complete().is_empty(), "each is told once");
        steps.over();
        assert_eq!(told(&steps.complete()), [("f", 20, 2, 1)], "what nobody answered counts by its time");
    }

    #[test]
    fn functions_are_counted_on_their_own_and_every_step_is_told() {
        let mut steps = Steps::new("prod", 10.0);
        steps.weigh(0.0, "f", 10);
        steps.weigh(0.0, "g", 100);
        steps.weigh(0.15, "f", 20);
        steps.add("g", &sample(0, None, Some("2")));
        steps.weigh(0.2, "f", 0);
        steps.add("f", &sample(1, Some(0), Some("1")));
        assert!(steps.complete().is_empty());
        for number in 2..4 {
            steps.add("g", &sample(number, Some(100), Some("2")));
        }
        // A step too short for any request has been, too.
        assert_eq!(told(&steps.complete()), [("f", 10, 0, 0), ("f", 20, 0, 0)]);
        steps.over();
        assert_eq!(told(&steps.complete()), [("f", 0, 1, 0), ("g", 100, 3, 0)]);
    }
}
