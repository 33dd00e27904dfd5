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
    /// Deployed, then rolled back.
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

    use crate::fault::Kind;

    const CODES: [(ExitCode, &str); 9] = [
        (ExitCode::Ok, "done, nothing to do, or a dry run without `--detailed-exitcode`"),
        (ExitCode::Failed, "failed, or the approval was refused"),
        (ExitCode::Usage, "the command line, a configuration file, or a tool that is missing"),
        (ExitCode::Changes, "a dry run with `--detailed-exitcode` found changes"),
        (ExitCode::Credentials, "credentials, or those of another account"),
        (ExitCode::RolledBack, "deployed, then rolled back"),
        (ExitCode::Stuck, "waits for a person or for another run; a kept plan that does not fit any more"),
        (ExitCode::TimedOut, "not settled in time, or too busy to judge; it may still be running"),
        (ExitCode::Interrupted, "Ctrl-C, or a signal to end"),
    ];
    const VERDICTS: [Verdict; 13] = [
        Verdict::Released,
        Verdict::Rejected,
        Verdict::Failed,
        Verdict::RolledBack,
        Verdict::Stuck,
        Verdict::TimedOut,
        Verdict::Interrupted,
        Verdict::Done,
        Verdict::NothingToDo,
        Verdict::Changes,
        Verdict::Healthy,
        Verdict::NothingToWatch,
        Verdict::Unreachable,
    ];
    const KINDS: [Kind; 7] = [
        Kind::Failed,
        Kind::Usage,
        Kind::Credentials,
        Kind::RolledBack,
        Kind::Stuck,
        Kind::TimedOut,
        Kind::Interrupted,
    ];

    /// The one table of exit codes is the page's, and says what the code does.
    #[test]
    fn the_page_has_the_table_of_exit_codes() {
        let mut table = String::from("| code | means | verdicts |\n| ---: | --- | --- |\n");
        for (code, means) in CODES {
            // A kind of failure may have a code of its own below its verdict: the verdict alone does not say everything.
            let by_verdict = VERDICTS.into_iter().filter(|verdict| verdict.exit_code() == code);
            let by_kind = KINDS.into_iter().filter(|kind| kind.exit_code() == code).map(Kind::verdict);
            let mut words: Vec<String> = Vec::new();
            for verdict in by_verdict.chain(by_kind) {
                let word = format!("`{}`", verdict.word());
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            if code == ExitCode::Changes {
                words.push(format!("`{}`", Verdict::Changes.word()));
            }
            table += &format!("| {} | {means} | {} |\n", code as i32, words.join(", "));
        }
        let page = include_str!("../../../../docs/exit-codes.md");
        assert!(page.contains(&table), "docs/exit-codes.md has another table than this:\n{table}");
        for verdict in VERDICTS {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.word());
        }
    }
}
