//! A role of one account reads an object of another one: every policy that bears on that, the decision, and why.
//!
//! `cargo run -p causeway-iam --example decide`

use std::collections::BTreeMap;

use causeway_iam::{
    Bearing, Caller, Decision, Guard, Kind, Place, Request, ResourcePolicy, Setting, Statement, Verdict,
    decide,
};
use serde_json::{Value, json};

const HOME: &str = "111111111111";
const OTHER: &str = "222222222222";
const OBJECT: &str = "arn:aws:s3:::reports/2026/november.csv";

/// The statements of one policy; errors name the policy.
fn statements(of: &str, kind: Kind, all: &[Value]) -> Result<Vec<Statement>, String> {
    let parse = |(n, value): (usize, &Value)| {
        let sid = value["Sid"].as_str().map_or_else(|| n.to_string(), ToOwned::to_owned);
        let place = Place { file: format!("{of}.json"), line: 1, of: of.to_owned(), sid };
        Statement::parse(value, place, kind, true, "aws", n).map_err(|wrong| wrong.join("; "))
    };
    all.iter().enumerate().map(parse).collect()
}

/// The decision on reading the object, with a boundary and with or without an organization that forbids it.
fn ask(boundary: &Value, organization_forbids: bool) -> Result<Verdict, String> {
    let role = format!("arn:aws:iam::{HOME}:role/reader");
    let identity = statements(
        "identity",
        Kind::Identity,
        &[
            json!({"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::reports/*"}),
        ],
    )?;
    let boundary = statements("boundary", Kind::Identity, std::slice::from_ref(boundary))?;
    let session = statements(
        "session",
        Kind::Identity,
        &[
            json!({"Sid": "ThisYear", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/2026/*"}),
        ],
    )?;
    let bucket = statements(
        "bucket",
        Kind::Resource,
        &[json!({"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": role}, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::reports/*"})],
    )?;
    let forbidden = statements(
        "organization",
        Kind::Identity,
        &[json!({"Sid": "NothingOutside", "Effect": "Deny", "Action": "s3:*", "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:ResourceAccount": HOME}}})],
    )?;
    let setting = Setting {
        region: "eu-central-1".to_owned(),
        partition: "aws".to_owned(),
        url_suffix: "amazonaws.com".to_owned(),
        organization: None,
        accounts: vec![HOME.to_owned(), OTHER.to_owned()],
    };
    let caller = Caller::Role { arn: role.clone() };
    let request = Request::new(&caller, "s3:GetObject", OBJECT, OTHER, &setting, &BTreeMap::new())?;
    let bearing = Bearing {
        identity: vec![&identity],
        boundary: Some(&boundary),
        session: Some(&session),
        scps: if organization_forbids { vec![&forbidden] } else { Vec::new() },
        resource: Some(ResourcePolicy { guard: Guard::Ordinary, statements: &bucket }),
    };
    decide(&request, &bearing, &mut |statement, request| statement.matches(request))
}

/// A verdict in words.
fn told(verdict: &Verdict) -> String {
    let by: Vec<String> = verdict.by.iter().map(|place| format!("{}.{}", place.of, place.sid)).collect();
    match verdict.decision {
        Decision::Allow => format!("allowed by {}", by.join(", ")),
        Decision::ExplicitDeny => format!("denied by {}", by.join(", ")),
        Decision::ImplicitDeny => {
            format!("denied: {} does not allow it", verdict.lacking.unwrap_or("nothing"))
        }
    }
}

fn main() -> Result<(), String> {
    let wide = json!({"Sid": "Storage", "Effect": "Allow", "Action": "s3:*", "Resource": "*"});
    let narrow = json!({"Sid": "Topics", "Effect": "Allow", "Action": "sns:*", "Resource": "*"});
    let answers = [
        ("all policies agree", ask(&wide, false)?),
        ("a boundary for something else", ask(&narrow, false)?),
        ("an organization that forbids it", ask(&wide, true)?),
    ];
    for (name, verdict) in &answers {
        println!("{name:<32} {}", told(verdict));
    }
    Ok(())
}
