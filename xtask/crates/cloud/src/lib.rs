//! The local cloud: an emulator, a thin front before it, and the engines that no emulator has.
//!
//! One resident process a checkout (`xtask local serve`) holds all of it; commands find it through `state.json`.

mod alarms;
mod alias;
#[cfg(test)]
mod causes;
mod cloud;
mod comparison;
pub mod control;
#[cfg(test)]
#[path = "../../../../hooks/tests/support/clock.rs"]
#[expect(dead_code, reason = "tests of this crate need a part of it")]
mod held_clock;
pub use edge::stub as edge_stub;
pub use lower::policies as lowered_policies;
mod deployments;
mod edge;
mod emulator;
pub mod executions;
mod front;
pub mod happenings;
mod hooks;
mod host;
mod ignored;
mod invocation;
mod ledger;
mod lower;
mod metrics;
mod mirror;
mod operation;
pub mod pipeline;
pub mod resident;
mod resources;
mod rollout;
#[cfg(test)]
mod rung;
pub mod serve;
mod shown;
pub mod state;
mod strain;
#[cfg(test)]
mod stub_emulator;
mod time;
pub mod tls;
#[cfg(test)]
mod virtual_time;
#[cfg(test)]
#[path = "../../../../api/src/metrics.rs"]
#[expect(dead_code, unreachable_pub, reason = "tests of this crate need a part of it")]
mod workload_metrics;
