//! Where things stand in `cfn/stacks.toml`, for complaints: the parsed configuration has no lines.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::matrix::line;

/// The file, relative to the checkout.
pub(super) const STACKS: &str = "cfn/stacks.toml";

/// As much of the file as complaints are about; the rest is `config`'s.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    stacks: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    template: Spanned<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    overrides: BTreeMap<String, BTreeMap<String, Spanned<toml::Value>>>,
}

/// Lines by what stands there. What is not found, as in a file that does not parse, is on line 1.
#[derive(Debug, Default)]
pub(super) struct Places {
    templates: BTreeMap<String, usize>,
    parameters: BTreeMap<(String, Option<String>, String), usize>,
}

impl Places {
    /// Reads the file's text.
    pub(super) fn new(text: &str) -> Self {
        let mut all = Self::default();
        let Ok(file) = toml::from_str::<File>(text) else { return all };
        for stack in file.stacks {
            all.templates.insert(stack.name.clone(), line(text, stack.template.span().start));
            let common = stack.parameters.iter().map(|(key, value)| (None, key, value));
            let over = stack.overrides.iter().flat_map(|(account, values)| {
                values.iter().map(move |(key, value)| (Some(account.clone()), key, value))
            });
            for (account, key, value) in common.chain(over) {
                let at = line(text, value.span().start);
                all.parameters.insert((stack.name.clone(), account, key.clone()), at);
            }
        }
        all
    }

    /// The line of the `template` of a stack.
    pub(super) fn template(&self, stack: &str) -> usize {
        self.templates.get(stack).copied().unwrap_or(1)
    }

    /// The line of a parameter of a stack in an account.
    pub(super) fn parameter(&self, stack: &str, account: &str, key: &str) -> usize {
        let at = |account: Option<String>| self.parameters.get(&(stack.to_owned(), account, key.to_owned()));
        at(Some(account.to_owned())).or_else(|| at(None)).copied().unwrap_or(1)
    }
}
