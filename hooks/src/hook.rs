//! The hook itself: check, then report. Nothing may come between the two.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::api::Api;
use crate::clients::Clients;
use crate::report::{LifecycleEvent, ReportError, report};
use crate::runner::{Finding, Outcome, Subject, run};
use crate::settings::{Phase, Settings};
use crate::suites::Suite;

/// What the checks leave for the report, unless a third of the time there is is less.
const RESERVE: Duration = Duration::from_secs(3);

/// What is left to Lambda's runtime after the report.
const FAREWELL: Duration = Duration::from_millis(500);

/// A hook, ready to run.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Which of the two.
    pub phase: Phase,
    /// What the template told it.
    pub settings: Settings,
    /// What there is to check, of which the template chooses.
    pub suites: &'static [Suite],
    /// Whom it talks to.
    pub clients: Clients,
}

/// The hook's account of itself: its answer, and what the log says line by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `Succeeded` or `Failed`, as reported.
    pub status: &'static str,
    /// What was checked.
    pub checks: Vec<Finding>,
}

impl Hook {
    /// Checks and reports. A report of failure is a success of the hook.
    ///
    /// # Errors
    /// [`ReportError`] when the report did not arrive: then the invocation must fail, so that Lambda tries again.
    pub async fn handle(&self, event: &LifecycleEvent, time_left: Duration) -> Result<Summary, ReportError> {
        let now = Instant::now();
        let checks_end = now + (time_left - RESERVE.min(time_left / 3));
        let report_end = now + time_left.saturating_sub(FAREWELL);
        let checks = self.findings(checks_end).await;
        let passed = !checks.is_empty() && checks.iter().all(|finding| finding.outcome == Outcome::Passed);
        let status = if passed { "Succeeded" } else { "Failed" };
        for finding in &checks {
            tracing::info!(
                deployment_id = event.deployment_id,
                phase = self.phase.name(),
                env = self.settings.environment,
                function = self.settings.expected.function,
                check = finding.name,
                outcome = finding.outcome.word(),
                ms = finding.ms,
                reason = finding.reason,
                "check"
            );
        }
        report(&self.clients.codedeploy, event, passed, report_end).await?;
        tracing::info!(
            deployment_id = event.deployment_id,
            phase = self.phase.name(),
            env = self.settings.environment,
            function = self.settings.expected.function,
            status,
            "reported"
        );
        Ok(Summary { status, checks })
    }

    async fn findings(&self, until: Instant) -> Vec<Finding> {
        let checks = match self.settings.checks(self.phase, self.suites) {
            Ok(checks) => checks,
            Err(reason) => return vec![Finding::not_run("checks", &reason)],
        };
        match self.settings.target(self.phase) {
            Ok(target) => {
                let api = Arc::new(Api::new(&self.clients.web, &self.settings));
                let subject = Subject { lambda: self.clients.lambda.clone(), target, api };
                run(checks, &subject, &self.settings.expected, until).await
            }
            Err(reason) => checks.iter().map(|check| Finding::not_run(check.name, &reason)).collect(),
        }
    }
}
