//! The engine over a scripted stand-in for the emulator: every way a rollout can go, in minutes of some milliseconds that
//! pass by themselves (`virtual_time.rs`): how quick a machine is changes nothing.

mod hooks;
mod judged;
mod way_back;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{CALLS, Rollout, Way, carry_out, full_name};
use crate::alias::{self, Alias};
use crate::cloud::Cloud;
use crate::edge_stub::{self, ACCOUNT, FUNCTION, STACK};
use crate::happenings::What;
use crate::hooks::Report;
use crate::ledger::StackKey;
use crate::stub_emulator::{Answer, Asked, Emulator};
use crate::virtual_time;
use causeway_model::alarm::State;
use causeway_model::line::{CheckOutcome, Status};
use causeway_model::rollout::{Shift, Shifting};
use causeway_model::strain::Strain;

/// How long a minute of AWS takes here.
const MINUTE: Duration = Duration::from_millis(30);

/// What a paused clock is off by: its timers know milliseconds.
const TICK: Duration = Duration::from_millis(2);

/// After so long of a test's own time nothing comes any more.
const HANGS: Duration = Duration::from_secs(600);

/// What the hooks of a test do.
#[derive(Clone, Copy)]
enum Hooks {
    /// They report well.
    Good,
    /// They report a failure, and their account names the check.
    Bad,
    /// They end without a report.
    Silent,
    /// They die.
    Dead,
    /// The second one, after the shift, reports a failure.
    BadAfter,
    /// They report a failure, of a check that had no answer in time, on a machine that is as busy as that, the first so many
    /// times that one is called.
    Late(Strain, usize),
    /// They are still at work when the hour of AWS is long over, and report well then.
    Slow,
}

/// A cloud before a stand-in for the emulator whose functions behave, and whose hooks do as they are told.
struct World {
    emulator: Emulator,
    cloud: Arc<Cloud>,
    key: StackKey,
}

impl World {
    async fn new(hooks: Hooks) -> Self {
        virtual_time::begin();
        let slot: Arc<OnceLock<Arc<Cloud>>> = Arc::default();
        let theirs = Arc::clone(&slot);
        let emulator = Emulator::start(move |asked, before| match asked.alias(before) {
            None => Some(lambda(theirs.get()?, hooks, asked, before)),
            // The other function is still at its way back when the late hook has failed.
            Some(answer) if matches!(hooks, Hooks::Late(_, usize::MAX)) && asked.path.contains("/other/") => {
                Some(answer.after(MINUTE, || ()))
            }
            alias => alias,
        })
        .await;
        let cloud = emulator.cloud();
        cloud.clock.set_minute(MINUTE);
        assert!(slot.set(Arc::clone(&cloud)).is_ok());
        Self { emulator, cloud, key: (ACCOUNT.to_owned(), STACK.to_owned()) }
    }

    fn rollout(&self, function: &str, shifting: Shifting, hooks: bool) -> Rollout {
        let hook = |phase: &str| hooks.then(|| format!("CodeDeployHook_{phase}"));
        Rollout {
            cloud: Arc::clone(&self.cloud),
            key: self.key.clone(),
            id: format!("d-{function}"),
            function: function.to_owned(),
            alias: "live".to_owned(),
            short: function.to_owned(),
            old: "1".to_owned(),
            new: "2".to_owned(),
            config: "Own".to_owned(),
            application: String::from("app"),
            group: "group".to_owned(),
            shifting,
            before: hook("pre"),
            after: hook("post"),
            alarms: vec![format!("{function}-errors"), "api-5xx".to_owned()],
            begun: OnceLock::new(),
            late: Arc::default(),
        }
    }

    /// Carries rollouts out, and what a failed one leaves to be done.
    async fn carry(&self, rollouts: Vec<Rollout>) -> Result<(), String> {
        let all = async {
            match carry_out(&self.cloud, &self.key, rollouts).await {
                Ok(()) => Ok(()),
                Err(failed) => {
                    let reason = failed.reason.clone();
                    failed.go_back().await;
                    Err(reason)
                }
            }
        };
        tokio::time::timeout(HANGS, all).await.unwrap()
    }

    /// What was warned of.
    async fn warnings(&self) -> Vec<String> {
        let all = self.cloud.happenings.after(0, false).await;
        let own = all.into_iter().filter_map(|happening| match happening.what {
            What::Warning { message } => Some(message),
            _ => None,
        });
        own.collect()
    }

    /// Why nothing is said about the release.
    async fn without_verdict(&self) -> Vec<String> {
        let all = self.cloud.happenings.after(0, false).await;
        let own = all.into_iter().filter_map(|happening| match happening.what {
            What::NoVerdict { why, .. } => Some(why),
            _ => None,
        });
        own.collect()
    }

    /// Where an alias leads, as any client sees it.
    async fn leads(&self, function: &str) -> Alias {
        alias::read(&self.cloud, ACCOUNT, function, "live").await.unwrap().unwrap()
    }

    /// Where a function's alias was moved to, one after the other.
    fn moved(&self, function: &str) -> Vec<(String, Value)> {
        let all = self.emulator.asked();
        let own = all.iter().filter(|asked| asked.path.contains(&format!("/{function}/aliases/")));
        let bodies = own.filter_map(|asked| serde_json::from_str::<Value>(&asked.body).ok());
        let led = |body: Value| {
            (
                body["FunctionVersion"].as_str().unwrap().to_owned(),
                body["RoutingConfig"]["AdditionalVersionWeights"].clone(),
            )
        };
        bodies.map(led).collect()
    }

    /// Minute and share of every weight that was told for a function.
    async fn weights(&self, function: &str) -> Vec<(u32, u32)> {
        let all = self.cloud.happenings.after(0, false).await;
        let own = all.into_iter().filter_map(|happening| match happening.what {
            What::Weight { function: of, t_minutes, new_weight, .. } if of == function => {
                Some((t_minutes, new_weight))
            }
            _ => None,
        });
        own.collect()
    }

    /// When so many weights of a function were told, each by the test's own time.
    async fn steps(&self, function: &str, count: usize) -> Vec<Instant> {
        let (mut came, mut seq) = (Vec::new(), 0);
        while came.len() < count {
            for happening in self.cloud.happenings.after(seq, true).await {
                seq = happening.seq;
                if matches!(happening.what, What::Weight { function: of, .. } if of == function) {
                    came.push(Instant::now());
                }
            }
        }
        came
    }

    /// How each part of a function's rollout ended, with its reason.
    async fn parts(&self, function: &str) -> Vec<(String, Status, String)> {
        let all = self.cloud.happenings.after(0, false).await;
        let own = all.into_iter().filter_map(|happening| match happening.what {
            What::Phase { function: of, sub, status, reason, .. }
                if of == function && status != Status::Started =>
            {
                Some((sub, status, reason.unwrap_or_default()))
            }
            _ => None,
        });
        own.collect()
    }

    /// CodeDeploy's word for a deployment, and its code for what went wrong.
    fn told(&self, id: &str) -> (String, String) {
        let answer = self.cloud.deployments.answer(ACCOUNT, "GetDeployment", &json!({"deploymentId": id}));
        let info = answer.unwrap().1["deploymentInfo"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&info["status"]), text(&info["errorInformation"]["code"]))
    }

    fn raise(&self, alarm: &str) {
        self.cloud.alarms.set_all(ACCOUNT, std::iter::once((alarm, State::Raised)));
    }

    /// Waits until a function's new version has at least that share.
    async fn reaches(&self, function: &str, weight: u32) {
        while self.weights(function).await.last().is_none_or(|(_, now)| *now < weight) {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Lambda: a hook does as it was told, every other function answers with its version.
fn lambda(cloud: &Arc<Cloud>, hooks: Hooks, asked: &Asked, before: &[Asked]) -> Answer {
    if !asked.path.contains("CodeDeployHook_") {
        let version = asked.path.rsplit_once('=').map_or("", |(_, version)| version);
        let body = json!({"statusCode": 200, "headers": {"x-causeway-version": version}, "body": "{}"});
        return Answer::new(200, &body.to_string());
    }
    let event: Value = serde_json::from_str(&asked.body).unwrap();
    let text = |name: &str| event[name].as_str().unwrap().to_owned();
    let ids = (text("DeploymentId"), text("LifecycleEventHookExecutionId"));
    let report = |report| assert!(cloud.hooks.report(&ids.0, &ids.1, report), "the hook is waited for");
    let account = |outcome: &str, reason: Value| {
        json!({"status": "said", "checks": [{"name": "version", "outcome": outcome, "ms": 3, "reason": reason}]})
            .to_string()
    };
    let calls = before.iter().filter(|earlier| earlier.path == asked.path).count();
    match hooks {
        Hooks::Dead => Answer::failed(r#"{"errorType":"Runtime.ExitError"}"#),
        Hooks::Silent => Answer::new(200, "null"),
        Hooks::Bad => {
            report(Report::Failed);
            Answer::new(200, &account("failed", "it is 1, not 2".into()))
        }
        Hooks::Late(strain, times) if asked.path.contains("pre") && calls < times => {
            if times == usize::MAX && calls + 1 == usize::try_from(CALLS).unwrap() {
                cloud.alarms.set_all(ACCOUNT, std::iter::once(("other-errors", State::Raised)));
            }
            cloud.strains.add(Instant::now(), strain);
            report(Report::Failed);
            Answer::new(200, &account("failed", "GET /api/health: no answer within 2000 ms".into()))
        }
        Hooks::BadAfter if asked.path.contains("post") => {
            report(Report::Failed);
            Answer::new(200, &account("failed", "it is 1, not 2".into()))
        }
        Hooks::Slow => {
            let (cloud, ids) = (Arc::clone(cloud), ids.clone());
            Answer::new(200, "null").after(MINUTE * 100, move || {
                assert!(cloud.hooks.report(&ids.0, &ids.1, Report::Succeeded));
            })
        }
        Hooks::Good | Hooks::BadAfter | Hooks::Late(..) => {
            report(Report::Succeeded);
            Answer::new(200, &account("passed", Value::Null))
        }
    }
}

const LINEAR: Shifting = Shifting::Linear { percent: 10, minutes: 1 };
const AT_ONCE: Shifting = Shifting::AllAtOnce;

fn pairs(schedule: &[Shift]) -> Vec<(u32, u32)> {
    schedule.iter().map(|shift| (shift.minute, shift.weight)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_step_comes_at_its_minute_and_no_sooner() {
    let world = World::new(Hooks::Good).await;
    let rollout = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]);
    let (ended, came) = tokio::join!(rollout, world.steps(FUNCTION, LINEAR.schedule().len()));
    assert_eq!(ended, Ok(()));
    assert_eq!(world.weights(FUNCTION).await, pairs(&LINEAR.schedule()));
    for (number, shift) in LINEAR.schedule().iter().enumerate() {
        let (after, due) = (came[number] - came[0], MINUTE * shift.minute);
        assert!(after >= due && after < due + TICK, "minute {} came after {after:?}", shift.minute);
    }
    let parts = world.parts(FUNCTION).await;
    let names: Vec<(&str, Status)> = parts.iter().map(|(sub, status, _)| (sub.as_str(), *status)).collect();
    assert_eq!(
        names,
        [("pre-hook", Status::Succeeded), ("shift", Status::Succeeded), ("post-hook", Status::Succeeded)]
    );
    assert_eq!(world.told("d-stub"), ("Succeeded".to_owned(), String::new()));
    // Any client sees the old version with the new one's weight beside it, until the new one has it all.
    let mut expected: Vec<(String, Value)> =
        (1..10).map(|tenth| ("1".to_owned(), json!({"2": f64::from(tenth) / 10.0}))).collect();
    expected.push(("2".to_owned(), json!({})));
    assert_eq!(world.moved(FUNCTION), expected);
    // What the hooks checked is told with them.
    let checked = world.cloud.happenings.after(0, false).await.into_iter().filter_map(|happening| {
        match happening.what {
            What::Phase { checks, .. } => checks.first().map(|check| (check.name.clone(), check.outcome)),
            _ => None,
        }
    });
    assert_eq!(checked.collect::<Vec<_>>(), vec![("version".to_owned(), CheckOutcome::Passed); 2]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_after_the_shift_is_told_with_its_minute() {
    let world = World::new(Hooks::BadAfter).await;
    let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await.unwrap_err();
    assert!(failed.contains("PostTraffic") && failed.contains("version: it is 1, not 2"), "{failed}");
    let weights = world.weights(FUNCTION).await;
    assert_eq!(&weights[..10], pairs(&LINEAR.schedule()));
    assert!(weights.len() == 11 && weights[10].0 >= 9 && weights[10].1 == 0, "{weights:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_to_stop_rolls_it_back() {
    let world = World::new(Hooks::Good).await;
    let slow = Shifting::Linear { percent: 10, minutes: 20 };
    let stop = async {
        world.reaches(FUNCTION, 20).await;
        let id = json!({"deploymentId": "d-stub"});
        assert_eq!(world.cloud.deployments.answer(ACCOUNT, "StopDeployment", &id).unwrap().0, 200);
    };
    let (failed, ()) = tokio::join!(world.carry(vec![world.rollout(FUNCTION, slow, false)]), stop);
    assert!(failed.unwrap_err().contains("StopDeployment was called"));
    assert_eq!(world.weights(FUNCTION).await.last().unwrap().1, 0);
    assert_eq!(world.leads(FUNCTION).await, Alias::to("1"), "the old version, with no weights");
    assert_eq!(world.told("d-stub"), ("Stopped".to_owned(), "MANUAL_STOP".to_owned()));
}

/// What an alias does not do did not happen: neither a step nor its end.
#[tokio::test(start_paused = true)]
async fn an_alias_that_cannot_be_moved_ends_the_deployment() {
    for (stuck, told) in [
        ("0.5", vec![10, 20, 30, 40, 0]),
        (r#""FunctionVersion":"2""#, vec![10, 20, 30, 40, 50, 60, 70, 80, 90, 0]),
    ] {
        virtual_time::begin();
        let emulator = Emulator::start(move |asked, before| {
            let refused = || Answer::new(500, "out of order");
            let stuck = asked.body.contains(stuck);
            Some(asked.alias(before).filter(|_| !stuck).unwrap_or_else(refused))
        })
        .await;
        let cloud = emulator.cloud();
        cloud.clock.set_minute(MINUTE);
        let world = World { emulator, cloud, key: (ACCOUNT.to_owned(), STACK.to_owned()) };
        let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, false)]).await.unwrap_err();
        assert!(failed.contains("move the alias stub:live") && failed.contains("out of order"), "{failed}");
        let weights = world.weights(FUNCTION).await;
        assert_eq!(weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), told);
        assert_eq!(world.leads(FUNCTION).await, Alias::to("1"));
        assert_eq!(world.told("d-stub").0, "Stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_there_already_stops_it_at_once() {
    let world = World::new(Hooks::Good).await;
    world.raise("stub-errors");
    let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await.unwrap_err();
    assert_eq!(failed, "stub: alarm stub-errors is in ALARM");
    assert_eq!(world.weights(FUNCTION).await, []);
    assert_eq!(world.told("d-stub"), ("Stopped".to_owned(), "ALARM_ACTIVE".to_owned()));
    assert!(world.emulator.asked().is_empty(), "no hook was called");
}

/// An alarm that several deployments watch rings for all of them. The cause is the one that has an alarm of its own.
#[tokio::test(start_paused = true)]
async fn the_cause_is_the_function_with_an_alarm_of_its_own() {
    let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
    for function in ["a", "b"] {
        let world = World::new(Hooks::Good).await;
        let own = format!("{function}-errors");
        let alarms = async {
            world.reaches("a", 10).await;
            world.reaches("b", 10).await;
            let raised = [("api-5xx", State::Raised), (own.as_str(), State::Raised)];
            world.cloud.alarms.set_all(ACCOUNT, raised.into_iter());
        };
        let rollouts = vec![world.rollout("a", slow, false), world.rollout("b", slow, false)];
        let (failed, ()) = tokio::join!(world.carry(rollouts), alarms);
        assert_eq!(failed.unwrap_err(), format!("{function}: alarm {own} is in ALARM"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_breaks_off_rolls_everything_back() {
    let world = World::new(Hooks::Good).await;
    // No schedule has so many minutes: the engine breaks off before its first step.
    let absurd = Shifting::Linear { percent: 10, minutes: u32::MAX };
    let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
    let rollouts = vec![
        world.rollout("done", AT_ONCE, false),
        world.rollout("at-work", slow, false),
        world.rollout("broken", absurd, false),
    ];
    let failed = world.carry(rollouts).await.unwrap_err();
    assert_eq!(failed, "broken: the rollout engine itself failed");
    for function in ["done", "at-work"] {
        assert_eq!(world.weights(function).await.last().unwrap().1, 0, "{function}");
    }
    for function in ["at-work", "broken"] {
        assert_eq!(world.told(&format!("d-{function}")).0, "Stopped", "{function}");
    }
    assert_eq!(world.told("d-doneB").0, "Succeeded");
}

/// Requests come all along while the traffic shifts, an alarm rings, and it goes back: each one is answered, each by one
/// of both versions, and the last by the old one.
#[tokio::test(start_paused = true)]
async fn not_one_request_is_unanswered_while_traffic_moves() {
    let world = World::new(Hooks::Good).await;
    let url = edge_stub::edge(&world.cloud).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || {
        let _no_time_passes = virtual_time::awaited();
        let answer = client.get(format!("{url}{}", edge_stub::ROUTE)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers()["apigw-requestid"].is_empty());
        answer.headers()["x-causeway-lambda-version"].to_str().unwrap().to_owned()
    };
    let alarm = async {
        world.reaches(FUNCTION, 60).await;
        world.raise("stub-errors");
    };
    let over = tokio::sync::watch::Sender::new(false);
    let traffic = async {
        let mut versions = Vec::new();
        while !*over.borrow() {
            versions.push(ask().await);
            sleep(MINUTE / 10).await;
        }
        versions.push(ask().await);
        versions
    };
    let slow = Shifting::Linear { percent: 10, minutes: 5 };
    let rollout = async {
        let failed = world.carry(vec![world.rollout(FUNCTION, slow, true)]).await;
        over.send_replace(true);
        failed
    };
    let (failed, (), versions) = tokio::join!(rollout, alarm, traffic);
    assert!(failed.unwrap_err().contains("stub-errors is in ALARM"));
    let new = versions.iter().filter(|version| *version == "2").count();
    assert!(new > 0 && new < versions.len(), "both versions answered: {new} of {}", versions.len());
    assert!(versions.iter().all(|version| version == "1" || version == "2"));
    assert_eq!(versions.last().map(String::as_str), Some("1"));
}

#[test]
fn only_awss_own_configurations_get_awss_prefix() {
    for (name, full) in [
        ("AllAtOnce", "CodeDeployDefault.LambdaAllAtOnce"),
        ("Canary10Percent5Minutes", "CodeDeployDefault.LambdaCanary10Percent5Minutes"),
        ("CodeDeployDefault.LambdaAllAtOnce", "CodeDeployDefault.LambdaAllAtOnce"),
        ("Linear20PercentEvery2Minutes", "Linear20PercentEvery2Minutes"),
        ("app-Half-1A2B", "app-Half-1A2B"),
        ("team.half", "team.half"),
    ] {
        assert_eq!(full_name(name), full);
    }
}
