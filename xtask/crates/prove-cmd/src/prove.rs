//! `prove`: evaluates the access matrix on the policies as the templates would deploy them. Offline, in a few seconds.

#[cfg(test)]
mod held;
#[cfg(test)]
mod readers;

use std::path::Path;

use anyhow::Context as _;
use causeway_args::prove::Args;
use serde_json::json;

use causeway_build::git;
use causeway_command::{Context, Outcome};
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_model::config::{self, Config};
use causeway_model::fault::{Fault, Kind};
use causeway_model::line::Line;
use causeway_model::verdict::Verdict;
use causeway_prove::{Files, Problem, Report};

/// Runs `prove`.
///
/// # Errors
/// The configuration does not parse, the revision does not exist. A row that fails is no error but an
/// outcome with exit code 1.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let files = read(&context.root.join("cfn"))?;
    let older = match &args.diff {
        Some(revision) => Some(revision_files(&context, &files, revision).await?),
        None => None,
    };
    let say = |text: &str| context.out.note(text);
    let expander = Expander::kept(&Paths::of(&context.root), &say).await?;
    context.out.spin("prove");
    let mut changed = Vec::new();
    let made = causeway_prove::with(&files, &config, &*expander, |proof| -> anyhow::Result<_> {
        let mut report = proof.report();
        if args.suggest {
            report.suggested = Some(proof.suggest(&report));
        }
        if args.mutate {
            let mut mutation = proof.mutate();
            report.problems.append(&mut mutation.problems);
            report.mutation = Some(mutation);
        }
        if let Some((older_config, older_files)) = &older {
            let revision = args.diff.as_deref().unwrap_or_default();
            let shifts =
                causeway_prove::with(older_files, older_config, &*expander, |older| match older.unread() {
                    unread if unread.is_empty() => Ok(proof.compare(older)),
                    unread => Err(unread_at(revision, &unread)),
                });
            report.shifts = Some(shifts.map_err(|problem| unreadable(&problem))??);
        }
        let policies = args.bootstrap_policies.is_some().then(|| {
            let people = [("bootstrap", proof.bootstrap_policies()), ("destroy", proof.leaving_policies())];
            (people, proof.organization_policies())
        });
        Ok((report, policies))
    });
    let (mut report, policies) = match made {
        Ok(made) => made?,
        Err(problem) => (Report { problems: vec![problem], ..Report::default() }, None),
    };
    if let (Some(dir), Some((policies, organization))) = (&args.bootstrap_policies, policies) {
        let dir = context.root.join(dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        for (what, (policies, mut problems)) in policies {
            report.problems.append(&mut problems);
            let whole = causeway_prove::Proof::merged(&policies).to_string();
            if whole.chars().count() > PERMISSION_SET {
                let message = format!(
                    "the {what} policies of all accounts have {} characters as one, and a permission set takes {PERMISSION_SET}: give each account's to a permission set of its own",
                    whole.chars().count()
                );
                context.out.line(&Line::Warning { message });
            }
            let path = dir.join(format!("{what}.json"));
            std::fs::write(&path, &whole).with_context(|| format!("write {}", path.display()))?;
            changed.push(path.display().to_string());
            for (account, policy) in policies {
                let path = dir.join(format!("{what}-{account}.json"));
                let text = serde_json::to_string_pretty(&policy).context("write the policy")?;
                std::fs::write(&path, format!("{text}\n"))
                    .with_context(|| format!("write {}", path.display()))?;
                changed.push(path.display().to_string());
            }
        }
        // Without white space: "If you save the policy using an SDK operation or the AWS CLI, then the policy is saved exactly
        // as you provided", and white space counts ("Quotas for AWS Organizations").
        for (name, policy) in organization {
            let path = dir.join(name);
            std::fs::write(&path, policy.to_string()).with_context(|| format!("write {}", path.display()))?;
            changed.push(path.display().to_string());
        }
        report.problems.sort();
        report.problems.dedup();
    }
    context.out.rest();
    Ok(outcome(&context, &args, &report, changed))
}

/// The most characters of the inline policy of a permission set ("IAM Identity Center quotas", read 2026).
const PERMISSION_SET: usize = 32_768;

fn outcome(context: &Context, args: &Args, report: &Report, changed: Vec<String>) -> Outcome {
    let out = &context.out;
    // Somebody who wants the policies wants to know where they are; the rest only where it does not hold.
    if args.bootstrap_policies.is_none() || !report.holds() {
        out.text(|paint| crate::text::render(report, args.all, paint));
    }
    if args.bootstrap_policies.is_some() && !out.is_json() {
        for path in &changed {
            out.raw(path);
        }
    }
    if out.is_json() {
        for message in failures(report) {
            out.line(&Line::Warning { message });
        }
        for warning in &report.rules.warnings {
            out.line(&Line::Warning { message: warning.to_string() });
        }
    }
    let widened = report.shifts.iter().flatten().filter(|shift| shift.widened).count();
    let mut outcome = Outcome::of(Verdict::Done);
    outcome.quiet = args.bootstrap_policies.is_some();
    outcome.changed = changed;
    outcome.data = data(report);
    let first = failures(report).into_iter().next();
    if let Some(first) = first.filter(|_| !report.holds()) {
        outcome.verdict = Verdict::Failed;
        let rows = report.failed_rows().len();
        let fault = match rows {
            0 => {
                Fault::fact(Kind::Failed, "the proof does not hold", format!("all {} rows hold", report.rows))
            }
            rows => Fault::fact(Kind::Failed, format!("{rows} of {} rows do not hold", report.rows), ""),
        };
        outcome.error = Some(fault.why(first).next(next(report)));
    } else if args.fail_on_widening && widened > 0 {
        outcome.verdict = Verdict::Failed;
        let fault =
            Fault::fact(Kind::Failed, "the change adds permissions", args.diff.clone().unwrap_or_default());
        outcome.error = Some(
            fault
                .why(format!("{widened} permissions are added"))
                .next("have them reviewed; they are listed above"),
        );
    }
    outcome
}

fn next(report: &Report) -> &'static str {
    if !report.checked.iter().all(|one| one.holds) {
        "fix the statement, or the row of cfn/access-matrix.toml where it asks the wrong thing"
    } else if !report.problems.is_empty() {
        "fix that line: nothing is proved while it stands so"
    } else if !report.sufficiency.missing.is_empty() {
        "allow it to the role that deploys the stack; `--suggest` prints the statements"
    } else if !report.rules.violations.is_empty() {
        "fix the template, or the rule of cfn/release-rules.toml where the release is meant to be so"
    } else {
        "add a row to cfn/access-matrix.toml that notices, or list the mutant there with its reason"
    }
}

/// Everything that fails, one line each: rows, files, calls of handlers, rules, mutants. Rows come first: where a statement
/// cannot be read, none is asked.
fn failures(report: &Report) -> Vec<String> {
    let rows = report.checked.iter().filter(|one| !one.holds).map(|one| {
        let source = one.source.as_ref().map_or_else(String::new, |source| format!("; source: {source}"));
        format!(
            "row {} ({}): {} {} on {}: expected {}, came {}: {}{source}",
            one.id,
            one.says,
            one.who,
            one.action,
            one.on,
            one.expected.word(),
            one.came.word(),
            one.by
        )
    });
    let mut all: Vec<String> = rows.collect();
    all.extend(report.problems.iter().map(Problem::to_string));
    all.extend(report.sufficiency.missing.iter().map(|one| {
        format!(
            "{}:{}: to {} {}, {} needs {} on {}: {}",
            one.file, one.line, one.handler, one.resource, one.who, one.action, one.on, one.by
        )
    }));
    all.extend(report.rules.violations.iter().map(ToString::to_string));
    all.extend(
        report
            .unexplained()
            .map(|mutant| format!("{}:{}: no row catches `{}`", mutant.file, mutant.line, mutant.name)),
    );
    all
}

fn data(report: &Report) -> serde_json::Value {
    let mutation = report.mutation.as_ref();
    let mut data = json!({
        "rows": report.rows,
        "failed": report.failed_rows().len(),
        "mutants": mutation.map_or(0, |mutation| mutation.mutants.len()),
        "caught": mutation.map_or(0, |mutation| mutation.caught()),
        "requests": report.checked.len(),
        "calls": report.sufficiency.asked,
        "missing": report.sufficiency.missing,
        "rules": report.rules.rules,
        "rules_asked": report.rules.asked,
        "violations": report.rules.violations,
        "warnings": report.rules.warnings,
        "problems": report.problems,
        "results": report.checked,
    });
    if let Some(mutation) = mutation {
        let by_kind = mutation.by_kind().into_iter();
        let by_kind = by_kind
            .map(|(kind, (made, caught))| (kind.to_owned(), json!({ "mutants": made, "caught": caught })));
        data["by_kind"] = serde_json::Value::Object(by_kind.collect());
        data["survivors"] = json!(mutation.survivors().collect::<Vec<_>>());
    }
    if let Some(suggested) = &report.suggested {
        data["suggested"] = json!(suggested);
    }
    if let Some(shifts) = &report.shifts {
        data["diff"] = json!(shifts);
    }
    data
}

/// What cannot be read in the other revision says nothing, so there is nothing to compare with.
fn unread_at(revision: &str, unread: &[Problem]) -> Fault {
    let all: Vec<String> = unread
        .iter()
        .map(|one| format!("{} line {} at {revision}: {}", one.file, one.line, one.message))
        .collect();
    Fault::usage("compare with", revision)
        .why(all.join("; "))
        .next("name a revision whose templates can be read")
}

fn unreadable(problem: &Problem) -> Fault {
    Fault::usage("read", format!("{} line {}", problem.file, problem.line))
        .why(&problem.message)
        .next("fix that line")
}

/// The files of a folder, not of folders in it.
///
/// # Errors
/// One of them cannot be read as text.
pub fn read(dir: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.flatten() {
        let path = entry.path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), text);
        }
    }
    Ok(files)
}

/// The files below `cfn/` as they were, asked by the matrix as it is.
async fn revision_files(context: &Context, now: &Files, revision: &str) -> anyhow::Result<(Config, Files)> {
    let root = &context.root;
    // Where git is missing or refuses, the revision is not at fault.
    git::standing(root).await?;
    let commit = git::commit(root, revision).await.ok_or_else(|| {
        Fault::usage("find the revision", revision)
            .why("git does not know it")
            .next("name a commit, a branch or a tag")
    })?;
    let mut files = git::files_at(root, &commit, "cfn").await?;
    if let Some(matrix) = now.get("access-matrix.toml") {
        files.insert("access-matrix.toml".to_owned(), matrix.clone());
    }
    let text = files.get("stacks.toml").map(String::as_str).unwrap_or_default();
    let config = config::parse(text).map_err(|error| {
        Fault::usage("read the configuration", format!("cfn/stacks.toml line {} at {revision}", error.line))
            .why(&error.message)
    })?;
    Ok((config, files))
}
