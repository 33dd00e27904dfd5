//! What services need of their roles, from outside: AWS's own minimum policies, not rows of our making.
//!
//! The data is `xtask/data/service-needs.toml`; each entry names its source. A role that lacks a right that its service needs is
//! a complaint at the role, unless the right is waived there with a reason.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use super::matrix::line;
use super::world::{Ground, Role, World};
use causeway_iam::{Catalogue, Effect, Statement};

/// The file, relative to the checkout.
const FILE: &str = "xtask/data/service-needs.toml";
/// What stands in it.
pub(super) const DATA: &str = include_str!("../../../data/service-needs.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    needed: Vec<Needed>,
    #[serde(default)]
    waived: Vec<Waived>,
}

/// What the roles of a service need, or one role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needed {
    #[serde(default)]
    service: Option<Spanned<String>>,
    #[serde(default)]
    role: Option<Spanned<String>>,
    source: Spanned<String>,
    #[serde(rename = "do")]
    actions: Vec<Spanned<String>>,
}

/// Needed rights that we leave out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waived {
    /// The service or the role of the entry that they stand in.
    of: Spanned<String>,
    /// The only role that need not have them.
    #[serde(default)]
    role: Option<Spanned<String>>,
    /// The rights, which may hold `*`.
    #[serde(rename = "do")]
    actions: Vec<Spanned<String>>,
    why: Spanned<String>,
}

/// Asks every role for what its service needs.
pub(super) fn check(ground: &Ground<'_>, world: &World, text: &str) -> Vec<Problem> {
    let at = |start: usize, message: String| Problem::new(FILE, line(text, start), message);
    let data: Data = match toml::from_str(text) {
        Ok(data) => data,
        Err(error) => return vec![at(error.span().map_or(0, |span| span.start), error.message().to_owned())],
    };
    let mut problems = Vec::new();
    // Waived patterns that left something out, by where they stand.
    let mut used: BTreeSet<usize> = BTreeSet::new();
    for needed in &data.needed {
        let (named, by_service) = match (&needed.service, &needed.role) {
            (Some(service), None) => (service, true),
            (None, Some(role)) => (role, false),
            _ => {
                let message = "an entry names either a `service` or a `role`: give it one of them";
                problems.push(at(needed.source.span().start, message.to_owned()));
                continue;
            }
        };
        if needed.source.get_ref().trim().is_empty() {
            let message = format!("the source of `{}` is empty: name the page", named.get_ref());
            problems.push(at(needed.source.span().start, message));
        }
        let holds = |role: &Role| match by_service {
            true => role.services.contains(named.get_ref()),
            false => is(world, role, named.get_ref()),
        };
        let roles: Vec<&Role> = world.roles.values().filter(|role| holds(role)).collect();
        if roles.is_empty() && (by_service || !ground.is_written(named.get_ref())) {
            let what = if by_service { "no role trusts" } else { "no template has the role" };
            let message = format!("{what} `{}`: take the entry out, or name what it is now", named.get_ref());
            problems.push(at(named.span().start, message));
        }
        for action in &needed.actions {
            if let Err(error) = Catalogue::get().expand(action.get_ref()) {
                problems.push(at(action.span().start, error));
                continue;
            }
            let lacking = roles.iter().filter(|role| !may(world, role, action.get_ref()));
            let lacking = lacking.filter(|role| {
                let of = |waived: &&Waived| {
                    waived.of.get_ref() == named.get_ref()
                        && waived.role.as_ref().is_none_or(|only| is(world, role, only.get_ref()))
                };
                let patterns = data.waived.iter().filter(of).flat_map(|waived| &waived.actions);
                let waivers = patterns.filter(|pattern| means(pattern.get_ref(), action.get_ref()));
                let waivers: Vec<usize> = waivers.map(|pattern| pattern.span().start).collect();
                used.extend(&waivers);
                waivers.is_empty()
            });
            problems.extend(lacking.filter_map(|role| {
                let stack = world.stacks.get(role.stack)?;
                let at = stack.resources.get(&role.id).map_or(1, |resource| resource.line);
                let message = format!(
                    "{} lacks {}, which {} needs ({}): allow it, or waive it with a reason in {FILE}",
                    role.id,
                    action.get_ref(),
                    if by_service { named.get_ref() } else { "its service" },
                    needed.source.get_ref(),
                );
                Some(Problem::new(&stack.template.file, at, message))
            }));
        }
    }
    for waived in &data.waived {
        if let Some(role) = waived.role.as_ref().filter(|role| !ground.is_written(role.get_ref())) {
            let message = format!("no template has the role `{}`: take the waiver out", role.get_ref());
            problems.push(at(role.span().start, message));
        }
        if waived.why.get_ref().trim().is_empty() {
            let message =
                format!("what `{}` need not have is waived without a reason: say why", waived.of.get_ref());
            problems.push(at(waived.why.span().start, message));
        }
        for action in waived.actions.iter().filter(|one| !used.contains(&one.span().start)) {
            let message = format!(
                "`{}` of `{}` leaves nothing out: every needed right that it means is granted, or there is none; take it out",
                action.get_ref(),
                waived.of.get_ref()
            );
            problems.push(at(action.span().start, message));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

/// Whether a role is the one of a stack and a logical id.
fn is(world: &World, role: &Role, path: &str) -> bool {
    path.split_once('.').is_some_and(|(of, id)| {
        role.id == id && world.stacks.get(role.stack).is_some_and(|stack| stack.of == of)
    })
}

/// Whether a pattern of actions means one; a pattern that nothing is means none.
fn means(pattern: &str, action: &str) -> bool {
    Catalogue::get().expand(pattern).is_ok_and(|all| all.iter().any(|one| one.eq_ignore_ascii_case(action)))
}

/// Whether a role is allowed an action on anything, by a policy of its own and by its boundary where it has one.
fn may(world: &World, role: &Role, action: &str) -> bool {
    let allows = |statement: &Statement| {
        let actions = &statement.raw.actions;
        let named = actions.all.iter().any(|pattern| pattern == "*" || means(pattern, action));
        statement.raw.effect == Effect::Allow && named != actions.negated
    };
    let managed = role.managed.iter().filter_map(|arn| world.managed.get(arn)).flatten();
    let boundary = role.boundary.as_ref().and_then(|arn| world.managed.get(arn));
    role.inline.iter().chain(managed).any(allows) && boundary.is_none_or(|all| all.iter().any(allows))
}
