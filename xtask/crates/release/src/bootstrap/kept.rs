//! A plan in a file: written by `bootstrap --plan-file`, applied by `bootstrap --apply` where nothing moved since.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::guarded::Guarded;
use super::plan::fill;
use super::{Job, Known};
use causeway_aws::Accounts;
use causeway_machine::files;
use causeway_model::config::Config;
use causeway_model::fault::{Fault, Kind};
use causeway_model::plan::StackPlan;
use causeway_model::plan_file::{KIND, PlanFile, Planned, VERSION};

/// Reads a plan before anything is asked of anybody.
///
/// # Errors
/// A usage fault: there is no such file, or it is no plan.
pub(super) fn read(path: &Path) -> Result<PlanFile, Fault> {
    let fault = || Fault::usage("read the plan", path.display().to_string());
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            fault().why("there is no such file").next("cargo xtask bootstrap --plan-file writes one")
        }
        _ => fault().why(error).next("let this user read it"),
    })?;
    PlanFile::read(&text)
        .map_err(|why| fault().why(why).next("plan again: cargo xtask bootstrap --plan-file"))
}

/// Writes a plan, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(path: &Path, plan: &PlanFile) -> anyhow::Result<()> {
    files::write_whole(path, format!("{}\n", serde_json::to_string_pretty(plan)?).as_bytes())
}

/// Refuses a plan that is not what would happen now.
///
/// # Errors
/// Something moved since it was made: what.
pub(super) fn still_fits(path: &Path, kept: &PlanFile, now: &PlanFile) -> Result<(), Fault> {
    let moved = kept.moved(now);
    if moved.is_empty() {
        return Ok(());
    }
    Err(Fault::fact(Kind::Stuck, "the plan does not fit any more", path.display().to_string())
        .why(moved.join("; "))
        .next(
            "nothing was changed; plan again, and have that one looked at: cargo xtask bootstrap --plan-file",
        ))
}

/// A salt that no other file has.
pub(super) fn salt() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// What would happen now, as a file has it.
pub(super) fn of(
    config: &Config,
    accounts: &Accounts,
    (jobs, guarded): (&[Vec<Job>], &[Guarded]),
    known: &Known,
    salt: String,
) -> anyhow::Result<PlanFile> {
    let digest = |value: &Value| hex::encode(Sha256::digest(format!("{salt}{value}")));
    let planned = |plan: &StackPlan, account_id: &str, parts: [Value; 3]| {
        let [template, parameters, standing] = parts.each_ref().map(digest);
        Planned {
            account: plan.account.clone(),
            account_id: account_id.to_owned(),
            stack: plan.stack.clone(),
            state: plan.state.clone(),
            action: plan.action,
            template,
            parameters,
            standing,
            changes: digest(&json!([plan.changes, plan.settings, plan.adopts])),
        }
    };
    let mut stacks = Vec::new();
    for job in jobs.iter().flatten() {
        let parameters = match fill(config, job, known) {
            Ok(values) => json!(values),
            // What is not there yet comes from a stack of the same plan.
            Err(missing) => json!([missing, format!("{:?}", job.parameters)]),
        };
        let standing = job.info.as_ref().map(|info| {
            json!([info.id, info.parameters, info.tags, info.protected, info.role_arn, job.deployed])
        });
        stacks.push(planned(&job.plan, &job.account_id, [json!(job.template), parameters, json!(standing)]));
    }
    for one in guarded {
        let id = &accounts.get(&one.plan.account)?.id;
        stacks.push(planned(&one.plan, id, [Value::Null, Value::Null, json!(one.plan.settings)]));
    }
    let (kind, v) = (KIND.to_owned(), VERSION);
    Ok(PlanFile { kind, v, project: config.project.clone(), region: config.region.clone(), salt, stacks })
}
