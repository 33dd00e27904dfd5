//! From sources to packages: toolchain, cargo, versions by content, deterministic zips, bills of material.

pub mod bill;
pub mod broken;
pub mod build_error;
pub mod cargo;
pub mod cargo_config;
pub mod compile;
pub mod coverage;
pub mod debian;
pub mod debian_model;
pub mod fetch;
pub mod floor;
pub mod git;
pub mod graph;
mod inputs;
pub mod linker;
pub mod rehearsal;
pub mod reproducible;
pub mod test_report;
pub mod tests;
pub mod trial;
pub mod versions;
pub mod way;
pub mod worktree;
pub mod zips;

pub use zips::bootstrap_zip;
