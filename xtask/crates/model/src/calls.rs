//! A request of the access matrix as the call that asks it: what goes over the wire, before it is signed.
//!
//! The call only has to come as far as the authorization: a body that means nothing is good enough, since a service
//! looks at the caller's rights first. Source of the forms: each service's API reference.

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use serde_json::{Value, json};

/// A call that is not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service, as signatures name it.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Headers besides the signature's.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// What an allowed call of these would take away from the calls after it.
const TAKES_AWAY: [&str; 9] = [
    "Delete",
    "Schedule",
    "Disable",
    "PutBucketPolicy",
    "PutKeyPolicy",
    "PutRole",
    "UpdateAssume",
    "Detach",
    "PutBucketVersioning",
];

/// Whether the call is better not made where it is allowed.
pub fn takes_away(action: &str) -> bool {
    let name = action.split(':').nth(1).unwrap_or_default();
    TAKES_AWAY.iter().any(|word| name.starts_with(word))
}

/// The call that asks for an action on a resource with the condition keys of the request; `None` where none does, or
/// where a key cannot be made true by a caller.
pub fn call(action: &str, resource: &str, keys: &BTreeMap<String, String>) -> Option<Call> {
    let (service, name) = action.split_once(':')?;
    let tail = resource.splitn(6, ':').nth(5).unwrap_or_default();
    let last = || tail.rsplit('/').next().unwrap_or_default().to_owned();
    let known = |allowed: &[&str]| keys.keys().all(|key| allowed.contains(&key.as_str()));
    match service {
        "s3" => s3(name, tail, keys),
        "iam" => iam(name, tail, resource, keys),
        _ if !known(&[]) => None,
        "kms" => kms(name, resource),
        "sts" if name == "AssumeRole" => {
            Some(query("sts", "2011-06-15", name, &[("RoleArn", resource), ("RoleSessionName", "asked")]))
        }
        "sns" => {
            let more: &[(&str, &str)] = match name {
                "Publish" => &[("Message", "asked")],
                "Subscribe" => &[("Protocol", "email"), ("Endpoint", "nobody@example.com")],
                "DeleteTopic" => &[],
                "SetTopicAttributes" => &[("AttributeName", "DisplayName"), ("AttributeValue", "asked")],
                _ => return None,
            };
            Some(query("sns", "2010-03-31", name, &[&[("TopicArn", resource)], more].concat()))
        }
        "cloudformation" if tail.starts_with("stack/") => {
            let stack = tail.split('/').nth(1)?;
            let plain = [
                "DescribeStacks",
                "DescribeStackEvents",
                "DescribeStackResources",
                "GetTemplate",
                "ListStackResources",
                "ListChangeSets",
                "DeleteStack",
                "ContinueUpdateRollback",
            ];
            plain
                .contains(&name)
                .then(|| query("cloudformation", "2010-05-15", name, &[("StackName", stack)]))
        }
        "dynamodb" if tail.starts_with("table/") => dynamodb(name, &last()),
        "lambda" => lambda(name, tail),
        "logs" => logs(name, tail),
        _ => None,
    }
}

fn s3(name: &str, tail: &str, keys: &BTreeMap<String, String>) -> Option<Call> {
    let mut headers = Vec::new();
    let mut prefix = None;
    for (key, value) in keys {
        match (key.as_str(), name) {
            ("s3:if-none-match", "PutObject") => headers.push(("if-none-match", value.clone())),
            ("s3:x-amz-server-side-encryption", "PutObject") => {
                headers.push(("x-amz-server-side-encryption", value.clone()));
            }
            ("s3:x-amz-server-side-encryption-aws-kms-key-id", "PutObject") => {
                headers.push(("x-amz-server-side-encryption-aws-kms-key-id", value.clone()));
            }
            ("s3:prefix", "ListBucket") => prefix = Some(value.as_str()),
            _ => return None,
        }
    }
    let listing = || {
        let mut all = Serializer::new(String::new());
        all.append_pair("list-type", "2");
        if let Some(prefix) = prefix {
            all.append_pair("prefix", prefix);
        }
        all.finish()
    };
    let of_object = tail.contains('/');
    let (method, query, body) = match name {
        "GetObject" => ("GET", String::new(), ""),
        "GetObjectVersion" => ("GET", "versionId=asked".to_owned(), ""),
        "GetObjectTagging" => ("GET", "tagging=".to_owned(), ""),
        "PutObject" => ("PUT", String::new(), "asked"),
        "PutObjectAcl" => ("PUT", "acl=".to_owned(), ""),
        "PutObjectTagging" => ("PUT", "tagging=".to_owned(), "<Tagging><TagSet/></Tagging>"),
        "DeleteObject" => ("DELETE", String::new(), ""),
        "DeleteObjectVersion" => ("DELETE", "versionId=asked".to_owned(), ""),
        "ListBucket" => ("GET", listing(), ""),
        "GetBucketAcl" => ("GET", "acl=".to_owned(), ""),
        "GetBucketLocation" => ("GET", "location=".to_owned(), ""),
        "GetBucketVersioning" => ("GET", "versioning=".to_owned(), ""),
        "PutBucketVersioning" => ("PUT", "versioning=".to_owned(), ""),
        "PutBucketPolicy" => ("PUT", "policy=".to_owned(), "{}"),
        "DeleteBucketPolicy" => ("DELETE", "policy=".to_owned(), ""),
        "PutLifecycleConfiguration" => ("PUT", "lifecycle=".to_owned(), ""),
        "DeleteBucket" => ("DELETE", String::new(), ""),
        _ => return None,
    };
    if of_object != name.contains("Object") {
        return None;
    }
    let path = if query.is_empty() { format!("/{tail}") } else { format!("/{tail}?{query}") };
    Some(Call { service: "s3", method, path, headers, body: body.to_owned() })
}

fn kms(name: &str, key: &str) -> Option<Call> {
    let mut body = json!({"KeyId": key});
    let more: &[(&str, &str)] = match name {
        "Encrypt" => &[("Plaintext", "YXNrZWQ=")],
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => &[("KeySpec", "AES_256")],
        "CreateGrant" => &[("GranteePrincipal", "arn:aws:iam::999999999999:root")],
        "PutKeyPolicy" => &[("PolicyName", "default"), ("Policy", "{}")],
        "DescribeKey" | "DisableKey" | "EnableKeyRotation" | "ScheduleKeyDeletion" => &[],
        _ => return None,
    };
    for (field, value) in more {
        body[*field] = json!(value);
    }
    Some(target("kms", format!("TrentService.{name}"), "1.1", &body))
}

fn iam(name: &str, tail: &str, resource: &str, keys: &BTreeMap<String, String>) -> Option<Call> {
    let own = tail.rsplit('/').next().unwrap_or_default();
    let mut fields: Vec<(&str, String)> = Vec::new();
    let mut put = |field: &'static str, value: &str| fields.push((field, value.to_owned()));
    let boundary = keys.get("iam:permissionsboundary");
    if keys.keys().any(|key| key != "iam:permissionsboundary") {
        return None;
    }
    // A role's boundary is given with the call only where it is made or set; elsewhere it is the role's own.
    let sets = ["CreateRole", "PutRolePermissionsBoundary"].contains(&name);
    if boundary.is_some() && !sets {
        return None;
    }
    if tail.starts_with("role/") {
        put("RoleName", own);
        match name {
            "CreateRole" => {
                let path = tail.strip_prefix("role").and_then(|path| path.strip_suffix(own)).unwrap_or("/");
                put("Path", path);
                put("AssumeRolePolicyDocument", "{}");
            }
            "GetRole"
            | "ListAttachedRolePolicies"
            | "ListRolePolicies"
            | "ListRoleTags"
            | "DeleteRole"
            | "DeleteRolePermissionsBoundary"
            | "UpdateRole" => {}
            "AttachRolePolicy" | "DetachRolePolicy" => {
                put("PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess")
            }
            "GetRolePolicy" | "DeleteRolePolicy" => put("PolicyName", "asked"),
            "PutRolePolicy" => {
                put("PolicyName", "asked");
                put("PolicyDocument", "{}");
            }
            "UpdateAssumeRolePolicy" => put("PolicyDocument", "{}"),
            "PutRolePermissionsBoundary" => {}
            _ => return None,
        }
        match (boundary, name) {
            (Some(boundary), _) => put("PermissionsBoundary", boundary),
            (None, "PutRolePermissionsBoundary") => return None,
            (None, _) => {}
        }
    } else if tail.starts_with("user/") {
        match name {
            "CreateUser" | "CreateAccessKey" => put("UserName", own),
            _ => return None,
        }
    } else if tail.starts_with("policy/") {
        put("PolicyArn", resource);
        match name {
            "GetPolicy" | "DeletePolicy" => {}
            "CreatePolicyVersion" => put("PolicyDocument", "{}"),
            "DeletePolicyVersion" | "SetDefaultPolicyVersion" => put("VersionId", "v9"),
            _ => return None,
        }
    } else {
        return None;
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(field, value)| (*field, value.as_str())).collect();
    Some(query("iam", "2010-05-08", name, &fields))
}

fn dynamodb(name: &str, table: &str) -> Option<Call> {
    let key = json!({"pk": {"S": "asked"}, "sk": {"S": "asked"}});
    let mut body = json!({"TableName": table});
    match name {
        "GetItem" | "DeleteItem" | "UpdateItem" => body["Key"] = key,
        "PutItem" => body["Item"] = key,
        "Query" => {
            body["KeyConditionExpression"] = json!("pk = :p");
            body["ExpressionAttributeValues"] = json!({":p": {"S": "asked"}});
        }
        "Scan" | "DeleteTable" | "UpdateTable" => {}
        _ => return None,
    }
    Some(target("dynamodb", format!("DynamoDB_20120810.{name}"), "1.0", &body))
}

fn lambda(name: &str, tail: &str) -> Option<Call> {
    // "You can append a version number or alias to any of the formats" of a function's name.
    let function = tail.strip_prefix("function:")?;
    let base = format!("/2015-03-31/functions/{function}");
    let (method, path, body) = match (name, function.contains(':')) {
        ("InvokeFunction", _) => ("POST", format!("{base}/invocations"), "{}"),
        ("DeleteFunction", _) => ("DELETE", base, ""),
        ("UpdateFunctionCode", false) => ("PUT", format!("{base}/code"), "{}"),
        ("AddPermission", false) => ("POST", format!("{base}/policy"), "{}"),
        _ => return None,
    };
    let headers = vec![("content-type", "application/json".to_owned())];
    Some(Call { service: "lambda", method, path, headers, body: body.to_owned() })
}

fn logs(name: &str, tail: &str) -> Option<Call> {
    let mut parts = tail.strip_prefix("log-group:")?.splitn(2, ":log-stream:");
    let (group, stream) = (parts.next()?.trim_end_matches(":*"), parts.next());
    let mut body = json!({"logGroupName": group});
    match (name, stream) {
        ("CreateLogGroup" | "FilterLogEvents" | "DeleteLogGroup", _) => {}
        ("PutRetentionPolicy", _) => body["retentionInDays"] = json!(30),
        ("CreateLogStream" | "DeleteLogStream" | "GetLogEvents", Some(stream)) => {
            body["logStreamName"] = json!(stream)
        }
        ("PutLogEvents", Some(stream)) => {
            body["logStreamName"] = json!(stream);
            body["logEvents"] = json!([]);
        }
        _ => return None,
    }
    Some(target("logs", format!("Logs_20140328.{name}"), "1.1", &body))
}

/// The call that makes a role which its own account may become.
pub fn new_role(name: &str, account: &str, partition: &str) -> Call {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": format!("arn:{partition}:iam::{account}:root")},
    }]});
    let fields = [("RoleName", name), ("AssumeRolePolicyDocument", &trust.to_string())];
    query("iam", "2010-05-08", "CreateRole", &fields)
}

/// The call that gives a role its one inline policy.
pub fn inline_policy(role: &str, policy: &Value) -> Call {
    let fields = [("RoleName", role), ("PolicyName", "rights"), ("PolicyDocument", &policy.to_string())];
    query("iam", "2010-05-08", "PutRolePolicy", &fields)
}

/// The call that makes a bucket.
pub fn new_bucket(name: &str, region: &str) -> Call {
    // "us-east-1" is the one region that CreateBucket does not want to be told.
    let place = format!(
        "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    );
    let body = if region == "us-east-1" { String::new() } else { place };
    Call { service: "s3", method: "PUT", path: format!("/{name}"), headers: Vec::new(), body }
}

/// A call by a form, in the query protocol.
pub fn query(service: &'static str, version: &str, action: &str, fields: &[(&str, &str)]) -> Call {
    let mut body = Serializer::new(String::new());
    body.append_pair("Action", action).append_pair("Version", version);
    body.extend_pairs(fields);
    let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
    Call { service, method: "POST", path: "/".to_owned(), headers, body: body.finish() }
}

/// A call in JSON, named by its header `X-Amz-Target`.
pub fn target(service: &'static str, target: String, version: &str, body: &Value) -> Call {
    let headers =
        vec![("content-type", format!("application/x-amz-json-{version}")), ("x-amz-target", target)];
    Call { service, method: "POST", path: "/".to_owned(), headers, body: body.to_string() }
}

/// The word that a service says what is wrong with, for instance `NoSuchKey`: nothing of the answer that could be secret.
pub fn code(body: &str) -> &str {
    let between = |start: &str, end: char| {
        let rest = body.split_once(start)?.1;
        rest.split_once(end).map(|(word, _)| word.rsplit('#').next().unwrap_or(word))
    };
    between("<Code>", '<')
        .or_else(|| between("\"__type\": \"", '"'))
        .or_else(|| between("\"__type\":\"", '"'))
        .unwrap_or_default()
}

/// What a service's answer says of the caller's rights.
///
/// # Errors
/// It says nothing of them: the signature or the keys are refused, or the service broke down.
pub fn answer(status: u16, body: &str) -> Result<bool, String> {
    // S3 and the query protocol: AccessDenied; JSON: AccessDeniedException; SNS: AuthorizationError; KMS and STS as those.
    if ["AccessDenied", "AuthorizationError", "UnauthorizedOperation"].iter().any(|code| body.contains(code))
    {
        return Ok(false);
    }
    let start: String = body.chars().take(300).collect();
    let broken = [
        "SignatureDoesNotMatch",
        "InvalidSignature",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "InvalidToken",
        "UnknownOperation",
    ];
    if status >= 500 || broken.iter().any(|code| body.contains(code)) {
        return Err(format!("{status} {start}"));
    }
    if status == 403 {
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn requests_become_calls() {
        let table = [
            ("s3:GetObjectVersion", "arn:aws:s3:::b/k/x", "GET /b/k/x?versionId=asked"),
            ("s3:ListBucket", "arn:aws:s3:::b", "GET /b?list-type=2"),
            (
                "sts:AssumeRole",
                "arn:aws:iam::1:role/r",
                "POST / Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=asked",
            ),
            (
                "iam:CreateRole",
                "arn:aws:iam::1:role/app/r",
                "POST / Action=CreateRole&Version=2010-05-08&RoleName=r&Path=%2Fapp%2F&AssumeRolePolicyDocument=%7B%7D",
            ),
            ("kms:DescribeKey", "arn:aws:kms:r:1:key/k", "POST / {\"KeyId\":\"arn:aws:kms:r:1:key/k\"}"),
            ("dynamodb:Scan", "arn:aws:dynamodb:r:1:table/t", "POST / {\"TableName\":\"t\"}"),
            (
                "lambda:InvokeFunction",
                "arn:aws:lambda:r:1:function:f:live",
                "POST /2015-03-31/functions/f:live/invocations {}",
            ),
            (
                "logs:CreateLogStream",
                "arn:aws:logs:r:1:log-group:/a/b:log-stream:x",
                "POST / {\"logGroupName\":\"/a/b\",\"logStreamName\":\"x\"}",
            ),
            (
                "sns:DeleteTopic",
                "arn:aws:sns:r:1:t",
                "POST / Action=DeleteTopic&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3At",
            ),
            (
                "cloudformation:DeleteStack",
                "arn:aws:cloudformation:r:1:stack/s/id",
                "POST / Action=DeleteStack&Version=2010-05-15&StackName=s",
            ),
        ];
        for (action, resource, expected) in table {
            let made =
                call(action, resource, &BTreeMap::new()).unwrap_or_else(|| panic!("no call for {action}"));
            assert_eq!(format!("{} {} {}", made.method, made.path, made.body).trim(), expected, "{action}");
        }
    }

    #[test]
    fn condition_keys_become_headers_and_fields_or_there_is_no_call() {
        let put = call("s3:PutObject", "arn:aws:s3:::b/k", &keys(&[("s3:if-none-match", "*")])).unwrap();
        assert_eq!(put.headers, [("if-none-match", "*".to_owned())]);
        let list = call("s3:ListBucket", "arn:aws:s3:::b", &keys(&[("s3:prefix", "a/")])).unwrap();
        assert_eq!(list.path, "/b?list-type=2&prefix=a%2F");
        let bound = keys(&[("iam:permissionsboundary", "arn:b")]);
        assert!(
            call("iam:CreateRole", "arn:aws:iam::1:role/r", &bound)
                .unwrap()
                .body
                .contains("PermissionsBoundary=arn%3Ab")
        );
        for (action, resource, given) in [
            ("iam:DeleteRole", "arn:aws:iam::1:role/r", ("iam:permissionsboundary", "arn:b")),
            ("iam:PassRole", "arn:aws:iam::1:role/r", ("iam:passedtoservice", "x")),
            ("kms:Decrypt", "arn:aws:kms:r:1:key/k", ("kms:viaservice", "s3")),
            ("s3:GetObject", "arn:aws:s3:::b/k", ("aws:securetransport", "false")),
        ] {
            assert_eq!(call(action, resource, &keys(&[given])), None, "{action}");
        }
    }

    #[test]
    fn a_bucket_is_made_where_its_region_says() {
        assert!(new_bucket("b", "eu-central-1").body.contains(">eu-central-1<"));
        assert_eq!(
            (new_bucket("b", "us-east-1").path.as_str(), new_bucket("b", "us-east-1").body.as_str()),
            ("/b", "")
        );
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(answer(403, "<Code>AccessDenied</Code>"), Ok(false));
        assert_eq!(answer(400, r#"{"__type":"AccessDeniedException"}"#), Ok(false));
        assert_eq!(answer(200, ""), Ok(true));
        assert_eq!(answer(404, "<Code>NoSuchKey</Code>"), Ok(true));
        assert!(answer(403, "<Code>SignatureDoesNotMatch</Code>").is_err());
        assert!(answer(500, "Traceback").is_err());
        assert_eq!(code("<Error><Code>NoSuchKey</Code></Error>"), "NoSuchKey");
        assert_eq!(
            code(r#"{"__type": "com.amazon#AccessDeniedException", "x": 1}"#),
            "AccessDeniedException"
        );
        assert_eq!(code(r#"{"SecretAccessKey": "s"}"#), "");
        assert!(takes_away("s3:DeleteBucket") && !takes_away("s3:GetObject"));
    }
}
