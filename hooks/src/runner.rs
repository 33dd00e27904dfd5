//! Runs the checks one after the other, on a thread and a runtime of their own.
//!
//! Tasks of one runtime would not do: a check that never yields can hold what the report needs, be it a worker,
//! the I/O driver or a connection.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_lambda::Client;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument as _, Span};

use crate::api::Api;
use crate::check::{Check, Expected, Step, judge};
use crate::invoke::{Ask, invoke};
use crate::settings::Target;
use crate::sweep::sweep;

/// What is checked.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The way to the function.
    pub(crate) lambda: Client,
    /// The function's version or alias.
    pub(crate) target: Target,
    /// The API that clients reach it through.
    pub(crate) api: Arc<Api>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All of its steps did.
    Passed,
    /// One did not.
    Failed,
    /// There was no time for it, or nobody to ask.
    NotRun,
}

impl Outcome {
    /// The outcome's word, in the log as in the account.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotRun => "not-run",
        }
    }
}

/// One line of the hook's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Why it did not pass, as a lowercase fragment.
    pub reason: Option<String>,
}

impl Finding {
    /// A check that never began.
    #[must_use]
    pub fn not_run(name: &'static str, reason: &str) -> Self {
        Self { name, outcome: Outcome::NotRun, ms: 0, reason: Some(reason.to_owned()) }
    }

    /// A check that began then and has come to this.
    pub(crate) fn ended(name: &'static str, begin: Instant, result: Result<(), String>) -> Self {
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { name, outcome, ms, reason: result.err() }
    }
}

/// Runs every check, also after one failed: the account shall be whole. At `until` it gives up those that are not
/// done, whatever they do, and leaves them behind.
pub(crate) async fn run(
    checks: &'static [Check],
    subject: &Subject,
    expected: &Expected,
    until: Instant,
) -> Vec<Finding> {
    let (sender, mut receiver) = unbounded_channel();
    let (subject, expected) = (subject.clone(), expected.clone());
    // The ids of the invocation go along with it.
    let span = Span::current();
    let thread = std::thread::Builder::new().name("checks".to_owned()).spawn(move || {
        // Without a runtime nothing is sent, and every check counts as given up.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(run_all(checks, subject, expected, sender).instrument(span));
        }
    });
    let mut findings: Vec<Finding> = Vec::with_capacity(checks.len());
    let mut begin = Instant::now();
    let mut given_up = "the checks could not go on";
    // The thread's handle is of no use: a thread that is stuck cannot be joined.
    while thread.is_ok() && findings.len() < checks.len() {
        match timeout_at(until, receiver.recv()).await {
            Ok(Some(finding)) => findings.push(finding),
            Ok(None) => break,
            Err(_) => {
                given_up = "the hook ran out of time";
                break;
            }
        }
        begin = Instant::now();
    }
    if let Some(check) = checks.get(findings.len()) {
        findings.push(Finding::ended(check.name, begin, Err(given_up.to_owned())));
    }
    let left = checks.iter().skip(findings.len()).map(|check| Finding::not_run(check.name, given_up));
    findings.extend(left.collect::<Vec<_>>());
    findings
}

/// Runs all checks and sends each finding at once, until nobody listens any more.
async fn run_all(
    checks: &'static [Check],
    subject: Subject,
    expected: Expected,
    sender: UnboundedSender<Finding>,
) {
    for check in checks {
        let begin = Instant::now();
        let result = run_check(check, &subject, &expected).await;
        if sender.send(Finding::ended(check.name, begin, result)).is_err() {
            return;
        }
    }
}

/// What a step kept: a name and its value.
type Kept = (&'static str, String);

/// Everything that was kept, in reach of the task that keeps it: an id must outlive the step that learned it, even
/// when the rest of the answer is no good.
type Memory = Arc<Mutex<Vec<Kept>>>;

/// Runs the steps of one check up to the first that fails; after it only those that clean up, and the sweep.
async fn run_check(check: &'static Check, subject: &Subject, expected: &Expected) -> Result<(), String> {
    let memory = Memory::default();
    let mut outcome = Ok(());
    for (at, step) in check.steps.iter().enumerate() {
        if outcome.is_err() && !step.cleanup {
            continue;
        }
        let (subject, expected, memory) = (subject.clone(), expected.clone(), memory.clone());
        let result = guarded(async move { run_step(step, &subject, &expected, &memory).await }).await;
        // Where there are several, the reason says which; the first one counts.
        let several = check.steps.len() > 1;
        let result =
            result.map_err(|reason| if several { format!("step {}: {reason}", at + 1) } else { reason });
        outcome = outcome.and(result);
    }
    if let Some(marked) = check.sweep {
        let subject = subject.clone();
        let swept = guarded(async move { sweep(marked, &subject.lambda, &subject.target).await }).await;
        outcome = outcome.and(swept.map_err(|reason| format!("cleaning up: {reason}")));
    }
    outcome
}

/// Runs a part of a check in a task of its own: a panic ends there, and what cleans up comes after it.
async fn guarded(part: impl Future<Output = Result<(), String>> + Send + 'static) -> Result<(), String> {
    tokio::spawn(part.in_current_span()).await.unwrap_or_else(|_| Err("the check panicked".to_owned()))
}

async fn run_step(
    step: &Step,
    subject: &Subject,
    expected: &Expected,
    memory: &Memory,
) -> Result<(), String> {
    let path = filled(step.path, &memory.lock().unwrap_or_else(PoisonError::into_inner))?;
    let ask = Ask { method: step.method, path: &path, query: step.query, body: step.body };
    if step.through_api {
        // The route is named: what the API refuses, the function may never have seen.
        let result = ask_api(step, subject, expected, &ask).await;
        return result.map_err(|reason| format!("{} {path} through the API: {reason}", step.method));
    }
    let answer = timeout(step.within, invoke(&subject.lambda, &subject.target, &ask))
        .await
        .map_err(|_| no_answer(step.within))??;
    if let Some((name, pointer)) = step.keep {
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let value = body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        memory.lock().unwrap_or_else(PoisonError::into_inner).push((name, value.to_owned()));
    }
    judge(step, &answer, expected).map(|_| ())
}

/// A step that asks the deployed API.
async fn ask_api(step: &Step, subject: &Subject, expected: &Expected, ask: &Ask<'_>) -> Result<(), String> {
    let answer = timeout(step.within, subject.api.ask(ask)).await.map_err(|_| no_answer(step.within))??;
    let right_status = answer.status == step.status;
    judge(step, &answer, expected).map(|_| ()).map_err(|reason| {
        if right_status { format!("status {}, but {reason}", answer.status) } else { reason }
    })
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {}", milliseconds(within))
}

/// The path with what was kept. Only ids may be kept: anything else would make another path of it.
pub(crate) fn filled(template: &str, kept: &[Kept]) -> Result<String, String> {
    let mut path = template.to_owned();
    for (name, value) in kept {
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if plain && (1..=64).contains(&value.len()) {
            path = path.replace(&format!("{{{name}}}"), value);
        }
    }
    if path.contains('{') { Err("an earlier step gave no id to go on with".to_owned()) } else { Ok(path) }
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_filled_with_ids_only() {
        let kept = |value: &str| vec![("id", value.to_owned())];
        assert_eq!(filled("/api/things", &[]).as_deref(), Ok("/api/things"));
        assert_eq!(filled("/api/things/{id}", &kept("a-1")).as_deref(), Ok("/api/things/a-1"));
        let too_long = "x".repeat(65);
        for value in ["", "../x", "a b", "{id}", "é", too_long.as_str()] {
            assert!(filled("/api/things/{id}", &kept(value)).is_err(), "{value}");
        }
        assert!(filled("/api/things/{id}", &[]).is_err());
    }
}
