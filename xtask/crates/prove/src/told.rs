//! A change of the templates as its reader asks about it: who may do what now that they could not do before, first.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Shift, sentences};

/// Shifts as a reviewer asks for them: what somebody may do now and could not before comes first, and what only has
/// another name now is no right that came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What may be done now.
    pub came: Vec<String>,
    /// What may be done no longer.
    pub went: Vec<String>,
    /// What was given another name: one sentence for each, however many rights are on it.
    pub renamed: Vec<String>,
}

/// Sorts shifts for a reader. A right that went on one thing while the same one came on another, for the same person under the
/// same keys, is a new name where nothing else is to be said of either thing: the old one has no right that came, the new one
/// none that went.
pub fn told(shifts: &[Shift]) -> Told {
    let of = |widened: bool| -> BTreeSet<&String> {
        shifts.iter().filter(|shift| shift.widened == widened).flat_map(|shift| &shift.on).collect()
    };
    let (came_on, went_on) = (of(true), of(false));
    let is_moved = |went: &Shift, came: &Shift| {
        let who = (&went.who, &went.actions, &went.with, &went.setting);
        who == (&came.who, &came.actions, &came.with, &came.setting)
            && went.on.len() == came.on.len()
            && !went.on.iter().any(|on| came_on.contains(on))
            && !came.on.iter().any(|on| went_on.contains(on))
            && same_kind(&went.on, &came.on)
    };
    let mut moved: BTreeMap<(String, String), (usize, BTreeSet<&str>)> = BTreeMap::new();
    let mut is_told = vec![false; shifts.len()];
    for (place, went) in shifts.iter().enumerate().filter(|(_, shift)| !shift.widened) {
        let came = shifts.iter().enumerate().find(|(other, shift)| {
            shift.widened && !is_told.get(*other).copied().unwrap_or_default() && is_moved(went, shift)
        });
        let Some((other, came)) = came else { continue };
        for found in [place, other] {
            if let Some(told) = is_told.get_mut(found) {
                *told = true;
            }
        }
        for (from, to) in went.on.iter().zip(&came.on) {
            let (from, to) = (thing(from).to_owned(), thing(to).to_owned());
            let entry = moved.entry((from, to)).or_default();
            entry.0 += went.actions.len();
            entry.1.insert(&went.who);
        }
    }
    let rest: Vec<Shift> =
        shifts.iter().zip(&is_told).filter(|(_, told)| !**told).map(|(shift, _)| shift.clone()).collect();
    let mut all = Told::default();
    // Somebody whom a template has comes before whoever is only asked about.
    let (made_up, real): (Vec<Shift>, Vec<Shift>) = rest.into_iter().partition(|shift| shift.made_up);
    for (of, only) in [(real, ""), (made_up, "only asked about, in no template: ")] {
        for (widened, sentence) in sentences(&of) {
            let list = if widened { &mut all.came } else { &mut all.went };
            list.push(format!("{only}{sentence}"));
        }
    }
    all.renamed = moved
        .into_iter()
        .map(|((from, to), (rights, who))| {
            format!("{from} is {to} now: {rights} rights of {} went with it, none is new", who.len())
        })
        .collect();
    all
}

/// The thing that a resource is or is a part of: a bucket for its objects.
fn thing(on: &str) -> &str {
    if on.starts_with("arn:") && on.contains(":s3:::") { on.split('/').next().unwrap_or(on) } else { on }
}

/// Whether two lists of resources are of the same services, accounts and kinds, one by one: then only a name differs.
fn same_kind(one: &[String], other: &[String]) -> bool {
    let kind = |on: &str| {
        let fields: Vec<&str> = on.splitn(6, ':').collect();
        let place = fields.get(..5).unwrap_or_default().join(":");
        let rest = fields.get(5).copied().unwrap_or_default();
        let is_bucket = fields.get(2) == Some(&"s3");
        let word = rest.split(['/', ':']).next().filter(|_| !is_bucket).unwrap_or_default();
        // What lies in a bucket keeps its key.
        let within = rest.split_once('/').map_or("", |(_, key)| key);
        (place, word.to_owned(), if is_bucket { within.to_owned() } else { String::new() })
    };
    one.iter().zip(other).all(|(one, other)| kind(one) == kind(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(widened: bool, who: &str, actions: &[&str], on: &[&str]) -> Shift {
        let all = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Shift {
            widened,
            made_up: false,
            who: who.to_owned(),
            actions: all(actions),
            on: all(on),
            with: String::new(),
            setting: String::new(),
            by: "build-base.yaml:9".to_owned(),
        }
    }

    #[test]
    fn a_new_name_is_one_sentence_and_no_right_that_came() {
        let (old, new) = ("arn:aws:s3:::old/packages/x", "arn:aws:s3:::new/packages/x");
        let mut shifts = Vec::new();
        for who in ["the build role", "the action role of dev", "the action role of prod"] {
            shifts.push(shift(true, who, &["s3:GetObject", "s3:PutObject"], &[new]));
            shifts.push(shift(false, who, &["s3:GetObject", "s3:PutObject"], &[old]));
        }
        let renamed = "arn:aws:s3:::old is arn:aws:s3:::new now: 6 rights of 3 went with it, none is new";
        let expected = Told { renamed: vec![renamed.to_owned()], ..Told::default() };
        assert_eq!(told(&shifts), expected);
        // One right more is told, and first.
        shifts.push(shift(true, "the build role", &["s3:DeleteObject"], &[new]));
        let all = told(&shifts);
        assert_eq!((all.came.len(), all.went.len(), all.renamed.len()), (1, 0, 1), "{all:?}");
        assert!(all.came[0].contains("the build role may now s3:DeleteObject"), "{all:?}");
    }

    #[test]
    fn somebody_real_comes_first_whoever_is_called_how() {
        let on = "arn:aws:s3:::b/x";
        let made_up = Shift { made_up: true, ..shift(true, "admin", &["s3:GetObject"], &[on]) };
        let all = told(&[made_up, shift(true, "zoe", &["s3:PutObject"], &[on])]);
        assert!(all.came[0].starts_with("zoe may now s3:PutObject"), "{all:?}");
        assert!(all.came[1].starts_with("only asked about, in no template: admin may now"), "{all:?}");
    }

    #[test]
    fn what_is_more_than_a_new_name_is_a_right_that_came() {
        let (old, new) = ("arn:aws:s3:::old/packages/x", "arn:aws:s3:::new/packages/x");
        let went = shift(false, "a", &["s3:GetObject"], &[old]);
        for came in [
            // Somebody else, another action, another key, another service, another account.
            shift(true, "b", &["s3:GetObject"], &[new]),
            shift(true, "a", &["s3:PutObject"], &[new]),
            shift(true, "a", &["s3:GetObject"], &["arn:aws:s3:::new/secret"]),
            shift(true, "a", &["s3:GetObject"], &["arn:aws:sqs:eu-central-1:1:x"]),
        ] {
            let all = told(&[went.clone(), came.clone()]);
            assert_eq!((all.came.len(), all.went.len(), all.renamed.len()), (1, 1, 0), "{came:?}");
        }
        let role = |account: &str, widened| {
            shift(widened, "a", &["sts:AssumeRole"], &[&format!("arn:aws:iam::{account}:role/x")])
        };
        assert_eq!(told(&[role("1", false), role("2", true)]).came.len(), 1);
        // The old thing is there still, and somebody else gets to it now.
        let other = shift(true, "b", &["s3:GetObject"], &[old]);
        let all = told(&[went, shift(true, "a", &["s3:GetObject"], &[new]), other]);
        assert_eq!(all.renamed.len(), 0, "{all:?}");
        assert!(all.came.concat().contains("a, b may now s3:GetObject"), "{all:?}");
    }
}
