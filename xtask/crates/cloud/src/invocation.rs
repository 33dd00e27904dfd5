//! An invocation by the local cloud, and the metrics in what the function wrote into its log meanwhile.
//!
//! Lambda gives the last 4 KB of a log with the answer (`LogType` of "Invoke" in the Lambda API reference). A longer one is
//! read from CloudWatch Logs, so no metric is lost to how much else a function says.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cloud::Cloud;
use super::emulator;
use super::happenings::What;
use super::metrics::{Metric, Version};
use causeway_machine::clock;
use causeway_model::embedded::{self, Series};
use causeway_model::latency::Sample;

/// So many bytes of a log come with an answer.
const TAIL: usize = 4_096;

/// Whom an invocation is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) account: &'a str,
    pub(crate) function: &'a str,
    pub(crate) version: &'a str,
    /// The alias on whose behalf that version was picked.
    pub(crate) alias: Option<&'a str>,
}

/// How an invocation went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether it ended in a function error.
    pub(crate) failed: bool,
    /// The answer.
    pub(crate) payload: Vec<u8>,
    /// Milliseconds it took.
    pub(crate) millis: f64,
    /// The metrics in its log.
    pub(crate) series: Vec<Series>,
}

/// Invokes a version of a function.
///
/// # Errors
/// Lambda refuses it, for instance since too many run already, or does not answer.
pub(crate) async fn invoke(cloud: &Cloud, target: Target<'_>, event: Vec<u8>) -> anyhow::Result<Outcome> {
    let Target { account, function, version, alias } = target;
    let began = clock::now().as_millisecond();
    let watch = Instant::now();
    let _departed = cloud.metrics.depart(account, function, version, cloud.clock.seconds());
    let (headers, payload) = cloud.emulator.invoke(account, function, Some(version), alias, event).await?;
    let failed = headers.contains_key("x-amz-function-error");
    let millis = watch.elapsed().as_secs_f64() * 1_000.0;
    let series = match log(cloud, account, function, &headers, began).await {
        Ok(log) => taken(cloud, account, function, &log),
        Err(error) => {
            tell(cloud, account, function, &format!("the log of an invocation cannot be read: {error:#}"));
            Vec::new()
        }
    };
    Ok(Outcome { failed, payload, millis, series })
}

/// What a function wrote into its log while it was invoked.
async fn log(
    cloud: &Cloud,
    account: &str,
    function: &str,
    headers: &HeaderMap,
    began: i64,
) -> anyhow::Result<String> {
    let Some(header) = headers.get("x-amz-log-result") else { return Ok(String::new()) };
    let bytes = STANDARD.decode(header.as_bytes()).context("decode the end of the log")?;
    let tail = String::from_utf8_lossy(&bytes).into_owned();
    if bytes.len() < TAIL {
        return Ok(tail);
    }
    // The first line of it may have been cut.
    let (_, lines) = tail.split_once('\n').unwrap_or_default();
    let configuration = format!("/2015-03-31/functions/{function}/configuration");
    let (_, body) =
        cloud.emulator.rest(http::Method::GET, &configuration, account, "lambda", Vec::new()).await?;
    let configuration: Value = serde_json::from_slice(&body).context("read the function's configuration")?;
    let group = configuration.pointer("/LoggingConfig/LogGroup").and_then(Value::as_str);
    let group = group.map_or_else(|| format!("/aws/lambda/{function}"), ToOwned::to_owned);
    let asked = json!({"logGroupName": group, "startTime": began - 1});
    let found = cloud.emulator.json(account, "logs", "Logs_20140328.FilterLogEvents", &asked).await?;
    let mut streams: Vec<(&str, String)> = Vec::new();
    for event in found.get("events").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let stream = text("logStreamName");
        match streams.iter_mut().find(|(name, _)| *name == stream) {
            Some((_, all)) => all.push_str(&format!("\n{}", text("message").trim_end())),
            None => streams.push((stream, text("message").trim_end().to_owned())),
        }
    }
    // Others run meanwhile; this one's log ends as its answer said.
    let own = streams.into_iter().find(|(_, all)| all.contains(lines.trim_end()));
    Ok(own.with_context(|| format!("{group} does not have it"))?.1)
}

/// The metrics in a log. A line that claims to have some and breaks a rule is ignored, as CloudWatch ignores it, but told.
fn taken(cloud: &Cloud, account: &str, function: &str, log: &str) -> Vec<Series> {
    let mut all = Vec::new();
    for line in log.lines() {
        match embedded::read(line) {
            Some(Ok(series)) => all.extend(series),
            Some(Err(why)) => {
                let message =
                    format!("CloudWatch takes no metric from a line of the log of {function}: {why}");
                tell(cloud, account, function, &message);
            }
            None => {}
        }
    }
    all
}

/// Tells whoever follows the function's stack, once.
fn tell(cloud: &Cloud, account: &str, function: &str, message: &str) {
    if !cloud.metrics.is_new_complaint(account, message) {
        return;
    }
    tracing::warn!(account, function, message, "metrics of a function");
    if let Some((account, stack)) = cloud.edges.stack_of(account, function) {
        cloud.happenings.add(&account, &stack, What::Warning { message: message.to_owned() });
    }
}

/// Records the metrics of an invocation's log, at a time in seconds of AWS: that of its answer, as Lambda's own are.
pub(crate) fn record(cloud: &Cloud, at: f64, began: f64, target: Target<'_>, outcome: &Outcome) {
    let by = Arc::new(Version { function: target.function.to_owned(), version: target.version.to_owned() });
    for series in &outcome.series {
        let metric = Metric {
            account: target.account.to_owned(),
            namespace: series.namespace.clone(),
            name: series.metric.clone(),
            dimensions: series.dimensions.clone(),
        };
        for value in &series.values {
            let sample = Sample { value: *value, millis: outcome.millis, late: false };
            cloud.metrics.put(&metric, &series.unit, series.timestamp, (began, at), sample, Some(&by));
        }
    }
}

/// Whether Lambda refused an invocation since too many ran already.
pub(crate) fn is_throttled(error: &anyhow::Error) -> bool {
    emulator::is_throttled(error)
}
