//! `bootstrap`: plans and deploys the ordered stacks, in build and in every target.
//!
//! Plan, show, confirm, act. What is shown is what a change set says; a stack whose inputs are not there yet is shown
//! with the resources of its template.

mod act;
mod guarded;
mod kept;
mod plan;
mod states;

pub use act::{STACK_LIMIT, failed};
pub use states::{May, action, ready};

use std::collections::BTreeMap;

pub use causeway_args::bootstrap::Args;
use serde_json::{Value, json};

use crate::consent::{self, Loss};
use causeway_aws::artifacts::Bucket;
use causeway_aws::cloudformation::{ChangeSet, StackInfo, Stacks};
use causeway_aws::{Accounts, Unverified};
use causeway_command::planned::Planned;
use causeway_command::{AfterChanges, Context, Outcome};
use causeway_model::config::{Config, Instance, Parameter};
use causeway_model::fault::Fault;
use causeway_model::line::Line;
use causeway_model::plan::{Met, StackPlan, waves};
use causeway_model::stack::Action;
use causeway_model::verdict::{ExitCode, Verdict};

/// Runs `bootstrap`.
///
/// # Errors
/// Wrong credentials or accounts; a template that does not fit; a stack that fails, with its first cause.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    // A plan that cannot be read is said before anybody is asked.
    args.apply.as_deref().map(kept::read).transpose()?;
    let opened = Unverified::open(&config, &crate::accounts::open_options(&context)?).await?;
    let instances = in_order(&config)?.into_iter().flatten();
    let mut names: Vec<String> = instances.map(|instance| instance.account).collect();
    names.sort();
    names.dedup();
    context.out.spin("check the accounts");
    let accounts = opened.verify(&config, &names).await?;
    if let Some(complaint) = crate::doctor::unheard(&config) {
        let message = format!("{}: {}; {}", complaint.fault.on, complaint.fault.why, complaint.fault.next);
        context.out.line(&Line::Warning { message });
    }
    deploy(&context, &config, &accounts, &args).await
}

/// The stacks that bootstrap deploys, in waves that follow each other.
fn in_order(config: &Config) -> Result<Vec<Vec<Instance>>, Fault> {
    waves(config).map_err(|circle| {
        Fault::usage("order the stacks", "cfn/stacks.toml")
            .why(circle)
            .next("let one of them take a literal instead")
    })
}

/// Plans, shows, asks, and deploys, in the accounts of every stack that bootstrap deploys.
pub async fn deploy(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    args: &Args,
) -> anyhow::Result<Outcome> {
    let out = &context.out;
    let kept = args.apply.as_deref().map(kept::read).transpose()?;
    let waves = in_order(config)?;
    let names: Vec<(String, String)> =
        waves.iter().flatten().map(|one| (one.account.clone(), config.stack_name(one))).collect();
    consent::known(&args.allow_data_loss, &names)?;
    crate::planned::sweep(context, config, accounts).await;
    out.spin("plan");
    let mut known = Known::default();
    let mut planned = Vec::new();
    for wave in &waves {
        planned.push(plan::wave(context, config, accounts, (wave, args.adopt), &mut known).await?);
    }
    let guarded = guarded::look(config, accounts).await?;
    out.rest();
    let mut shown: Vec<Vec<StackPlan>> =
        planned.iter().map(|wave| wave.iter().map(|job| job.plan.clone()).collect()).collect();
    if !guarded.is_empty() {
        shown.push(guarded.iter().map(|guarded| guarded.plan.clone()).collect());
    }
    let salt = kept.as_ref().map_or_else(kept::salt, |kept| kept.salt.clone());
    let now = kept::of(config, accounts, (&planned, &guarded), &known, salt)?;
    let nothing = shown.iter().flatten().all(|plan| plan.action == Action::None);
    out.line(&Line::Plan { waves: shown });
    if let (Some(path), Some(kept)) = (&args.apply, &kept) {
        kept::still_fits(path, kept, &now)?;
    }
    let mut data = json!({});
    if let Some(path) = &args.plan_file {
        kept::write(path, &now)?;
        out.note(format!("the plan is in {}; cargo xtask bootstrap --apply takes it", path.display()));
        data = json!({"plan_file": path});
    }
    if nothing {
        let mut outcome = Outcome::of(Verdict::NothingToDo).with_data(known.data(config));
        if let Some(path) = data.get("plan_file") {
            outcome.data["plan_file"] = path.clone();
        }
        return Ok(outcome);
    }
    if args.dry_run || args.plan_file.is_some() {
        let mut outcome = Outcome::of(Verdict::Changes).with_data(data);
        outcome.code = args.detailed_exitcode.then_some(ExitCode::Changes);
        return Ok(outcome);
    }
    // What is not executed is removed in any case, when the command ends (`Planned`).
    if !out.confirm("Deploy this?").await? {
        return Ok(Outcome::of(Verdict::NothingToDo));
    }
    consent(context, &planned, args).await?;
    for job in planned.iter_mut().flatten() {
        job.may_lose = consent::allows(&args.allow_data_loss, &job.plan.account, &job.plan.stack);
    }
    let (mut changed, mut met) = (Vec::new(), Vec::new());
    for wave in planned {
        let acted = act::wave(context, config, accounts, wave, &mut known).await;
        changed.extend(acted.changed);
        met.extend(acted.met);
        if let Some(source) = acted.failure {
            return Err(ended_early(changed, &met, source));
        }
    }
    if let Err(source) = guarded::protect(&context.changes, &guarded, &mut changed).await {
        return Err(ended_early(changed, &met, source));
    }
    let mut outcome = Outcome::of(if changed.is_empty() { Verdict::NothingToDo } else { Verdict::Done });
    outcome.data = known.data(config);
    outcome.data["met"] = json!(met);
    outcome.changed = changed;
    Ok(outcome)
}

/// A failure once something may have changed: it keeps what was changed and which states were met, wherever it happened.
fn ended_early(changed: Vec<String>, met: &[Met], source: anyhow::Error) -> anyhow::Error {
    AfterChanges { changed, data: json!({"met": met}), source }.into()
}

/// What is asked for by name: stacks that are taken over, and data that is lost. Taking one over is the wider of the two.
async fn consent(context: &Context, planned: &[Vec<Job>], args: &Args) -> anyhow::Result<()> {
    let losing = |plan: &StackPlan| Loss::of(&plan.account, &plan.stack, &plan.changes);
    for plan in planned.iter().flatten().map(|job| &job.plan).filter(|plan| plan.adopts) {
        let lost = losing(plan).map(|loss| format!(", and loses {}", loss.what.join(", ")));
        let said = format!(
            "{} in {} is somebody else's, and becomes this project's{}",
            plan.stack,
            plan.account,
            lost.unwrap_or_default()
        );
        let next = "nothing was changed; its name must be typed in a terminal";
        consent::typed(context, "take over the stack", &plan.stack, &said, next).await?;
    }
    let own = planned.iter().flatten().map(|job| &job.plan).filter(|plan| !plan.adopts);
    let losses: Vec<Loss> = own.filter(|plan| plan.action != Action::None).filter_map(losing).collect();
    Ok(consent::losses(context, &args.allow_data_loss, &losses).await?)
}

/// Stacks as far as they are known.
#[derive(Default)]
struct Known(BTreeMap<Instance, StackInfo>);

impl Known {
    fn outputs(&self, of: &Instance) -> Option<&BTreeMap<String, String>> {
        self.0.get(of).map(|info| &info.outputs)
    }

    /// As the result has them. Parameters are left out: their values are nobody's to read.
    fn data(&self, config: &Config) -> Value {
        let outputs: BTreeMap<String, &BTreeMap<String, String>> = self
            .0
            .iter()
            .map(|(instance, info)| (format!("{}@{}", instance.stack, instance.account), &info.outputs))
            .collect();
        let stacks: Vec<Value> = self
            .0
            .iter()
            .map(|(instance, info)| {
                json!({
                    "account": instance.account,
                    "stack": config.stack_name(instance),
                    "state": info.status.to_string(),
                    "protected": info.protected,
                    "tags": info.tags,
                })
            })
            .collect();
        json!({"outputs": outputs, "stacks": stacks})
    }
}

/// One stack of the plan and what is needed to act on it.
#[derive(Clone)]
struct Job {
    instance: Instance,
    stacks: Stacks,
    account_id: String,
    planned: Planned,
    protected: bool,
    /// The template as it is submitted.
    template: String,
    /// The same as versions before the mark submitted it.
    unmarked: String,
    /// Where a template is put that is too large for a request; only the stack that makes the bucket has none.
    bucket: Option<Bucket>,
    /// The template that it was deployed with; empty where there is none.
    deployed: String,
    parameters: BTreeMap<String, Parameter>,
    /// The stack as it was when the plan was made.
    info: Option<StackInfo>,
    /// Whether data may be lost that only a later change set shows to be in danger.
    may_lose: bool,
    /// The parameters that the stack was compared with, where it was.
    compared: Option<BTreeMap<String, String>>,
    /// The change set that was shown, and the parameters it was made with.
    shown: Option<(ChangeSet, BTreeMap<String, String>)>,
    plan: StackPlan,
}
