//! Examples that AWS's IAM user guide publishes: a request and its decision, in our words, each with the title of its page.
//!
//! Where a page shows a picture of policies, they are written out here, with buckets for its resources.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = "123456789012";
const OTHER: &str = "444455556666";

use Decision::{Allow, ExplicitDeny, ImplicitDeny};

/// The policies that a page shows.
#[derive(Default)]
struct Policies {
    identity: Option<Value>,
    boundary: Option<Value>,
    session: Option<Value>,
    organization: Option<Value>,
    resource: Option<Value>,
}

fn read(policy: Option<&Value>, kind: Kind) -> Vec<Statement> {
    let all = policy.into_iter().flat_map(|policy| policy.as_array().into_iter().flatten());
    let place = |n: usize| Place { file: "page".into(), line: n, of: "P".into(), sid: n.to_string() };
    all.enumerate().map(|(n, one)| Statement::parse(one, place(n), kind, true, "aws", n).unwrap()).collect()
}

/// A request: a user of the account, the action, the resource and the account it belongs to, keys.
struct Asked<'a> {
    user: &'a str,
    action: &'a str,
    on: &'a str,
    owner: &'a str,
    keys: Value,
}

fn decided(policies: &Policies, asked: &Asked<'_>) -> Decision {
    let setting = Setting {
        region: "us-east-1".into(),
        partition: "aws".into(),
        url_suffix: "amazonaws.com".into(),
        organization: None,
        accounts: vec![ACCOUNT.into()],
    };
    let values = |value: &Value| match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    let keys = asked.keys.as_object().unwrap().iter();
    let keys: BTreeMap<String, Vec<String>> = keys.map(|(key, value)| (key.clone(), values(value))).collect();
    let caller = Caller::User { arn: format!("arn:aws:iam::{ACCOUNT}:user/{}", asked.user) };
    let request = Request::new(&caller, asked.action, asked.on, asked.owner, &setting, &keys).unwrap();
    let identity = read(policies.identity.as_ref(), Kind::Identity);
    let boundary = read(policies.boundary.as_ref(), Kind::Identity);
    let session = read(policies.session.as_ref(), Kind::Identity);
    let organization = read(policies.organization.as_ref(), Kind::Identity);
    let resource = read(policies.resource.as_ref(), Kind::Resource);
    let bearing = Bearing {
        identity: vec![&identity],
        boundary: policies.boundary.as_ref().map(|_| boundary.as_slice()),
        session: policies.session.as_ref().map(|_| session.as_slice()),
        scps: vec![&organization],
        resource: policies
            .resource
            .as_ref()
            .map(|_| ResourcePolicy { guard: Guard::Ordinary, statements: &resource }),
    };
    decide(&request, &bearing, &mut |statement, request| statement.matches(request)).unwrap().decision
}

/// Asks every request of a page; each as user, action, resource, keys and the decision that the page names.
fn hold(page: &str, policies: &Policies, owner: &str, table: &[(&str, &str, &str, Value, Decision)]) {
    for (user, action, on, keys, decision) in table {
        let asked = Asked { user, action, on, owner, keys: keys.clone() };
        assert_eq!(decided(policies, &asked), *decision, "“{page}”: {user} {action} on {on} with {keys}");
    }
}

fn identity(policy: Value) -> Policies {
    Policies { identity: Some(policy), ..Policies::default() }
}

fn bucket(actions: &[&str], name: &str) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")]})
}

fn with(mut statement: Value, principal: &str) -> Value {
    statement["Principal"] = json!({"AWS": format!("arn:aws:iam::{ACCOUNT}:user/{principal}")});
    statement
}

#[test]
fn four_users_and_three_resources() {
    let page = "Identity-based policies and resource-based policies";
    let (list, read, write) = ("s3:ListBucket", "s3:GetObject", "s3:PutObject");
    let of = |user: &str| match user {
        "JohnSmith" => json!([bucket(&[list, read], "x")]),
        "CarlosSalazar" => json!([bucket(&[list, read], "y"), bucket(&[list, read], "z")]),
        "MaryMajor" => json!([
            bucket(&[list, read, write], "x"),
            bucket(&[list, read, write], "y"),
            bucket(&[list, read, write], "z")
        ]),
        _ => json!([]),
    };
    let deny =
        json!({"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::z", "arn:aws:s3:::z/*"]});
    let on = |name: &str| match name {
        "x" => json!([
            with(bucket(&[list, read], "x"), "JohnSmith"),
            with(bucket(&[list, read], "x"), "MaryMajor")
        ]),
        "y" => json!([
            with(bucket(&[list, write], "y"), "CarlosSalazar"),
            with(bucket(&[list, read], "y"), "ZhangWei")
        ]),
        _ => json!([with(deny.clone(), "CarlosSalazar"), with(bucket(&["s3:*"], "z"), "ZhangWei")]),
    };
    let table = [
        ("JohnSmith", list, "x", Allow),
        ("JohnSmith", read, "x", Allow),
        ("JohnSmith", write, "x", ImplicitDeny),
        ("JohnSmith", read, "y", ImplicitDeny),
        ("CarlosSalazar", list, "y", Allow),
        ("CarlosSalazar", read, "y", Allow),
        ("CarlosSalazar", write, "y", Allow),
        ("CarlosSalazar", list, "z", ExplicitDeny),
        ("CarlosSalazar", read, "z", ExplicitDeny),
        ("MaryMajor", write, "x", Allow),
        ("MaryMajor", write, "y", Allow),
        ("MaryMajor", read, "z", Allow),
        ("ZhangWei", read, "x", ImplicitDeny),
        ("ZhangWei", write, "y", ImplicitDeny),
        ("ZhangWei", list, "z", Allow),
        ("ZhangWei", write, "z", Allow),
    ];
    for (user, action, name, decision) in table {
        let policies = Policies { identity: Some(of(user)), resource: Some(on(name)), ..Policies::default() };
        let what = if action == list { name.to_owned() } else { format!("{name}/object") };
        let row = (user, action, format!("arn:aws:s3:::{what}"), decision);
        hold(page, &policies, ACCOUNT, &[(row.0, row.1, &row.2, json!({}), row.3)]);
    }
}

#[test]
fn a_boundary_is_the_most_and_gives_nothing() {
    let page = "Permissions boundaries for IAM entities";
    let boundary =
        Some(json!([{"Effect": "Allow", "Action": ["s3:*", "cloudwatch:*", "ec2:*"], "Resource": "*"}]));
    let create = Some(json!([{"Effect": "Allow", "Action": "iam:CreateUser", "Resource": "*"}]));
    let user = "arn:aws:iam::123456789012:user/new";
    let both = Policies { identity: create.clone(), boundary: boundary.clone(), ..Policies::default() };
    hold(
        page,
        &both,
        ACCOUNT,
        &[
            ("ShirleyRodriguez", "iam:CreateUser", user, json!({}), ImplicitDeny),
            ("ShirleyRodriguez", "s3:ListAllMyBuckets", "*", json!({}), ImplicitDeny),
        ],
    );
    let alone = Policies { identity: create, ..Policies::default() };
    hold(page, &alone, ACCOUNT, &[("ShirleyRodriguez", "iam:CreateUser", user, json!({}), Allow)]);
    let storage = Some(json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]));
    let both = Policies { identity: storage, boundary, ..Policies::default() };
    hold(page, &both, ACCOUNT, &[("ShirleyRodriguez", "s3:ListAllMyBuckets", "*", json!({}), Allow)]);
}

#[test]
fn two_accounts_must_both_allow() {
    let page = "Cross-account policy evaluation logic";
    let production = "arn:aws:s3:::amzn-s3-demo-bucket-production";
    let identity = json!([
        {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:*Object*", "Resource": format!("{production}/*")},
        {"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::*log*", "arn:aws:s3:::*log*/*"]},
    ]);
    let opened = json!([with(
        json!({"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject*", "s3:ReplicateObject", "s3:RestoreObject"], "Resource": format!("{production}/*")}),
        "Carlos"
    )]);
    let both = Policies { identity: Some(identity.clone()), resource: Some(opened), ..Policies::default() };
    let object = format!("{production}/plan.txt");
    let log = format!("{production}/log.txt");
    hold(
        page,
        &both,
        OTHER,
        &[
            ("Carlos", "s3:PutObject", &object, json!({}), Allow),
            ("Carlos", "s3:GetObject", &object, json!({}), Allow),
            ("Carlos", "s3:DeleteObject", &object, json!({}), ImplicitDeny),
            ("Carlos", "s3:GetObject", &log, json!({}), ExplicitDeny),
        ],
    );
    // Only one of the accounts allows it.
    let shut = Policies { identity: Some(identity), ..Policies::default() };
    hold(page, &shut, OTHER, &[("Carlos", "s3:GetObject", &object, json!({}), ImplicitDeny)]);
}

#[test]
fn every_kind_of_policy_that_applies_must_allow() {
    let page = "Policy evaluation for requests within a single account";
    let object = "arn:aws:s3:::b/k";
    let all = json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]);
    let none = json!([{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]);
    let other = json!([{"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}]);
    let read = |policies: Policies, decision| {
        hold(page, &policies, ACCOUNT, &[("Ana", "s3:GetObject", object, json!({}), decision)]);
    };
    read(Policies::default(), ImplicitDeny);
    read(identity(all.clone()), Allow);
    read(Policies { organization: Some(none.clone()), ..identity(all.clone()) }, ExplicitDeny);
    read(Policies { session: Some(other), ..identity(all.clone()) }, ImplicitDeny);
    read(Policies { session: Some(all.clone()), ..identity(all.clone()) }, Allow);
    read(Policies { boundary: Some(none), ..identity(all) }, ExplicitDeny);
}

#[test]
fn several_values_of_a_key() {
    let page = "Multivalued context key examples";
    let tags = "arn:aws:iam::123456789012:user/u";
    let allowed = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let prefixes = json!([allowed, {"Effect": "Deny", "Action": ["iam:Tag*", "iam:Untag*"], "Resource": "*",
        "Condition": {"Null": {"aws:TagKeys": "false"}, "ForAllValues:StringLike": {"aws:TagKeys": ["key1*", "key2*", "key3*"]}}}]);
    let row = |keys: Value, decision| ("Ana", "iam:TagUser", tags, keys, decision);
    hold(
        page,
        &identity(prefixes),
        ACCOUNT,
        &[
            row(json!({"aws:TagKeys": ["key1:legal"]}), ExplicitDeny),
            row(json!({"aws:TagKeys": ["key1:hr", "key2:personnel"]}), ExplicitDeny),
            row(json!({"aws:TagKeys": ["key1:hr", "audit"]}), Allow),
            row(json!({"aws:TagKeys": ["audit"]}), Allow),
            row(json!({}), Allow),
        ],
    );
    let some = json!([allowed, {"Effect": "Deny", "Action": ["ec2:CreateSnapshot", "ec2:CreateSnapshots"], "Resource": "arn:aws:ec2:us-east-1::snapshot/*",
        "Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": ["environment", "webserver"]}}}]);
    let snapshot = "arn:aws:ec2:us-east-1::snapshot/snap-1";
    let row = |keys: Value, decision| ("Ana", "ec2:CreateSnapshot", snapshot, keys, decision);
    hold(
        page,
        &identity(some),
        ACCOUNT,
        &[
            row(json!({"aws:TagKeys": ["webserver"]}), ExplicitDeny),
            row(json!({"aws:TagKeys": ["environment", "webserver", "test"]}), ExplicitDeny),
            row(json!({"aws:TagKeys": ["test"]}), Allow),
            row(json!({}), Allow),
        ],
    );
}

#[test]
fn operators() {
    let page = "IAM JSON policy elements: Condition operators";
    let under = |condition: Value| {
        identity(json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": condition}]))
    };
    let read = |condition: Value, keys: Value, decision| {
        let row = [("Ana", "s3:GetObject", "arn:aws:s3:::b/k", keys, decision)];
        hold(page, &under(condition), ACCOUNT, &row);
    };
    let near = json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}});
    read(near.clone(), json!({"aws:SourceIp": "203.0.113.77"}), Allow);
    read(near, json!({"aws:SourceIp": "198.51.100.1"}), ImplicitDeny);
    let before = json!({"DateLessThan": {"aws:CurrentTime": "2020-06-30T00:00:00Z"}});
    read(before.clone(), json!({"aws:CurrentTime": "2020-06-29T23:59:59Z"}), Allow);
    read(before, json!({"aws:CurrentTime": "2020-07-01T00:00:00Z"}), ImplicitDeny);
    let plain = json!({"Bool": {"aws:SecureTransport": "false"}});
    read(plain, json!({}), ImplicitDeny);
    // A key that is not there matches what is negated, and what ends in IfExists.
    let tag = |operator: &str| json!({ operator: {"aws:PrincipalTag/job-category": "iamuser-admin"} });
    read(tag("StringEquals"), json!({}), ImplicitDeny);
    read(tag("StringEquals"), json!({"aws:PrincipalTag/job-category": "iamuser-admin"}), Allow);
    read(tag("StringEquals"), json!({"aws:PrincipalTag/job-category": "IAMUser-admin"}), ImplicitDeny);
    read(tag("StringEqualsIgnoreCase"), json!({"aws:PrincipalTag/job-category": "IAMUser-admin"}), Allow);
    read(tag("StringNotEquals"), json!({}), Allow);
    read(tag("StringEqualsIfExists"), json!({}), Allow);
    read(tag("StringEqualsIfExists"), json!({"aws:PrincipalTag/job-category": "other"}), ImplicitDeny);
    let temporary = json!({"Null": {"aws:TokenIssueTime": "true"}});
    read(temporary.clone(), json!({}), Allow);
    read(temporary, json!({"aws:TokenIssueTime": "2020-06-30T00:00:00Z"}), ImplicitDeny);
    let few = json!({"NumericLessThanEquals": {"s3:max-keys": "10"}});
    let list = |keys: Value, decision| ("Ana", "s3:ListBucket", "arn:aws:s3:::b", keys, decision);
    hold(
        page,
        &under(few),
        ACCOUNT,
        &[list(json!({"s3:max-keys": "10"}), Allow), list(json!({"s3:max-keys": "11"}), ImplicitDeny)],
    );
}
