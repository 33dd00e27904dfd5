//! Stacks against scripted replies: what is asked in which order, and what is made of the answers.

use std::sync::Arc;

use super::super::scripted::{Script, error, result};
use super::operations::is_cause;
use super::*;
use causeway_model::changeset::Op;

mod again;

fn stack(status: &str) -> String {
    format!(
        "<Stacks><member><StackName>s</StackName><StackId>arn:s</StackId><StackStatus>{status}</StackStatus><Outputs><member><OutputKey>K</OutputKey><OutputValue>v</OutputValue></member></Outputs></member></Stacks>"
    )
}

fn event(id: &str, logical: &str, status: &str, reason: &str) -> String {
    format!(
        "<member><EventId>{id}</EventId><StackName>s</StackName><LogicalResourceId>{logical}</LogicalResourceId><ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
    )
}

fn wanted<'a>(parameters: &'a BTreeMap<String, String>, tags: &'a BTreeMap<String, String>) -> Wanted<'a> {
    Wanted {
        stack: "s",
        template: "{}",
        url: None,
        parameters,
        tags,
        role_arn: None,
        name: "causeway-c",
        is_own: true,
    }
}

#[tokio::test]
async fn a_stack_is_described_or_absent() {
    let absent = error(400, "ValidationError", "Stack with id s does not exist");
    let odd = result("DescribeStacks", &stack("SLEEPING"));
    let replies = vec![
        result("DescribeStacks", &stack("UPDATE_COMPLETE")),
        absent,
        result("DescribeStacks", &stack("DELETE_COMPLETE")),
        odd,
        error(403, "AccessDenied", "no"),
    ];
    let (_, account) = Script::start(replies).await;
    let stacks = Stacks::new(&account);
    let info = stacks.describe("s").await.unwrap().unwrap();
    assert_eq!((info.status.to_string().as_str(), info.outputs["K"].as_str()), ("UPDATE_COMPLETE", "v"));
    assert!(stacks.describe("s").await.unwrap().is_none());
    assert!(stacks.describe("s").await.unwrap().is_none());
    assert_eq!(stacks.describe("s").await.unwrap().unwrap().status, StackStatus::Unknown("SLEEPING".into()));
    let refused = from_error(&stacks.describe("s").await.unwrap_err());
    assert_eq!((refused.kind, refused.why.as_str()), (Kind::Failed, "AccessDenied: no (status 403)"));
}

#[tokio::test]
async fn a_template_is_asked_for_as_it_was_submitted() {
    let (script, account) =
        Script::start(vec![result("GetTemplate", "<TemplateBody>Transform: T</TemplateBody>")]).await;
    assert_eq!(Stacks::new(&account).template("s").await.unwrap(), "Transform: T");
    let body = script.bodies().concat();
    assert!(body.contains("TemplateStage=Original"), "{body}");
}

#[tokio::test]
async fn what_a_create_left_behind_is_listed_or_told_by_an_event() {
    let listed = |id: &str, status: &str| {
        format!(
            "<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>p-{id}</PhysicalResourceId><ResourceType>T</ResourceType><ResourceStatus>{status}</ResourceStatus></member>"
        )
    };
    let resources = listed("Gone", "DELETE_COMPLETE") + &listed("Stuck", "DELETE_FAILED");
    let kept = event("1", "Kept", "DELETE_SKIPPED", "").replace(
        "</EventId>",
        "</EventId><PhysicalResourceId>p-Kept</PhysicalResourceId><ResourceType>T</ResourceType>",
    );
    let events = kept + &event("2", "Gone", "DELETE_COMPLETE", "");
    let replies = vec![
        result(
            "ListStackResources",
            &format!("<StackResourceSummaries>{resources}</StackResourceSummaries>"),
        ),
        result("DescribeStackEvents", &format!("<StackEvents>{events}</StackEvents>")),
    ];
    let (_, account) = Script::start(replies).await;
    let held = Stacks::new(&account).held("s").await.unwrap();
    let ids: Vec<&str> = held.values().map(|physical| physical.id.as_str()).collect();
    assert_eq!(ids, ["p-Kept", "p-Stuck"]);
}

#[tokio::test]
async fn an_expired_session_is_a_matter_of_credentials() {
    let (_, account) = Script::start(vec![error(
        403,
        "ExpiredToken",
        "The security token included in the request is expired",
    )])
    .await;
    let fault = from_error(&Stacks::new(&account).describe("s").await.unwrap_err());
    assert_eq!(fault.kind, Kind::Credentials);
    assert!(fault.next.contains("aws sso login"), "{}", fault.next);
}

#[tokio::test]
async fn an_empty_change_set_is_removed_and_none() {
    let described = "<Status>FAILED</Status><StatusReason>The submitted information didn't contain changes.</StatusReason>";
    let replies = vec![
        result("CreateChangeSet", "<Id>arn:c</Id>"),
        result("DescribeChangeSet", "<Status>CREATE_PENDING</Status>"),
        result("DescribeChangeSet", described),
        result("DeleteChangeSet", ""),
    ];
    let (script, account) = Script::start(replies).await;
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
    assert!(
        Stacks::new(&account).create_change_set(&wanted(&parameters, &tags), false).await.unwrap().is_none()
    );
    assert_eq!(
        script.asked(),
        ["CreateChangeSet", "DescribeChangeSet", "DescribeChangeSet", "DeleteChangeSet"]
    );
}

#[tokio::test]
async fn a_failed_change_set_is_removed_and_says_why() {
    let described = "<Status>FAILED</Status><StatusReason>Transform failed</StatusReason>";
    let clash = "<OperationEvents><member><EventId>1</EventId><StackId>arn:s</StackId><EventType>VALIDATION_ERROR</EventType><LogicalResourceId>Q</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType><ValidationStatusReason>it exists</ValidationStatusReason></member></OperationEvents>";
    let denied = error(403, "AccessDenied", "not authorized");
    for (events, why) in [
        (result("DescribeEvents", "<OperationEvents></OperationEvents>"), "Transform failed".to_owned()),
        (result("DescribeEvents", clash), "Transform failed; Q (AWS::SQS::Queue): it exists".to_owned()),
        (
            denied,
            "Transform failed; the details are not told: cloudformation:DescribeEvents is denied to these credentials".to_owned(),
        ),
    ] {
        let (script, account) = Script::start(vec![
            result("CreateChangeSet", "<Id>arn:c</Id>"),
            result("DescribeChangeSet", described),
            events,
            result("DeleteChangeSet", ""),
        ])
        .await;
        let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
        let fault = from_error(
            &Stacks::new(&account).create_change_set(&wanted(&parameters, &tags), true).await.unwrap_err(),
        );
        assert_eq!(fault.why, why);
        assert_eq!(
            script.asked(),
            ["CreateChangeSet", "DescribeChangeSet", "DescribeEvents", "DeleteChangeSet"],
            "the events are asked for while the change set is there"
        );
    }
}

#[tokio::test]
async fn changes_come_from_all_pages() {
    let page = |id: &str, token: &str| {
        let change = format!(
            "<member><Type>Resource</Type><ResourceChange><Action>Add</Action><LogicalResourceId>{id}</LogicalResourceId><ResourceType>AWS::SNS::Topic</ResourceType></ResourceChange></member>"
        );
        let next = if token.is_empty() { String::new() } else { format!("<NextToken>{token}</NextToken>") };
        result(
            "DescribeChangeSet",
            &format!("<Status>CREATE_COMPLETE</Status><Changes>{change}</Changes>{next}"),
        )
    };
    let replies = vec![result("CreateChangeSet", "<Id>arn:c</Id>"), page("A", "t"), page("B", "")];
    let (_, account) = Script::start(replies).await;
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
    let made =
        Stacks::new(&account).create_change_set(&wanted(&parameters, &tags), true).await.unwrap().unwrap();
    let shown: Vec<(Op, &str)> = made.changes.iter().map(|c| (c.op, c.logical_id.as_str())).collect();
    assert_eq!(shown, [(Op::Add, "A"), (Op::Add, "B")]);
}

#[tokio::test]
async fn events_are_told_once_oldest_first_and_the_first_failure_is_kept() {
    let events = |list: &[String]| {
        result("DescribeStackEvents", &format!("<StackEvents>{}</StackEvents>", list.concat()))
    };
    let old = event("1", "s", "CREATE_COMPLETE", "");
    let cause = event("2", "Table", "UPDATE_FAILED", "no permission");
    let echo = event("3", "Role", "UPDATE_FAILED", "Resource update cancelled");
    let last = event("4", "s", "UPDATE_ROLLBACK_COMPLETE", "");
    let replies = vec![
        events(std::slice::from_ref(&old)),
        result("ExecuteChangeSet", ""),
        result("DescribeStacks", &stack("UPDATE_IN_PROGRESS")),
        events(&[cause.clone(), old.clone()]),
        result("DescribeStacks", &stack("UPDATE_ROLLBACK_COMPLETE")),
        events(&[last, echo, cause, old]),
    ];
    let (_, account) = Script::start(replies).await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let emit: Emit = Arc::new(move |line| {
        if let Line::Event(event) = line {
            hear.lock().unwrap().push(event.logical_id);
        }
    });
    let settled =
        Stacks::new(&account).execute("s", "c", false, || {}, Duration::from_secs(600), &emit).await.unwrap();
    assert_eq!(settled.status.to_string(), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(settled.first_failure.as_deref(), Some("Table UPDATE_FAILED: no permission"));
    assert_eq!(*told.lock().unwrap(), ["Table", "Role", "s"]);
}

/// Follows an execution through these looks; how it ended, and how often it was said that a look failed.
async fn followed(looks: Vec<super::super::scripted::Reply>) -> (anyhow::Result<Settled>, usize) {
    let begin = [result("DescribeStackEvents", ""), result("ExecuteChangeSet", "")];
    let (_, account) = Script::start(begin.into_iter().chain(looks).collect()).await;
    let warnings = Arc::new(std::sync::Mutex::new(0));
    let told = Arc::clone(&warnings);
    let emit: Emit =
        Arc::new(move |line| *told.lock().unwrap() += usize::from(matches!(line, Line::Warning { .. })));
    let ended = Stacks::new(&account).execute("s", "c", false, || {}, Duration::from_secs(600), &emit).await;
    let warnings = *warnings.lock().unwrap();
    (ended, warnings)
}

#[tokio::test]
async fn a_look_that_fails_does_not_end_the_following_and_a_refusal_does() {
    let at = |status: &str| vec![result("DescribeStacks", &stack(status)), result("DescribeStackEvents", "")];
    let done = || at("UPDATE_COMPLETE");
    for bad in [
        (200, "<html>".to_owned()),
        (200, String::new()),
        (500, "<html>".to_owned()),
        error(400, "Throttling", "Rate exceeded"),
        result("DescribeStacks", "<Stacks></Stacks>"),
    ] {
        let (ended, said) = followed([at("UPDATE_IN_PROGRESS"), vec![bad.clone()], done()].concat()).await;
        assert_eq!(ended.unwrap().status.to_string(), "UPDATE_COMPLETE", "{bad:?}");
        assert_eq!(said, 1, "{bad:?}");
        // The second call of a look.
        let half = vec![result("DescribeStacks", &stack("UPDATE_IN_PROGRESS")), bad.clone()];
        let (ended, said) = followed([half, vec![bad.clone(); 2], done()].concat()).await;
        assert!(ended.is_ok() && said == 1, "{bad:?} {said}: said once");
    }
    let (ended, said) = followed(vec![error(403, "AccessDenied", "no"); 9]).await;
    let fault = from_error(&ended.unwrap_err());
    assert_eq!(said, 0);
    assert!(fault.next.contains("goes on in AWS") && fault.why.contains("AccessDenied"), "{fault}");
    let (ended, said) = followed(vec![error(500, "InternalFailure", "no"); 9]).await;
    let fault = from_error(&ended.unwrap_err());
    assert_eq!(said, 1);
    assert!(
        fault.next.contains("the operation on s goes on in AWS") && fault.what.contains("follow"),
        "{fault}"
    );
}

/// A stack that ended in a state, and names its operations.
fn operated(status: &str, operations: &[(&str, &str)]) -> String {
    let entries: String = operations
        .iter()
        .map(|(kind, id)| {
            format!("<member><OperationType>{kind}</OperationType><OperationId>{id}</OperationId></member>")
        })
        .collect();
    stack(status).replace("<Outputs>", &format!("<LastOperations>{entries}</LastOperations><Outputs>"))
}

/// Whichever way a stack is deployed, CloudFormation is given the same.
#[tokio::test]
async fn a_stack_is_the_same_however_it_is_deployed() {
    let silent: Emit = Arc::new(|_| {});
    let parameters = BTreeMap::from([("P".to_owned(), "v".to_owned())]);
    let tags = BTreeMap::from([("owner".to_owned(), "us".to_owned())]);
    let wanted = Wanted { role_arn: Some("arn:r"), ..wanted(&parameters, &tags) };
    let absent = error(400, "ValidationError", "Stack with id s does not exist");
    let nothing = error(400, "ValidationError", "No updates are to be performed.");
    let events = result("DescribeStackEvents", "<StackEvents/>");
    let refused = || error(403, "AccessDenied", "no");
    let (script, account) = Script::start(vec![
        absent,
        refused(),
        result("DescribeStacks", &stack("UPDATE_COMPLETE")),
        events,
        nothing,
        refused(),
    ])
    .await;
    let stacks = Stacks::new(&account);
    let limit = Duration::from_secs(600);
    assert!(stacks.create_or_update(&wanted, limit, &silent).await.is_err());
    assert!(stacks.create_or_update(&wanted, limit, &silent).await.unwrap().is_none());
    assert!(stacks.create_change_set(&wanted, false).await.is_err());
    let given = |action: &str| {
        let bodies = script.bodies();
        let body = bodies.iter().find(|body| body.contains(&format!("Action={action}&"))).unwrap();
        let own = ["Action=", "ChangeSetName=", "ChangeSetType=", "ClientToken="];
        let rest = body.split('&').filter(|pair| !own.iter().any(|name| pair.starts_with(name)));
        rest.map(ToOwned::to_owned).collect::<BTreeSet<String>>()
    };
    let planned = given("CreateChangeSet");
    for word in ["Parameters.member.1.ParameterValue=v", "Tags.member.1.Value=us", "RoleARN=arn%3Ar"] {
        assert!(planned.contains(word), "{word}: {planned:?}");
    }
    assert_eq!((given("CreateStack"), given("UpdateStack")), (planned.clone(), planned));
}

#[tokio::test]
async fn a_failed_operation_says_what_describe_events_knows_of_it() {
    let silent: Emit = Arc::new(|_| {});
    let events = |list: &[String]| {
        result("DescribeStackEvents", &format!("<StackEvents>{}</StackEvents>", list.concat()))
    };
    let failed = event("2", "Table", "CREATE_FAILED", "validation failed");
    let detail = "<OperationEvents><member><EventId>1</EventId><StackId>arn:s</StackId><EventType>PROVISIONING_ERROR</EventType><LogicalResourceId>Table</LogicalResourceId><ResourceType>T</ResourceType><ResourceStatus>CREATE_FAILED</ResourceStatus><ResourceStatusReason>the quota of tables is reached</ResourceStatusReason></member></OperationEvents>";
    let told = "Table CREATE_FAILED: validation failed; Table CREATE_FAILED: the quota of tables is reached";
    // A stack that is created: the answer names the operation.
    let (script, account) = Script::start(vec![
        error(400, "ValidationError", "Stack with id s does not exist"),
        result("CreateStack", "<StackId>arn:s</StackId><OperationId>op-7</OperationId>"),
        result("DescribeStacks", &stack("ROLLBACK_COMPLETE")),
        events(std::slice::from_ref(&failed)),
        result("DescribeEvents", detail),
    ])
    .await;
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
    let wanted = wanted(&parameters, &tags);
    let limit = Duration::from_secs(600);
    let settled = Stacks::new(&account).create_or_update(&wanted, limit, &silent).await.unwrap().unwrap();
    assert_eq!(settled.first_failure.as_deref(), Some(told));
    assert!(script.bodies().last().unwrap().contains("OperationId=op-7"), "{:?}", script.bodies().last());
    // A change set that is executed: the stack names it; a rollback is not the cause.
    let operations = [("ROLLBACK", "op-9"), ("UPDATE_STACK", "op-8"), ("CREATE_STACK", "op-1")];
    let (script, account) = Script::start(vec![
        events(&[]),
        result("ExecuteChangeSet", ""),
        result("DescribeStacks", &operated("UPDATE_ROLLBACK_COMPLETE", &operations)),
        events(&[failed]),
        result("DescribeEvents", detail),
    ])
    .await;
    let settled = Stacks::new(&account).execute("s", "c", false, || {}, limit, &silent).await.unwrap();
    assert_eq!(settled.first_failure.as_deref(), Some(told));
    assert!(script.bodies().last().unwrap().contains("OperationId=op-8"), "{:?}", script.bodies().last());
}

#[tokio::test]
async fn a_template_that_fits_no_request_goes_by_its_url_or_not_at_all() {
    let large = format!("Description: {}", "x".repeat(MAX_BODY));
    let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
    let of = |template, url| Wanted { template, url, ..wanted(&parameters, &tags) };
    let complete = "<Status>CREATE_COMPLETE</Status>";
    let (script, account) = Script::start(vec![
        result("CreateChangeSet", "<Id>arn:c</Id>"),
        result("DescribeChangeSet", complete),
    ])
    .await;
    let stacks = Stacks::new(&account);
    stacks.create_change_set(&of(&large, Some("https://b/k?X-Amz-Signature=0a")), true).await.unwrap();
    let body = &script.bodies()[0];
    assert!(body.contains("TemplateURL=https%3A%2F%2Fb%2Fk") && !body.contains("TemplateBody"), "{body}");
    let far = format!("https://b/k?X-Amz-Signature={}", "a".repeat(MAX_URL));
    let huge = "x".repeat(MAX_OBJECT + 1);
    for (wanted, said) in [
        (of(&large, None), "a request takes 51200"),
        (of(&large, Some(far.as_str())), "CloudFormation takes 5120"),
        (of(&huge, Some("https://b/k")), "CloudFormation takes 1048576"),
    ] {
        let error = stacks.create_change_set(&wanted, true).await.unwrap_err();
        let fault = from_error(&error);
        assert!(fault.kind == Kind::Usage && fault.why.contains(said), "{said}: {fault}");
    }
    assert_eq!(script.asked().len(), 2, "nothing was sent");
}

#[test]
fn messages_are_recognized() {
    assert!(says_no_such_stack("Stack with id causeway-build-base does not exist"));
    assert!(!says_no_such_stack("Template format error"));
    let event = |status: &str, reason: &str| Event {
        account: "dev".into(),
        stack: "s".into(),
        logical_id: "X".into(),
        status: status.into(),
        reason: Some(reason.into()),
    };
    assert!(is_cause(&event("CREATE_FAILED", "no permission")));
    assert!(!is_cause(&event("CREATE_FAILED", "Resource creation cancelled")));
    assert!(!is_cause(&event("CREATE_COMPLETE", "")));
}
#[tokio::test]
async fn what_was_only_planned_is_taken_back_with_the_stack_that_it_would_have_made() {
    let gone = || error(400, "ValidationError", "Stack [s] does not exist");
    let review = || result("DescribeStacks", &stack("REVIEW_IN_PROGRESS"));
    let removed = || result("DeleteChangeSet", "");
    let table = [
        (false, vec![removed()], vec!["DeleteChangeSet"]),
        (
            true,
            vec![removed(), review(), result("DeleteStack", "")],
            vec!["DeleteChangeSet", "DescribeStacks", "DeleteStack"],
        ),
        // Somebody else's plan has become a stack meanwhile.
        (
            true,
            vec![removed(), result("DescribeStacks", &stack("CREATE_IN_PROGRESS"))],
            vec!["DeleteChangeSet", "DescribeStacks"],
        ),
        // It is still being made.
        (
            false,
            vec![
                error(400, "InvalidChangeSetStatus", "in CREATE_IN_PROGRESS"),
                result("DescribeChangeSet", "<ExecutionStatus>UNAVAILABLE</ExecutionStatus>"),
                removed(),
            ],
            vec!["DeleteChangeSet", "DescribeChangeSet", "DeleteChangeSet"],
        ),
        (true, vec![gone()], vec!["DeleteChangeSet"]),
        (true, vec![error(404, "ChangeSetNotFound", "c"), gone()], vec!["DeleteChangeSet", "DescribeStacks"]),
    ];
    for (is_new, replies, expected) in table {
        let (script, account) = Script::start(replies).await;
        Stacks::new(&account).withdraw("c", "s", is_new).await.unwrap();
        assert_eq!(script.asked(), expected);
    }
    let (_, account) = Script::start(vec![error(403, "AccessDenied", "no")]).await;
    let fault = from_error(&Stacks::new(&account).withdraw("c", "s", true).await.unwrap_err());
    assert_eq!(fault.why, "AccessDenied: no (status 403)");
}
