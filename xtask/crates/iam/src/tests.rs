//! What the guides say, as tables: actions and resources of a statement, and who a resource's policy lets past a boundary.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = "111111111111";

fn statement(value: &Value, kind: Kind) -> Statement {
    let place = Place { file: "t".into(), line: 1, of: "T".into(), sid: "0".into() };
    Statement::parse(value, place, kind, true, "aws", 0).unwrap()
}

fn request(caller: &Caller, action: &str, resource: &str, keys: &[(&str, &str)]) -> Request {
    let setting = Setting {
        region: "eu-central-1".into(),
        partition: "aws".into(),
        url_suffix: "amazonaws.com".into(),
        organization: None,
        accounts: vec![ACCOUNT.into()],
    };
    let given: BTreeMap<String, Vec<String>> =
        keys.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
    Request::new(caller, action, resource, ACCOUNT, &setting, &given).unwrap()
}

fn role() -> Caller {
    Caller::Role { arn: format!("arn:aws:iam::{ACCOUNT}:role/r") }
}

fn applies(value: &Value, action: &str, resource: &str) -> bool {
    statement(value, Kind::Identity).matches(&request(&role(), action, resource, &[])).unwrap().applies()
}

#[test]
fn actions_are_matched_whatever_their_case() {
    let table = [
        ("s3:GetObject", "s3:GetObject", true),
        ("S3:getobject", "s3:GetObject", true),
        ("s3:GETO*", "s3:GetObject", true),
        ("s3:Get?bject", "s3:GetObject", true),
        ("s3:*", "s3:GetObject", true),
        ("*", "s3:GetObject", true),
        ("s3:GetObject", "s3:GetObjectVersion", false),
        ("s3:GetObject*", "s3:GetObjectVersion", true),
        ("sns:*", "s3:GetObject", false),
    ];
    for (pattern, action, expected) in table {
        let allows = json!({"Effect": "Allow", "Action": pattern, "Resource": "*"});
        assert_eq!(applies(&allows, action, "arn:aws:s3:::b/k"), expected, "{pattern} {action}");
        let all_but = json!({"Effect": "Allow", "NotAction": pattern, "Resource": "*"});
        assert_eq!(applies(&all_but, action, "arn:aws:s3:::b/k"), !expected, "not {pattern} {action}");
    }
}

// Source: IAM user guide, "IAM JSON policy elements: Resource": wildcards stand within the parts of an ARN that colons
// separate; the last part, which may hold colons itself, is one.
#[test]
fn resources_are_matched_part_by_part_and_in_their_case() {
    let log = "arn:aws:logs:eu-central-1:1:log-group:/g:log-stream:s";
    let function = "arn:aws:lambda:eu-central-1:1:function:f";
    let version = "arn:aws:lambda:eu-central-1:1:function:f:7";
    let table = [
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/k/l", true),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
        ("arn:aws:s3:::b/K", "arn:aws:s3:::b/k", false),
        ("arn:aws:s3:::b?/k", "arn:aws:s3:::bc/k", true),
        ("arn:aws:s3:::b*", "arn:aws:s3:::bc/k", true),
        ("arn:aws:logs:*:1:log-group:/g:*", log, true),
        ("arn:aws:logs:*:1:log-group:/g", log, false),
        ("arn:aws:logs:*:*:log-group:*:log-stream:s", log, true),
        ("arn:aws:logs:eu-*:1:log-group:/g:log-stream:*", log, true),
        ("arn:aws:logs:*:2:log-group:*", log, false),
        ("arn:aws:lambda:*:1:function:f", version, false),
        ("arn:aws:lambda:*:1:function:f:*", version, true),
        ("arn:aws:lambda:*:1:function:f:*", function, false),
        ("arn:aws:lambda:*:1:function:f*", version, true),
        ("arn:aws:lambda:*:function:f", function, false),
        ("arn:*:lambda:*:*:*", function, true),
        ("*", function, true),
    ];
    for (pattern, resource, expected) in table {
        let service = resource.split(':').nth(2).unwrap();
        let action = match service {
            "s3" => "s3:GetObject",
            "logs" => "logs:PutLogEvents",
            _ => "lambda:InvokeFunction",
        };
        let wanted = json!({"Effect": "Allow", "Action": action, "Resource": pattern});
        assert_eq!(applies(&wanted, action, resource), expected, "{pattern} {resource}");
        let all_but = json!({"Effect": "Allow", "Action": action, "NotResource": pattern});
        assert_eq!(applies(&all_but, action, resource), !expected, "not {pattern} {resource}");
    }
}

/// The decision on a read of an object by a role that has no policy but a boundary for something else.
fn bounded(resource: &[Value], boundary: bool, identity: &[Value]) -> Verdict {
    let all = |values: &[Value], kind| -> Vec<Statement> {
        values.iter().map(|value| statement(value, kind)).collect()
    };
    let (guard, own) = (all(resource, Kind::Resource), all(identity, Kind::Identity));
    let other = json!({"Effect": "Allow", "Action": "sns:*", "Resource": "*"});
    let limit = all(&[if identity.is_empty() { other } else { identity[0].clone() }], Kind::Identity);
    let bearing = Bearing {
        identity: vec![&own],
        boundary: boundary.then_some(limit.as_slice()),
        resource: Some(ResourcePolicy { guard: Guard::Ordinary, statements: &guard }),
        ..Bearing::default()
    };
    let request = request(&role(), "s3:GetObject", "arn:aws:s3:::b/k", &[]);
    decide(&request, &bearing, &mut |statement, request| statement.matches(request)).unwrap()
}

fn grant(principal: Value, condition: Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*", "Condition": condition})
}

// "Identity-based policy types, such as permissions boundaries or session policies, do not limit permissions granted using
// the aws:PrincipalArn condition key with a wildcard(*) in the Principal element" ("IAM role principals").
#[test]
fn a_boundary_does_not_limit_what_everybody_is_granted() {
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/r");
    let named = grant(json!({"AWS": arn}), json!({}));
    let by_key = grant(json!("*"), json!({"ArnEquals": {"aws:PrincipalArn": arn}}));
    let other_key = grant(json!("*"), json!({"ArnEquals": {"aws:PrincipalArn": format!("{arn}x")}}));
    let table = [
        (vec![named.clone()], false),
        (vec![by_key.clone()], true),
        (vec![grant(json!("*"), json!({}))], true),
        (vec![other_key], false),
        // The stronger grant counts, wherever it stands.
        (vec![named.clone(), by_key.clone()], true),
        (vec![by_key, named], true),
    ];
    for (resource, expected) in table {
        let verdict = bounded(&resource, true, &[]);
        assert_eq!(verdict.allowed(), expected, "{resource:?} {verdict:?}");
    }
}

// "NotPrincipal … with a Deny effect will always deny any IAM principal that has a permissions boundary policy attached"
// ("Permissions boundaries for IAM entities").
#[test]
fn a_denial_to_all_but_some_denies_whoever_has_a_boundary() {
    let spared = json!({"AWS": [format!("arn:aws:iam::{ACCOUNT}:role/r"), ACCOUNT]});
    let deny =
        |action: &str| json!({"Effect": "Deny", "NotPrincipal": spared, "Action": action, "Resource": "*"});
    let own = [json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})];
    assert!(bounded(&[deny("s3:*")], false, &own).allowed());
    assert_eq!(bounded(&[deny("s3:*")], true, &own).decision, Decision::ExplicitDeny);
    assert!(bounded(&[deny("s3:PutObject")], true, &own).allowed(), "another action");
}
