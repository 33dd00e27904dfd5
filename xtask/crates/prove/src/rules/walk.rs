//! What a path leads to from a thing, step by step, and what the names in braces stand for.

use super::*;

impl<'a> Judge<'a> {
    /// The ARN of a role that is a thing.
    pub(super) fn arn(&self, index: usize) -> Option<String> {
        let thing = self.thing(index)?;
        self.note(|reads| reads.key(index, "@id"));
        let id = thing.value.get("@id").and_then(Value::as_str)?;
        let role = self.world.roles.iter().find(|(_, role)| role.id == id && role.stack == thing.stack);
        role.map(|(arn, _)| arn.clone())
    }

    /// A value of the file with its placeholders filled.
    pub(super) fn fill(&self, index: usize, value: &toml::Value) -> Result<Value, String> {
        match value {
            toml::Value::String(text) => self.fill_text(index, text).map(Value::from),
            toml::Value::Array(items) => items
                .iter()
                .map(|item| self.fill(index, item))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            other => serde_json::to_value(other).map_err(|error| error.to_string()),
        }
    }

    pub(super) fn fill_text(&self, index: usize, text: &str) -> Result<String, String> {
        let mut out = text.to_owned();
        for placeholder in placeholders(text) {
            let path = Path::parse(placeholder)?;
            let walk = self.walk(index, &path);
            let one = match walk.found.as_slice() {
                [one] => text_of(&one.value),
                [] => {
                    let why = walk
                        .ends
                        .into_iter()
                        .next()
                        .map_or_else(String::new, |(_, _, why)| format!(": {why}"));
                    return Err(format!("`{placeholder}` leads to nothing{why}"));
                }
                [first, rest @ ..] if rest.iter().all(|other| other.value == first.value) => {
                    text_of(&first.value)
                }
                several => return Err(format!("`{placeholder}` leads to {} values", several.len())),
            };
            out = out.replacen(&format!("{{{placeholder}}}"), &one, 1);
        }
        Ok(if text.contains("{{") { out.replace("{{", "{").replace("}}", "}") } else { out })
    }

    pub(super) fn walk(&self, index: usize, path: &Path) -> Walk<'a> {
        self.whole(index).map_or_else(Walk::default, |start| self.walk_from(start, path))
    }

    pub(super) fn walk_from(&self, start: Found<'a>, path: &Path) -> Walk<'a> {
        let mut walk = Walk { found: vec![start], ends: Vec::new() };
        for step in &path.steps {
            let mut next = Vec::new();
            for found in std::mem::take(&mut walk.found) {
                match self.step(&found, step) {
                    Ok(all) => next.extend(all),
                    Err(why) => walk.ends.push((found.thing, found.keys, why)),
                }
            }
            walk.found = next;
        }
        walk
    }

    pub(super) fn whole(&self, index: usize) -> Option<Found<'a>> {
        let thing = self.thing(index)?;
        Some(Found { thing: index, value: Cow::Borrowed(&thing.value), keys: Vec::new() })
    }

    pub(super) fn step(&self, at: &Found<'a>, step: &Step) -> Result<Vec<Found<'a>>, String> {
        let Some(thing) = self.thing(at.thing) else { return Ok(Vec::new()) };
        match step {
            Step::Key(key) if at.keys.is_empty() => self.note(|reads| reads.key(at.thing, key)),
            Step::All | Step::Those(..) if at.keys.is_empty() => self.note(|reads| reads.key(at.thing, "*")),
            Step::Referred | Step::Held | Step::Referring(..) => self.note(Reads::reference),
            _ => {}
        }
        match step {
            Step::Key(key) => match key_of(&at.value, key) {
                Some(value) => Ok(vec![part(at, key.clone(), value)]),
                None => Err(format!("`{key}` is not there")),
            },
            Step::All => Ok(parts(at)),
            Step::Those(path, wanted) => {
                let fits = |found: &Found<'a>| {
                    let walk = self.walk_from(found.clone(), path);
                    walk.found.iter().any(|value| match wanted {
                        Some(wanted) => text_of(&value.value) == *wanted,
                        None => !is_nothing(&value.value),
                    })
                };
                let all: Vec<Found<'a>> = parts(at).into_iter().filter(|found| fits(found)).collect();
                let what = wanted
                    .as_ref()
                    .map_or_else(|| path.text.clone(), |value| format!("{} = {value}", path.text));
                if all.is_empty() { Err(format!("there is no element with {what}")) } else { Ok(all) }
            }
            Step::Referred => {
                let text = text_of(&at.value);
                let to = self.things.referred(&text, thing.stack, &thing.environment);
                to.and_then(|to| self.whole(to))
                    .map(|found| vec![found])
                    .ok_or_else(|| format!("{} refers to nothing that a template has", shorten(&at.value)))
            }
            Step::Held => {
                let text = text_of(&at.value);
                let to = self.things.held(&text, thing.stack, &thing.environment);
                to.and_then(|to| self.whole(to)).map(|found| vec![found]).ok_or_else(|| {
                    format!("{} holds no reference to anything that a template has", shorten(&at.value))
                })
            }
            Step::Referring(kind, path) => {
                let members = self.members(kind);
                let refers = |index: &usize| {
                    let Some(other) = self.thing(*index) else { return false };
                    self.walk(*index, path).found.iter().any(|value| {
                        let texts: Vec<&Value> = match value.value.as_ref() {
                            Value::Array(items) => items.iter().collect(),
                            one => vec![one],
                        };
                        texts.into_iter().any(|text| {
                            self.things.referred(&text_of(text), other.stack, &other.environment)
                                == Some(at.thing)
                        })
                    })
                };
                let all: Vec<Found<'a>> = members
                    .iter()
                    .filter(|index| refers(index))
                    .filter_map(|index| self.whole(*index))
                    .collect();
                if all.is_empty() {
                    Err(format!("no {kind} refers to it by `{}`", path.text))
                } else {
                    Ok(all)
                }
            }
            Step::Class(class) => {
                let members = self.members(class);
                let here = |index: &usize| {
                    self.thing(*index).is_some_and(|other| {
                        other.environment == thing.environment || !self.is_target(&other.environment)
                    })
                };
                Ok(members
                    .iter()
                    .filter(|index| here(index))
                    .filter_map(|index| self.whole(*index))
                    .collect())
            }
        }
    }

    pub(super) fn is_target(&self, environment: &str) -> bool {
        self.ground.config.targets().any(|target| target == environment)
    }
}
