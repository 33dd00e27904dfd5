//! The pure part: what Causeway knows, without I/O, without a clock, without printing.
//!
//! Its manifest names no crate that could reach further; `xtask/tests/it/tidy.rs` holds the manifest to that.
//! Everything is tested on data, beside the code.

pub mod alarm;
pub mod arn;
pub mod artifact;
pub mod buildspec;
pub mod calls;
pub mod changeset;
pub mod config;
pub mod connection;
pub mod deployment;
pub mod difference;
pub mod drift;
pub mod embedded;
pub mod fault;
pub mod functions;
pub mod health;
pub mod isolated;
pub mod judgement;
pub mod keys;
pub mod known;
pub mod latency;
pub mod line;
pub mod net;
pub mod omitted;
pub mod ownership;
pub mod package;
pub mod pipeline;
pub mod plan;
pub mod plan_file;
pub mod publish;
pub mod quoted;
pub mod retained;
pub mod rollout;
pub mod stack;
pub mod steps;
pub mod strain;
pub mod summary;
pub mod tally;
pub mod template;
pub mod units;
pub mod verdict;
pub mod watch;
pub mod xml;
