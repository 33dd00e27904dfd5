//! A second opinion: the same requests for another evaluator, and where it may think otherwise.
//!
//! The evaluator is the npm package `@cloud-copilot/iam-simulate`, a separate process that is installed outside of the
//! tree. It fills in no condition keys, so it is told all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

use causeway_iam::{Caller, Statement};
use causeway_prove::Problem;
use causeway_prove::ask::{Asked, Worlds};
use causeway_prove::matrix;

const DATA: &str = include_str!("../../../data/second-opinion.toml");
const FILE: &str = "xtask/data/second-opinion.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    #[serde(default)]
    differences: Vec<Difference>,
}

/// Where the other evaluator may think otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Rows by id.
    rows: Vec<Spanned<String>>,
    /// The action; any where there is none.
    #[serde(default)]
    action: Option<String>,
    /// The end of the resource's ARN; any where there is none.
    #[serde(default)]
    on: Option<String>,
    /// What it answers: allow, deny, or the word of its complaint.
    answer: String,
    /// Why.
    why: String,
}

/// The requests as the other evaluator takes them: every policy once, each case names its own.
pub(crate) fn cases(asked: &[Asked<'_>]) -> Value {
    let mut policies: BTreeMap<String, usize> = BTreeMap::new();
    let mut cases = Vec::new();
    for one in asked {
        let mut number = |statements: &[Statement]| {
            let all: Vec<Value> = statements.iter().map(Statement::to_json).collect();
            let text = json!({"Version": "2012-10-17", "Statement": all}).to_string();
            let next = policies.len();
            *policies.entry(text).or_insert(next)
        };
        let bearing = one.bearing();
        let identity: Vec<usize> =
            bearing.identity.iter().filter(|all| !all.is_empty()).map(|all| number(all)).collect();
        let principal = match &one.request.caller {
            caller @ Caller::Role { .. } => caller.session_arn().unwrap_or_default(),
            other => other.id().to_owned(),
        };
        cases.push(json!({
            "principal": principal,
            "action": one.request.action,
            "resource": one.request.resource,
            "account": one.request.owner,
            "keys": one.request.keys,
            "identity": identity,
            "boundary": bearing.boundary.map(&mut number),
            "scps": bearing.scps.iter().map(|all| number(all)).collect::<Vec<_>>(),
            "resourcePolicy": bearing.resource.map(|policy| number(policy.statements)),
        }));
    }
    let mut documents: Vec<(usize, Value)> = policies
        .into_iter()
        .map(|(text, number)| (number, serde_json::from_str(&text).unwrap_or(Value::Null)))
        .collect();
    documents.sort_by_key(|(number, _)| *number);
    let documents: Vec<Value> = documents.into_iter().map(|(_, document)| document).collect();
    json!({"policies": documents, "cases": cases})
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(crate) struct Opinion {
    /// How many answers agree.
    pub agreed: usize,
    /// How many differ as the data file says.
    pub expected: usize,
    /// Differences that nobody knew, and known ones that are gone.
    pub problems: Vec<Problem>,
}

/// Holds the other evaluator's answers to ours. An answer is `allow`, `deny`, or the word of a complaint.
///
/// # Errors
/// The list of differences does not parse, or there are not as many answers as requests.
pub(crate) fn compare(
    worlds: &Worlds<'_>,
    asked: &[Asked<'_>],
    answers: &[String],
) -> Result<Opinion, String> {
    compare_with(DATA, worlds, asked, answers)
}

/// The same with another list of differences.
pub(super) fn compare_with(
    data: &str,
    worlds: &Worlds<'_>,
    asked: &[Asked<'_>],
    answers: &[String],
) -> Result<Opinion, String> {
    let agreed: Agreed = toml::from_str(data).map_err(|error| format!("{FILE}: {error}"))?;
    if answers.len() != asked.len() {
        return Err(format!("{} requests were asked and {} answers came", asked.len(), answers.len()));
    }
    let mut out = Opinion::default();
    // Entry and row: each row of an entry must still differ.
    let mut used: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (one, answer) in asked.iter().zip(answers) {
        let ours = match one.verdict() {
            Ok(verdict) if verdict.allowed() => "allow",
            Ok(_) => "deny",
            Err(_) => continue,
        };
        if ours == answer {
            out.agreed += 1;
            continue;
        }
        let Some(row) = worlds.ground.matrix.rows.get(one.row) else { continue };
        let id = row.id.get_ref();
        let known = agreed.differences.iter().enumerate().find_map(|(index, difference)| {
            let fits = difference.answer == *answer
                && difference.action.as_ref().is_none_or(|action| *action == one.request.action)
                && difference.on.as_ref().is_none_or(|end| one.request.resource.ends_with(end));
            let row = difference.rows.iter().position(|row| row.get_ref() == id);
            row.filter(|_| fits).map(|row| (index, row))
        });
        match known {
            Some(found) => {
                used.insert(found);
                out.expected += 1;
            }
            None => {
                let request = &one.request;
                let message = format!(
                    "row {id}: {} {} on {}: we say {ours}, iam-simulate says {answer}",
                    one.asker.label, request.action, request.resource
                );
                let line = worlds.ground.matrix_line(row.id.span().start);
                out.problems.push(Problem::new(matrix::FILE, line, message));
            }
        }
    }
    for (index, difference) in agreed.differences.iter().enumerate() {
        for (number, row) in difference.rows.iter().enumerate() {
            if !used.contains(&(index, number)) {
                let message = format!(
                    "the difference in row {} ({}) is gone: take it off the list",
                    row.get_ref(),
                    difference.why
                );
                out.problems.push(Problem::new(FILE, matrix::line(data, row.span().start), message));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
pub(crate) mod tests;
