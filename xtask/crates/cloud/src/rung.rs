//! The alarms that stop a release, rung by requests: sent to the edge, answered by a function, measured by Lambda and by
//! the function's own line in its log, and evaluated from what CloudWatch took of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::alarms;
use super::causes::deployed;
use super::edge_stub::{self, ACCOUNT, ROUTE};
use super::stub_emulator::{Answer, Emulator};
use super::workload_metrics::{Measured, line};
use causeway_model::alarm::{Alarm, State};

const FUNCTION: &str = "app-checkin";
const ARN: &str = "arn:aws:lambda:eu-central-1:111111111111:function:app-checkin:live";

/// How the new version, number 2, misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    /// Not at all.
    Well,
    /// Its handler answers with a 500, which is an invocation that went well.
    Handler,
    /// Its invocations fail, and say nothing in the log.
    Invocation,
}

/// The log's end, as it comes with an answer.
fn log(status: u16, version: &str) -> &'static str {
    let line = line(&Measured { invoked_arn: ARN, version, status, millis: 3.0, at: 1_700_000_000_000 });
    let text = format!("{{\"message\":\"request\"}}\n{}", line.unwrap());
    Box::leak(STANDARD.encode(text).into_boxed_str())
}

/// The names of these alarms that ring after some requests of which the edge gave each version its part.
async fn rung(fails: Fails, alarms: &[Alarm]) -> Vec<String> {
    let emulator = Emulator::start(move |asked, _| {
        if asked.path.contains("/aliases/") {
            let half =
                json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}});
            return Some(Answer::new(200, &half.to_string()));
        }
        let new = asked.path.ends_with("Qualifier=2");
        let status = if new && fails == Fails::Handler { 500 } else { 200 };
        if new && fails == Fails::Invocation {
            return Some(Answer::failed(r#"{"errorType": "Runtime.ExitError", "errorMessage": "it died"}"#));
        }
        let answer = Answer::new(200, &json!({"statusCode": status, "body": "{}"}).to_string());
        let log = log(status, if new { "2" } else { "1" });
        Some(if asked.path.contains("/invocations") {
            answer.header("x-amz-log-result", log)
        } else {
            answer
        })
    })
    .await;
    let cloud = emulator.cloud();
    cloud.edges.shifting(ACCOUNT, FUNCTION, "1", "2");
    let url = edge_stub::edge_of(&cloud, FUNCTION, Some("live")).await.unwrap();
    let all: Vec<(Alarm, State)> = alarms.iter().map(|alarm| (alarm.clone(), State::Ok)).collect();
    alarms::look(&cloud, ACCOUNT, all.clone(), cloud.clock.seconds()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..8 {
        client.get(format!("{url}{ROUTE}")).send().await.unwrap();
    }
    // Long enough for the period to be over, whenever the requests came.
    alarms::look(&cloud, ACCOUNT, all, cloud.clock.seconds() + 60.0).await.unwrap();
    let names = alarms.iter().map(|alarm| alarm.name.clone());
    names.filter(|name| cloud.alarms.raised(ACCOUNT, std::slice::from_ref(name)).is_some()).collect()
}

/// The template's alarms that stop a deployment.
fn stopping() -> Vec<Alarm> {
    let (all, stopping) = deployed();
    let names: Vec<&String> = stopping.values().flatten().collect();
    all.into_iter().map(|(alarm, _)| alarm).filter(|alarm| names.contains(&&alarm.name)).collect()
}

#[tokio::test]
async fn a_handler_that_fails_and_an_invocation_that_fails_ring_an_alarm_each() {
    let alarms = stopping();
    assert_eq!(alarms.len(), 6);
    assert_eq!(rung(Fails::Well, &alarms).await, Vec::<String>::new());
    assert_eq!(rung(Fails::Handler, &alarms).await, ["app-checkin-new-version-faults"]);
    assert_eq!(rung(Fails::Invocation, &alarms).await, ["app-checkin-new-version-errors"]);
}

#[tokio::test]
async fn an_alarm_on_anything_else_does_not_ring() {
    for (fails, own) in [(Fails::Handler, "faults"), (Fails::Invocation, "errors")] {
        let name = format!("app-checkin-new-version-{own}");
        let right = stopping().into_iter().find(|alarm| alarm.name == name).unwrap();
        let changed = |what: &str, change: &dyn Fn(&mut Alarm)| {
            let mut alarm = right.clone();
            change(&mut alarm);
            assert_ne!(alarm, right, "{what}");
            Alarm { name: what.to_owned(), ..alarm }
        };
        let dimension = |alarm: &mut Alarm, name: &str, value: &str| {
            alarm
                .dimensions
                .iter_mut()
                .filter(|(own, _)| own == name)
                .for_each(|(_, own)| *own = value.to_owned());
        };
        let wrong = [
            changed("version", &|alarm| dimension(alarm, "ExecutedVersion", "1")),
            changed("alias", &|alarm| {
                dimension(alarm, "Alias", "other");
                dimension(alarm, "Resource", "app-checkin:other");
            }),
            changed("function", &|alarm| dimension(alarm, "FunctionName", "app-contacts")),
            changed("metric", &|alarm| alarm.metric = "Throttles".to_owned()),
            changed("namespace", &|alarm| alarm.namespace = "Other".to_owned()),
            changed("threshold", &|alarm| alarm.threshold = 5.0),
        ];
        let all: Vec<Alarm> = std::iter::once(right.clone()).chain(wrong).collect();
        assert_eq!(rung(fails, &all).await, [name], "{fails:?}: the right one alone");
    }
}

/// A state that a client sets counts until the alarm is evaluated again.
#[tokio::test]
async fn a_state_that_a_client_sets_stays_until_the_next_minute() {
    let emulator = Emulator::start(|_, _| Some(Answer::new(200, "{}"))).await;
    let cloud = emulator.cloud();
    let alarm = stopping().remove(0);
    let raised = || cloud.alarms.raised(ACCOUNT, std::slice::from_ref(&alarm.name)).is_some();
    cloud.alarms.set_by_client(ACCOUNT, &alarm.name, State::Raised, 10.0);
    for (now, expected) in [(11.0, true), (69.0, true), (70.0, false)] {
        alarms::look(&cloud, ACCOUNT, vec![(alarm.clone(), State::Raised)], now).await.unwrap();
        assert_eq!(raised(), expected, "{now}");
    }
}
