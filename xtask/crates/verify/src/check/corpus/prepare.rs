//! What a template of others needs before it can be deployed at all: values for its parameters, and the things of its author's
//! account that it names: objects in buckets, exports of other stacks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use causeway_model::template::text_of;

/// The value of each parameter that has no default, filled in by its type.
pub(super) fn parameters(template: &Value) -> BTreeMap<String, String> {
    let declared = template.get("Parameters").and_then(Value::as_object);
    let open = declared.into_iter().flatten().filter(|(_, one)| one.get("Default").is_none());
    open.map(|(name, declaration)| (name.clone(), value(name, declaration))).collect()
}

fn value(name: &str, declaration: &Value) -> String {
    if let Some(first) = declaration.get("AllowedValues").and_then(|all| all.get(0)) {
        return text_of(first);
    }
    let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or("String");
    let own = kind.trim_start_matches("AWS::SSM::Parameter::Value<").trim_start_matches("List<");
    let one = match own.trim_end_matches('>') {
        "Number" => declaration.get("MinValue").map_or_else(|| "1".to_owned(), text_of),
        "CommaDelimitedList" => "one,two".to_owned(),
        "AWS::EC2::Subnet::Id" => "subnet-0123456789abcdef0".to_owned(),
        "AWS::EC2::SecurityGroup::Id" => "sg-0123456789abcdef0".to_owned(),
        "AWS::EC2::VPC::Id" => "vpc-0123456789abcdef0".to_owned(),
        "AWS::EC2::Image::Id" => "ami-0123456789abcdef0".to_owned(),
        // A word that names resources as well as it is a name: letters alone, and no two parameters have the same.
        _ => {
            let word: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let least = declaration.get("MinLength").map_or_else(String::new, text_of).parse().unwrap_or(0);
            format!("{:x<least$}", word.to_ascii_lowercase())
        }
    };
    if kind.contains("Value<") { format!("/{name}") } else { one }
}

/// How templates name an object: its bucket, its key, and its version.
const OBJECTS: [(&str, &str, &str); 3] = [
    ("S3Bucket", "S3Key", "S3ObjectVersion"),
    ("Bucket", "Key", "Version"),
    ("BucketName", "Key", "Version"),
];

/// Buckets and keys that a template names as texts: of functions, layers, documents.
pub(super) fn objects(value: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    walk(value, &mut |value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let pair = OBJECTS
            .iter()
            .find_map(|(bucket, key, _)| Some((text(bucket)?.to_owned(), text(key)?.to_owned())));
        found.extend(pair);
        if let Some((bucket, key)) =
            value.as_str().and_then(|text| text.strip_prefix("s3://")?.split_once('/'))
        {
            let key = key.split_once('?').map_or(key, |(key, _)| key);
            found.insert((bucket.to_owned(), key.to_owned()));
        }
    });
    found
}

/// Leaves out which version of an object is meant: that is its author's, and the one made here has another.
pub(super) fn without_versions(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_versions),
        Value::Object(map) => {
            for (bucket, key, version) in OBJECTS {
                if map.contains_key(bucket) && map.contains_key(key) {
                    map.remove(version);
                }
            }
            map.values_mut().for_each(without_versions);
        }
        Value::String(text) if text.starts_with("s3://") => {
            text.truncate(text.find('?').unwrap_or(text.len()));
        }
        _ => {}
    }
}

/// Names of other stacks' exports.
pub(super) fn imports(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, &mut |value| {
        found.extend(value.get("Fn::ImportValue").and_then(Value::as_str).map(ToOwned::to_owned));
    });
    found
}

fn walk<'v>(value: &'v Value, look: &mut impl FnMut(&'v Value)) {
    look(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        Value::Object(map) => map.values().for_each(|item| walk(item, look)),
        _ => {}
    }
}

/// What an object is: a document where its name says so, else an empty zip.
pub(super) fn content(key: &str) -> String {
    let is = |ends: &[&str]| ends.iter().any(|end| key.ends_with(end));
    if is(&[".asl.json", ".asl.yaml", ".asl.yml"]) {
        return r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}"#.to_owned();
    }
    if is(&[".json", ".yaml", ".yml"]) {
        return r#"{"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {}}"#.to_owned();
    }
    if is(&[".graphql"]) {
        return "type Query { a: String }".to_owned();
    }
    // The end of a zip's directory that has no entry.
    format!("PK\u{5}\u{6}{}", "\0".repeat(18))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_filled_by_their_type() {
        let template = json!({"Parameters": {
            "Given": {"Type": "String", "Default": "x"}, "Word": {"Type": "String"}, "Long": {"Type": "String", "MinLength": 8},
            "One": {"Type": "Number"}, "Least": {"Type": "Number", "MinValue": 3}, "Which": {"Type": "String", "AllowedValues": ["b", "a"]},
            "All": {"Type": "CommaDelimitedList"}, "Nets": {"Type": "List<AWS::EC2::Subnet::Id>"},
            "Kept": {"Type": "AWS::SSM::Parameter::Value<String>"},
        }});
        let expected = [
            ("All", "one,two"),
            ("Kept", "/Kept"),
            ("Least", "3"),
            ("Long", "longxxxx"),
            ("Nets", "subnet-0123456789abcdef0"),
            ("One", "1"),
            ("Which", "b"),
            ("Word", "word"),
        ];
        let found = parameters(&template);
        assert_eq!(
            found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn versions_of_objects_alone_are_left_out() {
        let mut template = json!({"Version": "1", "a": [{"Bucket": "b", "Key": "k", "Version": "v"}], "c": {"S3Bucket": "c", "S3Key": "l", "S3ObjectVersion": "w"}, "d": "s3://b/k?versionId=v"});
        without_versions(&mut template);
        let left = json!({"Version": "1", "a": [{"Bucket": "b", "Key": "k"}], "c": {"S3Bucket": "c", "S3Key": "l"}, "d": "s3://b/k"});
        assert_eq!(template, left);
    }

    #[test]
    fn things_of_the_authors_account_are_found() {
        let template = json!({"a": [{"CodeUri": "s3://b/k.zip?versionId=1"}, {"Code": {"S3Bucket": "c", "S3Key": "l"}}, {"Bucket": {"Ref": "X"}, "Key": "m"}], "b": {"Fn::ImportValue": "e"}});
        let pair = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
        assert_eq!(objects(&template), BTreeSet::from([pair("b", "k.zip"), pair("c", "l")]));
        assert_eq!(imports(&template), BTreeSet::from(["e".to_owned()]));
        assert!(content("a/swagger.yaml").contains("openapi") && content("code").starts_with("PK"));
    }
}
