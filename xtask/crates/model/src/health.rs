//! What `doctor` makes of what it saw: a check mark means "in order", and nothing else has one.

use serde::Serialize;

use super::fault::{Fault, Kind};
use super::stack::{Outcome, Phase, StackStatus};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is in order.
    Ok,
    /// It works, and somebody should know; the command does not fail for it.
    Warning,
    /// A release, or the next change of the stack, fails for it.
    Error,
}

/// One thing that is not in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, on what, and what fixes it.
    pub fault: Fault,
}

impl Complaint {
    /// Something that works, and that somebody should know.
    pub fn warning(what: &str, on: &str, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, on, why, next)
    }

    fn new(
        severity: Severity,
        what: &str,
        on: &str,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let fault = Fault::new(Kind::Stuck, what, on).why(why.into()).next(next);
        Self { severity, fault }
    }
}

/// What was seen of a stack.
#[derive(Debug, Clone)]
pub struct Stack<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its state.
    pub status: &'a StackStatus,
    /// Whether `bootstrap` deploys it; the pipeline does otherwise.
    pub by_bootstrap: bool,
    /// Whether termination protection is on.
    pub protected: bool,
    /// Whether its account is a protected one.
    pub is_to_be_protected: bool,
    /// The project and the stack that its template says it is, where it says so.
    pub mark: Option<(&'a str, &'a str)>,
    /// The project and the stack that it should be.
    pub should_be: (&'a str, &'a str),
}

/// Everything about a stack that is not in order.
#[must_use]
pub fn of_stack(stack: &Stack<'_>) -> Vec<Complaint> {
    let mut all: Vec<Complaint> = state(stack).into_iter().collect();
    // Nothing is in it yet that could be protected or carry a mark.
    if *stack.status == StackStatus::Review {
        return all;
    }
    if stack.is_to_be_protected && !stack.protected {
        let (severity, next) = if stack.by_bootstrap {
            (Severity::Error, "cargo xtask bootstrap switches it on".to_owned())
        } else {
            let name = stack.name;
            (
                Severity::Warning,
                format!(
                    "aws cloudformation update-termination-protection --enable-termination-protection --stack-name {name}"
                ),
            )
        };
        let why = "termination protection is off, and its account is a protected one";
        all.push(Complaint::new(severity, "protect the stack", stack.name, why, next));
    }
    match stack.mark {
        Some(mark) if mark == stack.should_be => {}
        Some((project, other)) => all.push(Complaint::new(
            Severity::Error,
            "know the stack",
            stack.name,
            format!("its template says that it is the stack {other} of the project {project}: somebody else's"),
            "see whose it is in the console; a stack of another project wants another name, or ours another `project` in cfn/stacks.toml",
        )),
        None => all.push(Complaint::new(
            Severity::Warning,
            "know the stack",
            stack.name,
            "its template has no mark of this project (Metadata.Causeway)",
            if stack.by_bootstrap {
                "cargo xtask bootstrap: the next update of the stack sets it"
            } else {
                "the next release sets it"
            },
        )),
    }
    all
}

/// What is wrong with a stack's state.
fn state(stack: &Stack<'_>) -> Option<Complaint> {
    use Outcome::{CleaningUp, Complete, Failed, InProgress};
    let name = stack.name;
    let by_hand =
        |bootstrap: &str, pipeline: String| if stack.by_bootstrap { bootstrap.to_owned() } else { pipeline };
    let recreate = || {
        by_hand(
            "cargo xtask bootstrap removes what is left and creates it anew, after asking",
            format!("aws cloudformation delete-stack --stack-name {name}; the next release creates it anew"),
        )
    };
    let (severity, next) = match stack.status {
        StackStatus::Known(Phase::Create | Phase::Update | Phase::Import, Complete) => return None,
        StackStatus::Known(Phase::UpdateRollback | Phase::ImportRollback, Complete) => (
            Severity::Warning,
            "its last update was rolled back, and what was before it serves; see its events, and deploy again"
                .to_owned(),
        ),
        StackStatus::Known(_, InProgress | CleaningUp) => {
            (Severity::Warning, "somebody is at work on it; look again when that is over".to_owned())
        }
        StackStatus::Known(Phase::UpdateRollback, Failed) => (
            Severity::Error,
            by_hand(
                "cargo xtask bootstrap finishes the rollback",
                format!(
                    "aws cloudformation continue-update-rollback --stack-name {name}; no release comes through before"
                ),
            ),
        ),
        StackStatus::Known(Phase::Rollback, Complete | Failed)
        | StackStatus::Known(Phase::Create, Failed) => (Severity::Error, recreate()),
        StackStatus::Known(Phase::Update, Failed) => (
            Severity::Error,
            format!(
                "aws cloudformation rollback-stack --stack-name {name}, or deploy again what can be deployed"
            ),
        ),
        StackStatus::Review => (
            Severity::Warning,
            "a plan to create it was left; creating it goes on beside it, or remove the stack in the console"
                .to_owned(),
        ),
        StackStatus::Absent => return None,
        StackStatus::Known(Phase::Delete | Phase::Import | Phase::ImportRollback, _)
        | StackStatus::Unknown(_) => {
            let advice = stack.status.action().err().unwrap_or("see its events in the console");
            (Severity::Error, advice.to_owned())
        }
    };
    Some(Complaint::new(severity, "deploy the stack", name, format!("it is in {}", stack.status), next))
}

/// What is wrong with a pipeline: stages into which nothing goes, and approvals that wait.
#[must_use]
pub fn of_pipeline(name: &str, closed: &[(String, String)], waiting: &[(String, String)]) -> Vec<Complaint> {
    let closed = closed.iter().map(|(stage, why)| {
        Complaint::new(
            Severity::Error,
            "release through the pipeline",
            name,
            format!("nothing goes into the stage {stage}: {why}"),
            format!("aws codepipeline enable-stage-transition --pipeline-name {name} --stage-name {stage} --transition-type Inbound"),
        )
    });
    let waiting = waiting.iter().map(|(stage, action)| {
        Complaint::new(
            Severity::Warning,
            "release through the pipeline",
            name,
            format!("{action} of {stage} waits for somebody's decision"),
            "decide in the console of CodePipeline; until then no later release gets that far",
        )
    });
    closed.chain(waiting).collect()
}

/// What is wrong with the subscribers of a topic: nobody hears what it is told.
#[must_use]
pub fn of_topic(topic: &str, confirmed: usize, pending: usize) -> Option<Complaint> {
    let (why, next) = match (confirmed, pending) {
        (0, 0) => (
            "nobody is subscribed, so nobody hears of failures and approvals".to_owned(),
            "name addresses in `notification_emails` of cfn/stacks.toml, then cargo xtask bootstrap",
        ),
        (0, pending) => (
            format!(
                "none of its {pending} subscribers has confirmed, so nobody hears of failures and approvals"
            ),
            "have them follow the link in the mail that SNS sent them",
        ),
        _ => return None,
    };
    Some(Complaint::new(Severity::Warning, "tell people", topic, why, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Error, Ok, Warning};

    fn stack<'a>(status: &'a StackStatus, by_bootstrap: bool) -> Stack<'a> {
        let mark = ("acme", "build-base");
        Stack {
            name: "acme-build-base",
            status,
            by_bootstrap,
            protected: false,
            is_to_be_protected: false,
            mark: Some(mark),
            should_be: mark,
        }
    }

    fn worst(all: &[Complaint]) -> Severity {
        all.iter().map(|one| one.severity).max().unwrap_or(Ok)
    }

    /// Every state that CloudFormation has ("Stack status codes"), and one that it does not have yet.
    #[test]
    fn only_what_is_in_order_has_a_check_mark() {
        for (word, severity, bootstrap, pipeline) in [
            ("CREATE_COMPLETE", Ok, "", ""),
            ("UPDATE_COMPLETE", Ok, "", ""),
            ("IMPORT_COMPLETE", Ok, "", ""),
            ("UPDATE_ROLLBACK_COMPLETE", Warning, "rolled back", "rolled back"),
            ("IMPORT_ROLLBACK_COMPLETE", Warning, "rolled back", "rolled back"),
            ("CREATE_IN_PROGRESS", Warning, "at work", "at work"),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Warning, "at work", "at work"),
            ("DELETE_IN_PROGRESS", Warning, "at work", "at work"),
            ("REVIEW_IN_PROGRESS", Warning, "plan", "plan"),
            ("UPDATE_ROLLBACK_FAILED", Error, "xtask bootstrap finishes", "continue-update-rollback"),
            ("ROLLBACK_FAILED", Error, "xtask bootstrap removes", "delete-stack"),
            ("ROLLBACK_COMPLETE", Error, "xtask bootstrap removes", "delete-stack"),
            ("CREATE_FAILED", Error, "xtask bootstrap removes", "delete-stack"),
            ("UPDATE_FAILED", Error, "rollback-stack", "rollback-stack"),
            ("DELETE_FAILED", Error, "what blocks it", "what blocks it"),
            ("IMPORT_ROLLBACK_FAILED", Error, "console", "console"),
            ("A_NEW_WORD", Error, "unknown", "unknown"),
        ] {
            let status = StackStatus::parse(word);
            for (by_bootstrap, next) in [(true, bootstrap), (false, pipeline)] {
                let all = of_stack(&stack(&status, by_bootstrap));
                assert_eq!(worst(&all), severity, "{word}");
                assert_eq!(all.len(), usize::from(severity != Ok), "{word}");
                assert!(all.iter().all(|one| one.fault.next.contains(next)), "{word}: {all:?}");
                assert!(all.iter().all(|one| one.fault.why.contains(word)), "{word}: {all:?}");
            }
        }
    }

    #[test]
    fn a_stack_that_was_only_planned_has_no_mark_and_no_protection_to_lack() {
        let planned = StackStatus::Review;
        let stack = Stack { is_to_be_protected: true, mark: None, ..stack(&planned, true) };
        let all = of_stack(&stack);
        assert_eq!((all.len(), worst(&all)), (1, Warning), "{all:?}");
    }

    #[test]
    fn protection_and_marks_are_compared() {
        let good = StackStatus::parse("CREATE_COMPLETE");
        let base = stack(&good, true);
        let ours = base.mark;
        let of = |to_be, protected, by_bootstrap, mark| {
            let stack = Stack { is_to_be_protected: to_be, protected, by_bootstrap, mark, ..base.clone() };
            worst(&of_stack(&stack))
        };
        for (to_be, protected, by_bootstrap, mark, severity) in [
            (true, true, true, ours, Ok),
            (true, false, true, ours, Error),
            (true, false, false, ours, Warning),
            (false, false, true, ours, Ok),
            (false, true, true, ours, Ok),
            (false, false, true, None, Warning),
            (false, false, true, Some(("accounting", "build-base")), Error),
            (false, false, true, Some(("acme", "pipeline")), Error),
        ] {
            assert_eq!(of(to_be, protected, by_bootstrap, mark), severity, "{to_be} {protected} {mark:?}");
        }
    }

    #[test]
    fn what_keeps_a_release_or_its_news_back_is_told() {
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert_eq!(of_pipeline("p", &[], &[]), []);
        let closed = of_pipeline("p", &pair("Prod", "freeze"), &[]);
        assert_eq!(
            (worst(&closed), closed[0].fault.why.as_str()),
            (Error, "nothing goes into the stage Prod: freeze")
        );
        assert!(closed[0].fault.next.contains("enable-stage-transition --pipeline-name p --stage-name Prod"));
        let waiting = of_pipeline("p", &[], &pair("Prod", "Approve"));
        assert_eq!(
            (worst(&waiting), waiting[0].fault.why.as_str()),
            (Warning, "Approve of Prod waits for somebody's decision")
        );
        for (confirmed, pending, why) in [
            (1, 0, None),
            (1, 5, None),
            (0, 0, Some("nobody is subscribed")),
            (0, 2, Some("none of its 2 subscribers")),
        ] {
            let found = of_topic("t", confirmed, pending).map(|one| one.fault.why);
            assert_eq!(found.is_some(), why.is_some(), "{confirmed} {pending}");
            assert!(found.unwrap_or_default().contains(why.unwrap_or_default()));
        }
    }
}
