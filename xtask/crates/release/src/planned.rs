//! How a change set that a command only planned is removed when the command ends.

use causeway_aws::cloudformation::Stacks;
use causeway_command::planned::Planned;

/// A change set of that name is made now; `is_new`: it would create the stack, and nobody else planned that before.
pub(crate) fn begin(planned: &Planned, stacks: &Stacks, stack: &str, name: &str, is_new: bool) {
    let place = format!("{}/{stack}", stacks.account());
    let (stacks, stack, owned) = (stacks.clone(), stack.to_owned(), name.to_owned());
    let removal = async move { stacks.withdraw(&owned, &stack, is_new).await };
    planned.begin(place, name, Box::pin(removal));
}
