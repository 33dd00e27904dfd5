//! `aws:PrincipalArn` of a session: on AWS it is the role's ARN, in the emulator the session's, and for S3 across
//! accounts the account's root. Conditions on it get the forms the emulator knows besides their own.

use serde_json::{Value, json};

use super::resources;

/// Extends every condition on `aws:PrincipalArn` in the template.
pub(super) fn extend(template: &mut Value) {
    for (_, resource) in resources(template) {
        let bucket_policy = resource.get("Type").and_then(Value::as_str) == Some("AWS::S3::BucketPolicy");
        if let Some(properties) = resource.get_mut("Properties") {
            walk(properties, bucket_policy);
        }
    }
}

fn walk(value: &mut Value, bucket_policy: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, bucket_policy)),
        Value::Object(map) => {
            if let Some(condition) = map.get_mut("Condition").and_then(Value::as_object_mut) {
                let operators: Vec<String> = condition.keys().cloned().collect();
                for operator in operators {
                    extend_operator(condition, &operator, bucket_policy);
                }
            }
            map.values_mut().for_each(|item| walk(item, bucket_policy));
        }
        _ => {}
    }
}

/// `ArnEquals` becomes `ArnLike` (IAM treats them alike; the emulator's sessions need a wildcard), with all forms.
fn extend_operator(condition: &mut serde_json::Map<String, Value>, operator: &str, bucket_policy: bool) {
    let wide = match operator {
        "ArnEquals" => "ArnLike",
        "ArnNotEquals" => "ArnNotLike",
        "ArnEqualsIfExists" => "ArnLikeIfExists",
        "ArnNotEqualsIfExists" => "ArnNotLikeIfExists",
        other if other.starts_with("Arn") || other.starts_with("String") => other,
        _ => return,
    };
    let Some(keys) = condition.get_mut(operator).and_then(Value::as_object_mut) else { return };
    let Some(key) = keys.keys().find(|key| key.eq_ignore_ascii_case("aws:PrincipalArn")).cloned() else {
        return;
    };
    let Some(value) = keys.shift_remove(&key) else { return };
    if keys.is_empty() {
        condition.shift_remove(operator);
    }
    let patterns = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    let mut all = Vec::new();
    for pattern in patterns {
        all.extend(session_form(&pattern));
        if bucket_policy {
            all.extend(root_form(&pattern));
        }
        all.push(pattern);
    }
    let slot = condition.entry(wide).or_insert_with(|| json!({}));
    if let Some(slot) = slot.as_object_mut() {
        slot.insert(key, Value::Array(all));
    }
}

/// `arn:…:iam::A:role/path/NAME` as `arn:…:sts::A:assumed-role/NAME/*`.
fn session_form(pattern: &Value) -> Option<Value> {
    map_text(pattern, |text| {
        let (head, role) = text.split_once(":role/")?;
        let name = role.rsplit('/').next()?;
        Some(format!("{}:assumed-role/{name}/*", head.replacen(":iam::", ":sts::", 1)))
    })
}

/// `arn:…:iam::A:role/NAME` as `arn:…:iam::A:root`.
fn root_form(pattern: &Value) -> Option<Value> {
    map_text(pattern, |text| text.split_once(":role/").map(|(head, _)| format!("{head}:root")))
}

/// Applies a change of text to a literal or to the text of a `Fn::Sub`.
fn map_text(pattern: &Value, change: impl Fn(&str) -> Option<String>) -> Option<Value> {
    match pattern {
        Value::String(text) => change(text).map(Value::from),
        Value::Object(map) => match map.get("Fn::Sub")? {
            Value::String(text) => change(text).map(|text| json!({"Fn::Sub": text})),
            Value::Array(parts) => {
                let text = change(parts.first()?.as_str()?)?;
                Some(json!({"Fn::Sub": [text, parts.get(1)?]}))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(kind: &str, condition: Value) -> Value {
        let mut template = json!({"Resources": {"R": {"Type": kind, "Properties": {"Statement": [{"Condition": condition}]}}}});
        extend(&mut template);
        template["Resources"]["R"]["Properties"]["Statement"][0]["Condition"].clone()
    }

    #[test]
    fn roles_get_their_session_form() {
        assert_eq!(
            extended(
                "AWS::IAM::Role",
                json!({"ArnEquals": {"aws:PrincipalArn": {"Fn::Sub": "arn:${AWS::Partition}:iam::${B}:role/${P}-pipeline"}}})
            ),
            json!({"ArnLike": {"aws:PrincipalArn": [
                {"Fn::Sub": "arn:${AWS::Partition}:sts::${B}:assumed-role/${P}-pipeline/*"},
                {"Fn::Sub": "arn:${AWS::Partition}:iam::${B}:role/${P}-pipeline"},
            ]}})
        );
    }

    #[test]
    fn bucket_policies_get_the_root_form_too() {
        assert_eq!(
            extended(
                "AWS::S3::BucketPolicy",
                json!({"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/a/b-action"]}, "Bool": {"x": "y"}})
            ),
            json!({"Bool": {"x": "y"}, "ArnNotLike": {"aws:PrincipalArn": [
                "arn:aws:sts::*:assumed-role/b-action/*", "arn:aws:iam::*:root", "arn:aws:iam::*:role/a/b-action",
            ]}})
        );
    }

    #[test]
    fn everything_else_stays() {
        for condition in [
            json!({"StringEquals": {"aws:SourceAccount": "1"}}),
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:x"}}),
            json!({"Null": {"aws:PrincipalArn": "true"}}),
        ] {
            assert_eq!(extended("AWS::IAM::Role", condition.clone()), condition);
        }
    }
}
