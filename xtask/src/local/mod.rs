//! The local cloud: an emulator, a thin front before it, and the engines that no emulator has.
//!
//! One resident process a checkout (`xtask local serve`) holds all of it; commands find it through `state.json`.

mod cloud;
mod edge;
mod emulator;
mod files;
mod front;
mod happenings;
mod hooks;
pub(crate) mod install;
mod ledger;
mod lower;
mod operation;
pub(crate) mod paths;
pub(crate) mod process;
mod resources;
mod rollout;
pub(crate) mod serve;
pub(crate) mod state;
mod tls;
mod xml;
