//! The released checks, and how a check that writes is cleaned up after, against a scripted Lambda.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/script.rs"]
mod script;
#[path = "../../api/tests/support/server.rs"]
mod server;
#[path = "support/stack.rs"]
mod stack;

use hooks::check::{Check, GET, Step, Sweep};
use hooks::hook::Summary;
use hooks::settings::Phase;
use hooks::suites::{MARK, SUITES, Suite};
use script::{PLENTY, Routes, Script, VERSION, event, http, reason, seconds, variables};
use serde_json::{Value, json};
use server::Response;

/// The checks of the function that was built, against answers like its own.
fn checkin(event: &Value) -> Option<Response> {
    let problem = |status: u16| {
        http(
            status,
            &json!({"type": "about:blank", "status": status, "errors": [{"field": "x", "reason": "y"}]}),
        )
    };
    let place = json!({"locationId": "a-1", "locationName": MARK});
    match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" if event["body"].as_str().unwrap().contains(MARK) => http(201, &place),
        "POST /api/locations" => problem(422),
        "GET /api/locations" => http(200, &json!([])),
        "GET /api/locations/a-1" => http(200, &place),
        "DELETE /api/locations/a-1" => gone(),
        "GET /api/registrations" | "GET /api/contacts" if event["rawQueryString"] != CONTACTS_READ => {
            problem(400)
        }
        "GET /api/contacts" => http(200, &json!([])),
        "GET /api/contacts/version" => http(200, &json!({"version": VERSION, "function": "contacts"})),
        "GET /api/contacts/health" => http(200, &json!({"status": "ok", "version": VERSION})),
        "GET /api/health" => http(200, &json!({"status": "ok", "version": VERSION})),
        "GET /api/version" => http(200, &json!({"version": VERSION, "function": "checkin"})),
        _ => http(404, &Value::Null),
    }
}

const CONTACTS_READ: &str = "dt=2000-01-01&email=hook@causeway.invalid";

#[tokio::test]
async fn each_function_has_its_own_checks() {
    for (function, phase, asked) in [
        ("checkin", Phase::PreTraffic, 5),
        ("contacts", Phase::PreTraffic, 5),
        ("contacts", Phase::PostTraffic, 5),
    ] {
        let script = Script::new(checkin);
        let mut variables = variables();
        variables[3].1 = function;
        let summary = script.hook_of(phase, &variables, SUITES).await.handle(&event(), PLENTY).await.unwrap();
        assert_eq!(summary.status, "Succeeded", "{summary:?}");
        assert_eq!(script.asked().len(), asked, "{function} {phase:?}");
        assert!(script.asked().iter().all(|asked| (function == "contacts") == asked.contains("/contacts")));
    }
    // A function that answers for another one is the wrong one.
    let script = Script::new(|event| match event["rawPath"].as_str().unwrap() {
        "/api/version" => http(200, &json!({"version": VERSION, "function": "contacts"})),
        _ => checkin(event),
    });
    let hook = script.hook_of(Phase::PreTraffic, &variables(), SUITES).await;
    let summary = hook.handle(&event(), PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "expected function checkin, got contacts");
}

/// Runs the hook after traffic against a good function and an API that answers so.
async fn through_api(script: &Script) -> Summary {
    let hook = script.hook_of(Phase::PostTraffic, &variables(), API).await;
    hook.handle(&event(), PLENTY).await.unwrap()
}

/// What the released suite asks the API, with limits that a busy machine does not reach.
const API: &[Suite] = &[Suite { function: "checkin", pre: &[], post: &[HEALTH, VERSION_THERE] }];
const HEALTH: Check = Check { steps: &[Step { within: seconds(30), ..RELEASED[5].steps[0] }], ..RELEASED[5] };
const VERSION_THERE: Check =
    Check { steps: &[Step { within: seconds(30), ..RELEASED[6].steps[0] }], ..RELEASED[6] };
const RELEASED: &[Check] = SUITES[0].post;

#[tokio::test]
async fn the_deployed_api_is_asked_at_the_address_that_the_stack_names() {
    let script = Script::new(checkin);
    let summary = through_api(&script).await;
    assert_eq!((summary.status, script.told()), ("Succeeded", vec!["Succeeded".to_owned()]), "{summary:?}");
    let lines: Vec<String> = script.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect();
    assert_eq!(
        lines[..3],
        ["POST /", "GET /api/health", "GET /api/version"],
        "the address is asked for once"
    );
    // Every suite asks for both open routes of its own function.
    for suite in SUITES {
        let asked = suite.post.iter().flat_map(|check| check.steps).filter(|step| step.through_api);
        let paths: Vec<&str> = asked.map(|step| step.path).collect();
        assert_eq!(paths.len(), 2, "{}", suite.function);
        assert!(paths.iter().all(|path| (suite.function == "contacts") == path.contains("/contacts/")));
        assert!(suite.pre.iter().flat_map(|check| check.steps).all(|step| !step.through_api));
    }
}

#[tokio::test]
async fn what_the_api_answers_by_itself_fails_the_hook() {
    let failing: [(Routes, &str); 4] = [
        (
            |_| Some(server::json(503, &[], &json!({"message": "Service Unavailable"}))),
            "GET /api/health through the API: expected status 200, got 503",
        ),
        (
            |_| Some(server::json(307, &[("location", "/elsewhere")], &Value::Null)),
            "GET /api/health through the API: expected status 200, got 307",
        ),
        (
            |_| Some(server::json(200, &[], &json!({"status": "ok", "version": "0.0.9+0"}))),
            "GET /api/health through the API: status 200, but expected version 0.1.0+0123456789ab, got 0.0.9+0",
        ),
        (
            |_| Some(Response::text(200, "<html>")),
            "GET /api/health through the API: status 200, but the body is not JSON",
        ),
    ];
    for (api, expected) in failing {
        let script = Script { api, ..Script::new(checkin) };
        let summary = through_api(&script).await;
        assert_eq!((reason(&summary).as_str(), script.told()), (expected, vec!["Failed".to_owned()]));
    }
}

#[tokio::test]
async fn an_api_that_does_not_answer_fails_the_hook() {
    const SLOW: Check = Check {
        steps: &[Step { within: std::time::Duration::from_millis(500), ..RELEASED[6].steps[0] }],
        ..RELEASED[6]
    };
    const SUITE: &[Suite] = &[Suite { function: "checkin", pre: &[], post: &[SLOW] }];
    let script = Script { api: |_| None, ..Script::new(checkin) };
    let hook = script.hook_of(Phase::PostTraffic, &variables(), SUITE).await;
    let summary = hook.handle(&event(), PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "GET /api/version through the API: no answer within 500 ms");

    let script = Script::new(checkin);
    // Bound and not listened to: it is ours, and refuses.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = format!("http://{}/", deaf.local_addr().unwrap());
    script.stacks.lock().unwrap().push_back(stack::with_api(&nowhere));
    let reason = reason(&through_api(&script).await);
    assert_eq!(reason, "GET /api/health through the API: no answer: the connection failed");
}

#[tokio::test]
async fn an_address_that_cannot_be_found_fails_the_hook() {
    let refused = || {
        let body =
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Jane</Message></Error></ErrorResponse>";
        Response::text(403, body)
    };
    let cases: [(Vec<Response>, &str); 3] = [
        (
            std::iter::repeat_with(refused).take(9).collect(),
            "the API's address cannot be read: AccessDenied (status 403)",
        ),
        (vec![Response::text(200, "<Stacks/>")], "the stack has no output ApiURL"),
        (vec![stack::with_api("http://example.org/")], "the stack's output ApiURL is no address"),
    ];
    for (answers, expected) in cases {
        let script = Script::new(checkin);
        script.stacks.lock().unwrap().extend(answers);
        let summary = through_api(&script).await;
        assert_eq!(reason(&summary), format!("GET /api/health through the API: {expected}"));
    }
    // A busy moment of CloudFormation is none of the new version's.
    let script = Script::new(checkin);
    script.stacks.lock().unwrap().push_back(refused());
    assert_eq!(through_api(&script).await.status, "Succeeded");
    // A template that names no stack.
    let script = Script::new(checkin);
    let hook = script.hook_of(Phase::PostTraffic, &variables()[..4], API).await;
    let summary = hook.handle(&event(), PLENTY).await.unwrap();
    assert!(reason(&summary).ends_with("the environment variable STACK_NAME is not set"), "{summary:?}");
}

#[tokio::test]
async fn checks_that_nobody_knows_are_reported() {
    let script = Script::new(checkin);
    let mut variables = variables();
    variables[3].1 = "checkout";
    let hook = script.hook_of(Phase::PreTraffic, &variables, SUITES).await;
    let summary = hook.handle(&event(), PLENTY).await.unwrap();
    assert_eq!((reason(&summary).as_str(), script.asked().len()), ("there are no checks for checkout", 0));
    assert_eq!(script.told(), ["Failed"]);
}

/// A location is written, read and removed; it is removed too when it cannot be read.
const ROUND: &[Check] = &[Check {
    name: "write, read, delete",
    steps: &[
        Step {
            method: "POST",
            path: "/api/locations",
            body: Some(r#"{"locationName":"hook"}"#),
            status: 201,
            keep: Some(("id", "/locationId")),
            ..GET
        },
        Step { path: "/api/locations/{id}", ..GET },
        Step { method: "DELETE", path: "/api/locations/{id}", status: 204, cleanup: true, ..GET },
    ],
    sweep: Some(Sweep {
        list: "/api/locations",
        field: "locationName",
        mark: "hook",
        id: "locationId",
        remove: "/api/locations/{id}",
    }),
}];

fn gone() -> Option<Response> {
    Some(server::json(200, &[], &json!({"statusCode": 204})))
}

#[tokio::test]
async fn a_check_can_have_steps_that_build_on_each_other() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "GET /api/locations/a-1" => http(200, &json!({})),
        "DELETE /api/locations/a-1" => gone(),
        "GET /api/locations" => http(200, &json!([])),
        _ => http(404, &Value::Null),
    });
    assert_eq!(script.run(ROUND, PLENTY).await.map(|summary| summary.status), Ok("Succeeded"));
    assert_eq!(
        script.asked(),
        ["POST /api/locations", "GET /api/locations/a-1", "DELETE /api/locations/a-1", "GET /api/locations"]
    );
}

/// What the function was asked to delete.
fn deleted(script: &Script) -> Vec<String> {
    script.asked().into_iter().filter(|asked| asked.starts_with("DELETE")).collect()
}

#[tokio::test]
async fn what_a_failed_check_left_is_cleaned_up() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "DELETE /api/locations/a-1" => gone(),
        "GET /api/locations" => http(200, &json!([])),
        _ => http(500, &Value::Null),
    });
    let summary = script.run(ROUND, PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "step 2: expected status 200, got 500");
    assert_eq!(deleted(&script), ["DELETE /api/locations/a-1"]);

    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "GET /api/locations" => http(200, &json!([])),
        _ => http(201, &json!({"locationId": "../x"})),
    });
    let summary = script.run(ROUND, PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "step 2: an earlier step gave no id to go on with");
    assert_eq!(script.asked(), ["POST /api/locations", "GET /api/locations"]);
}

#[tokio::test]
async fn what_a_panic_left_is_cleaned_up() {
    const PANICKING: &[Check] = &[Check {
        steps: &[
            // The id is known although the answer's own rule panics.
            Step { rule: |_, _| panic!("Jane"), ..ROUND[0].steps[0] },
            ROUND[0].steps[1],
            ROUND[0].steps[2],
        ],
        ..ROUND[0]
    }];
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "DELETE /api/locations/a-1" => gone(),
        _ => http(200, &json!([])),
    });
    let summary = script.run(PANICKING, PLENTY).await.unwrap();
    assert_eq!(
        (reason(&summary).as_str(), script.told()),
        ("step 1: the check panicked", vec!["Failed".to_owned()])
    );
    assert_eq!(deleted(&script), ["DELETE /api/locations/a-1"]);
}

#[tokio::test]
async fn what_was_written_though_no_answer_came_is_swept() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "GET /api/locations" if event["rawQueryString"] == "limit=1000" => Some(server::json(
            200,
            &[],
            &json!({"statusCode": 200, "headers": {"x-next": "MTo"}, "body": json!([
                {"locationId": "a-1", "locationName": "Desk 14"},
                {"locationId": "a-2", "locationName": "hook"},
            ]).to_string()}),
        )),
        "GET /api/locations" => http(200, &json!([{"locationId": "a-3", "locationName": "hook"}])),
        "DELETE /api/locations/a-2" => gone(),
        // Another hook was quicker.
        "DELETE /api/locations/a-3" => http(404, &Value::Null),
        _ => None,
    });
    const SILENT: &[Check] = &[Check {
        steps: &[
            Step { within: std::time::Duration::from_millis(300), ..ROUND[0].steps[0] },
            ROUND[0].steps[1],
            ROUND[0].steps[2],
        ],
        ..ROUND[0]
    }];
    let summary = script.run(SILENT, PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "step 1: no answer within 300 ms");
    assert_eq!(deleted(&script), ["DELETE /api/locations/a-2", "DELETE /api/locations/a-3"]);
}

#[tokio::test]
async fn a_sweep_that_fails_fails_the_check() {
    let script = Script::new(|event| match event["routeKey"].as_str().unwrap() {
        "POST /api/locations" => http(201, &json!({"locationId": "a-1"})),
        "GET /api/locations/a-1" => http(200, &json!({})),
        "DELETE /api/locations/a-1" => gone(),
        _ => http(500, &Value::Null),
    });
    let summary = script.run(ROUND, PLENTY).await.unwrap();
    assert_eq!(reason(&summary), "cleaning up: the list could not be read: status 500");
}
