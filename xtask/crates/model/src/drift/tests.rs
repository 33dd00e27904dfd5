//! What is a difference between an account and a template, and what is none.

use super::*;

fn pseudo() -> Pseudo {
    Pseudo {
        account_id: "111111111111".to_owned(),
        region: "eu-central-1".to_owned(),
        partition: "aws".to_owned(),
        stack_name: "s".to_owned(),
        stack_id: "i".to_owned(),
    }
}

fn things_of(template: &Value, parameters: &[(&str, &str)], resources: &[(&str, &str, &str)]) -> Vec<Thing> {
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resources: BTreeMap<String, (String, String)> = resources
        .iter()
        .map(|(id, physical, kind)| ((*id).to_owned(), ((*physical).to_owned(), (*kind).to_owned())))
        .collect();
    things(Deployed { template, parameters: &parameters, resources: &resources, pseudo: &pseudo() })
}

fn policy(statements: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[test]
fn what_a_template_wants_is_told_for_what_is_there() {
    let template = json!({
        "Parameters": {"Who": {"Type": "String", "Default": "me"}, "Pass": {"Type": "String", "NoEcho": true}},
        "Conditions": {"No": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "R": {"Type": "AWS::IAM::Role", "Properties": {
                "AssumeRolePolicyDocument": policy(json!({"Effect": "Allow", "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:user/${Who}-${Pass}"}}, "Action": "sts:AssumeRole"})),
                "PermissionsBoundary": {"Ref": "Bound"},
                "ManagedPolicyArns": [{"Fn::If": ["No", "x", {"Ref": "AWS::NoValue"}]}, "arn:aws:iam::aws:policy/P"],
                "Policies": [{"PolicyName": "own", "PolicyDocument": policy(json!([{"Effect": "Allow", "Action": "s3:*", "Resource": {"Fn::GetAtt": ["B", "Arn"]}}]))}]}},
            "P": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "more", "Roles": [{"Ref": "R"}], "PolicyDocument": policy(json!([{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": {"Fn::GetAtt": "K.Arn"}}]))}},
            "Bound": {"Type": "AWS::IAM::ManagedPolicy"},
            "K": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy(json!([]))}},
            "B": {"Type": "AWS::S3::Bucket"},
            "BP": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "B"}, "PolicyDocument": policy(json!([]))}},
            "Absent": {"Type": "AWS::IAM::Role", "Condition": "No"},
            "Odd": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Fn::ImportValue": "x"}}},
        }
    });
    let all = things_of(
        &template,
        &[("Who", "ann"), ("Pass", "****")],
        &[
            ("R", "role-1", "AWS::IAM::Role"),
            ("P", "p", "AWS::IAM::Policy"),
            ("Bound", "arn:aws:iam::111111111111:policy/b", "AWS::IAM::ManagedPolicy"),
            ("K", "key-1", "AWS::KMS::Key"),
            ("B", "bucket-1", "AWS::S3::Bucket"),
            ("BP", "bucket-1", "AWS::S3::BucketPolicy"),
            ("Odd", "key-2", "AWS::KMS::Key"),
        ],
    );
    let names: Vec<(&str, &str)> = all.iter().map(|one| (one.id.as_str(), one.physical.as_str())).collect();
    assert_eq!(names, [("BP", "bucket-1"), ("K", "key-1"), ("Odd", "key-2"), ("R", "role-1")]);
    assert!(all[2].wanted.as_ref().unwrap_err().contains("Fn::ImportValue"), "{:?}", all[2]);
    let Ok(Wanted::Role(role)) = &all[3].wanted else { panic!("{:?}", all[3]) };
    assert_eq!(role.boundary.as_deref(), Some("arn:aws:iam::111111111111:policy/b"));
    assert_eq!(role.attached, BTreeSet::from(["arn:aws:iam::aws:policy/P".to_owned()]));
    assert_eq!(role.inline["own"]["Statement"][0]["Resource"], "arn:aws:s3:::bucket-1");
    assert_eq!(
        role.inline["more"]["Statement"][0]["Resource"],
        "arn:aws:kms:eu-central-1:111111111111:key/key-1"
    );
    // A secret's value is nobody's to know: it may be any.
    let as_it_is = policy(
        json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:user/ann-geheim"}, "Action": "sts:AssumeRole"}),
    );
    assert_eq!(of_policy("trust", "R", &role.trust, &as_it_is), Vec::<String>::new());
}

#[test]
fn order_names_and_brackets_are_no_drift_and_everything_else_is() {
    let wanted = Role {
        trust: policy(
            json!({"Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": "sts:AssumeRole"}),
        ),
        boundary: Some("arn:aws:iam::1:policy/b".to_owned()),
        inline: BTreeMap::from([(
            "p".to_owned(),
            policy(json!([
            {"Sid": "A", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["a", "b"],
             "Condition": {"Bool": {"aws:SecureTransport": true}}},
            {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}])),
        )]),
        attached: BTreeSet::from(["arn:aws:iam::aws:policy/P".to_owned()]),
    };
    let same = Role {
        trust: policy(
            json!([{"Sid": "x", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::222222222222:root"]}, "Action": ["sts:assumerole"]}]),
        ),
        inline: BTreeMap::from([
            ("q".to_owned(), policy(json!({"Effect": "Deny", "Action": ["kms:*"], "Resource": ["*"]}))),
            (
                "r".to_owned(),
                policy(json!([
                {"Effect": "Allow", "Action": "s3:PutObject", "Resource": ["b", "a"], "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["a", "b"], "Condition": {"Bool": {"aws:SecureTransport": ["true"]}}}])),
            ),
        ]),
        ..wanted.clone()
    };
    assert_eq!(of_role("R", &wanted, &same), Vec::<String>::new());
    type Change = fn(&mut Role);
    let table: [(Change, &str); 8] = [
        (|role| role.boundary = None, "boundary: it is none; the template says arn:aws:iam::1:policy/b"),
        (
            |role| role.inline.clear(),
            "policy: - R may no longer s3:GetObject, s3:PutObject on a and b, where aws:SecureTransport Bool true",
        ),
        (
            |role| {
                drop(role.inline.insert(
                    "new".to_owned(),
                    policy(json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}])),
                ))
            },
            "policy: + R may now * on *",
        ),
        (|role| drop(role.inline.remove("q")), "policy: + R is no longer denied kms:* on *"),
        (|role| role.attached.clear(), "policy: arn:aws:iam::aws:policy/P is not attached any more"),
        (
            |role| role.attached.extend(["arn:aws:iam::aws:policy/Admin".to_owned()]),
            "policy: arn:aws:iam::aws:policy/Admin is attached, and is not in the template",
        ),
        (
            |role| role.trust["Statement"][0]["Principal"]["AWS"] = json!("*"),
            "trust: + anybody may now sts:AssumeRole",
        ),
        (
            |role| {
                role.trust["Statement"][0]["Condition"] =
                    json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}})
            },
            "trust: - account 222222222222 may no longer sts:AssumeRole",
        ),
    ];
    for (change, said) in table {
        let mut found = same.clone();
        change(&mut found);
        let all = of_role("R", &wanted, &found);
        let said = said.to_lowercase();
        assert!(all.iter().any(|one| one.to_lowercase() == said), "{said}: {all:?}");
    }
}

#[test]
fn what_nobody_knows_stands_for_anything() {
    let any = UNKNOWN;
    for (wanted, found, like) in [
        ("a".to_owned(), "a", true),
        ("a".to_owned(), "ab", false),
        (any.to_owned(), "", true),
        (format!("a{any}"), "abc", true),
        (format!("a{any}c"), "abc", true),
        (format!("a{any}c"), "abd", false),
        (format!("a{any}b{any}c"), "axbyc", true),
        (format!("a{any}b{any}c"), "axyc", false),
        (format!("{any}b"), "ab", true),
    ] {
        assert_eq!(is_like(&wanted, found), like, "{wanted:?} {found}");
    }
}
