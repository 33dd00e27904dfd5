//! What CloudFormation refuses of a call before it looks at any template, and the emulator takes or words otherwise. What it refuses
//! of a template's resources, where their values are known, is the emulator's part (`xtask/data/refusals.py`).

use axum::response::Response;
use http::StatusCode;

use super::Front;
use super::cfn::{Form, refuse};
use crate::emulator::is_absent;
use crate::ledger::StackKey;
use causeway_model::arn::account_of;
use causeway_model::stack::{Outcome, Phase, StackStatus};

/// A role of another account cannot be passed. Source: IAM user guide, "Grant a user permissions to pass a role to an AWS service";
/// the words are those of aws/aws-cdk 28122.
pub(super) fn passed(role: &str, account: &str) -> Option<Response> {
    account_of(role).filter(|other| *other != account)?;
    let mut answer = refuse("AccessDenied", "Cross-account pass role is not allowed.");
    *answer.status_mut() = StatusCode::FORBIDDEN;
    Some(answer)
}

/// A stack in a state from which it cannot be updated, or created anew. Source: CloudFormation user guide, "Stack status codes"; the
/// words are those of aws-sam-cli 1865.
///
/// # Errors
/// The emulator does not answer.
pub(super) async fn state(
    front: &Front,
    form: &Form,
    action: &str,
    key: &StackKey,
) -> anyhow::Result<Option<Response>> {
    let creates = match (action, form.get("ChangeSetType")) {
        ("UpdateStack", _) | ("CreateChangeSet", "" | "UPDATE") => false,
        ("CreateChangeSet", "CREATE") => true,
        _ => return Ok(None),
    };
    let name = [("StackName", key.1.as_str())];
    let root = match front.cloud.emulator.query(&key.0, "cloudformation", "DescribeStacks", &name).await {
        Ok(root) => root,
        // The emulator words it as CloudFormation does.
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = |name: &str| root.text_at(&["DescribeStacksResult", "Stacks", "member", name]).to_owned();
    let mut state = text("StackStatus");
    if front.cloud.deployments.at_work(&key.0, &key.1) {
        // What its aliases still owe belongs to the rollback.
        state = state.replace("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_IN_PROGRESS");
    }
    let fits = if creates { is_new(&state) } else { takes_updates(&state) };
    let said = if creates {
        let set = form.get("ChangeSetName");
        format!("Stack [{}] already exists and cannot be created again with the changeSet [{set}]", key.1)
    } else {
        format!("Stack:{} is in {state} state and can not be updated.", text("StackId"))
    };
    Ok((!fits).then(|| refuse("ValidationError", &said)))
}

/// Whether a stack in this state is updated. What failed with its rollback disabled is updated, too.
fn takes_updates(state: &str) -> bool {
    match StackStatus::parse(state) {
        StackStatus::Known(phase, Outcome::Complete) => !matches!(phase, Phase::Rollback | Phase::Delete),
        StackStatus::Known(phase, Outcome::Failed) => matches!(phase, Phase::Create | Phase::Update),
        StackStatus::Known(_, Outcome::InProgress | Outcome::CleaningUp) => false,
        // A change set of a stack that only was to be made: the emulator decides.
        StackStatus::Review | StackStatus::Absent | StackStatus::Unknown(_) => true,
    }
}

/// Whether a stack in this state is still to be created.
fn is_new(state: &str) -> bool {
    matches!(StackStatus::parse(state), StackStatus::Review | StackStatus::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::cfn;
    use crate::front::tests::front_that;
    use crate::stub_emulator::Answer;

    #[test]
    fn only_a_role_of_the_account_is_passed() {
        for (role, refused) in [
            ("", false),
            ("arn:aws:iam::111111111111:role/own", false),
            ("arn:aws:iam::111111111111:role/path/own", false),
            ("arn:aws:iam::222222222222:role/foreign", true),
            ("arn:aws:iam::222222222222:role/path/foreign", true),
            ("arn:aws:iam::333333333333:user/somebody", true),
            ("no-arn", false),
        ] {
            let answer = passed(role, "111111111111");
            assert_eq!(answer.map(|answer| answer.status().as_u16()), refused.then_some(403), "{role}");
        }
    }

    #[test]
    fn a_stack_is_updated_in_some_states_alone() {
        for (state, updated, created) in [
            ("CREATE_COMPLETE", true, false),
            ("CREATE_FAILED", true, false),
            ("CREATE_IN_PROGRESS", false, false),
            ("ROLLBACK_COMPLETE", false, false),
            ("ROLLBACK_FAILED", false, false),
            ("ROLLBACK_IN_PROGRESS", false, false),
            ("UPDATE_COMPLETE", true, false),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", false, false),
            ("UPDATE_FAILED", true, false),
            ("UPDATE_IN_PROGRESS", false, false),
            ("UPDATE_ROLLBACK_COMPLETE", true, false),
            ("UPDATE_ROLLBACK_FAILED", false, false),
            ("DELETE_FAILED", false, false),
            ("DELETE_IN_PROGRESS", false, false),
            ("DELETE_COMPLETE", true, true),
            ("REVIEW_IN_PROGRESS", true, true),
            ("IMPORT_COMPLETE", true, false),
        ] {
            assert_eq!((takes_updates(state), is_new(state)), (updated, created), "{state}");
        }
    }

    #[tokio::test]
    async fn the_words_are_those_of_cloudformation() {
        let (_emulator, front) = front_that(|_, _| {
            Some(Answer::new(200, "<R><DescribeStacksResult><Stacks><member><StackId>arn:aws:cloudformation:eu-central-1:1:stack/s/u</StackId><StackStatus>ROLLBACK_COMPLETE</StackStatus></member></Stacks></DescribeStacksResult></R>"))
        })
        .await;
        let key = ("111111111111".to_owned(), "s".to_owned());
        for (action, set, expected) in [
            (
                "UpdateStack",
                "",
                "Stack:arn:aws:cloudformation:eu-central-1:1:stack/s/u is in ROLLBACK_COMPLETE state and can not be updated.",
            ),
            (
                "CreateChangeSet",
                "ChangeSetType=UPDATE",
                "Stack:arn:aws:cloudformation:eu-central-1:1:stack/s/u is in ROLLBACK_COMPLETE state and can not be updated.",
            ),
            (
                "CreateChangeSet",
                "ChangeSetType=CREATE&ChangeSetName=c",
                "Stack [s] already exists and cannot be created again with the changeSet [c]",
            ),
        ] {
            let form = cfn::Form::parse(&bytes::Bytes::copy_from_slice(set.as_bytes()));
            let answer = state(&front, &form, action, &key).await.unwrap().unwrap();
            let (_, body) = crate::front::whole(answer).await.unwrap();
            assert!(String::from_utf8_lossy(&body).contains(expected), "{}", String::from_utf8_lossy(&body));
        }
        let form = cfn::Form::parse(&bytes::Bytes::new());
        assert!(
            state(&front, &form, "CreateStack", &key).await.unwrap().is_none(),
            "the emulator has words for it"
        );
    }
}
