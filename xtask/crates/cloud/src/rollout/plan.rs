//! What a stack's update shifts, read from its template: functions, versions, configurations, hooks, alarms.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::Rollout;
use crate::alias::{self, Held};
use crate::cloud::Cloud;
use crate::ledger::{Record, StackKey};
use crate::lower::stand_in;
use crate::resources::Resources;
use causeway_model::rollout::Shifting;

/// What is to be shifted: every function with a deployment preference whose alias the new template leads to another version
/// than before.
///
/// # Errors
/// The emulator does not answer, or a preference cannot be evaluated.
pub(super) async fn plan(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    held: &Held,
) -> anyhow::Result<Vec<Rollout>> {
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    let mut all = Vec::new();
    for shift in &record.lowered.shifts {
        let Some((function, alias, old)) = held.aliases.get(&shift.alias).cloned() else { continue };
        // An alias of another name or function is another alias, which leads where it was made to lead.
        if resources.shifting(&cloud.emulator, key, record, shift)? != Some((function.clone(), alias.clone()))
        {
            continue;
        }
        let wanted = alias::hold(cloud, &key.0, &function, &alias, &held.owner).await?;
        let Some(new) = wanted.map(|wanted| wanted.version).filter(|new| *new != old) else { continue };
        let policy = resources.eval(&cloud.emulator, key, record, &shift.policy)?;
        let text = |name: &str| policy.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let name = text("DeploymentGroupName").unwrap_or_default();
        let group = group(cloud, key, record, &resources, &name).await?;
        all.push(Rollout {
            cloud: Arc::clone(cloud),
            key: key.clone(),
            id: format!("d-{}", &uuid::Uuid::new_v4().simple().to_string()[..9].to_uppercase()),
            short: function.strip_prefix(&format!("{}-", key.1)).unwrap_or(&function).to_owned(),
            function,
            alias,
            old,
            new,
            shifting: group.shifting,
            config: group.config,
            application: text("ApplicationName").unwrap_or_default(),
            group: name,
            before: text("BeforeAllowTrafficHook"),
            after: text("AfterAllowTrafficHook"),
            alarms: group.alarms,
            begun: OnceLock::new(),
            late: Arc::default(),
        });
    }
    Ok(all)
}

/// What a deployment group says of its deployments.
struct Group {
    config: String,
    shifting: Shifting,
    alarms: Vec<String>,
}

/// A deployment group by its name: of this stack, else of any stack of the account.
///
/// # Errors
/// No template here has it, or it says something that cannot be evaluated.
async fn group(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    resources: &Resources,
    name: &str,
) -> anyhow::Result<Group> {
    if let Some(found) = group_in(cloud, key, record, resources, name)? {
        return Ok(found);
    }
    for (other, record) in cloud.ledger.all(&key.0) {
        let resources = Resources::of(&cloud.emulator, &other).await?.unwrap_or_default();
        if let Some(found) = group_in(cloud, &other, &record, &resources, name)? {
            return Ok(found);
        }
    }
    anyhow::bail!("No Deployment Group found for name: {name}")
}

/// The group of that name, where a stack's template has it.
fn group_in(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
    resources: &Resources,
    name: &str,
) -> anyhow::Result<Option<Group>> {
    let definitions = record.plain.get("Resources").and_then(Value::as_object).into_iter().flatten();
    for (id, definition) in definitions {
        let own = || resources.eval(&cloud.emulator, key, record, &json!({"Ref": id}));
        if definition.get("Type").is_none_or(|kind| kind != "AWS::CodeDeploy::DeploymentGroup")
            || own()? != name
        {
            continue;
        }
        let part = |name: &str| {
            let value = definition.pointer(&format!("/Properties/{name}")).unwrap_or(&Value::Null);
            resources.eval(&cloud.emulator, key, record, value)
        };
        // Without one it is all at once: "Create a deployment group (CLI)" for Lambda.
        let config = part("DeploymentConfigName")?;
        let config = config.as_str().unwrap_or("CodeDeployDefault.LambdaAllAtOnce").to_owned();
        let alarms = part("AlarmConfiguration")?;
        let enabled = alarms.get("Enabled").is_some_and(|enabled| *enabled == true || *enabled == "true");
        let names = alarms.get("Alarms").and_then(Value::as_array).into_iter().flatten();
        let names = names.filter_map(|alarm| alarm.get("Name")?.as_str()).filter(|_| enabled);
        return Ok(Some(Group {
            shifting: shifting(resources, cloud, key, record, &config)?,
            config,
            alarms: names.map(ToOwned::to_owned).collect(),
        }));
    }
    Ok(None)
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
    let definitions = record.plain.get("Resources").and_then(Value::as_object).into_iter().flatten();
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
        // A reference gives the name, made up or given.
        let named = resources.eval(&cloud.emulator, key, record, &json!({"Ref": id}))?;
        if named == config {
            return Ok(Shifting::custom(&properties)?);
        }
    }
    Ok(known?)
}

/// The alarms of a stack that nobody evaluates here, by name, and why: composite ones and those of metric math, which the emulator
/// does not have.
///
/// # Errors
/// The emulator does not answer, or a name cannot be evaluated.
pub(super) async fn unevaluated(
    cloud: &Cloud,
    key: &StackKey,
    record: &Record,
) -> anyhow::Result<BTreeMap<String, &'static str>> {
    let definitions = record.plain.get("Resources").and_then(Value::as_object).into_iter().flatten();
    let alarms: Vec<(&String, &'static str)> =
        definitions.filter_map(|(id, definition)| Some((id, stand_in::unevaluated(definition)?))).collect();
    if alarms.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    let mut names = BTreeMap::new();
    for (id, why) in alarms {
        let name = resources.eval(&cloud.emulator, key, record, &json!({"Ref": id}))?;
        if let Some(name) = name.as_str() {
            names.insert(name.to_owned(), why);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::edge_stub::{ACCOUNT, STACK};
    use crate::happenings::What;
    use crate::lower::{Lowered, TrafficShift};
    use crate::stub_emulator::{Answer, Emulator};

    /// A deployed stack with a function, a configuration and alarms of its own; the function's alias leads to version 2.
    async fn emulator() -> Emulator {
        Emulator::start(|asked, before| {
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
                        Some("fine") => json!([{"AlarmName": "fine", "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Dimensions": [{"Name": "FunctionName", "Value": "f"}], "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}]),
                        Some("math") => json!([{"AlarmName": "math", "Metrics": [{"Id": "m", "Expression": "a/b"}]}]),
                        _ => json!([]),
                    };
                    Answer::new(200, &json!({"MetricAlarms": alarm}).to_string())
                }
                _ => asked.alias(before).unwrap_or_else(|| Answer::new(200, "<R/>")),
            })
        })
        .await
    }

    /// A stack as SAM makes it, or CDK, or a person: an alias whose update policy names a group. `group` is the group's properties.
    fn record(group: Value) -> Record {
        let linear = json!({"Type": "TimeBasedLinear", "TimeBasedLinear": {"LinearPercentage": 25, "LinearInterval": 2}});
        let canary = json!({"Type": "TimeBasedCanary", "TimeBasedCanary": {"CanaryPercentage": 50, "CanaryInterval": 1}});
        let kind = "AWS::CodeDeploy::DeploymentConfig";
        Record {
            original: String::new(),
            plain: json!({"Resources": {
                "Function": {"Type": "AWS::Lambda::Function", "Properties": {}},
                "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
                "Half": {"Type": kind, "Properties": {"TrafficRoutingConfig": linear}},
                "Named": {"Type": kind, "Properties": {"DeploymentConfigName": {"Fn::Sub": "${AWS::StackName}.quick"}, "TrafficRoutingConfig": canary}},
                "Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "x"}},
            }}),
            transformed: false,
            parameters: BTreeMap::new(),
            lowered: Lowered {
                template: Value::Null,
                types: BTreeMap::new(),
                shifts: vec![TrafficShift {
                    alias: "Live".into(),
                    properties: json!({"FunctionName": {"Ref": "Function"}, "Name": "live"}),
                    policy: json!({"ApplicationName": "app", "DeploymentGroupName": {"Ref": "Group"}}),
                }],
                gate: None,
            },
            code: Default::default(),
        }
    }

    fn old(version: &str) -> Held {
        let alias = ("bench-checkin".to_owned(), "live".to_owned(), version.to_owned());
        Held { owner: "o".to_owned(), aliases: BTreeMap::from([("Live".to_owned(), alias)]) }
    }

    #[tokio::test]
    async fn configurations_are_found_by_reference_and_by_name() {
        let emulator = emulator().await;
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), STACK.to_owned()));
        let planned = async |group: Value, from: &str| plan(&cloud, &key, &record(group), &old(from)).await;
        let linear = Shifting::Linear { percent: 25, minutes: 2 };
        let canary = Shifting::Canary { percent: 50, minutes: 1 };
        for (kind, name, shifting) in [
            (json!({"Ref": "Half"}), "bench-Half", linear),
            (json!({"Ref": "Named"}), "bench.quick", canary),
            (json!({"Fn::Sub": "${AWS::StackName}.quick"}), "bench.quick", canary),
            (
                json!("Canary10Percent5Minutes"),
                "CodeDeployDefault.LambdaCanary10Percent5Minutes",
                Shifting::Canary { percent: 10, minutes: 5 },
            ),
            (Value::Null, "CodeDeployDefault.LambdaAllAtOnce", Shifting::AllAtOnce),
        ] {
            let found = planned(json!({"DeploymentConfigName": kind}), "1").await.unwrap();
            let described = found[0].described();
            assert_eq!((described.config.as_str(), described.shifting), (name, shifting));
            assert_eq!(
                (described.old.as_str(), described.new.as_str(), found[0].short.as_str()),
                ("1", "2", "checkin")
            );
        }
        let unknown = planned(json!({"DeploymentConfigName": "bench-other"}), "1").await.err().unwrap();
        assert!(format!("{unknown:#}").contains("bench-other"), "{unknown:#}");
        assert!(planned(json!({}), "2").await.unwrap().is_empty(), "nothing moved");
    }

    #[tokio::test]
    async fn a_group_is_found_wherever_it_is_deployed_and_its_alarms_count_where_they_are_enabled() {
        let emulator = emulator().await;
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), STACK.to_owned()));
        let alarms =
            |enabled: bool| json!({"AlarmConfiguration": {"Enabled": enabled, "Alarms": [{"Name": "fine"}]}});
        for (enabled, expected) in [(true, vec!["fine"]), (false, vec![])] {
            let mut record = record(alarms(enabled));
            record.lowered.shifts[0].policy["BeforeAllowTrafficHook"] = json!("pre");
            let found = plan(&cloud, &key, &record, &old("1")).await.unwrap();
            assert_eq!(found[0].alarms, expected);
            assert_eq!((found[0].group.as_str(), found[0].application.as_str()), ("bench-Group", "app"));
            assert_eq!((found[0].before.as_deref(), found[0].after.as_deref()), (Some("pre"), None));
        }
        let mut elsewhere = record(json!({}));
        elsewhere.lowered.shifts[0].policy = json!({"DeploymentGroupName": "theirs"});
        let missing = plan(&cloud, &key, &elsewhere, &old("1")).await.err().unwrap();
        assert!(format!("{missing:#}").contains("No Deployment Group found for name: theirs"), "{missing:#}");
        let theirs = record(
            json!({"DeploymentGroupName": "theirs", "DeploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent5Minutes"}),
        );
        cloud.ledger.set_current(&(ACCOUNT.to_owned(), "other".to_owned()), Some(Arc::new(theirs)));
        let found = plan(&cloud, &key, &elsewhere, &old("1")).await.unwrap();
        assert_eq!(found[0].shifting, Shifting::Canary { percent: 10, minutes: 5 });
    }

    #[tokio::test]
    async fn alarms_that_nobody_evaluates_are_told_once_each() {
        let emulator = emulator().await;
        let (cloud, key) = (emulator.cloud(), (ACCOUNT.to_owned(), STACK.to_owned()));
        let alarms = json!([{"Name": "fine"}, {"Name": "math"}, {"Name": "gone"}, {"Name": {"Ref": "Both"}}]);
        let record = record(json!({"AlarmConfiguration": {"Enabled": true, "Alarms": alarms}}));
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
        for (name, why) in [("bench-Both", "composite"), ("gone", "no such alarm"), ("math", "metric math")] {
            assert!(
                told.iter().any(|t| t.contains(&format!("alarm {name} ")) && t.contains(why)),
                "{name}: {told:?}"
            );
        }
    }
}
