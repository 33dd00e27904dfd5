//! Who answers the next request: smooth weighted round robin, so that shares are exact and not merely likely.

/// The traffic of a function between two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Split {
    old: String,
    new: String,
    new_weight: u32,
    /// What the new version is owed, in percent of a request.
    owed: u32,
}

impl Split {
    /// Sets versions and the new one's share in percent. A new share starts its count anew.
    pub(super) fn set(&mut self, old: &str, new: &str, new_weight: u32) {
        *self = Self { old: old.to_owned(), new: new.to_owned(), new_weight: new_weight.min(100), owed: 0 };
    }

    /// The version for the next request.
    pub(super) fn next(&mut self) -> String {
        self.owed += self.new_weight;
        if self.owed >= 100 {
            self.owed -= 100;
            return self.new.clone();
        }
        self.old.clone()
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
                new += u32::from(split.next() == "2");
                let intended = sent * weight / 100;
                assert!(new.abs_diff(intended) <= 1, "{weight} %: {new} of {sent}");
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_exactly_that() {
        let mut split = Split::default();
        split.set("1", "2", 0);
        assert!((0..50).all(|_| split.next() == "1"));
        split.set("1", "2", 100);
        assert!((0..50).all(|_| split.next() == "2"));
    }
}
