//! What a stack leaves behind when it is deleted: resources whose `DeletionPolicy` keeps them.

use serde::Serialize;

use super::template::Node;

/// What becomes of something that outlives its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A bucket is emptied, every version, and removed.
    Bucket,
    /// A table is removed with its items.
    Table,
    /// A key is scheduled for deletion.
    Key,
    /// It goes with what it belongs to.
    Follows,
    /// Nothing is known of how to remove it, so it stays.
    Stays,
}

/// The logical ids and types of resources that outlive their stack, in the order of the template.
pub fn retained(template: &Node) -> Vec<(String, String)> {
    let resources = template.get("Resources").map(Node::entries).unwrap_or_default();
    resources
        .iter()
        .filter(|(_, node)| {
            node.get("DeletionPolicy")
                .and_then(Node::as_str)
                .is_some_and(|policy| policy.starts_with("Retain"))
        })
        .filter_map(|(key, node)| Some((key.name.clone(), node.get("Type")?.as_str()?.to_owned())))
        .collect()
}

/// What becomes of a resource of that type.
pub fn fate(resource_type: &str) -> Fate {
    match resource_type {
        "AWS::S3::Bucket" => Fate::Bucket,
        "AWS::DynamoDB::Table" => Fate::Table,
        "AWS::KMS::Key" => Fate::Key,
        // SAM keeps every version of a function; the function's end is theirs.
        "AWS::Lambda::Version" => Fate::Follows,
        _ => Fate::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::parse;
    use super::*;

    #[test]
    fn every_policy_that_keeps_counts() {
        let text = "Resources:\n  A: {Type: AWS::S3::Bucket, DeletionPolicy: Retain}\n  B: {Type: AWS::SNS::Topic}\n  C: {Type: AWS::KMS::Key, DeletionPolicy: RetainExceptOnCreate}\n  D: {Type: AWS::S3::Bucket, DeletionPolicy: Delete}\n";
        let found = retained(&parse(text).unwrap());
        assert_eq!(found, [("A".into(), "AWS::S3::Bucket".into()), ("C".into(), "AWS::KMS::Key".into())]);
        assert_eq!(fate("AWS::KMS::Key"), Fate::Key);
        assert_eq!(fate("AWS::Lambda::Version"), Fate::Follows);
        assert_eq!(fate("AWS::Logs::LogGroup"), Fate::Stays);
        assert_eq!(fate("AWS::EFS::FileSystem"), Fate::Stays);
    }
}
