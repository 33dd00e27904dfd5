//! Change sets that were made and not executed yet: a pipeline may make several, of several stacks, before it executes any.

use std::sync::Arc;

use crate::ledger::{Record, StackKey};
use causeway_model::changeset::Change;

/// A change set that waits for its execution.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) name: String,
    pub(super) changes: Vec<Change>,
    /// The account's name.
    pub(super) account: String,
    pub(super) key: StackKey,
    /// What it deploys.
    pub(super) record: Option<Arc<Record>>,
}

/// Every change set that waits, in the order in which they were made: a pipeline may make several before it executes any.
#[derive(Debug, Default)]
pub(super) struct Pendings(pub(super) Vec<Pending>);

impl Pendings {
    /// Adds one in place of an earlier one of that name.
    pub(super) fn put(&mut self, pending: Pending) {
        self.0.retain(|other| (&other.key, &other.name) != (&pending.key, &pending.name));
        self.0.push(pending);
    }

    /// Takes out one that is executed.
    pub(super) fn take(&mut self, key: &StackKey, name: &str) -> Option<Pending> {
        let at = self.0.iter().position(|one| (&one.key, one.name.as_str()) == (key, name))?;
        Some(self.0.remove(at))
    }

    /// What all of them would change.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.0.iter().flat_map(|one| one.changes.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(stack: &str, name: &str, changed: &[&str]) -> Pending {
        let change = |id: &&str| Change::new("Add", None, id, "AWS::S3::Bucket");
        Pending {
            name: name.to_owned(),
            changes: changed.iter().map(change).collect(),
            account: "prod".to_owned(),
            key: ("1".to_owned(), stack.to_owned()),
            record: None,
        }
    }

    fn key(stack: &str) -> StackKey {
        ("1".to_owned(), stack.to_owned())
    }

    /// A set of one stack that changes nothing says nothing of another's, whichever was made last.
    #[test]
    fn each_change_set_is_executed_for_itself() {
        for order in [["app", "network"], ["network", "app"]] {
            let mut all = Pendings::default();
            for stack in order {
                all.put(pending(stack, "release", if stack == "app" { &["Function"] } else { &[] }));
            }
            let changed: Vec<String> = all.changes().into_iter().map(|change| change.logical_id).collect();
            assert_eq!(changed, ["Function"], "what an approval shows");
            assert!(all.take(&key("app"), "other").is_none());
            assert_eq!(all.take(&key("app"), "release").unwrap().changes.len(), 1);
            assert!(all.take(&key("app"), "release").is_none(), "it is executed once");
            assert_eq!(all.take(&key("network"), "release").unwrap().changes.len(), 0);
        }
    }

    #[test]
    fn two_sets_of_a_stack_and_one_that_is_made_anew_are_told_apart() {
        let mut all = Pendings::default();
        all.put(pending("app", "first", &["A"]));
        all.put(pending("app", "second", &["B", "C"]));
        all.put(pending("app", "first", &["D"]));
        assert_eq!(all.changes().len(), 3);
        let ids = |found: Option<Pending>| {
            found.unwrap().changes.into_iter().map(|one| one.logical_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(all.take(&key("app"), "first")), ["D"]);
        assert_eq!(ids(all.take(&key("app"), "second")), ["B", "C"]);
    }
}
