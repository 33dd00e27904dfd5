//! A third opinion: the requests that can be made as real calls, by sessions of the roles, on the local cloud.
//!
//! Names that CloudFormation makes up differ there from the ones made up here; they are told apart resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use causeway_iam::{Caller, Request};
use causeway_model::calls::{self, Call};
use causeway_prove::ask::{Asked, USUAL, Worlds};
use causeway_prove::names::{Names, generalized};

const DATA: &str = include_str!("../../../data/real-calls.toml");
const FILE: &str = "xtask/data/real-calls.toml";

/// A request of a role of the templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The row's id.
    pub row: String,
    /// Who asks, in words.
    pub who: String,
    /// The role's ARN, as deployed on paper.
    pub role: String,
    /// The action.
    pub action: String,
    /// The resource's ARN, as deployed on paper.
    pub resource: String,
    /// The condition keys that the row gives, by lower-case name.
    pub keys: BTreeMap<String, String>,
    /// What `prove` says.
    pub allowed: bool,
}

/// What the local cloud said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The request.
    pub ask: Ask,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The status and the code of the error, if there was one.
    pub said: String,
}

/// A resource of a stack, as `Ref` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    /// The account's name.
    pub account: String,
    /// The stack's name.
    pub stack: String,
    /// Its logical id.
    pub id: String,
    /// What `Ref` gives on paper.
    pub reference: String,
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
    #[serde(default)]
    unreached: Vec<Unreached>,
}

/// A role that nobody can become, so that its requests are not made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreached {
    /// The role, as rows call it.
    who: String,
    /// Why.
    why: String,
}

/// Where the local cloud may answer otherwise. Each of its rows and each of its actions must still differ.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Rows by id.
    rows: Vec<String>,
    /// The actions.
    actions: Vec<String>,
    /// What the resource's ARN has; anything where there is none.
    #[serde(default)]
    on: Option<String>,
    /// What it answers: allow or deny.
    answer: String,
    /// Why.
    why: String,
}

impl Difference {
    /// The places of the row and of the action in its lists, where it is about this answer.
    fn about(&self, ask: &Ask, answer: &str) -> Option<[usize; 2]> {
        let row = self.rows.iter().position(|row| *row == ask.row)?;
        let action = self.actions.iter().position(|action| *action == ask.action)?;
        let fits = self.answer == answer && self.on.as_ref().is_none_or(|on| ask.resource.contains(on));
        fits.then_some([row, action])
    }
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// How many answers agree.
    pub agreed: usize,
    /// How many differ as the data file says.
    pub expected: usize,
    /// Differences that nobody knew, and known ones that are gone.
    pub complaints: Vec<String>,
}

/// Holds the local cloud's answers to ours, and the roles that nobody could become there to the ones that are listed.
///
/// # Errors
/// The list of differences does not parse.
pub(crate) fn compare(answers: &[Answer], unreached: &BTreeSet<String>) -> Result<Compared, String> {
    compare_with(DATA, answers, unreached)
}

fn compare_with(data: &str, answers: &[Answer], unreached: &BTreeSet<String>) -> Result<Compared, String> {
    let known: Known = toml::from_str(data).map_err(|error| format!("{FILE}: {error}"))?;
    let word = |allowed: bool| if allowed { "allow" } else { "deny" };
    let mut out = Compared::default();
    // The rows and the actions of each entry that still differ.
    let mut used: BTreeSet<(usize, &str)> = BTreeSet::new();
    for Answer { ask, allowed, said } in answers {
        if ask.allowed == *allowed {
            out.agreed += 1;
            continue;
        }
        let mut all = known.differences.iter().enumerate();
        let found =
            all.find_map(|(index, one)| one.about(ask, word(*allowed)).map(|places| (index, one, places)));
        match found {
            Some((index, one, [row, action])) => {
                let names = [one.rows.get(row), one.actions.get(action)];
                used.extend(names.into_iter().flatten().map(|name| (index, name.as_str())));
                out.expected += 1;
            }
            None => out.complaints.push(format!(
                "row {}: {} {} on {} {:?}: we say {}, the local cloud says {} ({said})",
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
        let names = one.rows.iter().chain(&one.actions);
        for name in names.filter(|name| !used.contains(&(index, name.as_str()))) {
            out.complaints.push(format!(
                "{FILE}: the difference in {name} ({}) is gone: take it off the list",
                one.why
            ));
        }
    }
    for who in unreached.iter().filter(|who| known.unreached.iter().all(|one| one.who != **who)) {
        out.complaints
            .push(format!("nobody can become {who} on the local cloud, so its rows were not asked"));
    }
    for one in known.unreached.iter().filter(|one| !unreached.contains(&one.who)) {
        out.complaints
            .push(format!("{FILE}: {} can be reached ({}): take it off the list", one.who, one.why));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opinion::tests::{files, proven};

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

    fn against(data: &str, answers: &[Answer]) -> Compared {
        compare_with(data, answers, &BTreeSet::new()).unwrap()
    }

    const KNOWN: &str = "[[differences]]\nrows = [\"D1\"]\nactions = [\"s3:GetObject\"]\non = \"s3:::b\"\nanswer = \"allow\"\nwhy = \"it looks elsewhere\"\n";

    fn said(ask: Ask, allowed: bool) -> [Answer; 1] {
        [Answer { ask, allowed, said: "404 NoSuchKey".into() }]
    }

    #[test]
    fn an_answer_that_nobody_expected_and_a_difference_that_is_gone_are_complaints() {
        let same = against("", &said(ask("s3:GetObject", true), true));
        assert_eq!((same.agreed, same.expected, same.complaints.len()), (1, 0, 0));
        let other = against("", &said(ask("s3:GetObject", false), true));
        let complaint = &other.complaints[0];
        assert!(complaint.contains("we say deny, the local cloud says allow (404 NoSuchKey)"), "{complaint}");
        let known = against(KNOWN, &said(ask("s3:GetObject", false), true));
        assert_eq!((known.expected, known.complaints.len()), (1, 0));
        let gone = against(KNOWN, &said(ask("s3:GetObject", false), false));
        assert!(gone.complaints.iter().all(|complaint| complaint.contains("is gone")), "{gone:?}");
        assert_eq!(gone.complaints.len(), 2, "its row and its action: {gone:?}");
        let reverse = against(KNOWN, &said(ask("s3:GetObject", true), false));
        assert_eq!(reverse.complaints.len(), 3, "an agreed allow is no agreed deny: {reverse:?}");
    }

    #[test]
    fn every_row_and_every_action_of_a_difference_must_still_differ() {
        let two = KNOWN.replace("\"D1\"", "\"D1\", \"D2\"");
        let half = against(&two, &said(ask("s3:GetObject", false), true));
        assert_eq!(half.complaints.len(), 1);
        assert!(half.complaints[0].contains("difference in D2"), "{half:?}");
        let two = KNOWN.replace("\"s3:GetObject\"", "\"s3:GetObject\", \"s3:PutObject\"");
        let half = against(&two, &said(ask("s3:GetObject", false), true));
        assert!(half.complaints[0].contains("difference in s3:PutObject"), "{half:?}");
    }

    #[test]
    fn a_role_that_nobody_can_become_is_listed_with_its_reason() {
        let who = BTreeSet::from(["Role (prod)".to_owned()]);
        let data = "[[unreached]]\nwho = \"Role (prod)\"\nwhy = \"nobody is trusted\"\n";
        assert!(compare_with("", &[], &who).unwrap().complaints[0].contains("nobody can become Role (prod)"));
        assert_eq!(compare_with(data, &[], &who).unwrap().complaints.len(), 0);
        assert!(against(data, &[]).complaints[0].contains("take it off the list"));
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
            proven(&files, |proof| (asks(proof.worlds(), proof.asked()), things(proof.worlds())));
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
