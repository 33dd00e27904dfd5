//! The local cloud: an emulator, a thin front before it, and the engines that no emulator has.
//!
//! One resident process a checkout (`xtask local serve`) holds all of it; commands find it through `state.json`.

mod alarms;
mod cloud;
pub(crate) mod control;
pub(crate) use edge::stub as edge_stub;
mod deployments;
mod edge;
mod emulator;
pub(crate) mod expand;
mod front;
pub(crate) mod happenings;
mod hooks;
mod host;
pub(crate) mod install;
mod ledger;
mod lower;
mod metrics;
mod mirror;
mod operation;
pub(crate) mod paths;
pub(crate) mod pipeline;
pub(crate) mod process;
pub(crate) mod resident;
mod resources;
mod rollout;
pub(crate) mod second_opinion;
pub(crate) mod serve;
pub(crate) mod state;
#[cfg(test)]
mod stub_emulator;
mod time;
pub(crate) mod tls;
mod xml;
