//! What one condition of a rule asks of one thing, and in words what of it does not hold.

use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::number_of;
use super::file::{Condition, May};
use super::reads::Reads;
use super::things::Thing;
use super::values::{fits, is_nothing, keys_of, ok_or, same, shorten};
use super::{Asker, Found, Judge, Walk, Wrong};
use crate::needs::{self, Wanted};
use causeway_model::template::text_of;

impl Judge<'_> {
    pub(super) fn holds(&self, thing: usize, condition: &Condition) -> bool {
        self.wrong(thing, condition).is_empty()
    }

    /// What of a condition does not hold for a thing.
    pub(super) fn wrong(&self, index: usize, condition: &Condition) -> Vec<Wrong> {
        let Some(thing) = self.thing(index) else { return Vec::new() };
        let path = match condition.path() {
            Ok(path) => path,
            Err(error) => return vec![(index, Vec::new(), error)],
        };
        let walk = self.walk(index, &path);
        let shown = if path.steps.is_empty() { "it".to_owned() } else { format!("`{}`", path.text) };
        let nothing = || vec![(index, keys_of(&path), format!("{shown} is not there"))];
        if let Some(present) = condition.present {
            let there: Vec<&Found<'_>> =
                walk.found.iter().filter(|found| !is_nothing(&found.value)).collect();
            return match (present, there.first(), walk.ends.into_iter().next()) {
                (true, None, Some(end)) => vec![end],
                (true, None, None) => nothing(),
                (true, Some(_), Some(end)) => vec![end],
                (false, Some(found), _) => {
                    vec![(
                        found.thing,
                        found.keys.clone(),
                        format!("{shown} is there: {}", shorten(&found.value)),
                    )]
                }
                _ => Vec::new(),
            };
        }
        // Nothing is none of what must not be.
        let negative = condition.differs.is_some()
            || condition.none_of.is_some()
            || condition.never_matches.is_some()
            || condition.count.is_some();
        if !negative {
            if let Some(end) = walk.ends.first() {
                return vec![end.clone()];
            }
            if walk.found.is_empty() {
                return nothing();
            }
        }
        self.compare(index, thing, condition, &walk, &shown)
            .unwrap_or_else(|error| vec![(index, Vec::new(), error)])
    }

    fn compare(
        &self,
        index: usize,
        thing: &Thing,
        condition: &Condition,
        walk: &Walk<'_>,
        shown: &str,
    ) -> Result<Vec<Wrong>, String> {
        let fill = |value: &toml::Value| self.fill(index, value);
        let each = |fits: &dyn Fn(&Found<'_>) -> Result<(), String>| -> Vec<Wrong> {
            let wrong = walk.found.iter().filter_map(|found| {
                let why = fits(found).err()?;
                Some((found.thing, found.keys.clone(), format!("{shown} is {}{why}", shorten(&found.value))))
            });
            wrong.collect()
        };
        if let Some(count) = condition.count {
            let found = if let [one] = walk.found.as_slice() {
                one.value.as_array().map_or(1, Vec::len)
            } else {
                walk.found.len()
            };
            return if found == count {
                Ok(Vec::new())
            } else {
                Err(format!("{shown}: there are {found}, and there must be {count}"))
            };
        }
        if let Some(wanted) = &condition.equals {
            let wanted = fill(wanted)?;
            return Ok(each(&|found| {
                ok_or(same(&found.value, &wanted), || format!(", not {}", shorten(&wanted)))
            }));
        }
        if let Some(other) = &condition.differs {
            let other = fill(other)?;
            return Ok(each(&|found| {
                ok_or(!same(&found.value, &other), || ", which it must not be".to_owned())
            }));
        }
        for (list, wanted) in [(&condition.one_of, true), (&condition.none_of, false)] {
            let Some(list) = list else { continue };
            let all = list.iter().map(fill).collect::<Result<Vec<Value>, String>>()?;
            return Ok(each(&|found| {
                let is = all.iter().any(|one| same(&found.value, one));
                let words = if wanted { "none" } else { "one" };
                ok_or(is == wanted, || format!(", {words} of {}", shorten(&Value::Array(all.clone()))))
            }));
        }
        for (bound, least) in [(&condition.at_least, true), (&condition.at_most, false)] {
            let Some(bound) = bound else { continue };
            let bound = number_of(&fill(bound)?).ok_or_else(|| format!("{shown}: the bound is no number"))?;
            return Ok(each(&|found| {
                let number = number_of(&found.value).ok_or_else(|| ", no number".to_owned())?;
                let (fits, words) =
                    if least { (number >= bound, "least") } else { (number <= bound, "most") };
                ok_or(fits, || format!(", and must be at {words} {bound}"))
            }));
        }
        for (shape, wanted) in [(&condition.matches, true), (&condition.never_matches, false)] {
            let Some(shape) = shape else { continue };
            let shape = self.fill_text(index, shape)?;
            return Ok(each(&|found| {
                let words = if wanted { "not of the shape" } else { "of the shape" };
                ok_or(fits(&shape, &text_of(&found.value)) == wanted, || format!(", {words} `{shape}`"))
            }));
        }
        for (list, whole) in [(&condition.contains, false), (&condition.exactly, true)] {
            let Some(list) = list else { continue };
            let all = list.iter().map(fill).collect::<Result<Vec<Value>, String>>()?;
            let there: Vec<&Value> = walk
                .found
                .iter()
                .flat_map(|found| match found.value.as_ref() {
                    Value::Array(items) => items.iter().collect(),
                    one => vec![one],
                })
                .collect();
            let (at, keys) = walk
                .found
                .first()
                .map_or_else(|| (index, Vec::new()), |found| (found.thing, found.keys.clone()));
            let missing = all.iter().filter(|one| !there.iter().any(|value| same(value, one)));
            let mut wrong: Vec<Wrong> = missing
                .map(|one| (at, keys.clone(), format!("{shown} does not hold {}", shorten(one))))
                .collect();
            if whole {
                let more = there.iter().filter(|value| !all.iter().any(|one| same(value, one)));
                wrong.extend(
                    more.map(|one| (at, keys.clone(), format!("{shown} holds {}, too", shorten(one)))),
                );
            }
            return Ok(wrong);
        }
        if let Some(class) = &condition.refers_to {
            let members = self.members(class);
            return Ok(each(&|found| {
                self.note(Reads::reference);
                let to = self.things.referred(&text_of(&found.value), thing.stack, &thing.environment);
                let is = to.is_some_and(|to| {
                    members.contains(&to)
                        && self.thing(to).is_some_and(|other| other.environment == thing.environment)
                });
                ok_or(is, || format!(", which refers to no `{class}` of {}", thing.environment))
            }));
        }
        if let Some(class) = &condition.is {
            let members = self.members(class);
            return Ok(each(&|found| ok_or(members.contains(&found.thing), || format!(" and no `{class}`"))));
        }
        for (class, before) in [(&condition.before, true), (&condition.after, false)] {
            let Some(class) = class else { continue };
            return Ok(self.in_order(index, class, before));
        }
        if let Some(may) = &condition.may {
            return Ok(walk.found.iter().flat_map(|found| self.may(index, found, may)).collect());
        }
        Ok(Vec::new())
    }

    /// Whether the pipeline comes to a thing before every, or after some, of a class that is for the same environment.
    fn in_order(&self, index: usize, class: &str, before: bool) -> Vec<Wrong> {
        let Some(thing) = self.thing(index) else { return Vec::new() };
        let order = |thing: &Thing| thing.value.get("@order").and_then(number_of);
        let members = self.members(class);
        self.note(|reads| {
            for member in members.iter().chain([&index]) {
                reads.key(*member, "@order");
                reads.key(*member, "@pipeline");
            }
        });
        let Some(mine) = order(thing) else {
            return vec![(index, Vec::new(), "it is no part of a pipeline, so it has no order".to_owned())];
        };
        let others: Vec<(usize, f64)> = members
            .iter()
            .filter_map(|index| self.thing(*index).map(|thing| (*index, thing)))
            .filter(|(_, other)| {
                other.environment == thing.environment
                    && other.value.get("@pipeline") == thing.value.get("@pipeline")
            })
            .filter_map(|(index, other)| Some((index, order(other)?)))
            .collect();
        if before {
            let late = others.iter().filter(|(other, order)| *other != index && *order <= mine);
            return late
                .filter_map(|(other, _)| self.thing(*other))
                .map(|other| (index, Vec::new(), format!("it does not come before {}", other.label)))
                .collect();
        }
        if others.iter().any(|(_, order)| *order < mine) {
            return Vec::new();
        }
        vec![(index, Vec::new(), format!("no `{class}` of {} is done before it begins", thing.environment))]
    }

    fn may(&self, index: usize, found: &Found<'_>, may: &May) -> Vec<Wrong> {
        let wrong = |what: String| vec![(found.thing, found.keys.clone(), what)];
        // A role may be named by its ARN, or be the thing itself.
        let arn = match found.value.as_ref() {
            Value::Object(thing) => thing.get("@type").and_then(|_| self.arn(found.thing)),
            other => Some(text_of(other)),
        };
        let Some(arn) = arn else { return wrong("it is no role".to_owned()) };
        let Some(asker) = Asker::role(self.world, &arn) else {
            return wrong(format!("no template has the role {arn}"));
        };
        let on = match self.fill_text(index, &may.on) {
            Ok(on) => on,
            Err(error) => return wrong(error),
        };
        let mut with = BTreeMap::new();
        for (key, value) in &may.with {
            match self.fill_text(index, value) {
                Ok(value) => with.insert(key.clone(), vec![value]),
                Err(error) => return wrong(error),
            };
        }
        let account = causeway_model::arn::account_of(&arn).unwrap_or_default().to_owned();
        let wanted = Wanted { action: may.action.clone(), on, with };
        match needs::ask(self.world, &asker, &account, &wanted) {
            Ok(verdict) if verdict.allowed() => Vec::new(),
            Ok(verdict) => wrong(format!(
                "{} may not {} on {}: {}",
                asker.label,
                wanted.action,
                wanted.on,
                crate::rows::decided(&verdict)
            )),
            Err(error) => wrong(error),
        }
    }
}
