//! The watcher against made-up services on this machine: CodeDeploy and CloudWatch that go from stage to stage, and APIs
//! that behave or do not.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::yield_now;
use tokio::time::{advance, pause, resume, timeout};

use super::*;
use crate::held_clock::{hold, soon};
use crate::watcher::traffic::{ask, drive_until};
use causeway_aws::Account;

mod answers;

/// How CodeDeploy and CloudWatch stand while one look is made.
#[derive(Clone)]
enum Stage {
    /// No deployment.
    None,
    /// A deployment: status, weight, the three lifecycle events, an error, and the alarm's state.
    At(&'static str, f64, [&'static str; 3], Option<(&'static str, &'static str)>, &'static str),
    /// Everything is refused with this code.
    Refused(&'static str),
    /// No deployment, and a service that takes each call and never answers: CodeDeploy, CloudWatch.
    Deaf(bool, bool),
}

const GOING: Stage = Stage::At("InProgress", 10.0, ["Succeeded", "InProgress", "Pending"], None, "OK");
const DONE: Stage = Stage::At("Succeeded", 100.0, ["Succeeded", "Succeeded", "Succeeded"], None, "OK");

/// AWS in stages: each look at the alarms goes one on, and the last stage stays.
struct Aws {
    stages: Vec<Stage>,
    looks: AtomicUsize,
}

impl Aws {
    async fn start(stages: Vec<Stage>) -> Rollouts {
        let aws = Arc::new(Aws { stages, looks: AtomicUsize::new(0) });
        let app = Router::new().fallback(answer).with_state(aws);
        Rollouts::new(&Account::at(&serve(app).await))
    }

    fn stage(&self) -> Stage {
        let look = self.looks.load(Ordering::SeqCst).min(self.stages.len() - 1);
        self.stages[look].clone()
    }
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn reply(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    let reply = Response::builder().status(status).header("content-type", kind);
    reply.body(body.into()).unwrap()
}

async fn answer(State(aws): State<Arc<Aws>>, request: Request) -> Response {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let stage = aws.stage();
    let json = |value: Value| reply(200, "application/x-amz-json-1.1", value.to_string());
    match (stage, target.rsplit('.').next().unwrap()) {
        (Stage::Deaf(codedeploy, cloudwatch), operation)
            if if operation == "DescribeAlarms" { cloudwatch } else { codedeploy } =>
        {
            pending().await
        }
        (Stage::Refused(code), operation) => {
            aws.looks.fetch_add(usize::from(operation == "DescribeAlarms"), Ordering::SeqCst);
            let refusal = json!({"__type": code, "message": "no"});
            reply(400, "application/x-amz-json-1.1", refusal.to_string())
        }
        (stage, "DescribeAlarms") => {
            aws.looks.fetch_add(1, Ordering::SeqCst);
            let state = if let Stage::At(.., state) = stage { state } else { "OK" };
            json(
                json!({"MetricAlarms": [{"AlarmName": "app-errors", "StateValue": state}], "CompositeAlarms": []}),
            )
        }
        (Stage::None | Stage::Deaf(..), _) => json(json!({"deployments": []})),
        (Stage::At(..), "ListDeployments") => json(json!({"deployments": ["d-1"]})),
        (Stage::At(..), "ListDeploymentTargets") => json(json!({"targetIds": ["app-f:live"]})),
        (Stage::At(status, _, _, error, _), "GetDeployment") => {
            let mut info =
                json!({"status": status, "deploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce"});
            if let Some((code, message)) = error {
                info["errorInformation"] = json!({"code": code, "message": message});
            }
            json(json!({"deploymentInfo": info}))
        }
        (Stage::At(_, weight, events, ..), _) => {
            let names = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"];
            let events: Vec<Value> = names
                .iter()
                .zip(events)
                .map(|(name, status)| json!({"lifecycleEventName": name, "status": status}))
                .collect();
            json(json!({"deploymentTargets": [{"deploymentTargetType": "LambdaTarget", "lambdaTarget": {
                "lifecycleEvents": events, "lambdaFunctionInfo": {"functionName": "app-f", "functionAlias": "live",
                "currentVersion": "3", "targetVersion": "4", "targetVersionWeight": weight}}}]}))
        }
    }
}

/// How an API behaves.
#[derive(Clone, Copy)]
enum Api {
    Good,
    Failing,
    /// Every other answer is a failure of the gateway's.
    Half,
    Unversioned,
    Huge,
    Silent,
}

async fn api(how: Api) -> String {
    counting(how, Arc::default()).await
}

/// The same, and how many requests have arrived.
async fn counting(how: Api, asked: Arc<AtomicUsize>) -> String {
    let app = Router::new().fallback(move || {
        let before = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let good = Response::builder()
                .header("x-causeway-version", "0.1.0+abc")
                .header("x-causeway-lambda-version", "3")
                .header("apigw-requestid", "r-1");
            match how {
                Api::Half if before % 2 == 1 => {
                    Response::builder().status(502).body(Body::from("{}")).unwrap()
                }
                Api::Good | Api::Half => good.body(Body::from("{}")).unwrap(),
                Api::Failing => good.status(500).body(Body::from("{}")).unwrap(),
                Api::Unversioned => Response::new(Body::from("{}")),
                Api::Huge => good.body(Body::from(vec![b'x'; 10 * 1024 * 1024])).unwrap(),
                Api::Silent => pending().await,
            }
        }
    });
    serve(app).await
}

fn plan(url: &str, until: Until) -> Plan {
    Plan {
        env: "prod".to_owned(),
        stack: "app".to_owned(),
        api: ApiClient::new(url).unwrap(),
        routes: vec![Route { function: "f".to_owned(), path: "api/version".to_owned() }],
        rate: 50.0,
        groups: vec![Group { application: "a".to_owned(), name: "g".to_owned() }],
        alarms: vec!["app-errors".to_owned()],
        pace: Duration::from_millis(30),
        minute: None,
        until,
        expecting: None,
        terms: Terms::default(),
    }
}

/// After so long a test hangs, on however busy a machine. No test judges by less.
const LIMIT: Duration = Duration::from_secs(600);

/// What a watch has told so far.
type Told = Mutex<Vec<String>>;

async fn watched(how: Api, stages: Vec<Stage>, until: Until) -> (Ended, Vec<String>) {
    let told = Told::default();
    let ended = telling(&plan(&api(how).await, until), stages, pending(), &told).await;
    (ended, told.into_inner().unwrap())
}

/// Watches, and once this word was told the watch's whole time passes at once.
async fn watched_on(stage: &Stage, word: &str, until: Until) -> Ended {
    let told = Told::default();
    let plan = plan(&api(Api::Good).await, until);
    let passes = async {
        has_told(&told, word).await;
        pause();
        // Held, so that the answers which are on their way still come.
        let clock = hold();
        advance(LIMIT).await;
        clock
    };
    tokio::join!(telling(&plan, vec![stage.clone()], pending(), &told), passes).0
}

/// Until a watch has told something with this word.
async fn has_told(told: &Told, word: &str) {
    while !told.lock().unwrap().iter().any(|text| text.contains(word)) {
        yield_now().await;
    }
}

/// Watches until the end, or until it is interrupted, and notes what is told.
async fn telling(plan: &Plan, stages: Vec<Stage>, interrupt: impl Future<Output = ()>, told: &Told) -> Ended {
    let rollouts = Aws::start(stages).await;
    run(plan, &rollouts, interrupt, |news| {
        let text = match news {
            News::Trouble(text) => text,
            News::Alarm { name, state, before } => {
                format!("{name}: {} to {state}", before.unwrap_or("unknown"))
            }
            News::Deployment(_, now) => format!("{}: {}", now.function, now.status),
            News::Second(..) => return,
        };
        told.lock().unwrap().push(text);
    })
    .await
}

#[tokio::test]
async fn every_lifecycle_ends_with_its_verdict_and_its_cause() {
    let hook = Stage::At(
        "Failed",
        0.0,
        ["Failed", "Skipped", "Skipped"],
        Some(("HEALTH_CONSTRAINTS", "the hook said no")),
        "OK",
    );
    let alarm = Stage::At(
        "Stopped",
        0.0,
        ["Succeeded", "Failed", "Skipped"],
        Some(("ALARM_ACTIVE", "app-errors is in ALARM")),
        "ALARM",
    );
    let stop = Stage::At(
        "Stopped",
        0.0,
        ["Succeeded", "Failed", "Skipped"],
        Some(("MANUAL_STOP", "somebody stopped it")),
        "OK",
    );
    // An alarm that was raised besides does not take the blame from a hook that failed.
    let raised = Stage::At("InProgress", 0.0, ["InProgress", "Pending", "Pending"], None, "ALARM");
    let table = [
        (vec![GOING, DONE], Verdict::Healthy, None),
        (
            vec![GOING, hook.clone()],
            Verdict::RolledBack,
            Some("BeforeAllowTraffic of f failed: HEALTH_CONSTRAINTS"),
        ),
        (vec![raised, hook], Verdict::RolledBack, Some("BeforeAllowTraffic of f failed: HEALTH_CONSTRAINTS")),
        (vec![GOING, alarm], Verdict::RolledBack, Some("f: alarm app-errors is in ALARM: ALARM_ACTIVE")),
        (vec![GOING, stop], Verdict::RolledBack, Some("AllowTraffic of f failed: MANUAL_STOP")),
        (vec![Stage::None], Verdict::NothingToWatch, None),
    ];
    for (stages, verdict, cause) in table {
        let (ended, told) = watched(Api::Good, stages, Until::Done(LIMIT)).await;
        assert_eq!(ended.verdict, verdict, "{:?} {told:?}", ended.cause);
        assert!(
            ended.cause.as_deref().unwrap_or_default().starts_with(cause.unwrap_or_default()),
            "{:?}",
            ended.cause
        );
        assert_eq!(ended.cause.is_some(), cause.is_some(), "{:?}", ended.cause);
        assert_eq!(ended.watched.failures, BTreeMap::new());
        assert_eq!(ended.watched.versions["f 3"].says.iter().collect::<Vec<_>>(), ["0.1.0+abc"]);
    }
}

#[tokio::test]
async fn a_deployment_that_does_not_end_is_timed_out() {
    assert_eq!(watched_on(&GOING, "InProgress", Until::Done(LIMIT)).await.verdict, Verdict::TimedOut);
}

#[tokio::test]
async fn a_deployment_that_was_to_be_watched_for_so_long_is_healthy_then() {
    assert_eq!(watched_on(&GOING, "InProgress", Until::For(LIMIT)).await.verdict, Verdict::Healthy);
}

/// A watch of eight seconds, all of which pass once the API has answered.
async fn eight_seconds(how: Api, stage: Stage, change: impl FnOnce(&mut Plan)) -> Ended {
    let (asked, told, eight) = (Arc::new(AtomicUsize::new(0)), Told::default(), Duration::from_secs(8));
    let mut plan = plan(&counting(how, Arc::clone(&asked)).await, Until::For(eight));
    change(&mut plan);
    let passes = async {
        while asked.load(Ordering::SeqCst) < 3 {
            yield_now().await;
        }
        // Held, so that the answers which are on their way still come, and the limit of a request does not.
        pause();
        let clock = hold();
        advance(eight).await;
        clock
    };
    let (ended, clock) = tokio::join!(telling(&plan, vec![stage], pending(), &told), passes);
    drop(clock);
    resume();
    ended
}

#[tokio::test]
async fn no_answer_yet_is_not_none() {
    for (codedeploy, cloudwatch, name) in [
        (true, false, "CodeDeploy could not be asked: it did not answer"),
        (false, true, "CloudWatch could not be asked: it did not answer"),
        (true, true, "CodeDeploy could not be asked: it did not answer"),
    ] {
        let ended = eight_seconds(Api::Good, Stage::Deaf(codedeploy, cloudwatch), |_| {}).await;
        assert_eq!((ended.verdict, ended.cause.as_deref()), (Verdict::Unreachable, Some(name)));
    }
    // A stack without CodeDeploy and alarms has nobody to ask.
    let nobody = |plan: &mut Plan| {
        plan.groups.clear();
        plan.alarms.clear();
    };
    let ended = eight_seconds(Api::Good, Stage::Deaf(true, true), nobody).await;
    assert_eq!((ended.verdict, ended.cause), (Verdict::NothingToWatch, None));
}

#[tokio::test]
async fn a_deployment_is_waited_for() {
    let waits = |plan: &mut Plan, within| {
        plan.until = Until::Done(within);
        plan.expecting = Some(within);
        plan.terms.awaited = true;
    };
    let mut plan = plan(&api(Api::Good).await, Until::Done(LIMIT));
    waits(&mut plan, LIMIT);
    let (none, told) = (Stage::None, Told::default());
    let stages = vec![none.clone(), none.clone(), none.clone(), none.clone(), GOING, DONE];
    let ended = telling(&plan, stages, pending(), &told).await;
    assert_eq!(ended.verdict, Verdict::Healthy, "{:?}", ended.cause);
    let ended = eight_seconds(Api::Good, none, |plan| waits(plan, Duration::from_secs(8))).await;
    assert_eq!(ended.verdict, Verdict::TimedOut);
    assert_eq!(ended.cause.as_deref(), Some("no deployment began while it was waited for"));
}

#[tokio::test]
async fn half_of_the_answers_being_errors_is_a_failure_unless_codedeploy_decides() {
    let stopped = Stage::At(
        "Stopped",
        0.0,
        ["Succeeded", "Failed", "Skipped"],
        Some(("ALARM_ACTIVE", "app-errors is in ALARM")),
        "ALARM",
    );
    let table = [
        // Too few at first, so the watch goes on until it can tell.
        (vec![Stage::None], 1.0, Verdict::Failed, "requests failed: "),
        (vec![Stage::None], 70.0, Verdict::NothingToWatch, ""),
        (vec![GOING, DONE], 1.0, Verdict::Failed, "requests failed after the deployment: "),
        (vec![GOING, DONE], 70.0, Verdict::Healthy, ""),
        (vec![GOING, stopped], 1.0, Verdict::RolledBack, "f: alarm app-errors is in ALARM"),
    ];
    for (stages, max_errors, verdict, cause) in table {
        let (mut plan, told) = (plan(&api(Api::Half).await, Until::Done(LIMIT)), Told::default());
        (plan.rate, plan.terms.max_errors) = (500.0, max_errors);
        let ended = telling(&plan, stages, pending(), &told).await;
        assert_eq!(ended.verdict, verdict, "{max_errors} {:?}", ended.cause);
        assert!(ended.cause.as_deref().unwrap_or_default().contains(cause), "{:?}", ended.cause);
        assert_eq!(ended.watched.address, plan.api.address());
        assert!(!ended.watched.began.is_empty() && ended.watched.began <= ended.watched.ended);
    }
}

#[tokio::test]
async fn throttling_is_got_over_and_blindness_is_no_success() {
    let throttled = Stage::Refused("ThrottlingException");
    let (ended, told) =
        watched(Api::Good, vec![throttled.clone(), throttled.clone(), GOING, DONE], Until::Done(LIMIT)).await;
    assert_eq!(ended.verdict, Verdict::Healthy, "{told:?}");
    assert!(told.iter().any(|text| text.contains("ThrottlingException")), "{told:?}");
    let (ended, _) =
        watched(Api::Good, vec![Stage::Refused("AccessDeniedException")], Until::Done(LIMIT)).await;
    assert!(ended.refused.unwrap().why.contains("AccessDeniedException"), "no use in asking again");
    // From here on the clock is the test's.
    let ended = watched_on(&throttled, "ThrottlingException", Until::Done(LIMIT)).await;
    assert_eq!(ended.verdict, Verdict::Unreachable, "nothing is known of a deployment");
    assert!(ended.cause.unwrap().contains("CodeDeploy could not be asked: ThrottlingException"));
}

#[tokio::test]
async fn a_watch_that_was_blind_all_along_is_no_success() {
    let throttled = Stage::Refused("ThrottlingException");
    let ended = watched_on(&throttled, "ThrottlingException", Until::For(LIMIT)).await;
    assert_eq!(ended.verdict, Verdict::Unreachable, "nothing is known of a deployment");
    assert!(ended.cause.unwrap().contains("CodeDeploy could not be asked: ThrottlingException"));
}
