//! Change sets in our own words: what would be added, modified, replaced and removed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::difference::Property;
use super::stack::is_stateful;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// It goes, and its data with it.
    Remove,
    /// A new one takes its place.
    Replace,
    /// It changes in place.
    Modify,
    /// It comes.
    Add,
}

impl Op {
    /// The sign in front of a line.
    pub fn sign(self) -> char {
        match self {
            Op::Remove => '-',
            Op::Replace => '!',
            Op::Modify => '>',
            Op::Add => '+',
        }
    }
}

/// One change of a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happens.
    pub op: Op,
    /// The resource's name in the template.
    pub logical_id: String,
    /// Its type.
    pub resource_type: String,
    /// Whether it holds data that is gone afterwards, should it be replaced or removed.
    pub stateful: bool,
    /// Whether CloudFormation only knows while it works if it must be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub may_replace: bool,
    /// Its properties that change, as far as the templates tell.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub properties: Vec<Property>,
    /// What its policies give and take, in words.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub statements: Vec<String>,
    /// What else makes it change: parameters by their names, and resources that are replaced.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub because: Vec<String>,
}

impl Change {
    /// From CloudFormation's words: `Action` and `Replacement` of a `ResourceChange`.
    ///
    /// An action that is not known counts as a modification, so that nothing is hidden.
    pub fn new(action: &str, replacement: Option<&str>, logical_id: &str, resource_type: &str) -> Self {
        let op = match (action, replacement) {
            ("Add" | "Import", _) => Op::Add,
            ("Remove", _) => Op::Remove,
            (_, Some("True")) => Op::Replace,
            _ => Op::Modify,
        };
        Self {
            op,
            logical_id: logical_id.to_owned(),
            resource_type: resource_type.to_owned(),
            stateful: is_stateful(resource_type),
            may_replace: op == Op::Modify && replacement == Some("Conditional"),
            properties: Vec::new(),
            statements: Vec::new(),
            because: Vec::new(),
        }
    }

    /// The sign in front of its line: a replacement that is certain and one that only may be have each their own.
    pub fn sign(&self) -> char {
        if self.may_replace { '?' } else { self.op.sign() }
    }

    /// What is known of it beside its name, one row each: what it gives and takes, what becomes of its properties, and what
    /// else makes it. The same for a plan, the question of an approval, and a report.
    pub fn details(&self) -> Vec<String> {
        let property = |one: &Property| {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            format!("{}: {} → {}", one.path, side(&one.before), side(&one.after))
        };
        let mut all = self.statements.clone();
        all.extend(self.properties.iter().map(property));
        all.extend(self.because.iter().map(|why| format!("because {why}")));
        let more = all.len().saturating_sub(MOST);
        if more > 1 {
            all.truncate(MOST);
            all.push(format!("and {more} more, in the JSON line of the plan"));
        }
        all
    }

    /// Whether data may be lost by it.
    pub fn endangers_data(&self) -> bool {
        self.stateful && (matches!(self.op, Op::Remove | Op::Replace) || self.may_replace)
    }
}

/// How many rows a change has of its own where people read it.
const MOST: usize = 12;

/// What the signs mean that stand before these changes; nothing where there are none.
pub fn legend(changes: &[Change]) -> String {
    let words = [
        ('-', "removed"),
        ('!', "replaced by a new one"),
        ('?', "may be replaced: CloudFormation knows when it works"),
        ('>', "changed in place"),
        ('+', "added"),
    ];
    let is_there = |sign: char| changes.iter().any(|change| change.sign() == sign);
    let known = words.iter().filter(|(sign, _)| is_there(*sign));
    known.map(|(sign, word)| format!("{sign} {word}")).collect::<Vec<_>>().join("   ")
}

/// What a change set amounts to, in one line.
pub fn summary(changes: &[Change]) -> String {
    const CODE: [&str; 3] = ["AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"];
    let count = |keep: fn(&Change) -> bool| changes.iter().filter(|change| keep(change)).count();
    let endangered = count(Change::endangers_data);
    let rights = count(|change| change.resource_type.starts_with("AWS::IAM::"));
    if changes.is_empty() {
        return "nothing changes".to_owned();
    }
    let kind = if changes.iter().all(|change| CODE.contains(&change.resource_type.as_str())) {
        "code only".to_owned()
    } else {
        let mut parts = vec!["more than code".to_owned()];
        if endangered > 0 {
            parts.push(format!("DATA MAY BE LOST in {endangered}"));
        }
        if rights > 0 {
            parts.push(format!("{rights} touch IAM"));
        }
        parts.join(", ")
    };
    format!("{} changes: {kind}", changes.len())
}

/// A change and what may make a replacement of it: `None` for something in the template itself, a logical id for an
/// attribute of another resource that changes, too.
pub type Caused = (Change, Vec<Option<String>>);

/// Takes back doubts about replacement that rest only on resources which stay: CloudFormation cannot know beforehand
/// whether an attribute it refers to will change, but an attribute such as an ARN does not while its resource stays.
pub fn settle(mut changes: Vec<Caused>) -> Vec<Change> {
    let mut doubtful: BTreeSet<String> = BTreeSet::new();
    loop {
        let before = doubtful.len();
        for (change, causes) in &changes {
            let by_other = |cause: &Option<String>| cause.as_ref().is_none_or(|id| doubtful.contains(id));
            if change.op == Op::Replace
                || (change.may_replace && (causes.is_empty() || causes.iter().any(by_other)))
            {
                doubtful.insert(change.logical_id.clone());
            }
        }
        if doubtful.len() == before {
            break;
        }
    }
    for (change, _) in &mut changes {
        change.may_replace &= doubtful.contains(&change.logical_id);
    }
    changes.into_iter().map(|(change, _)| change).collect()
}

/// The changes in the order a reader wants them: what endangers data first, then by operation and name.
pub fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|a, b| {
        let key = |c: &Change| (!c.endangers_data(), c.op, c.logical_id.clone());
        key(a).cmp(&key(b))
    });
    changes
}

/// Whether the reason of a failed change set says that there was nothing to change.
///
/// The two texts are CloudFormation's; templates with a transform give the second one.
pub fn says_no_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudformations_words_become_ours() {
        let table = [
            ("Add", None, Op::Add, false),
            ("Remove", None, Op::Remove, false),
            ("Modify", Some("True"), Op::Replace, false),
            ("Modify", Some("False"), Op::Modify, false),
            ("Modify", Some("Conditional"), Op::Modify, true),
            ("Dynamic", None, Op::Modify, false),
        ];
        for (action, replacement, op, may_replace) in table {
            let change = Change::new(action, replacement, "X", "AWS::SNS::Topic");
            assert_eq!((change.op, change.may_replace), (op, may_replace), "{action} {replacement:?}");
        }
    }

    #[test]
    fn what_endangers_data_comes_first() {
        let changes = vec![
            Change::new("Add", None, "New", "AWS::SNS::Topic"),
            Change::new("Remove", None, "Role", "AWS::IAM::Role"),
            Change::new("Modify", Some("Conditional"), "Table", "AWS::DynamoDB::Table"),
            Change::new("Modify", Some("True"), "Bucket", "AWS::S3::Bucket"),
        ];
        let order: Vec<String> = sorted(changes).into_iter().map(|change| change.logical_id).collect();
        assert_eq!(order, ["Bucket", "Table", "Role", "New"]);
    }

    #[test]
    fn a_change_set_is_summed_up() {
        let change = |action: &str, kind: &str| Change::new(action, None, "X", kind);
        let code = vec![change("Modify", "AWS::Lambda::Function"), change("Add", "AWS::Lambda::Version")];
        assert_eq!(summary(&code), "2 changes: code only");
        let more = vec![change("Remove", "AWS::DynamoDB::Table"), change("Modify", "AWS::IAM::Role")];
        assert_eq!(summary(&more), "2 changes: more than code, DATA MAY BE LOST in 1, 1 touch IAM");
        assert_eq!(summary(&[]), "nothing changes");
    }

    #[test]
    fn doubts_that_rest_on_what_stays_are_taken_back() {
        let change =
            |id: &str, replacement: &str| Change::new("Modify", Some(replacement), id, "AWS::SNS::Topic");
        let by = |id: &str| vec![Some(id.to_owned())];
        let settled = settle(vec![
            (change("Key", "False"), vec![]),
            (change("Bucket", "Conditional"), by("Key")),
            (change("Policy", "Conditional"), by("Bucket")),
            (change("Old", "True"), vec![None]),
            (change("User", "Conditional"), by("Old")),
            (change("Reader", "Conditional"), by("User")),
            (change("Own", "Conditional"), vec![None]),
            (change("Unsaid", "Conditional"), vec![]),
        ]);
        let doubtful: Vec<&str> =
            settled.iter().filter(|c| c.may_replace).map(|c| c.logical_id.as_str()).collect();
        assert_eq!(doubtful, ["User", "Reader", "Own", "Unsaid"]);
    }

    #[test]
    fn no_changes_is_recognized() {
        assert!(says_no_changes(
            "The submitted information didn't contain changes. Submit different information to create a change set."
        ));
        assert!(says_no_changes("No updates are to be performed."));
        assert!(!says_no_changes("Template error: something else"));
    }
}
