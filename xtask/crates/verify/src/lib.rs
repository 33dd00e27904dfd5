//! What tests the project itself: `check` with everything that CI runs, the benches, and other evaluators of the matrix.

pub mod bench;
pub mod check;
mod contract_model;
mod gates_model;
mod opinion;
mod real;
mod second_opinion;
