//! The deployed API held to `api/openapi.yaml` by schemathesis, which makes up requests of every kind: good ones, bad
//! ones, and chains of them. No answer may be a 5xx or one that the document does not have.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;

use super::Context;
use causeway_cloud::resident;
use causeway_cloud::serve;
use causeway_cloud::state::State;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::install::{self, Set};
use causeway_machine::paths::Paths;
use causeway_machine::shell::show;
use causeway_model::fault::Fault;

/// Where the cloud of this check keeps its things: one that a developer keeps up is left alone.
const CLOUD: &str = "target/causeway/check-contract";

/// Cases that are made up for each operation, besides those that follow from the document's limits.
const EXAMPLES: u32 = 100;

/// How long schemathesis may take; it takes some three minutes where the machine is busy with other things as well.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Releases to a local cloud, then lets schemathesis loose on the dev API there. What it sent and found, in words.
///
/// # Errors
/// The rehearsal does not end as it should, or schemathesis cannot be had. What it found is the report's to say.
pub(super) async fn run(context: &Context) -> anyhow::Result<Report> {
    let paths = Paths::of(&context.root).with_local(&context.root.join(CLOUD));
    let result = check(context, &paths).await;
    let down = resident::down(&paths).await;
    let report = result?;
    down?;
    Ok(report)
}

async fn check(context: &Context, paths: &Paths) -> anyhow::Result<Report> {
    let say = |text: &str| context.out.note(text);
    let venv = install::venv(paths, Set::Api, &say).await?;
    // Rejected before prod: dev has the release, and nothing else is wanted.
    let mut rehearsal = command(&context.root, |sh| {
        cmd!(
            sh,
            "cargo run --quiet --locked --package xtask --
                rehearse --no-baseline --approve reject --keep --output json"
        )
    })?;
    rehearsal.env("CAUSEWAY_LOCAL_DIR", CLOUD);
    // It is kept, but not beyond this check.
    rehearsal.env(serve::WHILE, std::process::id().to_string());
    let status = rehearsal.stdout(Stdio::null()).status().await.context("start the rehearsal")?;
    let url = State::read(paths).and_then(|state| state.urls.get("dev").cloned());
    let (Some(1), Some(url)) = (status.code(), url) else {
        return Err(Fault::failed(
            "release to the local cloud",
            "rehearse --no-baseline --approve reject --keep",
        )
        .why(format!("it ended with {status}, and should have left an API in dev"))
        .next("run it by itself")
        .into());
    };
    let dir = paths.local().join("schemathesis");
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let file = dir.join("report.json");
    let _ = std::fs::remove_file(&file);
    let command = schemathesis(&venv.program("schemathesis"), &context.root, &dir, &file, &url)?;
    // Its exit code says no more than its report does; a run that broke down leaves none, or says so in there.
    tokio::time::timeout(LIMIT, show(command)).await.map_err(|_| {
        Fault::failed("hold the API to its document", url.as_str()).why("not done within 20 minutes")
    })??;
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Fault::failed("read schemathesis's report", file.display().to_string())
            .why(error)
            .next("see above what schemathesis said")
    })?;
    serde_json::from_str(&text).context("schemathesis's report has another form than expected")
}

/// The seed is fixed, so that a failure can be seen again.
fn schemathesis(
    program: &Path,
    root: &Path,
    dir: &Path,
    report: &Path,
    url: &str,
) -> anyhow::Result<Command> {
    let (config, contract) = (root.join("xtask/data/schemathesis.toml"), root.join("api/openapi.yaml"));
    let (url, examples) = (url.trim_end_matches('/'), EXAMPLES.to_string());
    let mut command = command(dir, |sh| {
        cmd!(
            sh,
            "{program} --config-file={config} run {contract} --url={url}
                --checks all --mode all --seed 1 --max-examples {examples}
                --request-timeout 30 --generation-database none --no-color
                --report json --report-json-path={report}"
        )
    })?;
    // Nothing of the caller's leads the requests elsewhere.
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1");
    Ok(command)
}

/// What of schemathesis's report counts here.
#[derive(Deserialize)]
pub(super) struct Report {
    complete: bool,
    operations: Operations,
    test_cases: Cases,
    failures: Vec<Failure>,
    errors: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Operations {
    total: u64,
    tested: u64,
}

#[derive(Deserialize)]
struct Cases {
    generated: u64,
    /// Those that were made up and have no answer: it gave them up before or while it sent them, and calls none of that a failure.
    errored: u64,
}

/// One case of so many may have no answer: chains end where a link leads nowhere, and a busy machine lets a connection go.
const ANSWERED: u64 = 100;

#[derive(Deserialize)]
struct Failure {
    title: String,
    count: u64,
    operations: Vec<String>,
}

impl Report {
    /// What was sent and found, for the result line.
    pub(super) fn counts(&self) -> serde_json::Value {
        serde_json::json!({"requests": self.test_cases.generated, "operations": self.operations.total,
            "tested": self.operations.tested, "failures": self.found(), "errors": self.errors.len(),
            "unanswered": self.test_cases.errored})
    }

    fn found(&self) -> u64 {
        self.failures.iter().map(|failure| failure.count).sum()
    }

    /// What was sent and found, as one line; an error where anything was found, or not everything was tried.
    pub(super) fn judge(&self) -> anyhow::Result<String> {
        let failures = self.found();
        let said = format!(
            "{} requests ({} without an answer) to {} of {} operations, {failures} failures",
            self.test_cases.generated, self.test_cases.errored, self.operations.tested, self.operations.total
        );
        let whole = self.complete
            && self.operations.tested == self.operations.total
            && self.test_cases.errored * ANSWERED <= self.test_cases.generated;
        if whole && failures == 0 && self.failures.is_empty() && self.errors.is_empty() {
            return Ok(said);
        }
        let mut why = vec![said];
        why.extend(self.failures.iter().map(|f| format!("{} at {}", f.title, f.operations.join(", "))));
        why.extend(self.errors.iter().map(|error| format!("schemathesis could not go on: {error}")));
        if !whole {
            why.push("not everything was tried".to_owned());
        }
        Err(Fault::failed("hold the API to its document", "api/openapi.yaml")
            .why(why.join("; "))
            .next("schemathesis's own lines are above, each with a curl command; fix the API or the document, whichever is wrong")
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::from_error;
    use serde_json::json;

    fn report(failures: serde_json::Value, errors: serde_json::Value, tested: u64, complete: bool) -> Report {
        answered(failures, errors, tested, complete, 3)
    }

    fn answered(
        failures: serde_json::Value,
        errors: serde_json::Value,
        tested: u64,
        complete: bool,
        errored: u64,
    ) -> Report {
        serde_json::from_value(json!({
            "schemathesis_version": "4", "complete": complete,
            "operations": {"total": 13, "selected": 13, "tested": tested},
            "test_cases": {"generated": 1200, "with_failures": 0, "errored": errored},
            "failures": failures, "errors": errors,
        }))
        .unwrap()
    }

    #[test]
    fn only_a_whole_run_without_a_failure_is_good() {
        let none = json!([]);
        let good = report(none.clone(), none.clone(), 13, true).judge().unwrap();
        assert_eq!(good, "1200 requests (3 without an answer) to 13 of 13 operations, 0 failures");
        let counts = report(none.clone(), none.clone(), 13, true).counts();
        let expected = json!({"requests": 1200, "operations": 13, "tested": 13, "failures": 0, "errors": 0, "unanswered": 3});
        assert_eq!(counts, expected);
        let failure = json!([{"type": "ServerError", "title": "Server error", "severity": "critical",
            "count": 2, "operations": ["POST /api/locations"]}]);
        assert_eq!(report(failure.clone(), none.clone(), 13, true).counts()["failures"], 2);
        for (report, why) in [
            (report(failure, none.clone(), 13, true), "Server error at POST /api/locations"),
            (report(none.clone(), json!([{"title": "timeout"}]), 13, true), "timeout"),
            (report(none.clone(), none.clone(), 12, true), "not everything"),
            (report(none.clone(), none.clone(), 13, false), "not everything"),
            (answered(none.clone(), none, 13, true, 13), "not everything"),
        ] {
            let error = report.judge().unwrap_err();
            let fault = from_error(&error);
            assert!(fault.why.contains(why), "{}", fault.why);
            assert!(fault.why.contains("1200 requests"), "{}", fault.why);
        }
    }
}
