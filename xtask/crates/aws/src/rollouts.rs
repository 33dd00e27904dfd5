//! CodeDeploy's deployments and CloudWatch's alarms, as a watcher looks at them. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use serde_json::json;

use super::cloudformation::Stacks;
use super::deployments::{Alarms, Config, Deployment, Deployments, LambdaTarget, TargetIds, Targets};
use super::error::explain;
use super::json::Client;
use super::session::Account;
use super::spoken::{CLOUDWATCH, CODEDEPLOY};
use causeway_model::alarm::Stopping;
use causeway_model::rollout::Shifting;
use causeway_model::template;
use causeway_model::watch::Deploying;

/// How many alarms one call may name ("DescribeAlarms" in the CloudWatch API reference).
const ALARMS_A_CALL: usize = 100;

/// How many targets one call may name ("BatchGetDeploymentTargets" in the CodeDeploy API reference).
const TARGETS_A_CALL: usize = 25;

/// The statuses of a deployment that is not over.
const NOT_OVER: [&str; 5] = ["Created", "Queued", "InProgress", "Baking", "Ready"];

/// How CodeDeploy says that a deployment has not begun yet ("ListDeploymentTargets" and "BatchGetDeploymentTargets" in
/// the CodeDeploy API reference).
const NOT_STARTED: &str = "DeploymentNotStartedException";

/// A group of deployments: one shifting function of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// CodeDeploy's application.
    pub application: String,
    /// The group's name.
    pub name: String,
}

/// Reads deployments and alarms of an account.
#[derive(Clone)]
pub struct Rollouts {
    codedeploy: Client,
    cloudwatch: Client,
    /// Configurations that are not AWS's own, by name, as far as they were asked about.
    configs: Arc<Mutex<BTreeMap<String, Option<Shifting>>>>,
}

impl Rollouts {
    /// For an account.
    pub fn new(account: &Account) -> Self {
        Self {
            codedeploy: Client::new(account, &CODEDEPLOY),
            cloudwatch: Client::new(account, &CLOUDWATCH),
            configs: Arc::default(),
        }
    }

    /// Ids of a group's deployments that are not over, and of those that began since a time (seconds since 1970).
    ///
    /// # Errors
    /// The call is refused, or throttled for longer than its retries last.
    pub async fn deployments(&self, group: &Group, since: i64) -> anyhow::Result<BTreeSet<String>> {
        let group_name = &group.name;
        let list = |filter: (&str, serde_json::Value)| {
            let mut input = json!({"applicationName": group.application, "deploymentGroupName": group_name});
            input[filter.0] = filter.1;
            self.codedeploy.pages::<Deployments>("ListDeployments", input)
        };
        let (running, recent) = tokio::join!(
            list(("includeOnlyStatuses", json!(NOT_OVER))),
            list(("createTimeRange", json!({"start": since}))),
        );
        let mut ids = BTreeSet::new();
        for pages in [running, recent] {
            let pages = pages.map_err(|error| explain(error, "list the deployments", group_name))?;
            ids.extend(pages.into_iter().flat_map(|page| page.deployments));
        }
        Ok(ids)
    }

    /// How a deployment stands.
    ///
    /// # Errors
    /// The call is refused or throttled, or the deployment is none of a Lambda function.
    pub async fn look(&self, id: &str) -> anyhow::Result<Deploying> {
        let named = json!({"deploymentId": id});
        let deployment = self.codedeploy.call::<Deployment>("GetDeployment", named.clone());
        let targets = self.codedeploy.pages::<TargetIds>("ListDeploymentTargets", named);
        let (deployment, targets) = tokio::join!(deployment, targets);
        let deployment = deployment.map_err(|error| explain(error, "look at the deployment", id))?;
        let targets: Vec<String> = match targets {
            Ok(pages) => pages.into_iter().flat_map(|page| page.target_ids).collect(),
            Err(error) if error.code() == Some(NOT_STARTED) => Vec::new(),
            Err(error) => return Err(explain(error, "look at the deployment", id)),
        };
        let info = deployment.deployment_info;
        let mut deploying = Deploying {
            id: id.to_owned(),
            function: String::new(),
            status: info.status,
            old: String::new(),
            new: String::new(),
            weight: 0.0,
            events: Vec::new(),
            error: info.error_information.map(|error| {
                let code = error.code.as_deref().unwrap_or("unknown");
                format!("{code}: {}", error.message.as_deref().unwrap_or("no message"))
            }),
            config: info.deployment_config_name.unwrap_or_default(),
            shifting: None,
        };
        deploying.shifting = self.shifting(&deploying.config).await;
        // A deployment that has only just been created has no target yet: the list is empty, or the call is refused.
        for targets in targets.chunks(TARGETS_A_CALL) {
            let named = json!({"deploymentId": id, "targetIds": targets});
            let found = match self.codedeploy.call::<Targets>("BatchGetDeploymentTargets", named).await {
                Ok(found) => found,
                Err(error) if error.code() == Some(NOT_STARTED) => return Ok(deploying),
                Err(error) => return Err(explain(error, "look at the deployment's target", id)),
            };
            if let Some(target) = found.deployment_targets.into_iter().find_map(|target| target.lambda_target)
            {
                add_target(&mut deploying, target);
                break;
            }
        }
        Ok(deploying)
    }

    /// What a configuration says. One that is not AWS's own is asked about once; only the time to go hangs on it, so one
    /// that may not be looked at is no error.
    async fn shifting(&self, config: &str) -> Option<Shifting> {
        if config.is_empty() {
            return None;
        }
        if let Ok(known) = Shifting::parse(config) {
            return Some(known);
        }
        let configs = || self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = configs().get(config).copied();
        if let Some(known) = known {
            return known;
        }
        let named = json!({"deploymentConfigName": config});
        let answer = self.codedeploy.call::<Config>("GetDeploymentConfig", named).await;
        let found =
            answer.ok().and_then(|answer| answer.deployment_config_info.traffic_routing_config?.shifting());
        configs().insert(config.to_owned(), found);
        found
    }

    /// The state of each of these alarms; one that does not exist is left out.
    ///
    /// # Errors
    /// The call is refused or throttled.
    pub async fn alarms(&self, names: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for names in names.chunks(ALARMS_A_CALL) {
            let input = json!({"AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]});
            let pages = self.cloudwatch.pages::<Alarms>("DescribeAlarms", input).await;
            let pages = pages
                .map_err(|error| explain(error, "look at the alarms", names.first().map_or("", |n| n)))?;
            let found = pages
                .into_iter()
                .flat_map(|page| page.metric_alarms.into_iter().chain(page.composite_alarms));
            all.extend(found.map(|alarm| (alarm.alarm_name, alarm.state_value)));
        }
        Ok(all)
    }
}

/// The names of the alarms in ALARM that would stop a deployment of the stack at once: those of its deployment groups, not
/// those that only tell people. Changes nothing.
///
/// # Errors
/// The stack, its template or its alarms may not be looked at, or the template is none.
pub async fn raised(account: &Account, stack: &str) -> anyhow::Result<Vec<String>> {
    let stacks = Stacks::new(account);
    if stacks.describe(stack).await?.is_none() {
        return Ok(Vec::new());
    }
    let template = template::parse(&stacks.template(stack).await?)
        .map_err(|error| anyhow::anyhow!("read the template of {stack}: {error}"))?;
    let stopping = Stopping::of(&template.to_json(), stack);
    let resources = stacks.resources(stack).await?;
    let names: Vec<String> = resources
        .into_iter()
        .filter(|(_, found)| found.resource_type.starts_with("AWS::CloudWatch::") && !found.id.is_empty())
        .filter(|(logical_id, found)| {
            found.resource_type.ends_with("Alarm") && stopping.has(logical_id, &found.id)
        })
        .map(|(_, found)| found.id)
        .collect();
    let states = Rollouts::new(account).alarms(&names).await?;
    Ok(states.into_iter().filter(|(_, state)| state == "ALARM").map(|(name, _)| name).collect())
}

fn add_target(deploying: &mut Deploying, target: LambdaTarget) {
    if let Some(info) = target.lambda_function_info {
        deploying.function = info.function_name;
        deploying.old = info.current_version.unwrap_or_default();
        deploying.new = info.target_version.unwrap_or_default();
        deploying.weight = info.target_version_weight;
    }
    let events = target.lifecycle_events.into_iter();
    deploying.events = events.map(|event| (event.lifecycle_event_name, event.status)).collect();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scripted::{Reply, Script};

    fn reply(body: &serde_json::Value) -> Reply {
        (200, body.to_string())
    }

    fn target(weight: f64, events: [&str; 3]) -> Reply {
        let names = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"];
        let events: Vec<_> = names
            .iter()
            .zip(events)
            .map(|(name, status)| json!({"lifecycleEventName": name, "status": status}))
            .collect();
        reply(&json!({"deploymentTargets": [{"deploymentTargetType": "LambdaTarget", "lambdaTarget": {
            "lifecycleEvents": events, "lambdaFunctionInfo": {"functionName": "f", "functionAlias": "live",
            "currentVersion": "3", "targetVersion": "4", "targetVersionWeight": weight}}}]}))
    }

    /// The three calls of one look run two and then one; the first two come in either order, so both say all.
    fn stands(status: &str, error: Option<(&str, &str)>) -> Reply {
        let mut info = json!({"status": status, "deploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce"});
        if let Some((code, message)) = error {
            info["errorInformation"] = json!({"code": code, "message": message});
        }
        reply(&json!({"deploymentInfo": info, "targetIds": ["f:live"]}))
    }

    #[tokio::test]
    async fn every_lifecycle_is_read() {
        let table = [
            ("InProgress", None, 0.0, ["InProgress", "Pending", "Pending"], Some("BeforeAllowTraffic"), None),
            ("InProgress", None, 30.0, ["Succeeded", "InProgress", "Pending"], Some("AllowTraffic"), None),
            (
                "InProgress",
                None,
                100.0,
                ["Succeeded", "Succeeded", "InProgress"],
                Some("AfterAllowTraffic"),
                None,
            ),
            ("Succeeded", None, 100.0, ["Succeeded", "Succeeded", "Succeeded"], None, None),
            (
                "Failed",
                Some(("HEALTH_CONSTRAINTS", "the hook")),
                0.0,
                ["Failed", "Skipped", "Skipped"],
                None,
                Some("BeforeAllowTraffic"),
            ),
            (
                "Stopped",
                Some(("ALARM_ACTIVE", "one")),
                20.0,
                ["Succeeded", "Failed", "Skipped"],
                None,
                Some("AllowTraffic"),
            ),
            ("NewWord", None, 0.0, ["Unheard", "Pending", "Pending"], None, None),
        ];
        for (status, error, weight, events, at_work, failed_at) in table {
            let (_, account) =
                Script::start(vec![stands(status, error), stands(status, error), target(weight, events)])
                    .await;
            let seen = Rollouts::new(&account).look("d-1").await.unwrap();
            assert_eq!(
                (seen.status.as_str(), seen.weight, seen.at_work()),
                (status, weight, at_work),
                "{status}"
            );
            assert_eq!((seen.failed_at(), seen.old.as_str(), seen.new.as_str()), (failed_at, "3", "4"));
            let expected = error.map(|(code, message)| format!("{code}: {message}"));
            assert_eq!(seen.error, expected);
        }
    }

    #[tokio::test]
    async fn configurations_of_ones_own_are_asked_about_once() {
        let linear = json!({"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 25, "linearInterval": 2}});
        let canary = json!({"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 5, "canaryInterval": 9}});
        let table = [
            (
                200,
                json!({"trafficRoutingConfig": linear}),
                Some(Shifting::Linear { percent: 25, minutes: 2 }),
            ),
            (200, json!({"trafficRoutingConfig": canary}), Some(Shifting::Canary { percent: 5, minutes: 9 })),
            (200, json!({"trafficRoutingConfig": {"type": "AllAtOnce"}}), Some(Shifting::AllAtOnce)),
            (200, json!({"trafficRoutingConfig": {"type": "TimeBasedLinear"}}), None),
            (200, json!({"trafficRoutingConfig": {"type": "Unheard"}}), None),
            (400, json!({"__type": "AccessDeniedException", "message": "no"}), None),
        ];
        for (status, config, expected) in table {
            let mut stands = json!({"deploymentInfo": {"status": "InProgress", "deploymentConfigName": "team.own"}, "targetIds": ["f:live"]});
            if status == 200 {
                stands["deploymentConfigInfo"] = config.clone();
            }
            let body = if status == 200 { stands.clone() } else { config };
            let at = || target(25.0, ["Succeeded", "InProgress", "Pending"]);
            let look = [reply(&stands), reply(&stands), (status, body.to_string()), at()];
            // The second look does not ask about it.
            let again = [reply(&stands), reply(&stands), at()];
            let (_, account) = Script::start(look.into_iter().chain(again).collect()).await;
            let rollouts = Rollouts::new(&account);
            for _ in 0..2 {
                let seen = rollouts.look("d-1").await.unwrap();
                assert_eq!((seen.shifting, seen.weight), (expected, 25.0), "{stands}");
            }
        }
    }

    #[tokio::test]
    async fn a_deployment_without_a_target_is_one_that_has_only_begun() {
        let created = reply(&json!({"deploymentInfo": {"status": "Created"}, "targetIds": []}));
        let (_, account) = Script::start(vec![created.clone(), created]).await;
        let seen = Rollouts::new(&account).look("d-1").await.unwrap();
        assert_eq!((seen.status.as_str(), seen.events.len(), seen.is_over()), ("Created", 0, false));
    }

    /// The first two calls come in either order, so a refusal of the one may reach the other: the deployment is asked for
    /// by a stand-in that knows them apart.
    async fn not_started(list: &'static str, batch: &'static str) -> anyhow::Result<Deploying> {
        let app = axum::Router::new().fallback(move |headers: http::HeaderMap| async move {
            let target =
                headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let refusal = |code: &str| (400, json!({"__type": code, "message": "no"}));
            let (status, body) = match target.rsplit('.').next().unwrap_or_default() {
                "GetDeployment" => (200, json!({"deploymentInfo": {"status": "Created"}})),
                "ListDeploymentTargets" if list.is_empty() => (200, json!({"targetIds": ["f:live"]})),
                "ListDeploymentTargets" => refusal(list),
                _ => refusal(batch),
            };
            (http::StatusCode::from_u16(status).unwrap(), body.to_string())
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let account = Account::at(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Rollouts::new(&account).look("d-1").await
    }

    #[tokio::test]
    async fn a_deployment_that_has_not_started_has_only_not_begun() {
        for (list, batch) in [(NOT_STARTED, NOT_STARTED), ("", NOT_STARTED)] {
            let seen = not_started(list, batch).await.unwrap();
            assert_eq!((seen.status.as_str(), seen.events.len(), seen.is_over()), ("Created", 0, false));
        }
        for (list, batch) in [("AccessDeniedException", ""), ("", "AccessDeniedException")] {
            let error = not_started(list, batch).await.unwrap_err().to_string();
            assert!(error.contains("AccessDeniedException"), "{error}");
        }
    }

    #[tokio::test]
    async fn refusals_and_throttling_name_the_group() {
        for code in ["ThrottlingException", "AccessDeniedException"] {
            let refusal = (400, json!({"__type": code, "message": "no"}).to_string());
            let (_, account) = Script::start(vec![refusal; 12]).await;
            let group = Group { application: "a".into(), name: "g".into() };
            let error = Rollouts::new(&account).deployments(&group, 0).await.unwrap_err().to_string();
            assert!(error.contains('g') && error.contains(code), "{error}");
        }
    }
}
