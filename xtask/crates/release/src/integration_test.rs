//! `integration-test`: what the Dev stage runs against the API it has just deployed.
//!
//! List the locations, seed them where there are none, let ten people check in, read each location back, find all ten
//! among today's registrations and the right ones among somebody's contacts, and remove them again. Where protected routes
//! ask for a signature, the tests become the role that may give one. The record that is left holds ids and counts, no
//! personal data.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use causeway_args::integration_test::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use causeway_aws::{Unverified, assume_role};
use causeway_command::{Baseline, Context, Outcome};
use causeway_machine::clock::Stopwatch;
use causeway_model::config::BUILD;
use causeway_model::fault::Fault;
use causeway_model::verdict::Verdict;
use causeway_watch::api_client::{ApiClient, Checks, Wanted};

/// How long the API may take until it answers for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Runs `integration-test`.
///
/// # Errors
/// `API_URL` is missing or `API_AUTH` is no such word (usage), the role cannot be assumed, or a check fails; the fault
/// names it.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    if Baseline::from_environment().is_some() {
        let why = "a baseline stands for a release whose tests were run already";
        context.out.say(format!("skipped: {why}"));
        let record = json!({"skipped": why});
        write(&context.root.join("target/causeway/integration-test"), &record)?;
        return Ok(Outcome::of(Verdict::NothingToDo).with_data(record));
    }
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
    let version = |given: Option<String>| given.filter(|version| !version.is_empty() && version != "any");
    let wanted =
        Wanted { checkin: version(args.expected_version), contacts: version(args.expected_version_contacts) };
    let auth = args.api_auth.filter(|auth| !auth.is_empty());
    if let Some(auth) = auth.as_ref().filter(|auth| !["NONE", "AWS_IAM"].contains(&auth.as_str())) {
        return Err(Fault::usage("run the integration tests", format!("API_AUTH={auth}"))
            .why("it is neither NONE nor AWS_IAM")
            .next("give the stack's output ApiAuth, or leave it out")
            .into());
    }
    let watch = Stopwatch::start();
    let api = ApiClient::new(&url)?;
    context.out.spin("integration tests");
    let version = api.wait_until_it_answers(FIRST_ANSWER).await?;
    let asks = asks_for_signatures(&api, auth.as_deref()).await?;
    let signed = if asks { Some(signing(&context, &api, args.api_client_role_arn).await?) } else { None };
    let mut checks = Checks::new(api, signed);
    let result = checks.run(&wanted).await;
    let record = json!({
        "api": url,
        "version": version,
        "auth": if asks { "AWS_IAM" } else { "NONE" },
        "passed": result.is_ok(),
        "checks": checks.passed(),
        "requests": checks.requests(),
        "locations": checks.locations(),
        "registrations": checks.registrations(),
        "seconds": causeway_model::line::tenths(watch.seconds()),
    });
    write(&context.root.join("target/causeway/integration-test"), &record)?;
    result?;
    for check in checks.passed() {
        context.out.say(format!("  passed: {check}"));
    }
    Ok(Outcome::of(Verdict::Done).with_data(record))
}

/// Whether protected routes ask for a signature, which must be what is expected.
async fn asks_for_signatures(api: &ApiClient, expected: Option<&str>) -> anyhow::Result<bool> {
    let path = "api/registrations?dt=2000-01-01";
    let answer = api.send(Method::GET, path, None).await?;
    let found = match answer.status {
        StatusCode::FORBIDDEN => "AWS_IAM",
        StatusCode::OK => "NONE",
        other => {
            return Err(Fault::failed("pass the integration test", format!("GET {path}"))
                .why(format!("unsigned, it answered {other}"))
                .next("see the function's log; prod was not touched")
                .into());
        }
    };
    match expected {
        Some(expected) if expected != found => {
            Err(Fault::failed("pass the integration test", "protected routes are as deployed")
                .why(format!("expected {expected}, an unsigned read was answered {}", answer.status))
                .next("see ApiAuth in cfn/stacks.toml and the API's definition in cfn/app.yaml")
                .into())
        }
        _ => Ok(found == "AWS_IAM"),
    }
}

/// The same client with the signature of the role that may call protected routes.
async fn signing(context: &Context, api: &ApiClient, role: Option<String>) -> anyhow::Result<ApiClient> {
    let config = context.config()?;
    let role = match role.filter(|role| !role.is_empty()) {
        Some(role) => role,
        None => {
            let dev = config.accounts.get("dev").ok_or_else(|| {
                Fault::usage("sign calls", "API_CLIENT_ROLE_ARN")
                    .why("it is not set, and there is no account dev to derive it from")
                    .next("give the stack's output ApiClientRoleArn")
            })?;
            format!("arn:aws:iam::{}:role/{}-{}-api-client", dev.id, config.project, config.region)
        }
    };
    let opened = Unverified::open(&config, &crate::accounts::open_options(context)?).await?;
    let accounts = opened.verify(&config, &[BUILD.to_owned()]).await?;
    let keys = assume_role(accounts.get(BUILD)?, &role, "integration-test").await?;
    Ok(api.signing(keys, &config.region))
}

fn write(dir: &Path, record: &Value) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("result.json");
    let text = serde_json::to_string_pretty(record).context("write the record")?;
    std::fs::write(&path, format!("{text}\n")).with_context(|| format!("write {}", path.display()))
}
