//! `ParameterOverrides` of a CloudFormation action: texts, and the two functions that read artifacts.
//!
//! Source: "Using parameter override functions with CodePipeline pipelines" in the CloudFormation user guide.

use std::collections::BTreeMap;

use serde_json::Value;

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// As it stands.
    Text(String),
    /// `Fn::GetArtifactAtt`: an artifact's bucket, key or address.
    Attribute(String, Attribute),
    /// `Fn::GetParam`: a key of a JSON file in an artifact.
    FromFile(String, String, String),
}

/// What is known of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The bucket.
    BucketName,
    /// The key.
    ObjectKey,
    /// The address.
    Url,
}

impl Override {
    /// The artifact it reads.
    pub fn artifact(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Attribute(artifact, _) | Self::FromFile(artifact, _, _) => Some(artifact),
        }
    }
}

/// Reads them.
///
/// # Errors
/// It is no JSON object, or a value is neither a text nor one of the two functions.
pub fn read(text: &str) -> Result<BTreeMap<String, Override>, String> {
    let all: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON object ({error})"))?;
    all.into_iter().map(|(name, value)| Ok((name.clone(), one(&name, &value)?))).collect()
}

fn one(name: &str, value: &Value) -> Result<Override, String> {
    let words = |list: &Value| -> Option<Vec<String>> {
        list.as_array()?.iter().map(|word| word.as_str().map(ToOwned::to_owned)).collect()
    };
    match value {
        Value::String(text) => return Ok(Override::Text(text.clone())),
        Value::Number(_) | Value::Bool(_) => return Ok(Override::Text(value.to_string())),
        Value::Array(_) => {
            // CloudFormation's own lists, written out.
            if let Some(all) = words(value) {
                return Ok(Override::Text(all.join(",")));
            }
        }
        Value::Object(map) => {
            if let (1, Some((function, list))) = (map.len(), map.iter().next())
                && let Some(list) = words(list)
            {
                match (function.as_str(), list.as_slice()) {
                    ("Fn::GetArtifactAtt", [artifact, attribute]) => {
                        let attribute = match attribute.as_str() {
                            "BucketName" => Attribute::BucketName,
                            "ObjectKey" => Attribute::ObjectKey,
                            "URL" => Attribute::Url,
                            other => {
                                return Err(format!(
                                    "{name}: an artifact has no {other}; it has BucketName, ObjectKey and URL"
                                ));
                            }
                        };
                        return Ok(Override::Attribute(artifact.clone(), attribute));
                    }
                    ("Fn::GetParam", [artifact, file, key]) => {
                        return Ok(Override::FromFile(artifact.clone(), file.clone(), key.clone()));
                    }
                    _ => {}
                }
            }
        }
        Value::Null => {}
    }
    Err(format!("{name} is neither a text nor Fn::GetArtifactAtt or Fn::GetParam of an artifact"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_texts_and_two_functions() {
        let text = r#"{"A": "x", "B": {"Fn::GetArtifactAtt": ["Out", "BucketName"]}, "C": {"Fn::GetParam": ["Out", "p.json", "k"]}, "D": 3}"#;
        let all = read(text).unwrap();
        assert_eq!(all["A"], Override::Text("x".into()));
        assert_eq!(all["B"], Override::Attribute("Out".into(), Attribute::BucketName));
        assert_eq!(all["C"], Override::FromFile("Out".into(), "p.json".into(), "k".into()));
        assert_eq!(all["D"], Override::Text("3".into()));
        assert_eq!((all["A"].artifact(), all["C"].artifact()), (None, Some("Out")));
        for text in [
            "[]",
            "x",
            r#"{"A": {"Ref": "x"}}"#,
            r#"{"A": {"Fn::GetArtifactAtt": ["Out", "Arn"]}}"#,
            r#"{"A": {"Fn::GetArtifactAtt": ["Out"]}}"#,
            r#"{"A": null}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
