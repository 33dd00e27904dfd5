//! `deploy`: a developer's own copy of the application, beside the pipeline's and everybody else's.
//!
//! Plan, show, confirm, act. The question comes before anything is compiled, with what the template in `cfn/` tells; who asked
//! for a plan alone waits for the packages. The plan is told from templates, so that nothing at all is written before it; the
//! change set comes after it, since its packages must be there first. Nothing of this touches the build account.

mod list;
mod remove;

use std::collections::BTreeMap;

use anyhow::Context as _;
use causeway_args::deploy::Args;
use serde_json::{Value, json};

use super::bootstrap::{May, STACK_LIMIT, action, failed, ready};
use super::package;
use super::package::isolated::{How, Isolated, build};
use crate::consent::{self, Loss};
use crate::ownership;
use causeway_aws::artifacts::Bucket;
use causeway_aws::cloudformation::{StackInfo, Stacks, Wanted};
use causeway_aws::{Account, Unverified};
use causeway_build::git;
use causeway_command::{AfterChanges, Context, Outcome};
use causeway_model::changeset::Change;
use causeway_model::config::{Config, Instance};
use causeway_model::fault::Fault;
use causeway_model::isolated::{self, EXPIRES, Filled, OWNER, PARAMETERS};
use causeway_model::line::Line;
use causeway_model::ownership::ISOLATED;
use causeway_model::plan::{Met, StackPlan, all_tags, retagged};
use causeway_model::stack::{Action, StackStatus};
use causeway_model::template;
use causeway_model::verdict::{ExitCode, Verdict};

/// Where a template lies that is too large for a request: with the packages, since developers may put nothing elsewhere.
const TEMPLATES: &str = "packages/templates/";

/// What is asked before anything is compiled.
const QUESTION: &str = "Compile and deploy this?";

/// What an account has for isolated stacks.
struct Home {
    role_arn: String,
    bucket: String,
}

/// Runs `deploy`.
///
/// # Errors
/// A name that does not fit, an environment without isolated stacks, wrong credentials, a build or a stack that fails.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let (env, home) = environment(&config, args.env.as_deref())?;
    // A name that does not fit is said before anything else is asked.
    let stack = args.isolated.as_deref().map(|name| stack_name(&context, &config, name)).transpose()?;
    if stack.is_some() && !args.delete && !args.dry_run {
        context.out.can_confirm(QUESTION)?;
    }
    let opened = Unverified::open(&config, &crate::accounts::open_options(&context)?).await?;
    context.out.spin("check the account");
    let accounts = opened.verify(&config, std::slice::from_ref(&env)).await?;
    let account = accounts.get(&env)?;
    match stack {
        None => list::run(&context, &config, account).await,
        Some(stack) if args.delete => remove::run(&context, &config, account, &stack, &args).await,
        Some(stack) => {
            let home = found_home(&config, account, &home).await?;
            deploy(&context, &config, (account, &home), &stack, args).await
        }
    }
}

/// The environment, and the stack that makes room for isolated ones there.
fn environment(config: &Config, wanted: Option<&str>) -> Result<(String, Instance), Fault> {
    let homes = isolated::homes(config);
    let known = homes.keys().cloned().collect::<Vec<_>>().join(", ");
    let refuse = |on: String, why: String| {
        Err(Fault::usage("find the environment for isolated stacks", on)
            .why(why)
            .next("IsolatedStacks = true for an account in cfn/stacks.toml and cargo xtask bootstrap make room for them; never in production"))
    };
    match wanted {
        Some(env) => match homes.get(env) {
            Some(home) => Ok((env.to_owned(), home.clone())),
            None => refuse(format!("--env {env}"), format!("it takes none; these do: {known}")),
        },
        None if homes.len() > 1 => {
            refuse("--env".to_owned(), format!("several take them, so say which: {known}"))
        }
        None => match homes.into_iter().next() {
            Some(found) => Ok(found),
            None => refuse("cfn/stacks.toml".to_owned(), "no account takes them".to_owned()),
        },
    }
}

/// The stack's name in AWS.
fn stack_name(context: &Context, config: &Config, name: &str) -> anyhow::Result<String> {
    let file = format!("cfn/{}", package::app_stack(config)?.template);
    let path = context.root.join(&file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let parsed = template::parse(&text)
        .map_err(|error| Fault::usage("read the template", file).why(error).next("fix that line"))?;
    isolated::stack_name(config.names(), name, &parsed.to_json()).map_err(|why| {
        Fault::usage("name the isolated stack", name)
            .why(why)
            .next("take another name; nothing was changed")
            .into()
    })
}

/// The role and the bucket for isolated stacks, from the outputs of the stack that has them.
async fn found_home(config: &Config, account: &Account, home: &Instance) -> anyhow::Result<Home> {
    let stack = config.stack_name(home);
    let info = Stacks::new(account).describe(&stack).await?;
    let output = |name: &str| info.as_ref().and_then(|info| info.outputs.get(name)).cloned();
    match (output("IsolatedExecutionRoleArn"), output("IsolatedBucketName")) {
        (Some(role_arn), Some(bucket)) => Ok(Home { role_arn, bucket }),
        _ => Err(Fault::failed("find the role and the bucket of isolated stacks", stack)
            .why(format!("the account {} has no such stack, or it lacks these outputs", account.name))
            .next("run cargo xtask bootstrap first")
            .into()),
    }
}

/// Whose stack it becomes: who is signed in to this machine.
fn owner() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let named = isolated::tag_value(named.as_deref().unwrap_or_default());
    if named.is_empty() { "unknown".to_owned() } else { named }
}

/// Today, in UTC.
fn today() -> jiff::civil::Date {
    causeway_machine::clock::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Everything that a deployment is made with.
struct Deployment {
    stack: String,
    isolated: Isolated,
    parameters: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    action: Action,
    changes: Vec<Change>,
    met: Vec<Met>,
}

async fn deploy(
    context: &Context,
    config: &Config,
    (account, home): (&Account, &Home),
    stack: &str,
    args: Args,
) -> anyhow::Result<Outcome> {
    let out = &context.out;
    let stacks = Stacks::new(account);
    let only = causeway_aws::Accounts::of(account);
    crate::planned::sweep(context, config, &only).await;
    out.spin("look at the stack");
    let info = stacks.describe(stack).await?;
    let deployed = match &info {
        Some(info) => {
            ownership::template(config, ("deploy the stack", ISOLATED), &stacks, stack, info).await?
        }
        None => None,
    };
    let names = [(account.name.clone(), stack.to_owned())];
    consent::known(&args.allow_data_loss, &names)?;
    let tags = BTreeMap::from([
        (EXPIRES.to_owned(), isolated::expiry(today(), args.days).to_string()),
        (OWNER.to_owned(), owner()),
    ]);
    warn(context, stack, info.as_ref(), &tags);
    let asks = !args.dry_run && !out.answers_yes();
    if asks {
        let outline = outline(context, config, (info.as_ref(), deployed.as_deref()), (stack, &account.name))?;
        out.rest();
        out.line(&Line::Plan { waves: vec![vec![outline]] });
        out.note("functions count as changed here: they are compiled after the question");
        if !out.confirm(QUESTION).await? {
            return Ok(Outcome::of(Verdict::NothingToDo));
        }
    }
    let target = args.target.or_else(|| account.loopback.then(|| "host".to_owned()));
    let how = How { target, profile: args.profile };
    let mut isolated = build(context, config, (&account.name, &home.bucket), how).await?;
    let file = format!("cfn/{}", package::app_stack(config)?.template);
    isolated.template = ownership::submitted_as(config, &file, &isolated.template, ISOLATED)?;
    let mut parameters = isolated.parameters.clone();
    parameters.extend(PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    out.spin("plan");
    let mut deployment =
        plan((info.as_ref(), deployed.as_deref()), (stack, &account.name), isolated, parameters, tags)?;
    out.rest();
    if config.is_released_to(&account.name) {
        out.line(&Line::Warning { message: isolated::REACH.to_owned() });
    }
    out.line(&Line::Plan { waves: vec![vec![deployment.shown(account, info.as_ref())]] });
    let uncommitted = git::uncommitted(&context.root).await?.len();
    if uncommitted > 0 {
        let message = format!(
            "{uncommitted} files differ from the commit: the version is the digest of what was built, whatever was committed"
        );
        out.line(&Line::Warning { message });
    }
    let mut data = deployment.data(account, home, uncommitted);
    if deployment.action == Action::None {
        data["url"] = json!(info.as_ref().and_then(|info| info.outputs.get("ApiURL")));
        return Ok(deployment.outcome(Verdict::NothingToDo, data));
    }
    if args.dry_run {
        let mut outcome = deployment.outcome(Verdict::Changes, data);
        outcome.code = args.detailed_exitcode.then_some(ExitCode::Changes);
        return Ok(outcome);
    }
    // Nothing is written yet, and the question was answered before anything was compiled.
    let loss = Loss::of(&account.name, stack, &deployment.changes);
    consent::losses(context, &args.allow_data_loss, loss.as_slice()).await?;
    let mut changed = Vec::new();
    let allowed = &args.allow_data_loss;
    let acted = act(context, (account, home), &stacks, (&mut deployment, allowed), &mut changed).await;
    let verdict = match acted {
        Ok(verdict) => verdict,
        Err(source) => return Err(AfterChanges { changed, data: json!({}), source }.into()),
    };
    let url = stacks.describe(stack).await?.and_then(|info| info.outputs.get("ApiURL").cloned());
    data = deployment.data(account, home, uncommitted);
    if let Some(url) = &url {
        out.say(format!("  ApiURL   {url}"));
    }
    out.say(format!("  expires  {} (deploy it again, or --delete it)", deployment.tags[EXPIRES]));
    data["url"] = json!(url);
    let mut outcome = deployment.outcome(verdict, data);
    outcome.changed = changed;
    Ok(outcome)
}

/// Says what somebody should know about the stack that is there.
fn warn(context: &Context, stack: &str, info: Option<&StackInfo>, tags: &BTreeMap<String, String>) {
    let Some(info) = info else { return };
    let warn = |message: String| context.out.line(&Line::Warning { message });
    match info.tags.get(OWNER) {
        Some(other) if tags.get(OWNER) != Some(other) => warn(format!("{stack} was deployed by {other}")),
        _ => {}
    }
    if isolated::days_left(&info.tags, today()).is_some_and(|days| days < 0) {
        warn(format!(
            "{stack} has expired, and with it the packages it was made of: if this update fails, the stack cannot go back; --delete it, and deploy it anew"
        ));
    }
}

/// What would happen, as far as it is known before anything is compiled: told from the template in `cfn/`.
fn outline(
    context: &Context,
    config: &Config,
    (info, deployed): (Option<&StackInfo>, Option<&str>),
    (stack, account): (&str, &str),
) -> anyhow::Result<StackPlan> {
    let file = &package::app_stack(config)?.template;
    let path = context.root.join("cfn").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let read = |text: &str| template::parse(text).map(|root| root.to_json()).context("read the template");
    let (after, before) = (read(&text)?, deployed.map(read).transpose()?);
    let given = info.map(|info| info.parameters.clone()).unwrap_or_default();
    let mut parameters = given.clone();
    parameters.extend(PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let before = before.as_ref().map(|template| Filled { template, parameters: &given });
    let action = match info {
        None => Action::Create,
        Some(info) => action(&info.status, (account, stack))?,
    };
    let state = info.map_or(StackStatus::Absent, |info| info.status.clone());
    Ok(StackPlan {
        changes: isolated::changes(before, Filled { template: &after, parameters: &parameters }),
        ..StackPlan::new(account, stack, state, action)
    })
}

/// What would happen, told from what is deployed and what was built. Changes nothing.
fn plan(
    (info, deployed): (Option<&StackInfo>, Option<&str>),
    (stack, account): (&str, &str),
    isolated: Isolated,
    parameters: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
) -> anyhow::Result<Deployment> {
    let mut action = match info {
        None => Action::Create,
        Some(info) => action(&info.status, (account, stack))?,
    };
    let read =
        |text: &str| template::parse(text).map(|root| root.to_json()).context("read the packaged template");
    let after = read(&isolated.template)?;
    let after = Filled { template: &after, parameters: &parameters };
    let changes = match info.filter(|_| matches!(action, Action::Update | Action::Wait | Action::Repair)) {
        None => isolated::changes(None, after),
        Some(info) => {
            let text = deployed.unwrap_or_default();
            let given =
                parameters.keys().filter_map(|name| Some((name.clone(), info.parameters.get(name)?.clone())));
            let given: BTreeMap<String, String> = given.collect();
            let tagged = retagged(&tags, &info.tags).is_empty();
            let same = text == isolated.template && given == parameters && tagged;
            if same && action == Action::Update && info.status.is_good() {
                action = Action::None;
            }
            let before = read(text).with_context(|| format!("read the template of {stack}"))?;
            isolated::changes(Some(Filled { template: &before, parameters: &given }), after)
        }
    };
    Ok(Deployment { stack: stack.to_owned(), isolated, parameters, tags, action, changes, met: Vec::new() })
}

/// Uploads, makes the change set, executes it, follows it.
async fn act(
    context: &Context,
    (account, home): (&Account, &Home),
    stacks: &Stacks,
    (deployment, allowed): (&mut Deployment, &[String]),
    changed: &mut Vec<String>,
) -> anyhow::Result<Verdict> {
    let out = &context.out;
    let bytes = deployment.isolated.put(context, account, &home.bucket).await?;
    out.note(format!("{bytes} bytes are in the bucket {}", home.bucket));
    let keys = deployment.isolated.record.functions.iter().map(|function| &function.key);
    changed.extend(keys.map(|key| format!("s3://{}/{key}", home.bucket)));
    let stack = deployment.stack.clone();
    let stack = stack.as_str();
    let emit = out.emitter();
    out.spin(&format!("deploy {stack}"));
    let may = May { recreate: false, lose: consent::allows(allowed, &account.name, stack) };
    let before = ready(context, stacks, (&account.name, stack), may, &mut deployment.met).await?;
    let is_new = before.as_ref().is_none_or(|info| info.status == StackStatus::Review);
    let tags = before.as_ref().map(|info| all_tags(&deployment.tags, &info.tags));
    let tags = tags.unwrap_or_else(|| deployment.tags.clone());
    let name = format!("causeway-{}", uuid::Uuid::new_v4().simple());
    let template = deployment.isolated.template.as_str();
    let url = match template.len() > template::MAX_BODY {
        true => Some(Bucket::plain(account, &home.bucket).put_template(TEMPLATES, template).await?),
        false => None,
    };
    let wanted = Wanted {
        stack,
        template,
        url: url.as_deref(),
        parameters: &deployment.parameters,
        tags: &tags,
        role_arn: Some(&home.role_arn),
        name: &name,
        is_own: true,
    };
    // What is not executed is removed when the command ends.
    let asking =
        crate::planned::begin(&context.planned, (stacks, &account.id), stack, &name, before.is_none());
    let Some(set) = stacks.create_change_set_asked(&wanted, is_new, asking).await? else {
        if before.is_some() {
            context.planned.settled(&name);
        }
        return Ok(Verdict::NothingToDo);
    };
    let dangers: Vec<Change> = set.changes.iter().filter(|change| change.endangers_data()).cloned().collect();
    let shown = |danger: &Change| {
        let mut all = deployment.changes.iter();
        all.any(|change| change.endangers_data() && change.logical_id == danger.logical_id)
    };
    if !dangers.iter().all(shown) {
        // Only the change set knows what must be replaced, and no plan could have shown it.
        out.rest();
        out.approval("The change set endangers data, which the plan could not tell:", &dangers);
        let loss = Loss::of(&account.name, stack, &dangers);
        consent::losses(context, allowed, loss.as_slice()).await?;
    }
    let begun = || context.planned.settled(&name);
    let settled = stacks.execute(stack, &set.id, is_new, begun, STACK_LIMIT, &emit).await?;
    if !settled.status.is_good() {
        return Err(failed("deploy the stack", (&account.name, stack), &settled));
    }
    changed.push(format!("{}/{stack}", account.name));
    out.rest();
    Ok(Verdict::Done)
}

impl Deployment {
    fn shown(&self, account: &Account, info: Option<&StackInfo>) -> StackPlan {
        let state = info.map_or(StackStatus::Absent, |info| info.status.clone());
        // A stack that is created gets them with everything else.
        let there = info.filter(|_| self.action != Action::None).map(|info| &info.tags);
        StackPlan {
            changes: self.changes.clone(),
            settings: there.map(|there| retagged(&self.tags, there)).unwrap_or_default(),
            ..StackPlan::new(&account.name, &self.stack, state, self.action)
        }
    }

    fn data(&self, account: &Account, home: &Home, uncommitted: usize) -> Value {
        let record = &self.isolated.record;
        // Hooks are built and uploaded, too, since the template names them; the stack has none.
        let deployed = record.functions.iter().filter(|f| self.parameters.values().any(|v| *v == f.version));
        let versions: BTreeMap<&str, &str> =
            deployed.map(|function| (function.name.as_str(), function.version.as_str())).collect();
        json!({
            "stack": self.stack,
            "env": account.name,
            "owner": self.tags.get(OWNER),
            "expires": self.tags.get(EXPIRES),
            "versions": versions,
            "commit": record.commit,
            "uncommitted": uncommitted,
            "met": self.met,
            "bucket": home.bucket,
            "role": home.role_arn,
            "functions": record.functions,
        })
    }

    fn outcome(&self, verdict: Verdict, data: Value) -> Outcome {
        let mut outcome = Outcome::of(verdict).with_data(data);
        outcome.commit.clone_from(&self.isolated.record.commit);
        outcome
    }
}
