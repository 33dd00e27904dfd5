//! What a watcher of a deployment saw: who answered, how fast, how the deployment stood, and what that amounts to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::verdict::Verdict;

/// What became of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// When it was meant to be sent, in seconds since the watch began. Latency counts from here (an open model).
    pub(crate) intended: f64,
    /// Milliseconds from that time to the last byte of the answer.
    pub(crate) millis: f64,
    /// The version that answered; `None` where nobody said.
    pub(crate) version: Option<String>,
    /// What went wrong: an error status, a broken connection, a missing version.
    pub(crate) error: Option<String>,
}

/// What was seen of one version.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Seen {
    /// Requests it answered, errors included.
    pub(crate) requests: u64,
    /// Errors among them.
    pub(crate) errors: u64,
    /// The median of the latency, in milliseconds.
    pub(crate) p50: f64,
    /// Its 99th percentile.
    pub(crate) p99: f64,
}

/// A second of the watch.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Which one, counted from 0.
    pub(crate) at: u32,
    /// Requests meant to be sent in it.
    pub(crate) sent: u32,
    /// Who answered them.
    pub(crate) by_version: BTreeMap<String, u32>,
    /// Errors among them.
    pub(crate) errors: u32,
    /// Requests and errors by function.
    pub(crate) by_function: BTreeMap<String, Asked>,
    /// Percent that each shifting function's new version should get, by function, as CodeDeploy said it.
    pub(crate) intended: BTreeMap<String, f64>,
    /// Alarms in ALARM.
    pub(crate) alarms: Vec<String>,
}

/// What a function was asked in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Asked {
    /// Requests meant to be sent to it.
    pub(crate) sent: u32,
    /// Errors among them.
    pub(crate) errors: u32,
}

/// How one function's deployment stands, as CodeDeploy says it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Deploying {
    /// CodeDeploy's id.
    pub(crate) id: String,
    /// The function's name.
    pub(crate) function: String,
    /// CodeDeploy's word: `Created`, `Queued`, `InProgress`, `Succeeded`, `Failed`, `Stopped`.
    pub(crate) status: String,
    /// Lambda's number of the old version.
    pub(crate) old: String,
    /// Lambda's number of the new version.
    pub(crate) new: String,
    /// Percent for the new version.
    pub(crate) weight: f64,
    /// Lifecycle events and their status, in order.
    pub(crate) events: Vec<(String, String)>,
    /// CodeDeploy's code and message for what went wrong.
    pub(crate) error: Option<String>,
    /// The configuration's name.
    pub(crate) config: String,
}

impl Deploying {
    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        ["Succeeded", "Failed", "Stopped"].contains(&self.status.as_str())
    }

    /// The lifecycle event at work.
    pub(crate) fn at_work(&self) -> Option<&str> {
        self.events.iter().find(|(_, status)| status == "InProgress").map(|(name, _)| name.as_str())
    }

    /// The lifecycle event that failed.
    pub(crate) fn failed_at(&self) -> Option<&str> {
        self.events.iter().find(|(_, status)| status == "Failed").map(|(name, _)| name.as_str())
    }
}

/// Everything a watch saw.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Watched {
    /// The environment.
    pub(crate) env: String,
    /// The stack.
    pub(crate) stack: String,
    /// Requests a second that were meant to be sent.
    pub(crate) rate: f64,
    /// Second by second.
    pub(crate) seconds: Vec<Second>,
    /// By version.
    pub(crate) versions: BTreeMap<String, Seen>,
    /// Errors that no version answers for, by what went wrong.
    pub(crate) failures: BTreeMap<String, u64>,
    /// The first error, with its request id where there was one.
    pub(crate) first_error: Option<String>,
    /// The deployments it followed, as they stood at last.
    pub(crate) deployments: Vec<Deploying>,
    /// State of each alarm at last.
    pub(crate) alarms: BTreeMap<String, String>,
    /// Every alarm that was in ALARM while deployments were followed, in order.
    pub(crate) raised: Vec<String>,
}

/// The verdict over what was seen when the watch ended by itself, and its cause.
pub(crate) fn verdict(watched: &Watched, in_time: bool) -> (Verdict, Option<String>) {
    let answered: u64 = watched.versions.values().map(|seen| seen.requests).sum();
    let failed: u64 = watched.failures.values().sum();
    if let Some(bad) = watched.deployments.iter().find(|d| d.is_over() && d.status != "Succeeded") {
        let why = match (bad.failed_at(), watched.raised.first()) {
            (_, Some(alarm)) => format!("the alarm {alarm} took {} back", bad.function),
            (Some(event), None) => format!("{event} of {} failed", bad.function),
            (None, None) => format!("the deployment of {} was {}", bad.function, bad.status.to_lowercase()),
        };
        let why = match &bad.error {
            Some(error) => format!("{why}: {error}"),
            None => why,
        };
        return (Verdict::RolledBack, Some(why));
    }
    if answered == 0 && failed > 0 {
        let why = watched.first_error.clone().unwrap_or_else(|| "no request was answered".to_owned());
        return (Verdict::Unreachable, Some(why));
    }
    if watched.deployments.iter().any(|d| !d.is_over()) && !in_time {
        let why = watched.deployments.iter().find(|d| !d.is_over());
        return (
            Verdict::TimedOut,
            why.map(|d| format!("the deployment of {} is still in progress", d.function)),
        );
    }
    if watched.deployments.is_empty() {
        return (Verdict::NothingToWatch, None);
    }
    (Verdict::Healthy, None)
}
