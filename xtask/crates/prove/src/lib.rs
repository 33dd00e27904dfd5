//! `prove`: what the templates allow once they are deployed, held to what they are meant to allow.
//!
//! The templates are deployed on paper: parameters filled from `cfn/stacks.toml`, intrinsic functions evaluated, the
//! names that CloudFormation would make up made up. The policies found there are asked every row of
//! `cfn/access-matrix.toml` and every call that CloudFormation's handlers make. What a template says is what AWS's own
//! transforms make of it (see [`Expand`]).

pub mod ask;
pub mod compare;
mod identity;
mod made;
pub mod matrix;
pub mod mutate;
pub mod names;
pub mod needs;
mod outside;
mod places;
mod policies;
mod rights;
pub mod rows;
pub mod rules;
mod stack;
pub mod suggest;
pub mod told;
mod types;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

pub use compare::Shift;
pub use identity::IdentityPolicy;
pub use rows::Checked;
pub use told::told;
pub use world::partition;

use causeway_model::config::Config;
use causeway_model::template::Expand;
use world::World;

/// The parameter that turns off hooks.
const HOOKS: &str = "Hooks";

/// What was read: texts of the files below `cfn/`, by name.
pub type Files = BTreeMap<String, String>;

/// Something that is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// The file, relative to the checkout.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The complaint.
    pub message: String,
}

impl Problem {
    /// A complaint about a line of a file.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// What was asked and what came out.
#[derive(Debug, Default)]
pub struct Report {
    /// Every request of the matrix.
    pub checked: Vec<rows::Checked>,
    /// How many rows the matrix has.
    pub rows: usize,
    /// The names of the target accounts.
    pub targets: Vec<String>,
    /// What CloudFormation's handlers need.
    pub sufficiency: needs::Sufficiency,
    /// What the rules of the release say.
    pub rules: rules::Judged,
    /// How strong the matrix is, where that was asked.
    pub mutation: Option<mutate::Mutation>,
    /// What changed since another version, where that was asked.
    pub shifts: Option<Vec<compare::Shift>>,
    /// The statements that are lacking, where that was asked.
    pub suggested: Option<suggest::Suggested>,
    /// What is wrong with the files.
    pub problems: Vec<Problem>,
}

impl Report {
    /// The ids of the rows that fail, in the order of the matrix.
    pub fn failed_rows(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for one in self.checked.iter().filter(|one| !one.holds) {
            if all.last() != Some(&one.id.as_str()) {
                all.push(&one.id);
            }
        }
        all
    }

    /// Mutants that survive without a reason.
    pub fn unexplained(&self) -> impl Iterator<Item = &mutate::Mutant> {
        self.mutation.iter().flat_map(mutate::Mutation::unexplained)
    }

    /// Whether everything holds: rows, calls of handlers, mutants, and nothing is left that cannot be read.
    pub fn holds(&self) -> bool {
        self.failed_rows().is_empty()
            && self.sufficiency.missing.is_empty()
            && self.problems.is_empty()
            && self.rules.violations.is_empty()
            && self.unexplained().next().is_none()
    }
}

/// The whole of `cfn/` deployed on paper, and everything that the matrix asks.
pub struct Proof<'a, 'g> {
    worlds: &'a ask::Worlds<'g>,
    asked: Vec<ask::Asked<'a>>,
    problems: Vec<Problem>,
    /// Whether a template or a statement cannot be read: every other complaint would only follow from that.
    broken: bool,
}

/// Deploys the files on paper and lets `work` ask. A configuration of its own wins over the one in the files.
///
/// # Errors
/// The matrix does not parse, or our own data does not.
pub fn with<T>(
    files: &Files,
    config: &Config,
    expand: &dyn Expand,
    work: impl FnOnce(&Proof<'_, '_>) -> T,
) -> Result<T, Problem> {
    grounded(files, config, expand, |ground| {
        let worlds = ask::Worlds::build(ground);
        let (asked, mut problems) = rows::requests(&worlds);
        problems.extend(worlds.problems());
        let mut unread = ground.broken.clone();
        if unread.is_empty() {
            unread = worlds.unreadable();
        }
        let broken = !unread.is_empty();
        if broken {
            problems = unread;
        }
        problems.sort();
        problems.dedup();
        work(&Proof { worlds: &worlds, asked, problems, broken })
    })
}

/// Reads the matrix and our own data, and lets `work` look at the files by them.
fn grounded<T>(
    files: &Files,
    config: &Config,
    expand: &dyn Expand,
    work: impl FnOnce(&world::Ground<'_>) -> T,
) -> Result<T, Problem> {
    let text = files.get("access-matrix.toml");
    let text = text.ok_or_else(|| Problem::new(matrix::FILE, 1, "the file is missing"))?;
    let matrix = matrix::parse(text)?;
    let types = types::known().map_err(|error| Problem::new("xtask/data/resource-types.toml", 1, error))?;
    let ground = world::Ground::new(config, &matrix, types, files, expand);
    Ok(work(&ground))
}

/// What the rules of the release say of the files, without anything else that `prove` asks.
#[cfg(test)]
fn rules_of(files: &Files, config: &Config, expand: &dyn Expand) -> Result<rules::Judged, Problem> {
    grounded(files, config, expand, |ground| {
        let world = World::build(ground, &matrix::Variant::default(), None, false);
        rules::check(ground, &world)
    })
}

impl Proof<'_, '_> {
    /// Asks every row and every call of a handler.
    pub fn report(&self) -> Report {
        let (rows, targets) = (
            self.worlds.ground.matrix.rows.len(),
            self.worlds.ground.config.targets().map(ToOwned::to_owned).collect(),
        );
        if self.broken {
            return Report { rows, targets, problems: self.problems.clone(), ..Report::default() };
        }
        let (checked, complaints) = rows::check(self.worlds, &self.asked);
        let usual = self.worlds.get(ask::USUAL, "");
        let mut sufficiency = usual.map(|world| needs::check(self.worlds.ground, world)).unwrap_or_default();
        let mut rules = usual.map(|world| rules::check(self.worlds.ground, world)).unwrap_or_default();
        let mut problems = self.problems.clone();
        problems.extend(complaints);
        problems.append(&mut sufficiency.problems);
        problems.append(&mut rules.problems);
        problems
            .extend(usual.iter().flat_map(|world| outside::check(self.worlds.ground, world, outside::DATA)));
        problems.sort();
        problems.dedup();
        Report { checked, rows, targets, sufficiency, rules, problems, ..Report::default() }
    }

    /// The plain template of every stack, by a name that is a file's: each as configured, the app's also as developers deploy
    /// it, and each environment's without hooks where its template has that switch.
    pub fn expansions(&self) -> BTreeMap<String, Value> {
        let ground = self.worlds.ground;
        let mut all = BTreeMap::new();
        let mut add = |world: &World, ending: &str| {
            for stack in &world.stacks {
                let name = format!("{}@{}{ending}.json", stack.name(), stack.account);
                all.insert(name, stack.plain.clone());
            }
        };
        add(&World::build(ground, &matrix::Variant::default(), None, false), "");
        let mut without = matrix::Variant::default();
        let off = BTreeMap::from([(HOOKS.to_owned(), "false".to_owned())]);
        for stack in &ground.config.stacks {
            let template = ground.templates.get(&stack.template);
            if template.is_some_and(|template| template.root.at(&["Parameters", HOOKS]).is_some()) {
                without.parameters.insert(stack.name.clone(), off.clone());
            }
        }
        if !without.parameters.is_empty() {
            add(&World::build(ground, &without, None, false), "-without-hooks");
        }
        all
    }

    /// Weakens every statement and looks whether a row notices.
    pub fn mutate(&self) -> mutate::Mutation {
        if self.broken {
            return mutate::Mutation::default();
        }
        let mut mutation = mutate::run(self.worlds, &self.asked);
        let mut meaning = rules::mutants(self.worlds.ground, 1, 0);
        mutation.mutants.append(&mut meaning.mutants);
        mutation.problems.append(&mut meaning.problems);
        mutation
    }

    /// The statements that roles and boundaries lack for what a report says is missing.
    pub fn suggest(&self, report: &Report) -> suggest::Suggested {
        let usual = self.worlds.get(ask::USUAL, "").filter(|_| !self.broken);
        let of = |world| suggest::of(self.worlds.ground, world, &report.sufficiency.missing);
        usual.map(of).unwrap_or_default()
    }

    /// What changed since another version of the files.
    pub fn compare(&self, older: &Proof<'_, '_>) -> Vec<compare::Shift> {
        compare::compare(
            compare::Version { worlds: older.worlds, asked: &older.asked },
            compare::Version { worlds: self.worlds, asked: &self.asked },
        )
    }

    /// What of the templates and their configuration cannot be read, whatever the matrix asks: a matrix that is newer than
    /// they are may name roles that they do not have yet.
    pub fn unread(&self) -> Vec<Problem> {
        let mut all = self.worlds.problems();
        all.extend(self.worlds.unreadable());
        all.extend(self.worlds.ground.broken.iter().cloned());
        all.retain(|problem| problem.file != matrix::FILE);
        all.sort();
        all.dedup();
        all
    }

    /// Everything that the matrix asks, for whoever asks another evaluator the same.
    pub fn asked(&self) -> &[ask::Asked<'_>] {
        &self.asked
    }

    /// The templates as deployed on paper, in every setting that the matrix asks about.
    pub fn worlds(&self) -> &ask::Worlds<'_> {
        self.worlds
    }

    /// The policies of identities, as the templates would deploy them with every condition met.
    pub fn identity_policies(&self) -> Vec<IdentityPolicy> {
        identity::policies(&World::build(self.worlds.ground, &matrix::Variant::default(), None, true))
    }

    /// The policy of whoever runs `bootstrap` in each account, by the account's name; and what could not be told.
    ///
    /// Resources that hang on a condition count as if it held: a setting that is turned on later needs no new rights.
    pub fn bootstrap_policies(&self) -> (BTreeMap<String, Value>, Vec<Problem>) {
        self.policies(rights::bootstrap_calls)
    }

    /// The policy of whoever leaves, with `destroy` and `doctor --fix`; otherwise as [`Proof::bootstrap_policies`].
    pub fn leaving_policies(&self) -> (BTreeMap<String, Value>, Vec<Problem>) {
        self.policies(rights::leaving_calls)
    }

    /// The policies of all accounts as one: a permission set of IAM Identity Center has one inline policy, the same in every account
    /// that it is assigned to.
    pub fn merged(policies: &BTreeMap<String, Value>) -> Value {
        rights::merged(policies)
    }

    /// The organization's policies for this project, by the names of their files. One that cannot be read is a problem of the
    /// report already, and is left out.
    pub fn organization_policies(&self) -> BTreeMap<String, Value> {
        let ground = self.worlds.ground;
        let named = ground.matrix.variants.values().flat_map(|variant| &variant.scps);
        let read = named.filter_map(|name| {
            let text = world::organization_policy(ground.files.get(name.get_ref())?, &ground.config.project);
            Some((name.get_ref().clone(), serde_json::from_str(&text).ok()?))
        });
        read.collect()
    }

    fn policies(&self, calls: rights::Calls) -> (BTreeMap<String, Value>, Vec<Problem>) {
        let ground = self.worlds.ground;
        let world = World::build(ground, &matrix::Variant::default(), None, true);
        let mut problems = world.problems.clone();
        problems.extend(world.unreadable.iter().cloned());
        let accounts = ground.config.accounts.keys();
        let policies = accounts
            .map(|account| (account.clone(), rights::policy(calls(ground, &world, account, &mut problems))));
        let policies = policies.collect();
        (policies, problems)
    }
}
