//! Logs as JSON lines. The environment is never printed, nor what a function answered.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log on standard output, where Lambda takes it from. A second call does nothing.
///
/// Libraries may only warn: at finer levels the SDK prints requests and credentials' origins.
pub fn init() {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target("hooks", LevelFilter::INFO);
    let started = tracing_subscriber::registry().with(lines).with(levels).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The message is left out: it can quote what a function answered.
            let at = panic.location().map(ToString::to_string);
            tracing::error!(at, "a panic");
        }));
    }
}
