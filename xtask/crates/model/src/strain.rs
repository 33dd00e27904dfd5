//! Whether a machine is too busy for what it is asked: a reference that is measured beside the release, so that what takes
//! too long is not held against it.
//!
//! Two things must come together: something failed because time ran out, and in the same seconds the machine had none. What
//! failed by an answer (a wrong status, a wrong body) is the release's on however busy a machine.

use std::fmt;

use super::line::{Check, CheckOutcome};

/// What share of its time the local cloud may wait for a processor before nothing can be said about times.
const SHARE: f64 = 0.4;
/// So much of it must be waiting, in seconds: a share of nearly nothing says nothing.
const LEAST: f64 = 0.2;
/// How late a sleeper may wake, in seconds. On a machine that has nothing else to do it is some hundredths.
const LATE: f64 = 0.25;
/// What share of the time the machine may have had more work than processors.
const CROWDED: f64 = 0.9;
/// For so long at least that must have been measured, in seconds.
const LONG: f64 = 1.0;

/// How the local cloud's own processes fared for a while. Times are seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Strain {
    /// How long its threads ran, all of them together.
    pub ran: f64,
    /// How long they were ready to run and waited for a processor.
    pub waited: f64,
    /// How much later than it asked for a sleeper woke at worst.
    pub late: f64,
    /// For how long anything on this machine was ready to run and waited for a processor, where the system keeps it.
    pub crowded: f64,
    /// How long all of this was measured.
    pub seconds: f64,
}

impl Strain {
    /// The two together.
    pub fn and(self, other: Self) -> Self {
        Self {
            ran: self.ran + other.ran,
            waited: self.waited + other.waited,
            late: self.late.max(other.late),
            crowded: self.crowded + other.crowded,
            seconds: self.seconds + other.seconds,
        }
    }

    /// The one of two that says more of how busy the machine is.
    pub fn worse(self, other: Self) -> Self {
        let late = self.late.max(other.late);
        let least = |one: Self| one.waited >= LEAST;
        let other_is = match (least(self), least(other)) {
            (true, true) | (false, false) => other.share() > self.share(),
            (_, is) => is,
        };
        Self { late, ..if other_is { other } else { self } }
    }

    /// As the result of a rehearsal carries it: the share of its time that the cloud waited for a processor, in percent, and how
    /// late a sleeper woke at worst, in milliseconds.
    pub fn data(self) -> serde_json::Value {
        serde_json::json!({"waited": (self.share() * 100.0).round(), "late_ms": (self.late * 1_000.0).round()})
    }

    /// The share of the time in which there was work that was spent waiting.
    pub fn share(self) -> f64 {
        let all = self.ran + self.waited;
        if all > 0.0 { self.waited / all } else { 0.0 }
    }

    /// Whether too busy a machine explains what took too long.
    pub fn is_starved(self) -> bool {
        let waits = self.waited >= LEAST && self.share() >= SHARE;
        let is_crowded = self.seconds >= LONG && self.crowded >= CROWDED * self.seconds;
        waits || self.late >= LATE || is_crowded
    }
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the local cloud waited for a processor for {:.0} % of the time in which it had work, and a sleeper woke up to {:.0} ms late",
            self.share() * 100.0,
            self.late * 1_000.0
        )?;
        if self.crowded > 0.0 && self.seconds > 0.0 {
            let share = (self.crowded / self.seconds * 100.0).min(100.0);
            write!(f, "; this machine had more work than processors for {share:.0} % of the time")?;
        }
        Ok(())
    }
}

/// How those who wait say that time ran out.
const OUT_OF_TIME: [&str; 17] = [
    // The hooks' checks, the client of the API, the cloud's own programs.
    "no answer within ",
    "no answer in time",
    "no answer by the end",
    "a connection did not come about",
    "the hook ran out of time",
    "no time is left",
    "it never ended",
    "did not answer within ",
    // Lambda.
    "Task timed out after ",
    "Sandbox.Timedout",
    // What a hook calls a call of the SDK that had no answer in time.
    "could not be invoked: Timeout",
    // The SDK, HTTP clients, runtimes, the system.
    "request has timed out",
    "operation timed out",
    "timeout occurred after ",
    "deadline has elapsed",
    "Connection timed out",
    "timed out waiting for ",
];

/// How an answer with a server error is told.
const SERVER_ERROR: [&str; 4] = ["500", "502", "503", "504"];

/// Whether what was said of a failure says that time ran out.
pub fn ran_out_of_time(said: &str) -> bool {
    OUT_OF_TIME.iter().any(|words| said.contains(words))
}

/// Whether what was said of a failure says that a server error was answered, as an API does for a function that ran into its
/// timeout.
pub fn is_server_error(said: &str) -> bool {
    let words = said.split(|c: char| !c.is_ascii_alphanumeric());
    words.into_iter().any(|word| SERVER_ERROR.contains(&word))
}

/// Whether time alone is the cause of a failure. `timeouts` is whether functions ran into their timeouts meanwhile: what an API
/// answers then looks like any server error.
pub fn is_by_time(said: &str, timeouts: bool) -> bool {
    ran_out_of_time(said) || (timeouts && is_server_error(said))
}

/// Whether a hook's checks failed for no other reason than that they took too long. A check that was not run is neither here nor
/// there, unless nothing else is known.
pub fn only_late(checks: &[Check], timeouts: bool) -> bool {
    let why = |check: &Check| check.reason.clone().unwrap_or_default();
    let late = |check: &&Check| match check.outcome {
        CheckOutcome::Passed => false,
        CheckOutcome::Failed => is_by_time(&why(check), timeouts),
        CheckOutcome::NotRun => ran_out_of_time(&why(check)),
    };
    let found = |check: &Check| check.outcome == CheckOutcome::Failed && !late(&check);
    checks.iter().any(|check| late(&check)) && !checks.iter().any(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_too_busy_where_the_cloud_waits_for_it() {
        let strain = |ran: f64, waited: f64, late: f64| Strain { ran, waited, late, ..Strain::default() };
        let crowded = |crowded: f64, seconds: f64| Strain { crowded, seconds, ..strain(1.0, 0.2, 0.0) };
        for (what, strain, expected) in [
            ("idle", strain(0.0, 0.0, 0.0), false),
            ("at work on a free machine", strain(3.0, 0.3, 0.01), false),
            ("some waiting", strain(2.0, 1.0, 0.05), false),
            ("as much waiting as work", strain(2.0, 2.0, 0.05), true),
            ("exactly the share", strain(3.0, 2.0, 0.0), true),
            ("hardly any work at all", strain(0.01, 0.1, 0.0), false),
            ("a machine that stood still", strain(0.0, 0.0, 0.25), true),
            ("more work than processors all the time", crowded(3.9, 4.0), true),
            ("and for half of it", crowded(2.0, 4.0), false),
            ("and for a moment", crowded(0.5, 0.5), false),
        ] {
            assert_eq!(strain.is_starved(), expected, "{what}");
        }
        let both = strain(1.0, 2.0, 0.3).and(strain(1.0, 2.0, 0.1));
        assert_eq!((both.share(), both.late), (4.0 / 6.0, 0.3));
        assert!(both.to_string().contains("67 %") && both.to_string().contains("300 ms"), "{both}");
    }

    #[test]
    fn a_hook_that_is_only_late_is_told_from_one_that_found_something() {
        let check = |outcome, reason: &str| Check {
            name: "c".into(),
            outcome,
            ms: 1,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        };
        let passed = || check(CheckOutcome::Passed, "");
        let late = || check(CheckOutcome::Failed, "GET /api/health: no answer within 2000 ms");
        let not_run = || check(CheckOutcome::NotRun, "no time is left");
        let wrong = || check(CheckOutcome::Failed, "expected status 200, got 500");
        let unset = || check(CheckOutcome::NotRun, "EXPECTED_VERSION is not set");
        let gone = || check(CheckOutcome::NotRun, "the hook ran out of time");
        let out = || check(CheckOutcome::Failed, "the hook ran out of time");
        for (what, checks, expected) in [
            ("nothing could be run for another reason", vec![unset()], false),
            ("one was given up, so the others were", vec![out(), gone(), gone()], true),
            ("one was late, another could not be run", vec![late(), unset()], true),
            ("nothing is known", vec![], false),
            ("all passed", vec![passed()], false),
            ("one was late", vec![passed(), late()], true),
            ("one was late, so another was not run", vec![late(), not_run()], true),
            ("none was run", vec![not_run()], true),
            ("one found something", vec![late(), wrong()], false),
            ("one found something, so others were not run", vec![wrong(), not_run()], false),
        ] {
            assert_eq!(only_late(&checks, false), expected, "{what}");
        }
        // A server error is an answer, but where functions run into their timeouts meanwhile.
        assert!(!only_late(&[wrong()], false) && only_late(&[wrong()], true));
        assert!(!only_late(&[check(CheckOutcome::Failed, "expected version 1+b, got 1+a")], true));
    }

    /// One row a kind of cause: what each of those who wait says, as it says it.
    #[test]
    fn what_failed_by_time_is_told_from_what_failed_by_an_answer() {
        for said in [
            "GET /api/health: no answer within 2000 ms",
            "step 2: no answer within 2000 ms",
            "GET /api/version through the API: no answer: a connection did not come about",
            "the new version's code cannot be read: no answer in time",
            "the hook ran out of time",
            "the function could not be invoked: Timeout",
            "the function failed: Unhandled Sandbox.Timedout",
            r#"Unhandled: {"errorMessage":"Task timed out after 60.00 seconds"}"#,
            "it never ended",
            "call the API: GET http://127.0.0.1:1/api/version: operation timed out",
            "describe the stack: request has timed out",
            "dispatch failure: connect timeout occurred after 5s",
            "AWS's transforms: it did not answer within 120 s",
            "start the local cloud: it did not answer within 90 s",
        ] {
            assert!(is_by_time(said, false), "{said}");
        }
        for said in [
            "",
            "null",
            "Runtime.ExitError",
            "expected status 200, got 500",
            "expected version 1+b, got 1+a",
            "the body is not JSON",
            "the function could not be invoked: AccessDeniedException",
            "connection refused",
            "the time-out of the function is 3 s",
        ] {
            assert!(!is_by_time(said, false), "{said}");
        }
        for (said, expected) in [
            ("expected status 200, got 503", true),
            ("it answers 500 Internal Server Error", true),
            ("expected status 200, got 404", false),
            ("expected 1500 items, got 5000", false),
            ("expected version 1+b, got 1+a", false),
        ] {
            assert_eq!(is_by_time(said, true), expected, "{said}");
        }
    }
}
