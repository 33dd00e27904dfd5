//! The commands of a release, one file or folder each with its run function.

mod accounts;
pub mod bootstrap;
mod consent;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod integration_test;
pub mod local;
mod ownership;
pub mod package;
mod planned;
pub mod rehearse;
pub mod test;
pub mod test_deployment;
