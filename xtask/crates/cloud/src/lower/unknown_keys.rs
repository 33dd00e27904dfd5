//! Bucket policy statements whose conditions the emulator cannot evaluate are left out of it.
//!
//! It does not know these keys of S3, so it would refuse every upload that the statements allow. The access matrix
//! proves them; the emulator cannot.

use serde_json::Value;

use super::resources;

/// Condition keys that the emulator does not fill.
const UNKNOWN: [&str; 2] = ["s3:if-none-match", "s3:x-amz-server-side-encryption-aws-kms-key-id"];

/// Leaves out statements of bucket policies that rest on a key the emulator does not know.
pub(super) fn drop(template: &mut Value) {
    for (_, resource) in resources(template) {
        if resource.get("Type").and_then(Value::as_str) != Some("AWS::S3::BucketPolicy") {
            continue;
        }
        if let Some(statements) =
            resource.pointer_mut("/Properties/PolicyDocument/Statement").and_then(Value::as_array_mut)
        {
            statements.retain(|statement| !rests_on_unknown(statement));
        }
    }
}

fn rests_on_unknown(statement: &Value) -> bool {
    let operators = statement.get("Condition").and_then(Value::as_object);
    let mut keys =
        operators.into_iter().flatten().filter_map(|(_, keys)| keys.as_object()).flat_map(|keys| keys.keys());
    keys.any(|key| UNKNOWN.iter().any(|unknown| key.eq_ignore_ascii_case(unknown)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn only_what_cannot_be_evaluated_is_left_out() {
        let keep = json!({"Sid": "Tls", "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
        let drop_it = json!({"Sid": "Once", "Condition": {"Null": {"s3:if-none-match": "true"}}});
        let policy = |kind: &str| json!({"Resources": {"P": {"Type": kind, "Properties": {"PolicyDocument": {"Statement": [keep, drop_it]}}}}});
        let mut bucket = policy("AWS::S3::BucketPolicy");
        super::drop(&mut bucket);
        assert_eq!(bucket["Resources"]["P"]["Properties"]["PolicyDocument"]["Statement"], json!([keep]));
        let mut other = policy("AWS::IAM::ManagedPolicy");
        super::drop(&mut other);
        assert_eq!(other, policy("AWS::IAM::ManagedPolicy"));
    }
}
