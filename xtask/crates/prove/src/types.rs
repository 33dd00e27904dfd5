//! What is known about resource types: their names, and what CloudFormation's handlers call for them.
//!
//! The data is `xtask/data/resource-types.toml`; its head explains every field.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

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
pub(crate) type Types = BTreeMap<String, Type>;

static TYPES: LazyLock<Result<Types, String>> =
    LazyLock::new(|| toml::from_str(DATA).map_err(|error| error.to_string()));

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
        for (kind, entry) in known().unwrap() {
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
    fn calls_are_taken_apart() {
        let plain = call("s3:GetObject");
        assert_eq!((plain.action, plain.on, plain.boundary), ("s3:GetObject", None, false));
        let role = call("iam:CreateRole with boundary");
        assert_eq!((role.action, role.boundary), ("iam:CreateRole", true));
        assert_eq!(call("logs:DescribeLogGroups on *").on, Some("*"));
    }
}
