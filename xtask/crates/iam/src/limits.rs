//! What AWS refuses to store: policies over their size limits.

use serde_json::Value;

/// A size limit, with where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, as in "the inline policies of a role".
    pub what: &'static str,
    /// Characters, or bytes where AWS counts bytes.
    pub most: usize,
    /// The page that says so.
    pub source: &'static str,
}

impl Limit {
    /// All inline policies of a role together.
    pub const INLINE: Limit =
        Limit { what: "the inline policies of a role", most: 10_240, source: "IAM and AWS STS quotas" };
    /// One managed policy.
    pub const MANAGED: Limit =
        Limit { what: "a managed policy", most: 6_144, source: "IAM and AWS STS quotas" };
    /// A trust policy; the default quota.
    pub const TRUST: Limit = Limit { what: "a trust policy", most: 2_048, source: "IAM and AWS STS quotas" };
    /// A bucket policy.
    pub const BUCKET: Limit =
        Limit { what: "a bucket policy", most: 20_480, source: "Amazon S3: Bucket policies" };
    /// A key policy.
    pub const KEY: Limit = Limit { what: "a key policy", most: 32_768, source: "AWS KMS: Resource quotas" };
    /// A topic's policy.
    pub const TOPIC: Limit =
        Limit { what: "a topic policy", most: 30_720, source: "Amazon SNS endpoints and quotas" };
    /// A queue's policy.
    pub const QUEUE: Limit =
        Limit { what: "a queue policy", most: 8_192, source: "Amazon SQS policy quotas" };
    /// A service control policy.
    pub const SCP: Limit =
        Limit { what: "a service control policy", most: 5_120, source: "Quotas for AWS Organizations" };
}

/// The size of a policy as IAM counts it: without white space.
///
/// Source: "IAM and AWS STS quotas": "IAM doesn't count white space when calculating the size of a policy". What stands
/// inside of strings counts.
pub fn size(document: &Value) -> usize {
    document.to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size(&json!({"Statement": [{"Sid": "A"}]})), r#"{"Statement":[{"Sid":"A"}]}"#.len());
    }
}
