//! Doing it: wave after wave, side by side within a wave; a stack that needs a pending connection waits for a person.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::plan::{Filled, Standing as Before, bucket, change_set, fill};
use super::states::{May, ready};
use super::{Job, Known};
use causeway_aws::Accounts;
use causeway_aws::cloudformation::{Settled, StackInfo};
use causeway_aws::connections::{self, Standing};
use causeway_command::Context;
use causeway_machine::clock::Stopwatch;
use causeway_model::changeset::Change;
use causeway_model::config::Config;
use causeway_model::connection::{console_link, is_connection};
use causeway_model::fault::{Fault, Kind};
use causeway_model::plan::Met;
use causeway_model::stack::{Action, StackStatus};

/// How long one stack may take. A KMS key and a pipeline take minutes; an hour means that something hangs.
pub const STACK_LIMIT: Duration = Duration::from_secs(3_600);
/// How long a person is waited for who finishes a connection.
const PERSON_LIMIT: Duration = Duration::from_secs(1_800);

/// What became of a wave.
#[derive(Default)]
pub(super) struct ActedWave {
    /// The stacks that were changed.
    pub(super) changed: Vec<String>,
    /// The states that were met.
    pub(super) met: Vec<Met>,
    /// The first failure.
    pub(super) failure: Option<anyhow::Error>,
}

/// Deploys a wave side by side. What needs a pending connection comes last, once a person has finished it.
pub(super) async fn wave(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    jobs: Vec<Job>,
    known: &mut Known,
) -> ActedWave {
    let mut acted = ActedWave::default();
    let (mut ready, mut held) = (Vec::new(), Vec::new());
    for job in jobs {
        match pending_connection(config, accounts, &job, known).await {
            Ok(None) => ready.push(job),
            Ok(Some(connection)) => held.push((job, connection)),
            Err(error) => {
                acted.failure = Some(error);
                return acted;
            }
        }
    }
    side_by_side(context, (config, accounts), ready, known, &mut acted).await;
    for (job, connection) in held {
        if acted.failure.is_none() {
            match await_person(context, accounts, &job, &connection).await {
                Ok(()) => side_by_side(context, (config, accounts), vec![job], known, &mut acted).await,
                Err(error) => acted.failure = Some(error),
            }
        }
    }
    acted
}

async fn side_by_side(
    context: &Context,
    (config, accounts): (&Config, &Accounts),
    jobs: Vec<Job>,
    known: &mut Known,
    acted: &mut ActedWave,
) {
    let bucket = match bucket(config, accounts, known) {
        Ok(bucket) => bucket,
        Err(error) => {
            acted.failure.get_or_insert(error);
            return;
        }
    };
    let mut tasks = JoinSet::new();
    for (index, mut job) in jobs.into_iter().enumerate() {
        let filled = fill(config, &job, known);
        job.bucket.clone_from(&bucket);
        let (context, changes) = (context.clone(), context.changes.clone());
        tasks.spawn(async move {
            let instance = job.instance.clone();
            let name = format!("{}/{}", job.plan.account, job.plan.stack);
            if job.plan.action != Action::None {
                changes.begin(&name);
            }
            let mut met = Vec::new();
            let result = act(&context, job, filled, &mut met).await;
            match &result {
                Ok((Some(_), _)) => changes.done(&name),
                _ => changes.unchanged(&name),
            }
            (index, instance, result, met)
        });
    }
    let mut changed = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((index, instance, Ok((name, info)), met)) => {
                acted.met.extend(met);
                known.0.extend(info.map(|info| (instance, info)));
                changed.extend(name.map(|name| (index, name)));
            }
            Ok((_, _, Err(error), met)) => {
                acted.met.extend(met);
                acted.failure.get_or_insert(error);
            }
            Err(error) => {
                acted.failure.get_or_insert(error.into());
            }
        }
    }
    acted.changed.extend(changed.into_values());
}

/// The pending connection that a stack would be deployed with. A pipeline that is made before its connection is
/// finished starts at once and fails.
async fn pending_connection(
    config: &Config,
    accounts: &Accounts,
    job: &Job,
    known: &Known,
) -> anyhow::Result<Option<String>> {
    if job.plan.action == Action::None {
        return Ok(None);
    }
    let values = fill(config, job, known).unwrap_or_default();
    let Some(connection) = values.into_values().find(|value| is_connection(value)) else { return Ok(None) };
    let account = accounts.get(&job.instance.account)?;
    match connections::standing(account, &connection).await? {
        Standing::Available => Ok(None),
        Standing::Pending => Ok(Some(connection)),
        Standing::Other => Err(Fault::new(Kind::Stuck, "use the connection", connection.as_str())
            .why("it is in error")
            .next(format!("fix it at {}", console_link(&connection)))
            .into()),
    }
}

/// With a terminal: says where to finish the connection, and waits. Without one: says what to run next.
async fn await_person(
    context: &Context,
    accounts: &Accounts,
    job: &Job,
    connection: &str,
) -> anyhow::Result<()> {
    let link = console_link(connection);
    let stuck = |why: &str| {
        Fault::new(Kind::Stuck, format!("deploy the stack {}", job.plan.stack), connection)
            .why(why)
            .next(format!("finish it at {link} (\"Update pending connection\"), then run cargo xtask bootstrap again; it goes on from here"))
    };
    if !context.out.is_interactive() {
        return Err(stuck("the connection is PENDING until a person finishes it in the console").into());
    }
    context.out.say(format!("\n  The connection to the repository must be finished once, by a person:\n    {link}\n  Choose it there, then \"Update pending connection\". This goes on by itself afterwards.\n"));
    context.out.spin("wait for the connection");
    let watch = Stopwatch::start();
    let account = accounts.get(&job.instance.account)?;
    while connections::standing(account, connection).await? == Standing::Pending {
        if watch.elapsed() > PERSON_LIMIT {
            return Err(stuck("the connection is still PENDING after half an hour").into());
        }
        sleep(account.pace() * 2).await;
    }
    context.out.rest();
    Ok(())
}

/// The stack that was changed, and how it stands.
type Acted = (Option<String>, Option<StackInfo>);

/// The state of a stack before a change set, as the plan saw it or as it became since.
fn before(info: Option<&StackInfo>) -> Before {
    match info {
        None => Before::Absent,
        Some(info) if info.status == StackStatus::Review => Before::Planned,
        Some(_) => Before::There,
    }
}

async fn act(context: &Context, mut job: Job, filled: Filled, met: &mut Vec<Met>) -> anyhow::Result<Acted> {
    let emit = &context.out.emitter();
    let stack = &job.plan.stack.clone();
    let values = filled.map_err(|missing| {
        Fault::failed("deploy the stack", stack)
            .why(format!("these outputs are not there: {}", missing.join(", ")))
            .next("see that the templates declare them")
    })?;
    let name = format!("{}/{stack}", job.plan.account);
    // What an earlier wave of this run gave may differ from what the plan was made with: then there is more to do than it
    // showed, and what endangers data is refused below.
    let as_planned = job.compared.as_ref() == Some(&values);
    if as_planned && job.plan.action == Action::None {
        return Ok((None, job.info));
    }
    // Nothing but settings of the stack itself change: the comparison led to no change set.
    if as_planned && job.shown.is_none() {
        let info = protected(&job, job.info.clone()).await?;
        return Ok((Some(name), info));
    }
    // CloudFormation itself refuses a change set for a state that has changed since the plan.
    if matches!(job.plan.action, Action::Wait | Action::Recreate | Action::Repair) {
        let may = May { recreate: job.plan.action == Action::Recreate, lose: job.may_lose };
        job.info = ready(context, &job.stacks, (&job.plan.account, stack), may, met).await?;
    }
    let before = before(job.info.as_ref());
    let ready = match &job.shown {
        Some((shown, with)) if *with == values => Some(shown.clone()),
        _ => change_set(&job, &values, before).await?,
    };
    let Some(ready) = ready else {
        // Whatever made it need none: the settings that were shown are set all the same.
        let info = job.stacks.describe(stack).await?;
        let lacks = job.protected && info.as_ref().is_some_and(|info| !info.protected);
        return Ok((lacks.then_some(name), protected(&job, info).await?));
    };
    let shown = |change: &Change| {
        job.plan.changes.iter().any(|one| one.endangers_data() && one.logical_id == change.logical_id)
    };
    if let Some(danger) =
        ready.changes.iter().find(|change| change.endangers_data() && !shown(change) && !job.may_lose)
    {
        return Err(Fault::failed("deploy the stack", stack)
            .why(format!(
                "{} ({}) would be replaced or removed, which the plan did not show",
                danger.logical_id, danger.resource_type
            ))
            .next(format!(
                "run it again: the plan shows it now; --allow-data-loss {stack} says that it may be lost"
            ))
            .into());
    }
    // Only what CloudFormation has begun is not ours to remove any more.
    let begun = || job.planned.settled(&ready.name);
    let is_new = before != Before::There;
    let settled = job.stacks.execute(stack, &ready.id, is_new, begun, STACK_LIMIT, emit).await?;
    if !settled.status.is_good() {
        return Err(failed("deploy the stack", (&job.plan.account, stack), &settled));
    }
    Ok((Some(name), protected(&job, settled.info).await?))
}

/// Switches termination protection on where the account wants it and the stack lacks it. Whatever ends the run before this
/// is seen by the next plan, which compares it.
async fn protected(job: &Job, mut info: Option<StackInfo>) -> anyhow::Result<Option<StackInfo>> {
    if let Some(info) = info.as_mut().filter(|info| job.protected && !info.protected) {
        job.stacks.protect(&job.plan.stack, true).await?;
        info.protected = true;
    }
    Ok(info)
}

/// The fault of a stack, given by account and name, that settled in a state that is not good.
pub fn failed(what: &str, (account, stack): (&str, &str), settled: &Settled) -> anyhow::Error {
    let why = settled.first_failure.clone().unwrap_or_else(|| "CloudFormation gave no reason".to_owned());
    Fault::failed(what, format!("{stack} in {account}"))
        .why(format!("{} ({why})", settled.status))
        .next("fix the cause, and run the same command again; it goes on where it stopped")
        .into()
}
