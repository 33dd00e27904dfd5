//! Which resource of a plain template waits for which, and whether some wait for each other.
//!
//! CloudFormation refuses a circle before it makes anything. References in an `UpdatePolicy` count: an alias waits for the
//! deployment group that its policy names, and for the hooks. A dependency behind `Fn::If` counts where it is chosen.
//!
//! Source: CloudFormation user guide, "Understand CloudFormation stack creation events" and "DependsOn attribute"; that
//! `UpdatePolicy` counts is seen in serverless-plugin-canary-deployments 127, aws-cdk 2231 and 13922.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use serde_json::Value;

use super::eval::single;

/// Parts of a resource that refer to others. `Metadata` may as well, and CloudFormation evaluates it.
const PARTS: [&str; 5] = ["Properties", "UpdatePolicy", "CreationPolicy", "Metadata", "DependsOn"];

/// The groups of resources that wait for each other, each sorted by logical id; a resource that refers to itself is one.
///
/// `holds` says whether a condition of the template holds; `None` where that is not known, and then both ways count.
pub fn circles(template: &Value, holds: &dyn Fn(&str) -> Option<bool>) -> Vec<Vec<String>> {
    let all = template.get("Resources").and_then(Value::as_object);
    let exists = |resource: &Value| {
        let condition = resource.get("Condition").and_then(Value::as_str);
        condition.is_none_or(|condition| holds(condition) != Some(false))
    };
    let resources: BTreeMap<&str, &Value> = all
        .into_iter()
        .flatten()
        .filter(|(_, resource)| exists(resource))
        .map(|(id, resource)| (id.as_str(), resource))
        .collect();
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for (id, resource) in &resources {
        graph.add_node(id);
        for other in named(resource, holds) {
            if let Some((other, _)) = resources.get_key_value(other.as_str()) {
                graph.add_edge(id, other, ());
            }
        }
    }
    let groups = tarjan_scc(&graph).into_iter();
    let mut circles: Vec<Vec<String>> = groups
        .filter(|group| group.len() > 1 || group.iter().any(|id| graph.contains_edge(id, id)))
        .map(|group| {
            let mut ids: Vec<String> = group.into_iter().map(ToOwned::to_owned).collect();
            ids.sort();
            ids
        })
        .collect();
    circles.sort();
    circles
}

/// The complaint about a circle, in CloudFormation's words.
pub fn circular(ids: &[String]) -> String {
    format!("Circular dependency between resources: [{}]", ids.join(", "))
}

/// What is referred to and is nothing of the template, in CloudFormation's words. It looks at both ways of `Fn::If`, and at
/// resources that are not made, too.
///
/// Source: CloudFormation's own words; "Troubleshooting CloudFormation" has them below "Template format error".
pub fn unresolved(template: &Value) -> Option<String> {
    let section = |name: &str| template.get(name).and_then(Value::as_object);
    let known = |name: &str| {
        name.starts_with("AWS::")
            || ["Resources", "Parameters"]
                .iter()
                .any(|one| section(one).is_some_and(|all| all.contains_key(name)))
    };
    let either = |_: &str| None;
    let mut of_outputs = BTreeSet::new();
    section("Outputs")
        .into_iter()
        .flatten()
        .for_each(|(_, output)| references(output, &either, &mut of_outputs));
    let of_resources =
        section("Resources").into_iter().flatten().flat_map(|(_, one)| named(one, &either)).collect();
    [("Resources", of_resources), ("Outputs", of_outputs)].into_iter().find_map(|(block, names): (_, BTreeSet<String>)| {
        let open: Vec<String> = names.into_iter().filter(|name| !known(name)).collect();
        (!open.is_empty()).then(|| {
            format!(
                "Template format error: Unresolved resource dependencies [{}] in the {block} block of the template",
                open.join(", ")
            )
        })
    })
}

/// Every logical id that a resource refers to, `DependsOn` included.
fn named(resource: &Value, holds: &dyn Fn(&str) -> Option<bool>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for part in PARTS {
        match resource.get(part) {
            Some(Value::String(other)) if part == "DependsOn" => {
                named.insert(other.clone());
            }
            Some(Value::Array(others)) if part == "DependsOn" => {
                named.extend(others.iter().filter_map(Value::as_str).map(ToOwned::to_owned));
            }
            Some(value) => references(value, holds, &mut named),
            None => {}
        }
    }
    named
}

/// Every logical id that a value refers to.
fn references(value: &Value, holds: &dyn Fn(&str) -> Option<bool>, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, holds, found)),
        Value::Object(map) => match single(map) {
            Some((name, argument)) => call(name, argument, holds, found),
            None => map.values().for_each(|item| references(item, holds, found)),
        },
        _ => {}
    }
}

fn call(name: &str, argument: &Value, holds: &dyn Fn(&str) -> Option<bool>, found: &mut BTreeSet<String>) {
    match (name, argument) {
        ("Ref", Value::String(id)) => {
            found.insert(id.clone());
        }
        ("Fn::GetAtt", Value::String(path)) => found.extend(path.split('.').next().map(ToOwned::to_owned)),
        ("Fn::GetAtt", Value::Array(parts)) => {
            found.extend(parts.first().and_then(Value::as_str).map(ToOwned::to_owned));
            parts.iter().skip(1).for_each(|part| references(part, holds, found));
        }
        ("Fn::Sub", Value::String(text)) => found.extend(variables(text)),
        ("Fn::Sub", Value::Array(parts)) => {
            let own = parts.get(1).and_then(Value::as_object);
            let text = parts.first().and_then(Value::as_str).unwrap_or_default();
            found.extend(variables(text).filter(|name| !own.is_some_and(|own| own.contains_key(name))));
            parts.iter().skip(1).for_each(|part| references(part, holds, found));
        }
        ("Fn::If", Value::Array(parts)) => {
            let decided = parts.first().and_then(Value::as_str).and_then(holds);
            for (part, way) in parts.iter().skip(1).zip([true, false]) {
                if decided.is_none_or(|decided| decided == way) {
                    references(part, holds, found);
                }
            }
        }
        (_, value) => references(value, holds, found),
    }
}

/// The resources that the text of a `Fn::Sub` names.
fn variables(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split("${").skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name.trim()));
    parts
        .filter(|name| !name.starts_with('!'))
        .filter_map(|name| name.split('.').next().map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn found(resources: &str) -> Vec<Vec<String>> {
        let text = format!("Resources:\n{resources}");
        let template = parse(&text).unwrap().to_json();
        circles(&template, &|name| match name {
            "Yes" => Some(true),
            "No" => Some(false),
            _ => None,
        })
    }

    #[test]
    fn what_is_nothing_of_the_template_is_named() {
        let said = |block: &str, names: &str| {
            Some(format!(
                "Template format error: Unresolved resource dependencies [{names}] in the {block} block of the template"
            ))
        };
        let head =
            "Parameters: {P: {Type: String}}\nConditions: {No: !Equals [a, b]}\nResources:\n  T: {Type: A}\n";
        for (more, expected) in [
            (
                "  B: {Type: A, Properties: {A: !Ref T, B: !Ref P, C: !Ref AWS::Region, D: !Sub '${T.Arn}${P}${AWS::Partition}${!None}'}}",
                None,
            ),
            ("  B: {Type: A, Properties: {A: !Sub ['${X}${T}', {X: !GetAtt T.A}]}}", None),
            ("  B: {Type: A, Properties: {A: !Ref Gone}}", said("Resources", "Gone")),
            (
                "  B: {Type: A, Properties: {A: [!GetAtt Gone.Arn, !Sub 'a${Off.Arn}']}}",
                said("Resources", "Gone, Off"),
            ),
            ("  B: {Type: A, Properties: {A: !Sub ['${X}${Gone}', {X: 1}]}}", said("Resources", "Gone")),
            ("  B: {Type: A, DependsOn: Gone}", said("Resources", "Gone")),
            ("  B: {Type: A, DependsOn: [T, Gone]}", said("Resources", "Gone")),
            (
                "  B: {Type: A, UpdatePolicy: {CodeDeployLambdaAliasUpdate: {ApplicationName: !Ref Gone}}}",
                said("Resources", "Gone"),
            ),
            ("  B: {Type: A, Condition: No, Properties: {A: !Ref Gone}}", said("Resources", "Gone")),
            ("  B: {Type: A, Properties: {A: !If [No, !Ref Gone, !Ref T]}}", said("Resources", "Gone")),
            ("  B: {Type: A, Properties: {A: !If [No, !Ref AWS::NoValue, !Ref T]}}", None),
            ("Outputs: {O: {Value: !GetAtt Gone.Arn}}", said("Outputs", "Gone")),
            ("Outputs: {O: {Value: !Ref T, Export: {Name: !Sub '${P}-${Gone}'}}}", said("Outputs", "Gone")),
            ("  B: {Type: A, Properties: {Ref: !Ref T, A: {Ref: x, Other: y}}}", None),
        ] {
            let template = parse(&format!("{head}{more}")).unwrap().to_json();
            assert_eq!(unresolved(&template), expected, "{more}");
        }
    }

    #[test]
    fn every_kind_of_reference_counts() {
        for way in [
            "Properties: {P: !Ref B}",
            "Properties: {P: [{Q: !GetAtt B.Arn}]}",
            "Properties: {P: {Fn::GetAtt: [B, Arn]}}",
            "Properties: {P: !Sub 'x-${B}'}",
            "Properties: {P: !Sub '${B.Arn}'}",
            "Properties: {P: !Sub ['${X}', {X: !Ref B}]}",
            "Properties: {P: !If [Yes, !Ref B, 1]}",
            "Properties: {P: !If [No, 1, !Ref B]}",
            "Properties: {P: !If [Unknown, 1, !Ref B]}",
            "DependsOn: B",
            "DependsOn: [C, B]",
            "UpdatePolicy: {CodeDeployLambdaAliasUpdate: {DeploymentGroupName: !Ref B}}",
            "Metadata: {M: !Ref B}",
        ] {
            let circle = found(&format!(
                "  A: {{Type: T, {way}}}\n  B: {{Type: T, DependsOn: A}}\n  C: {{Type: T}}\n"
            ));
            assert_eq!(circle, [["A", "B"]], "{way}");
        }
        assert_eq!(found("  A: {Type: T, Properties: {P: !GetAtt A.Arn}}\n"), [["A"]]);
    }

    #[test]
    fn what_is_no_reference_does_not_count() {
        for way in [
            "Properties: {P: B}",
            "Properties: {P: !Sub '${!B}'}",
            "Properties: {P: !Sub ['${B}', {B: 1}]}",
            "Properties: {P: !If [No, !Ref B, 1]}",
            "Condition: No, Properties: {P: !Ref B}",
            "Properties: {P: !Ref Missing}",
        ] {
            let circle = found(&format!("  A: {{Type: T, {way}}}\n  B: {{Type: T, DependsOn: A}}\n"));
            assert_eq!(circle, Vec::<Vec<String>>::new(), "{way}");
        }
    }

    #[test]
    fn circles_are_told_in_cloudformations_words() {
        assert_eq!(circular(&["A".into(), "B".into()]), "Circular dependency between resources: [A, B]");
    }
}
