//! How a command ends: the verdict in words and the exit code.

use serde::Serialize;

/// The verdict of a command, as in the result line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// `rehearse`: the commit reached prod.
    Released,
    /// `rehearse`: the approval was refused.
    Rejected,
    /// Something was tried and did not work.
    Failed,
    /// Deployed, then taken back.
    RolledBack,
    /// Waiting for a person or for another run.
    Stuck,
    /// Not settled in time.
    TimedOut,
    /// Ctrl-C or a termination signal.
    Interrupted,
    /// The work was done.
    Done,
    /// There was nothing to do.
    NothingToDo,
    /// A dry run found changes.
    Changes,
    /// `test-deployment`: the deployment succeeded.
    Healthy,
    /// `test-deployment`: no deployment was in progress or began.
    NothingToWatch,
    /// `test-deployment`: the API answered nothing.
    Unreachable,
}

/// The exit codes of every command, one table for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Done, or nothing to do.
    Ok = 0,
    /// Failed or rejected.
    Failed = 1,
    /// Usage or configuration, or a missing tool.
    Usage = 2,
    /// A dry run with `--detailed-exitcode` found changes.
    Changes = 3,
    /// Credentials or wrong account.
    Credentials = 4,
    /// Deployed, then rolled back.
    RolledBack = 5,
    /// Stuck, or waiting for a person.
    Stuck = 6,
    /// Timed out, still running.
    TimedOut = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Verdict {
    /// The exit code that the verdict alone implies; a [`super::fault::Fault`] may name a narrower one.
    ///
    /// `Changes` is 0 unless the caller asked for `--detailed-exitcode`.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Verdict::Released
            | Verdict::Done
            | Verdict::NothingToDo
            | Verdict::Changes
            | Verdict::Healthy
            | Verdict::NothingToWatch => ExitCode::Ok,
            Verdict::Rejected | Verdict::Failed | Verdict::Unreachable => ExitCode::Failed,
            Verdict::RolledBack => ExitCode::RolledBack,
            Verdict::Stuck => ExitCode::Stuck,
            Verdict::TimedOut => ExitCode::TimedOut,
            Verdict::Interrupted => ExitCode::Interrupted,
        }
    }

    /// Whether the verdict is a good end.
    pub fn is_ok(self) -> bool {
        self.exit_code() == ExitCode::Ok
    }

    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Released => "released",
            Verdict::Rejected => "rejected",
            Verdict::Failed => "failed",
            Verdict::RolledBack => "rolled-back",
            Verdict::Stuck => "stuck",
            Verdict::TimedOut => "timed-out",
            Verdict::Interrupted => "interrupted",
            Verdict::Done => "done",
            Verdict::NothingToDo => "nothing-to-do",
            Verdict::Changes => "changes",
            Verdict::Healthy => "healthy",
            Verdict::NothingToWatch => "nothing-to-watch",
            Verdict::Unreachable => "unreachable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_are_those_of_the_contract() {
        let table = [
            (Verdict::Released, "released", 0),
            (Verdict::Rejected, "rejected", 1),
            (Verdict::Failed, "failed", 1),
            (Verdict::RolledBack, "rolled-back", 5),
            (Verdict::Stuck, "stuck", 6),
            (Verdict::TimedOut, "timed-out", 7),
            (Verdict::Interrupted, "interrupted", 130),
            (Verdict::Done, "done", 0),
            (Verdict::NothingToDo, "nothing-to-do", 0),
            (Verdict::Changes, "changes", 0),
            (Verdict::Healthy, "healthy", 0),
            (Verdict::NothingToWatch, "nothing-to-watch", 0),
            (Verdict::Unreachable, "unreachable", 1),
        ];
        for (verdict, word, code) in table {
            assert_eq!(serde_json::to_value(verdict).unwrap(), word);
            assert_eq!(verdict.word(), word);
            assert_eq!(verdict.exit_code() as i32, code, "{word}");
        }
    }
}
