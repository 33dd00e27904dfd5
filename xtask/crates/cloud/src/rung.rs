//! Every alarm of `cfn/app.yaml`, rung by requests: sent to the edge, answered by a function, measured by Lambda and by the
//! function's own line in its log, and evaluated from what CloudWatch took of them.
//!
//! Each way to fail rings its own alarms and no other, of both functions; and whatever is changed in an alarm is noticed by one
//! of them. Time passes by itself (`virtual_time.rs`), so how quick a machine is changes nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::causes::{FUNCTIONS, deployed, shifted};
use super::edge_stub::{self, ACCOUNT};
use super::stub_emulator::{Answer, Emulator};
use super::workload_metrics::{Measured, line};
use super::{alarms, virtual_time};
use causeway_model::alarm::{Alarm, Comparison, Missing, State, Statistic};

/// The template's API, and another one that leads to the same functions: its answers are no matter of the first.
const API: &str = "HttpApi";
const OTHER_API: &str = "other";

/// Beyond the threshold of the alarms on slow answers, and the difference to a quick one is, too.
const SLOW: Duration = Duration::from_millis(4_500);

/// How a version misbehaves, at the first of its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    /// Not at all.
    Well,
    /// Its handler answers with a 500, which is an invocation that went well.
    Handler,
    /// Its invocation fails, and says nothing in the log.
    Invocation,
    /// It takes its time.
    Slow,
    /// Lambda runs too many of it already.
    Throttled,
    /// It answers with what is no status of HTTP, and takes that for a good answer.
    Nonsense,
}

/// A way to fail, and the alarms that ring: those that stop a release, and those that tell people.
struct Case {
    fails: Fails,
    /// The version that fails. The alarms are those of version 2, the release's; the other one is always 1.
    version: &'static str,
    api: &'static str,
    stops: &'static [&'static str],
    tells: &'static [&'static str],
}

const CASES: [Case; 10] = [
    Case { fails: Fails::Well, version: "2", api: API, stops: &[], tells: &[] },
    // What stops a release tells people as well, by the alarm on whichever version answered.
    Case {
        fails: Fails::Handler,
        version: "2",
        api: OTHER_API,
        stops: &["new-version-faults"],
        tells: &["faults"],
    },
    Case {
        fails: Fails::Invocation,
        version: "2",
        api: OTHER_API,
        stops: &["new-version-errors"],
        tells: &["errors"],
    },
    Case { fails: Fails::Slow, version: "2", api: API, stops: &["new-version-slow"], tells: &["slow"] },
    // Versions that are not the release's: each alarm that tells people, alone.
    Case { fails: Fails::Handler, version: "1", api: OTHER_API, stops: &[], tells: &["faults"] },
    Case { fails: Fails::Invocation, version: "1", api: OTHER_API, stops: &[], tells: &["errors"] },
    Case { fails: Fails::Slow, version: "3", api: API, stops: &[], tells: &["slow"] },
    Case { fails: Fails::Throttled, version: "2", api: OTHER_API, stops: &[], tells: &["throttles"] },
    // The API's own, alone and beside the function's.
    Case { fails: Fails::Nonsense, version: "2", api: API, stops: &[], tells: &["api-5xx"] },
    Case { fails: Fails::Handler, version: "1", api: API, stops: &[], tells: &["api-5xx", "faults"] },
];

/// The log's end, as it comes with an answer.
fn log(function: &str, status: u16, version: &str) -> &'static str {
    let arn = format!("arn:aws:lambda:eu-central-1:{ACCOUNT}:function:{function}:{}", edge_stub::ALIAS);
    let line = line(&Measured { invoked_arn: &arn, version, status, millis: 3.0, at: 1_700_000_000_000 });
    let text = format!("{{\"message\":\"request\"}}\n{}", line.unwrap());
    Box::leak(STANDARD.encode(text).into_boxed_str())
}

/// The names of these alarms that ring after some requests of which the edge gave each version its part.
async fn rung(case: &Case, function: &str, alarms: &[Alarm]) -> Vec<String> {
    let &Case { fails, version: failing, api, .. } = case;
    let (name, other) = (function.to_owned(), if failing == "1" { "2" } else { failing });
    let emulator = Emulator::start(move |asked, before| {
        if asked.path.contains("/aliases/") {
            let half =
                json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {other: 0.5}}});
            return Some(Answer::new(200, &half.to_string()));
        }
        let Some((_, version)) = asked.path.split_once("/invocations?Qualifier=") else {
            return Some(Answer::new(200, "{}"));
        };
        let is_first = !before.iter().any(|earlier| earlier.path == asked.path);
        let fails = if is_first && version == failing { fails } else { Fails::Well };
        let status: u16 = if fails == Fails::Handler { 500 } else { 200 };
        let answered = if fails == Fails::Nonsense { 9_999 } else { status };
        let answer = Answer::new(200, &json!({"statusCode": answered, "body": "{}"}).to_string())
            .header("x-amz-log-result", log(&name, status, version));
        Some(match fails {
            Fails::Invocation => {
                Answer::failed(r#"{"errorType": "Runtime.ExitError", "errorMessage": "it died"}"#)
            }
            Fails::Throttled => Answer::new(429, r#"{"Type": "User", "Message": "Rate Exceeded."}"#),
            Fails::Slow => answer.after(SLOW, || ()),
            _ => answer,
        })
    })
    .await;
    let cloud = emulator.cloud();
    let _stop = cloud.deployments.begin(shifted(0, function, other));
    cloud.edges.shifting(ACCOUNT, function, "1", other);
    let all: Vec<(Alarm, State)> = alarms.iter().map(|alarm| (alarm.clone(), State::Ok)).collect();
    alarms::look(&cloud, ACCOUNT, all.clone(), cloud.clock.seconds()).await.unwrap();
    let mut failed = 0;
    for _ in 0..8 {
        let answer = edge_stub::ask(&cloud, api, function).await;
        failed += usize::from(answer.status().is_server_error());
    }
    let fine = [Fails::Well, Fails::Slow].contains(&fails);
    assert_eq!(failed, usize::from(!fine), "{fails:?}: one request of eight");
    // Long enough for the period to be over, whenever the requests came.
    alarms::look(&cloud, ACCOUNT, all, cloud.clock.seconds() + 60.0).await.unwrap();
    let names = alarms.iter().map(|alarm| alarm.name.clone());
    names.filter(|name| cloud.alarms.raised(ACCOUNT, std::slice::from_ref(name)).is_some()).collect()
}

/// The template's alarms that stop a deployment, and the others.
fn by_effect() -> [Vec<Alarm>; 2] {
    let (all, stopping) = deployed();
    let names: Vec<&String> = stopping.values().flatten().collect();
    let (stops, tells) =
        all.into_iter().map(|(alarm, _)| alarm).partition(|alarm| names.contains(&&alarm.name));
    [stops, tells]
}

/// What a case rings, by the alarms' names.
fn expected(case: &Case, function: &str) -> Vec<String> {
    let name = |short: &&str| match *short {
        "api-5xx" => "app-api-5xx".to_owned(),
        own => format!("{function}-{own}"),
    };
    let mut all: Vec<String> = case.stops.iter().chain(case.tells).map(name).collect();
    all.sort();
    all
}

/// An alarm that is not what it should be, in each way that it can be.
fn changed(alarm: &Alarm) -> Vec<(&'static str, Alarm)> {
    let dimension = |name: &str, value: &str| {
        let mut alarm = alarm.clone();
        let own = alarm.dimensions.iter_mut().find(|(own, _)| own == name)?;
        own.1 = value.to_owned();
        Some(alarm)
    };
    let is_time = alarm.metric == "Duration";
    let other_metric = match alarm.metric.as_str() {
        "Errors" => "Throttles",
        "5xx" => "4xx",
        _ => "Errors",
    };
    let other_statistic = match alarm.statistic {
        Statistic::Sum => Statistic::Average,
        _ => Statistic::Percentile(50.0),
    };
    let function = |other: &str| format!("app-{other}");
    let foreign = FUNCTIONS.map(function).into_iter().find(|name| !alarm.name.starts_with(name)).unwrap();
    let of_another = dimension("FunctionName", &foreign).or_else(|| dimension("ApiId", "another"));
    let mut all = vec![
        ("function or API", of_another),
        ("alias", dimension("Alias", "other").or_else(|| dimension("Resource", "app-checkin:other"))),
        ("version", dimension("ExecutedVersion", "1")),
        ("no version", {
            let without = alarm.dimensions.iter().filter(|(name, _)| name != "ExecutedVersion").cloned();
            Some(Alarm { dimensions: without.collect(), ..alarm.clone() })
        }),
        ("namespace", Some(Alarm { namespace: "Other".to_owned(), ..alarm.clone() })),
        ("metric", Some(Alarm { metric: other_metric.to_owned(), ..alarm.clone() })),
        ("statistic", Some(Alarm { statistic: other_statistic, ..alarm.clone() })),
        ("threshold", Some(Alarm { threshold: if is_time { 5_000.0 } else { 2.0 }, ..alarm.clone() })),
        ("no threshold", Some(Alarm { threshold: -1.0, ..alarm.clone() })),
        ("comparison", Some(Alarm { comparison: Comparison::Below, ..alarm.clone() })),
        ("periods", Some(Alarm { evaluation_periods: 3, datapoints_to_alarm: 3, ..alarm.clone() })),
        ("period", Some(Alarm { period: 3_600, ..alarm.clone() })),
        ("missing data", Some(Alarm { missing: Missing::Breaching, ..alarm.clone() })),
    ];
    let named = |(what, alarm): (&'static str, Option<Alarm>)| {
        alarm.map(|alarm| (what, Alarm { name: format!("{} with another {what}", alarm.name), ..alarm }))
    };
    all.retain(|(_, other)| other.as_ref() != Some(alarm));
    all.into_iter().filter_map(named).collect()
}

#[tokio::test(start_paused = true)]
async fn each_alarm_rings_for_its_own_cause_alone_and_no_change_of_one_passes() {
    virtual_time::begin();
    let [stops, tells] = by_effect();
    assert_eq!((stops.len(), tells.len()), (6, 9));
    let names = |alarms: &[Alarm]| alarms.iter().map(|alarm| alarm.name.clone()).collect::<Vec<_>>();
    let originals: Vec<Alarm> = stops.iter().chain(&tells).cloned().collect();
    let mutants: Vec<(String, Alarm)> = originals
        .iter()
        .flat_map(|alarm| changed(alarm).into_iter().map(|(_, mutant)| (alarm.name.clone(), mutant)))
        .collect();
    assert!(mutants.len() > originals.len() * 9, "{}", mutants.len());
    let all: Vec<Alarm> = originals.iter().chain(mutants.iter().map(|(_, mutant)| mutant)).cloned().collect();
    // By alarm: in which cases it rings.
    let mut seen: std::collections::BTreeMap<String, Vec<usize>> = std::collections::BTreeMap::new();
    let mut alone: Vec<String> = Vec::new();
    let cases = FUNCTIONS.iter().flat_map(|function| CASES.iter().map(move |case| (*function, case)));
    for (n, (function, case)) in cases.enumerate() {
        let function = format!("app-{function}");
        let rung = rung(case, &function, &all).await;
        let (mut own, _): (Vec<String>, Vec<String>) =
            rung.iter().cloned().partition(|name| names(&originals).contains(name));
        own.sort();
        assert_eq!(own, expected(case, &function), "{:?} of version {}", case.fails, case.version);
        for effect in [&stops, &tells] {
            let of_effect: Vec<&String> = own.iter().filter(|name| names(effect).contains(name)).collect();
            alone.extend(of_effect.first().filter(|_| of_effect.len() == 1).map(ToString::to_string));
        }
        rung.into_iter().for_each(|name| seen.entry(name).or_default().push(n));
    }
    for name in names(&originals) {
        assert!(alone.contains(&name), "{name} rings alone among those that stop a release, or that do not");
    }
    for (original, mutant) in mutants {
        assert_ne!(seen.get(&original), seen.get(&mutant.name), "{} is noticed by no case", mutant.name);
    }
}

/// A state that a client sets counts until the alarm is evaluated again.
#[tokio::test]
async fn a_state_that_a_client_sets_stays_until_the_next_minute() {
    let emulator = Emulator::start(|_, _| Some(Answer::new(200, "{}"))).await;
    let cloud = emulator.cloud();
    let [mut stops, _] = by_effect();
    let alarm = stops.remove(0);
    let raised = || cloud.alarms.raised(ACCOUNT, std::slice::from_ref(&alarm.name)).is_some();
    cloud.alarms.set_by_client(ACCOUNT, &alarm.name, State::Raised, 10.0);
    for (now, expected) in [(11.0, true), (69.0, true), (70.0, false)] {
        alarms::look(&cloud, ACCOUNT, vec![(alarm.clone(), State::Raised)], now).await.unwrap();
        assert_eq!(raised(), expected, "{now}");
    }
}
