//! TODO watch

pub mod api_client;
pub mod watcher;
