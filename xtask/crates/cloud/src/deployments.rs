//! The deployments of this cloud, as CodeDeploy describes them.
//!
//! Source: `DeploymentInfo`, `LambdaTarget` and `LifecycleEvent` in the CodeDeploy API reference.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use causeway_model::rollout::{AWS_PREFIX, Shifting};

/// The lifecycle events of a Lambda deployment, in their order.
pub(crate) const EVENTS: [&str; 3] = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"];

/// A deployment as CodeDeploy describes it.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its id.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// The stack it belongs to.
    pub stack: String,
    /// CodeDeploy's application.
    pub application: String,
    /// CodeDeploy's deployment group.
    pub group: String,
    /// The name of its configuration.
    pub config: String,
    /// What that configuration says.
    pub shifting: Shifting,
    /// The function's name.
    pub function: String,
    /// The alias that moves.
    pub alias: String,
    /// Lambda's number of the old version.
    pub old: String,
    /// Lambda's number of the new version.
    pub new: String,
    /// Percent for the new version.
    pub weight: u32,
    /// `InProgress`, `Succeeded`, `Failed` or `Stopped`.
    pub status: &'static str,
    /// CodeDeploy's code and message for what went wrong.
    pub error: Option<(&'static str, String)>,
    /// Status of each lifecycle event.
    pub events: [&'static str; 3],
    /// When it began, in seconds since 1970.
    pub started: f64,
    /// When it ended.
    pub ended: Option<f64>,
}

struct Entry {
    described: Described,
    stop: watch::Sender<Option<String>>,
}

/// All of them, by id.
#[derive(Default)]
pub struct Deployments(Mutex<BTreeMap<String, Entry>>);

impl Deployments {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one that begins; the receiver hears who asks it to stop.
    pub fn begin(&self, described: Described) -> watch::Receiver<Option<String>> {
        let (stop, receiver) = watch::channel(None);
        self.all().insert(described.id.clone(), Entry { described, stop });
        receiver
    }

    /// Changes one.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Described)) {
        if let Some(entry) = self.all().get_mut(id) {
            change(&mut entry.described);
        }
    }

    /// Whether a deployment of a stack is in progress.
    pub fn at_work(&self, account: &str, stack: &str) -> bool {
        let all = self.all();
        let mut own = all.values().map(|entry| &entry.described);
        own.any(|d| d.account == account && d.stack == stack && d.status == "InProgress")
    }

    /// The versions between which each function of an account was shifted last, or is: the old one and the new one.
    pub fn versions(&self, account: &str) -> BTreeMap<String, (String, String)> {
        let all = self.all();
        let mut own: Vec<&Described> =
            all.values().map(|entry| &entry.described).filter(|d| d.account == account).collect();
        own.sort_by(|a, b| a.started.total_cmp(&b.started));
        own.into_iter().map(|d| (d.function.clone(), (d.old.clone(), d.new.clone()))).collect()
    }

    /// Asks every deployment of a stack that is in progress to stop.
    pub fn stop_stack(&self, account: &str, stack: &str, why: &str) {
        for entry in
            self.all().values().filter(|e| e.described.account == account && e.described.stack == stack)
        {
            entry.stop.send_replace(Some(why.to_owned()));
        }
    }

    /// Answers a call of CodeDeploy's API for an account: status and body. `None` for a call that is not known here.
    pub fn answer(&self, account: &str, operation: &str, input: &Value) -> Option<(u16, Value)> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
        let mine = |entry: &&Entry| entry.described.account == account;
        let all = self.all();
        let find = |id: &str| all.get(id).filter(mine);
        let unknown = |id: &str| {
            (
                400,
                json!({"__type": "DeploymentDoesNotExistException", "message": format!("there is no deployment {id}")}),
            )
        };
        Some(match operation {
            "ListDeployments" => {
                let wanted: Vec<&str> = input
                    .get("includeOnlyStatuses")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let start = input.pointer("/createTimeRange/start").and_then(Value::as_f64);
                let fits = |d: &Described| {
                    start.is_none_or(|start| d.started >= start)
                        && (text("applicationName").is_empty() || d.application == text("applicationName"))
                        && (text("deploymentGroupName").is_empty() || d.group == text("deploymentGroupName"))
                        && (wanted.is_empty() || wanted.contains(&d.status))
                };
                let mut found: Vec<&Described> =
                    all.values().filter(mine).map(|entry| &entry.described).filter(|d| fits(d)).collect();
                // The newest first, as CodeDeploy lists them.
                found.sort_by(|a, b| b.started.total_cmp(&a.started));
                (200, json!({"deployments": found.iter().map(|d| &d.id).collect::<Vec<_>>()}))
            }
            "GetDeployment" => match find(text("deploymentId")) {
                Some(entry) => (200, json!({"deploymentInfo": info(&entry.described)})),
                None => unknown(text("deploymentId")),
            },
            "BatchGetDeployments" => {
                let ids = input
                    .get("deploymentIds")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                (
                    200,
                    json!({"deploymentsInfo": ids.filter_map(find).map(|entry| info(&entry.described)).collect::<Vec<_>>()}),
                )
            }
            "ListDeploymentTargets" => match find(text("deploymentId")) {
                Some(entry) => (200, json!({"targetIds": [target_id(&entry.described)]})),
                None => unknown(text("deploymentId")),
            },
            "GetDeploymentTarget" => match find(text("deploymentId")) {
                Some(entry) => (200, json!({"deploymentTarget": target(&entry.described)})),
                None => unknown(text("deploymentId")),
            },
            "BatchGetDeploymentTargets" => match find(text("deploymentId")) {
                Some(entry) => (200, json!({"deploymentTargets": [target(&entry.described)]})),
                None => unknown(text("deploymentId")),
            },
            "StopDeployment" => match find(text("deploymentId")) {
                Some(entry) if entry.described.status == "InProgress" => {
                    entry.stop.send_replace(Some("StopDeployment was called".to_owned()));
                    (
                        200,
                        json!({"status": "Pending", "statusMessage": "the deployment stops and is rolled back"}),
                    )
                }
                Some(_) => (
                    400,
                    json!({"__type": "DeploymentAlreadyCompletedException", "message": "the deployment is over"}),
                ),
                None => unknown(text("deploymentId")),
            },
            // A configuration of one's own is known from the deployments that used it.
            "GetDeploymentConfig" => {
                let name = text("deploymentConfigName");
                let own = || all.values().filter(mine).find(|entry| entry.described.config == name);
                let shifting = match name.strip_prefix(AWS_PREFIX).map(Shifting::parse) {
                    Some(Ok(shifting)) => Some(shifting),
                    _ => own().map(|entry| entry.described.shifting),
                };
                match shifting {
                    Some(shifting) => (
                        200,
                        json!({"deploymentConfigInfo": {
                            "deploymentConfigName": name, "computePlatform": "Lambda",
                            "trafficRoutingConfig": shifting.described(),
                        }}),
                    ),
                    None => (
                        400,
                        json!({"__type": "DeploymentConfigDoesNotExistException", "message": format!("there is no deployment configuration {name}")}),
                    ),
                }
            }
            _ => return None,
        })
    }
}

fn info(d: &Described) -> Value {
    let mut info = json!({
        "applicationName": d.application, "deploymentGroupName": d.group, "deploymentConfigName": d.config,
        "deploymentId": d.id, "status": d.status, "createTime": d.started, "startTime": d.started,
        "creator": "CloudFormation", "computePlatform": "Lambda",
        "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    });
    if let Some(ended) = d.ended {
        info["completeTime"] = json!(ended);
    }
    if let Some((code, message)) = &d.error {
        info["errorInformation"] = json!({"code": code, "message": message});
    }
    info
}

fn target_id(d: &Described) -> String {
    format!("{}:{}", d.function, d.alias)
}

fn target(d: &Described) -> Value {
    let events: Vec<Value> = EVENTS
        .iter()
        .zip(d.events)
        .map(|(name, status)| json!({"lifecycleEventName": name, "status": status}))
        .collect();
    json!({
        "deploymentTargetType": "LambdaTarget",
        "lambdaTarget": {
            "deploymentId": d.id, "targetId": target_id(d), "status": d.status, "lifecycleEvents": events,
            "lambdaFunctionInfo": {
                "functionName": d.function, "functionAlias": d.alias, "currentVersion": d.old, "targetVersion": d.new,
                "targetVersionWeight": f64::from(d.weight),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(id: &str, group: &str, started: f64) -> Described {
        Described {
            id: id.into(),
            account: "2".into(),
            stack: "s".into(),
            application: "app".into(),
            group: group.into(),
            config: "Own.Half".into(),
            shifting: Shifting::Canary { percent: 50, minutes: 4 },
            function: "f".into(),
            alias: "live".into(),
            old: "1".into(),
            new: "2".into(),
            weight: 10,
            status: "InProgress",
            error: None,
            events: ["Succeeded", "InProgress", "Pending"],
            started,
            ended: None,
        }
    }

    #[test]
    fn deployments_are_described_as_codedeploy_does() {
        let deployments = Deployments::default();
        let stop = deployments.begin(described("d-1", "g", 1.0));
        let _other = deployments.begin(described("d-2", "h", 2.0));
        let ask =
            |account: &str, operation: &str, input: Value| deployments.answer(account, operation, &input);
        assert_eq!(ask("2", "ListDeployments", json!({})).unwrap().1, json!({"deployments": ["d-2", "d-1"]}));
        assert_eq!(
            ask("2", "ListDeployments", json!({"deploymentGroupName": "g"})).unwrap().1,
            json!({"deployments": ["d-1"]})
        );
        assert_eq!(ask("3", "ListDeployments", json!({})).unwrap().1, json!({"deployments": []}));
        let target = ask("2", "GetDeploymentTarget", json!({"deploymentId": "d-1"})).unwrap().1;
        assert_eq!(
            target["deploymentTarget"]["lambdaTarget"]["lambdaFunctionInfo"]["targetVersionWeight"],
            10.0
        );
        let config = |account: &str, name: &str| {
            let (status, body) =
                ask(account, "GetDeploymentConfig", json!({"deploymentConfigName": name})).unwrap();
            (status, body["deploymentConfigInfo"]["trafficRoutingConfig"].clone())
        };
        let half = json!({"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 50, "canaryInterval": 4}});
        assert_eq!(config("2", "Own.Half"), (200, half));
        assert_eq!(
            config("3", "CodeDeployDefault.LambdaLinear10PercentEvery2Minutes").1["timeBasedLinear"],
            json!({"linearPercentage": 10, "linearInterval": 2})
        );
        assert_eq!(config("3", "Own.Half").0, 400, "another account's");
        assert_eq!(config("2", "CodeDeployDefault.LambdaOther").0, 400);
        assert_eq!(ask("3", "GetDeployment", json!({"deploymentId": "d-1"})).unwrap().0, 400);
        assert_eq!(ask("2", "StopDeployment", json!({"deploymentId": "d-1"})).unwrap().0, 200);
        assert!(stop.borrow().is_some());
        deployments.update("d-1", |d| d.status = "Stopped");
        assert_eq!(ask("2", "StopDeployment", json!({"deploymentId": "d-1"})).unwrap().0, 400);
        assert!(ask("2", "CreateApplication", json!({})).is_none());
    }
}
