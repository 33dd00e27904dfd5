//! `deploy --delete`: an isolated stack and its table. What is in it is said before anything goes.

use serde_json::json;

use super::{Args, owner};
use crate::consent::{self, Loss};
use crate::destroy::{self, Leftover};
use causeway_aws::Account;
use causeway_aws::cloudformation::Stacks;
use causeway_command::{Context, Outcome};
use causeway_model::config::Config;
use causeway_model::isolated::OWNER;
use causeway_model::line::Line;
use causeway_model::ownership::ISOLATED;
use causeway_model::retained::{Fate, fate};
use causeway_model::verdict::{ExitCode, Verdict};

/// Removes one isolated stack, and what it or an earlier one of its name left.
///
/// # Errors
/// Nobody may be asked, or something cannot be removed. What was removed is listed.
pub(super) async fn run(
    context: &Context,
    config: &Config,
    account: &Account,
    stack: &str,
    args: &Args,
) -> anyhow::Result<Outcome> {
    let out = &context.out;
    out.spin(&format!("look at {stack}"));
    let stacks = Stacks::new(account);
    consent::known(&args.allow_data_loss, &[(account.name.clone(), stack.to_owned())])?;
    let found = destroy::found(config, ISOLATED, account, stack).await?;
    let mut orphans: Vec<Leftover> = Vec::new();
    for (name, physical) in stacks.left_behind(stack).await? {
        let known = found.iter().flat_map(|found| found.leftovers()).any(|left| left.id() == physical.id);
        // A name may be the beginning of another's here.
        let removable = fate(&physical.resource_type) != Fate::Stays;
        if name == stack && removable && !known && !physical.id.is_empty() {
            orphans.extend(destroy::leftover(account, stack, &physical).await?);
        }
    }
    let other = stacks.describe(stack).await?.and_then(|info| info.tags.get(OWNER).cloned());
    out.rest();
    let Some(found) = found else {
        if orphans.is_empty() {
            out.say(format!("{} has no stack {stack}, and nothing of it", account.name));
            return Ok(Outcome::of(Verdict::NothingToDo));
        }
        destroy::show(context, &[], &orphans);
        return ask_and_remove(context, account, None, &orphans, stack, args).await;
    };
    if let Some(other) = other.filter(|other| *other != owner()) {
        out.line(&Line::Warning { message: format!("{stack} was deployed by {other}") });
    }
    let order = [vec![found]];
    destroy::show(context, &order, &orphans);
    let [wave] = order;
    ask_and_remove(context, account, wave.into_iter().next(), &orphans, stack, args).await
}

async fn ask_and_remove(
    context: &Context,
    account: &Account,
    found: Option<destroy::Found>,
    orphans: &[Leftover],
    stack: &str,
    args: &Args,
) -> anyhow::Result<Outcome> {
    let own = found.iter().flat_map(|found| found.leftovers());
    let all: Vec<&Leftover> = own.chain(orphans).collect();
    let data = json!({"stack": stack, "leftovers": all.iter().map(|left| left.data()).collect::<Vec<_>>()});
    if args.dry_run {
        let mut outcome = Outcome::of(Verdict::Changes).with_data(data);
        outcome.code = args.detailed_exitcode.then_some(ExitCode::Changes);
        return Ok(outcome);
    }
    let holds: Vec<String> = match &found {
        // What goes with it, and what an earlier one of its name left.
        Some(found) => found.lost().into_iter().chain(orphans.iter().map(Leftover::words)).collect(),
        None => all.iter().map(|left| left.words()).collect(),
    };
    let question = match holds.is_empty() {
        true => format!("Remove {stack}?"),
        false => format!("Remove {stack} and its data, which nothing brings back: {}?", holds.join(", ")),
    };
    let loss = Loss { account: account.name.clone(), stack: stack.to_owned(), what: holds };
    if loss.what.is_empty() || loss.is_allowed(&args.allow_data_loss) {
        if !context.out.confirm(&question).await? {
            return Ok(Outcome::of(Verdict::NothingToDo).with_data(data));
        }
    } else {
        consent::losses(context, &[], &[loss]).await?;
    }
    let removal = async {
        if let Some(found) = &found {
            destroy::remove(context, found).await?;
        }
        destroy::remove_leftovers(context, orphans).await
    };
    let ended = removal.await;
    destroy::over(context, ended, json!({"stack": stack}))
}
