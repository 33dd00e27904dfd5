//! What publishes a version and what does not: on templates of a few lines, and on the application's own.

use crate::expand::shared;
use causeway_model::artifact::{PackageRecord, PackagedFunction, Upload};
use causeway_model::package::{self, Packaged};
use causeway_model::publish::*;
use causeway_model::template::{Expand as _, Pseudo, Unexpanded, parse};
use std::collections::BTreeMap;

const PARAMETERS: &str = "Parameters:\n  Days: {Type: Number, Default: 28}\n  Env: {Type: String}\n  Level: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /level}\nConditions: {IsProd: !Equals [!Ref Env, prod]}\nMappings: {Sizes: {dev: {mb: 128}, prod: {mb: 512}}}\n";

fn pseudo() -> Pseudo {
    Pseudo {
        account_id: "222222222222".into(),
        region: "eu-central-1".into(),
        partition: "aws".into(),
        stack_name: "stack".into(),
        stack_id: "id".into(),
    }
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn ask(resources: &str, parameters: &[(&str, &str)], package: &str) -> Result<Release, String> {
    let plain = parse(&format!("{PARAMETERS}Resources:\n{resources}")).unwrap().to_json();
    let (parameters, packages) = (given(parameters), given(&[("F", package)]));
    let pseudo = pseudo();
    Environment { plain: &plain, parameters: &parameters, pseudo: &pseudo, packages: &packages }.release("F")
}

fn value(resources: &str, parameters: &[(&str, &str)]) -> String {
    ask(resources, parameters, "ab").unwrap().value
}

fn function(properties: &str) -> String {
    format!(
        "  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Code: {{S3Bucket: b, S3Key: k, S3ObjectVersion: v1}}\n{properties}"
    )
}

#[test]
fn a_function_is_its_package_and_its_properties_as_an_environment_has_them() {
    let base = "      Timeout: 10\n      Environment: {Variables: {DAYS: !Ref Days, SIZE: !FindInMap [Sizes, !Ref Env, mb]}}\n";
    let dev = [("Env", "dev")];
    let same = value(&function(base), &dev);
    assert!(same.len() == 64 && same.bytes().all(|byte| byte.is_ascii_hexdigit()), "{same}");
    // What means the same is the same.
    for other in [
        "      # why\n      Environment:\n        Variables:\n          SIZE: !FindInMap [Sizes, !Ref Env, mb]\n          DAYS: '28'\n\n      Timeout: '10'\n",
        "      Timeout: 10\n      Environment: {Variables: {DAYS: !If [IsProd, 1, !Ref Days], SIZE: 128}}\n      Layers: !If [IsProd, [a], !Ref AWS::NoValue]\n",
        "      Timeout: 10\n      Environment: {Variables: {DAYS: !Sub '${Days}', SIZE: 128}}\n      Tags: [{Key: a, Value: b}]\n      ReservedConcurrentExecutions: 3\n",
    ] {
        assert_eq!(value(&function(other), &dev), same, "{other}");
    }
    let moved = function(base).replace("S3Key: k, S3ObjectVersion: v1", "S3Key: l, S3ObjectVersion: v2");
    assert_eq!(value(&moved, &dev), same, "the place of the same package");
    // What is another function is another release.
    for (resources, parameters) in [
        (function(base), [("Env", "prod"), ("Days", "28")]),
        (function(base), [("Env", "dev"), ("Days", "14")]),
        (function(&base.replace("10", "11")), [("Env", "dev"), ("Days", "28")]),
        (function(&format!("{base}      Layers: [a]\n")), [("Env", "dev"), ("Days", "28")]),
    ] {
        assert_ne!(value(&resources, &parameters), same, "{resources} {parameters:?}");
    }
    assert_ne!(ask(&function(base), &dev, "cd").unwrap().value, same, "another package");
    // Code that is no package of ours counts as it stands.
    let foreign = |key: &str| {
        let text = format!("{PARAMETERS}Resources:\n{}", function("").replace("S3Key: k", key));
        let (plain, none) = (parse(&text).unwrap().to_json(), BTreeMap::new());
        let pseudo = pseudo();
        let environment = Environment { plain: &plain, parameters: &none, pseudo: &pseudo, packages: &none };
        environment.release("F").unwrap().value
    };
    assert_ne!(foreign("S3Key: k"), foreign("S3Key: l"));
}

#[test]
fn of_what_it_refers_to_only_a_replacement_counts() {
    let dev = [("Env", "dev")];
    let with = |table: &str, role: &str| {
        let own = function(
            "      Role: !GetAtt Role.Arn\n      Environment: {Variables: {TABLE: !Sub '${Table}'}}\n",
        );
        value(
            &format!(
                "{own}  Table: {{Type: AWS::DynamoDB::Table, Properties: {{{table}}}}}\n  Role: {{Type: AWS::IAM::Role, Properties: {{{role}}}}}\n  Alone: {{Type: AWS::SNS::Topic, Properties: {{TopicName: {}}}}}\n",
                table.len()
            ),
            &dev,
        )
    };
    let key = "KeySchema: [{AttributeName: pk, KeyType: HASH}]";
    let same = with(key, "Path: /a/");
    // A policy, a stream, a resource that nothing refers to.
    assert_eq!(with(key, "Path: /a/, Policies: [{PolicyName: x}]"), same);
    assert_eq!(with(&format!("{key}, BillingMode: PAY_PER_REQUEST"), "Path: /a/"), same);
    assert_ne!(with(&key.replace("pk", "id"), "Path: /a/"), same, "another key replaces the table");
    assert_ne!(with(&format!("{key}, TableName: t"), "Path: /a/"), same);
    assert_ne!(with(key, "Path: /b/"), same);
    // Also of what those refer to, and wholly where the type is not known.
    let through = |topic: &str, custom: &str| {
        let own = function("      Environment: {Variables: {A: !Ref Table, B: !GetAtt Custom.Out}}\n");
        value(
            &format!(
                "{own}  Table: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: !Ref Topic}}}}\n  Topic: {{Type: AWS::SNS::Topic, Properties: {topic}}}\n  Custom: {{Type: Custom::Thing, Properties: {custom}}}\n"
            ),
            &dev,
        )
    };
    let same = through("{TopicName: a}", "{P: 1}");
    assert_eq!(through("{TopicName: a, DisplayName: b}", "{P: 1}"), same);
    assert_ne!(through("{TopicName: b}", "{P: 1}"), same);
    assert_ne!(through("{TopicName: a}", "{P: 2}"), same);
}

#[test]
fn a_version_of_another_function_counts_as_that_function() {
    let other = |id: &str, timeout: u8| {
        let own =
            function("      Environment: {Variables: {OTHER: !Ref GVersionPLACE}}\n").replace("PLACE", id);
        value(
            &format!(
                "{own}  GVersion{id}: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !Ref G}}}}\n  G: {{Type: AWS::Lambda::Function, Properties: {{Timeout: {timeout}}}}}\n"
            ),
            &[("Env", "dev")],
        )
    };
    let same = other("0123456789", 3);
    assert_eq!(other("abcdefabcd", 3), same, "its id alone carries where its package lies");
    assert_ne!(other("0123456789", 4), same);
}

#[test]
fn what_only_aws_can_resolve_is_listed() {
    let own = function(
        "      Timeout: !If [IsProd, !ImportValue never, 3]\n      Environment:\n        Variables:\n          A: !Ref Level\n          B: '{{resolve:ssm:/b:1}}'\n          C: !Sub '{{resolve:secretsmanager:${Env}}}'\n          D: !Select [0, !Split [',', !ImportValue {'Fn::Sub': '${Env}-x'}]]\n          E: !Select [0, !GetAZs '']\n",
    );
    let made = ask(&own, &[("Env", "dev")], "ab").unwrap();
    assert_eq!(
        made.unresolved,
        [
            "F.Environment: Fn::GetAZs",
            "F.Environment: Fn::ImportValue",
            "F.Environment: parameter Level, the SSM parameter /level",
            "F.Environment: {{resolve:secretsmanager:dev}}",
            "F.Environment: {{resolve:ssm:/b:1}}",
        ]
    );
    // What names it is part of the release all the same.
    assert_ne!(ask(&own.replace("/b:1", "/b:2"), &[("Env", "dev")], "ab").unwrap().value, made.value);
    assert_ne!(ask(&own.replace("-x", "-y"), &[("Env", "dev")], "ab").unwrap().value, made.value);
    let long =
        |count: usize| ask(&function(&format!("      Description: {}\n", "x".repeat(count))), &[], "ab");
    assert!(long(191).is_ok() && long(192).unwrap_err().contains("192 characters; 191 are the most"));
    let missing = ask(&function("      Timeout: !Ref Env\n"), &[], "ab").unwrap();
    assert_eq!(missing.unresolved, ["F.Timeout: parameter Env, a value that is not known here"]);
    let wrong = ask(&function("      Timeout: !Ref Nothing\n"), &[], "ab").unwrap_err();
    assert_eq!(wrong, "F.Timeout: nothing is known of `Nothing`");
}

#[test]
fn what_stands_beside_a_call_that_is_not_evaluated_counts() {
    let with = |value: &str| function(&format!("      Environment: {{Variables: {{A: {value}}}}}\n"));
    let days = |value: &str, days: &str| self::value(&with(value), &[("Env", "dev"), ("Days", days)]);
    for text in
        ["!Sub ['${Days}-${X}', {X: !If [IsProd, a, b]}]", "!Sub ['${Days}-${X}', {X: !ImportValue other}]"]
    {
        assert_ne!(days(text, "28"), days(text, "14"), "{text}");
    }
    // A choice that comes to the same is the same.
    assert_eq!(days("!Sub ['${Days}-${X}', {X: !If [IsProd, a, b]}]", "28"), days("28-b", "28"));
    assert_eq!(days("!FindInMap [Sizes, !If [IsProd, prod, dev], mb]", "28"), days("128", "28"));
    let table = |name: &str| {
        let own = with("!Sub ['${Table}-${X}', {X: !ImportValue other}]");
        value(
            &format!("{own}  Table: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: {name}}}}}\n"),
            &[("Env", "dev")],
        )
    };
    assert_ne!(table("one"), table("two"), "a replaced resource");
    let wrong = ask(&with("!Sub ['${Nothing}-${X}', {X: !If [IsProd, a, b]}]"), &[("Env", "dev")], "ab");
    assert_eq!(wrong.unwrap_err(), "F.Environment: nothing is known of `Nothing`");
}

#[test]
fn parameters_are_written_into_any_form_of_text() {
    let block = "# head\nParameters:\n  # the environment\n  Env: {Type: String}\nResources:\n  CheckinFunction:\n    Type: AWS::Serverless::Function\n    Properties:\n      AutoPublishAlias: live\n      CodeUri: ../target/causeway/package/checkin.zip # here\n      Runtime: provided.al2023\n";
    let written = |source: &str| {
        let (all, left_out) = released(source).unwrap();
        assert_eq!(left_out, Vec::<String>::new());
        causeway_model::template::apply(source, edits(source, &all).unwrap()).unwrap()
    };
    assert_eq!(
        written(block),
        "# head\nParameters:\n  CheckinRelease:\n    Description: What publishes a version of CheckinFunction; it is written beside this template for each environment.\n    Type: String\n    AllowedPattern: '[0-9a-f]{64}'\n  # the environment\n  Env: {Type: String}\nResources:\n  CheckinFunction:\n    Type: AWS::Serverless::Function\n    Properties:\n      AutoPublishAlias: live\n      AutoPublishCodeSha256: !Ref CheckinRelease\n      CodeUri: ../target/causeway/package/checkin.zip # here\n      Runtime: provided.al2023\n"
    );
    for source in [
        "Resources:\n  CheckinFunction: {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live, Timeout: 3}}\n",
        "Globals: {Function: {AutoPublishAlias: live}}\nResources:\n  CheckinFunction:\n    Type: AWS::Serverless::Function\n    Properties: {Timeout: 3}\n",
        "{\"Parameters\": {\"Env\": {\"Type\": \"String\"}}, \"Resources\": {\"CheckinFunction\": {\"Type\": \"AWS::Serverless::Function\", \"Properties\": {\"AutoPublishAlias\": \"live\"}}}}",
        "{\n  \"Resources\": {\n    \"CheckinFunction\": {\n      \"Type\": \"AWS::Serverless::Function\",\n      \"Properties\": {\n        \"AutoPublishAlias\": \"live\"\n      }\n    }\n  }\n}\n",
        "Resources:\n  CheckinFunction:\n    Type: AWS::Serverless::Function\n    Properties:\n      AutoPublishAlias: live",
    ] {
        let text = written(source);
        let root = parse(&text).unwrap();
        let property =
            root.at(&["Resources", "CheckinFunction", "Properties", "AutoPublishCodeSha256", "Ref"]);
        assert_eq!(property.unwrap().as_str(), Some("CheckinRelease"), "{text}");
        let parameter = root.at(&["Parameters", "CheckinRelease"]).unwrap();
        assert_eq!(parameter.get("Type").unwrap().as_str(), Some("String"));
        assert!(parameter.get("Default").is_none(), "a value that is missing is refused: {text}");
    }
}

#[test]
fn what_cannot_have_a_parameter_is_said() {
    let one = |name: &str, more: &str| {
        format!(
            "  {name}:\n    Type: AWS::Serverless::Function\n    Properties:\n      AutoPublishAlias: live\n{more}"
        )
    };
    let taken = format!(
        "Parameters:\n  CheckinRelease: {{Type: String}}\nResources:\n{}",
        one("CheckinFunction", "")
    );
    assert!(released(&taken).unwrap_err().starts_with("line 2: CheckinRelease is the name"));
    let twice = format!("Resources:\n{}{}", one("CheckinFunction", ""), one("Checkin", ""));
    assert!(released(&twice).unwrap_err().contains("CheckinFunction and Checkin would both"));
    let own = format!("Resources:\n{}", one("CheckinFunction", "      AutoPublishCodeSha256: abc\n"));
    let (all, left_out) = released(&own).unwrap();
    assert!(all.is_empty() && left_out[0].contains("its own AutoPublishCodeSha256"), "{left_out:?}");
    let body = "{'F${N}': {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live}}}";
    let looped = format!("Resources:\n  Fn::ForEach::L: [N, [a], {body}]\n");
    let (all, left_out) = released(&looped).unwrap();
    assert!(all.is_empty() && left_out[0].contains("loop L"), "{left_out:?}");
    assert_eq!(
        released("Resources:\n  Plain: {Type: AWS::Serverless::Function, Properties: {}}\n").unwrap().0,
        []
    );
}

fn record() -> PackageRecord {
    let function = |name: &str| PackagedFunction {
        name: name.into(),
        bytes: 1,
        sha256: format!("{name}-sha"),
        key: format!("packages/{name}/ab.zip"),
        version: "v".into(),
        upload: Upload::Uploaded,
        bill: String::new(),
        version_id: Some("v1".into()),
    };
    PackageRecord {
        commit: None,
        rustc: String::new(),
        target: String::new(),
        profile: String::new(),
        linker: String::new(),
        functions: ["checkin", "contacts", "pre-traffic", "post-traffic"].map(function).into(),
    }
}

/// The releases of the application's functions, by parameter.
fn app(source: &str, env: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let record = record();
    let packaged = Packaged { record: &record, bucket: Some("b"), architecture: "arm64", released: &[] };
    let text = package::template(source, &packaged).unwrap();
    let mut parameters = given(more);
    parameters.insert("EnvironmentName".into(), env.into());
    let (template, pseudo) = (parse(&text).unwrap().to_json(), pseudo());
    let unexpanded = Unexpanded { template: &template, parameters: &parameters, pseudo: &pseudo };
    let plain = shared().expand(unexpanded).unwrap();
    let (all, left_out) = released(source).unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    let packages: BTreeMap<String, String> = all
        .iter()
        .map(|one| (one.function.clone(), format!("{}-sha", one.package.as_ref().unwrap())))
        .collect();
    let environment =
        Environment { plain: &plain, parameters: &parameters, pseudo: &pseudo, packages: &packages };
    all.iter()
        .map(|one| {
            let release = environment.release(&one.function).unwrap();
            assert_eq!(release.unresolved, Vec::<String>::new());
            (one.parameter.clone(), release.value)
        })
        .collect()
}

#[test]
fn of_the_application_publishes_what_changes_its_functions_and_nothing_else() {
    let source = include_str!("../../../../cfn/app.yaml");
    let same = app(source, "prod", &[]);
    assert_eq!(same.keys().collect::<Vec<_>>(), ["CheckinRelease", "ContactsRelease"]);
    // A setting of one environment.
    let shorter = app(source, "prod", &[("RetentionDays", "14")]);
    assert_ne!(shorter["CheckinRelease"], same["CheckinRelease"]);
    let changed = |from: &str, to: &str| {
        let edited = source.replacen(from, to, 1);
        assert_ne!(edited, source, "{from}");
        edited
    };
    // The key of the table that both refer to.
    let table = app(
        &changed(
            "AttributeName: sk\n          KeyType: RANGE",
            "AttributeName: tk\n          KeyType: RANGE",
        ),
        "prod",
        &[],
    );
    for name in same.keys() {
        assert_ne!(table[name], same[name], "{name}");
    }
    // A comment, a route, an alarm, a policy of a role, the way traffic shifts, how long logs are kept.
    for (from, to) in [
        ("      Timeout: 10\n", "      # A comment.\n      Timeout: 10\n"),
        ("Method: GET, Path: /api/values}", "Method: GET, Path: /api/values2}"),
        ("Threshold: 1\n", "Threshold: 2\n"),
        ("                  - dynamodb:DeleteItem\n", ""),
    ] {
        assert_eq!(app(&changed(from, to), "prod", &[]), same, "{to}");
    }
    for (name, to) in
        [("DeploymentPreference", "Canary10Percent5Minutes"), ("LogRetentionDays", "7"), ("Hooks", "false")]
    {
        assert_eq!(app(source, "prod", &[(name, to)]), same, "{name}");
    }
    // A literal one, and another environment's name.
    let timeout = app(&changed("      Timeout: 10\n", "      Timeout: 11\n"), "prod", &[]);
    assert_ne!(timeout["CheckinRelease"], same["CheckinRelease"]);
    assert_eq!(timeout["ContactsRelease"], same["ContactsRelease"]);
    assert_ne!(app(source, "dev", &[]), same);
}

#[test]
fn sam_publishes_by_the_parameter_that_is_written() {
    let source = include_str!("../../../../cfn/app.yaml");
    let (all, _) = released(source).unwrap();
    let record = record();
    let packaged = Packaged { record: &record, bucket: Some("b"), architecture: "arm64", released: &all };
    let text = package::template(source, &packaged).unwrap();
    let template = parse(&text).unwrap().to_json();
    let pseudo = pseudo();
    let expand = |digit: &str| {
        let mut parameters = given(&[("EnvironmentName", "dev")]);
        parameters.extend(all.iter().map(|one| (one.parameter.clone(), digit.repeat(64))));
        shared().expand(Unexpanded { template: &template, parameters: &parameters, pseudo: &pseudo }).unwrap()
    };
    for digit in ["a", "b"] {
        let plain = expand(digit);
        for function in ["CheckinFunction", "ContactsFunction"] {
            assert!(plain["Resources"].get(format!("{function}Version{}", digit.repeat(10))).is_some());
            let description = plain["Resources"][function]["Properties"]["Description"].to_string();
            assert!(description.contains(&digit.repeat(64)), "{description}");
        }
    }
}
