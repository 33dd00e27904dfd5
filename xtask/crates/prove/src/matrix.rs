//! `cfn/access-matrix.toml`: who may do what, as data. Its head explains every field.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use causeway_iam::Decision;

/// The file, relative to the checkout.
pub const FILE: &str = "cfn/access-matrix.toml";

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Where packages lie.
    pub artifacts: Artifacts,
    /// Who deploys the stacks that `bootstrap` does not.
    #[serde(default)]
    pub deployments: Vec<Deployment>,
    /// Other settings that single rows are asked in.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
    /// Who is asked about, by the names that rows use.
    pub principals: BTreeMap<String, Spanned<Actor>>,
    /// What is asked about, by the names that rows use.
    pub resources: BTreeMap<String, Spanned<String>>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Mutants that no row catches, each with the reason.
    #[serde(default)]
    pub survivors: Vec<Survivor>,
}

/// Where packages lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    /// The bucket, as `stack.LogicalId`.
    pub bucket: String,
    /// The key that encrypts it.
    pub key: String,
    /// The key of a package in the bucket.
    pub package: String,
}

/// A stack that a role deploys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The stack's name in `cfn/stacks.toml`.
    pub stack: Spanned<String>,
    /// The role that CloudFormation becomes, as `stack.LogicalId`.
    pub role: Spanned<String>,
    /// The stack's name in AWS where it is not the usual one: a further stack of the same template.
    #[serde(default)]
    pub name: Option<String>,
    /// Parameters over those of `cfn/stacks.toml`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The bucket that its packages lie in, as `stack.LogicalId`, where it is not the artifact bucket; S3 encrypts it itself.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Whether it counts only where the role exists.
    #[serde(default)]
    pub optional: bool,
}

/// Another setting.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The organization that our accounts are in.
    #[serde(default)]
    pub organization: Option<String>,
    /// Parameters of stacks over those of `cfn/stacks.toml`.
    #[serde(default)]
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// Service control policies, files below `cfn/`.
    #[serde(default)]
    pub scps: Vec<Spanned<String>>,
}

/// Who is asked about. Exactly one of the first seven fields says what kind it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// A role of a template, as `stack.LogicalId`.
    #[serde(default)]
    pub role: Option<String>,
    /// Every role of a stack, as `stack.*`.
    #[serde(default)]
    pub roles: Option<String>,
    /// A user in a group of a template.
    #[serde(default)]
    pub group: Option<String>,
    /// A user with a managed policy of a template and nothing else, as `stack.LogicalId`.
    #[serde(default)]
    pub policy: Option<String>,
    /// A role that no template has, by name and path.
    #[serde(default)]
    pub name: Option<String>,
    /// An AWS service.
    #[serde(default)]
    pub service: Option<String>,
    /// Several of these names.
    #[serde(default)]
    pub any: Option<Vec<String>>,
    /// Of `roles`: only those that this service may assume.
    #[serde(default)]
    pub trusts: Option<String>,
    /// Of `role`: as it would be in a project of this name.
    #[serde(default)]
    pub project: Option<String>,
    /// Of `role` and `policy`: whether it may be absent in some accounts.
    #[serde(default)]
    pub optional: bool,
    /// Of `name`: the account, by name or id; `{env}` is the row's.
    #[serde(default)]
    pub account: Option<String>,
    /// Of `name`: the actions that its policy allows on everything.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Of `name`: whether it is a user and not a role.
    #[serde(default)]
    pub user: bool,
    /// Of `name`: its boundary, as `stack.LogicalId`.
    #[serde(default)]
    pub boundary: Option<String>,
}

/// One row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The row of the access matrix it belongs to: A1 to A16 allowed, D1 to D16 denied; X for what was added.
    pub id: Spanned<String>,
    /// The row in words.
    pub says: String,
    /// Who says that AWS wants it so, where the row does not follow from the design: a page or an issue.
    #[serde(default)]
    pub source: Option<String>,
    /// What must come out.
    pub expect: Expect,
    /// Whether a deny must come from a statement.
    #[serde(default)]
    pub explicit: bool,
    /// Whether a deny must come from a missing right alone.
    #[serde(default)]
    pub implicit: bool,
    /// Which of the policies are looked at; without it, all.
    #[serde(default)]
    pub only: Option<Only>,
    /// Who: names of principals.
    pub who: Spanned<Vec<String>>,
    /// What: actions.
    #[serde(rename = "do")]
    pub actions: Spanned<Vec<String>>,
    /// On what: names of resources, or ARNs with placeholders.
    pub on: Spanned<Vec<String>>,
    /// Condition keys of the request; several sets are asked one by one.
    #[serde(default, rename = "with")]
    pub keys: Contexts,
    /// The service that makes the call for the principal.
    #[serde(default)]
    pub via: Option<String>,
    /// Another setting.
    #[serde(default)]
    pub variant: Option<Spanned<String>>,
    /// A resource, as `stack.LogicalId`: the row is asked only in the target accounts where it exists. Where its condition
    /// holds in none of them, the row is not asked.
    #[serde(default)]
    pub only_with: Option<Spanned<String>>,
    /// Whether the row is asked only in the target accounts that the pipeline releases to.
    #[serde(default)]
    pub released: bool,
    /// A target account: the row is asked in that one only.
    #[serde(default)]
    pub env: Option<Spanned<String>>,
}

/// A part of the policies that is looked at as if the others let everything pass, so that two that say the same are
/// both held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// The policies of the caller, its boundary and its organization.
    Caller,
    /// The policies that are attached to the caller.
    Identity,
}

/// What must come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The request is allowed.
    Allow,
    /// It is denied.
    Deny,
}

impl Expect {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Expect::Allow => "allow",
            Expect::Deny => "deny",
        }
    }
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// Condition keys of one request.
pub type Keys = BTreeMap<String, Texts>;

/// One set of condition keys, or several that are asked one by one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Contexts {
    /// One set.
    One(Keys),
    /// Several.
    Several(Vec<Keys>),
}

impl Default for Contexts {
    fn default() -> Self {
        Contexts::One(Keys::new())
    }
}

impl Row {
    /// Whether a decision is what must come out.
    pub fn accepts(&self, decision: Decision) -> bool {
        match self.expect {
            Expect::Allow => decision == Decision::Allow,
            Expect::Deny if self.explicit => decision == Decision::ExplicitDeny,
            Expect::Deny if self.implicit => decision == Decision::ImplicitDeny,
            Expect::Deny => decision != Decision::Allow,
        }
    }
}

impl Contexts {
    /// The sets.
    pub fn all(&self) -> &[Keys] {
        match self {
            Contexts::One(one) => std::slice::from_ref(one),
            Contexts::Several(all) => all,
        }
    }
}

/// A mutant that no row catches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivor {
    /// The mutant's name.
    pub mutant: Spanned<String>,
    /// Why it may survive.
    pub why: String,
}

/// Parses the file.
///
/// # Errors
/// The first complaint with its line; two rows with one id are one.
pub fn parse(text: &str) -> Result<Matrix, Problem> {
    let matrix: Matrix = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Problem::new(FILE, line(text, start), error.message())
    })?;
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &matrix.rows {
        let start = row.id.span().start;
        if let Some(first) = ids.insert(row.id.get_ref(), start) {
            let (first, here) = (line(text, first), line(text, start));
            let message = format!("row {}: line {first} has a row of this id already", row.id.get_ref());
            return Err(Problem::new(FILE, here, message));
        }
    }
    Ok(matrix)
}

/// The line of a byte of the file.
pub fn line(text: &str, start: usize) -> usize {
    text.get(..start).unwrap_or(text).matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_with_their_line() {
        let error =
            parse("[artifacts]\nbucket = \"a.B\"\nkey = \"a.C\"\npackage = \"p\"\ncolor = 1\n").unwrap_err();
        assert_eq!((error.file.as_str(), error.line), (FILE, 5));
        assert!(error.message.contains("color"), "{error}");
    }

    #[test]
    fn two_rows_of_one_id_are_refused_with_the_line_of_the_second() {
        let row = "[[rows]]\nid = \"A1\"\nsays = \"x\"\nexpect = \"deny\"\nwho = []\ndo = []\non = []\n";
        let head =
            "[artifacts]\nbucket = \"a.B\"\nkey = \"a.C\"\npackage = \"p\"\n[principals]\n[resources]\n";
        assert!(parse(&format!("{head}{row}")).is_ok());
        let error = parse(&format!("{head}{row}{row}")).unwrap_err();
        assert_eq!(error.to_string(), format!("{FILE}:15: row A1: line 8 has a row of this id already"));
    }
}
