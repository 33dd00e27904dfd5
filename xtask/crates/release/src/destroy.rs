//! `destroy`: lists everything first, asks for the project's name, then removes it in reverse order.
//!
//! What outlives its stack (buckets, tables, the key) is listed with what it holds, and removed, too; the key goes into
//! its waiting time. What remains is said, and until when: also what AWS made outside of the stacks.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use causeway_args::destroy::Args;
use serde_json::{Value, json};

use crate::consent::{self, Loss};
use crate::ownership;
use causeway_aws::cloudformation::{Physical, Stacks};
use causeway_aws::teardown::Teardown;
use causeway_aws::{Account, Accounts, Unverified};
use causeway_command::{Context, Outcome};
use causeway_machine::clock;
use causeway_model::changeset::{Change, sorted};
use causeway_model::config::{Config, DeployedBy, Instance};
use causeway_model::fault::Fault;
use causeway_model::line::Line;
use causeway_model::ownership::ISOLATED;
use causeway_model::plan::{StackPlan, waves};
use causeway_model::retained::{Fate, fate, retained};
use causeway_model::stack::{Action, StackStatus};
use causeway_model::template;
use causeway_model::verdict::{ExitCode, Verdict};

/// How long one stack may take to go.
const STACK_LIMIT: Duration = Duration::from_secs(3_600);
/// How long DynamoDB keeps the last backup of a table that could be taken back to any point in time ("Using point-in-time
/// recovery with DynamoDB").
const BACKUP_DAYS: i64 = 35;
/// A key's waiting time: the longest there is, since nothing that it encrypted can be read once it is over.
const KEY_DAYS: i32 = 30;

/// Something that outlives its stack.
pub(super) struct Leftover {
    account: Account,
    stack: String,
    id: String,
    resource_type: String,
    fate: Fate,
    holds: String,
}

/// A stack that is there.
pub(super) struct Found {
    account: Account,
    name: String,
    status: StackStatus,
    changes: Vec<Change>,
    /// Buckets that must be empty before the stack can go.
    buckets: Vec<String>,
    /// Log groups that go with the stack, and their entries with them.
    log_groups: Vec<String>,
    leftovers: Vec<Leftover>,
}

/// Runs `destroy`.
///
/// # Errors
/// Wrong credentials or accounts; the name was not given; something cannot be removed. What was removed is listed.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let opened = Unverified::open(&config, &crate::accounts::open_options(&context)?).await?;
    let names: Vec<String> = config.accounts.keys().cloned().collect();
    context.out.spin("check the accounts");
    let accounts = opened.verify(&config, &names).await?;
    context.out.spin("look for everything");
    let order = look(&context, &config, &accounts).await?;
    let orphans = orphans(&config, &accounts, &order).await?;
    context.out.rest();
    show(&context, &order, &orphans);
    let all = || order.iter().flatten();
    let mut data = json!({"stacks": all().map(|found| format!("{}/{}", found.account.name, found.name)).collect::<Vec<_>>(),
        "leftovers": all().flat_map(|found| &found.leftovers).chain(&orphans).map(Leftover::data).collect::<Vec<_>>(),
        "log_groups": all().flat_map(Found::log_groups).collect::<Vec<_>>()});
    if all().next().is_none() && orphans.iter().all(|left| left.fate == Fate::Stays) {
        context.out.say("there is nothing of this project that can be removed");
        data["remains"] = orphans.iter().map(Leftover::stays).collect();
        return Ok(Outcome::of(Verdict::NothingToDo).with_data(data));
    }
    if args.dry_run {
        let mut outcome = Outcome::of(Verdict::Changes).with_data(data);
        outcome.code = args.detailed_exitcode.then_some(ExitCode::Changes);
        return Ok(outcome);
    }
    let stacks: Vec<(String, String)> =
        all().map(|found| (found.account.name.clone(), found.name.clone())).collect();
    consent::known(&args.allow_data_loss, &stacks)?;
    let losses = || all().filter_map(Found::loss);
    let named = !args.allow_data_loss.is_empty()
        && orphans.is_empty()
        && losses().all(|loss| loss.is_allowed(&args.allow_data_loss));
    match named && args.confirm_delete.is_none() && context.out.answers_yes() {
        // Every stack that holds data is named, and the rest is what --yes is for.
        true => {}
        false => confirm(&context, &config.project, args.confirm_delete.as_deref()).await?,
    }
    let removal = async {
        for found in order.iter().flatten() {
            remove(&context, found).await?;
        }
        remove_leftovers(&context, &orphans).await
    };
    let ended = removal.await;
    // Also after a failure: what is gone already left something behind all the same.
    let gone = context.changes.changed();
    for line in outside(order.iter().flatten().filter(|found| gone.contains(&found.path()))) {
        context.changes.remains(line);
    }
    over(&context, ended, json!({}))
}

/// The end of a removal: what was removed and what remains are told whether it failed or not.
pub(super) fn over(context: &Context, ended: anyhow::Result<()>, mut data: Value) -> anyhow::Result<Outcome> {
    for line in context.changes.remaining() {
        context.out.say(format!("  remains: {line}"));
    }
    ended.map_err(|source| context.changes.failed(source))?;
    let changed = context.changes.changed();
    data["removed"] = json!(changed);
    data["remains"] = json!(context.changes.remaining());
    let mut outcome = Outcome::of(Verdict::Done).with_data(data);
    outcome.changed = changed;
    Ok(outcome)
}

/// Everything of the project, in the order in which it is removed: what the pipeline and developers deployed, then the
/// reverse of how bootstrap deploys.
async fn look(context: &Context, config: &Config, accounts: &Accounts) -> anyhow::Result<Vec<Vec<Found>>> {
    let mut order = Vec::new();
    let mut first = Vec::new();
    for target in config.targets() {
        let account = accounts.get(target)?;
        for (name, _) in Stacks::new(account).named(&config.names().isolated_prefix()).await? {
            first.extend(found(config, ISOLATED, account, &name).await?);
        }
    }
    for instance in config.instances(DeployedBy::Pipeline) {
        let (account, name) = (accounts.get(&instance.account)?, config.stack_name(&instance));
        first.extend(found(config, &instance.stack, account, &name).await?);
    }
    order.push(first);
    let mut deployed: Vec<Vec<Instance>> =
        waves(config).map_err(|circle| Fault::usage("order the stacks", "cfn/stacks.toml").why(circle))?;
    deployed.reverse();
    for wave in deployed {
        let mut all = Vec::new();
        for instance in wave {
            context.out.spin(&format!("look at {} in {}", instance.stack, instance.account));
            let (account, name) = (accounts.get(&instance.account)?, config.stack_name(&instance));
            all.extend(found(config, &instance.stack, account, &name).await?);
        }
        order.push(all);
    }
    Ok(order)
}

/// A stack and what outlives it; `None` where there is no such stack.
///
/// # Errors
/// It is somebody else's stack; or it cannot be looked at.
pub(super) async fn found(
    config: &Config,
    stack: &str,
    account: &Account,
    name: &str,
) -> anyhow::Result<Option<Found>> {
    let stacks = Stacks::new(account);
    let Some(info) = stacks.describe(name).await? else { return Ok(None) };
    let resources =
        if info.status == StackStatus::Review { Default::default() } else { stacks.resources(name).await? };
    let text = ownership::template(config, ("remove the stack", stack), &stacks, name, &info).await?;
    let text = text.unwrap_or_default();
    let kept = if text.is_empty() {
        Vec::new()
    } else {
        retained(&template::parse(&text).with_context(|| format!("read the template of {name}"))?)
    };
    let mut leftovers = Vec::new();
    for (logical_id, _) in kept {
        if let Some(physical) = resources.get(&logical_id).filter(|physical| !physical.id.is_empty()) {
            leftovers.extend(leftover(account, name, physical).await?);
        }
    }
    let buckets =
        resources.values().filter(|r| r.resource_type == "AWS::S3::Bucket").map(|r| r.id.clone()).collect();
    let log_groups = resources
        .values()
        .filter(|r| r.resource_type == "AWS::Logs::LogGroup")
        .map(|r| r.id.clone())
        .collect();
    let changes =
        resources.iter().map(|(id, physical)| Change::new("Remove", None, id, &physical.resource_type));
    Ok(Some(Found {
        account: account.clone(),
        name: name.to_owned(),
        status: info.status,
        changes: sorted(changes.collect()),
        buckets,
        log_groups,
        leftovers,
    }))
}

/// What outlives a stack; `None` where it is gone already.
pub(super) async fn leftover(
    account: &Account,
    stack: &str,
    physical: &Physical,
) -> anyhow::Result<Option<Leftover>> {
    let teardown = Teardown::new(account);
    let fate = fate(&physical.resource_type);
    let holds = match fate {
        Fate::Bucket => {
            let content = teardown.content(&physical.id).await?;
            content
                .map(|content| format!("{} versions, {:.1} MB", content.versions, content.bytes as f64 / 1e6))
        }
        Fate::Table => teardown.table_items(&physical.id).await?.map(|items| format!("about {items} items")),
        Fate::Key => {
            teardown.key_is_there(&physical.id).await?.then(|| format!("{KEY_DAYS} days of waiting time"))
        }
        Fate::Follows => None,
        Fate::Stays => Some(format!("kept by {stack}; not looked at, remove it by hand")),
    };
    Ok(holds.map(|holds| Leftover {
        account: account.clone(),
        stack: stack.to_owned(),
        id: physical.id.clone(),
        resource_type: physical.resource_type.clone(),
        fate,
        holds,
    }))
}

/// What stacks left behind that are gone already: an earlier `destroy` that was cut off, or a deletion by hand.
async fn orphans(
    config: &Config,
    accounts: &Accounts,
    order: &[Vec<Found>],
) -> anyhow::Result<Vec<Leftover>> {
    let known: Vec<&str> =
        order.iter().flatten().flat_map(|found| &found.leftovers).map(|left| left.id.as_str()).collect();
    let mut all = Vec::new();
    for name in config.accounts.keys() {
        let account = accounts.get(name)?;
        for (stack, physical) in Stacks::new(account).left_behind(&format!("{}-", config.project)).await? {
            if !physical.id.is_empty() && !known.contains(&physical.id.as_str()) {
                all.extend(leftover(account, &stack, &physical).await?);
            }
        }
    }
    Ok(all)
}

pub(super) fn show(context: &Context, order: &[Vec<Found>], orphans: &[Leftover]) {
    let plan = |found: &Found| StackPlan {
        changes: found.changes.clone(),
        ..StackPlan::new(&found.account.name, &found.name, &found.status, Action::Delete)
    };
    let waves =
        order.iter().filter(|wave| !wave.is_empty()).map(|wave| wave.iter().map(plan).collect()).collect();
    context.out.line(&Line::Plan { waves });
    let leftovers = || order.iter().flatten().flat_map(|found| &found.leftovers).chain(orphans);
    for (title, stays) in [
        ("What outlives its stack and is removed after it:", false),
        ("What outlives its stack and stays:", true),
    ] {
        let mut lines = leftovers().filter(|left| (left.fate == Fate::Stays) == stays).peekable();
        if lines.peek().is_some() {
            context.out.say(title);
        }
        for left in lines {
            context.out.say(format!(
                "  {:<6} {:<28} {:<50} {}",
                left.account.name, left.resource_type, left.id, left.holds
            ));
        }
    }
    let groups: Vec<String> = order.iter().flatten().flat_map(Found::log_groups).collect();
    if !groups.is_empty() {
        context.out.say("Log groups that go with their stack, and their entries with them:");
    }
    for group in groups {
        context.out.say(format!("  {group}"));
    }
}

/// What AWS made outside of the stacks at their request, and what others may use, too.
fn outside<'a>(all: impl Iterator<Item = &'a Found>) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for found in all {
        let has = |kind: &str| found.changes.iter().any(|change| change.resource_type == kind);
        let account = &found.account.name;
        let simulated = if found.account.loopback { " (on AWS; the local cloud has none of it)" } else { "" };
        if has("AWS::ApiGatewayV2::Api") {
            lines.insert(format!("{account}, for the whole account: what API Gateway set up for access logs, the CloudWatch Logs resource policy AWSLogDeliveryWrite20150319 and the service-linked role AWSServiceRoleForAPIGateway; other APIs may use them{simulated}"));
        }
        if has("AWS::CodeConnections::Connection") {
            lines.insert(format!("at the source provider: the app that the connection installed there (for GitHub, AWS Connector for GitHub), until somebody uninstalls it{simulated}"));
        }
    }
    lines.into_iter().collect()
}

impl Found {
    fn log_groups(&self) -> impl Iterator<Item = String> {
        self.log_groups.iter().map(|name| format!("{} {name}", self.account.name))
    }
}

impl Found {
    /// `<account>/<stack>`.
    fn path(&self) -> String {
        format!("{}/{}", self.account.name, self.name)
    }

    /// The data that goes with it, in words.
    pub(super) fn lost(&self) -> Vec<String> {
        self.loss().map(|loss| loss.what).unwrap_or_default()
    }

    /// The data that goes with it.
    fn loss(&self) -> Option<Loss> {
        let kept = self.leftovers.iter().filter(|left| left.fate != Fate::Stays).map(Leftover::words);
        let gone = self.changes.iter().filter(|change| change.endangers_data());
        let gone = gone.map(|change| format!("{} ({})", change.logical_id, change.resource_type));
        let what: Vec<String> = kept.chain(gone).collect();
        let (account, stack) = (self.account.name.clone(), self.name.clone());
        (!what.is_empty()).then_some(Loss { account, stack, what })
    }

    /// What outlives it and goes after it.
    pub(super) fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }
}

impl Leftover {
    /// How something that stays is told.
    fn stays(&self) -> String {
        format!("{} {}/{}: {}", self.resource_type, self.account.name, self.id, self.holds)
    }

    /// Its id in its service.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What it is and what it holds, in words.
    pub(super) fn words(&self) -> String {
        format!("{} {} ({})", self.resource_type, self.id, self.holds)
    }

    /// As the result has it.
    pub(super) fn data(&self) -> Value {
        json!({"account": self.account.name, "stack": self.stack, "type": self.resource_type, "id": self.id, "fate": self.fate, "holds": self.holds})
    }
}

/// The project's name must be typed or given: this is not taken back by anything.
async fn confirm(context: &Context, project: &str, given: Option<&str>) -> Result<(), Fault> {
    let wrong = |why: &str| {
        Fault::usage("remove everything", project)
            .why(why)
            .next(format!("nothing was removed; --confirm-delete {project} says that you mean it"))
    };
    let typed = match given {
        Some(given) => given.to_owned(),
        None if context.out.is_interactive() => {
            let question = "This cannot be undone. Type the project's name";
            context.out.ask(&format!("{question} ({project}) to remove all of it:")).await
        }
        None => {
            return Err(wrong("there is no terminal to type the project's name in, and --yes is not enough"));
        }
    };
    if typed == project { Ok(()) } else { Err(wrong("that is not the project's name")) }
}

/// Removes a stack and what outlives it.
pub(super) async fn remove(context: &Context, found: &Found) -> anyhow::Result<()> {
    let (stacks, teardown) = (Stacks::new(&found.account), Teardown::new(&found.account));
    context.out.spin(&format!("remove {} in {}", found.name, found.account.name));
    let name = found.path();
    context.changes.begin(&name);
    for bucket in &found.buckets {
        teardown.empty_bucket(bucket).await?;
    }
    stacks.protect(&found.name, false).await?;
    let settled = stacks.delete(&found.name, STACK_LIMIT, &context.out.emitter()).await?;
    if settled.status != StackStatus::Absent {
        let why = settled.first_failure.unwrap_or_else(|| "CloudFormation gave no reason".to_owned());
        return Err(Fault::failed("remove the stack", format!("{} in {}", found.name, found.account.name))
            .why(format!("{} ({why})", settled.status))
            .next("remove what blocks it, and run the same command again; it goes on where it stopped")
            .into());
    }
    context.changes.done(&name);
    remove_leftovers(context, &found.leftovers).await
}

/// Removes what outlives its stack.
pub(super) async fn remove_leftovers(context: &Context, leftovers: &[Leftover]) -> anyhow::Result<()> {
    for leftover in leftovers {
        let teardown = Teardown::new(&leftover.account);
        let name = format!("{}/{}", leftover.account.name, leftover.id);
        context.changes.begin(&name);
        match leftover.fate {
            Fate::Bucket => {
                teardown.empty_bucket(&leftover.id).await?;
                teardown.delete_bucket(&leftover.id).await?;
            }
            Fate::Table => {
                let leaves_backup = teardown.leaves_backup(&leftover.id).await?;
                teardown.delete_table(&leftover.id).await?;
                if leaves_backup {
                    let until = clock::day(BACKUP_DAYS);
                    let simulated =
                        if leftover.account.loopback { " (on AWS; the local cloud makes none)" } else { "" };
                    context.changes.remains(format!("the last backup of table {name}, which DynamoDB makes by itself and keeps at no charge: gone on {until}{simulated}"));
                }
            }
            Fate::Follows => {
                context.changes.unchanged(&name);
                continue;
            }
            Fate::Key => {
                let until = teardown.schedule_key_deletion(&leftover.id, KEY_DAYS).await?;
                context.changes.remains(format!("key {name}: disabled now, gone on {until}; `aws kms cancel-key-deletion` takes it back until then"));
            }
            Fate::Stays => {
                context.changes.unchanged(&name);
                context.changes.remains(leftover.stays());
                continue;
            }
        }
        context.changes.done(&name);
    }
    Ok(())
}
