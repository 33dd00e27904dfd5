//! Who answers the next request: smooth weighted round robin, so that shares are exact and not merely likely. The same rule
//! as the emulator's for all other ways in (`xtask/data/emulator.py`).

use std::collections::{HashMap, VecDeque};

use crate::alias::Alias;

/// How many clients have a turn of their own; those that come later share one.
const CLIENTS: usize = 32;

/// Weights are counted in millionths.
const WHOLE: u64 = 1_000_000;

/// How many states of an alias are counted: requests on their way may have read the one before.
const STATES: usize = 2;

/// What clients are owed of an alias's additional version.
#[derive(Debug, Default)]
pub(super) struct Split(VecDeque<(Alias, HashMap<String, u64>)>);

impl Split {
    /// The version for a client's next request. Clients do not take each other's turns, so the shares of each are exact.
    /// New weights begin to count anew.
    pub(super) fn next(&mut self, alias: &Alias, client: &str) -> String {
        let Some((additional, weight)) = &alias.additional else { return alias.version.clone() };
        if !self.0.iter().any(|(known, _)| known == alias) {
            self.0.push_front((alias.clone(), HashMap::new()));
            self.0.truncate(STATES);
        }
        let Some((_, clients)) = self.0.iter_mut().find(|(known, _)| known == alias) else {
            return alias.version.clone();
        };
        let client = if clients.contains_key(client) || clients.len() < CLIENTS { client } else { "" };
        let owed = clients.entry(client.to_owned()).or_default();
        *owed += (weight * WHOLE as f64).round() as u64;
        if *owed >= WHOLE {
            *owed -= WHOLE;
            return additional.clone();
        }
        alias.version.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_within_one_request() {
        for weight in 0..=100 {
            let (mut split, alias) = (Split::default(), Alias::between("1", "2", weight));
            let mut new = 0;
            for sent in 1..=250_u32 {
                new += u32::from(split.next(&alias, "a") == "2");
                let intended = sent * weight / 100;
                assert!(new.abs_diff(intended) <= 1, "{weight} %: {new} of {sent}");
                assert!(sent % 100 > 0 || new == intended, "{weight} %: {new} of {sent}");
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_exactly_that() {
        let mut split = Split::default();
        assert!((0..50).all(|_| split.next(&Alias::between("1", "2", 0), "a") == "1"));
        assert!((0..50).all(|_| split.next(&Alias::between("1", "2", 100), "a") == "2"));
    }

    #[test]
    fn clients_do_not_take_each_others_turns() {
        let (mut split, half) = (Split::default(), Alias::between("1", "2", 50));
        let mut new = [0; 2];
        for n in 0..40 {
            new[n % 2] += u32::from(split.next(&half, ["a", "b"][n % 2]) == "2");
        }
        assert_eq!(new, [10, 10]);
        // However many there are, only so many are remembered; the others' shares are exact together.
        let crowd = (0..1_000).filter(|n| split.next(&half, &n.to_string()) == "2").count();
        assert!(crowd.abs_diff(500) <= CLIENTS && split.0[0].1.len() <= CLIENTS + 1, "{crowd}");
    }

    /// A request that has read the alias before a step is counted where it belongs, and takes nothing of the new step.
    #[test]
    fn a_request_of_the_step_before_does_not_disturb_the_new_one() {
        let mut split = Split::default();
        let (before, now) = (Alias::between("1", "2", 10), Alias::between("1", "2", 20));
        let mut new = 0;
        for n in 0..100 {
            if n % 10 == 0 {
                split.next(&before, "a");
            }
            new += u32::from(split.next(&now, "a") == "2");
        }
        assert_eq!(new, 20);
        for weight in 30..60 {
            split.next(&Alias::between("1", "2", weight), "a");
        }
        assert_eq!(split.0.len(), STATES);
    }
}
