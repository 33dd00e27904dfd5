//! What touches the machine: programs and processes, files, the clock, Python environments, and AWS's translator in one.

pub mod clock;
pub mod cmd;
pub mod expand;
pub mod files;
pub mod install;
pub mod paths;
pub mod process;
#[cfg(test)]
mod publish_tests;
pub mod shell;
