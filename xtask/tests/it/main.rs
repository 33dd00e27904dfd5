//! The entry as a program: what it answers by itself, what it becomes, and what it says of a build that fails. And the rules of
//! the whole workspace, which belong to no other crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod beside;
mod building;
mod readme;
mod support;
mod tidy;
mod wall_clock;
mod weight;
