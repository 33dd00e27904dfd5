//! Lowering: from the template that is deployed to one that the emulator accepts, plus a record of what was taken out.
//!
//! A pure function. What the emulator refuses (a pipeline, a connection, a group …) becomes an inert resource of the
//! same name, so that change sets, events and dependencies stay true; the front puts the real type back into answers.
//! `DeploymentPreference` is taken out before SAM is expanded and becomes a [`Shift`] for the rollout engine; a wait
//! condition holds the stack's update until the engine has decided, so that the emulator itself rolls back.

mod principal;
pub(crate) mod stand_in;
mod unknown_keys;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What lowering needs to know about the local cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The endpoint that functions reach AWS at.
    pub(crate) endpoint: String,
    /// The certificates that functions trust, a path.
    pub(crate) bundle: String,
    /// `x86_64` or `arm64`: what the functions were built for.
    pub(crate) architecture: String,
}

/// A template that the emulator accepts, and what was taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lowered {
    /// The template to submit.
    pub(crate) template: Value,
    /// The real types of resources that are inert in it, by logical id.
    pub(crate) types: BTreeMap<String, String>,
    /// Functions whose traffic is shifted.
    pub(crate) shifts: Vec<Shift>,
    /// The logical id of the wait condition, where there is something to shift.
    pub(crate) gate: Option<String>,
}

/// A function whose traffic is shifted to a new version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shift {
    /// The function's logical id.
    pub(crate) function: String,
    /// The alias that moves.
    pub(crate) alias: String,
    /// Its `DeploymentPreference`, intrinsic functions and all.
    pub(crate) preference: Value,
}

/// The prefix of the logical ids that lowering adds.
pub(crate) const GATE: &str = "CausewayGate";

/// Lowers a template in long form. `parameters` are the stack's, so that an update that only changes one of them
/// is held by a gate of its own.
pub(crate) fn lower(original: &Value, parameters: &BTreeMap<String, String>, target: &Target) -> Lowered {
    let mut template = original.clone();
    let globals =
        original.get("Globals").and_then(|globals| globals.get("Function")).cloned().unwrap_or(Value::Null);
    let mut shifts = take_shifts(&mut template, &globals);
    shifts.retain(|shift| is_enabled(&shift.preference, original, parameters));
    functions(&mut template, target);
    let types = stand_in::replace(&mut template, &shifts);
    unknown_keys::drop(&mut template);
    principal::extend(&mut template);
    let gate = (!shifts.is_empty()).then(|| add_gate(&mut template, &shifts, parameters));
    Lowered { template, types, shifts, gate }
}

/// Takes `DeploymentPreference` out of every function and out of `Globals`.
fn take_shifts(template: &mut Value, globals: &Value) -> Vec<Shift> {
    if let Some(globals) = template.pointer_mut("/Globals/Function").and_then(Value::as_object_mut) {
        globals.shift_remove("DeploymentPreference");
    }
    let mut shifts = Vec::new();
    for (name, resource) in resources(template) {
        if resource.get("Type").and_then(Value::as_str) != Some("AWS::Serverless::Function") {
            continue;
        }
        let Some(properties) = resource.get_mut("Properties").and_then(Value::as_object_mut) else {
            continue;
        };
        let own = properties.shift_remove("DeploymentPreference");
        let preference = merged(globals.get("DeploymentPreference"), own.as_ref());
        let alias = properties.get("AutoPublishAlias").or_else(|| globals.get("AutoPublishAlias"));
        if let (Some(preference), Some(alias)) = (preference, alias.and_then(Value::as_str)) {
            shifts.push(Shift { function: name.clone(), alias: alias.to_owned(), preference });
        }
    }
    shifts
}

/// Whether a preference is in force. SAM takes a parameter there, whose actual value counts; without one it is.
fn is_enabled(preference: &Value, template: &Value, parameters: &BTreeMap<String, String>) -> bool {
    let enabled = preference.get("Enabled").unwrap_or(&Value::Null);
    let named = enabled.get("Ref").and_then(Value::as_str);
    let default = |name: &str| template.pointer(&format!("/Parameters/{name}/Default")).cloned();
    let actual = match named {
        Some(name) => parameters.get(name).map(|text| Value::from(text.as_str())).or_else(|| default(name)),
        None => Some(enabled.clone()),
    };
    !actual.is_some_and(|value| value == false || value == "false" || value == "False")
}

/// A function's own settings over those of `Globals`, as SAM merges maps.
fn merged(global: Option<&Value>, own: Option<&Value>) -> Option<Value> {
    match (global, own) {
        (Some(Value::Object(global)), Some(Value::Object(own))) => {
            let mut all = global.clone();
            all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
            Some(Value::Object(all))
        }
        (global, own) => own.or(global).cloned(),
    }
}

/// Functions run on this machine and reach AWS through the front.
fn functions(template: &mut Value, target: &Target) {
    let own = json!({"AWS_ENDPOINT_URL": target.endpoint, "SSL_CERT_FILE": target.bundle});
    if let Some(globals) = template.pointer_mut("/Globals/Function").and_then(Value::as_object_mut)
        && globals.contains_key("Architectures")
    {
        globals.insert("Architectures".into(), json!([target.architecture]));
    }
    for (_, resource) in resources(template) {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "AWS::Serverless::Function" | "AWS::Lambda::Function") {
            continue;
        }
        let Some(properties) = resource.get_mut("Properties").and_then(Value::as_object_mut) else {
            continue;
        };
        properties.insert("Architectures".into(), json!([target.architecture]));
        let environment = properties.entry("Environment").or_insert_with(|| json!({}));
        if !environment.get("Variables").is_some_and(Value::is_object) && environment.is_object() {
            environment["Variables"] = json!({});
        }
        if let (Some(variables), Value::Object(own)) =
            (environment.get_mut("Variables").and_then(Value::as_object_mut), &own)
        {
            variables.extend(own.clone());
        }
    }
}

/// A wait condition after everything else. Its name changes with the template and the parameters, since a wait
/// condition only waits when it is created.
fn add_gate(template: &mut Value, shifts: &[Shift], parameters: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    digest.update(template.to_string());
    digest.update(Value::from_iter(parameters.iter().map(|(k, v)| (k.clone(), v.clone()))).to_string());
    for shift in shifts {
        digest.update(shift.preference.to_string());
    }
    let digest = hex::encode(digest.finalize());
    let gate = format!("{GATE}{}", &digest[..12]);
    let handle = format!("{gate}Handle");
    let mut after: Vec<Value> = resources(template).map(|(name, _)| Value::from(name.clone())).collect();
    // SAM's name for an alias: the function's, `Alias`, the alias's.
    after.extend(shifts.iter().map(|shift| Value::from(format!("{}Alias{}", shift.function, shift.alias))));
    if let Some(all) = template.get_mut("Resources").and_then(Value::as_object_mut) {
        all.insert(handle.clone(), json!({"Type": "AWS::CloudFormation::WaitConditionHandle"}));
        let properties = json!({"Handle": {"Ref": handle}, "Timeout": "43200", "Count": 1});
        all.insert(
            gate.clone(),
            json!({"Type": "AWS::CloudFormation::WaitCondition", "DependsOn": after, "Properties": properties}),
        );
    }
    gate
}

/// Every resource definition.
fn resources(template: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    let all = template.get_mut("Resources").and_then(Value::as_object_mut);
    all.into_iter().flat_map(Map::iter_mut).filter(|(_, resource)| resource.is_object())
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;
    use crate::model::template;

    fn target() -> Target {
        Target {
            endpoint: "https://127.0.0.1:1".into(),
            bundle: "/b.pem".into(),
            architecture: "x86_64".into(),
        }
    }

    fn lowered(text: &str) -> Lowered {
        lower(&template::parse(text).unwrap().to_json(), &BTreeMap::new(), &target())
    }

    const APP: &str = "Transform: AWS::Serverless-2016-10-31\nGlobals:\n  Function:\n    Architectures: [arm64]\n    AutoPublishAlias: live\n\
         Resources:\n  CheckinFunction:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: s3://b/k\n      Environment: {Variables: {A: b}}\n\
         \x20     DeploymentPreference: {Type: !Ref Kind, Hooks: {PreTraffic: !Ref Pre}}\n  Table:\n    Type: AWS::DynamoDB::Table\n";

    #[test]
    fn a_deployment_preference_becomes_a_shift_behind_a_gate() {
        let mut lowered = lowered(APP);
        assert_eq!(lowered.shifts.len(), 1);
        assert_eq!(lowered.shifts[0].alias, "live");
        assert_eq!(lowered.shifts[0].preference["Type"], json!({"Ref": "Kind"}));
        let gate = lowered.gate.clone().unwrap();
        let text = lowered.template.to_string().replace(&gate, "Gate");
        lowered.template = serde_json::from_str(&text).unwrap();
        assert_json_snapshot!(lowered.template, @r#"
        {
          "Transform": "AWS::Serverless-2016-10-31",
          "Globals": {
            "Function": {
              "Architectures": [
                "x86_64"
              ],
              "AutoPublishAlias": "live"
            }
          },
          "Resources": {
            "CheckinFunction": {
              "Type": "AWS::Serverless::Function",
              "Properties": {
                "CodeUri": "s3://b/k",
                "Environment": {
                  "Variables": {
                    "A": "b",
                    "AWS_ENDPOINT_URL": "https://127.0.0.1:1",
                    "SSL_CERT_FILE": "/b.pem"
                  }
                },
                "Architectures": [
                  "x86_64"
                ]
              }
            },
            "Table": {
              "Type": "AWS::DynamoDB::Table"
            },
            "GateHandle": {
              "Type": "AWS::CloudFormation::WaitConditionHandle"
            },
            "Gate": {
              "Type": "AWS::CloudFormation::WaitCondition",
              "DependsOn": [
                "CheckinFunction",
                "Table",
                "CheckinFunctionAliaslive"
              ],
              "Properties": {
                "Handle": {
                  "Ref": "GateHandle"
                },
                "Timeout": "43200",
                "Count": 1
              }
            }
          }
        }
        "#);
    }

    #[test]
    fn a_preference_that_a_parameter_turns_off_leaves_a_plain_alias() {
        let text = APP.replace("DeploymentPreference: {Type", "DeploymentPreference: {Enabled: !Ref P, Type");
        assert_ne!(text, APP);
        let with = |default: &str, given: Option<&str>| {
            let head = format!("Parameters:\n  P: {{Type: String, Default: '{default}'}}\n");
            let template = template::parse(&format!("{head}{text}")).unwrap().to_json();
            let given = given.map(|value| ("P".to_owned(), value.to_owned())).into_iter().collect();
            let lowered = lower(&template, &given, &target());
            (lowered.shifts.len(), lowered.gate.is_some())
        };
        assert_eq!(with("true", None), (1, true));
        assert_eq!(with("true", Some("false")), (0, false));
        assert_eq!(with("false", None), (0, false));
        assert_eq!(with("false", Some("true")), (1, true));
    }

    #[test]
    fn the_gate_is_the_same_for_the_same_input_only() {
        let template = template::parse(APP).unwrap().to_json();
        let gate = |value: &str| {
            lower(&template, &BTreeMap::from([("P".into(), value.into())]), &target()).gate.unwrap()
        };
        assert_eq!(gate("1"), gate("1"));
        assert_ne!(gate("1"), gate("2"));
        let other = lowered(&APP.replace("s3://b/k", "s3://b/l")).gate;
        assert_ne!(lowered(APP).gate, other);
    }

    #[test]
    fn a_template_without_functions_only_loses_what_is_refused() {
        let lowered = lowered(
            "Resources:\n  T: {Type: AWS::SNS::Topic}\n  G:\n    Type: AWS::IAM::Group\n    Properties: {GroupName: g}\n",
        );
        assert_eq!(lowered.gate, None);
        assert_eq!(lowered.types, BTreeMap::from([("G".to_owned(), "AWS::IAM::Group".to_owned())]));
        assert_eq!(lowered.template["Resources"]["G"]["Type"], "AWS::CDK::Metadata");
    }

    #[test]
    fn malformed_templates_do_not_panic() {
        for text in [
            "Resources: 3",
            "Resources: {A: 1, B: {Type: 2}}",
            "A: 1",
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: 1}}",
            "Resources: {F: {Type: AWS::Lambda::Function, Properties: {Environment: {Variables: x}}}}",
        ] {
            lowered(text);
        }
    }
}
