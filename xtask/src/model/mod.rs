//! The pure part: what Causeway knows, without I/O, without a clock, without printing.
//!
//! Nothing here imports `cmd`, `aws`, `local`, `build` or `term`; `tests/tidy.rs` holds that.
//! Everything is tested on data, beside the code.

pub(crate) mod alarm;
pub(crate) mod artifact;
pub(crate) mod bill;
pub(crate) mod build_error;
pub(crate) mod buildspec;
pub(crate) mod calls;
pub(crate) mod cargo_config;
pub(crate) mod changeset;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod contract;
pub(crate) mod coverage;
pub(crate) mod debian;
pub(crate) mod deployment;
pub(crate) mod fault;
pub(crate) mod floor;
pub(crate) mod functions;
pub(crate) mod gates;
pub(crate) mod iam;
pub(crate) mod isolated;
pub(crate) mod keys;
pub(crate) mod line;
pub(crate) mod linker;
pub(crate) mod net;
pub(crate) mod package;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod prove;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod retained;
pub(crate) mod rollout;
pub(crate) mod stack;
pub(crate) mod steps;
pub(crate) mod tally;
pub(crate) mod template;
pub(crate) mod test_report;
pub(crate) mod verdict;
pub(crate) mod watch;
