//! Which cases there are, how each ended, and what that amounts to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::proxy::{Asked, FAULTS, Fault};

/// What is run, on what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    /// The first bootstrap.
    First,
    /// One that has nothing to do.
    Nothing,
    /// One that changes a stack.
    Update,
    /// The removal of everything.
    Destroy,
}

pub(super) const SCENARIOS: [(&str, Scenario); 4] = [
    ("first", Scenario::First),
    ("no-op", Scenario::Nothing),
    ("update", Scenario::Update),
    ("destroy", Scenario::Destroy),
];

/// What a sample disturbs, in turn: the command that makes the most calls the most often.
pub(super) const OFTEN: [Scenario; 4] =
    [Scenario::First, Scenario::Update, Scenario::First, Scenario::Destroy];

/// Commands whose calls this suite does not disturb, and why.
pub(super) const LEFT_OUT: [(&str, &str); 3] = [
    (
        "package (upload)",
        "the proxy passes on no bytes but texts, and no headers of answers; its uploads are disturbed in the tests of causeway-aws, call by call",
    ),
    ("deploy --isolated", "not yet: it uploads, too, and packages the workspace for each case"),
    ("deploy --delete", "not yet: it needs such a stack before each case"),
];

impl Scenario {
    pub(super) fn name(self) -> &'static str {
        SCENARIOS.iter().find(|(_, scenario)| *scenario == self).map_or("unknown", |(name, _)| name)
    }

    pub(super) fn words(self, project: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Scenario::Destroy => &["destroy", "--yes", "--confirm-delete", project],
            _ => &["bootstrap", "--yes"],
        };
        let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
        if self == Scenario::Update {
            // The local cloud says of every change to a bucket that it may be replaced.
            words.extend(["--allow-data-loss".to_owned(), format!("{project}-build-base")]);
        }
        words
    }
}

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) asked: Asked,
    pub(super) fault: Fault,
}

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{}/{}#{}/{}", self.scenario.name(), self.asked.what, self.asked.nth, self.fault.name())
    }
}

/// How a case ended.
pub(super) enum Ended {
    Survived,
    Healed,
    Wrong(Vec<String>),
    /// The call was not made this time, so nothing was disturbed.
    NotMet,
}

/// What the suite found.
#[derive(Default)]
pub(in crate::check) struct Report {
    cases: usize,
    survived: usize,
    healed: usize,
    wrong: Vec<(String, Vec<String>)>,
    not_met: Vec<String>,
    pub(super) not_run: usize,
    cells: BTreeMap<String, usize>,
    pub(super) left_out: BTreeMap<String, usize>,
    /// Faults that a sample was to have and has not.
    pub(super) unmet: Vec<&'static str>,
    /// How many calls each command makes where nothing disturbs it.
    pub(super) calls: BTreeMap<&'static str, Calls>,
}

/// The calls of a command, without further looks at what is still at work: how many there are is the machine's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) all: usize,
    /// The further looks.
    pub(super) looks: usize,
    /// What it may make, where that is known.
    pub(super) limit: Option<usize>,
}

impl Calls {
    pub(super) fn of(scenario: Scenario, asked: &[Asked]) -> Self {
        let looks = asked.iter().filter(|one| one.nth > at_most(&one.what)).count();
        let of = |word: &str| asked.iter().filter(|one| one.what.starts_with(word)).count();
        let stacks: BTreeSet<&str> =
            asked.iter().filter_map(|one| one.what.strip_prefix("DescribeStacks ")).collect();
        let limit = match scenario {
            Scenario::First => Some(OF_THE_FIRST),
            // Whose account it is, then how the stack stands and what its template is.
            Scenario::Nothing => Some(of("GetCallerIdentity in") + 2 * stacks.len()),
            Scenario::Update | Scenario::Destroy => None,
        };
        Self { all: asked.len() - looks, looks, limit }
    }
}

/// How many calls the first bootstrap of four stacks may make.
const OF_THE_FIRST: usize = 36;

/// How many calls of a kind are no waiting: the plan and one look at what is at work.
fn at_most(what: &str) -> u32 {
    match what.split(' ').next() {
        Some("DescribeStacks" | "DescribeChangeSet") => 2,
        Some("DescribeStackEvents") => 1,
        _ => u32::MAX,
    }
}

impl Report {
    pub(in crate::check) fn data(&self) -> Value {
        let wrong: Vec<Value> = self
            .wrong
            .iter()
            .map(|(name, why)| json!({"case": name, "why": why, "repeat": repeat(name)}))
            .collect();
        json!({"cases": self.cases, "survived": self.survived, "healed": self.healed, "wrong": self.wrong.len(),
            "wrong_cases": wrong, "calls": self.of_calls(), "not_met": self.not_met, "not_run": self.not_run, "cells": self.cells,
            "left_out": self.left_out})
    }

    fn of_calls(&self) -> Value {
        let of = |calls: &Calls| json!({"calls": calls.all, "looks": calls.looks, "at_most": calls.limit});
        self.calls.iter().map(|(name, calls)| ((*name).to_owned(), of(calls))).collect()
    }

    /// The cells and what is left out, for people.
    pub(in crate::check) fn says(&self) -> String {
        let mut text = format!(
            "{} cases: {} survived, {} healed by the next run, {} wrong",
            self.cases,
            self.survived,
            self.healed,
            self.wrong.len()
        );
        for (name, Calls { all, looks, .. }) in &self.calls {
            text.push_str(&format!(
                "\n  {all:>4}  calls of {name} without any fault, and {looks} further looks"
            ));
        }
        for (cell, count) in &self.cells {
            text.push_str(&format!("\n  {count:>4}  {cell}"));
        }
        for (cell, count) in &self.left_out {
            text.push_str(&format!("\n  left out: {count} of {cell}"));
        }
        for (command, why) in LEFT_OUT {
            text.push_str(&format!("\n  left out: {command}: {why}"));
        }
        if self.not_run > 0 {
            text.push_str(&format!("\n  left out: {} for lack of time", self.not_run));
        }
        for (name, why) in &self.wrong {
            text.push_str(&format!("\n  wrong: {name}: {}\n    {}", why.join("; "), repeat(name)));
        }
        text
    }

    /// # Errors
    /// A case was wrong, or a command asks more often than it must.
    pub(in crate::check) fn judge(&self) -> Result<(), String> {
        let over = |calls: &&Calls| calls.limit.is_some_and(|limit| calls.all > limit);
        if let Some((name, calls)) = self.calls.iter().find(|(_, calls)| over(calls)) {
            let limit = calls.limit.unwrap_or_default();
            return Err(format!("{name} makes {} calls where nothing fails; {limit} are enough", calls.all));
        }
        match self.wrong.first() {
            None if self.cases == 0 => Err("no case was run".to_owned()),
            None if !self.unmet.is_empty() => {
                Err(format!("the sample met no call with these faults: {}", self.unmet.join(", ")))
            }
            None => Ok(()),
            Some((name, why)) => Err(format!(
                "{} of {} cases are wrong; the first: {name}: {}; {}",
                self.wrong.len(),
                self.cases,
                why.join("; "),
                repeat(name)
            )),
        }
    }

    /// Whether a case of that fault was run.
    pub(super) fn has_met(&self, fault: &str) -> bool {
        self.cells.keys().any(|cell| cell.rsplit(' ').next() == Some(fault))
    }

    pub(super) fn note(&mut self, case: &Case, ended: Ended) {
        let name = case.name();
        if let Ended::NotMet = ended {
            self.not_met.push(name);
            return;
        }
        self.cases += 1;
        let action = case.asked.what.split(' ').next().unwrap_or_default();
        *self.cells.entry(format!("{} {action} {}", case.scenario.name(), case.fault.name())).or_default() +=
            1;
        match ended {
            Ended::Survived => self.survived += 1,
            Ended::Healed => self.healed += 1,
            Ended::Wrong(why) => self.wrong.push((name, why)),
            Ended::NotMet => {}
        }
    }
}

/// The command that repeats a case.
pub(super) fn repeat(name: &str) -> String {
    format!("cargo xtask check --faults --case '{name}'")
}

/// Whether a call changes something.
pub(super) fn changes(asked: &Asked) -> bool {
    [
        "Create", "Execute", "Update", "Delete", "Put", "Continue", "Schedule", "Disable", "PUT", "DELETE",
        "POST",
    ]
    .iter()
    .any(|word| asked.what.starts_with(word))
}

/// The cases of a scenario whose undisturbed calls these are, and how many are left out of each kind of call. What changes
/// something is met by every fault each of the first two times; what reads is met the first time, in one account: the others
/// run the same code.
pub(super) fn choose(scenario: Scenario, calls: &[Asked]) -> (Vec<Case>, BTreeMap<String, usize>) {
    let (mut cases, mut left_out, mut kinds) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for asked in calls {
        let kind = asked.what.rsplit_once(" in ").map_or(asked.what.as_str(), |(kind, _)| kind);
        let is_met =
            if changes(asked) { asked.nth <= 2 } else { asked.nth == 1 && kinds.insert(kind.to_owned()) };
        if is_met {
            cases.extend(FAULTS.iter().map(|(_, fault)| Case {
                scenario,
                asked: asked.clone(),
                fault: *fault,
            }));
        } else {
            *left_out.entry(format!("{} {kind}", scenario.name())).or_default() += FAULTS.len();
        }
    }
    (cases, left_out)
}

/// One case of each fault, each with another call that changes something.
pub(super) fn sample(calls: &BTreeMap<Scenario, Vec<Asked>>) -> Vec<Case> {
    let mut met = BTreeMap::<Scenario, usize>::new();
    let mut cases = Vec::new();
    for ((_, fault), scenario) in FAULTS.into_iter().zip(OFTEN.into_iter().cycle()) {
        let of: Vec<&Asked> =
            calls.get(&scenario).into_iter().flatten().filter(|asked| changes(asked)).collect();
        let nth = met.entry(scenario).or_default();
        // By an odd step, so that calls of one kind, which follow each other, do not take all places.
        if let Some(asked) = of.get(*nth * 3 % of.len().max(1)) {
            cases.push(Case { scenario, asked: (*asked).clone(), fault });
        }
        *nth += 1;
    }
    cases
}

/// How a command ended: its exit code, and why where it did not end well.
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) why: String,
}

/// What no fault excuses: a hang, a panic, an exit code that says something else.
pub(super) fn misbehaved(ran: &Ran, fault: Fault) -> Option<String> {
    match (ran.code, fault) {
        (None, Fault::Kill) => None,
        (None, _) => Some(format!("it did not end by itself: {}", ran.why)),
        (Some(101), _) => Some(format!("it panicked: {}", ran.why)),
        // One that had everything done by then may end well.
        (Some(0 | 130), Fault::Interrupt | Fault::Terminate) => None,
        (Some(code), Fault::Interrupt | Fault::Terminate) => {
            Some(format!("it was interrupted and ended with {code}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(what: &str, nth: u32) -> Asked {
        Asked { what: what.to_owned(), nth }
    }

    #[test]
    fn what_changes_something_meets_every_fault_and_what_is_left_out_is_counted() {
        let calls = [
            asked("DescribeStacks P-a in 1", 1),
            asked("DescribeStacks P-a in 2", 1),
            asked("CreateChangeSet P-a in 1", 1),
            asked("CreateChangeSet P-a in 2", 1),
            asked("DescribeStacks P-a in 1", 2),
            asked("DeleteStack P-a in 1", 3),
        ];
        let (cases, left_out) = choose(Scenario::First, &calls);
        assert_eq!(cases.len(), 3 * FAULTS.len());
        assert_eq!(
            left_out,
            BTreeMap::from([
                ("first DescribeStacks P-a".to_owned(), 20),
                ("first DeleteStack P-a".to_owned(), 10)
            ])
        );
        assert_eq!(cases[0].name(), "first/DescribeStacks P-a in 1#1/500");
    }

    #[test]
    fn a_sample_has_each_fault_once_and_says_which_it_could_not_have() {
        let calls: Vec<Asked> = (1..6).map(|nth| asked("CreateChangeSet P-a in 1", nth)).collect();
        let of = |scenarios: &[Scenario]| {
            let all: BTreeMap<_, _> = scenarios.iter().map(|one| (*one, calls.clone())).collect();
            sample(&all)
        };
        let all = of(&[Scenario::First, Scenario::Update, Scenario::Destroy]);
        let faults: BTreeSet<Fault> = all.iter().map(|case| case.fault).collect();
        assert_eq!((all.len(), faults.len()), (FAULTS.len(), FAULTS.len()));
        let names: BTreeSet<String> = all.iter().map(Case::name).collect();
        assert_eq!(names.len(), FAULTS.len());
        assert!(of(&[Scenario::First]).len() < FAULTS.len());
        let mut report = Report::default();
        report.note(&all[0], Ended::Survived);
        assert!(report.has_met("500") && !report.has_met("lost"));
        report.unmet.push("lost");
        assert!(report.judge().unwrap_err().contains("lost"));
    }

    #[test]
    fn calls_have_a_limit_and_waiting_has_none() {
        let who = |account: u32| asked(&format!("GetCallerIdentity in {account}"), 1);
        let mut calls = vec![who(1), who(2)];
        for stack in ["a", "b"] {
            calls.push(asked(&format!("DescribeStacks P-{stack} in 1"), 1));
            calls.push(asked(&format!("GetTemplate P-{stack} in 1"), 1));
        }
        let of = |calls: &[Asked]| Calls::of(Scenario::Nothing, calls);
        assert_eq!(of(&calls), Calls { all: 6, looks: 0, limit: Some(6) });
        calls.push(asked("DescribeStacks P-a in 1", 2));
        calls.push(asked("DescribeStacks P-a in 1", 3));
        assert_eq!(of(&calls), Calls { all: 7, looks: 1, limit: Some(6) });
        let mut report = Report::default();
        report
            .note(&Case { scenario: Scenario::Nothing, asked: who(1), fault: Fault::Lost }, Ended::Survived);
        assert!(report.judge().is_ok());
        report.calls.insert("no-op", of(&calls));
        assert!(report.judge().unwrap_err().contains("no-op makes 7 calls"));
        assert_eq!(report.data()["calls"]["no-op"], json!({"calls": 7, "looks": 1, "at_most": 6}));
    }

    #[test]
    fn no_fault_excuses_a_hang_a_panic_or_a_false_exit_code() {
        let ran = |code| Ran { code, why: String::new() };
        for (code, fault, is_wrong) in [
            (None, Fault::Kill, false),
            (None, Fault::Lost, true),
            (Some(101), Fault::Cut, true),
            (Some(130), Fault::Interrupt, false),
            (Some(0), Fault::Terminate, false),
            (Some(1), Fault::Interrupt, true),
            (Some(1), Fault::Internal, false),
        ] {
            assert_eq!(misbehaved(&ran(code), fault).is_some(), is_wrong, "{code:?} {fault:?}");
        }
    }

    #[test]
    fn a_wrong_case_says_how_to_repeat_it() {
        let case = Case {
            scenario: Scenario::Update,
            asked: asked("ExecuteChangeSet P-a in 1", 1),
            fault: Fault::Lost,
        };
        let mut report = Report::default();
        assert!(report.judge().is_err(), "no case is no success");
        report.note(&case, Ended::Healed);
        assert!(report.judge().is_ok());
        report.note(&case, Ended::Wrong(vec!["missing: x".to_owned()]));
        let said = report.judge().unwrap_err();
        assert!(said.contains("check --faults --case 'update/ExecuteChangeSet P-a in 1#1/lost'"), "{said}");
        let data = report.data();
        assert_eq!((&data["cases"], &data["healed"], &data["wrong"]), (&json!(2), &json!(1), &json!(1)));
        assert!(report.says().contains("left out: deploy --isolated"));
    }
}
