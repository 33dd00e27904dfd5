//! A lifecycle hook, as CodeDeploy calls it: invoked with two ids, waited for, and its account read.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::cloud::Cloud;
use crate::hooks::Report;
use causeway_model::line::{Check, CheckOutcome};
use causeway_model::strain;

/// CodeDeploy waits this long for a hook that never reports ("AppSpec hooks section", Lambda).
const HOOK_MINUTES: u32 = 60;

/// A hook that still runs gets so much of the wall's time in any case: it does real work, and no minute of AWS that is
/// made shorter makes it faster.
const FLOOR: Duration = Duration::from_secs(60);

/// How long the account is waited for once the hook has reported: CodeDeploy goes on with the report alone. Why a hook failed
/// stands in nothing else, so that of one that failed is waited for as long as the hook itself.
const ACCOUNT: Duration = Duration::from_secs(5);

/// How many checks that did not pass a reason names.
const NAMED: usize = 3;

/// How much of an answer that is no account a reason shows.
const SHOWN: usize = 600;

/// How a hook went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Called {
    /// What CodeDeploy makes of it: why it counts as failed, where it does.
    pub(super) result: Result<(), String>,
    /// What it checked, where its answer says so.
    pub(super) checks: Vec<Check>,
    /// Whether it failed for no other reason than that something took too long.
    pub(super) late: bool,
}

/// What a hook of ours answers when it ends.
#[derive(Deserialize)]
struct Account {
    checks: Vec<Check>,
}

/// Invokes a hook and waits for its report, as long as CodeDeploy does; one that is still at work has [`FLOOR`] of the
/// wall's time, however short a minute is.
pub(super) async fn call(cloud: &Cloud, account: &str, deployment: &str, function: &str) -> Called {
    let execution = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let report = cloud.hooks.expect(deployment, &execution);
    let event = json!({"DeploymentId": deployment, "LifecycleEventHookExecutionId": execution});
    let begin = Instant::now();
    let hour = begin + cloud.clock.minute() * HOOK_MINUTES;
    let mut last = hour.max(begin + FLOOR);
    tokio::pin!(report);
    let running = invoke(cloud, account, function, event);
    tokio::pin!(running);
    let (mut reported, mut said) = (None, None);
    // Both are waited for: the account comes with the end of the invocation, after the report.
    while reported.is_none() || said.is_none() {
        let until = if said.is_some() { hour } else { last };
        tokio::select! {
            outcome = &mut report, if reported.is_none() => {
                let failed = matches!(outcome, Ok(Report::Failed));
                reported = Some(outcome.ok());
                last = Instant::now() + if failed { FLOOR } else { ACCOUNT };
            }
            outcome = &mut running, if said.is_none() => {
                said = Some(outcome.unwrap_or_else(|error| Said::text(format!("it could not be invoked: {error:#}"))));
            }
            () = sleep_until(until) => break,
        }
    }
    let said = said.unwrap_or_else(|| Said::text("it never ended".to_owned()));
    let mut late = false;
    let result = match reported.flatten() {
        Some(Report::Succeeded) => Ok(()),
        Some(Report::Failed) => {
            late = strain::only_late(&said.checks, cloud.strains.timeouts_since(begin));
            Err(format!("{function} reported Failed: {}", said.reason()))
        }
        None => {
            late = strain::ran_out_of_time(&said.text);
            Err(format!("{function} did not report within {HOOK_MINUTES} minutes of AWS: {}", said.reason()))
        }
    };
    Called { result, checks: said.checks, late }
}

/// What an invocation answered.
struct Said {
    text: String,
    checks: Vec<Check>,
}

impl Said {
    fn text(text: String) -> Self {
        Self { text, checks: Vec::new() }
    }

    /// The checks that did not pass; without an account the beginning of the answer.
    fn reason(&self) -> String {
        let missed: Vec<String> = self
            .checks
            .iter()
            .filter(|check| check.outcome != CheckOutcome::Passed)
            .map(|check| format!("{}: {}", check.name, check.reason.as_deref().unwrap_or("no reason given")))
            .collect();
        if missed.is_empty() {
            return self.text.chars().take(SHOWN).collect();
        }
        let more = missed.len().saturating_sub(NAMED);
        let mut reason = missed.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
        if more > 0 {
            reason.push_str(&format!("; and {more} more"));
        }
        reason
    }
}

/// Invokes a function, and reads what it answered.
async fn invoke(cloud: &Cloud, account: &str, function: &str, event: Value) -> anyhow::Result<Said> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (headers, answer) =
        cloud.emulator.rest(Method::POST, &path, account, "lambda", event.to_string().into_bytes()).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    Ok(match headers.get("x-amz-function-error") {
        Some(kind) => Said::text(format!("{}: {text}", String::from_utf8_lossy(kind.as_bytes()))),
        None => {
            let checks = serde_json::from_slice(&answer).map_or_else(|_| Vec::new(), |a: Account| a.checks);
            Said { text, checks }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_checks_that_did_not_pass() {
        let check = |name: &str, outcome, reason: Option<&str>| Check {
            name: name.to_owned(),
            outcome,
            ms: 1,
            reason: reason.map(ToOwned::to_owned),
        };
        let mut checks = vec![check("health", CheckOutcome::Passed, None)];
        assert_eq!(Said { text: "x".repeat(700), checks: checks.clone() }.reason().len(), SHOWN);
        checks.push(check("version", CheckOutcome::Failed, Some("it is 1, not 2")));
        checks.push(check("list", CheckOutcome::NotRun, None));
        let said = |checks: &[Check]| Said { text: String::new(), checks: checks.to_vec() }.reason();
        assert_eq!(said(&checks), "version: it is 1, not 2; list: no reason given");
        checks.extend([check("a", CheckOutcome::Failed, None), check("b", CheckOutcome::Failed, None)]);
        assert!(said(&checks).ends_with("; and 1 more"), "{}", said(&checks));
    }

    #[test]
    fn an_account_is_read_whole() {
        let text = r#"{"status":"Failed","checks":[{"name":"version","outcome":"failed","ms":12,"reason":"no"},{"name":"list","outcome":"not-run","ms":0,"reason":null}]}"#;
        let account: Account = serde_json::from_str(text).unwrap();
        let found: Vec<_> = account.checks.iter().map(|c| (c.name.as_str(), c.outcome, c.ms)).collect();
        assert_eq!(found, [("version", CheckOutcome::Failed, 12), ("list", CheckOutcome::NotRun, 0)]);
    }
}
