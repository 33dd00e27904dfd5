//! The whole hook against a scripted Lambda and a scripted CodeDeploy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clock.rs"]
mod clock;
#[path = "support/script.rs"]
mod script;
#[path = "../../api/tests/support/server.rs"]
mod server;
#[path = "support/stack.rs"]
mod stack;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::{hold, soon};
use hooks::check::{Check, GET, Step, healthy, right_version};
use hooks::runner::Outcome;
use hooks::settings::Phase;
use script::{
    ARN, Answers, PACKAGE_SHA256, PLENTY, Script, VERSION, event, http, reason, seconds, variables,
};
use serde_json::{Value, json};
use server::Response;
use tokio::time::{Instant, advance};

/// Two checks that every good function passes.
const CHECKS: &[Check] = &[
    Check {
        name: "health",
        steps: &[Step { path: "/api/health", rule: healthy, within: seconds(5), ..GET }],
        sweep: None,
    },
    Check {
        name: "version",
        steps: &[Step { path: "/api/version", rule: right_version, ..GET }],
        sweep: None,
    },
];

/// The time left for an invocation that is to run out of it, on a held clock.
const SHORT: Duration = Duration::from_millis(2_400);

/// Of [`SHORT`], what the checks have: a third is kept for the report.
const CHECKED: Duration = Duration::from_millis(1_600);

/// A good function.
fn good(event: &Value) -> Option<Response> {
    match event["rawPath"].as_str().unwrap() {
        "/api/health" => http(200, &json!({"status": "ok", "version": VERSION})),
        "/api/version" => http(200, &json!({"version": VERSION, "function": "checkin"})),
        _ => http(404, &Value::Null),
    }
}

fn refusal(status: u16, code: &str) -> Option<Response> {
    Some(server::json(status, &[("x-amzn-errortype", code)], &json!({"__type": code, "message": "Jane"})))
}

/// A good function, and CodeDeploy's next answers (`None`: never).
fn reporting(answers: Vec<Option<Response>>) -> Script {
    let script = Script::new(good);
    script.reports.lock().unwrap().extend(answers);
    script
}

#[tokio::test]
async fn a_good_version_passes_both_hooks() {
    for (phase, path) in [
        (Phase::PreTraffic, "arn%3Aaws%3Alambda%3Aeu-central-1%3A222222222222%3Afunction%3Acheckin%3A7"),
        (Phase::PostTraffic, "checkin%3Alive"),
    ] {
        let script = Script::new(good);
        let hook = script.hook(phase, &variables(), CHECKS).await;
        let summary = hook.handle(&event(), PLENTY).await.unwrap();
        assert_eq!((summary.status, script.told()), ("Succeeded", vec!["Succeeded".to_owned()]));
        assert_eq!(script.asked(), ["GET /api/health", "GET /api/version"]);
        assert!(
            summary
                .checks
                .iter()
                .all(|finding| finding.outcome == Outcome::Passed && finding.reason.is_none())
        );
        let code = summary.checks.iter().filter(|finding| finding.name == "code").count();
        assert_eq!(
            code,
            usize::from(phase == Phase::PreTraffic),
            "the code is looked at before it gets traffic"
        );
        let line = script.seen.lock().unwrap()[code].line.clone();
        assert_eq!(line, format!("POST /2015-03-31/functions/{path}/invocations"));
    }
}

#[tokio::test]
async fn a_hook_that_is_kept_warm_works_again() {
    let script = Script::new(good);
    let hook = script.hook(Phase::PreTraffic, &variables(), CHECKS).await;
    for _ in 0..3 {
        assert_eq!(hook.handle(&event(), PLENTY).await.map(|summary| summary.status), Ok("Succeeded"));
    }
    assert_eq!(script.told().len(), 3);
}

#[tokio::test]
async fn without_an_expectation_any_version_will_do() {
    let script = Script::new(good);
    let hook = script
        .hook(
            Phase::PreTraffic,
            &[("TARGET_VERSION", ARN), ("EXPECTED_VERSION", ""), ("CHECKS", "checkin")],
            CHECKS,
        )
        .await;
    assert_eq!(hook.handle(&event(), PLENTY).await.unwrap().status, "Succeeded");
}

#[tokio::test]
async fn a_bad_version_is_reported_with_its_reason() {
    let failing: [(Answers, &str); 6] = [
        (
            |_| http(200, &json!({"status": "ok", "version": "0.0.9+0"})),
            "expected version 0.1.0+0123456789ab, got 0.0.9+0",
        ),
        (|_| http(500, &json!({})), "expected status 200, got 500"),
        (
            |_| {
                let payload = json!({"errorType": "Runtime.ExitError", "errorMessage": "Jane"});
                Some(server::json(200, &[("x-amz-function-error", "Unhandled")], &payload))
            },
            "the function failed: Unhandled Runtime.ExitError",
        ),
        (
            |_| Some(server::json(200, &[("x-amz-executed-version", "6")], &json!({"statusCode": 200}))),
            "expected an answer of lambda version 7, got one of 6",
        ),
        (
            |_| refusal(403, "AccessDeniedException"),
            "the function could not be invoked: AccessDeniedException",
        ),
        (|_| Some(server::json(200, &[], &Value::Null)), "the function did not answer in HTTP's terms"),
    ];
    for (function, expected) in failing {
        let script = Script::new(function);
        let summary = script.run(CHECKS, PLENTY).await.unwrap();
        assert_eq!((reason(&summary).as_str(), script.told()), (expected, vec!["Failed".to_owned()]));
        assert_eq!(summary.checks.len(), 3, "one failure does not hide the other");
    }
}

/// Until so many requests have arrived.
async fn until_asked(script: &Script, count: usize) {
    while script.seen.lock().unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

/// Checks whose own limits are out of reach: only the hook's deadline ends them.
const PATIENT: &[Check] = &[
    Check {
        name: "health",
        steps: &[Step { path: "/api/health", within: seconds(3_600), ..GET }],
        sweep: None,
    },
    Check { name: "version", steps: &[Step { path: "/api/version", ..GET }], sweep: None },
];

#[tokio::test(start_paused = true)]
async fn a_hung_function_is_reported_before_the_deadline() {
    let (script, clock) = (Script::new(|_| None), hold());
    let hook = script.hook(Phase::PreTraffic, &variables(), PATIENT).await;
    let begin = Instant::now();
    let handled = tokio::spawn(async move { hook.handle(&event(), SHORT).await });
    soon("the first question", until_asked(&script, 2)).await;
    advance(CHECKED - Duration::from_millis(1)).await;
    assert!(!handled.is_finished() && script.told().is_empty(), "the checks have all of their time");
    advance(Duration::from_millis(1)).await;
    let summary = soon("the report", handled).await.unwrap().unwrap();
    assert_eq!(
        (reason(&summary).as_str(), script.told()),
        ("the hook ran out of time", vec!["Failed".to_owned()])
    );
    assert_eq!(summary.checks[2].outcome, Outcome::NotRun);
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    drop(clock);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_reported_with_its_limit() {
    const SLOW: &[Check] =
        &[Check { name: "slow", steps: &[Step { within: Duration::from_millis(100), ..GET }], sweep: None }];
    let summary = Script::new(|_| None).run(SLOW, seconds(600)).await.unwrap();
    assert_eq!(reason(&summary), "no answer within 100 ms");
}

/// Lambda's answer about a version whose code has this digest.
fn code_of(digest: &str) -> Option<Response> {
    Some(server::json(200, &[], &json!({"Version": "7", "CodeSha256": digest})))
}

#[tokio::test]
async fn code_that_was_not_packaged_for_this_release_is_not_called() {
    let other = "A".repeat(43) + "=";
    let zeros = "0".repeat(64);
    let cases: [(Vec<Option<Response>>, String); 4] = [
        (
            vec![code_of(&other)],
            format!(
                "the new version's code is not what was packaged for this release: its digest is {zeros}, the package's {PACKAGE_SHA256}"
            ),
        ),
        (
            vec![code_of("cfn-deployed")],
            format!(
                "the new version's code is not what was packaged for this release: its digest is unknown, the package's {PACKAGE_SHA256}"
            ),
        ),
        (
            vec![Some(server::json(200, &[], &json!({})))],
            format!(
                "the new version's code is not what was packaged for this release: its digest is unknown, the package's {PACKAGE_SHA256}"
            ),
        ),
        (
            vec![refusal(403, "AccessDeniedException")],
            "the new version's code cannot be read: AccessDeniedException".to_owned(),
        ),
    ];
    for (answers, expected) in cases {
        let script = Script::new(good);
        script.code.lock().unwrap().extend(answers);
        let summary = script.run(CHECKS, seconds(600)).await.unwrap();
        assert_eq!((reason(&summary), script.told()), (expected, vec!["Failed".to_owned()]));
        assert_eq!(summary.checks[0].name, "code");
        assert!(summary.checks[1..].iter().all(|finding| finding.outcome == Outcome::NotRun));
        assert_eq!(script.asked().len(), 0, "what may be anybody's code is not run");
    }
    let hook = Script::new(good)
        .hook(Phase::PreTraffic, &[&variables()[..5], &[("PACKAGE_SHA256", "latest")]].concat(), CHECKS)
        .await;
    let summary = hook.handle(&event(), seconds(600)).await.unwrap();
    assert_eq!(reason(&summary), "the digest of the package is none: latest");
}

#[tokio::test]
async fn without_a_digest_nothing_is_compared_and_that_is_said() {
    let script = Script::new(good);
    let hook = script.hook(Phase::PreTraffic, &variables()[..5], CHECKS).await;
    let summary = hook.handle(&event(), seconds(600)).await.unwrap();
    let finding = &summary.checks[0];
    assert_eq!((summary.status, finding.name, finding.outcome), ("Succeeded", "code", Outcome::Passed));
    assert!(finding.reason.as_deref().unwrap().starts_with("not known"), "{finding:?}");
    assert!(script.seen.lock().unwrap().iter().all(|seen| !seen.line.ends_with("/configuration")));
}

#[tokio::test]
async fn a_panic_in_a_check_is_reported() {
    const PANICKING: &[Check] = &[
        Check {
            name: "panicking",
            steps: &[Step { path: "/api/version", rule: |_, _| panic!("Jane"), ..GET }],
            sweep: None,
        },
        CHECKS[1],
    ];
    let script = Script::new(good);
    let summary = script.run(PANICKING, PLENTY).await.unwrap();
    assert_eq!((reason(&summary).as_str(), script.told()), ("the check panicked", vec!["Failed".to_owned()]));
    assert_eq!(summary.checks[2].outcome, Outcome::Passed, "the other check ran all the same");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_yields_is_reported() {
    static STUCK_FAST: AtomicBool = AtomicBool::new(false);
    static RELEASED: AtomicBool = AtomicBool::new(false);
    fn stuck(_: &Value, _: &hooks::check::Expected) -> Result<(), String> {
        STUCK_FAST.store(true, Ordering::Release);
        while !RELEASED.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(())
    }
    const STUCK: &[Check] = &[Check {
        name: "stuck",
        steps: &[Step { path: "/api/version", rule: stuck, within: seconds(3_600), ..GET }],
        sweep: None,
    }];
    let (script, clock) = (Script::new(good), hold());
    let hook = script.hook(Phase::PreTraffic, &variables(), STUCK).await;
    let begin = Instant::now();
    let handled = tokio::spawn(async move { hook.handle(&event(), SHORT).await });
    let entered = async {
        while !STUCK_FAST.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    };
    soon("the check's rule", entered).await;
    advance(CHECKED).await;
    let summary = soon("the report", handled).await.unwrap().unwrap();
    RELEASED.store(true, Ordering::Release);
    assert_eq!(
        (reason(&summary).as_str(), script.told()),
        ("the hook ran out of time", vec!["Failed".to_owned()])
    );
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    drop(clock);
}

#[tokio::test]
async fn a_template_that_says_too_little_is_reported() {
    for (phase, variables, missing) in [
        (Phase::PreTraffic, &[("TARGET_ALIAS", "checkin:live"), ("CHECKS", "checkin")][..], "TARGET_VERSION"),
        (Phase::PostTraffic, &[("TARGET_VERSION", ARN), ("CHECKS", "checkin")], "TARGET_ALIAS"),
        (Phase::PreTraffic, &[("TARGET_VERSION", ARN)], "CHECKS"),
    ] {
        let script = Script::new(good);
        let hook = script.hook(phase, variables, CHECKS).await;
        let summary = hook.handle(&event(), PLENTY).await.unwrap();
        assert_eq!(reason(&summary), format!("the environment variable {missing} is not set"));
        assert!(summary.checks.iter().all(|finding| finding.outcome == Outcome::NotRun));
        assert_eq!((script.told(), script.asked().len()), (vec!["Failed".to_owned()], 0));
    }
}

#[tokio::test]
async fn a_hook_without_checks_proves_nothing() {
    let script = Script::new(good);
    assert_eq!(script.run(&[], PLENTY).await.map(|summary| summary.status), Ok("Failed"));
    assert_eq!(script.told(), ["Failed"]);
}

#[tokio::test]
async fn a_report_is_sent_again_until_it_arrives() {
    let throttled = || refusal(400, "ThrottlingException");
    let script = reporting(vec![throttled(), refusal(500, "InternalFailure")]);
    let summary = script.run(CHECKS, PLENTY).await.unwrap();
    assert_eq!((summary.status, script.told().len()), ("Succeeded", 3));
    // An answer that was lost: the second attempt hears that it was told.
    let script = reporting(vec![None, refusal(400, "LifecycleEventAlreadyCompletedException")]);
    assert_eq!(script.run(CHECKS, PLENTY).await.map(|summary| summary.status), Ok("Succeeded"));
    assert_eq!(script.told(), ["Succeeded", "Succeeded"]);
}

#[tokio::test]
async fn a_report_that_never_arrives_fails_the_invocation() {
    let refusals = std::iter::repeat_with(|| refusal(403, "AccessDeniedException")).take(9).collect();
    let script = reporting(refusals);
    let error = script.run(CHECKS, PLENTY).await.unwrap_err();
    let expected = "failed to report Succeeded to CodeDeploy after 5 attempts: AccessDeniedException";
    assert_eq!((error.to_string().as_str(), script.told().len()), (expected, 5));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_never_answered_fails_the_invocation() {
    let silence = std::iter::repeat_with(|| None).take(9).collect();
    let (script, clock) = (reporting(silence), hold());
    let hook = script.hook(Phase::PreTraffic, &variables(), CHECKS).await;
    let begin = Instant::now();
    let handled = tokio::spawn(async move { hook.handle(&event(), seconds(3)).await });
    // The checks are done and the first report is out: from here on nothing but time passes.
    soon("the first report", until_asked(&script, 4)).await;
    assert_eq!(script.told(), ["Succeeded"]);
    drop(clock);
    let error = handled.await.unwrap().unwrap_err();
    assert_eq!(error.code, "Timeout");
    assert!(begin.elapsed() < seconds(3), "{:?}", begin.elapsed());
}
