//! What somebody must say with the stack's name, and never with `--yes`: that its data may be lost, or that it is taken over.

use causeway_command::Context;
use causeway_model::changeset::Change;
use causeway_model::fault::Fault;

/// Data that a stack loses.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    /// The account's name.
    pub(crate) account: String,
    /// The stack's name.
    pub(crate) stack: String,
    /// What is lost, in words.
    pub(crate) what: Vec<String>,
}

impl Loss {
    /// The loss that changes bring; `None` where they endanger nothing.
    pub(crate) fn of(account: &str, stack: &str, changes: &[Change]) -> Option<Self> {
        let what: Vec<String> = changes.iter().filter(|change| change.endangers_data()).map(words).collect();
        (!what.is_empty()).then(|| Self { account: account.to_owned(), stack: stack.to_owned(), what })
    }

    /// Whether `--allow-data-loss` names its stack.
    pub(crate) fn is_allowed(&self, allowed: &[String]) -> bool {
        allows(allowed, &self.account, &self.stack)
    }
}

/// Whether `--allow-data-loss` names a stack.
pub(crate) fn allows(allowed: &[String], account: &str, stack: &str) -> bool {
    allowed.iter().any(|name| names(name, account, stack))
}

/// Whether a name of `--allow-data-loss` is a stack's: alone, or with its account before it.
fn names(name: &str, account: &str, stack: &str) -> bool {
    name == stack || name == format!("{account}/{stack}")
}

/// A change that endangers data, in words.
fn words(change: &Change) -> String {
    let becomes = match change.op {
        causeway_model::changeset::Op::Remove => "goes",
        causeway_model::changeset::Op::Replace => "is replaced by an empty one",
        _ => "may be replaced by an empty one",
    };
    format!("{} ({}) {becomes}", change.logical_id, change.resource_type)
}

/// Names of `--allow-data-loss` that are no stack's.
///
/// # Errors
/// A usage fault that names them.
pub(crate) fn known(allowed: &[String], stacks: &[(String, String)]) -> Result<(), Fault> {
    let is_known = |name: &String| stacks.iter().any(|(account, stack)| names(name, account, stack));
    match allowed.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let all: Vec<&str> = stacks.iter().map(|(_, stack)| stack.as_str()).collect();
            Err(Fault::usage("allow data to be lost", name.as_str())
                .why(format!("it is no stack of this command; these are: {}", all.join(", ")))
                .next("--allow-data-loss takes the stack's name in AWS, or ACCOUNT/STACK"))
        }
    }
}

/// Has every loss that is not allowed on the command line confirmed by the stack's name.
///
/// # Errors
/// Nobody can be asked, or another name was given. Nothing was changed then.
pub(crate) async fn losses(context: &Context, allowed: &[String], all: &[Loss]) -> Result<(), Fault> {
    for loss in all.iter().filter(|loss| !loss.is_allowed(allowed)) {
        let said = format!("{} in {} loses data: {}", loss.stack, loss.account, loss.what.join(", "));
        let next =
            format!("nothing was changed; --allow-data-loss {} says that this may be lost", loss.stack);
        typed(context, "lose data", &loss.stack, &said, &next).await?;
    }
    Ok(())
}

/// Has a stack's name typed. `--yes` does not stand for it.
///
/// # Errors
/// There is no terminal, or another name was typed.
pub(crate) async fn typed(
    context: &Context,
    what: &str,
    stack: &str,
    said: &str,
    next: &str,
) -> Result<(), Fault> {
    let refused = |why: String| Fault::usage(what, stack).why(why).next(next);
    if !context.out.is_interactive() {
        return Err(refused(format!(
            "{said}; there is no terminal to type its name in, and --yes is not enough"
        )));
    }
    context.out.rest();
    context.out.say(format!("  {said}"));
    let answer =
        context.out.ask(&format!("Nothing takes this back. Type the stack's name ({stack}) to go on:")).await;
    if answer == stack { Ok(()) } else { Err(refused(format!("{said}; that is not the stack's name"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stacks_own_name_allows_a_loss() {
        let changes = [
            Change::new("Modify", Some("True"), "Table", "AWS::DynamoDB::Table"),
            Change::new("Modify", Some("Conditional"), "Key", "AWS::KMS::Key"),
            Change::new("Remove", None, "Role", "AWS::IAM::Role"),
        ];
        let loss = Loss::of("prod", "acme-base", &changes).unwrap();
        assert_eq!(loss.what.len(), 2, "{loss:?}");
        assert!(Loss::of("prod", "acme-base", &changes[2..]).is_none());
        let given = |name: &str| loss.is_allowed(&[name.to_owned()]);
        assert!(given("acme-base") && given("prod/acme-base"));
        for other in ["", "acme", "acme-base-2", "dev/acme-base", "base", "prod"] {
            assert!(!given(other), "{other}");
        }
        let stacks = [("prod".to_owned(), "acme-base".to_owned())];
        assert!(known(&["prod/acme-base".to_owned(), "acme-base".to_owned()], &stacks).is_ok());
        assert!(known(&["dev/acme-base".to_owned()], &stacks).unwrap_err().why.contains("acme-base"));
    }
}
