//! Output variables of actions, and where a text asks for them.

use std::collections::BTreeMap;

use super::PipelineError;

/// Output variables by namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<(String, String), String>);

impl Variables {
    /// Sets a variable.
    pub fn set(&mut self, namespace: &str, name: &str, value: impl Into<String>) {
        self.0.insert((namespace.to_owned(), name.to_owned()), value.into());
    }

    /// The text with every `#{namespace.name}` filled.
    ///
    /// # Errors
    /// A variable that is not set.
    pub fn fill(&self, text: &str) -> Result<String, PipelineError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("#{") {
            out.push_str(&rest[..open]);
            let after = &rest[open + 2..];
            let Some(close) = after.find('}') else { break };
            let name = &after[..close];
            let found = name
                .split_once('.')
                .and_then(|(space, name)| self.0.get(&(space.to_owned(), name.to_owned())));
            out.push_str(found.ok_or_else(|| PipelineError::Variable(name.to_owned()))?);
            rest = &after[close + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The variables that a text asks for, as they are written: `namespace.name`.
pub fn named(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("#{") {
        let after = &rest[open + 2..];
        let Some(close) = after.find('}') else { break };
        all.push(&after[..close]);
        rest = &after[close + 1..];
    }
    all
}
