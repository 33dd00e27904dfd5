//! The alarms of `cfn/app.yaml` before the alarm engine: each way to break a release is stopped by the alarm that is there
//! for it and by no other, and a busy machine by none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::alarms;
use super::cloud::Cloud;
use super::deployments::Described;
use super::edge_stub::ACCOUNT;
use super::metrics::{Answered, Invocation};
use super::stub_emulator::{Answer, Emulator};
use causeway_model::alarm::{Alarm, State};
use causeway_model::latency::Course;
use causeway_model::rollout::Shifting;
use causeway_model::template::{Pseudo, Scope};

/// The app stack.
const STACK: &str = "app";
/// The names of the alarms that stop each function's deployment.
pub(super) type Stopping = BTreeMap<String, Vec<String>>;

/// Its functions.
pub(super) const FUNCTIONS: [&str; 2] = ["checkin", "contacts"];

/// The template's alarms as they are deployed, with what CloudWatch says of them, and the names of those that stop each
/// function's deployment.
pub(super) fn deployed() -> (Vec<(Alarm, State)>, Stopping) {
    let template =
        causeway_model::template::parse(include_str!("../../../../cfn/app.yaml")).unwrap().to_json();
    let parameters = Scope::parameters_of(&template, &BTreeMap::new());
    let pseudo = Pseudo {
        account_id: ACCOUNT.into(),
        region: "eu-central-1".into(),
        partition: "aws".into(),
        stack_name: STACK.into(),
        stack_id: "arn:s".into(),
    };
    let name = |id: &str| {
        let function = id.strip_suffix("Function").map(str::to_lowercase);
        function.filter(|name| FUNCTIONS.contains(&name.as_str())).map(|name| format!("{STACK}-{name}"))
    };
    let resources = |id: &str, attribute: Option<&str>| match attribute {
        None => Some(name(id).unwrap_or_else(|| id.to_owned()).into()),
        Some("Version.Version") => name(id).map(|_| "2".into()),
        Some(_) => Some(Value::Null),
    };
    let scope =
        Scope { template: &template, parameters: &parameters, pseudo: &pseudo, resources: &resources };
    let (mut all, mut names) = (Vec::new(), BTreeMap::new());
    let mut stopping = BTreeMap::new();
    for (id, resource) in template["Resources"].as_object().unwrap() {
        if resource["Type"] == "AWS::CloudWatch::Alarm" {
            let described = scope.eval(&resource["Properties"]).unwrap().unwrap();
            let described: Value = serde_json::from_str(&described.to_string()).unwrap();
            let (alarm, _) = alarms::definition(&numbers(described)).unwrap();
            names.insert(id.clone(), alarm.name.clone());
            all.push((alarm, State::Ok));
        }
    }
    for (id, resource) in template["Resources"].as_object().unwrap() {
        let listed = resource.pointer("/Properties/DeploymentPreference/Alarms").and_then(Value::as_array);
        let (Some(listed), Some(function)) = (listed, name(id)) else { continue };
        let own = listed.iter().map(|alarm| names[alarm["Ref"].as_str().unwrap()].clone());
        stopping.insert(function, own.collect());
    }
    (all, stopping)
}

/// A deployment that moves a function from version 1 to another one.
pub(super) fn shifted(n: usize, function: &str, new: &str) -> Described {
    Described {
        id: format!("d-{n}"),
        account: ACCOUNT.into(),
        stack: STACK.into(),
        application: "app".into(),
        group: "g".into(),
        config: "c".into(),
        shifting: Shifting::Linear { percent: 10, minutes: 1 },
        function: function.into(),
        alias: "live".into(),
        old: "1".into(),
        new: new.into(),
        weight: 10,
        status: "InProgress",
        error: None,
        events: ["Succeeded", "InProgress", "Pending"],
        started: 0.0,
        ended: None,
    }
}

/// Parameters are texts in a template; CloudFormation makes numbers of them where numbers are wanted.
fn numbers(mut described: Value) -> Value {
    for name in ["Threshold", "Period", "EvaluationPeriods", "DatapointsToAlarm"] {
        if let Some(number) = described[name].as_str().and_then(|text| text.parse::<f64>().ok()) {
            described[name] = json!(number);
        }
    }
    described
}

/// A cloud whose functions are shifted from version 1 to version 2.
struct Shifted {
    _emulator: Emulator,
    cloud: std::sync::Arc<Cloud>,
    alarms: Vec<(Alarm, State)>,
    stopping: Stopping,
    _stops: Vec<tokio::sync::watch::Receiver<Option<String>>>,
}

impl Shifted {
    async fn new() -> Self {
        let emulator = Emulator::start(|_, _| Some(Answer::new(200, "{}"))).await;
        let cloud = emulator.cloud();
        let (alarms, stopping) = deployed();
        assert_eq!(stopping.len(), FUNCTIONS.len());
        let mut stops = Vec::new();
        for (n, (function, names)) in stopping.iter().enumerate() {
            stops.push(cloud.deployments.begin(shifted(n, function, "2")));
            cloud.alarms.begin(ACCOUNT, names);
        }
        Self { _emulator: emulator, cloud, alarms, stopping, _stops: stops }
    }

    /// A version of a function answers, at a time in seconds of AWS of which each lasts a second.
    fn answers(&self, at: f64, function: &str, version: &str, (failed, late): (bool, bool), millis: f64) {
        let function = format!("{STACK}-{function}");
        let call = Invocation {
            function: &function,
            alias: Some("live"),
            version,
            failed,
            throttled: false,
            millis,
        };
        let status = if failed { 500 } else { 200 };
        let began = at - millis / 1_000.0;
        let answered = Answered { began, late, ..Answered::http(ACCOUNT, "HttpApi", status, millis) };
        self.cloud.metrics.record(at, &answered, Some(&call));
    }

    /// The alarms that would stop a deployment at a time.
    async fn stopped_by(&self, now: f64) -> Vec<String> {
        alarms::look(&self.cloud, ACCOUNT, self.alarms.clone(), now).await.unwrap();
        let names = self.stopping.values().flatten();
        names.filter_map(|name| self.cloud.alarms.raised(ACCOUNT, std::slice::from_ref(name))).collect()
    }

    /// What the alarm of a name said in the course of its deployment.
    fn course(&self, name: &str) -> Course {
        let mut found = self.cloud.alarms.courses_of(ACCOUNT, &[name.to_owned()]);
        found.pop().map(|(_, course)| course).unwrap()
    }
}

const FINE: (bool, bool) = (false, false);
const ERROR: (bool, bool) = (true, false);
const TIMEOUT: (bool, bool) = (true, true);

#[tokio::test]
async fn each_broken_release_is_stopped_by_its_own_alarm_and_by_no_other() {
    for broken in FUNCTIONS {
        for (how, (failed, late), millis, own) in
            [("errors", ERROR, 5.0, "errors"), ("slow", FINE, 4_500.0, "slow")]
        {
            let shifted = Shifted::new().await;
            assert_eq!(
                shifted.stopped_by(60.0).await,
                Vec::<String>::new(),
                "{broken} {how}: nothing happened yet"
            );
            for function in FUNCTIONS {
                for at in 61..119 {
                    shifted.answers(f64::from(at), function, "1", FINE, 8.0);
                }
                let (failed, millis) =
                    if function == broken { ((failed, late), millis) } else { (FINE, 9.0) };
                shifted.answers(110.0, function, "2", failed, millis);
            }
            let stopped = shifted.stopped_by(120.0).await;
            assert_eq!(stopped, [format!("{STACK}-{broken}-new-version-{own}")], "{broken} {how}");
        }
        // The old version's faults are none of the release's.
        let shifted = Shifted::new().await;
        shifted.stopped_by(60.0).await;
        shifted.answers(110.0, broken, "1", ERROR, 5.0);
        shifted.answers(111.0, broken, "1", FINE, 9_000.0);
        shifted.answers(112.0, broken, "2", FINE, 9.0);
        assert_eq!(shifted.stopped_by(120.0).await, Vec::<String>::new(), "{broken}");
    }
}

#[tokio::test]
async fn a_busy_machine_stops_nothing_and_nothing_is_said() {
    for (what, (failed, millis), (old_failed, old_millis), judged) in [
        ("both are slow", (FINE, 3_000.0), (FINE, 2_500.0), false),
        ("the new one is a little slower", (FINE, 2_100.0), (FINE, 1_500.0), false),
        ("both time out", (TIMEOUT, 10_000.0), (TIMEOUT, 10_000.0), false),
        ("the old one is slow", (FINE, 1_900.0), (FINE, 2_500.0), true),
    ] {
        let shifted = Shifted::new().await;
        shifted.stopped_by(60.0).await;
        shifted.answers(105.0, "checkin", "1", old_failed, old_millis);
        shifted.answers(110.0, "checkin", "2", failed, millis);
        assert_eq!(shifted.stopped_by(120.0).await, Vec::<String>::new(), "{what}");
        let course = shifted.course("app-checkin-new-version-slow");
        assert_eq!((course.is_verdict(), course.judged), (judged, u32::from(judged)), "{what}: {course:?}");
        // Counted once, however often it is looked at.
        shifted.stopped_by(121.0).await;
        assert_eq!(shifted.course("app-checkin-new-version-slow"), course, "{what}");
    }
}

#[tokio::test]
async fn the_old_version_is_the_one_of_the_same_seconds() {
    let slow = "app-checkin-new-version-slow".to_owned();
    // It was slow when the request of the new one came in, six periods long, and is quick again.
    let shifted = Shifted::new().await;
    shifted.stopped_by(60.0).await;
    shifted.answers(130.0, "checkin", "1", FINE, 20_000.0);
    shifted.answers(410.0, "checkin", "1", FINE, 10.0);
    shifted.answers(410.0, "checkin", "2", FINE, 300_000.0);
    assert!(shifted.stopped_by(420.0).await.is_empty(), "it began while the old one was slow");
    // It was slow long before; or another function was; or another version that is not the old one.
    for (at, function, version) in
        [(100.0, "checkin", "1"), (405.0, "contacts", "1"), (405.0, "checkin", "0")]
    {
        let shifted = Shifted::new().await;
        shifted.stopped_by(60.0).await;
        shifted.answers(at, function, version, FINE, 9_000.0);
        for n in 0..5 {
            shifted.answers(390.0 + f64::from(n), "checkin", "1", FINE, 10.0);
        }
        shifted.answers(410.0, "checkin", "2", FINE, 30_000.0);
        assert_eq!(shifted.stopped_by(420.0).await, std::slice::from_ref(&slow), "{at} {function} {version}");
    }
    // Nobody has had an answer of the old one for as long as the new one took.
    let shifted = Shifted::new().await;
    shifted.stopped_by(60.0).await;
    shifted.answers(370.0, "checkin", "1", FINE, 10.0);
    shifted.answers(410.0, "checkin", "2", FINE, 4_000.0);
    assert!(shifted.stopped_by(420.0).await.is_empty(), "there is no old one in these seconds");
    assert!(shifted.course(&slow).why.unwrap().contains("no request of the old one"));
    // One that waits for the old one's answer counts with what it has waited so far.
    let _waits = shifted.cloud.metrics.depart(ACCOUNT, "app-checkin", "1", 400.0);
    shifted.answers(475.0, "checkin", "2", FINE, 70_000.0);
    assert_eq!(shifted.stopped_by(480.0).await, [slow], "it waits for no time at all yet");
}

#[tokio::test]
async fn a_look_that_comes_late_passes_over_no_period() {
    let shifted = Shifted::new().await;
    shifted.stopped_by(60.0).await;
    shifted.answers(70.0, "checkin", "2", ERROR, 5.0);
    // Twenty minutes later that period is far out of every alarm's sight.
    let stopped = shifted.stopped_by(1_260.0).await;
    assert_eq!(stopped, ["app-checkin-new-version-errors"]);
    assert!(shifted.stopped_by(1_261.0).await.is_empty(), "and it clears with the next look");
}
