//! Who answers the next request: smooth weighted round robin, so that shares are exact and not merely likely.

use std::collections::HashMap;

/// How many clients have a turn of their own; those that come later share one.
const CLIENTS: usize = 32;

/// The traffic of a function between two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Split {
    old: String,
    new: String,
    new_weight: u32,
    /// What the new version is owed by each client, in percent of a request.
    owed: HashMap<String, u32>,
}

impl Split {
    /// Sets versions and the new one's share in percent. A new share starts its count anew.
    pub(super) fn set(&mut self, old: &str, new: &str, new_weight: u32) {
        *self = Self {
            old: old.to_owned(),
            new: new.to_owned(),
            new_weight: new_weight.min(100),
            owed: HashMap::new(),
        };
    }

    /// The version for a client's next request. Clients do not take each other's turns, so the shares of each are exact.
    pub(super) fn next(&mut self, client: &str) -> String {
        let client = if self.owed.contains_key(client) || self.owed.len() < CLIENTS { client } else { "" };
        let owed = self.owed.entry(client.to_owned()).or_default();
        *owed += self.new_weight;
        if *owed >= 100 {
            *owed -= 100;
            return self.new.clone();
        }
        self.old.clone()
    }

    /// The new version's share in percent; `None` where there is only one version.
    pub(super) fn share(&self) -> Option<u32> {
        (self.old != self.new).then_some(self.new_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_within_one_request() {
        for weight in 0..=100 {
            let mut split = Split::default();
            split.set("1", "2", weight);
            let mut new = 0;
            for sent in 1..=250_u32 {
                new += u32::from(split.next("a") == "2");
                let intended = sent * weight / 100;
                assert!(new.abs_diff(intended) <= 1, "{weight} %: {new} of {sent}");
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_exactly_that() {
        let mut split = Split::default();
        split.set("1", "2", 0);
        assert!((0..50).all(|_| split.next("a") == "1"));
        split.set("1", "2", 100);
        assert!((0..50).all(|_| split.next("a") == "2"));
    }

    #[test]
    fn clients_do_not_take_each_others_turns() {
        let mut split = Split::default();
        split.set("1", "2", 50);
        let mut new = [0; 2];
        for n in 0..40 {
            new[n % 2] += u32::from(split.next(["a", "b"][n % 2]) == "2");
        }
        assert_eq!(new, [10, 10]);
        // However many there are, only so many are remembered; the others' shares are exact together.
        let crowd = (0..1_000).filter(|n| split.next(&n.to_string()) == "2").count();
        assert!(crowd.abs_diff(500) <= CLIENTS && split.owed.len() <= CLIENTS + 1, "{crowd}");
    }

    #[test]
    fn a_share_is_one_of_two_versions() {
        let mut split = Split::default();
        split.set("1", "1", 0);
        assert_eq!(split.share(), None);
        split.set("1", "2", 0);
        assert_eq!(split.share(), Some(0));
    }
}
