//! What a build of the pipeline says: progress is shown, everything else is in its log, and of a failure the last lines are kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use causeway_machine::clock::Stopwatch;
use causeway_progress::{MARK, is_progress};

/// How many of a build's last lines a fault carries.
const TAIL: usize = 15;
/// How many where the build tells how far it is: what comes after the last such line is about the failure.
const TAIL_OF_FAILURE: usize = 200;
/// How often the log has a line of progress; and how often there is one where a build says nothing of that.
pub(super) const PACE: Duration = Duration::from_secs(10);

/// What a build has said.
pub(super) struct Heard<'a> {
    /// What is shown to nobody.
    secrets: &'a [String],
    watch: Stopwatch,
    tail: VecDeque<String>,
    /// Whether it tells how far it is.
    tells: bool,
    /// When it last did, and when the log last had that.
    told: Duration,
    logged: Option<Duration>,
}

impl<'a> Heard<'a> {
    /// Nothing yet.
    pub(super) fn new(secrets: &'a [String]) -> Self {
        let watch = Stopwatch::start();
        Self { secrets, watch, tail: VecDeque::new(), tells: false, told: Duration::ZERO, logged: None }
    }

    /// Takes a line: progress is shown, everything else goes to the log alone.
    pub(super) fn line(&mut self, line: String, log: &mut File, show: &(dyn Fn(&str) + Send + Sync)) {
        // CodeBuild hides them in its logs as well.
        let line = self.secrets.iter().fold(line, |line, secret| line.replace(secret.as_str(), "***"));
        if !is_progress(&line) {
            let _ = writeln!(log, "{line}");
            self.tail.push_back(line);
            if self.tail.len() > if self.tells { TAIL_OF_FAILURE } else { TAIL } {
                self.tail.pop_front();
            }
            return;
        }
        show(&line);
        let now = self.watch.elapsed();
        if self.logged.is_none_or(|logged| now >= logged + PACE) {
            let _ = writeln!(log, "{line}");
            self.logged = Some(now);
        }
        (self.tells, self.told) = (true, now);
        self.tail.clear();
    }

    /// Says which command is at work, where it does not say that itself.
    pub(super) fn silence(&mut self, command: &str, show: &(dyn Fn(&str) + Send + Sync)) {
        let now = self.watch.elapsed();
        if now >= self.told + PACE {
            show(&format!("{MARK}{command}; {} s", now.as_secs()));
        }
    }

    /// What a fault carries of it.
    pub(super) fn tail(self) -> Vec<String> {
        self.tail.into_iter().collect()
    }
}
