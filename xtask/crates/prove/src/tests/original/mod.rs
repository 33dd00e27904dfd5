//! The original's policies, written anew from what is known of them, held to our rows: the faults are found.

use std::collections::BTreeSet;

use super::super::{Files, with};
use super::{config_of, files};
use causeway_testing::expander;

fn original() -> Files {
    let mut all: Files = [
        ("stacks.toml", include_str!("stacks.toml")),
        ("base.yaml", include_str!("base.yaml")),
        ("target.yaml", include_str!("target.yaml")),
        ("pipeline.yaml", include_str!("pipeline.yaml")),
        ("app.yaml", include_str!("app.yaml")),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .collect();
    // Our rows, asked of the original's roles and resources.
    let ours = &files()["access-matrix.toml"];
    let rows = &ours[ours.find("\n[[rows]]").unwrap()..ours.find("\n[[survivors]]").unwrap()];
    all.insert("access-matrix.toml".to_owned(), format!("{}{rows}", include_str!("who-and-what.toml")));
    all
}

/// The rows of the access matrix itself, by kind, that hold in every request and can be asked at all. Rows with a
/// letter behind their number were added to the matrix; whether a denial comes from a statement is not asked here.
fn met(kind: char) -> Vec<u32> {
    let files = original();
    let report = with(&files, &config_of(&files), &**expander(), |proof| proof.report()).unwrap();
    let number = |id: &str| id.strip_prefix(kind).and_then(|rest| rest.parse::<u32>().ok());
    let mut met = BTreeSet::new();
    let mut missed = BTreeSet::new();
    for one in &report.checked {
        if let Some(number) = number(&one.id) {
            if one.expected == one.came {
                met.insert(number)
            } else {
                missed.insert(number)
            };
        }
    }
    // A row that asks of a role or a resource that the original does not have is not met.
    let rows = report.problems.iter().filter_map(|problem| problem.message.strip_prefix("row "));
    missed.extend(rows.filter_map(|rest| rest.split(':').next()).filter_map(number));
    met.difference(&missed).copied().collect()
}

// The access matrix itself says that the original meets 3 of its first 16 rows, those that must be allowed, and gives neither
// the three nor how it counts. Asked request by request, what is known of the original allows 12 of the 16: it deploys, so
// its roles read artifacts, decrypt them, pass and become one another (fact 5: `iam:*`, `s3:*`, `lambda:*` on `*`, one role
// for action and execution; fact 4: both target accounts use the key). Three cannot be a count of allowed requests. It fits a
// stricter reading, in which a row also wants its bounds kept (the right key, its own stack, limited to `packages/*`, under a
// boundary); here those bounds are the denied rows, of which the original meets two.
#[test]
fn nearly_everything_that_must_be_denied_is_allowed() {
    // Its jobs may not approve, and its bucket is closed to strangers. The rest of the sixteen rows it does not meet: whole
    // accounts are trusted, one role is both action and execution role, nothing is bounded, plain HTTP and other keys pass.
    assert_eq!(met('D'), [5, 14]);
}

#[test]
fn what_must_be_allowed_is_allowed_by_too_much() {
    // Wide rights make most of these pass. CloudFormation with source keys, uploads and builds work; but nobody in its group
    // can approve (11: the policy names a pipeline and a stage that do not exist), there is no boundary (9), and no role for
    // callers of the API (14) or for isolated stacks (15).
    assert_eq!(met('A'), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 16]);
}
