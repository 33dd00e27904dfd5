//! Calls whose first answer was lost, and what counts as done.

use super::*;

/// What a lost answer leaves to be found out: a call is repeated, and its first attempt has done the work.
#[tokio::test]
async fn a_change_set_whose_answer_was_lost_is_ours_and_goes_on() {
    let complete = "<ChangeSetId>arn:aws:cloudformation:r:1:changeSet/causeway-c/7</ChangeSetId><Status>CREATE_COMPLETE</Status>";
    let exists =
        |name: &str| error(400, "AlreadyExistsException", &format!("ChangeSet [{name}] already exists"));
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    let (script, account) =
        Script::start(vec![exists("causeway-c"), result("DescribeChangeSet", complete)]).await;
    let own = wanted(&parameters, &tags);
    let made = Stacks::new(&account).create_change_set(&own, true).await.unwrap().unwrap();
    assert_eq!(made.id, "arn:aws:cloudformation:r:1:changeSet/causeway-c/7");
    let body = &script.bodies()[0];
    assert!(body.contains("ClientToken=causeway-c") && body.contains("Tags.member.1.Key=a"), "{body}");
    // A stack of that name, somebody else's change set, or a name that is not ours alone: that is an answer.
    let other = Wanted { name: "release", is_own: false, ..own.clone() };
    for (wanted, said) in [(&own, "s"), (&own, "causeway-other"), (&other, "release")] {
        let (script, account) = Script::start(vec![exists(said)]).await;
        let refused = Stacks::new(&account).create_change_set(wanted, true).await;
        assert!(refused.is_err(), "{said}");
        assert_eq!(script.asked(), ["CreateChangeSet"], "{said}");
    }
}

#[tokio::test]
async fn no_tag_is_no_list_of_tags() {
    let complete = "<Status>CREATE_COMPLETE</Status>";
    let replies = vec![result("CreateChangeSet", "<Id>arn:c</Id>"), result("DescribeChangeSet", complete)];
    let (script, account) = Script::start(replies).await;
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
    Stacks::new(&account).create_change_set(&wanted(&parameters, &tags), false).await.unwrap();
    // An empty list would take every tag of the stack away.
    assert!(!script.bodies()[0].contains("Tags"), "{}", script.bodies()[0]);
}

#[tokio::test]
async fn a_change_set_counts_as_executed_when_it_is() {
    const ID: &str = "arn:aws:cloudformation:r:1:changeSet/causeway-c/7-8";
    let silent: Emit = Arc::new(|_| {});
    let limit = Duration::from_secs(600);
    let status =
        |word: &str| result("DescribeChangeSet", &format!("<ExecutionStatus>{word}</ExecutionStatus>"));
    let made_of = |id: &str, state: &str| {
        result(
            "DescribeStacks",
            &stack(state).replace("<Outputs>", &format!("<ChangeSetId>{id}</ChangeSetId><Outputs>")),
        )
    };
    let followed = || {
        vec![
            result("DescribeStacks", &stack("UPDATE_COMPLETE")),
            result("DescribeStackEvents", "<StackEvents></StackEvents>"),
        ]
    };
    let wrong = || error(400, "InvalidChangeSetStatus", "it is in EXECUTE_COMPLETE status");
    let gone = || error(404, "ChangeSetNotFound", "it does not exist");
    let lost = || (500, String::new());
    // What the call and the looks after it say, and whether it goes on.
    let table = [
        (vec![result("ExecuteChangeSet", "")], true),
        (vec![wrong(), status("EXECUTE_COMPLETE")], true),
        (vec![wrong(), status("EXECUTE_IN_PROGRESS")], true),
        (vec![lost(), status("EXECUTE_IN_PROGRESS")], true),
        (vec![lost(), status("AVAILABLE")], false),
        (vec![wrong(), status("OBSOLETE")], false),
        (vec![gone(), gone(), made_of(ID, "UPDATE_IN_PROGRESS")], true),
        (vec![gone(), gone(), made_of("arn:other", "UPDATE_COMPLETE")], false),
        (vec![gone(), gone(), made_of(ID, "REVIEW_IN_PROGRESS")], false),
    ];
    for (number, (mut replies, goes_on)) in table.into_iter().enumerate() {
        if goes_on {
            replies.extend(followed());
        }
        let (script, account) = Script::start(replies).await;
        let mut begun = false;
        let ended = Stacks::new(&account).execute("s", ID, true, || begun = true, limit, &silent).await;
        assert_eq!((ended.is_ok(), begun), (goes_on, goes_on), "{number}: {:?}", script.asked());
        assert!(script.bodies()[0].contains("ClientRequestToken=7-8"), "{}", script.bodies()[0]);
        if let Err(error) = ended {
            let fault = from_error(&error);
            assert!(
                fault.why.contains("ChangeSetNotFound") == fault.next.contains("plans anew"),
                "{fault:?}"
            );
        }
    }
    // A name that comes again is executed again, and an answer is an answer.
    let (script, account) = Script::start(vec![wrong()]).await;
    assert!(Stacks::new(&account).execute("s", "release", true, || {}, limit, &silent).await.is_err());
    assert_eq!(script.asked(), ["ExecuteChangeSet"]);
}

#[tokio::test]
async fn what_was_executed_is_not_taken_back() {
    let running = error(400, "InvalidChangeSetStatus", "it is in EXECUTE_IN_PROGRESS status");
    let status = result("DescribeChangeSet", "<ExecutionStatus>EXECUTE_IN_PROGRESS</ExecutionStatus>");
    let (script, account) = Script::start(vec![running, status]).await;
    Stacks::new(&account).withdraw("causeway-c", "s", true).await.unwrap();
    assert_eq!(script.asked(), ["DeleteChangeSet", "DescribeChangeSet"]);
}

#[tokio::test]
async fn a_rollback_is_continued_without_what_is_skipped_and_a_lost_answer_goes_on() {
    let silent: Emit = Arc::new(|_| {});
    let events = || result("DescribeStackEvents", "<StackEvents></StackEvents>");
    let at = |state: &str| result("DescribeStacks", &stack(state));
    let odd = || error(400, "ValidationError", "Stack is not in UPDATE_ROLLBACK_FAILED");
    let table = [
        (
            vec![events(), result("ContinueUpdateRollback", ""), at("UPDATE_ROLLBACK_COMPLETE"), events()],
            true,
        ),
        (
            vec![
                events(),
                odd(),
                at("UPDATE_ROLLBACK_IN_PROGRESS"),
                at("UPDATE_ROLLBACK_COMPLETE"),
                events(),
            ],
            true,
        ),
        (vec![events(), odd(), at("UPDATE_ROLLBACK_FAILED")], false),
        (vec![events(), odd(), at("UPDATE_COMPLETE")], false),
    ];
    for (replies, goes_on) in table {
        let (script, account) = Script::start(replies).await;
        let skipped = ["Role".to_owned()];
        let ended =
            Stacks::new(&account).continue_rollback("s", &skipped, Duration::from_secs(600), &silent).await;
        assert_eq!(ended.is_ok(), goes_on, "{:?}", script.asked());
        assert!(script.bodies()[1].contains("ResourcesToSkip.member.1=Role"), "{}", script.bodies()[1]);
    }
}

/// Who gives a call up has not stopped it: the change set is made, and its removal must come after that.
#[tokio::test]
async fn a_change_set_that_nobody_waits_for_any_more_is_asked_for_to_the_end() {
    let (script, account) = Script::start(vec![result("CreateChangeSet", "<Id>arn:c</Id>")]).await;
    let (asking, asked) = tokio::sync::oneshot::channel::<()>();
    let given_up = async {
        let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
        let (stacks, own) = (Stacks::new(&account), wanted(&parameters, &tags));
        let mut call = Box::pin(stacks.create_change_set_asked(&own, true, asking));
        // It is begun, and dropped before its answer can be there.
        std::future::poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    };
    given_up.await;
    assert!(asked.await.is_err(), "it is dropped, not sent");
    assert_eq!(script.asked(), ["CreateChangeSet"]);
}

/// The last call of a run that was killed may still be on its way when the next run looks.
#[tokio::test]
async fn what_a_killed_run_had_just_asked_for_is_looked_for_again() {
    let absent = || error(404, "ChangeSetNotFound", "ChangeSet [causeway-c] does not exist");
    let no_stack = || error(400, "ValidationError", "Stack [s] does not exist");
    let there = || result("DescribeChangeSet", "<Status>CREATE_COMPLETE</Status>");
    let removed = || result("DeleteChangeSet", "");
    let looks = |count: usize| vec!["DescribeChangeSet"; count];
    let table = [
        (vec![there(), removed()], looks(1)),
        (vec![no_stack(), absent(), there(), removed()], looks(3)),
        // It never came: then nothing is there to be removed.
        (vec![absent(), absent(), absent(), absent(), absent(), removed()], looks(5)),
    ];
    for (replies, mut expected) in table {
        let (script, account) = Script::start(replies).await;
        Stacks::new(&account).withdraw_left("causeway-c", "s", false).await.unwrap();
        expected.push("DeleteChangeSet");
        assert_eq!(script.asked(), expected);
    }
    let (script, account) = Script::start(vec![error(403, "AccessDenied", "no")]).await;
    assert!(Stacks::new(&account).withdraw_left("causeway-c", "s", false).await.is_err());
    assert_eq!(script.asked(), ["DescribeChangeSet"], "no error is nothing there");
}
