//! The hook itself: check, then report. Nothing may come between the two.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::check::Check;
use crate::clients::Clients;
use crate::code::{NOT_KNOWN, compare};
use crate::report::{LifecycleEvent, ReportError, report};
use crate::runner::{Finding, Outcome, Subject, run};
use crate::settings::{Phase, Settings};
use crate::suites::Suite;

/// What the checks leave for the report, unless a third of the time there is is less.
pub(crate) const RESERVE: Duration = Duration::from_secs(3);

/// What is left to Lambda's runtime after the report.
const FAREWELL: Duration = Duration::from_millis(500);

/// The name of the check of the code itself.
const CODE: &str = "code";

/// Reading a version's configuration may take so long, several attempts included.
pub(crate) const CODE_WITHIN: Duration = Duration::from_secs(10);

/// Why no check ran.
const UNCALLED: &str = "the code is not known to be what was packaged";

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
    /// The pause after the first report that did not arrive.
    pub pause: Duration,
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
        report(&self.clients.codedeploy, event, passed, (report_end, self.pause)).await?;
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

    /// Whether the new version's code is the package of this release.
    async fn code(&self, version: &str, until: Instant) -> Finding {
        let begin = Instant::now();
        let Some(packaged) = self.settings.package.as_deref() else {
            let finding = Finding::ended(CODE, begin, Ok(()));
            return Finding { reason: Some(NOT_KNOWN.to_owned()), ..finding };
        };
        let limit = until.min(begin + CODE_WITHIN);
        let result = timeout_at(limit, compare(&self.clients.lambda, version, packaged)).await;
        let late = || Err("the new version's code cannot be read: no answer in time".to_owned());
        Finding::ended(CODE, begin, result.unwrap_or_else(|_| late()))
    }

    async fn findings(&self, until: Instant) -> Vec<Finding> {
        let checks = match self.settings.checks(self.phase, self.suites) {
            Ok(checks) => checks,
            Err(reason) => return vec![Finding::not_run("checks", &reason)],
        };
        match self.settings.target(self.phase) {
            Ok(target) => {
                let mut findings = Vec::new();
                if self.phase == Phase::PreTraffic {
                    let finding = self.code(&target.function, until).await;
                    if finding.outcome != Outcome::Passed {
                        // Code that nobody packaged is not called, least of all by a test.
                        let not_run = |check: &Check| Finding::not_run(check.name, UNCALLED);
                        return [finding].into_iter().chain(checks.iter().map(not_run)).collect();
                    }
                    findings.push(finding);
                }
                let api = Arc::new(Api::new(&self.clients.web, &self.settings));
                let subject = Subject { lambda: self.clients.lambda.clone(), target, api };
                findings.extend(run(checks, &subject, &self.settings.expected, until).await);
                findings
            }
            Err(reason) => checks.iter().map(|check| Finding::not_run(check.name, &reason)).collect(),
        }
    }
}
