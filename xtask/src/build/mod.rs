//! From sources to packages: cargo, versions by content, deterministic zips.

pub(crate) mod broken;
pub(crate) mod cargo;
pub(crate) mod debian;
pub(crate) mod fetch;
pub(crate) mod git;
pub(crate) mod graph;
mod inputs;
pub(crate) mod remembered;
pub(crate) mod tests;
pub(crate) mod trial;
pub(crate) mod versions;
pub(crate) mod way;
pub(crate) mod zips;

pub(crate) use zips::bootstrap_zip;
