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
