//! Whether a machine is too busy for what it is asked: a reference that is measured beside the release, so that what takes
//! too long is not held against it.

use std::fmt;

use super::line::{Check, CheckOutcome};

/// What share of its time the local cloud may wait for a processor before nothing can be said about times.
const SHARE: f64 = 0.4;
/// So much of it must be waiting, in seconds: a share of nearly nothing says nothing.
const LEAST: f64 = 0.2;
/// How late a sleeper may wake, in seconds.
const LATE: f64 = 0.5;

/// How the local cloud's own processes fared for a while. Times are seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Strain {
    /// How long its threads ran, all of them together.
    pub ran: f64,
    /// How long they were ready to run and waited for a processor.
    pub waited: f64,
    /// How much later than it asked for a sleeper woke at worst.
    pub late: f64,
}

impl Strain {
    /// The two together.
    pub fn and(self, other: Self) -> Self {
        Self {
            ran: self.ran + other.ran,
            waited: self.waited + other.waited,
            late: self.late.max(other.late),
        }
    }

    /// The share of the time in which there was work that was spent waiting.
    pub fn share(self) -> f64 {
        let all = self.ran + self.waited;
        if all > 0.0 { self.waited / all } else { 0.0 }
    }

    /// Whether too busy a machine explains what took too long.
    pub fn is_starved(self) -> bool {
        (self.waited >= LEAST && self.share() >= SHARE) || self.late >= LATE
    }
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the local cloud waited for a processor for {:.0} % of the time in which it had work, and a sleeper woke up to {:.0} ms late",
            self.share() * 100.0,
            self.late * 1_000.0
        )
    }
}

/// Whether a hook's checks failed for no other reason than that they took too long.
pub fn only_late(checks: &[Check]) -> bool {
    let mut missed = checks.iter().filter(|check| check.outcome != CheckOutcome::Passed).peekable();
    missed.peek().is_some()
        && missed.all(|check| {
            check.outcome == CheckOutcome::NotRun
                || check.reason.as_deref().is_some_and(|why| why.contains("no answer"))
        })
}

/// Whether what a hook said instead of its checks says that it had no time.
pub fn had_no_time(said: &str) -> bool {
    ["Task timed out after ", "Sandbox.Timedout", "it never ended"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_too_busy_where_the_cloud_waits_for_it() {
        let strain = |ran: f64, waited: f64, late: f64| Strain { ran, waited, late };
        for (what, strain, expected) in [
            ("idle", strain(0.0, 0.0, 0.0), false),
            ("at work on a free machine", strain(3.0, 0.3, 0.01), false),
            ("some waiting", strain(2.0, 1.0, 0.05), false),
            ("as much waiting as work", strain(2.0, 2.0, 0.05), true),
            ("exactly the share", strain(3.0, 2.0, 0.0), true),
            ("hardly any work at all", strain(0.01, 0.1, 0.0), false),
            ("a machine that stood still", strain(0.0, 0.0, 0.5), true),
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
        for (what, checks, expected) in [
            ("nothing is known", vec![], false),
            ("all passed", vec![passed()], false),
            ("one was late", vec![passed(), late()], true),
            ("one was late, so another was not run", vec![late(), not_run()], true),
            ("none was run", vec![not_run()], true),
            ("one found something", vec![late(), wrong()], false),
            ("one found something, so others were not run", vec![wrong(), not_run()], false),
        ] {
            assert_eq!(only_late(&checks), expected, "{what}");
        }
        assert!(had_no_time(r#"Unhandled: {"errorMessage":"Task timed out after 60.00 seconds"}"#));
        assert!(had_no_time("it never ended") && !had_no_time("null") && !had_no_time("Runtime.ExitError"));
    }
}
