//! What stands before a template is plain CloudFormation: its transforms, in the order in which CloudFormation applies them.
//!
//! Included documents are put in here, macros that somebody wrote are refused by name. What AWS's own transforms make is
//! for [`Expand`] to say, which asks AWS's translator.
//!
//! Source: CloudFormation user guide, "Template macros", "AWS::Include transform", "AWS::LanguageExtensions transform".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Pseudo, parse};

/// The transform of serverless resources.
pub(super) const SERVERLESS: &str = "AWS::Serverless-2016-10-31";
/// The transform of loops and further intrinsic functions.
pub(super) const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";
/// The transform that puts a document of S3 in.
pub(super) const INCLUDE: &str = "AWS::Include";

/// An included document may include another only so deep, so that no circle hangs us.
const MAX_INCLUDES: usize = 8;

/// A template with everything that its expansion depends on.
#[derive(Debug, Clone, Copy)]
pub struct Unexpanded<'a> {
    /// The template in long form.
    pub template: &'a Value,
    /// The parameters' actual values; those that are absent have the template's default.
    pub parameters: &'a BTreeMap<String, String>,
    /// Account, region and stack.
    pub pseudo: &'a Pseudo,
}

/// Why a template could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A macro that somebody deployed to their account.
    #[error(
        "No transform named {0} found: only CloudFormation itself can run a macro, so nothing can be said of this template"
    )]
    Macro(String),
    /// An included document that cannot be had.
    #[error("Transform AWS::Include failed with: {location}: {why}")]
    Include {
        /// Where it should be.
        location: String,
        /// Why it is not to be had.
        why: String,
    },
    /// A transform that refused the template, in its own words.
    #[error("Transform {transform} failed with: {message}")]
    Refused {
        /// The transform's name.
        transform: String,
        /// What it says; it names the resource.
        message: String,
    },
    /// The translator could not be asked.
    #[error("the template could not be expanded: {0}")]
    Unasked(String),
}

impl ExpandError {
    /// The logical id that a refusal names, as SAM words it: "Resource with id [X] is invalid."
    pub fn logical_id(&self) -> Option<&str> {
        let Self::Refused { message, .. } = self else { return None };
        let (_, rest) = message.split_once("with id [")?;
        rest.split(']').next()
    }
}

/// Runs AWS's transforms.
pub trait Expand {
    /// The plain template that AWS's transforms make; only [`SERVERLESS`] and [`LANGUAGE_EXTENSIONS`] are asked for.
    ///
    /// # Errors
    /// A transform refuses the template, or cannot be asked.
    fn expand(&self, unexpanded: Unexpanded<'_>) -> Result<Value, ExpandError>;
}

/// The documents that a template includes: their text by where they lie.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The plain template: documents included, transforms applied, nothing left to expand. A template without transforms comes
/// back as it is.
///
/// # Errors
/// See [`ExpandError`].
pub fn expanded(
    expand: &dyn Expand,
    read: Read<'_>,
    unexpanded: Unexpanded<'_>,
) -> Result<Value, ExpandError> {
    let mut template = unexpanded.template.clone();
    include(&mut template, read, 0)?;
    let mut names = Vec::new();
    for transform in transforms(template.get("Transform")) {
        match transform {
            Value::String(name) if name == SERVERLESS || name == LANGUAGE_EXTENSIONS => names.push(name),
            Value::String(name) => return Err(ExpandError::Macro(name)),
            other => {
                let name = other.get("Name").and_then(Value::as_str).unwrap_or("(unnamed)");
                return Err(ExpandError::Macro(name.to_owned()));
            }
        }
    }
    if names.is_empty() {
        return Ok(template);
    }
    expand.expand(Unexpanded { template: &template, ..unexpanded })
}

/// Whether a template in long form has anything that must be expanded.
pub fn has_transform(template: &Value) -> bool {
    !transforms(template.get("Transform")).is_empty() || uses(template)
}

fn uses(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("Fn::Transform") || map.values().any(uses),
        Value::Array(items) => items.iter().any(uses),
        _ => false,
    }
}

/// The transforms that a `Transform` section names: texts, or maps with a name and parameters.
pub fn transforms(section: Option<&Value>) -> Vec<Value> {
    match section {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
    }
}

/// Puts every included document in its place. Siblings of the transform stay, and win over what the document says.
fn include(value: &mut Value, read: Read<'_>, depth: usize) -> Result<(), ExpandError> {
    if depth > MAX_INCLUDES {
        return Err(ExpandError::Include {
            location: "a document that is included".to_owned(),
            why: format!("documents include each other more than {MAX_INCLUDES} deep"),
        });
    }
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| include(item, read, depth)),
        Value::Object(map) => {
            map.values_mut().try_for_each(|item| include(item, read, depth))?;
            if let Some(transform) = map.shift_remove("Fn::Transform") {
                let document = fetched(&transform, read, depth)?;
                if map.is_empty() {
                    *value = document;
                } else {
                    merge(map, document);
                }
                return Ok(());
            }
            // At the top level the same is one of the template's transforms.
            let all = transforms(map.get("Transform"));
            let (includes, others): (Vec<Value>, Vec<Value>) =
                all.into_iter().partition(|one| one.get("Name").is_some_and(|name| name == INCLUDE));
            if includes.is_empty() {
                return Ok(());
            }
            map.shift_remove("Transform");
            if !others.is_empty() {
                map.insert("Transform".to_owned(), Value::Array(others));
            }
            for transform in includes {
                let document = fetched(&transform, read, depth)?;
                merge(map, document);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn fetched(transform: &Value, read: Read<'_>, depth: usize) -> Result<Value, ExpandError> {
    let name = transform.get("Name").and_then(Value::as_str).unwrap_or("(unnamed)");
    if name != INCLUDE {
        return Err(ExpandError::Macro(name.to_owned()));
    }
    let location = transform.pointer("/Parameters/Location");
    let Some(location) = location.and_then(Value::as_str) else {
        return Err(ExpandError::Include {
            location: location.map_or_else(|| "no Location".to_owned(), Value::to_string),
            why: "only a Location that is written out can be read before the stack is deployed".to_owned(),
        });
    };
    let failed = |why: String| ExpandError::Include { location: location.to_owned(), why };
    let text = read(location).map_err(failed)?;
    let mut document = parse(&text).map_err(|error| failed(error.to_string()))?.to_json();
    include(&mut document, read, depth + 1)?;
    Ok(document)
}

fn merge(into: &mut Map<String, Value>, document: Value) {
    let Value::Object(document) = document else { return };
    for (key, value) in document {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(more)) => merge(own, Value::Object(more)),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Never;

    impl Expand for Never {
        fn expand(&self, unexpanded: Unexpanded<'_>) -> Result<Value, ExpandError> {
            Ok(json!({"asked": unexpanded.template}))
        }
    }

    fn made(source: &str) -> Result<Value, ExpandError> {
        let template = parse(source).unwrap().to_json();
        let pseudo = Pseudo {
            account_id: "1".into(),
            region: "eu-central-1".into(),
            partition: "aws".into(),
            stack_name: "s".into(),
            stack_id: "arn:s".into(),
        };
        let read = |location: &str| match location {
            "s3://b/part.yaml" => Ok("A: {Type: T}\nB: {Type: U}\n".to_owned()),
            "s3://b/outer.yaml" => {
                Ok("Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/part.yaml}}\n".into())
            }
            "s3://b/circle.yaml" => {
                Ok("Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/circle.yaml}}\n".into())
            }
            _ => Err("there is no such object".to_owned()),
        };
        let parameters = BTreeMap::new();
        let unexpanded = Unexpanded { template: &template, parameters: &parameters, pseudo: &pseudo };
        expanded(&Never, &read, unexpanded)
    }

    #[test]
    fn documents_are_included_before_anything_else() {
        for location in ["part", "outer"] {
            let source = format!(
                "Resources:\n  A: {{Type: Own}}\n  Fn::Transform: {{Name: AWS::Include, Parameters: {{Location: 's3://b/{location}.yaml'}}}}\n"
            );
            let expected = json!({"Resources": {"A": {"Type": "Own"}, "B": {"Type": "U"}}});
            assert_eq!(made(&source).unwrap(), expected);
        }
        let top = "Transform: [{Name: AWS::Include, Parameters: {Location: s3://b/part.yaml}}, AWS::Serverless-2016-10-31]\nA: 1\n";
        let asked = made(top).unwrap();
        assert_eq!(
            asked["asked"],
            json!({"A": 1, "Transform": ["AWS::Serverless-2016-10-31"], "B": {"Type": "U"}})
        );
    }

    #[test]
    fn what_cannot_be_expanded_here_is_refused_by_name() {
        for (source, said) in [
            ("Transform: MyMacro\n", "No transform named MyMacro found"),
            ("Transform: [AWS::Serverless-2016-10-31, {Name: Other}]\n", "No transform named Other found"),
            ("R: {Fn::Transform: {Name: Nested}}\n", "No transform named Nested found"),
            (
                "R: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/none}}}\n",
                "there is no such object",
            ),
            (
                "R: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: !Ref X}}}\n",
                "only a Location that is written out",
            ),
            (
                "R: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/circle.yaml}}}\n",
                "more than 8 deep",
            ),
        ] {
            let error = made(source).unwrap_err().to_string();
            assert!(error.contains(said), "{source}: {error}");
        }
        assert!(has_transform(&json!({"R": [{"Fn::Transform": 1}]})));
        assert!(!has_transform(&json!({"Transform": null, "R": {}})));
    }

    #[test]
    fn a_refusal_names_its_resource() {
        let error = ExpandError::Refused {
            transform: SERVERLESS.into(),
            message: "Number of errors found: 1. Resource with id [F] is invalid. why".into(),
        };
        assert_eq!(error.logical_id(), Some("F"));
        assert_eq!(ExpandError::Macro("x".into()).logical_id(), None);
    }
}
