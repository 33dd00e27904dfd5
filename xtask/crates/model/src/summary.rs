//! What a release or a watch comes to, in sentences: the same ones in a terminal, in the JSON result and on the page.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::Fault;
use super::verdict::Verdict;

/// The end of a release, as somebody asks about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What happened, and to what: one sentence.
    pub happened: String,
    /// Why, with the threshold and the value of an alarm; empty where nothing failed.
    pub why: String,
    /// The first error that a request met; empty where there was none.
    pub first_error: String,
    /// What the requests of each environment came to, the last environment first.
    pub requests: Vec<Told>,
    /// What each environment runs now, the last one first.
    pub runs: Vec<Told>,
    /// The one next step.
    pub next: String,
}

/// A sentence about an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The environment.
    pub env: String,
    /// The sentence.
    pub says: String,
}

/// What a summary is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// How it ended.
    pub verdict: Verdict,
    /// What was released, for instance `commit 1a2b3c4d5e6f`.
    pub what: &'a str,
    /// The environments in their order.
    pub envs: &'a [String],
    /// What failed.
    pub error: Option<&'a Fault>,
    /// `data` of the result: `versions`, and `watched` by environment.
    pub data: &'a Value,
    /// What follows where nothing failed.
    pub next: &'a str,
}

impl Summary {
    /// The summary of a release.
    pub fn of(ended: &Ended<'_>) -> Self {
        let last_first: Vec<&String> = ended.envs.iter().rev().collect();
        let told = |says: fn(&Value, &str) -> Option<String>| -> Vec<Told> {
            let of = |env: &&String| Some(Told { env: (**env).clone(), says: says(ended.data, env)? });
            last_first.iter().filter_map(of).collect()
        };
        let failed = ended.envs.iter().find(|env| has_failed(&ended.data["watched"][env.as_str()]));
        let watched = failed.or(ended.envs.last()).map(|env| &ended.data["watched"][env.as_str()]);
        let first_error = watched.and_then(|seen| seen["first_error"].as_str());
        Self {
            happened: happened(ended, failed),
            why: ended.error.map(|error| error.why.trim_end().to_owned()).unwrap_or_default(),
            first_error: first_error.unwrap_or_default().to_owned(),
            requests: told(requests),
            runs: told(runs),
            next: match ended.error {
                Some(error) if !error.next.is_empty() => error.next.clone(),
                _ => ended.next.to_owned(),
            },
        }
    }

    /// The summary in a result's data, where it has one.
    pub fn read(data: &Value) -> Option<Self> {
        serde_json::from_value(data.get("summary")?.clone()).ok()
    }
}

fn happened(ended: &Ended<'_>, failed: Option<&String>) -> String {
    let what = capital(ended.what);
    let last = ended.envs.last().map_or("", String::as_str);
    match ended.verdict {
        Verdict::Released => format!("{what} was released to {}.", ended.envs.join(" and ")),
        Verdict::Healthy => format!("{what} was deployed in {last}."),
        Verdict::RolledBack => {
            format!("{what} was rolled back in {}.", failed.map_or(last, String::as_str))
        }
        Verdict::Rejected => format!("{what} was not released to {last}: it was rejected."),
        Verdict::TimedOut => format!("{what} was not judged: it did not end, or not in time."),
        Verdict::Stuck => format!("{what} is stuck."),
        Verdict::Interrupted => format!("{what} was interrupted."),
        _ => match ended.error {
            Some(error) => format!("{what} was not released: {}.", error.title()),
            None => format!("{what}: {}.", ended.verdict.word()),
        },
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn has_failed(watched: &Value) -> bool {
    deployments(watched).any(|deploying| deploying["status"] == "Failed")
}

fn deployments(watched: &Value) -> impl Iterator<Item = &Value> {
    watched["deployments"].as_array().into_iter().flatten()
}

/// Requests of the watch of an environment, and their errors with the versions that gave them.
fn requests(data: &Value, env: &str) -> Option<String> {
    let watched = &data["watched"][env];
    let versions = watched["versions"].as_object()?;
    let unanswered: u64 =
        watched["failures"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    let count = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0);
    let sent = unanswered + versions.values().map(|seen| count(seen, "requests")).sum::<u64>();
    let errors = unanswered + versions.values().map(|seen| count(seen, "errors")).sum::<u64>();
    if sent == 0 {
        return None;
    }
    let requests = if sent == 1 { "request" } else { "requests" };
    if errors == 0 {
        return Some(format!("{sent} {requests}, 0 errors"));
    }
    let by: Vec<String> = versions
        .iter()
        .filter(|(_, seen)| count(seen, "errors") > 0)
        .map(|(name, seen)| {
            let (function, number) = name.rsplit_once(' ').unwrap_or((name.as_str(), "?"));
            format!(
                "{} of {} by version {number} of {function}",
                count(seen, "errors"),
                count(seen, "requests")
            )
        })
        .collect();
    let share = errors as f64 * 100.0 / sent as f64;
    let by = if by.is_empty() { String::new() } else { format!(": {}", by.join(", ")) };
    let unanswered = if unanswered > 0 { format!(", {unanswered} without an answer") } else { String::new() };
    let word = if errors == 1 { "error" } else { "errors" };
    Some(format!("{sent} {requests}, {errors} {word} ({share:.1} %){by}{unanswered}"))
}

/// The versions that answer in an environment, and whether they are those from before.
fn runs(data: &Value, env: &str) -> Option<String> {
    let versions = data["versions"][env].as_object().filter(|versions| !versions.is_empty())?;
    let all: Vec<String> = versions
        .iter()
        .map(|(function, version)| format!("{function} {}", version.as_str().unwrap_or("unknown")))
        .collect();
    let before = has_failed(&data["watched"][env]);
    Some(format!("{}{}", all.join(", "), if before { ", as before" } else { "" }))
}

/// A failure with its cause first: what CloudFormation adds to it goes to what it failed on, and an alarm's reason to the alarm.
pub fn with_cause(mut fault: Fault, data: &Value) -> Fault {
    let stack_says = fault.why.split_once(": ").and_then(|(status, rest)| {
        let (id, cause) = rest.split_once("_FAILED: ")?;
        let (id, _) = id.rsplit_once(' ')?;
        (status.ends_with("ROLLBACK_COMPLETE") && !id.contains(' '))
            .then(|| (id.to_owned(), cause.to_owned()))
    });
    if let Some((id, cause)) = stack_says {
        fault.on = format!("{}, {id}", fault.on);
        fault.why = cause;
    }
    let environments = data["watched"].as_object();
    let changes = environments
        .into_iter()
        .flatten()
        .flat_map(|(_, seen)| seen["alarm_changes"].as_array().into_iter().flatten());
    let reasons = changes.filter(|change| change["state"] == "ALARM").filter_map(|change| {
        let reason = change["reason"].as_str().filter(|reason| !reason.is_empty())?;
        Some((format!("alarm {} is in ALARM", change["alarm"].as_str()?), reason))
    });
    for (alarm, reason) in reasons {
        // Once: an alarm may ring again.
        if fault.why.contains(&alarm) && !fault.why.contains(reason) {
            fault.why = fault.why.replacen(&alarm, &format!("{alarm} ({reason})"), 1);
        }
    }
    fault
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fault::Kind;

    fn rolled_back() -> (Fault, Value) {
        let why = "UPDATE_ROLLBACK_COMPLETE: AliasLive UPDATE_FAILED: checkin: alarm app-faults is in ALARM";
        let fault = Fault::new(Kind::RolledBack, "deploy the stack", "Prod/ExecuteChangeSet: app").why(why);
        let seen = |requests: u64, errors: u64| json!({"requests": requests, "errors": errors});
        let data = json!({"versions": {"dev": {"checkin": "0.1.0+new"}, "prod": {"checkin": "0.1.0+old"}},
            "watched": {
                "dev": {"versions": {"checkin 2": seen(20, 0)}, "failures": {}, "first_error": null,
                    "deployments": [{"function": "checkin", "status": "Succeeded"}]},
                "prod": {"versions": {"checkin 1": seen(30, 0), "checkin 2": seen(4, 1)}, "failures": {"no answer": 1},
                    "first_error": "GET x answered 500", "deployments": [{"function": "checkin", "status": "Failed"}],
                    "alarm_changes": [
                        {"at": 1.0, "alarm": "app-faults", "state": "ALARM", "reason": "1 against 1"},
                        {"at": 2.0, "alarm": "app-faults", "state": "ALARM", "reason": "1 against 1"},
                        {"at": 2.0, "alarm": "app-other", "state": "ALARM", "reason": "another"}]}}});
        (fault, data)
    }

    #[test]
    fn the_cause_comes_first_and_an_alarm_has_its_threshold() {
        let (fault, data) = rolled_back();
        let fault = with_cause(fault, &data);
        assert_eq!(fault.why, "checkin: alarm app-faults is in ALARM (1 against 1)");
        assert_eq!(fault.on, "Prod/ExecuteChangeSet: app, AliasLive");
        assert_eq!(with_cause(fault.clone(), &data), fault, "once");
        for why in
            ["one: two: three", "UPDATE_ROLLBACK_COMPLETE: no reason was given", "the build says _FAILED: x"]
        {
            let other = Fault::failed("build", "b").why(why);
            assert_eq!(with_cause(other.clone(), &data), other);
        }
    }

    #[test]
    fn a_release_is_told_in_sentences() {
        let (fault, data) = rolled_back();
        let fault = with_cause(fault, &data).next("fix it");
        let envs = ["dev".to_owned(), "prod".to_owned()];
        let ended = Ended {
            verdict: Verdict::RolledBack,
            what: "commit abc",
            envs: &envs,
            error: Some(&fault),
            data: &data,
            next: "push it",
        };
        let told = |env: &str, says: &str| Told { env: env.to_owned(), says: says.to_owned() };
        assert_eq!(
            Summary::of(&ended),
            Summary {
                happened: "Commit abc was rolled back in prod.".into(),
                why: "checkin: alarm app-faults is in ALARM (1 against 1)".into(),
                first_error: "GET x answered 500".into(),
                requests: vec![
                    told(
                        "prod",
                        "35 requests, 2 errors (5.7 %): 1 of 4 by version 2 of checkin, 1 without an answer"
                    ),
                    told("dev", "20 requests, 0 errors"),
                ],
                runs: vec![told("prod", "checkin 0.1.0+old, as before"), told("dev", "checkin 0.1.0+new")],
                next: "fix it".into(),
            }
        );
        let table = [
            (Verdict::Released, "Commit abc was released to dev and prod."),
            (Verdict::Rejected, "Commit abc was not released to prod: it was rejected."),
            (Verdict::Failed, "Commit abc was not released: could not deploy the stack."),
            (Verdict::Interrupted, "Commit abc was interrupted."),
        ];
        for (verdict, says) in table {
            assert_eq!(Summary::of(&Ended { verdict, ..ended }).happened, says);
        }
        let released = Summary::of(&Ended { verdict: Verdict::Released, error: None, ..ended });
        assert_eq!((released.next.as_str(), released.why.as_str()), ("push it", ""));
        let kept = json!({ "summary": released });
        assert_eq!(Summary::read(&kept), Some(released));
        assert_eq!(Summary::read(&json!({})), None);
    }
}
