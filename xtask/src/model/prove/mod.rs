//! `prove`: what the templates allow once they are deployed, held to what they are meant to allow.
//!
//! The templates are deployed on paper: parameters filled from `cfn/stacks.toml`, intrinsic functions evaluated, the
//! names that CloudFormation would make up made up. The policies found there are asked every row of
//! `cfn/access-matrix.toml` and every call that CloudFormation's handlers make.

mod ask;
mod compare;
mod expand;
mod matrix;
mod mutate;
mod names;
mod needs;
mod opinion;
mod policies;
mod rights;
mod rows;
mod stack;
mod types;
mod world;

#[cfg(test)]
mod original;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

/// What was read: texts of the files below `cfn/`, by name.
pub(crate) type Files = BTreeMap<String, String>;

/// Something that is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) struct Problem {
    /// The file, relative to the checkout.
    pub(crate) file: String,
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The complaint.
    pub(crate) message: String,
}

impl Problem {
    pub(super) fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}
