//! What a stack's update shifts, read from its template: functions, versions, configurations, hooks, alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::Rollout;
use crate::local::cloud::Cloud;
use crate::local::ledger::{Record, StackKey};
use crate::local::operation::alias_version;
use crate::local::resources::Resources;
use crate::model::rollout::Shifting;

/// What is to be shifted: every function with a deployment preference whose alias leads to another version than before.
///
/// # Errors
/// The emulator does not answer, or a preference cannot be evaluated.
pub(super) async fn plan(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    old: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<Rollout>> {
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    let mut all = Vec::new();
    for shift in &record.lowered.shifts {
        let (Some(old), Some(function)) = (old.get(&shift.function), resources.physical(&shift.function))
        else {
            continue;
        };
        let Some(new) = alias_version(cloud, &key.0, function, &shift.alias).await? else { continue };
        if new == *old {
            continue;
        }
        let preference = resources.eval(&cloud.emulator, key, record, &shift.preference)?;
        if preference.get("Enabled").is_some_and(|enabled| enabled == false || enabled == "false") {
            continue;
        }
        let text = |path: &str| preference.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        let config = text("/Type").unwrap_or_else(|| "AllAtOnce".to_owned());
        let alarms = preference.get("Alarms").map(|alarms| alarms.get("List").unwrap_or(alarms));
        let alarms = alarms.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        all.push(Rollout {
            cloud: Arc::clone(cloud),
            key: key.clone(),
            id: format!("d-{}", &uuid::Uuid::new_v4().simple().to_string()[..9].to_uppercase()),
            short: function.strip_prefix(&format!("{}-", key.1)).unwrap_or(function).to_owned(),
            function: function.to_owned(),
            alias: shift.alias.clone(),
            old: old.clone(),
            new,
            shifting: shifting(&resources, cloud, key, record, &config)?,
            config,
            group: format!("{}-{}DeploymentGroup", key.1, shift.function),
            before: text("/Hooks/PreTraffic"),
            after: text("/Hooks/PostTraffic"),
            alarms: alarms.map(ToOwned::to_owned).collect(),
            begun: OnceLock::new(),
        });
    }
    Ok(all)
}

/// A configuration by its name: AWS's own, or one that the stack defines.
fn shifting(
    resources: &Resources,
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    config: &str,
) -> anyhow::Result<Shifting> {
    let known = Shifting::parse(config);
    if let Ok(shifting) = &known {
        return Ok(*shifting);
    }
    let definitions = record.long.get("Resources").and_then(Value::as_object).into_iter().flatten();
    for (id, definition) in definitions {
        if definition.get("Type").and_then(Value::as_str) != Some("AWS::CodeDeploy::DeploymentConfig") {
            continue;
        }
        let properties = resources.eval(
            &cloud.emulator,
            key,
            record,
            definition.get("Properties").unwrap_or(&Value::Null),
        )?;
        let named = properties.get("DeploymentConfigName").and_then(Value::as_str).map(ToOwned::to_owned);
        // A reference gives the inert resource's own id, a name the name.
        let physical = resources.physical(id).unwrap_or_default();
        if [named.as_deref().unwrap_or_default(), physical, &format!("{}-{id}", key.1)].contains(&config) {
            return Ok(Shifting::custom(&properties)?);
        }
    }
    Ok(known?)
}

/// What a stack's composite alarms are called: by a reference, which gives the inert resource's own id, or by name.
///
/// # Errors
/// The emulator does not answer, or a name cannot be evaluated.
pub(super) async fn composites(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
) -> anyhow::Result<BTreeSet<String>> {
    let definitions = record.long.get("Resources").and_then(Value::as_object).into_iter().flatten();
    let composites: Vec<(&String, &Value)> = definitions
        .filter(|(_, definition)| {
            definition.get("Type").is_some_and(|kind| kind == "AWS::CloudWatch::CompositeAlarm")
        })
        .collect();
    if composites.is_empty() {
        return Ok(BTreeSet::new());
    }
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    let mut names = BTreeSet::new();
    for (id, definition) in composites {
        names.extend(resources.physical(id).map(ToOwned::to_owned));
        if let Some(name) = definition.pointer("/Properties/AlarmName") {
            let name = resources.eval(&cloud.emulator, key, record, name)?;
            names.extend(name.as_str().map(ToOwned::to_owned));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::local::edge_stub::{ACCOUNT, STACK};
    use crate::local::happenings::What;
    use crate::local::lower::{Lowered, Shift};
    use crate::local::stub_emulator::{Answer, Emulator};

    /// A deployed stack with a function, a configuration and alarms of its own; the function's alias leads to version 2.
    async fn emulator() -> Emulator {
        Emulator::start(|asked, _| {
            let member = |id: &str, kind: &str, physical: &str| {
                format!("<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>{kind}</ResourceType><PhysicalResourceId>{physical}</PhysicalResourceId></member>")
            };
            Some(match asked.action().as_str() {
                "DescribeStackResources" => {
                    let members = [
                        member("Function", "AWS::Lambda::Function", "bench-checkin"),
                        member("Half", "AWS::CDK::Metadata", "bench-Half-1A2B"),
                        member("Named", "AWS::CDK::Metadata", "bench-Named-3C4D"),
                        member("Both", "AWS::CDK::Metadata", "bench-Both-5E6F"),
                    ];
                    Answer::new(200, &format!("<R><DescribeStackResourcesResult><StackResources>{}</StackResources></DescribeStackResourcesResult></R>", members.concat()))
                }
                "DescribeAlarms" => {
                    let body: Value = serde_json::from_str(&asked.body).unwrap();
                    let alarm = match body["AlarmNames"][0].as_str() {
                        Some("fine") => json!([{"AlarmName": "fine", "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}]),
                        Some("math") => json!([{"AlarmName": "math", "Metrics": [{"Id": "m", "Expression": "a/b"}]}]),
                        _ => json!([]),
                    };
                    Answer::new(200, &json!({"MetricAlarms": alarm}).to_string())
                }
                _ => Answer::new(200, r#"{"FunctionVersion": "2"}"#),
            })
        })
        .await
    }

    fn record(preference: Value) -> Record {
        let linear = json!({"Type": "TimeBasedLinear", "TimeBasedLinear": {"LinearPercentage": 25, "LinearInterval": 2}});
        let canary = json!({"Type": "TimeBasedCanary", "TimeBasedCanary": {"CanaryPercentage": 50, "CanaryInterval": 1}});
        let kind = "AWS::CodeDeploy::DeploymentConfig";
        Record {
            original: String::new(),
            long: json!({"Resources": {
                "Function": {"Type": "AWS::Serverless::Function", "Properties": {}},
                "Half": {"Type": kind, "Properties": {"TrafficRoutingConfig": linear}},
                "Named": {"Type": kind, "Properties": {"DeploymentConfigName": {"Fn::Sub": "${AWS::StackName}.quick"}, "TrafficRoutingConfig": canary}},
                "Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "x"}},
            }}),
            parameters: BTreeMap::new(),
            lowered: Lowered {
                template: Value::Null,
                types: BTreeMap::new(),
                shifts: vec![Shift { function: "Function".into(), alias: "live".into(), preference }],
                gate: None,
            },
        }
    }

    fn old(version: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("Function".to_owned(), version.to_owned())])
    }

    #[tokio::test]
    async fn configurations_are_found_by_reference_and_by_name() {
        let emulator = emulator().await;
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), STACK.to_owned()));
        let planned =
            async |preference: Value, from: &str| plan(&cloud, &key, &record(preference), &old(from)).await;
        let linear = Shifting::Linear { percent: 25, minutes: 2 };
        let canary = Shifting::Canary { percent: 50, minutes: 1 };
        for (kind, name, shifting) in [
            (json!({"Ref": "Half"}), "bench-Half-1A2B", linear),
            (json!({"Ref": "Named"}), "bench-Named-3C4D", canary),
            (json!({"Fn::Sub": "${AWS::StackName}.quick"}), "bench.quick", canary),
            (
                json!("Canary10Percent5Minutes"),
                "CodeDeployDefault.LambdaCanary10Percent5Minutes",
                Shifting::Canary { percent: 10, minutes: 5 },
            ),
            (Value::Null, "CodeDeployDefault.LambdaAllAtOnce", Shifting::AllAtOnce),
        ] {
            let found = planned(json!({"Type": kind}), "1").await.unwrap();
            let described = found[0].described();
            assert_eq!((described.config.as_str(), described.shifting), (name, shifting));
            assert_eq!(
                (described.old.as_str(), described.new.as_str(), found[0].short.as_str()),
                ("1", "2", "checkin")
            );
        }
        let unknown = planned(json!({"Type": "bench-other"}), "1").await.err().unwrap();
        assert!(format!("{unknown:#}").contains("bench-other"), "{unknown:#}");
        assert!(planned(json!({"Type": "AllAtOnce", "Enabled": false}), "1").await.unwrap().is_empty());
        assert!(planned(json!({"Type": "AllAtOnce"}), "2").await.unwrap().is_empty(), "nothing moved");
    }

    #[tokio::test]
    async fn alarms_that_nobody_evaluates_are_told_once_each() {
        let emulator = emulator().await;
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), STACK.to_owned()));
        let alarms = json!(["fine", "math", "gone", {"Ref": "Both"}]);
        let record = record(json!({"Type": "AllAtOnce", "Alarms": alarms}));
        assert_eq!(super::super::run(&cloud, &key, &record, &old("1")).await, Ok(()));
        let told: Vec<String> = cloud
            .happenings
            .after(0, false)
            .await
            .into_iter()
            .filter_map(|happening| match happening.what {
                What::Warning { message } => Some(message),
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (name, why) in
            [("bench-Both-5E6F", "composite"), ("gone", "no such alarm"), ("math", "metric math")]
        {
            assert!(
                told.iter().any(|t| t.contains(&format!("alarm {name} ")) && t.contains(why)),
                "{name}: {told:?}"
            );
        }
    }
}
