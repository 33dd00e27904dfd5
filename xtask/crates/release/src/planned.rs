//! How a change set that a command only planned is removed: when the command ends, and, after a kill, by the next one.

use tokio::sync::oneshot;

use causeway_aws::Accounts;
use causeway_aws::cloudformation::Stacks;
use causeway_command::Context;
use causeway_command::planned::{Left, Planned, withdrawn};
use causeway_model::config::Config;
use causeway_model::line::Line;

/// Held until CloudFormation has answered the call that makes a change set: its removal waits for that.
pub(crate) struct Asking(#[expect(dead_code, reason = "that it is dropped is heard")] oneshot::Sender<()>);

/// A change set of that name is made now; `is_new`: it would create the stack, and nobody else planned that before.
#[must_use = "its removal waits until this is dropped"]
pub(crate) fn begin(
    planned: &Planned,
    (stacks, account): (&Stacks, &str),
    stack: &str,
    name: &str,
    is_new: bool,
) -> Asking {
    let place = format!("{}/{stack}", stacks.account());
    let left = Left { account: account.to_owned(), stack: stack.to_owned(), name: name.to_owned(), is_new };
    let (stacks, owned) = (stacks.clone(), left.clone());
    let (asking, asked) = oneshot::channel();
    let removal = async move {
        let _ = asked.await;
        stacks.withdraw(&owned.name, &owned.stack, is_new).await
    };
    planned.begin(place, &left, Box::pin(removal));
    Asking(asking)
}

/// Removes what runs planned in this checkout that were killed, as far as it is in these accounts. What cannot be removed is
/// said, and tried again by the next run.
pub(crate) async fn sweep(context: &Context, config: &Config, accounts: &Accounts) {
    for remains in context.planned.remains() {
        let mut all = true;
        for left in &remains.left {
            let account = config.account_named_by_id(&left.account).and_then(|name| accounts.get(name).ok());
            let Some(account) = account else {
                all = false;
                continue;
            };
            let stacks = Stacks::new(account);
            let place = format!("{}/{}", account.name, left.stack);
            let removal = stacks.withdraw_left(&left.name, &left.stack, left.is_new);
            let Err(why) = withdrawn(removal).await else {
                context.out.note(format!("removed what a run that was cut off had planned: {place}"));
                continue;
            };
            all = false;
            let name = &left.name;
            context.out.line(&Line::Warning { message: format!("the change set {name} of {place} is of a run that was cut off, and could not be removed ({why})") });
        }
        if all {
            remains.removed();
        }
    }
}
