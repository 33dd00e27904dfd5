//! TODO watch

pub mod api_client;
#[cfg(test)]
#[path = "../../../../hooks/tests/support/clock.rs"]
mod held_clock;
pub mod watcher;
