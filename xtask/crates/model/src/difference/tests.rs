//! What is told of a change, and what never is.

use serde_json::{Value, json};

use super::super::changeset::Change;
use super::*;

fn with(resource: Value) -> Value {
    json!({"Conditions": {"Big": {"Fn::Equals": [{"Ref": "Size"}, "big"]}}, "Mappings": {"M": {"a": {"b": "1"}}}, "Resources": {"It": resource}})
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is told of `It`.
fn told(before: &Value, after: &Value, old: &[(&str, &str)], new: &[(&str, &str)]) -> Change {
    let mut changes = [Change::new("Modify", None, "It", "AWS::X::Y")];
    let (old, new) = (values(old), values(new));
    tell(
        &mut changes,
        Filled { template: &with(before.clone()), parameters: &old },
        Filled { template: &with(after.clone()), parameters: &new },
    );
    let [change] = changes;
    change
}

fn properties(before: Value, after: Value) -> Vec<(String, String, String)> {
    let of = |properties: Value| json!({"Type": "AWS::X::Y", "Properties": properties});
    let absent = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let found = told(&of(before), &of(after), &[], &[]).properties;
    found.into_iter().map(|one| (one.path, absent(one.before), absent(one.after))).collect()
}

fn row(path: &str, before: &str, after: &str) -> (String, String, String) {
    (path.to_owned(), before.to_owned(), after.to_owned())
}

#[test]
fn properties_are_told_before_and_after() {
    for (before, after, rows) in [
        (json!({"A": 1, "B": "x"}), json!({"A": 2, "B": "x"}), vec![row("A", "1", "2")]),
        (
            json!({"A": {"B": {"C": true}}}),
            json!({"A": {"B": {}, "D": "ä"}}),
            vec![row("A.B.C", "true", "-"), row("A.D", "-", "ä")],
        ),
        (
            json!({"N": {"Ref": "Name"}}),
            json!({"N": {"Fn::Sub": "${Name}-x"}}),
            vec![row("N", "${Name}", "${Name}-x")],
        ),
        (json!({"L": ["a", "b"]}), json!({"L": ["b", "c"]}), vec![row("L[]", "a", "c")]),
        (
            json!({"L": ["a", "b"]}),
            json!({"L": ["b", "a"]}),
            vec![row("L", "as it is", "the same in another order")],
        ),
        (
            json!({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}),
            json!({"Tags": [{"Key": "b", "Value": "3"}, {"Key": "a", "Value": "1"}]}),
            vec![row("Tags[b].Value", "2", "3")],
        ),
        (
            json!({"K": {"Fn::GetAtt": ["Key", "Arn"]}}),
            json!({"K": {"Fn::If": ["Big", "x", {"Ref": "AWS::NoValue"}]}}),
            vec![row("K", "${Key.Arn}", "x if Big, else ${AWS::NoValue}")],
        ),
        (json!({"A": "a\u{1b}[2Jb"}), json!({}), vec![row("A", "a [2Jb", "-")]),
    ] {
        assert_eq!(properties(before.clone(), after.clone()), rows, "{before} {after}");
    }
    let long = properties(json!({"A": "x".repeat(4_000)}), json!({"A": "y"}));
    assert_eq!(long[0].1.chars().count(), 160);
    // Beside its properties a resource has what else stands in its definition; metadata is nothing of it.
    let own = told(
        &json!({"Type": "AWS::X::Y", "DeletionPolicy": "Retain", "Metadata": {"a": 1}}),
        &json!({"Type": "AWS::X::Y", "DeletionPolicy": "Delete", "Metadata": {"a": 2}}),
        &[],
        &[],
    );
    assert_eq!(own.properties.len(), 1, "{own:?}");
    assert_eq!(
        (own.properties[0].path.as_str(), own.properties[0].after.as_deref()),
        ("DeletionPolicy", Some("Delete"))
    );
}

#[test]
fn neither_parameters_nor_secrets_are_told() {
    let of = |properties: Value| json!({"Type": "AWS::X::Y", "Properties": properties});
    // A parameter's value is in no text; that it is another one is.
    let same = of(
        json!({"Days": {"Ref": "Days"}, "Url": {"Fn::Sub": "https://${Host}/x"}, "Pass": {"Ref": "Pass"}, "S": {"Fn::If": ["Big", 1, 2]}}),
    );
    let change = told(
        &same,
        &same,
        &[("Days", "geheim-1"), ("Host", "h"), ("Pass", "****"), ("Size", "big")],
        &[("Days", "geheim-2"), ("Host", "h"), ("Pass", "geheim-3"), ("Size", "small")],
    );
    let text = serde_json::to_string(&change).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    assert_eq!(
        change.because,
        [
            "the parameter Days has another value",
            "the parameter Pass may have another value",
            "the parameter Size has another value"
        ]
    );
    for (before, after) in [
        (json!({"MasterUserPassword": "geheim"}), json!({"MasterUserPassword": "geheim2"})),
        (json!({"Env": {"API_TOKEN": "geheim"}}), json!({"Env": {}})),
        (
            json!({"SecretString": {"Fn::Sub": "{\"k\": \"geheim\"}"}}),
            json!({"SecretString": {"Fn::Join": ["", ["ge", "heim", "geheim"]]}}),
        ),
        (json!({"Env": "x"}), json!({"Env": {"Deep": [{"client-secret": "geheim"}]}})),
        (json!({"Url": "postgres://ann:geheim@host/db"}), json!({"Url": "postgres://bob:geheim@host/db"})),
        (
            json!({"Tags": [{"Key": "db-password", "Value": "geheim"}]}),
            json!({"Tags": [{"Key": "db-password", "Value": "geheim2"}]}),
        ),
    ] {
        let text =
            serde_json::to_string(&told(&of(before.clone()), &of(after), &[], &[]).properties).unwrap();
        assert!(!text.contains("geheim") && text.contains("not shown"), "{before}: {text}");
    }
    // A reference is a name.
    let named = properties(
        json!({"Password": {"Ref": "Pass"}}),
        json!({"Password": "{{resolve:secretsmanager:db}}"}),
    );
    assert_eq!(named, [row("Password", "${Pass}", "{{resolve:secretsmanager:db}}")]);
}

#[test]
fn statements_are_told_as_what_somebody_may_do() {
    let role = |trust: Value, statements: Value| {
        json!({"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": trust},
            "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": statements}}]}})
    };
    let lambda = json!([{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]);
    let read = json!([{"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [{"Fn::GetAtt": "B.Arn"}, "x"]}]);
    let statements = |before: &Value, after: &Value| told(before, after, &[], &[]).statements;
    let old = role(lambda.clone(), read.clone());
    // Order, names and brackets are no difference.
    let same = role(
        json!({"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com"]}, "Action": ["sts:AssumeRole"]}),
        json!([
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": ["x", {"Fn::GetAtt": ["B", "Arn"]}]},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["x", {"Fn::GetAtt": ["B", "Arn"]}]}
        ]),
    );
    assert_eq!(statements(&old, &same), Vec::<String>::new());
    // One action more, one less; a condition; a deny; another trust.
    let more = role(
        json!([{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]),
        json!([
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [{"Fn::GetAtt": "B.Arn"}, "x"]},
            {"Effect": "Deny", "NotAction": ["kms:*"], "Resource": "*", "Condition": {"StringEquals": {"aws:x": ["b", "a"]}}}
        ]),
    );
    assert_eq!(
        statements(&old, &more),
        [
            "+ anybody may now sts:AssumeRole",
            "- lambda.amazonaws.com may no longer sts:AssumeRole",
            "+ It may now s3:PutObject on ${B.Arn} and x",
            "- It is now denied everything but kms:* on *, where aws:x StringEquals a or b",
            "- It may no longer s3:ListBucket on ${B.Arn} and x",
        ]
    );
    assert!(statements(&more, &old).contains(
        &"+ It is no longer denied everything but kms:* on *, where aws:x StringEquals a or b".to_owned()
    ));
    // Who a bucket's policy names has it, also where the whole policy comes.
    let bucket = |policy: Value| json!({"Type": "AWS::S3::BucketPolicy", "Properties": policy});
    let policy = json!({"PolicyDocument": {"Statement": {"Effect": "Allow", "Principal": {"AWS": {"Fn::GetAtt": "R.Arn"}}, "Action": "s3:*", "Resource": "*"}}});
    assert_eq!(statements(&bucket(json!({})), &bucket(policy)), ["+ ${R.Arn} may now s3:* on *"]);
}

#[test]
fn what_makes_a_change_is_named() {
    let old = json!({"Resources": {
        "Topic": {"Type": "AWS::SNS::Topic"}, "F": {"Type": "AWS::Serverless::Function", "Properties": {"T": {"Ref": "Topic"}}}}});
    let mut changes = vec![
        Change::new("Modify", Some("True"), "Topic", "AWS::SNS::Topic"),
        Change::new("Modify", None, "F", "AWS::Lambda::Function"),
        Change::new("Modify", None, "FRole", "AWS::IAM::Role"),
        Change::new("Remove", None, "Gone", "AWS::SNS::Topic"),
    ];
    let none = BTreeMap::new();
    let filled = Filled { template: &old, parameters: &none };
    tell(&mut changes, filled, filled);
    let because: Vec<Vec<String>> = changes.into_iter().map(|change| change.because).collect();
    assert_eq!(
        because,
        [vec![], vec!["Topic is replaced".to_owned()], vec!["it is made of F".to_owned()], vec![]]
    );
    // Conditions and mappings are looked at where the resource refers to them, also through another condition.
    let of = |size: &str, mapped: &str| {
        json!({"Conditions": {"Big": {"Fn::Equals": [{"Ref": "AWS::Region"}, size]}, "Also": {"Fn::Not": [{"Condition": "Big"}]}},
            "Mappings": {"M": {"a": {"b": mapped}}, "N": {"a": {"b": mapped}}},
            "Resources": {"It": {"Type": "T", "Condition": "Also", "Properties": {"P": {"Fn::FindInMap": ["M", "a", "b"]}}}}})
    };
    let mut changes = [Change::new("Modify", None, "It", "T")];
    let (old, new) = (of("1", "1"), of("2", "2"));
    tell(
        &mut changes,
        Filled { template: &old, parameters: &none },
        Filled { template: &new, parameters: &none },
    );
    assert_eq!(changes[0].because, ["the condition Big is another one", "the mapping M is another one"]);
}
