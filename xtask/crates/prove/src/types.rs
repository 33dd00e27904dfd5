//! What is known about resource types: their names, and what CloudFormation's handlers call for them.
//!
//! The data is `xtask/data/resource-types.toml`; its head explains every field. Every other type is described by what AWS's
//! schemas say of it (`xtask/data/handler-permissions.txt`, made by the script beside it): see `made.rs`.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use serde::Deserialize;

use super::made;

const DATA: &str = include_str!("../../../data/resource-types.toml");

/// How CloudFormation makes a name where the template gives none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generated {
    /// `<stack>-<logical id>-<random>`.
    #[default]
    Plain,
    /// The same in lower case.
    Lower,
    /// Ten characters that say nothing.
    Id,
    /// A UUID.
    Uuid,
    /// As plain; the reference is an ARN.
    Arn,
}

/// One resource type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// The property that names the resource.
    #[serde(default)]
    pub name: Option<String>,
    /// How a name is made up.
    #[serde(default)]
    pub generated: Generated,
    /// What `Ref` gives.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What `Fn::GetAtt` gives.
    #[serde(default)]
    pub att: BTreeMap<String, String>,
    /// What calls are asked on unless they say otherwise.
    pub on: Vec<String>,
    /// Calls of the create handler.
    pub create: Vec<String>,
    /// Calls of the update handler.
    pub update: Vec<String>,
    /// Calls of the delete handler.
    pub delete: Vec<String>,
    /// Calls that setting, changing and reading tags makes.
    pub tag: Vec<String>,
    /// The page for what the schema does not say.
    #[serde(default)]
    pub source: Option<String>,
    /// Calls that only some properties bring about.
    pub needs: Vec<Need>,
    /// Calls of the schema that our use does not bring about.
    pub apart: Vec<Apart>,
}

/// Calls that a property brings about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// The calls.
    #[serde(rename = "do")]
    pub calls: Vec<String>,
    /// What they are asked on.
    #[serde(default)]
    pub on: Option<String>,
    /// The property; always where there is none.
    #[serde(default)]
    pub when: Option<String>,
    /// Condition keys of the request.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// Condition keys that take each item of a list property in turn.
    #[serde(default)]
    pub each: BTreeMap<String, String>,
    /// The service that makes the call for the role.
    #[serde(default)]
    pub via: Option<String>,
}

/// Calls that our use does not bring about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apart {
    /// The property that would bring them about; a template that sets it fails.
    #[serde(default)]
    pub when: Option<String>,
    /// The calls.
    pub calls: Vec<String>,
    /// Why they are left out.
    pub why: String,
}

/// Every known type by its name.
pub struct Types {
    written: BTreeMap<String, Type>,
    /// What the schemas say of the others, read when a template has one.
    made: BTreeMap<&'static str, (&'static str, OnceLock<Type>)>,
}

impl Types {
    /// A type: as somebody described it, else as its schema does.
    pub fn get(&self, kind: &str) -> Option<&Type> {
        self.written.get(kind).or_else(|| {
            let (line, made) = self.made.get(kind)?;
            Some(made.get_or_init(|| made::of(kind, line)))
        })
    }

    /// Whether anything is known of a type.
    pub fn contains_key(&self, kind: &str) -> bool {
        self.written.contains_key(kind) || self.made.contains_key(kind)
    }

    /// Whether a type's calls are only those of its schema.
    pub fn is_made(&self, kind: &str) -> bool {
        !self.written.contains_key(kind)
    }
}

static TYPES: LazyLock<Result<Types, String>> = LazyLock::new(|| {
    let written = toml::from_str(DATA).map_err(|error| error.to_string())?;
    let made = made::lines().map(|(kind, line)| (kind, (line, OnceLock::new()))).collect();
    Ok(Types { written, made })
});

/// The known types.
///
/// # Errors
/// The data does not parse; a test holds that it does.
pub(crate) fn known() -> Result<&'static Types, &'static str> {
    TYPES.as_ref().map_err(String::as_str)
}

/// A call as it is written: the action, what it is asked on, and whether the role's boundary goes with it.
pub(crate) struct Call<'a> {
    /// The action.
    pub action: &'a str,
    /// After " on ".
    pub on: Option<&'a str>,
    /// Whether " with boundary" stands there.
    pub boundary: bool,
}

/// Takes a call apart.
pub(crate) fn call(text: &str) -> Call<'_> {
    let (text, boundary) = text.strip_suffix(" with boundary").map_or((text, false), |text| (text, true));
    match text.split_once(" on ") {
        Some((action, on)) => Call { action, on: Some(on), boundary },
        None => Call { action: text, on: None, boundary },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_iam::Catalogue;

    #[test]
    fn the_data_parses_and_names_actions_that_exist() {
        for (kind, entry) in &known().unwrap().written {
            let all = [&entry.create, &entry.update, &entry.delete, &entry.tag];
            let needs = entry.needs.iter().map(|need| &need.calls);
            for text in all.into_iter().chain(needs).flatten() {
                let known = Catalogue::get().expand(call(text).action);
                assert!(known.is_ok(), "{kind}: {known:?}");
            }
            assert!(entry.apart.iter().all(|apart| !apart.why.is_empty()), "{kind}");
        }
    }

    #[test]
    fn a_type_that_nobody_described_is_what_its_schema_says() {
        let types = known().unwrap();
        let queue = types.get("AWS::Kinesis::Stream").unwrap();
        assert!(types.is_made("AWS::Kinesis::Stream") && !types.is_made("AWS::S3::Bucket"));
        let arn = "arn:{partition}:kinesis:{region}:{account}:stream/{name}";
        assert_eq!((queue.name.as_deref(), queue.reference.as_str()), (Some("Name"), "{name}"));
        assert_eq!(queue.att["Arn"], arn);
        assert!(queue.create.contains(&format!("kinesis:CreateStream on {arn}")), "{:?}", queue.create);
        assert!(queue.delete.contains(&format!("kinesis:DeleteStream on {arn}")), "{:?}", queue.delete);
        assert!(types.get("Custom::Thing").is_none());
        // Every one of them can be read, and asks for nothing that IAM does not have.
        let mut described = 0;
        for kind in types.made.keys() {
            let made = types.get(kind).unwrap();
            described += usize::from(!made.create.is_empty());
            for text in [&made.create, &made.update, &made.delete, &made.tag].into_iter().flatten() {
                assert!(Catalogue::get().expand(call(text).action).is_ok(), "{kind}: {text}");
            }
        }
        assert!(described > 1_000, "{described}");
    }

    #[test]
    fn calls_are_taken_apart() {
        let plain = call("s3:GetObject");
        assert_eq!((plain.action, plain.on, plain.boundary), ("s3:GetObject", None, false));
        let role = call("iam:CreateRole with boundary");
        assert_eq!((role.action, role.boundary), ("iam:CreateRole", true));
        assert_eq!(call("logs:DescribeLogGroups on *").on, Some("*"));
    }
}
