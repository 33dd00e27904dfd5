//! Logs as JSON lines. What people send never gets here: not their names, not their paths, not their queries.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::serve::Identity;

/// Starts the log of a function on standard output, where Lambda takes it from. A second call does nothing.
///
/// `AWS_LAMBDA_LOG_LEVEL` and `AWS_LAMBDA_LOG_FORMAT` are Lambda's own ("Advanced logging controls"). Libraries may warn at most:
/// at finer levels the SDK prints requests, and those hold people. Lambda's id and X-Ray's stand in a span around everything
/// that a request does, which `lambda_runtime` opens.
pub fn init(identity: Identity) {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let level = level(&set("AWS_LAMBDA_LOG_LEVEL"));
    let levels = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO)
        .with_target("api", level)
        .with_target(identity.function, level);
    let log = tracing_subscriber::registry().with(levels);
    let started = if set("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("text") {
        log.with(tracing_subscriber::fmt::layer().with_ansi(false).without_time()).try_init()
    } else {
        log.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false)).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(move |panic| {
            // The message is left out: it can quote the text that a slice went wrong on.
            let at = panic.location().map(ToString::to_string);
            tracing::error!(function = identity.function, version = identity.version, at, "a panic");
        }));
    }
}

/// Lambda's word for a level; `INFO` where it says none.
fn level(word: &str) -> LevelFilter {
    match word.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}
