//! What a watcher of a deployment saw: who answered, how fast, how the deployment stood, and what that amounts to.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::line::Status;
use super::rollout::Shifting;
use super::verdict::Verdict;

/// What became of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// When it was meant to be sent, in seconds since the watch began. Latency counts from here (an open model).
    pub intended: f64,
    /// Milliseconds from that time to the last byte of the answer.
    pub millis: f64,
    /// The version that answered; `None` where nobody said.
    pub version: Option<String>,
    /// The workload's own version, as the answer says it.
    pub says: Option<String>,
    /// Percent that the new version had when the version was picked, where the answer says it.
    pub new_weight: Option<u32>,
    /// What went wrong: an error status, a broken connection, a missing version.
    pub error: Option<String>,
}

/// What was seen of one version.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Requests it answered, errors included.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// The median of the latency, in milliseconds.
    pub p50: f64,
    /// Its 99th percentile.
    pub p99: f64,
    /// The workload's versions that its answers named: one, unless something is wrong.
    pub says: BTreeSet<String>,
}

/// A second of the watch.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Second {
    /// Which one, counted from 0.
    pub at: u32,
    /// Requests meant to be sent in it.
    pub sent: u32,
    /// Who answered them.
    pub by_version: BTreeMap<String, u32>,
    /// Errors among them.
    pub errors: u32,
    /// Requests and errors by function.
    pub by_function: BTreeMap<String, Asked>,
    /// Percent that each shifting function's new version should get, by function, as CodeDeploy said it.
    pub intended: BTreeMap<String, f64>,
    /// Alarms in ALARM.
    pub alarms: Vec<String>,
}

/// What a function was asked in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Requests meant to be sent to it.
    pub sent: u32,
    /// Errors among them.
    pub errors: u32,
}

/// How one function's deployment stands, as CodeDeploy says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Deploying {
    /// CodeDeploy's id.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// CodeDeploy's word: `Created`, `Queued`, `InProgress`, `Succeeded`, `Failed`, `Stopped`.
    pub status: String,
    /// Lambda's number of the old version.
    pub old: String,
    /// Lambda's number of the new version.
    pub new: String,
    /// Percent for the new version.
    pub weight: f64,
    /// Lifecycle events and their status, in order.
    pub events: Vec<(String, String)>,
    /// CodeDeploy's code and message for what went wrong.
    pub error: Option<String>,
    /// The configuration's name.
    pub config: String,
    /// What that configuration says, where it is known.
    #[serde(skip)]
    pub shifting: Option<Shifting>,
}

impl Deploying {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        ["Succeeded", "Failed", "Stopped"].contains(&self.status.as_str())
    }

    /// Takes over what the rollout engine of the local cloud says of a part: `pre-hook`, `shift` or `post-hook`.
    pub fn phase(&mut self, part: &str, status: Status, reason: Option<&str>) {
        let event = match part {
            "pre-hook" => "BeforeAllowTraffic",
            "post-hook" => "AfterAllowTraffic",
            _ => "AllowTraffic",
        };
        let word = match status {
            Status::Started => "InProgress",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
            Status::NotRun => "Skipped",
        };
        match self.events.iter_mut().find(|(name, _)| name == event) {
            Some((_, before)) => *before = word.to_owned(),
            None => self.events.push((event.to_owned(), word.to_owned())),
        }
        if status == Status::Failed {
            self.status = "Failed".to_owned();
            self.error = reason.map(ToOwned::to_owned);
        }
    }

    /// The lifecycle event at work.
    pub fn at_work(&self) -> Option<&str> {
        self.events.iter().find(|(_, status)| status == "InProgress").map(|(name, _)| name.as_str())
    }

    /// Why it was rolled back, by CodeDeploy's own code (`ErrorInformation` in the API reference); the alarm is the one that
    /// its message names, among those that were seen in ALARM.
    fn cause(&self, raised: &[String]) -> String {
        let error = self.error.as_deref().unwrap_or_default();
        let hook = self.failed_at().filter(|event| *event != "AllowTraffic");
        let named = raised.iter().find(|alarm| error.contains(alarm.as_str()));
        let alarm = match (error.starts_with("ALARM_ACTIVE"), hook, error.starts_with("MANUAL_STOP")) {
            (true, _, _) => named.or_else(|| raised.first()),
            (_, Some(_), _) | (_, _, true) => None,
            _ => named.or_else(|| raised.first().filter(|_| self.error.is_none())),
        };
        let why = match (alarm, self.failed_at()) {
            (Some(alarm), _) => format!("{}: alarm {alarm} is in ALARM", self.function),
            (None, Some(event)) => format!("{event} of {} failed", self.function),
            (None, None) => format!("the deployment of {} was {}", self.function, self.status.to_lowercase()),
        };
        if error.is_empty() { why } else { format!("{why}: {error}") }
    }

    /// The lifecycle event that failed.
    pub fn failed_at(&self) -> Option<&str> {
        self.events.iter().find(|(_, status)| status == "Failed").map(|(name, _)| name.as_str())
    }
}

/// Everything a watch saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Watched {
    /// The environment.
    pub env: String,
    /// The stack.
    pub stack: String,
    /// The API's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Requests a second that were meant to be sent.
    pub rate: f64,
    /// When the watch began (UTC, RFC 3339).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub began: String,
    /// When it ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ended: String,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// By version.
    pub versions: BTreeMap<String, Seen>,
    /// Errors that no version answers for, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// The first error, with its request id where there was one.
    pub first_error: Option<String>,
    /// The deployments it followed, as they stood at last.
    pub deployments: Vec<Deploying>,
    /// State of each alarm at last.
    pub alarms: BTreeMap<String, String>,
    /// Every alarm that was in ALARM while deployments were followed, in order.
    pub raised: Vec<String>,
    /// Seconds since the watch began when every deployment that was seen was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<f64>,
    /// Why nothing is known about a deployment, where that is so: CodeDeploy or CloudWatch never answered, or not for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// Every change of an alarm's state, in order; the first state of each is one.
    pub alarm_changes: Vec<AlarmChange>,
}

/// An alarm changed its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlarmChange {
    /// Seconds since the watch began.
    pub at: f64,
    /// The alarm's name.
    pub alarm: String,
    /// Its state from then on.
    pub state: String,
    /// Why, in CloudWatch's words, with the values and the threshold; empty where nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Fewer requests than this say nothing about a share of errors.
pub const ENOUGH: u64 = 50;

/// What a watch is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Percent of the requests that may fail.
    pub max_errors: f64,
    /// Whether a deployment was waited for, so that none is no good end.
    pub awaited: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { max_errors: 1.0, awaited: false }
    }
}

/// Requests and errors that nobody but the watch judges: all of them, or those after the last deployment, which CodeDeploy
/// had judged by then. One that still runs at the end was judged by nobody yet.
pub fn judged<'a>(seconds: impl IntoIterator<Item = &'a Second>, over: Option<f64>) -> (u64, u64) {
    let from = over.map_or(0, |over| over.ceil() as u32);
    let after = seconds.into_iter().filter(|second| second.at >= from);
    after.fold((0, 0), |(sent, errors), s| (sent + u64::from(s.sent), errors + u64::from(s.errors)))
}

/// Why the share of errors is too large, where it is.
fn failing(watched: &Watched, terms: Terms) -> Option<String> {
    let (sent, errors) = judged(&watched.seconds, watched.over);
    let share = errors as f64 * 100.0 / sent as f64;
    if sent < ENOUGH || share <= terms.max_errors {
        return None;
    }
    let when = match (watched.over, watched.deployments.is_empty()) {
        (Some(_), _) => " after the deployment",
        (None, false) => ", and the deployment goes on",
        (None, true) => "",
    };
    let first = watched.first_error.as_deref().unwrap_or("unknown");
    let most = terms.max_errors;
    Some(format!(
        "{errors} of {sent} requests failed{when}: {share:.1} %, and {most} % may; the first error: {first}"
    ))
}

/// The verdict over what was seen when the watch ended by itself, and its cause.
pub fn verdict(watched: &Watched, in_time: bool, terms: Terms) -> (Verdict, Option<String>) {
    let answered: u64 = watched.versions.values().map(|seen| seen.requests).sum();
    let failed: u64 = watched.failures.values().sum();
    // One that failed by itself comes before those that were stopped with it.
    let bad = |status: &str| watched.deployments.iter().find(|d| d.status == status);
    if let Some(bad) = bad("Failed").or_else(|| bad("Stopped")) {
        let mut why = bad.cause(&watched.raised);
        if let Some(error) = &watched.first_error {
            why = format!("{why}; the first error: {error}");
        }
        return (Verdict::RolledBack, Some(why));
    }
    if answered == 0 && failed > 0 {
        let why = watched.first_error.clone().unwrap_or_else(|| "no request was answered".to_owned());
        return (Verdict::Unreachable, Some(why));
    }
    if let (Some(why), true) = (&watched.blind, watched.deployments.is_empty()) {
        return (Verdict::Unreachable, Some(why.clone()));
    }
    if watched.deployments.iter().any(|d| !d.is_over()) && !in_time {
        let why = watched.deployments.iter().find(|d| !d.is_over());
        return (
            Verdict::TimedOut,
            why.map(|d| format!("the deployment of {} is still in progress", d.function)),
        );
    }
    if let Some(why) = failing(watched, terms) {
        return (Verdict::Failed, Some(why));
    }
    if watched.deployments.is_empty() && terms.awaited {
        return (Verdict::TimedOut, Some("no deployment began while it was waited for".to_owned()));
    }
    if watched.deployments.is_empty() {
        return (Verdict::NothingToWatch, None);
    }
    (Verdict::Healthy, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deploying(function: &str, status: &str, failed: Option<&str>) -> Deploying {
        let mut deploying =
            Deploying { function: function.into(), status: status.into(), ..Deploying::default() };
        if let Some(event) = failed {
            deploying.events.push((event.into(), "Failed".into()));
            deploying.error = Some("HEALTH_CONSTRAINTS: it reported Failed".into());
        }
        deploying
    }

    fn seen(deployments: Vec<Deploying>, raised: &[&str], answered: u64, failed: u64) -> Watched {
        Watched {
            deployments,
            raised: raised.iter().map(|name| (*name).to_owned()).collect(),
            versions: BTreeMap::from([("f 1".to_owned(), Seen { requests: answered, ..Seen::default() })]),
            failures: BTreeMap::from([("no answer".to_owned(), failed)]),
            first_error: (failed > 0).then(|| "no answer".to_owned()),
            ..Watched::default()
        }
    }

    #[test]
    fn the_verdict_follows_from_what_was_seen() {
        let taken = deploying("g", "Stopped", Some("BeforeAllowTraffic"));
        let (good, bad) =
            (deploying("f", "Succeeded", None), deploying("f", "Failed", Some("BeforeAllowTraffic")));
        let stopped = deploying("g", "Stopped", None);
        let going = deploying("f", "InProgress", None);
        let table = [
            (seen(vec![good.clone()], &[], 10, 0), true, Verdict::Healthy, None),
            (seen(vec![good.clone()], &[], 10, 3), true, Verdict::Healthy, None),
            (
                seen(vec![taken, bad.clone()], &[], 10, 0),
                true,
                Verdict::RolledBack,
                Some("BeforeAllowTraffic of f failed: HEALTH_CONSTRAINTS: it reported Failed"),
            ),
            (
                seen(vec![good.clone(), stopped.clone()], &["slow"], 10, 0),
                true,
                Verdict::RolledBack,
                Some("g: alarm slow is in ALARM"),
            ),
            (
                seen(vec![stopped], &[], 10, 0),
                true,
                Verdict::RolledBack,
                Some("the deployment of g was stopped"),
            ),
            (
                seen(vec![going.clone()], &[], 10, 0),
                false,
                Verdict::TimedOut,
                Some("the deployment of f is still in progress"),
            ),
            (seen(vec![going.clone()], &[], 10, 0), true, Verdict::Healthy, None),
            (seen(vec![], &[], 10, 0), true, Verdict::NothingToWatch, None),
            (seen(vec![], &[], 0, 4), true, Verdict::Unreachable, Some("no answer")),
            // A deployment that is rolled back while nobody answers was rolled back.
            (
                seen(vec![bad], &[], 0, 4),
                true,
                Verdict::RolledBack,
                Some(
                    "BeforeAllowTraffic of f failed: HEALTH_CONSTRAINTS: it reported Failed; the first error: no answer",
                ),
            ),
        ];
        for (watched, in_time, verdict, cause) in table {
            let found = super::verdict(&watched, in_time, Terms::default());
            assert_eq!((found.0, found.1.as_deref()), (verdict, cause), "{watched:?}");
        }
    }

    /// Seconds with so many requests and errors each.
    fn seconds(all: &[(u32, u32)]) -> Vec<Second> {
        let second = |(at, (sent, errors)): (u32, &(u32, u32))| Second {
            at,
            sent: *sent,
            errors: *errors,
            ..Second::default()
        };
        (0..).zip(all).map(second).collect()
    }

    #[test]
    fn a_share_of_errors_counts_where_codedeploy_does_not_decide() {
        use Verdict::{Failed, Healthy, NothingToWatch, RolledBack, TimedOut};
        let one = |status: &str| vec![deploying("f", status, None)];
        let few = Terms::default();
        let many = Terms { max_errors: 60.0, awaited: false };
        let none = Terms { max_errors: 0.0, awaited: false };
        let awaited = Terms { awaited: true, ..few };
        type Row = (Vec<Deploying>, Option<f64>, &'static [(u32, u32)], bool, Terms, Verdict);
        let table: [Row; 17] = [
            // No deployment: half of the answers are errors.
            (vec![], None, &[(50, 25)], true, few, Failed),
            (vec![], None, &[(50, 25)], true, many, NothingToWatch),
            (vec![], None, &[(49, 25)], true, few, NothingToWatch),
            (vec![], None, &[(100, 1)], true, few, NothingToWatch),
            (vec![], None, &[(100, 2)], true, few, Failed),
            (vec![], None, &[(100, 1)], true, none, Failed),
            (vec![], None, &[(100, 0)], true, none, NothingToWatch),
            (vec![], None, &[(100, 0)], true, awaited, TimedOut),
            (vec![], None, &[(100, 2)], true, awaited, Failed),
            // What failed before its end CodeDeploy judged; what fails after it nobody else does.
            (one("Succeeded"), Some(1.5), &[(50, 50), (50, 50), (60, 0)], true, few, Healthy),
            (one("Succeeded"), Some(1.5), &[(50, 0), (50, 0), (60, 30)], true, few, Failed),
            (one("Succeeded"), Some(1.5), &[(50, 50), (50, 50), (49, 30)], true, few, Healthy),
            (one("Succeeded"), Some(1.5), &[(50, 0), (50, 0), (60, 0)], true, awaited, Healthy),
            // It was rolled back, whatever the share.
            (one("Stopped"), Some(1.5), &[(50, 50), (50, 50), (60, 60)], true, few, RolledBack),
            // It goes on at the end of `--for`, and half of the answers are errors.
            (one("InProgress"), None, &[(50, 25)], true, few, Failed),
            (one("InProgress"), None, &[(50, 0)], true, few, Healthy),
            (one("InProgress"), None, &[(50, 25)], false, few, TimedOut),
        ];
        for (deployments, over, counts, in_time, terms, verdict) in table {
            let mut watched = seen(deployments, &[], 10, 0);
            (watched.seconds, watched.over) = (seconds(counts), over);
            let found = super::verdict(&watched, in_time, terms);
            assert_eq!(found.0, verdict, "{counts:?} {over:?} {terms:?} {found:?}");
        }
        let mut watched = seen(one("Succeeded"), &[], 30, 30);
        (watched.seconds, watched.over) = (seconds(&[(9, 9), (60, 30)]), Some(0.4));
        assert_eq!(
            super::verdict(&watched, true, few).1.unwrap(),
            "30 of 60 requests failed after the deployment: 50.0 %, and 1 % may; the first error: no answer"
        );
    }

    #[test]
    fn parts_of_the_engine_are_events_of_codedeploy() {
        let mut deploying = Deploying { status: "InProgress".into(), ..Deploying::default() };
        deploying.phase("pre-hook", Status::Started, None);
        assert_eq!(deploying.at_work(), Some("BeforeAllowTraffic"));
        deploying.phase("pre-hook", Status::Succeeded, None);
        deploying.phase("shift", Status::Started, None);
        assert_eq!(deploying.at_work(), Some("AllowTraffic"));
        deploying.phase("shift", Status::Failed, Some("an alarm"));
        assert_eq!((deploying.failed_at(), deploying.is_over()), (Some("AllowTraffic"), true));
        assert_eq!(deploying.error.as_deref(), Some("an alarm"));
    }
}
