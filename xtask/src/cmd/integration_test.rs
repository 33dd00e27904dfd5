//! `integration-test`: what the Dev stage runs against the API it has just deployed.
//!
//! List the locations, seed them where there are none, let ten people check in, read each location back, and find all
//! ten among today's registrations. The record that is left holds ids and counts, no personal data.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::api_client::{ApiClient, Checks};
use crate::clock::Stopwatch;
use crate::model::fault::Fault;
use crate::model::verdict::Verdict;

/// How long the API may take until it answers for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Arguments of `integration-test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The API's address, ending in a slash
    #[arg(long, env = "API_URL", value_name = "URL")]
    api_url: Option<String>,
    /// The version that must answer; `any` for whichever is there
    #[arg(long, env = "EXPECTED_VERSION", value_name = "VERSION")]
    expected_version: Option<String>,
}

/// Runs `integration-test`.
///
/// # Errors
/// `API_URL` is missing (usage), or a check fails; the fault names it.
pub(crate) async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let url = args.api_url.filter(|url| !url.trim().is_empty()).ok_or_else(|| {
        Fault::usage("run the integration tests", "API_URL")
            .why("it is not set")
            .next("give the API's address: API_URL=https://… cargo xtask integration-test")
    })?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Fault::usage("run the integration tests", url)
            .why("API_URL is no http(s) address")
            .next("give the stack's output ApiURL")
            .into());
    }
    let expected = args.expected_version.filter(|version| !version.is_empty() && version != "any");
    let watch = Stopwatch::start();
    let api = ApiClient::new(&url)?;
    context.out.spin("integration tests");
    let version = api.wait_until_it_answers(FIRST_ANSWER).await?;
    let mut checks = Checks::new(api);
    let result = checks.run(&version, expected.as_deref()).await;
    let record = json!({
        "api": url,
        "version": version,
        "passed": result.is_ok(),
        "checks": checks.passed(),
        "requests": checks.requests(),
        "locations": checks.locations(),
        "registrations": checks.registrations(),
        "seconds": crate::model::line::tenths(watch.seconds()),
    });
    write(&context.root.join("target/causeway/integration-test"), &record)?;
    result?;
    for check in checks.passed() {
        context.out.say(format!("  passed: {check}"));
    }
    Ok(Outcome::of(Verdict::Done).with_data(record))
}

fn write(dir: &Path, record: &Value) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("result.json");
    let text = serde_json::to_string_pretty(record).context("write the record")?;
    std::fs::write(&path, format!("{text}\n")).with_context(|| format!("write {}", path.display()))
}
