//! The page on made-up lines: what is in it, what is escaped, how large it gets.

mod chart;

use serde_json::{Value, json};

use super::page;

/// Lines of a rehearsal that shifted for `seconds` seconds.
fn lines(seconds: u64) -> Vec<Value> {
    let at = |second: u64| format!("2026-11-25T10:{:02}:{:02}.000Z", second / 60 % 60, second % 60);
    let step = |second: u64, stage: &str, action: &str, status: &str, mode: &str| {
        json!({"v": 1, "type": "step", "at": at(second), "stage": stage, "action": action, "status": status,
            "mode": mode, "seconds": if status == "started" { Value::Null } else { json!(2.0) }, "reason": null})
    };
    let second = |n: u64| {
        let weight = if n < seconds / 2 { 10.0 } else { 100.0 };
        json!({"at": n, "sent": 10, "by_version": {"checkin 3": 9, "checkin 4": 1, "contacts 7": 5},
            "errors": u64::from(n == 3), "by_function": {"checkin": {"sent": 10, "errors": u64::from(n == 3)}},
            "intended": {"checkin": weight}, "alarms": if n == 4 { json!(["app-errors"]) } else { json!([]) }})
    };
    let mut hook = step(8, "Prod", "ExecuteChangeSet", "failed", "executed");
    hook["sub"] = json!("pre-hook");
    hook["function"] = json!("checkin");
    hook["checks"] = json!([
        {"name": "health", "outcome": "passed", "ms": 12, "reason": null},
        {"name": "version", "outcome": "failed", "ms": 3, "reason": "<b>it says 2</b>"}]);
    vec![
        step(0, "Source", "Source", "started", "simulated"),
        step(2, "Source", "Source", "succeeded", "simulated"),
        step(2, "Dev", "Deploy", "started", "executed"),
        step(5, "Dev", "Deploy", "succeeded", "executed"),
        json!({"v": 1, "type": "plan", "at": at(6), "waves": [[{"account": "prod", "stack": "causeway-app-prod",
            "state": "UPDATE_COMPLETE", "action": "update", "changes": [
                {"op": "add", "logical_id": "Topic", "resource_type": "AWS::SNS::Topic", "stateful": false},
                {"op": "replace", "logical_id": "Table", "resource_type": "AWS::DynamoDB::Table", "stateful": true,
                    "properties": [{"path": "TableName", "before": null, "after": "<b>${X}"}]}]}]]}),
        hook,
        json!({"v": 1, "type": "weight", "at": at(9), "env": "prod", "function": "checkin", "t_minutes": 1,
            "old": "3", "new": "4", "new_weight": 20}),
        json!({"v": 1, "type": "probe", "at": at(9), "env": "prod", "function": "checkin", "new_weight": 20,
            "sent": 10, "by_version": {"3": 8, "4": 2}, "errors": 0}),
        json!({"v": 1, "type": "notice", "at": at(10), "topic": "causeway-failure", "subject": "<script>",
            "message": "see \"this\" & that"}),
        json!({"v": 1, "type": "warning", "at": at(10), "message": "careful </main>"}),
        step(11, "Prod", "Approve", "not-run", "skipped"),
        json!({"v": 1, "type": "result", "at": at(12), "command": "rehearse", "ok": false, "exit_code": 5,
            "verdict": "rolled-back", "commit": "abcdef0123456789", "seconds": 12.0, "changed": [],
            "error": {"what": "deploy", "on": "prod", "why": "the hook <i>", "next": "fix it"},
            "data": {"approval": "approved by somebody",
                "summary": {"happened": "Commit abcdef012345 was rolled back in prod.", "why": "the hook <i>\nsecond line",
                    "first_error": "GET x answered 500, request r-1", "requests": [{"env": "prod", "says": "92 requests, 2 errors"}],
                    "runs": [{"env": "prod", "says": "checkin 0.1.0+1, as before"}], "next": "fix it"},
                "urls": {"prod": "http://127.0.0.1:1/"}, "versions": {"prod": {"checkin": "0.1.0+1"}},
                "watched": {"prod": {"env": "prod", "rate": 0.0, "seconds": (0..seconds).map(second).collect::<Vec<_>>(),
                    "versions": {"checkin 3": {"requests": 90, "errors": 0, "p50": 1.5, "p99": 9.0, "says": ["0.1.0+1"]},
                        "checkin 4": {"requests": 9, "errors": 1, "p50": 1.5, "p99": 9.0, "says": ["0.1.0+2"]}},
                    "failures": {"no answer": 2}, "first_error": "GET x answered 500, request r-1",
                    "deployments": [{"function": "checkin", "old": "3", "new": "4"}],
                    "alarm_changes": [{"at": 4.0, "alarm": "app-errors", "state": "ALARM", "reason": "1 against 1"}]}}}}),
    ]
}

#[test]
fn the_verdict_comes_first_and_everything_is_there() {
    // The engine writes a slash as an entity.
    let html = page(&lines(20)).unwrap().replace("&#x2f;", "/");
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{html}"));
    let order = [
        "✗ rolled-back",
        "Commit abcdef012345 was rolled back in prod.",
        "The first error a request met: GET x answered 500, request r-1",
        "Why: the hook",
        "prod runs</dt><dd>checkin 0.1.0+1, as before",
        "approval</dt><dd>approved by somebody",
        "abcdef0123456789",
        "Source/Source",
        "simulated",
        "Dev/Deploy",
        "Prod/Approve",
        "not run",
        "DATA MAY BE LOST in 1, 1 added, 1 replaced",
        "Table",
        "Topic",
        "<figure>",
        "checkin in prod",
        "second by second",
        "checkin 3",
        "no answer",
        "request r-1",
        "version 3: 8, version 4: 2",
        "health",
        "passed",
        "app-errors in prod",
        "causeway-failure",
    ];
    let places: Vec<usize> = order.iter().map(|text| place(text)).collect();
    let first_of_page = places[0] < html.find("<main>").unwrap();
    assert!(first_of_page, "the verdict stands before everything else");
    let answers = [
        "✗ rolled-back",
        "Commit abcdef012345",
        "The first error a request met",
        "Why: the hook",
        "92 requests, 2 errors",
        "as before",
        "fix it",
        "exit code 5",
    ]
    .map(place);
    assert!(answers.is_sorted(), "what a person asks first: {answers:?}");
    assert!(html.contains("share of version 4 (0.1.0+2, commit abcdef012345)"), "{html}");
    let (open, folded) = (place("1 check did not pass"), place("<summary>1 check passed</summary>"));
    assert!(
        open < place("version</td>") && folded > open && place("health") > folded,
        "what passed is folded"
    );
    let sections =
        ["Source/Source", "DATA MAY BE LOST", "<figure>", "The first error: ", "health", "causeway-failure"]
            .map(place);
    assert!(sections.is_sorted(), "{sections:?}");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let html = page(&lines(20)).unwrap();
    for markup in ["<script", "<b>it", "<i>", "careful </main>", "http://www"] {
        assert!(!html.contains(markup), "{markup}");
    }
    for text in ["&lt;script&gt;", "&lt;b&gt;it says 2&lt;", "see &quot;this&quot; &amp; that"] {
        assert!(html.contains(text), "{text}");
    }
    // Nothing to fetch: no address is in an attribute that would be followed.
    let fetched = html.split("src=").count() + html.split("@import").count() + html.split("url(").count();
    assert_eq!(fetched, 3, "no source, import or url");
}

#[test]
fn equal_lines_give_equal_bytes_and_an_hour_stays_small() {
    assert_eq!(page(&lines(30)).unwrap(), page(&lines(30)).unwrap());
    let mut all = lines(3_600);
    let warning = json!({"type": "warning", "at": "2026-11-25T10:00:00.000Z", "message": "w".repeat(5_000)});
    all.splice(0..0, vec![warning; 500]);
    let html = page(&all).unwrap();
    assert!(html.len() <= 150_000, "{} bytes", html.len());
    assert!(html.contains("36 seconds a row") && html.contains("and 441 more"));
}

#[test]
fn a_watch_has_its_numbers_at_the_top_of_its_data() {
    let mut all = lines(5);
    let watched = all.last().unwrap()["data"]["watched"]["prod"].clone();
    let last = all.last_mut().unwrap();
    last["command"] = json!("test-deployment");
    last["data"] = watched;
    last["data"]["address"] = json!("https://api.example/");
    last["data"]["rate"] = json!(12.5);
    last["data"]["began"] = json!("2026-11-25T10:00:01.000Z");
    last["data"]["ended"] = json!("2026-11-25T10:05:02.000Z");
    let html = page(&all).unwrap().replace("&#x2f;", "/");
    let said = "prod at https://api.example/, 12.5 requests a second, 2026-11-25 10:00:01 UTC to 2026-11-25 10:05:02 UTC";
    assert!(html.contains(said), "{html}");
    assert!(html.contains("checkin in prod") && html.contains("test-deployment, exit code 5"));
    assert!(page(&all[..2]).is_err(), "no result, no page");
}

#[test]
fn the_whole_page() {
    let html = page(&lines(6)).unwrap();
    let (head, body) = html.split_once("<body>").unwrap();
    assert!(head.contains("<title>rolled-back – rehearse abcdef012345</title>"), "{head}");
    // The lines have made-up times and ids, so nothing in the page is of this machine or moment.
    insta::assert_snapshot!(body);
}
