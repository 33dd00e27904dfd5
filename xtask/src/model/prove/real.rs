//! A third opinion: the requests that can be made as real calls, by sessions of the roles, on the local cloud.
//!
//! Names that CloudFormation makes up differ there from the ones made up here; they are told apart resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::ask::{Asked, USUAL, Worlds};
use super::names::{Names, generalized};
use crate::model::calls::{self, Call};
use crate::model::iam::{Caller, Request};

const DATA: &str = include_str!("../../../data/real-calls.toml");
const FILE: &str = "xtask/data/real-calls.toml";

/// A request of a role of the templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The row's id.
    pub(crate) row: String,
    /// Who asks, in words.
    pub(crate) who: String,
    /// The role's ARN, as deployed on paper.
    pub(crate) role: String,
    /// The action.
    pub(crate) action: String,
    /// The resource's ARN, as deployed on paper.
    pub(crate) resource: String,
    /// The condition keys that the row gives, by lower-case name.
    pub(crate) keys: BTreeMap<String, String>,
    /// What `prove` says.
    pub(crate) allowed: bool,
}

/// A resource of a stack, as `Ref` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    /// The account's name.
    pub(crate) account: String,
    /// The stack's name.
    pub(crate) stack: String,
    /// Its logical id.
    pub(crate) id: String,
    /// What `Ref` gives on paper.
    pub(crate) reference: String,
}

impl Thing {
    /// Whether the name is one that CloudFormation makes up.
    pub(crate) fn is_made_up(&self) -> bool {
        generalized(&self.reference) != self.reference
    }
}

/// The requests that roles of the templates make in the usual setting, under all of their policies.
pub(super) fn asks(worlds: &Worlds<'_>, asked: &[Asked<'_>]) -> Vec<Ask> {
    let Some(usual) = worlds.get(USUAL, "") else { return Vec::new() };
    let ours = asked.iter().filter(|one| one.only.is_none() && std::ptr::eq(one.world, usual));
    ours.filter_map(|one| {
        let Caller::Role { arn } = &one.request.caller else { return None };
        if one.asker.is_made() || !usual.roles.contains_key(arn) {
            return None;
        }
        let request = &one.request;
        let plain = Request::new(
            &request.caller,
            &request.action,
            &request.resource,
            &request.owner,
            &usual.setting,
            &BTreeMap::new(),
        );
        let plain = plain.ok()?;
        let given = request.keys.iter().filter(|(key, values)| plain.keys.get(*key) != Some(values));
        let row = worlds.ground.matrix.rows.get(one.row)?;
        Some(Ask {
            row: row.id.get_ref().clone(),
            who: one.asker.label.clone(),
            role: arn.clone(),
            action: request.action.clone(),
            resource: request.resource.clone(),
            keys: given.map(|(key, values)| (key.clone(), values.join(","))).collect(),
            allowed: one.verdict().ok()?.allowed(),
        })
    })
    .collect()
}

/// Every resource of every stack of the usual setting.
pub(super) fn things(worlds: &Worlds<'_>) -> Vec<Thing> {
    let mut all = Vec::new();
    for stack in worlds.get(USUAL, "").iter().flat_map(|world| &world.stacks) {
        let names = Names::new(stack, worlds.ground.types);
        for resource in stack.resources.values() {
            // What cannot be named is reported where its policies are read.
            if let Ok(reference) = names.reference(resource, None) {
                let (account, stack) = (stack.account.clone(), stack.name().to_owned());
                all.push(Thing { account, stack, id: resource.id.clone(), reference });
            }
        }
    }
    all
}

/// The paper's names and the real ones that differ from them.
#[derive(Debug, Default)]
pub(crate) struct Real(Vec<(String, String)>);

impl Real {
    /// Of pairs: as on paper, and real. The longest are looked for first.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let different = pairs.into_iter().filter(|(paper, real)| paper != real && !paper.is_empty());
        let mut all: Vec<(String, String)> = different.collect();
        all.sort_by(|a, b| (b.0.len(), &a.0).cmp(&(a.0.len(), &b.0)));
        all.dedup_by(|a, b| a.0 == b.0);
        Self(all)
    }

    /// A text with the real names.
    pub(crate) fn text(&self, paper: &str) -> String {
        self.0.iter().fold(paper.to_owned(), |text, (paper, real)| text.replace(paper.as_str(), real))
    }

    /// The call that asks it; `None` where there is none.
    pub(crate) fn call(&self, ask: &Ask) -> Option<Call> {
        if ask.allowed && calls::takes_away(&ask.action) {
            return None;
        }
        let keys = ask.keys.iter().map(|(key, value)| (key.clone(), self.text(value))).collect();
        calls::call(&ask.action, &self.text(&ask.resource), &keys)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    #[serde(default)]
    differences: Vec<Difference>,
}

/// Where the local cloud may answer otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The actions, or a service with `:*`.
    actions: Vec<String>,
    /// Rows by id; any where there are none.
    #[serde(default)]
    rows: Vec<String>,
    /// What the resource's ARN has; anything where there is none.
    #[serde(default)]
    on: Option<String>,
    /// What it answers: allow or deny.
    answer: String,
    /// Why.
    why: String,
}

impl Difference {
    fn is_about(&self, ask: &Ask, action: &str, answer: &str) -> bool {
        let covers = action == ask.action
            || action.strip_suffix('*').is_some_and(|service| ask.action.starts_with(service));
        covers
            && self.answer == answer
            && (self.rows.is_empty() || self.rows.contains(&ask.row))
            && self.on.as_ref().is_none_or(|on| ask.resource.contains(on))
    }
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// How many answers agree.
    pub(crate) agreed: usize,
    /// How many differ as the data file says.
    pub(crate) expected: usize,
    /// Differences that nobody knew, and known ones that are gone.
    pub(crate) complaints: Vec<String>,
}

/// Holds the local cloud's answers (allowed or not) to ours.
///
/// # Errors
/// The list of differences does not parse.
pub(crate) fn compare(answers: &[(Ask, bool)]) -> Result<Compared, String> {
    compare_with(DATA, answers)
}

fn compare_with(data: &str, answers: &[(Ask, bool)]) -> Result<Compared, String> {
    let known: Known = toml::from_str(data).map_err(|error| format!("{FILE}: {error}"))?;
    let word = |allowed: bool| if allowed { "allow" } else { "deny" };
    let mut out = Compared::default();
    let mut used: BTreeSet<(usize, &str)> = BTreeSet::new();
    for (ask, allowed) in answers {
        if ask.allowed == *allowed {
            out.agreed += 1;
            continue;
        }
        let all = known.differences.iter().enumerate();
        let mut fitting =
            all.flat_map(|(index, one)| one.actions.iter().map(move |action| (index, one, action)));
        match fitting.find(|(_, one, action)| one.is_about(ask, action, word(*allowed))) {
            Some((index, _, action)) => {
                used.insert((index, action));
                out.expected += 1;
            }
            None => out.complaints.push(format!(
                "row {}: {} {} on {} {:?}: we say {}, the local cloud says {}",
                ask.row,
                ask.who,
                ask.action,
                ask.resource,
                ask.keys,
                word(ask.allowed),
                word(*allowed)
            )),
        }
    }
    for (index, one) in known.differences.iter().enumerate() {
        for action in one.actions.iter().filter(|action| !used.contains(&(index, action.as_str()))) {
            out.complaints.push(format!(
                "{FILE}: the difference in {action} ({}) is gone: take it off the list",
                one.why
            ));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config_of, files};
    use super::*;

    fn ask(action: &str, allowed: bool) -> Ask {
        Ask {
            row: "D1".into(),
            who: "Role (dev)".into(),
            role: "arn:aws:iam::2:role/r".into(),
            action: action.into(),
            resource: "arn:aws:s3:::b/k".into(),
            keys: BTreeMap::new(),
            allowed,
        }
    }

    const KNOWN: &str = "[[differences]]\nactions = [\"s3:*\"]\non = \"s3:::b\"\nanswer = \"allow\"\nwhy = \"it looks elsewhere\"\n";

    #[test]
    fn an_answer_that_nobody_expected_and_a_difference_that_is_gone_are_complaints() {
        let same = compare_with("", &[(ask("s3:GetObject", true), true)]).unwrap();
        assert_eq!((same.agreed, same.expected, same.complaints.len()), (1, 0, 0));
        let other = compare_with("", &[(ask("s3:GetObject", false), true)]).unwrap();
        assert!(other.complaints[0].contains("we say deny, the local cloud says allow"), "{other:?}");
        let known = compare_with(KNOWN, &[(ask("s3:GetObject", false), true)]).unwrap();
        assert_eq!((known.expected, known.complaints.len()), (1, 0));
        let gone = compare_with(KNOWN, &[(ask("s3:GetObject", false), false)]).unwrap();
        assert!(gone.complaints[0].contains("is gone"), "{gone:?}");
        let reverse = compare_with(KNOWN, &[(ask("s3:GetObject", true), false)]).unwrap();
        assert_eq!(reverse.complaints.len(), 2, "an agreed allow is no agreed deny: {reverse:?}");
    }

    #[test]
    fn names_on_paper_become_the_real_ones() {
        let real = Real::of([("a-1".to_owned(), "a-9".to_owned()), ("long-a-1".to_owned(), "b".to_owned())]);
        assert_eq!(real.text("arn:x:long-a-1/a-1"), "arn:x:b/a-9");
        assert!(real.call(&ask("s3:DeleteObject", true)).is_none(), "nothing is taken away");
        assert!(real.call(&ask("s3:DeleteObject", false)).is_some());
    }

    #[test]
    fn many_rows_can_be_made_as_calls() {
        let files = files();
        let (asks, things) =
            super::super::with(&files, &config_of(&files), |proof| (proof.asks(), proof.things())).unwrap();
        let made: Vec<&Ask> = asks.iter().filter(|ask| Real::default().call(ask).is_some()).collect();
        for service in ["s3:", "kms:", "sts:", "iam:", "dynamodb:", "lambda:", "logs:", "sns:"] {
            for allowed in [true, false] {
                let found = made.iter().any(|ask| ask.action.starts_with(service) && ask.allowed == allowed);
                assert!(found || (service, allowed) == ("kms:", true), "{service} {allowed}");
            }
        }
        assert!(things.iter().any(|thing| thing.id == "ArtifactKey" && thing.account == "build"));
        let data: Known = toml::from_str(DATA).unwrap();
        assert!(data.differences.iter().all(|one| one.why.len() > 12));
    }
}
