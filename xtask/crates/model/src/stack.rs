//! The state of a stack: an exhaustive list, with what may be done in each.
//!
//! Source: "Stack status codes" and "Update behaviors" in the CloudFormation user guide.

use std::fmt;

use serde::{Deserialize, Serialize};

/// CloudFormation's word for a stack's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackStatus {
    /// There is no such stack, or only a deleted one.
    Absent,
    /// One of the words CloudFormation uses.
    Known(Phase, Outcome),
    /// `REVIEW_IN_PROGRESS`: a change set was made for a stack that was never created.
    Review,
    /// A word that this list does not have.
    Unknown(String),
}

/// Which operation the state belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `CREATE_…`
    Create,
    /// `ROLLBACK_…`: a create that was rolled back.
    Rollback,
    /// `UPDATE_…`
    Update,
    /// `UPDATE_ROLLBACK_…`
    UpdateRollback,
    /// `DELETE_…`
    Delete,
    /// `IMPORT_…`
    Import,
    /// `IMPORT_ROLLBACK_…`
    ImportRollback,
}

/// How the operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `…_IN_PROGRESS`
    InProgress,
    /// `…_COMPLETE_CLEANUP_IN_PROGRESS`: what counts is done, old resources are still being removed.
    CleaningUp,
    /// `…_COMPLETE`
    Complete,
    /// `…_FAILED`
    Failed,
}

/// What `bootstrap` does with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Leave it as it is.
    None,
    /// Remove what a failed create left, then make it.
    Recreate,
    /// Another run is at work on it.
    Wait,
    /// Finish a rollback that got stuck, then change it.
    Repair,
    /// Remove it; only `destroy` does.
    Delete,
}

const PHASES: [(&str, Phase); 7] = [
    ("CREATE", Phase::Create),
    ("ROLLBACK", Phase::Rollback),
    ("UPDATE", Phase::Update),
    ("UPDATE_ROLLBACK", Phase::UpdateRollback),
    ("DELETE", Phase::Delete),
    ("IMPORT", Phase::Import),
    ("IMPORT_ROLLBACK", Phase::ImportRollback),
];
const OUTCOMES: [(&str, Outcome); 4] = [
    ("IN_PROGRESS", Outcome::InProgress),
    ("COMPLETE_CLEANUP_IN_PROGRESS", Outcome::CleaningUp),
    ("COMPLETE", Outcome::Complete),
    ("FAILED", Outcome::Failed),
];

impl StackStatus {
    /// The state behind CloudFormation's word. `DELETE_COMPLETE` is [`StackStatus::Absent`].
    pub fn parse(word: &str) -> Self {
        if word == "REVIEW_IN_PROGRESS" {
            return StackStatus::Review;
        }
        for (prefix, phase) in PHASES {
            let rest = word.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
            let outcome = rest.and_then(|rest| OUTCOMES.iter().find(|(name, _)| *name == rest));
            if let Some((_, outcome)) = outcome {
                if (phase, *outcome) == (Phase::Delete, Outcome::Complete) {
                    return StackStatus::Absent;
                }
                return StackStatus::Known(phase, *outcome);
            }
        }
        StackStatus::Unknown(word.to_owned())
    }

    /// Whether nothing is at work on the stack. An unknown word counts as at work unless it says otherwise.
    pub fn is_settled(&self) -> bool {
        match self {
            StackStatus::Absent | StackStatus::Review => true,
            StackStatus::Known(_, outcome) => !matches!(outcome, Outcome::InProgress | Outcome::CleaningUp),
            StackStatus::Unknown(word) => !word.ends_with("IN_PROGRESS"),
        }
    }

    /// Whether the last operation did what was asked of it.
    pub fn is_good(&self) -> bool {
        matches!(self, StackStatus::Known(Phase::Create | Phase::Update | Phase::Import, Outcome::Complete))
    }

    /// What `bootstrap` does when the stack should differ from what it is.
    ///
    /// # Errors
    /// A state that only a person may clear, with the advice.
    pub fn action(&self) -> Result<Action, &'static str> {
        use Outcome::{CleaningUp, Complete, Failed, InProgress};
        Ok(match self {
            StackStatus::Absent | StackStatus::Review => Action::Create,
            StackStatus::Known(_, InProgress | CleaningUp) => Action::Wait,
            StackStatus::Known(Phase::Rollback, Complete | Failed) => Action::Recreate,
            StackStatus::Known(Phase::Create, Failed) => Action::Recreate,
            StackStatus::Known(Phase::UpdateRollback, Failed) => Action::Repair,
            StackStatus::Known(Phase::Delete, Failed) => {
                return Err(
                    "its deletion failed; remove what blocks it, then delete the stack in the console",
                );
            }
            StackStatus::Known(Phase::ImportRollback, Failed) => {
                return Err("an import could not be rolled back; finish it in the console");
            }
            StackStatus::Known(_, Complete | Failed) => Action::Update,
            StackStatus::Unknown(_) => {
                return Err("the state is unknown to this version of the tool; look in the console");
            }
        })
    }
}

impl fmt::Display for StackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackStatus::Absent => f.write_str("ABSENT"),
            StackStatus::Review => f.write_str("REVIEW_IN_PROGRESS"),
            StackStatus::Unknown(word) => f.write_str(word),
            StackStatus::Known(phase, outcome) => {
                let prefix = PHASES.iter().find(|(_, p)| p == phase).map_or("", |(name, _)| name);
                let suffix = OUTCOMES.iter().find(|(_, o)| o == outcome).map_or("", |(name, _)| name);
                write!(f, "{prefix}_{suffix}")
            }
        }
    }
}

/// Whether a resource of this type holds data that is gone once it is replaced or removed.
pub fn is_stateful(resource_type: &str) -> bool {
    const STATEFUL: [&str; 7] = [
        "AWS::DynamoDB::Table",
        "AWS::DynamoDB::GlobalTable",
        "AWS::S3::Bucket",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::SecretsManager::Secret",
        "AWS::SQS::Queue",
    ];
    STATEFUL.contains(&resource_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every status that the API reference lists for `Stack.StackStatus`.
    const ALL: [&str; 23] = [
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "CREATE_COMPLETE",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_FAILED",
        "ROLLBACK_COMPLETE",
        "DELETE_IN_PROGRESS",
        "DELETE_FAILED",
        "DELETE_COMPLETE",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "REVIEW_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_IN_PROGRESS",
        "IMPORT_ROLLBACK_FAILED",
        "IMPORT_ROLLBACK_COMPLETE",
    ];

    #[test]
    fn every_word_is_known_and_comes_back() {
        for word in ALL {
            let status = StackStatus::parse(word);
            assert!(!matches!(status, StackStatus::Unknown(_)), "{word}");
            if word != "DELETE_COMPLETE" {
                assert_eq!(status.to_string(), word);
            }
            assert_eq!(
                status.is_settled(),
                !word.ends_with("IN_PROGRESS") || word == "REVIEW_IN_PROGRESS",
                "{word}"
            );
        }
        assert_eq!(StackStatus::parse("SLEEPING"), StackStatus::Unknown("SLEEPING".into()));
    }

    #[test]
    fn each_state_has_its_action() {
        let table = [
            ("DELETE_COMPLETE", Ok(Action::Create)),
            ("REVIEW_IN_PROGRESS", Ok(Action::Create)),
            ("ROLLBACK_COMPLETE", Ok(Action::Recreate)),
            ("ROLLBACK_FAILED", Ok(Action::Recreate)),
            ("CREATE_FAILED", Ok(Action::Recreate)),
            ("UPDATE_ROLLBACK_FAILED", Ok(Action::Repair)),
            ("UPDATE_ROLLBACK_COMPLETE", Ok(Action::Update)),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Ok(Action::Wait)),
            ("UPDATE_FAILED", Ok(Action::Update)),
            ("IMPORT_COMPLETE", Ok(Action::Update)),
        ];
        for (word, expected) in table {
            assert_eq!(StackStatus::parse(word).action(), expected, "{word}");
        }
        assert!(StackStatus::parse("DELETE_FAILED").action().is_err());
        assert!(StackStatus::parse("SLEEPING").action().is_err());
    }

    #[test]
    fn only_what_was_asked_is_good() {
        let good: Vec<&str> = ALL.into_iter().filter(|word| StackStatus::parse(word).is_good()).collect();
        assert_eq!(good, ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"]);
    }
}
