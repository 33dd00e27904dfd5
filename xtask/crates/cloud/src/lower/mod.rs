//! The translation for the emulator: from a plain template to one that it accepts, plus a record of what was taken out.
//!
//! A pure function. What the emulator refuses (a pipeline, a connection, a deployment group …) becomes an inert resource of
//! the same name, so that change sets, events and dependencies stay true; the front puts the real type back into answers.
//! An alias whose `UpdatePolicy` names a deployment group, whoever wrote it, becomes a [`TrafficShift`] for the rollout
//! engine; a wait condition holds the stack's update until the engine has decided, so that the emulator itself rolls back.

/// What the emulator is given of a template's policies, for whoever compares the two: statements and conditions that it could not
/// evaluate have another form there.
pub fn policies(template: &mut Value) {
    unknown_keys::drop(template);
    principal::extend(template);
}

#[cfg(test)]
mod expanded;
mod principal;
pub(crate) mod stand_in;
mod unknown_keys;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What lowering needs to know about the local cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The endpoint that functions reach AWS at.
    pub endpoint: String,
    /// The certificates that functions trust, a path.
    pub bundle: String,
    /// `x86_64` or `arm64`: what the functions were built for.
    pub architecture: String,
}

/// A template that the emulator accepts, and what was taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The template to submit.
    pub template: Value,
    /// The real types of resources that are inert in it, by logical id.
    pub types: BTreeMap<String, String>,
    /// Aliases whose traffic is shifted.
    pub shifts: Vec<TrafficShift>,
    /// The logical id of the wait condition, where there is something to shift.
    pub gate: Option<String>,
}

/// An alias whose traffic CodeDeploy shifts to a new version.
///
/// Source: CloudFormation user guide, "UpdatePolicy attribute", `CodeDeployLambdaAliasUpdate`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficShift {
    /// The alias's logical id.
    pub alias: String,
    /// The alias's properties, intrinsic functions and all.
    pub properties: Value,
    /// Its `CodeDeployLambdaAliasUpdate`: application, group and hooks.
    pub policy: Value,
}

impl TrafficShift {
    /// The logical id of the function whose alias it is, where the same template has it.
    pub fn function_id(&self) -> Option<&str> {
        let named = self.properties.get("FunctionName")?;
        match (named.get("Ref"), named.get("Fn::GetAtt")) {
            (Some(id), _) => id.as_str(),
            (_, Some(Value::Array(parts))) => parts.first()?.as_str(),
            (_, Some(Value::String(path))) => path.split('.').next(),
            _ => None,
        }
    }
}

/// The prefix of the logical ids that lowering adds.
pub(crate) const GATE: &str = "CausewayGate";

/// Translates a plain template. `parameters` are the stack's, so that an update that only changes one of them is held by a
/// gate of its own.
pub(crate) fn lower(plain: &Value, parameters: &BTreeMap<String, String>, target: &Target) -> Lowered {
    let mut template = plain.clone();
    let shifts = take_shifts(&mut template);
    functions(&mut template, target);
    let types = stand_in::replace(&mut template);
    policies(&mut template);
    let gate = (!shifts.is_empty()).then(|| add_gate(&mut template, &shifts, parameters));
    Lowered { template, types, shifts, gate }
}

/// Takes the update policy off every alias that has one.
fn take_shifts(template: &mut Value) -> Vec<TrafficShift> {
    let mut shifts = Vec::new();
    for (alias, resource) in resources(template) {
        if resource.get("Type").and_then(Value::as_str) != Some("AWS::Lambda::Alias") {
            continue;
        }
        let Some(resource) = resource.as_object_mut() else { continue };
        let policy = resource.shift_remove("UpdatePolicy");
        if let Some(policy) = policy.and_then(|policy| policy.get("CodeDeployLambdaAliasUpdate").cloned()) {
            let properties = resource.get("Properties").cloned().unwrap_or(Value::Null);
            shifts.push(TrafficShift { alias: alias.clone(), properties, policy });
        }
    }
    shifts
}

/// The variables from which runtimes and SDKs read whom to trust: OpenSSL, and with it Go, Ruby and .NET; botocore and
/// the CLI; Node.js, which takes it besides its own; requests. The bundle has the authorities of this machine, too.
///
/// Source: "AWS SDKs and Tools Reference Guide", `AWS_CA_BUNDLE`; "Node.js CLI", `NODE_EXTRA_CA_CERTS`; "Requests: SSL Cert
/// Verification", `REQUESTS_CA_BUNDLE`.
const TRUST: [&str; 4] = ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"];

/// Functions run on this machine and reach AWS through the front.
fn functions(template: &mut Value, target: &Target) {
    let mut own = json!({"AWS_ENDPOINT_URL": target.endpoint});
    for name in TRUST {
        own[name] = target.bundle.clone().into();
    }
    for (_, resource) in resources(template) {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        if kind != "AWS::Lambda::Function" {
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
fn add_gate(template: &mut Value, shifts: &[TrafficShift], parameters: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    digest.update(template.to_string());
    digest.update(Value::from_iter(parameters.iter().map(|(k, v)| (k.clone(), v.clone()))).to_string());
    for shift in shifts {
        digest.update(shift.policy.to_string());
    }
    let digest = hex::encode(digest.finalize());
    let gate = format!("{GATE}{}", &digest[..12]);
    let handle = format!("{gate}Handle");
    let after: Vec<Value> = resources(template).map(|(name, _)| Value::from(name.clone())).collect();
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
    use causeway_model::template;

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

    const APP: &str = "Resources:\n  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Code: {S3Bucket: b, S3Key: k}\n      Environment: {Variables: {A: b}}\n\
         \x20 Live:\n    Type: AWS::Lambda::Alias\n    UpdatePolicy: {CodeDeployLambdaAliasUpdate: {DeploymentGroupName: !Ref Group, BeforeAllowTrafficHook: !Ref Pre}}\n\
         \x20   Properties: {Name: live, FunctionName: !Ref F}\n  Group:\n    Type: AWS::CodeDeploy::DeploymentGroup\n    Properties: {ApplicationName: app}\n";

    #[test]
    fn an_update_policy_becomes_a_shift_behind_a_gate_whoever_wrote_it() {
        let mut lowered = lowered(APP);
        assert_eq!(lowered.shifts.len(), 1);
        assert_eq!(lowered.shifts[0].alias, "Live");
        assert_eq!(lowered.shifts[0].policy["BeforeAllowTrafficHook"], json!({"Ref": "Pre"}));
        assert_eq!(lowered.types["Group"], "AWS::CodeDeploy::DeploymentGroup");
        let gate = lowered.gate.clone().unwrap();
        let text = lowered.template.to_string().replace(&gate, "Gate");
        lowered.template = serde_json::from_str(&text).unwrap();
        assert_json_snapshot!(lowered.template["Resources"], @r#"
        {
          "F": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
              "Code": {
                "S3Bucket": "b",
                "S3Key": "k"
              },
              "Environment": {
                "Variables": {
                  "A": "b",
                  "AWS_ENDPOINT_URL": "https://127.0.0.1:1",
                  "SSL_CERT_FILE": "/b.pem",
                  "AWS_CA_BUNDLE": "/b.pem",
                  "NODE_EXTRA_CA_CERTS": "/b.pem",
                  "REQUESTS_CA_BUNDLE": "/b.pem"
                }
              },
              "Architectures": [
                "x86_64"
              ]
            }
          },
          "Live": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
              "Name": "live",
              "FunctionName": {
                "Ref": "F"
              }
            }
          },
          "Group": {
            "Type": "AWS::CDK::Metadata",
            "Properties": {
              "Type": "AWS::CodeDeploy::DeploymentGroup",
              "Properties": {
                "ApplicationName": "app"
              }
            }
          },
          "GateHandle": {
            "Type": "AWS::CloudFormation::WaitConditionHandle"
          },
          "Gate": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "DependsOn": [
              "F",
              "Live",
              "Group"
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
        "#);
    }

    /// What CDK synthesized (`crates/testing/fixtures`): both aliases are shifted, behind their hooks, by their own groups.
    #[test]
    fn what_cdk_synthesized_is_shifted() {
        let lowered = lowered(include_str!("../../../testing/fixtures/cdk.json"));
        assert!(lowered.gate.is_some());
        let name = |shift: &TrafficShift| shift.function_id().map(|id| id[..id.len() - 8].to_owned());
        assert_eq!(lowered.shifts.iter().filter_map(name).collect::<Vec<_>>(), ["Orders", "Bills"]);
        for shift in &lowered.shifts {
            assert_eq!(shift.policy["BeforeAllowTrafficHook"], json!({"Ref": "Before9295B271"}));
            assert_eq!(shift.policy["AfterAllowTrafficHook"], json!({"Ref": "After270C2031"}));
            let group = shift.policy["DeploymentGroupName"]["Ref"].as_str().unwrap();
            assert_eq!(lowered.types[group], "AWS::CodeDeploy::DeploymentGroup");
            let config =
                &lowered.template["Resources"][group]["Properties"]["Properties"]["DeploymentConfigName"];
            assert_eq!(config, "CodeDeployDefault.LambdaCanary10Percent5Minutes");
        }
    }

    #[test]
    fn an_alias_without_an_update_policy_moves_at_once() {
        let plain = APP.replace("CodeDeployLambdaAliasUpdate", "SomethingElse");
        assert_eq!(lowered(&plain).gate, None);
    }

    #[test]
    fn the_gate_is_the_same_for_the_same_input_only() {
        let template = template::parse(APP).unwrap().to_json();
        let gate = |value: &str| {
            lower(&template, &BTreeMap::from([("P".into(), value.into())]), &target()).gate.unwrap()
        };
        assert_eq!(gate("1"), gate("1"));
        assert_ne!(gate("1"), gate("2"));
        let other = lowered(&APP.replace("S3Key: k", "S3Key: l")).gate;
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
            "Resources: {F: {Type: AWS::Lambda::Alias, Properties: 1, UpdatePolicy: 3}}",
            "Resources: {F: {Type: AWS::Lambda::Function, Properties: {Environment: {Variables: x}}}}",
        ] {
            lowered(text);
        }
    }
}
