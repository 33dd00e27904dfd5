//! What would happen: each stack's state, its parameters as far as they are known, and what its change set says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::states;
use super::{Job, Known};
use crate::ownership;
use causeway_aws::artifacts::Bucket;
use causeway_aws::cloudformation::{ChangeSet, StackInfo, Stacks, Wanted};
use causeway_aws::{Account, Accounts};
use causeway_command::Context;
use causeway_model::changeset::{Change, sorted};
use causeway_model::config::{BUILD, Config, Instance, Parameter};
use causeway_model::difference;
use causeway_model::fault::{Fault, Kind};
use causeway_model::isolated;
use causeway_model::ownership::Owner;
use causeway_model::plan::{StackPlan, all_tags, protection};
use causeway_model::stack::{Action, StackStatus};
use causeway_model::template;

/// Where templates lie in the artifact bucket that are too large for a request. What is below the pipeline's own prefix is
/// its roles' alone to write.
const TEMPLATES: &str = "templates/";
/// The stack that makes the bucket. It alone must fit into a request.
const BASE: &str = "build-base";

/// A stack's parameters, or the outputs that are not there yet.
pub(super) type Filled = Result<BTreeMap<String, String>, Vec<String>>;

/// Does all of it side by side; the results in the order of what was given.
///
/// # Errors
/// The first error; what is still under way is dropped.
pub(super) async fn tasks<T: Send + 'static>(
    all: Vec<impl Future<Output = anyhow::Result<T>> + Send + 'static>,
) -> anyhow::Result<Vec<T>> {
    let mut running = JoinSet::new();
    for (index, task) in all.into_iter().enumerate() {
        running.spawn(async move { (index, task.await) });
    }
    let mut done = BTreeMap::new();
    while let Some(joined) = running.join_next().await {
        let (index, result) = joined?;
        done.insert(index, result?);
    }
    Ok(done.into_values().collect())
}

/// Plans the stacks of a wave side by side.
pub(super) async fn wave(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    (wave, adopt): (&[Instance], bool),
    known: &mut Known,
) -> anyhow::Result<Vec<Job>> {
    let mut plans = Vec::new();
    for instance in wave {
        let account = accounts.get(&instance.account)?.clone();
        let mut job = job(context, config, &account, instance)?;
        job.bucket = bucket(config, accounts, known)?;
        let filled = fill(config, &job, known);
        plans.push(plan_stack(config.clone(), adopt, job, filled));
    }
    let mut jobs = Vec::new();
    for job in tasks(plans).await? {
        if let Some(info) = &job.info {
            known.0.insert(job.instance.clone(), info.clone());
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn job(context: &Context, config: &Config, account: &Account, instance: &Instance) -> anyhow::Result<Job> {
    let stack = config.stack(&instance.stack).context("a stack that is not in the configuration")?;
    let path = context.root.join("cfn").join(&stack.template);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{}", stack.template))
            .why(error)
            .next("correct `template` in cfn/stacks.toml")
    })?;
    let parsed = template::parse(&text).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{} line {}", stack.template, error.line))
            .why(&error.message)
            .next("fix that line")
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
    let name = config.stack_name(instance);
    let plan = StackPlan {
        changes: all_of(&parsed),
        ..StackPlan::new(&instance.account, name, StackStatus::Absent, Action::None)
    };
    let protected = config.accounts.get(&instance.account).is_some_and(|account| account.protected);
    Ok(Job {
        instance: instance.clone(),
        stacks: Stacks::new(account),
        account_id: account.id.clone(),
        planned: context.planned.clone(),
        protected,
        template: ownership::submitted_as(
            config,
            &format!("cfn/{}", stack.template),
            &text,
            &instance.stack,
        )?,
        unmarked: template::submitted(&text).into_owned(),
        bucket: None,
        deployed: String::new(),
        parameters,
        shown: None,
        may_lose: false,
        compared: None,
        info: None,
        plan,
    })
}

/// The artifact bucket, as the build account's session sees it, once its stack is there.
///
/// # Errors
/// The configuration has no build account.
pub(super) fn bucket(config: &Config, accounts: &Accounts, known: &Known) -> anyhow::Result<Option<Bucket>> {
    let Some(base) = config.output_source(BASE, Some(BUILD)) else { return Ok(None) };
    let Some(outputs) = known.outputs(&base) else { return Ok(None) };
    let (Some(name), Some(key)) = (outputs.get("BucketName"), outputs.get("KeyArn")) else { return Ok(None) };
    Ok(Some(Bucket::new(accounts.get(BUILD)?, name, key)))
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
pub(super) fn fill(config: &Config, job: &Job, known: &Known) -> Filled {
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
                    .and_then(|source| known.outputs(source))
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
async fn plan_stack(config: Config, adopt: bool, mut job: Job, filled: Filled) -> anyhow::Result<Job> {
    job.info = job.stacks.describe(&job.plan.stack).await?;
    let Some(info) = job.info.clone() else {
        job.plan.action = Action::Create;
        job.plan.waits_for = filled.err().unwrap_or_default();
        return Ok(job);
    };
    job.plan.state = info.status.to_string();
    // One that was only planned has no template, and nothing in it.
    let deployed = match info.status {
        StackStatus::Review => String::new(),
        _ => job.stacks.template(&job.plan.stack).await?,
    };
    job.deployed.clone_from(&deployed);
    if info.status != StackStatus::Review {
        match ownership::of(&config, &job.instance.stack, &info, &deployed) {
            Owner::Ours | Owner::Before => {}
            Owner::Stranger if adopt => job.plan.adopts = true,
            Owner::Stranger => {
                let place = (job.plan.account.as_str(), job.plan.stack.as_str());
                return Err(ownership::refused("deploy the stack", place, &info, &deployed).into());
            }
        }
    }
    job.plan.settings.extend(protection(job.protected, info.protected));
    job.plan.action = info.status.action().map_err(|advice| {
        Fault::new(Kind::Stuck, "deploy the stack", job.plan.stack.as_str())
            .why(format!("it is in {}", info.status))
            .next(advice)
    })?;
    if job.plan.action == Action::Recreate {
        // What goes with it is asked for by name, as everything that holds data.
        let lost = states::lost(&job.stacks, &job.plan.stack).await?;
        job.plan.changes.splice(0..0, lost);
    }
    let values = match filled {
        Ok(values) => values,
        Err(missing) => {
            job.plan.waits_for = missing;
            return Ok(job);
        }
    };
    if job.plan.action == Action::Update {
        job.compared = Some(values.clone());
        let made = match is_same(&job, &info, &deployed, &values) {
            true => None,
            false => change_set(&job, &values, Standing::There).await?,
        };
        match made {
            Some(change_set) => {
                job.plan.changes.clone_from(&change_set.changes);
                tell(&mut job, &info, &deployed, &values);
                job.shown = Some((change_set, values));
            }
            None => {
                job.plan.changes.clear();
                if job.plan.settings.is_empty() {
                    job.plan.action = Action::None;
                }
            }
        }
    }
    Ok(job)
}

/// Adds to the changes what the templates tell of them. A deployed template that cannot be read tells nothing.
fn tell(job: &mut Job, info: &StackInfo, deployed: &str, values: &BTreeMap<String, String>) {
    let read = |text: &str| template::parse(text).map(|root| root.to_json());
    if let (Ok(before), Ok(after)) = (read(deployed), read(&job.template)) {
        difference::tell(
            &mut job.plan.changes,
            isolated::Filled { template: &before, parameters: &info.parameters },
            isolated::Filled { template: &after, parameters: values },
        );
    }
}

/// Whether template and parameters are those of the stack: then nothing more is asked of CloudFormation. The mark alone is no
/// difference: CloudFormation takes it only along with a change ("Metadata" in the CloudFormation user guide).
fn is_same(job: &Job, info: &StackInfo, deployed: &str, values: &BTreeMap<String, String>) -> bool {
    let same = values.iter().all(|(name, value)| info.parameters.get(name) == Some(value));
    same && (deployed == job.template || deployed == job.unmarked)
}

/// What there is of a stack before its change set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Absent,
    /// A plan to create it: somebody else's, or one of a run that was killed.
    Planned,
    /// The stack.
    There,
}

/// Makes a change set. It is removed when the command ends, unless it is executed.
pub(super) async fn change_set(
    job: &Job,
    values: &BTreeMap<String, String>,
    standing: Standing,
) -> anyhow::Result<Option<ChangeSet>> {
    let name = format!("causeway-{}", uuid::Uuid::new_v4().simple());
    let url = match &job.bucket {
        Some(bucket) if job.template.len() > template::MAX_BODY => {
            Some(bucket.put_template(TEMPLATES, &job.template).await?)
        }
        _ => None,
    };
    // What an administrator gave it stays: a change set that lists other tags takes the rest away.
    let tags = job.info.as_ref().map(|info| all_tags(&BTreeMap::new(), &info.tags)).unwrap_or_default();
    let wanted = Wanted {
        stack: &job.plan.stack,
        template: &job.template,
        url: url.as_deref(),
        parameters: values,
        tags: &tags,
        role_arn: None,
        name: &name,
        is_own: true,
    };
    let asking = crate::planned::begin(
        &job.planned,
        (&job.stacks, &job.account_id),
        &job.plan.stack,
        &name,
        standing == Standing::Absent,
    );
    let made = job.stacks.create_change_set_asked(&wanted, standing != Standing::There, asking).await;
    if standing != Standing::Absent && !matches!(made, Ok(Some(_))) {
        // It is removed already, and there is no stack beside it that would be ours.
        job.planned.settled(&name);
    }
    made
}
