//! The report to CodeDeploy: said once, tried until it arrives or time is up.

use std::time::Duration;

use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::types::LifecycleEventStatus;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use crate::invoke::code;

/// So often the report is sent at most.
const ATTEMPTS: u32 = 5;

/// The pause after the first report that did not arrive; those after it double.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// One attempt may take so long: a second one must fit into what the checks leave.
const ATTEMPT: Duration = Duration::from_secs(1);

/// What CodeDeploy sends to a hook: two ids, and nothing about what is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LifecycleEvent {
    /// The deployment.
    pub deployment_id: String,
    /// This execution of the hook.
    pub lifecycle_event_hook_execution_id: String,
}

/// The report did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to report {status} to CodeDeploy after {attempts} attempts: {code}")]
pub struct ReportError {
    /// What should have been said.
    pub status: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The last error's code.
    pub code: String,
}

/// Tells CodeDeploy how it went. Every error is tried again until `until`: a role may be new, a service busy, and
/// the alternative is a deployment that hangs for an hour. That the event is already completed counts as told:
/// then an earlier attempt, whose answer was lost, did it.
///
/// # Errors
/// [`ReportError`] when it did not arrive.
pub async fn report(
    client: &Client,
    event: &LifecycleEvent,
    passed: bool,
    (until, first_pause): (Instant, Duration),
) -> Result<(), ReportError> {
    let status = if passed { LifecycleEventStatus::Succeeded } else { LifecycleEventStatus::Failed };
    let mut last = "NoTimeLeft".to_owned();
    let mut attempts = 0;
    while attempts < ATTEMPTS && Instant::now() < until {
        attempts += 1;
        let call = client
            .put_lifecycle_event_hook_execution_status()
            .deployment_id(&event.deployment_id)
            .lifecycle_event_hook_execution_id(&event.lifecycle_event_hook_execution_id)
            .status(status.clone())
            .send();
        last = match timeout_at(until.min(Instant::now() + ATTEMPT), call).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => code(&error).to_owned(),
            Err(_) => "Timeout".to_owned(),
        };
        tracing::warn!(
            deployment_id = event.deployment_id,
            attempts,
            code = last,
            "the report did not arrive"
        );
        if last == "LifecycleEventAlreadyCompletedException" {
            return Ok(());
        }
        if attempts < ATTEMPTS {
            let pause = Instant::now() + first_pause * 2_u32.pow(attempts - 1);
            sleep(pause.min(until).saturating_duration_since(Instant::now())).await;
        }
    }
    Err(ReportError { status: status.as_str().to_owned(), attempts, code: last })
}
