//! Tests over what AWS's own transforms make of a template: whatever way an author has to say that traffic is shifted, all of it
//! arrives at the rollout engine, and every role has the boundary that the template gives it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{Target, lower};
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_model::template::{Pseudo, Scope, Unexpanded, expanded, parse};

/// Parameters that are given.
type Given<'a> = &'a [(&'a str, &'a str)];
/// The shifts that come of a template.
type Told<'a> = &'a [&'a str];

/// AWS's transforms, shared by these tests.
fn expander() -> Arc<Expander> {
    static SHARED: OnceLock<Arc<Expander>> = OnceLock::new();
    let made = || {
        // A thread of its own: tests may be inside of a runtime.
        let made = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let paths = Paths::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."));
            runtime.block_on(Expander::kept(&paths, &|_| {})).unwrap()
        });
        made.join().unwrap()
    };
    Arc::clone(SHARED.get_or_init(made))
}

fn plain(source: &str, given: &[(&str, &str)]) -> Value {
    let template = parse(source).unwrap_or_else(|error| panic!("{error}: {source}")).to_json();
    let defaults = template.get("Parameters").and_then(Value::as_object).into_iter().flatten();
    let mut parameters: BTreeMap<String, String> = defaults
        .filter_map(|(name, one)| Some((name.clone(), one.get("Default")?.as_str()?.to_owned())))
        .collect();
    parameters.extend(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let pseudo = pseudo();
    let unexpanded = Unexpanded { template: &template, parameters: &parameters, pseudo: &pseudo };
    expanded(&*expander(), &|_| Err("nothing is included".to_owned()), unexpanded)
        .unwrap_or_else(|error| panic!("{error}: {source}"))
}

fn pseudo() -> Pseudo {
    Pseudo {
        account_id: "222222222222".into(),
        region: "eu-central-1".into(),
        partition: "aws".into(),
        stack_name: "shop".into(),
        stack_id: "arn:shop".into(),
    }
}

/// Each shift as a line: the alias's name and function, the deployment's configuration, its hooks and alarms.
fn shifts(source: &str, given: &[(&str, &str)]) -> Vec<String> {
    let plain = plain(source, given);
    let target = Target { endpoint: String::new(), bundle: String::new(), architecture: "x86_64".to_owned() };
    let lowered = lower(&plain, &BTreeMap::new(), &target);
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let parameters = Scope::parameters_of(&plain, &given);
    let (pseudo, by_id) = (pseudo(), |id: &str, _: Option<&str>| Some(Value::from(id)));
    let scope = Scope { template: &plain, parameters: &parameters, pseudo: &pseudo, resources: &by_id };
    let text = |value: &Value| {
        scope
            .eval(value)
            .ok()
            .flatten()
            .map_or("?".to_owned(), |value| causeway_model::template::text_of(&value))
    };
    let line = |shift: &super::TrafficShift| {
        let group = text(&shift.policy["DeploymentGroupName"]);
        let group = &plain["Resources"][&group]["Properties"];
        let config = text(&group["DeploymentConfigName"]);
        let hook = |name: &str| shift.policy.get(name).map_or("-".to_owned(), &text);
        let alarms = scope.eval(&group["AlarmConfiguration"]["Alarms"]).ok().flatten().unwrap_or_default();
        let alarms: Vec<&str> =
            alarms.as_array().into_iter().flatten().filter_map(|one| one["Name"].as_str()).collect();
        let (before, after) = (hook("BeforeAllowTrafficHook"), hook("AfterAllowTrafficHook"));
        let name = text(&shift.properties["Name"]);
        let config = config.replace("CodeDeployDefault.Lambda", "");
        format!(
            "{}:{name} {config} {before} {after} {}",
            shift.function_id().unwrap_or("?"),
            alarms.join(",")
        )
    };
    lowered.shifts.iter().map(line).collect()
}

/// A serverless application with a function `F` that has these properties besides code, handler and runtime.
fn function(more: &str, rest: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31\nParameters:\n  Stage: {{Type: String, Default: live}}\n  Kind: {{Type: String, Default: Canary10Percent5Minutes}}\n  On: {{Type: String, Default: 'true'}}\nConditions:\n  IsOn: !Equals [!Ref On, 'true']\nResources:\n  F: {{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.12, Handler: index.handler, CodeUri: s3://b/k, {more}}}}}\n{rest}"
    )
}

#[test]
fn an_alias_is_shifted_whatever_its_author_names_it_by() {
    let canary = "F:live Canary10Percent5Minutes - - ";
    let table: [(&str, Given<'_>, Told<'_>); 11] = [
        ("AutoPublishAlias: live, DeploymentPreference: {Type: Canary10Percent5Minutes}", &[], &[canary]),
        (
            "AutoPublishAlias: !Ref Stage, DeploymentPreference: {Type: Canary10Percent5Minutes}",
            &[],
            &[canary],
        ),
        (
            "AutoPublishAlias: !Ref Stage, DeploymentPreference: {Type: Canary10Percent5Minutes}",
            &[("Stage", "blue")],
            &["F:blue Canary10Percent5Minutes - - "],
        ),
        ("AutoPublishAlias: live, DeploymentPreference: {Type: !Ref Kind}", &[], &[canary]),
        (
            "AutoPublishAlias: live, DeploymentPreference: {Type: !Ref Kind}",
            &[("Kind", "AllAtOnce")],
            &["F:live AllAtOnce - - "],
        ),
        (
            "AutoPublishAlias: live, DeploymentPreference: {Type: Linear10PercentEvery1Minute, Hooks: {PreTraffic: !Ref A, PostTraffic: !Ref B}}",
            &[],
            &["F:live Linear10PercentEvery1Minute A B "],
        ),
        (
            "AutoPublishAlias: live, DeploymentPreference: {Type: Canary10Percent5Minutes, Alarms: [!Ref X, !Ref Y]}",
            &[],
            &["F:live Canary10Percent5Minutes - - X,Y"],
        ),
        ("AutoPublishAlias: live, DeploymentPreference: {Type: Mine}", &[], &["F:live Mine - - "]),
        (
            "AutoPublishAlias: live, DeploymentPreference: {Enabled: false, Type: Canary10Percent5Minutes}",
            &[],
            &[],
        ),
        (
            "AutoPublishAlias: live, DeploymentPreference: {Enabled: !Ref On, Type: Canary10Percent5Minutes}",
            &[("On", "false")],
            &[],
        ),
        ("AutoPublishAlias: live", &[], &[]),
    ];
    let rest = "  A: {Type: AWS::Lambda::Function}\n  B: {Type: AWS::Lambda::Function}\n  X: {Type: AWS::CloudWatch::Alarm}\n  Y: {Type: AWS::CloudWatch::Alarm}\n";
    for (more, given, expected) in table {
        assert_eq!(shifts(&function(more, rest), given), expected, "{more} {given:?}");
    }
}

#[test]
fn globals_are_merged_before_anything_is_shifted() {
    let table = [
        // What is under Globals, what the function says, what comes of it.
        (
            "{Type: Canary10Percent5Minutes, Hooks: {PreTraffic: !Ref A}}",
            "{Hooks: {PostTraffic: !Ref B}}",
            "Canary10Percent5Minutes A B ",
        ),
        (
            "{Type: Canary10Percent5Minutes, Hooks: {PreTraffic: !Ref A}}",
            "{Hooks: {PreTraffic: !Ref B}}",
            "Canary10Percent5Minutes B - ",
        ),
        (
            "{Type: Canary10Percent5Minutes, Alarms: [!Ref X]}",
            "{Alarms: [!Ref Y]}",
            "Canary10Percent5Minutes - - X,Y",
        ),
        (
            "{Type: Canary10Percent5Minutes}",
            "{Type: Linear10PercentEvery1Minute}",
            "Linear10PercentEvery1Minute - - ",
        ),
        (
            "{Type: Canary10Percent5Minutes, Alarms: [!Ref X], Hooks: {PreTraffic: !Ref A}}",
            "{Alarms: [!Ref Y], Hooks: {PostTraffic: !Ref B}}",
            "Canary10Percent5Minutes A B X,Y",
        ),
        (
            "{Type: Canary10Percent5Minutes, Hooks: {PreTraffic: !Ref A, PostTraffic: !Ref B}}",
            "{Type: AllAtOnce}",
            "AllAtOnce A B ",
        ),
        (
            "{Hooks: {PostTraffic: !Ref B}}",
            "{Type: Canary10Percent10Minutes}",
            "Canary10Percent10Minutes - B ",
        ),
        (
            "{Enabled: false, Type: Canary10Percent5Minutes}",
            "{Enabled: true}",
            "Canary10Percent5Minutes - - ",
        ),
        (
            "{Type: Canary10Percent5Minutes, Role: 'arn:aws:iam::222222222222:role/r'}",
            "{Alarms: [!Ref X]}",
            "Canary10Percent5Minutes - - X",
        ),
        ("{Type: Canary10Percent5Minutes}", "{Enabled: false}", ""),
    ];
    let rest = "  A: {Type: AWS::Lambda::Function}\n  B: {Type: AWS::Lambda::Function}\n  X: {Type: AWS::CloudWatch::Alarm}\n  Y: {Type: AWS::CloudWatch::Alarm}\n";
    for (global, own, expected) in table {
        let globals = format!(
            "Globals:\n  Function: {{AutoPublishAlias: live, DeploymentPreference: {global}}}\nResources:\n"
        );
        let source =
            function(&format!("DeploymentPreference: {own}"), rest).replace("Resources:\n", &globals);
        let expected: Vec<String> =
            (!expected.is_empty()).then(|| format!("F:live {expected}")).into_iter().collect();
        assert_eq!(shifts(&source, &[]), expected, "{global} {own}");
    }
}

#[test]
fn loops_make_functions_that_are_shifted() {
    let each = |list: &str, more: &str| {
        format!(
            "Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]\nParameters:\n  Names: {{Type: CommaDelimitedList, Default: 'One,Two'}}\n  Kind: {{Type: String, Default: Canary10Percent5Minutes}}\nMappings:\n  Kinds: {{One: {{K: AllAtOnce}}, Two: {{K: Linear10PercentEvery1Minute}}}}\nResources:\n  Fn::ForEach::Functions:\n    - Name\n    - {list}\n    - ${{Name}}F: {{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.12, Handler: index.handler, CodeUri: s3://b/k, {more}}}}}\n"
        )
    };
    let canary = "AutoPublishAlias: live, DeploymentPreference: {Type: Canary10Percent5Minutes}";
    let (one, two) = ("OneF:live Canary10Percent5Minutes - - ", "TwoF:live Canary10Percent5Minutes - - ");
    let table: [(String, Given<'_>, Told<'_>); 10] = [
        (each("[One, Two]", canary), &[], &[one, two]),
        (each("!Ref Names", canary), &[], &[one, two]),
        (each("!Ref Names", canary), &[("Names", "Two")], &[two]),
        (each("[One]", canary), &[], &[one]),
        (
            each("[One, Two]", "AutoPublishAlias: live, DeploymentPreference: {Type: !Ref Kind}"),
            &[("Kind", "AllAtOnce")],
            &["OneF:live AllAtOnce - - ", "TwoF:live AllAtOnce - - "],
        ),
        (
            each("[One, Two]", "AutoPublishAlias: !Sub '${Name}', DeploymentPreference: {Type: AllAtOnce}"),
            &[],
            &["OneF:One AllAtOnce - - ", "TwoF:Two AllAtOnce - - "],
        ),
        (
            each(
                "[One, Two]",
                "AutoPublishAlias: live, DeploymentPreference: {Type: !FindInMap [Kinds, !Ref Name, K]}",
            ),
            &[],
            &["OneF:live AllAtOnce - - ", "TwoF:live Linear10PercentEvery1Minute - - "],
        ),
        (
            each(
                "[One, Two]",
                "AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Hooks: {PreTraffic: !Ref Hook}}",
            ) + "  Hook: {Type: AWS::Lambda::Function}\n",
            &[],
            &["OneF:live AllAtOnce Hook - ", "TwoF:live AllAtOnce Hook - "],
        ),
        (
            each(
                "[One, Two]",
                "AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Alarms: [!Ref Alarm]}",
            ) + "  Alarm: {Type: AWS::CloudWatch::Alarm}\n",
            &[],
            &["OneF:live AllAtOnce - - Alarm", "TwoF:live AllAtOnce - - Alarm"],
        ),
        (each("[One, Two]", "AutoPublishAlias: live"), &[], &[]),
    ];
    for (source, given, expected) in table {
        assert_eq!(shifts(&source, given), expected, "{source} {given:?}");
    }
}

#[test]
fn every_role_that_sam_makes_has_its_boundary() {
    let bound = "PermissionsBoundary: 'arn:aws:iam::222222222222:policy/b'";
    let globals = format!("Globals:\n  Function: {{{bound}}}\nResources:\n");
    let table = [
        function(bound, ""),
        function(&format!("{bound}, Policies: [AmazonS3ReadOnlyAccess]"), ""),
        function(&format!("{bound}, Policies: [{{DynamoDBCrudPolicy: {{TableName: t}}}}]"), ""),
        function(&format!("{bound}, RolePath: /app/"), ""),
        function(&format!("{bound}, AssumeRolePolicyDocument: {{Statement: []}}"), ""),
        function(&format!("{bound}, VpcConfig: {{SubnetIds: [s], SecurityGroupIds: [g]}}"), ""),
        function("Tracing: Active", "").replace("Resources:\n", &globals),
        function("Policies: [AmazonS3ReadOnlyAccess]", "").replace("Resources:\n", &globals),
        function(
            &format!("{bound}, Events: {{E: {{Type: SQS, Properties: {{Queue: 'arn:aws:sqs:r:1:q'}}}}}}"),
            "",
        ),
        function("PermissionsBoundary: !Sub 'arn:aws:iam::${AWS::AccountId}:policy/b'", ""),
    ];
    for source in table {
        let plain = plain(&source, &[]);
        let roles =
            plain["Resources"].as_object().unwrap().values().filter(|one| one["Type"] == "AWS::IAM::Role");
        let boundaries: Vec<String> =
            roles.map(|role| role["Properties"]["PermissionsBoundary"].to_string()).collect();
        assert!(
            !boundaries.is_empty() && boundaries.iter().all(|one| one.contains(":policy/b")),
            "{source}: {boundaries:?}"
        );
    }
}

#[test]
fn an_update_policy_is_honored_whoever_wrote_it() {
    let alias = |id: &str, policy: &str, more: &str| {
        format!(
            "  {id}: {{Type: AWS::Lambda::Alias, UpdatePolicy: {policy}, Properties: {{FunctionName: {more}, FunctionVersion: '1', Name: live}}}}\n"
        )
    };
    let group = "  Group: {Type: AWS::CodeDeploy::DeploymentGroup, Properties: {DeploymentConfigName: CodeDeployDefault.LambdaAllAtOnce}}\n";
    let by = "{CodeDeployLambdaAliasUpdate: {ApplicationName: a, DeploymentGroupName: !Ref Group}}";
    let hooked = "{CodeDeployLambdaAliasUpdate: {ApplicationName: a, DeploymentGroupName: !Ref Group, BeforeAllowTrafficHook: !Ref Hook, AfterAllowTrafficHook: !Ref Other}}";
    let of = |parts: &[String]| {
        format!(
            "Resources:\n  F: {{Type: AWS::Lambda::Function}}\n  Hook: {{Type: AWS::Lambda::Function}}\n{group}{}",
            parts.concat()
        )
    };
    let (first, none): (&[&str], &[&str]) = (&["F:live AllAtOnce - - "], &[]);
    let table: [(String, &[&str]); 10] = [
        (of(&[alias("Live", by, "!Ref F")]), first),
        (of(&[alias("Live", by, "!GetAtt F.Arn")]), first),
        (of(&[alias("Live", hooked, "!Ref F")]), &["F:live AllAtOnce Hook Other "]),
        (of(&[alias("Live", by, "!Ref F"), alias("Second", hooked, "!Ref F")]), &["F:live AllAtOnce - - ", "F:live AllAtOnce Hook Other "]),
        (of(&[alias("Live", by, "named")]), &["?:live AllAtOnce - - "]),
        (of(&[alias("Live", "{CodeDeployLambdaAliasUpdate: {ApplicationName: a, DeploymentGroupName: !Sub '${Group}'}}", "!Ref F")]), first),
        (of(&[alias("Live", "{UseOnlineResharding: true}", "!Ref F")]), none),
        (format!("Transform: AWS::Serverless-2016-10-31\n{}", of(&[alias("Live", by, "!Ref F")])), first),
        (format!("Transform: AWS::LanguageExtensions\n{}", of(&[alias("Live", by, "!Ref F")])), first),
        (format!("Transform: AWS::LanguageExtensions\n{}", of(&["  Fn::ForEach::Aliases: [N, [One, Two], {'${N}': {Type: AWS::Lambda::Alias, UpdatePolicy: POLICY, Properties: {FunctionName: !Ref F, Name: !Ref N}}}]\n".replace("POLICY", by)])), &["F:One AllAtOnce - - ", "F:Two AllAtOnce - - "]),
    ];
    for (source, expected) in table {
        assert_eq!(shifts(&source, &[]), expected, "{source}");
    }
}
