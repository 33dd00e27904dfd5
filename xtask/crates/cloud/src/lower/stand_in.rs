//! Resources that the emulator refuses become inert ones of the same name, and references to them become the names
//! they would have.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::resources;
use causeway_model::template::Pseudo;

/// The inert type. It takes any property, does nothing, and its changes show up in change sets.
pub(crate) const INERT: &str = "AWS::CDK::Metadata";

/// A type that the emulator refuses.
#[derive(Clone, Copy)]
struct Refused {
    resource_type: &'static str,
    /// The property that names it, a pointer without its first slash.
    name: &'static str,
    /// Its ARN, with `{name}` for the name and `{service}` for the service; what `Ref` gives where `ref_is_arn`.
    arn: &'static str,
    ref_is_arn: bool,
}

/// Every type of CloudFormation's registry that the emulator does not know, and whether `Ref` gives an ARN
/// (`xtask/data/inert-types.py` makes the list).
static UNKNOWN: LazyLock<BTreeMap<&'static str, bool>> = LazyLock::new(|| {
    let lines = include_str!("../../../../data/inert-types.txt").lines();
    lines.map(|line| line.strip_suffix(" arn").map_or((line, false), |kind| (kind, true))).collect()
});

impl Refused {
    fn arn(&self) -> String {
        let service = self.resource_type.split("::").nth(1).unwrap_or_default().to_ascii_lowercase();
        self.arn.replace("{service}", &service)
    }
}

const METRIC_ALARM: &str = "AWS::CloudWatch::Alarm";

const REFUSED: [Refused; 12] = [
    Refused {
        resource_type: "AWS::CodePipeline::Pipeline",
        name: "Name",
        arn: "arn:${AWS::Partition}:codepipeline:${AWS::Region}:${AWS::AccountId}:{name}",
        ref_is_arn: false,
    },
    Refused {
        resource_type: "AWS::CodeDeploy::Application",
        name: "ApplicationName",
        arn: "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:application:{name}",
        ref_is_arn: false,
    },
    Refused {
        resource_type: "AWS::CodeDeploy::DeploymentConfig",
        name: "DeploymentConfigName",
        arn: "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentconfig:{name}",
        ref_is_arn: false,
    },
    Refused {
        resource_type: "AWS::CodeDeploy::DeploymentGroup",
        name: "DeploymentGroupName",
        arn: "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:{name}",
        ref_is_arn: false,
    },
    Refused {
        resource_type: "AWS::IAM::Group",
        name: "GroupName",
        arn: "arn:${AWS::Partition}:iam::${AWS::AccountId}:group/{name}",
        ref_is_arn: false,
    },
    Refused {
        resource_type: "AWS::CodeConnections::Connection",
        name: "ConnectionName",
        arn: "arn:${AWS::Partition}:codeconnections:${AWS::Region}:${AWS::AccountId}:connection/{name}",
        ref_is_arn: true,
    },
    Refused {
        resource_type: "AWS::CodeStarConnections::Connection",
        name: "ConnectionName",
        arn: "arn:${AWS::Partition}:codestar-connections:${AWS::Region}:${AWS::AccountId}:connection/{name}",
        ref_is_arn: true,
    },
    Refused {
        resource_type: "AWS::CodeBuild::ReportGroup",
        name: "Name",
        arn: "arn:${AWS::Partition}:codebuild:${AWS::Region}:${AWS::AccountId}:report-group/{name}",
        ref_is_arn: true,
    },
    Refused {
        resource_type: "AWS::CloudWatch::CompositeAlarm",
        name: "AlarmName",
        arn: "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:{name}",
        ref_is_arn: false,
    },
    // Only one of metric math: see `refused`.
    Refused {
        resource_type: METRIC_ALARM,
        name: "AlarmName",
        arn: "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:{name}",
        ref_is_arn: false,
    },
    // Both stand for the state machine itself, so what starts one by its alias runs what was deployed last.
    Refused {
        resource_type: "AWS::StepFunctions::StateMachineVersion",
        name: "StateMachineArn",
        arn: "{name}",
        ref_is_arn: true,
    },
    Refused {
        resource_type: "AWS::StepFunctions::StateMachineAlias",
        name: "DeploymentPreference/StateMachineVersionArn",
        arn: "{name}",
        ref_is_arn: true,
    },
];

/// What the emulator refuses of this definition, where it does. Of alarms it has those of one metric. Of most other types nothing
/// more is known than that they are AWS's: they get a name that CloudFormation could have made up.
fn refused(definition: &Value) -> Option<Refused> {
    let kind = definition.get("Type").and_then(Value::as_str)?;
    let has_math = || definition.pointer("/Properties/Metrics").is_some_and(|metrics| !metrics.is_null());
    if let Some(refused) = REFUSED.iter().find(|refused| refused.resource_type == kind) {
        return (kind != METRIC_ALARM || has_math()).then_some(*refused);
    }
    let (resource_type, ref_is_arn) = UNKNOWN.get_key_value(kind)?;
    let arn = "arn:${AWS::Partition}:{service}:${AWS::Region}:${AWS::AccountId}:{name}";
    Some(Refused { resource_type, name: "", arn, ref_is_arn: *ref_is_arn })
}

/// Whether a definition is one of an alarm that nobody evaluates here: a composite one, or one of metric math; and why.
pub(crate) fn unevaluated(definition: &Value) -> Option<&'static str> {
    match refused(definition)?.resource_type {
        METRIC_ALARM => Some("it rests on metric math"),
        "AWS::CloudWatch::CompositeAlarm" => Some("it is a composite alarm"),
        _ => None,
    }
}

/// Where a resource is named in its properties. An alias of a state machine without a preference names versions with weights.
fn named<'a>(refused: &Refused, properties: &'a Value) -> Option<&'a Value> {
    if refused.name.is_empty() {
        return None;
    }
    properties
        .pointer(&format!("/{}", refused.name))
        .or_else(|| properties.pointer("/RoutingConfiguration/0/StateMachineVersionArn"))
}

/// What `Ref` of a refused resource gives. `eval` evaluates the property that names it.
pub(crate) fn physical_id(
    definition: &Value,
    logical_id: &str,
    pseudo: &Pseudo,
    eval: impl Fn(&Value) -> Option<Value>,
) -> Option<String> {
    let refused = refused(definition)?;
    let given = definition.get("Properties").and_then(|properties| eval(named(&refused, properties)?));
    let given = given.and_then(|name| name.as_str().map(ToOwned::to_owned));
    let name = given.unwrap_or_else(|| format!("{}-{logical_id}", pseudo.stack_name));
    if !refused.ref_is_arn {
        return Some(name);
    }
    let fields = [
        ("${AWS::Partition}", &pseudo.partition),
        ("${AWS::Region}", &pseudo.region),
        ("${AWS::AccountId}", &pseudo.account_id),
        ("{name}", &name),
    ];
    Some(fields.iter().fold(refused.arn(), |text, (from, to)| text.replace(from, to)))
}

/// What stands for a reference.
#[derive(Clone)]
struct Named {
    name: Value,
    arn: Value,
    ref_is_arn: bool,
}

/// Makes refused resources inert and replaces references to them. Returns their real types.
pub(super) fn replace(template: &mut Value) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let mut named = BTreeMap::new();
    for (logical_id, resource) in resources(template) {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(refused) = refused(resource) else { continue };
        let properties = resource.get("Properties").cloned().unwrap_or_else(|| json!({}));
        let name = self::named(&refused, &properties)
            .cloned()
            .unwrap_or_else(|| json!({"Fn::Sub": format!("${{AWS::StackName}}-{logical_id}")}));
        named.insert(logical_id.clone(), of(&refused, name));
        types.insert(logical_id.clone(), kind.clone());
        if let Some(map) = resource.as_object_mut() {
            map.insert("Type".into(), INERT.into());
            map.insert("Properties".into(), json!({"Type": kind, "Properties": properties}));
        }
    }
    if !named.is_empty() {
        // A name may be made of another one's.
        let known = named.clone();
        for own in named.values_mut() {
            references(&mut own.name, &known);
            references(&mut own.arn, &known);
        }
        references(template, &named);
    }
    types
}

fn of(refused: &Refused, name: Value) -> Named {
    let text = refused.arn().replace("{name}", "${CausewayName}");
    let arn = json!({"Fn::Sub": [text, {"CausewayName": name.clone()}]});
    Named { name, arn, ref_is_arn: refused.ref_is_arn }
}

impl Named {
    fn reference(&self) -> &Value {
        if self.ref_is_arn { &self.arn } else { &self.name }
    }

    fn attribute(&self, attribute: &str) -> &Value {
        if attribute.ends_with("Arn") { &self.arn } else { &self.name }
    }
}

fn references(value: &mut Value, named: &BTreeMap<String, Named>) {
    if let Some(new) = replacement(value, named) {
        *value = new;
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| references(item, named)),
        Value::Object(map) => map.values_mut().for_each(|item| references(item, named)),
        _ => {}
    }
}

fn replacement(value: &Value, named: &BTreeMap<String, Named>) -> Option<Value> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    let (function, argument) = map.iter().next()?;
    match function.as_str() {
        "Ref" => named.get(argument.as_str()?).map(|named| named.reference().clone()),
        "Fn::GetAtt" => {
            let (resource, attribute) = match argument {
                Value::String(path) => path.split_once('.')?,
                Value::Array(parts) => (parts.first()?.as_str()?, parts.get(1)?.as_str()?),
                _ => return None,
            };
            named.get(resource).map(|named| named.attribute(attribute).clone())
        }
        "Fn::Sub" => sub(argument, named),
        _ => None,
    }
}

/// `${Pipeline}` in a `Fn::Sub` becomes a variable of it.
fn sub(argument: &Value, named: &BTreeMap<String, Named>) -> Option<Value> {
    let (text, mut variables) = match argument {
        Value::String(text) => (text.clone(), Map::new()),
        Value::Array(parts) => (parts.first()?.as_str()?.to_owned(), parts.get(1)?.as_object()?.clone()),
        _ => return None,
    };
    let before = variables.len();
    let mut new_text = String::new();
    let mut rest = text.as_str();
    while let Some((head, tail)) = rest.split_once("${") {
        new_text.push_str(head);
        let (reference, after) = tail.split_once('}')?;
        rest = after;
        let resource = reference.split('.').next().unwrap_or(reference);
        let found = named.get(resource).filter(|_| !variables.contains_key(reference));
        let variable = match found {
            Some(named) => {
                let variable: String = reference.chars().filter(|c| *c != '.').collect();
                let value = match reference.split_once('.') {
                    Some((_, attribute)) => named.attribute(attribute),
                    None => named.reference(),
                };
                variables.insert(variable.clone(), value.clone());
                Cow::Owned(variable)
            }
            None => Cow::Borrowed(reference),
        };
        new_text.push_str("${");
        new_text.push_str(&variable);
        new_text.push('}');
    }
    new_text.push_str(rest);
    (variables.len() > before).then(|| json!({"Fn::Sub": [new_text, variables]}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::template;

    #[test]
    fn references_become_names() {
        let mut value = template::parse(
            "Resources:\n  P:\n    Type: AWS::CodePipeline::Pipeline\n    Properties: {Name: !Sub '${Project}-x'}\n  C:\n    Type: AWS::CodeConnections::Connection\n\
             \x20 G: {Type: AWS::IAM::Group}\n  T:\n    Type: AWS::SNS::Topic\n    Properties:\n      A: !Ref P\n      B: !Ref C\n      D: !GetAtt C.ConnectionArn\n      E: !Sub 'to-${P}-${G.Arn}'\n      F: !Ref Other\n      H: !Ref D\n  D: {Type: AWS::CodeDeploy::DeploymentGroup}\n",
        )
        .unwrap()
        .to_json();
        let types = replace(&mut value);
        assert_eq!(types.len(), 4);
        let properties = &value["Resources"]["T"]["Properties"];
        let name = json!({"Fn::Sub": "${Project}-x"});
        assert_eq!(properties["A"], name);
        let connection = json!({"Fn::Sub": ["arn:${AWS::Partition}:codeconnections:${AWS::Region}:${AWS::AccountId}:connection/${CausewayName}", {"CausewayName": {"Fn::Sub": "${AWS::StackName}-C"}}]});
        assert_eq!(properties["B"], connection);
        assert_eq!(properties["D"], connection);
        let group = json!({"Fn::Sub": ["arn:${AWS::Partition}:iam::${AWS::AccountId}:group/${CausewayName}", {"CausewayName": {"Fn::Sub": "${AWS::StackName}-G"}}]});
        assert_eq!(properties["E"], json!({"Fn::Sub": ["to-${P}-${GArn}", {"P": name, "GArn": group}]}));
        assert_eq!(properties["F"], json!({"Ref": "Other"}));
        assert_eq!(properties["H"], json!({"Fn::Sub": "${AWS::StackName}-D"}));
    }

    /// Whatever type of AWS's the emulator does not know: none of them stops a stack.
    #[test]
    fn a_type_of_aws_that_the_emulator_does_not_know_is_inert() {
        let kinds = [
            "AWS::Route53::RecordSetGroup",
            "AWS::MSK::Cluster",
            "AWS::EC2::Instance",
            "AWS::AmazonMQ::Broker",
            "AWS::Lambda::CapacityProvider",
            "AWS::Lambda::CodeSigningConfig",
            "AWS::ApiGateway::DomainNameV2",
            "AWS::AppSync::DomainName",
            "AWS::Location::PlaceIndex",
            "AWS::Bedrock::Agent",
        ];
        for kind in kinds {
            let text = format!(
                "Resources:\n  R: {{Type: '{kind}', Properties: {{Deep: {{A: 1}}}}}}\n  T:\n    Type: AWS::SNS::Topic\n    Properties: {{A: !Ref R, B: !GetAtt R.Deep.Arn, C: !Sub '${{R.Other}}-${{R}}-${{!R}}-${{AWS::Region}}'}}\n"
            );
            let mut value = template::parse(&text).unwrap().to_json();
            assert_eq!(replace(&mut value), BTreeMap::from([("R".to_owned(), kind.to_owned())]));
            assert_eq!(value["Resources"]["R"]["Type"], INERT);
            let service = kind.split("::").nth(1).unwrap().to_lowercase();
            let (name, properties) =
                (json!({"Fn::Sub": "${AWS::StackName}-R"}), &value["Resources"]["T"]["Properties"]);
            let arn = json!({"Fn::Sub": [format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:${{CausewayName}}"), {"CausewayName": name}]});
            assert_eq!(properties["B"], arn, "{kind}");
            let own = if UNKNOWN[kind] { &arn } else { &name };
            assert_eq!(properties["A"], *own, "{kind}");
            assert_eq!(
                properties["C"],
                json!({"Fn::Sub": ["${ROther}-${R}-${!R}-${AWS::Region}", {"ROther": name, "R": own}]}),
                "{kind}"
            );
        }
        let mut typo = template::parse("Resources: {R: {Type: AWS::SNS::Topik}}").unwrap().to_json();
        assert!(replace(&mut typo).is_empty(), "what AWS does not know either is refused");
    }

    /// As SAM makes them of a state machine with `AutoPublishAlias`, and as somebody writes them.
    #[test]
    fn versions_and_aliases_of_a_state_machine_stand_for_the_machine() {
        for by in [
            "DeploymentPreference: {StateMachineVersionArn: !Ref V, Type: CANARY}",
            "RoutingConfiguration: [{StateMachineVersionArn: !Ref V, Weight: 100}]",
        ] {
            let text = format!(
                "Resources:\n  M: {{Type: AWS::StepFunctions::StateMachine}}\n  V:\n    Type: AWS::StepFunctions::StateMachineVersion\n    Properties: {{StateMachineArn: !Ref M}}\n\
                 \x20 A:\n    Type: AWS::StepFunctions::StateMachineAlias\n    Properties: {{Name: live, {by}}}\n  T:\n    Type: AWS::SNS::Topic\n    Properties: {{A: !Ref A, B: !GetAtt A.Arn, C: !Ref V}}\n"
            );
            let mut value = template::parse(&text).unwrap().to_json();
            assert_eq!(replace(&mut value).len(), 2);
            let of = |inner: &Value| json!({"Fn::Sub": ["${CausewayName}", {"CausewayName": inner}]});
            let version = of(&json!({"Ref": "M"}));
            let properties = &value["Resources"]["T"]["Properties"];
            assert_eq!(properties["C"], version);
            assert_eq!((&properties["A"], &properties["B"]), (&of(&version), &of(&version)));
        }
    }
}
