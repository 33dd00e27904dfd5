//! Counts what a watcher sees: samples by second and by version, with percentiles.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use super::watch::{AlarmChange, Deploying, Sample, Second, Seen, Watched, judged};

/// The longest latency that is told apart, in microseconds: longer than a request may take.
const LONGEST: u64 = 120_000_000;

/// The count so far.
pub struct Tally {
    watched: Watched,
    latencies: BTreeMap<String, Histogram<u32>>,
    seconds: BTreeMap<u32, Second>,
    intended: BTreeMap<String, f64>,
    /// The share of each deployment, and the second at which it was seen first.
    since: BTreeMap<String, (f64, f64)>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(env: &str, stack: &str, rate: f64) -> Self {
        let watched = Watched { env: env.to_owned(), stack: stack.to_owned(), rate, ..Watched::default() };
        Self {
            watched,
            latencies: BTreeMap::new(),
            seconds: BTreeMap::new(),
            intended: BTreeMap::new(),
            since: BTreeMap::new(),
        }
    }

    /// How a version of a function is called here: both count on their own.
    pub fn key(function: &str, version: &str) -> String {
        format!("{function} {version}")
    }

    /// Counts a request to a function.
    pub fn add(&mut self, function: &str, sample: &Sample) {
        let second = self.second(sample.intended as u32);
        second.sent += 1;
        if let Some(version) = &sample.version {
            *second.by_version.entry(Self::key(function, version)).or_default() += 1;
        }
        let asked = second.by_function.entry(function.to_owned()).or_default();
        asked.sent += 1;
        if sample.error.is_some() {
            second.errors += 1;
            asked.errors += 1;
        }
        if let (Some(error), None) = (&sample.error, &self.watched.first_error) {
            self.watched.first_error = Some(error.clone());
        }
        let Some(version) = &sample.version else {
            let error = sample.error.clone().unwrap_or_else(|| "no version".to_owned());
            // Ids differ from one error to the next; what goes wrong does not.
            let kind = error.split(", request ").next().unwrap_or_default().to_owned();
            *self.watched.failures.entry(kind).or_default() += 1;
            return;
        };
        let key = Self::key(function, version);
        let seen = self.watched.versions.entry(key.clone()).or_default();
        seen.requests += 1;
        seen.errors += u64::from(sample.error.is_some());
        seen.says.extend(sample.says.clone());
        if !self.latencies.contains_key(&key)
            && let Ok(histogram) = Histogram::new_with_bounds(1, LONGEST, 3)
        {
            self.latencies.insert(key.clone(), histogram);
        }
        if let Some(histogram) = self.latencies.get_mut(&key) {
            histogram.saturating_record((sample.millis * 1_000.0) as u64);
        }
    }

    /// Notes where the requests go, and when the watch began.
    pub fn began(&mut self, address: &str, at: String) {
        (self.watched.address, self.watched.began) = (address.to_owned(), at);
    }

    /// Notes when the watch ended.
    pub fn ended(&mut self, at: String) {
        self.watched.ended = at;
    }

    /// Requests and errors so far that nobody but the watch judges.
    pub fn judged(&self) -> (u64, u64) {
        judged(self.seconds.values(), self.watched.over)
    }

    /// Notes that nothing could be found out about deployments; `None` where something could.
    pub fn blind(&mut self, why: Option<String>) {
        self.watched.blind = why;
    }

    /// Notes how the deployments stand.
    pub fn deployments(&mut self, at: f64, now: Vec<Deploying>) {
        for deploying in &now {
            let since = self.since.entry(deploying.id.clone()).or_insert((deploying.weight, at));
            if since.0 != deploying.weight {
                *since = (deploying.weight, at);
            }
            if !deploying.function.is_empty() {
                self.intended.insert(deploying.function.clone(), deploying.weight);
            }
        }
        let over = !now.is_empty() && now.iter().all(Deploying::is_over);
        self.watched.over = if over { self.watched.over.or(Some(at)) } else { None };
        self.watched.deployments = now;
        self.second(at as u32);
    }

    /// Notes the states of the alarms.
    pub fn alarms(&mut self, at: f64, now: BTreeMap<String, String>) {
        let raised: Vec<String> =
            now.iter().filter(|(_, state)| *state == "ALARM").map(|(name, _)| name.clone()).collect();
        for name in &raised {
            if !self.watched.raised.contains(name) {
                self.watched.raised.push(name.clone());
            }
        }
        for (alarm, state) in &now {
            if self.watched.alarms.get(alarm) != Some(state) {
                let at = (at * 10.0).round() / 10.0;
                self.watched.alarm_changes.push(AlarmChange {
                    at,
                    alarm: alarm.clone(),
                    state: state.clone(),
                    reason: String::new(),
                });
            }
        }
        self.watched.alarms = now;
        self.second(at as u32).alarms = raised;
    }

    /// Notes why an alarm is in the state that was noted last.
    pub fn because(&mut self, alarm: &str, reason: &str) {
        if let Some(change) = self.watched.alarm_changes.iter_mut().rev().find(|change| change.alarm == alarm)
        {
            reason.clone_into(&mut change.reason);
        }
    }

    /// Minutes of shift that a deployment has before it; `None` where its configuration is not known. `minute` is how many
    /// seconds one takes, where that is known.
    pub fn minutes_to_go(&self, deploying: &Deploying, at: f64, minute: Option<f64>) -> Option<u32> {
        let since = self.since.get(&deploying.id).map_or(at, |(_, since)| *since);
        let had_for = minute.map_or(0, |minute| ((at - since) / minute) as u32);
        Some(deploying.shifting?.minutes_to_go(deploying.weight.round() as u32, had_for))
    }

    fn second(&mut self, at: u32) -> &mut Second {
        let intended = self.intended.clone();
        let alarms = &self.watched.alarms;
        self.seconds.entry(at).or_insert_with(|| Second {
            at,
            intended,
            alarms: alarms
                .iter()
                .filter(|(_, state)| *state == "ALARM")
                .map(|(name, _)| name.clone())
                .collect(),
            ..Second::default()
        })
    }

    /// The share of a function's requests that its new version answered in the last seconds, in percent.
    pub fn observed(&self, function: &str, new: &str, seconds: usize) -> Option<f64> {
        let key = Self::key(function, new);
        let prefix = format!("{function} ");
        let (mut all, mut of_new) = (0_u32, 0_u32);
        for second in self.seconds.values().rev().skip(1).take(seconds) {
            for (version, count) in &second.by_version {
                if version.starts_with(&prefix) {
                    all += count;
                    of_new += if *version == key { *count } else { 0 };
                }
            }
        }
        (all > 0).then(|| f64::from(of_new) / f64::from(all) * 100.0)
    }

    /// Second by second, so far.
    pub fn seconds(&self) -> impl DoubleEndedIterator<Item = &Second> {
        self.seconds.values()
    }

    /// What was seen so far, without the seconds.
    pub fn so_far(&self) -> &Watched {
        &self.watched
    }

    /// The percentiles of a version, in milliseconds: the median and the 99th.
    pub fn latency(&self, key: &str) -> (f64, f64) {
        let of = |q: f64| {
            let micros = self.latencies.get(key).map_or(0, |histogram| histogram.value_at_quantile(q));
            (micros as f64 / 100.0).round() / 10.0
        };
        (of(0.5), of(0.99))
    }

    /// Everything that was seen.
    pub fn finish(&self) -> Watched {
        let mut watched = self.watched.clone();
        for (key, seen) in &mut watched.versions {
            (seen.p50, seen.p99) = self.latency(key);
        }
        watched.seconds = self.seconds.values().cloned().collect();
        watched
    }

    /// The versions that answered, with what was seen of each.
    pub fn versions(&self) -> Vec<(String, Seen)> {
        let of = |(key, seen): (&String, &Seen)| {
            let (p50, p99) = self.latency(key);
            (key.clone(), Seen { p50, p99, ..seen.clone() })
        };
        self.watched.versions.iter().map(of).collect()
    }

    /// The functions that were asked.
    pub fn functions(&self) -> BTreeSet<String> {
        self.seconds.values().flat_map(|second| second.by_function.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(intended: f64, millis: f64, version: Option<&str>, error: Option<&str>) -> Sample {
        Sample {
            intended,
            millis,
            version: version.map(Into::into),
            says: None,
            new_weight: None,
            error: error.map(Into::into),
        }
    }

    #[test]
    fn samples_are_counted_by_second_and_version() {
        let mut tally = Tally::new("prod", "s", 10.0);
        for n in 0..100_u32 {
            let version = if n % 10 == 0 { "4" } else { "3" };
            tally.add("f", &sample(f64::from(n) / 10.0, f64::from(n), Some(version), None));
        }
        tally.add("f", &sample(9.95, 5.0, Some("4"), Some("GET x answered 500, request 1")));
        tally.add("f", &sample(9.95, 5.0, None, Some("GET x answered 502, request 2")));
        tally.add("f", &sample(9.95, 5.0, None, Some("GET x answered 502, request 3")));
        assert_eq!(tally.observed("f", "4", 5), Some(10.0));
        assert_eq!(tally.observed("g", "4", 5), None);
        let watched = tally.finish();
        assert_eq!(watched.seconds.len(), 10);
        assert_eq!(watched.seconds[9].sent, 13);
        assert_eq!(watched.seconds.iter().map(|second| second.sent).sum::<u32>(), 103);
        assert_eq!((watched.versions["f 3"].requests, watched.versions["f 3"].p50), (90, 49.0));
        assert_eq!((watched.versions["f 4"].requests, watched.versions["f 4"].errors), (11, 1));
        assert_eq!(watched.failures, BTreeMap::from([("GET x answered 502".to_owned(), 2)]));
        assert_eq!(watched.first_error.as_deref(), Some("GET x answered 500, request 1"));
    }

    #[test]
    fn time_to_go_passes_where_it_is_known_how_long_a_minute_takes() {
        let mut deploying = Deploying { id: "d-1".to_owned(), weight: 25.0, ..Deploying::default() };
        let mut tally = Tally::new("prod", "s", 1.0);
        tally.deployments(10.0, vec![deploying.clone()]);
        assert_eq!(tally.minutes_to_go(&deploying, 10.0, Some(60.0)), None);
        deploying.shifting = Some(crate::rollout::Shifting::Linear { percent: 25, minutes: 10 });
        tally.deployments(70.0, vec![deploying.clone()]);
        assert_eq!(tally.minutes_to_go(&deploying, 140.0, Some(60.0)), Some(28));
        assert_eq!(tally.minutes_to_go(&deploying, 140.0, None), Some(30));
        deploying.weight = 50.0;
        tally.deployments(140.0, vec![deploying.clone()]);
        assert_eq!(tally.minutes_to_go(&deploying, 201.0, Some(60.0)), Some(19));
    }

    #[test]
    fn requests_after_the_last_deployment_are_counted_by_themselves() {
        let mut tally = Tally::new("prod", "s", 1.0);
        let of = |status: &str| vec![Deploying { status: status.to_owned(), ..Deploying::default() }];
        let ask = |tally: &mut Tally, at: f64| tally.add("f", &sample(at, 1.0, Some("1"), Some("bad")));
        ask(&mut tally, 0.0);
        assert_eq!(tally.judged(), (1, 1), "there is no deployment");
        tally.deployments(1.0, of("InProgress"));
        ask(&mut tally, 1.5);
        tally.deployments(2.5, of("Succeeded"));
        ask(&mut tally, 2.9);
        assert_eq!(tally.judged(), (0, 0), "the second in which it ended is its own");
        ask(&mut tally, 3.0);
        tally.deployments(4.0, of("Succeeded"));
        ask(&mut tally, 4.5);
        assert_eq!(tally.judged(), (2, 2), "it was over at 2.5");
        tally.deployments(5.0, [of("Succeeded"), of("InProgress")].concat());
        assert_eq!(tally.judged(), (5, 5), "another one began, and nobody has judged");
    }

    #[test]
    fn alarms_that_were_raised_are_remembered() {
        let mut tally = Tally::new("prod", "s", 1.0);
        let state = |word: &str| BTreeMap::from([("a".to_owned(), word.to_owned())]);
        tally.alarms(0.0, state("OK"));
        tally.alarms(1.2, state("ALARM"));
        tally.add("f", &sample(2.0, 1.0, Some("1"), None));
        tally.alarms(3.0, state("OK"));
        let watched = tally.finish();
        assert_eq!((watched.raised, watched.alarms["a"].as_str()), (vec!["a".to_owned()], "OK"));
        let at: Vec<usize> = watched.seconds.iter().map(|second| second.alarms.len()).collect();
        assert_eq!(at, [0, 1, 1, 0]);
        let changes: Vec<(f64, &str)> =
            watched.alarm_changes.iter().map(|change| (change.at, change.state.as_str())).collect();
        assert_eq!(changes, [(0.0, "OK"), (1.2, "ALARM"), (3.0, "OK")]);
    }
}
