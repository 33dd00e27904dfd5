//! Logs as JSON lines. What people send never gets here: not their names, not their paths, not their queries.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::serve::Identity;

/// Starts the log of a function on standard output, where Lambda takes it from. A second call does nothing.
///
/// Libraries may only warn: at finer levels the SDK prints requests, and those hold people.
pub fn init(identity: Identity) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target("api", LevelFilter::INFO);
    let started = tracing_subscriber::registry().with(lines).with(levels).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(move |panic| {
            // The message is left out: it can quote the text that a slice went wrong on.
            let at = panic.location().map(ToString::to_string);
            tracing::error!(function = identity.function, version = identity.version, at, "a panic");
        }));
    }
}
