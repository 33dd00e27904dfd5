//! What a rehearsal tells at its end: how it ended, where the APIs are, which versions answer there.

use super::*;
use causeway_model::config::PLACEHOLDER_IDS;
use causeway_model::summary::{self, Summary};
use causeway_model::units::{Count, Unit};

pub(super) fn outcome(ended: Ended) -> Outcome {
    match ended {
        Ended::Released => Outcome::of(Verdict::Released),
        Ended::Rejected => {
            let fault = Fault::fact(Kind::Failed, "the release was rejected", "the approval")
                .why("the approval was refused; prod serves what it served before")
                .next("cargo xtask rehearse, once the reason is gone");
            Outcome { error: Some(fault), ..Outcome::of(Verdict::Rejected) }
        }
        // Nothing failed, and nobody may take it for a release: a condition refused it.
        Ended::Skipped(fault) => Outcome { error: Some(fault), ..Outcome::of(Verdict::Rejected) },
        Ended::Failed(fault) | Ended::Unjudged(fault) => {
            let mut outcome = Outcome::of(fault.kind.verdict());
            outcome.code = Some(fault.kind.exit_code());
            outcome.error = Some(fault);
            outcome
        }
    }
}

/// The lines of a run as they are, with what the approval said kept beside them.
pub(super) fn noting_approval(emit: Emit, approval: Arc<Mutex<Option<String>>>) -> Emit {
    Arc::new(move |line| {
        if let Line::Step(Step { action, reason: Some(said), sub: None, status, .. }) = &line
            && action == APPROVAL
            && matches!(status, Status::Succeeded | Status::Failed)
        {
            *approval.lock().unwrap_or_else(PoisonError::into_inner) = Some(said.clone());
        }
        emit(line);
    })
}

/// The approval's action, by the contract.
const APPROVAL: &str = "Approve";

/// Puts the cause into the failure and the summary into the data: whoever shows the result has the same words.
pub(super) fn summed_up(
    outcome: &mut Outcome,
    approval: &Mutex<Option<String>>,
    args: &Args,
    config: &Config,
) {
    if let Some(said) = approval.lock().unwrap_or_else(PoisonError::into_inner).take() {
        outcome.data["approval"] = json!(said);
    }
    let broken = args.break_prod.as_ref().filter(|_| outcome.verdict == Verdict::RolledBack);
    outcome.error = outcome.error.take().map(|fault| {
        let mut fault = summary::with_cause(fault, &outcome.data);
        if outcome.verdict == Verdict::RolledBack {
            fault = Fault { what: "the deployment was rolled back".to_owned(), is_fact: true, ..fault };
        }
        if let Some(how) = broken {
            fault.next = format!(
                "nothing is wrong: --break-prod={how} was to be rolled back; cargo xtask rehearse releases the commit as it is"
            );
        }
        fault
    });
    let short: Option<String> = outcome.commit.as_ref().map(|commit| commit.chars().take(12).collect());
    let what = match (short, outcome.data["working_tree"] == true) {
        (Some(commit), false) => format!("commit {commit}"),
        (Some(commit), true) => format!("commit {commit} with uncommitted changes"),
        (None, _) => "the working tree".to_owned(),
    };
    let what = match &args.break_prod {
        Some(how) => format!("{what} (broken by --break-prod={how})"),
        None => what,
    };
    let is_placeholder =
        config.accounts.values().any(|account| PLACEHOLDER_IDS.contains(&account.id.as_str()));
    let next = if args.keep {
        "eval \"$(cargo xtask local env)\" points any AWS client at it; cargo xtask local down ends it"
    } else if outcome.data["working_tree"] == true {
        "commit the changes"
    } else if is_placeholder {
        "docs/aws.md is the road to AWS; cargo xtask rehearse --break-prod shows a rollback first"
    } else {
        "push the commit: the pipeline on AWS takes it the same way"
    };
    let envs: Vec<String> = config.targets().map(ToOwned::to_owned).collect();
    let ended = summary::Ended {
        verdict: outcome.verdict,
        what: &what,
        envs: &envs,
        error: outcome.error.as_ref(),
        data: &outcome.data,
        next,
    };
    outcome.data["summary"] = json!(Summary::of(&ended));
}

/// How much the builds compiled, and what of it twice; said, too. A release that was built by an older tool tells nothing of it.
pub(super) fn compiled(context: &Context, units: &std::path::Path) -> anyhow::Result<Count> {
    let text = std::fs::read_to_string(units).context("read what was compiled")?;
    let units: Vec<Unit> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let count = Count::of(&units);
    let twice = match count.twice.len() {
        0 => "no dependency twice".to_owned(),
        some => {
            let names: Vec<&str> = count.twice.iter().map(String::as_str).take(5).collect();
            format!("{some} of the dependencies twice, for instance {}", names.join(", "))
        }
    };
    context.out.note(format!(
        "  {} units were compiled, {} of them of dependencies; {twice}",
        count.units, count.dependencies
    ));
    Ok(count)
}

/// Where each function of the app template says its version.
pub(crate) fn version_routes(context: &Context, config: &Config) -> anyhow::Result<BTreeMap<String, String>> {
    let path = context.root.join("cfn").join(&app_stack(config)?.template);
    let source = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    functions::version_routes(&source).map_err(|error| {
        Fault::usage("read the template", path.display().to_string()).why(error).next("fix that line").into()
    })
}

/// How busy this machine is: the processes that were ready to run in the last minute, on average, where the system says it,
/// and how many of them can run at once.
pub(super) fn machine() -> Value {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Option<f64> = text.split_whitespace().next().and_then(|number| number.parse().ok());
    json!({"load": load, "cores": std::thread::available_parallelism().map_or(1, usize::from)})
}

/// Addresses of the deployed APIs and the versions that answer there now, each function's by its own word.
pub(super) async fn found_out(routes: &BTreeMap<String, String>, paths: &Paths) -> Value {
    let urls = State::read(paths).map(|state| state.urls).unwrap_or_default();
    let mut versions = serde_json::Map::new();
    for (env, url) in &urls {
        let Ok(api) = ApiClient::new(url) else { continue };
        let mut by_function = serde_json::Map::new();
        for (function, route) in routes {
            let answer = api.send(http::Method::GET, route, None).await.ok();
            let version =
                answer.filter(|answer| answer.status.is_success()).and_then(|answer| answer.version);
            by_function.insert(function.clone(), version.unwrap_or_else(|| "unknown".to_owned()).into());
        }
        versions.insert(env.clone(), Value::Object(by_function));
    }
    json!({"urls": urls, "versions": versions, "profile": PROFILE})
}

/// What is released, in one line for a person. What is not committed is said before the subject, which may be long.
pub(super) fn about(commit: Option<String>, uncommitted: usize) -> String {
    match (commit, uncommitted) {
        (Some(commit), 0) => commit,
        (Some(commit), n) => commit.replacen(": ", &format!(" + {n} uncommitted files: "), 1),
        (None, _) => "the working tree".to_owned(),
    }
}

/// Notes how it ended, for `cargo xtask` alone, which says where one stands. One that cannot be kept is missed by nobody.
pub(super) fn noted(root: &std::path::Path, verdict: Verdict, commit: Option<&str>) {
    let commit = commit.map_or_else(|| "the working tree".to_owned(), |id| id.chars().take(12).collect());
    let line = format!("{} {commit} at {}\n", verdict.word(), causeway_machine::clock::now_rfc3339());
    let _ = std::fs::write(root.join(causeway_digest::LAST_REHEARSAL), line);
}

/// A step of the setup as it stands, printed.
pub(super) fn setup(
    context: &Context,
    action: &str,
    status: Status,
    seconds: Option<f64>,
    reason: Option<String>,
) {
    context.out.line(&step(action, status, Mode::Executed, seconds.map(tenths), reason));
}

/// A step of the setup.
pub(super) fn step(
    action: &str,
    status: Status,
    mode: Mode,
    seconds: Option<f64>,
    reason: Option<String>,
) -> Line {
    Line::Step(Step::whole("setup", action, status, mode, seconds, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_says_what_is_not_committed_before_the_subject() {
        let commit = || Some("commit 1a2b3c4: Keep: this (A. Person)".to_owned());
        assert_eq!(about(commit(), 0), "commit 1a2b3c4: Keep: this (A. Person)");
        assert_eq!(about(commit(), 2), "commit 1a2b3c4 + 2 uncommitted files: Keep: this (A. Person)");
        assert_eq!(about(None, 7), "the working tree");
    }
}
