//! Whose a stack is that has a name of ours, asked before anything is done with it.

use causeway_aws::cloudformation::{StackInfo, Stacks};
use causeway_model::config::{Config, DeployedBy};
use causeway_model::fault::{Fault, Kind};
use causeway_model::isolated::{EXPIRES, OWNER};
use causeway_model::ownership::{ISOLATED, Owner, is_marked, marked, owner, told};
use causeway_model::stack::StackStatus;
use causeway_model::template::submitted;

/// Whose a stack is: by its template, and, for the application's, by what earlier versions made it with. An application of
/// one's own has a template that no table of ours knows.
pub(crate) fn of(config: &Config, stack: &str, info: &StackInfo, template: &str) -> Owner {
    let found = owner(template, &config.project, stack);
    let is_app = stack == ISOLATED
        || config.stack(stack).is_some_and(|stack| stack.deployed_by == DeployedBy::Pipeline);
    if found != Owner::Stranger || !is_app || is_marked(template) {
        return found;
    }
    let by_role = info.role_arn.as_deref().is_some_and(|arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        name == format!("{}-{}-cfn-exec", config.project, config.region)
    });
    let by_tags = stack == ISOLATED && [EXPIRES, OWNER].iter().all(|key| info.tags.contains_key(*key));
    if by_role || by_tags { Owner::Before } else { Owner::Stranger }
}

/// The refusal of a stack that is somebody else's: what it is, and what a person can do.
pub(crate) fn refused(what: &str, (account, stack): (&str, &str), info: &StackInfo, template: &str) -> Fault {
    let tags = match info.tags.len() {
        0 => String::new(),
        _ => format!("; its tags are {}", info.tags.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Fault::new(Kind::Stuck, what, format!("{stack} in {account}"))
        .why(format!("it has a name of this project and is none of its stacks: {}{tags}", told(template)))
        .next("nothing was changed; ask whose it is, and give this project another name (`project` in cfn/stacks.toml), or have its owner remove it, or take it over: cargo xtask bootstrap --adopt shows what becomes of it and asks for its name")
}

/// The template of a stack of ours; `None` for one that was only planned, which has none. `what` is done with `stack`, as
/// `cfn/stacks.toml` names it.
///
/// # Errors
/// It is somebody else's, or cannot be looked at.
pub(crate) async fn template(
    config: &Config,
    (what, stack): (&str, &str),
    stacks: &Stacks,
    name: &str,
    info: &StackInfo,
) -> anyhow::Result<Option<String>> {
    if info.status == StackStatus::Review {
        return Ok(None);
    }
    let text = stacks.template(name).await?;
    if of(config, stack, info, &text) == Owner::Stranger {
        return Err(refused(what, (stacks.account(), name), info, &text).into());
    }
    Ok(Some(text))
}

/// A template as it is submitted: with the mark of its stack, and without its comments where it is too large with them.
///
/// # Errors
/// The mark finds no place in it.
pub(crate) fn submitted_as(config: &Config, file: &str, text: &str, stack: &str) -> Result<String, Fault> {
    marked(text, &config.project, stack)
        .map(|marked| submitted(&marked).into_owned())
        .map_err(|why| Fault::usage("mark the template", file).why(why))
}
