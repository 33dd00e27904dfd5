//! What a rehearsal leaves out of a template that it deploys: stubs, what never fires, addresses that lead nowhere, alarms that nobody
//! evaluates, and rights that no proof covers. The reasons are data (`xtask/data/not-rehearsed.toml`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::judgement::NotRehearsed;

/// The data.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Data {
    types: BTreeMap<String, String>,
    stands_in: StandsIn,
    pipes: Pipes,
    metrics: Metrics,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StandsIn {
    types: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipes {
    sources: BTreeSet<String>,
    targets: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    measured: BTreeSet<String>,
}

static DATA: LazyLock<Data> =
    LazyLock::new(|| toml::from_str(include_str!("../../../data/not-rehearsed.toml")).unwrap_or_default());

/// The types whose handlers' calls `prove` knows.
static PROVED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let all: BTreeMap<String, toml::Value> =
        toml::from_str(include_str!("../../../data/resource-types.toml")).unwrap_or_default();
    all.into_keys().collect()
});

/// A deployed stack, as far as this looks at it.
pub struct Deployed<'a> {
    /// Its name.
    pub stack: &'a str,
    /// The plain template.
    pub plain: &'a Value,
    /// The real types of stubs, by logical id.
    pub stubs: &'a BTreeMap<String, String>,
    /// Whether a resource was made, by its logical id: conditions leave some out.
    pub made: &'a dyn Fn(&str) -> bool,
    /// A value with its functions evaluated; `None` where that cannot be.
    pub value: &'a dyn Fn(&Value) -> Option<Value>,
}

/// What is left out of stacks, in the order of the templates; what several have alike is told once, with all their names.
pub fn omitted(stacks: &[Deployed<'_>]) -> Vec<NotRehearsed> {
    let mut order: Vec<(String, String)> = Vec::new();
    let mut whose: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for deployed in stacks {
        for entry in of_stack(deployed) {
            if !whose.contains_key(&entry) {
                order.push(entry.clone());
            }
            let stacks = whose.entry(entry).or_default();
            if !stacks.contains(&deployed.stack) {
                stacks.push(deployed.stack);
            }
        }
    }
    let told = order.into_iter().map(|entry| {
        let stacks = whose.get(&entry).map(|all| all.join(", ")).unwrap_or_default();
        NotRehearsed { what: format!("{} of {stacks}", entry.0), why: entry.1 }
    });
    told.collect()
}

/// What and why.
fn of_stack(deployed: &Deployed<'_>) -> Vec<(String, String)> {
    let resources = deployed.plain.get("Resources").and_then(Value::as_object);
    let mut told = Vec::new();
    let mut unproved = BTreeSet::new();
    for (id, definition) in resources.into_iter().flatten().filter(|(id, _)| (deployed.made)(id)) {
        let kind = definition.get("Type").and_then(Value::as_str).unwrap_or_default();
        let nothing = Value::Null;
        let properties = definition.get("Properties").unwrap_or(&nothing);
        if let Some(why) = reason(kind, properties, deployed.stubs.contains_key(id), deployed.value) {
            told.push((format!("{kind} {id}"), why));
        }
        let ours = kind.starts_with("Custom::") || kind.starts_with("AWS::CloudFormation::");
        if !ours && !kind.is_empty() && !PROVED.contains(kind) {
            unproved.insert(kind);
        }
    }
    if !unproved.is_empty() {
        let kinds: Vec<&str> = unproved.into_iter().collect();
        let why = "prove knows these types by AWS's schemas alone, if at all: they name the calls that make one, but not on what, so nobody has shown that the execution role may make them";
        told.push((format!("the rights to make {}", kinds.join(", ")), why.to_owned()));
    }
    told
}

/// Why a resource does less here than on AWS.
fn reason(
    kind: &str,
    properties: &Value,
    is_stub: bool,
    value: &dyn Fn(&Value) -> Option<Value>,
) -> Option<String> {
    if let Some(why) = DATA.types.get(kind) {
        return Some(why.clone());
    }
    match kind {
        "AWS::CloudWatch::Alarm" => return alarm(properties, value),
        "AWS::Pipes::Pipe" => {
            let of = |name: &str| {
                let arn = properties.get(name).and_then(value)?;
                Some(arn.as_str()?.split(':').nth(2)?.to_owned())
            };
            let known = |name: &str, all: &BTreeSet<String>| of(name).is_some_and(|one| all.contains(&one));
            let fires = known("Source", &DATA.pipes.sources) && known("Target", &DATA.pipes.targets);
            return (!fires).then(|| "the pipe is made, and carries nothing here".to_owned());
        }
        "AWS::ApiGatewayV2::Api" => {
            let protocol = properties.get("ProtocolType").and_then(value);
            return (protocol.as_ref().and_then(Value::as_str) == Some("WEBSOCKET"))
                .then(|| "nothing serves a WebSocket API here: its address leads nowhere".to_owned());
        }
        _ => {}
    }
    (is_stub && !DATA.stands_in.types.contains(kind))
        .then(|| "it is a stub: the local cloud makes nothing of it".to_owned())
}

/// Why nobody evaluates an alarm here.
fn alarm(properties: &Value, value: &dyn Fn(&Value) -> Option<Value>) -> Option<String> {
    let has = |name: &str| properties.get(name).is_some_and(|one| !one.is_null());
    let never = "so it never stops a deployment";
    if has("ThresholdMetricId") {
        return Some(format!("nobody evaluates anomaly detection here, {never}"));
    }
    if has("Metrics") {
        return Some(format!("nobody evaluates metric math here, {never}"));
    }
    let namespace = properties.get("Namespace").and_then(value)?;
    let namespace = namespace.as_str().filter(|name| name.starts_with("AWS/"))?;
    (!DATA.metrics.measured.contains(namespace))
        .then(|| format!("metrics of {namespace} are not measured here, {never}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    fn told_of(resources: &str, stubs: &[(&str, &str)], missing: &[&str]) -> Vec<(String, String)> {
        let plain = parse(&format!("Resources:\n{resources}")).unwrap().to_json();
        let stubs = stubs.iter().map(|(id, kind)| ((*id).to_owned(), (*kind).to_owned())).collect();
        let made = |id: &str| !missing.contains(&id);
        let deployed = |stack| Deployed {
            stack,
            plain: &plain,
            stubs: &stubs,
            made: &made,
            value: &|value| Some(value.clone()),
        };
        let told = omitted(&[deployed("app-dev"), deployed("app-prod")]);
        told.into_iter().map(|one| (one.what, one.why)).collect()
    }

    #[test]
    fn the_data_is_read() {
        let data: Data = toml::from_str(include_str!("../../../data/not-rehearsed.toml")).unwrap();
        assert!(data.types.len() > 10 && !data.pipes.sources.is_empty() && PROVED.len() > 20);
        assert_eq!(data.types, DATA.types);
    }

    /// What does less here than on AWS, each with a word of its reason.
    #[test]
    fn what_does_less_than_on_aws_is_told() {
        for (kind, properties, word) in [
            ("AWS::Scheduler::Schedule", "{}", "never fires"),
            (
                "AWS::Pipes::Pipe",
                "{Source: 'arn:aws:sqs:r:1:q', Target: 'arn:aws:lambda:r:1:function:f'}",
                "carries nothing",
            ),
            (
                "AWS::Pipes::Pipe",
                "{Source: 'arn:aws:dynamodb:r:1:table/t/stream/s', Target: 'arn:aws:sqs:r:1:q'}",
                "carries nothing",
            ),
            ("AWS::Lambda::Url", "{}", "leads nowhere"),
            ("AWS::ApiGatewayV2::Api", "{ProtocolType: WEBSOCKET}", "WebSocket"),
            ("AWS::ApiGatewayV2::DomainName", "{}", "domain"),
            ("AWS::CloudFront::Distribution", "{}", "leads nowhere"),
            ("AWS::CloudWatch::CompositeAlarm", "{}", "composite"),
            ("AWS::CloudWatch::Alarm", "{Metrics: [{Id: a, Expression: b/c}]}", "metric math"),
            ("AWS::CloudWatch::Alarm", "{Metrics: [{Id: a}], ThresholdMetricId: a}", "anomaly"),
            ("AWS::CloudWatch::Alarm", "{Namespace: AWS/SQS, MetricName: M}", "AWS/SQS"),
            ("AWS::StepFunctions::StateMachineAlias", "{}", "weights"),
        ] {
            let told = told_of(&format!("  X: {{Type: '{kind}', Properties: {properties}}}\n"), &[], &[]);
            let (what, why) = &told[0];
            assert_eq!(*what, format!("{kind} X of app-dev, app-prod"));
            assert!(why.contains(word), "{kind}: {why}");
        }
    }

    #[test]
    fn what_does_the_same_is_not_told() {
        let resources = "  A: {Type: AWS::CloudWatch::Alarm, Properties: {Namespace: AWS/Lambda}}\n  B: {Type: AWS::CloudWatch::Alarm, Properties: {Namespace: Own}}\n  C: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}\n  D: {Type: AWS::CodeDeploy::DeploymentGroup}\n  E: {Type: AWS::Lambda::Function}\n";
        assert_eq!(told_of(resources, &[("D", "AWS::CodeDeploy::DeploymentGroup")], &[]), []);
        let pipe = "  P: {Type: AWS::Pipes::Pipe, Properties: {Source: 'arn:aws:dynamodb:r:1:table/t/stream/s', Target: 'arn:aws:sns:r:1:t'}}\n";
        assert!(told_of(pipe, &[], &[]).iter().all(|(what, _)| what.starts_with("the rights")));
        // Nor what a condition leaves out.
        assert_eq!(told_of("  U: {Type: AWS::Lambda::Url}\n", &[], &["U"]), []);
    }

    #[test]
    fn stubs_and_rights_that_nobody_proved_are_told() {
        let resources = "  G: {Type: AWS::IAM::Group}\n  Q: {Type: AWS::SQS::Queue}\n  S: {Type: AWS::SSM::Parameter}\n  C: {Type: Custom::Thing}\n";
        let told = told_of(resources, &[("G", "AWS::IAM::Group")], &[]);
        assert_eq!(told[0].0, "AWS::IAM::Group G of app-dev, app-prod");
        assert!(told[0].1.contains("stub"));
        let rights = &told.last().unwrap().0;
        assert!(
            rights.starts_with("the rights to make ") && rights.contains("AWS::SSM::Parameter"),
            "{rights}"
        );
        // A queue is described.
        assert!(!rights.contains("Custom") && !rights.contains("AWS::SQS::Queue"), "{rights}");
    }
}
