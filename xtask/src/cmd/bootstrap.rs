//! `bootstrap`: plans and deploys the ordered stacks, in build and in every target.
//!
//! Plan, show, confirm, act. What is shown is what a change set says; a stack whose inputs are not there yet is shown
//! with the resources of its template.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;

use super::{AfterChanges, Context, Outcome};
use crate::aws::cloudformation::{ChangeSet, Settled, StackInfo, Stacks, Wanted};
use crate::aws::{Account, Accounts};
use crate::model::changeset::{Change, sorted};
use crate::model::config::{Config, Instance, Parameter};
use crate::model::fault::{Fault, Kind};
use crate::model::line::{Emit, Line};
use crate::model::plan::{self, StackPlan};
use crate::model::stack::{Action, StackStatus};
use crate::model::template;
use crate::model::verdict::{ExitCode, Verdict};

/// How long one stack may take. A KMS key and a pipeline take minutes; an hour means that something hangs.
const STACK_LIMIT: Duration = Duration::from_secs(3_600);
/// CloudFormation's limit for a template in a request ("CloudFormation quotas").
const MAX_TEMPLATE: usize = 51_200;

/// Arguments of `bootstrap`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit with 3 where something would change
    #[arg(long, requires = "dry_run")]
    detailed_exitcode: bool,
}

/// Runs `bootstrap`.
///
/// # Errors
/// Wrong credentials or accounts; a template that does not fit; a stack that fails, with its first cause.
pub(crate) async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let accounts = Accounts::open(&config, &context.open_options()?).await?;
    deploy(&context, &config, &accounts, &args).await
}

impl Args {
    /// As a rehearsal runs it.
    pub(crate) fn act() -> Self {
        Self { dry_run: false, detailed_exitcode: false }
    }
}

/// Plans, shows, asks, and deploys.
pub(crate) async fn deploy(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    args: &Args,
) -> anyhow::Result<Outcome> {
    let out = &context.out;
    let waves = plan::waves(config).map_err(|circle| {
        Fault::usage("order the stacks", "cfn/stacks.toml")
            .why(circle)
            .next("let one of them take a literal instead")
    })?;
    let mut names: Vec<String> = waves.iter().flatten().map(|instance| instance.account.clone()).collect();
    names.sort();
    names.dedup();
    out.spin("check the accounts");
    accounts.verify(config, &names).await?;

    out.spin("plan");
    let mut known = Known::default();
    let mut planned = Vec::new();
    for wave in &waves {
        planned.push(plan_wave(context, config, accounts, wave, &mut known).await?);
    }
    out.rest();
    let shown: Vec<Vec<StackPlan>> =
        planned.iter().map(|wave| wave.iter().map(|job| job.plan.clone()).collect()).collect();
    out.line(&Line::Plan { waves: shown });
    let nothing = planned.iter().flatten().all(|job| job.plan.action == Action::None);
    if nothing {
        return Ok(Outcome::of(Verdict::NothingToDo));
    }
    if args.dry_run {
        discard(&planned).await?;
        let mut outcome = Outcome::of(Verdict::Changes);
        outcome.code = args.detailed_exitcode.then_some(ExitCode::Changes);
        return Ok(outcome);
    }
    match out.confirm("Deploy this?") {
        Ok(true) => {}
        Ok(false) => {
            discard(&planned).await?;
            return Ok(Outcome::of(Verdict::NothingToDo));
        }
        Err(fault) => {
            discard(&planned).await?;
            return Err(fault.into());
        }
    }
    let mut changed = Vec::new();
    for wave in planned {
        let results = act_wave(config, wave, &mut known, &out.emitter()).await;
        for result in results {
            match result {
                Ok(Some(name)) => changed.push(name),
                Ok(None) => {}
                Err(source) => return Err(AfterChanges { changed, source }.into()),
            }
        }
    }
    let mut outcome = Outcome::of(if changed.is_empty() { Verdict::NothingToDo } else { Verdict::Done });
    outcome.data = json!({"outputs": known.shown()});
    outcome.changed = changed;
    Ok(outcome)
}

/// Outputs of stacks as far as they are known.
#[derive(Default)]
struct Known(BTreeMap<Instance, BTreeMap<String, String>>);

impl Known {
    fn shown(&self) -> BTreeMap<String, &BTreeMap<String, String>> {
        self.0.iter().map(|(i, outputs)| (format!("{}@{}", i.stack, i.account), outputs)).collect()
    }
}

/// One stack of the plan and what is needed to act on it.
#[derive(Clone)]
struct Job {
    instance: Instance,
    stacks: Stacks,
    protected: bool,
    template: String,
    parameters: BTreeMap<String, Parameter>,
    /// The change set that was shown, and the parameters it was made with.
    shown: Option<(ChangeSet, BTreeMap<String, String>)>,
    plan: StackPlan,
}

async fn plan_wave(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    wave: &[Instance],
    known: &mut Known,
) -> anyhow::Result<Vec<Job>> {
    let mut tasks = JoinSet::new();
    for (index, instance) in wave.iter().enumerate() {
        let account = accounts.get(&instance.account)?.clone();
        let job = job(context, config, &account, instance)?;
        let filled = fill(config, &job, known);
        tasks.spawn(async move { (index, plan_stack(job, filled).await) });
    }
    let mut jobs = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        let (index, result) = joined?;
        let (job, outputs) = result?;
        if let Some(outputs) = outputs {
            known.0.insert(job.instance.clone(), outputs);
        }
        jobs.insert(index, job);
    }
    Ok(jobs.into_values().collect())
}

fn job(context: &Context, config: &Config, account: &Account, instance: &Instance) -> anyhow::Result<Job> {
    let stack = config.stack(&instance.stack).context("a stack that is not in the configuration")?;
    let path = context.root.join("cfn").join(&stack.template);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{}", stack.template))
            .why(error)
            .next("correct `template` in cfn/stacks.toml")
    })?;
    if text.len() > MAX_TEMPLATE {
        return Err(Fault::usage("use the template", format!("cfn/{}", stack.template))
            .why(format!("it has {} bytes; CloudFormation takes {MAX_TEMPLATE}", text.len()))
            .next("split it into two stacks")
            .into());
    }
    let parsed = template::parse(&text).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{} line {}", stack.template, error.line))
            .why(&error.message)
            .next("mend that line")
    })?;
    let parameters = config.parameters(instance);
    for name in parameters.keys() {
        if parsed.at(&["Parameters", name]).is_none() {
            return Err(Fault::usage("use the template", format!("cfn/{}", stack.template))
                .why(format!("cfn/stacks.toml gives parameter {name}, which it does not declare"))
                .next("declare it, or take it out of cfn/stacks.toml")
                .into());
        }
    }
    let plan = StackPlan {
        account: instance.account.clone(),
        stack: config.stack_name(instance),
        state: StackStatus::Absent.to_string(),
        action: Action::None,
        changes: all_of(&parsed),
        waits_for: Vec::new(),
    };
    let protected = config.accounts.get(&instance.account).is_some_and(|account| account.protected);
    Ok(Job {
        instance: instance.clone(),
        stacks: Stacks::new(account),
        protected,
        template: text,
        parameters,
        shown: None,
        plan,
    })
}

/// Every resource of a template as an addition.
fn all_of(template: &template::Node) -> Vec<Change> {
    let resources = template.get("Resources").map(template::Node::entries).unwrap_or_default();
    let kind =
        |node: &template::Node| node.get("Type").and_then(template::Node::as_str).map(ToOwned::to_owned);
    sorted(
        resources
            .iter()
            .filter_map(|(key, node)| Some(Change::new("Add", None, &key.name, &kind(node)?)))
            .collect(),
    )
}

/// The parameters' values; or the outputs that are not there yet.
fn fill(config: &Config, job: &Job, known: &Known) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, parameter) in &job.parameters {
        match parameter {
            Parameter::Literal(text) => {
                // A configuration that exists has no unknown placeholder.
                values.insert(name.clone(), config.fill(text, &job.instance.account).unwrap_or_default());
            }
            Parameter::Output { stack, output, account } => {
                let source = config.output_source(stack, account.as_deref());
                let value = source
                    .as_ref()
                    .and_then(|source| known.0.get(source))
                    .and_then(|outputs| outputs.get(output));
                match (value, source) {
                    (Some(value), _) => {
                        values.insert(name.clone(), value.clone());
                    }
                    (None, Some(source)) => {
                        missing.push(format!("{}@{}.{output}", source.stack, source.account))
                    }
                    (None, None) => missing.push(format!("{stack}.{output}")),
                }
            }
            Parameter::Artifact { .. } => {}
        }
    }
    if missing.is_empty() { Ok(values) } else { Err(missing) }
}

/// What would happen to one stack. Makes a change set for one that exists and would differ.
async fn plan_stack(
    mut job: Job,
    filled: Result<BTreeMap<String, String>, Vec<String>>,
) -> anyhow::Result<(Job, Option<BTreeMap<String, String>>)> {
    let info = job.stacks.describe(&job.plan.stack).await?;
    let Some(info) = info else {
        job.plan.action = Action::Create;
        job.plan.waits_for = filled.err().unwrap_or_default();
        return Ok((job, None));
    };
    job.plan.state = info.status.to_string();
    job.plan.action = info.status.action().map_err(|advice| {
        Fault::new(Kind::Stuck, "deploy the stack", job.plan.stack.as_str())
            .why(format!("it is in {}", info.status))
            .next(advice)
    })?;
    let values = match filled {
        Ok(values) => values,
        Err(missing) => {
            job.plan.waits_for = missing;
            return Ok((job, Some(info.outputs)));
        }
    };
    if job.plan.action == Action::Update {
        if is_same(&job, &info, &values).await? {
            job.plan.action = Action::None;
            job.plan.changes.clear();
        } else {
            match change_set(&job, &values, false).await? {
                Some(change_set) => {
                    job.plan.changes.clone_from(&change_set.changes);
                    job.shown = Some((change_set, values));
                }
                None => {
                    job.plan.action = Action::None;
                    job.plan.changes.clear();
                }
            }
        }
    }
    Ok((job, Some(info.outputs)))
}

/// Whether template and parameters are those of the stack: then nothing is asked of CloudFormation at all.
async fn is_same(job: &Job, info: &StackInfo, values: &BTreeMap<String, String>) -> anyhow::Result<bool> {
    let same = values.iter().all(|(name, value)| info.parameters.get(name) == Some(value));
    Ok(same && job.stacks.template(&job.plan.stack).await? == job.template)
}

async fn change_set(
    job: &Job,
    values: &BTreeMap<String, String>,
    is_new: bool,
) -> anyhow::Result<Option<ChangeSet>> {
    let name = format!("causeway-{}", uuid::Uuid::new_v4().simple());
    let wanted = Wanted {
        stack: &job.plan.stack,
        template: &job.template,
        parameters: values,
        tags: &BTreeMap::new(),
        role_arn: None,
        name: &name,
    };
    job.stacks.create_change_set(&wanted, is_new).await
}

/// Removes change sets that were only shown.
async fn discard(planned: &[Vec<Job>]) -> anyhow::Result<()> {
    for job in planned.iter().flatten() {
        if let Some((change_set, _)) = &job.shown {
            job.stacks.delete_change_set(&change_set.id, &job.plan.stack).await?;
        }
    }
    Ok(())
}

/// Deploys a wave side by side; each result names the stack where it was changed.
async fn act_wave(
    config: &Config,
    wave: Vec<Job>,
    known: &mut Known,
    emit: &Emit,
) -> Vec<anyhow::Result<Option<String>>> {
    let mut tasks = JoinSet::new();
    for (index, job) in wave.into_iter().enumerate() {
        let filled = fill(config, &job, known);
        let emit = emit.clone();
        tasks.spawn(async move {
            let (instance, result) = (job.instance.clone(), act(job, filled, &emit).await);
            (index, instance, result)
        });
    }
    let mut results = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((index, instance, Ok((changed, outputs)))) => {
                known.0.insert(instance, outputs);
                results.insert(index, Ok(changed));
            }
            Ok((index, _, Err(error))) => {
                results.insert(index, Err(error));
            }
            Err(error) => {
                results.insert(usize::MAX, Err(error.into()));
            }
        }
    }
    // Successes first, so that what was changed is complete when a failure is reported.
    let (good, bad): (Vec<_>, Vec<_>) = results.into_values().partition(Result::is_ok);
    good.into_iter().chain(bad).collect()
}

type Acted = (Option<String>, BTreeMap<String, String>);

async fn act(
    job: Job,
    filled: Result<BTreeMap<String, String>, Vec<String>>,
    emit: &Emit,
) -> anyhow::Result<Acted> {
    let stack = job.plan.stack.as_str();
    let values = filled.map_err(|missing| {
        Fault::failed("deploy the stack", stack)
            .why(format!("these outputs are not there: {}", missing.join(", ")))
            .next("see that the templates declare them")
    })?;
    let name = format!("{}/{stack}", job.plan.account);
    match job.plan.action {
        Action::None => return Ok((None, outputs(&job).await?)),
        Action::Wait => {
            job.stacks.wait(stack, STACK_LIMIT, emit).await?;
        }
        Action::Recreate => {
            let gone = job.stacks.delete(stack, STACK_LIMIT, emit).await?;
            if gone.status != StackStatus::Absent {
                return Err(failed("remove what a failed create left of the stack", &job, &gone));
            }
        }
        Action::Repair => {
            let repaired = job.stacks.continue_rollback(stack, STACK_LIMIT, emit).await?;
            if matches!(repaired.status.action(), Err(_) | Ok(Action::Repair)) {
                return Err(failed("finish the rollback of the stack", &job, &repaired));
            }
        }
        Action::Create | Action::Update => {}
    }
    let is_new = job.stacks.describe(stack).await?.is_none_or(|info| info.status == StackStatus::Review);
    let ready = match &job.shown {
        Some((shown, with)) if *with == values => Some(shown.clone()),
        _ => change_set(&job, &values, is_new).await?,
    };
    let Some(ready) = ready else { return Ok((None, outputs(&job).await?)) };
    if let Some(danger) =
        ready.changes.iter().find(|change| change.endangers_data() && !job.plan.changes.contains(change))
    {
        job.stacks.delete_change_set(&ready.id, stack).await?;
        return Err(Fault::failed("deploy the stack", stack)
            .why(format!(
                "{} ({}) would be replaced or removed, which the plan did not show",
                danger.logical_id, danger.resource_type
            ))
            .next("run it again: the plan shows it now")
            .into());
    }
    let settled = job.stacks.execute(stack, &ready.id, STACK_LIMIT, emit).await?;
    if !settled.status.is_good() {
        return Err(failed("deploy the stack", &job, &settled));
    }
    if job.protected {
        job.stacks.protect(stack, true).await?;
    }
    Ok((Some(name), outputs(&job).await?))
}

async fn outputs(job: &Job) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(job.stacks.describe(&job.plan.stack).await?.map(|info| info.outputs).unwrap_or_default())
}

fn failed(what: &str, job: &Job, settled: &Settled) -> anyhow::Error {
    let why = settled.first_failure.clone().unwrap_or_else(|| "CloudFormation gave no reason".to_owned());
    Fault::failed(what, format!("{} in {}", job.plan.stack, job.plan.account))
        .why(format!("{} ({why})", settled.status))
        .next("mend the cause, and run the same command again; it goes on where it stopped")
        .into()
}
