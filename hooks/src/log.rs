//! Logs as JSON lines, or as text where Lambda says so. The environment is never printed, nor what a function answered.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log on standard output, where Lambda takes it from. A second call does nothing.
///
/// `AWS_LAMBDA_LOG_LEVEL` and `AWS_LAMBDA_LOG_FORMAT` are Lambda's own ("Advanced logging controls"). Libraries may warn at most:
/// at finer levels the SDK prints requests and credentials' origins. Lambda's id and X-Ray's stand in a span around everything
/// that a hook does, which `lambda_runtime` opens.
pub fn init() {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let level = level(&set("AWS_LAMBDA_LOG_LEVEL"));
    let levels = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO)
        .with_target("hooks", level);
    let log = tracing_subscriber::registry().with(levels);
    let started = if set("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("text") {
        log.with(tracing_subscriber::fmt::layer().with_ansi(false).without_time()).try_init()
    } else {
        log.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false)).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The message is left out: it can quote what a function answered.
            let at = panic.location().map(ToString::to_string);
            tracing::error!(at, "a panic");
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
