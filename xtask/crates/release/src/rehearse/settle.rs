//! What an earlier run that was cut off had begun on a cloud that was kept: its stack updates go on, as they would in
//! AWS, and a new release waits for them.

use std::time::Duration;

use causeway_aws::Accounts;
use causeway_aws::cloudformation::Stacks;
use causeway_command::Context;
use causeway_model::config::Config;
use causeway_model::line::Line;

/// How long such an update may take: a whole shift of traffic in scaled time, and some.
const LIMIT: Duration = Duration::from_secs(900);

/// Waits until no app stack is being worked on, and says so.
///
/// # Errors
/// A stack does not settle in time, or the cloud does not answer.
pub(super) async fn app_stacks(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
) -> anyhow::Result<()> {
    for env in config.targets() {
        let (name, stacks) = (config.names().app_stack(env), Stacks::new(accounts.get(env)?));
        let Some(found) = stacks.describe(&name).await? else { continue };
        if found.status.is_settled() {
            continue;
        }
        let message = format!(
            "{name} in {env} is {}: an earlier run that was cut off began it; the release waits until it is done",
            found.status
        );
        context.out.line(&Line::Warning { message });
        let settled = stacks.wait(&name, LIMIT, &context.out.emitter()).await?;
        let message = format!("{name} in {env} is {} now; the release goes on", settled.status);
        context.out.line(&Line::Warning { message });
    }
    Ok(())
}
