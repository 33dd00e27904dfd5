//! The hooks as they are released, out of their zips, held to the tests of a hook's process: a hung function, one that answers
//! 200 with a wrong version, a panic in a check, and whatever else `hooks/tests/runtime.rs` lets happen.

use tokio::process::Command;

use super::Context;
use causeway_machine::paths::Paths;

/// The hooks, by the names of their zips.
const HOOKS: [&str; 2] = ["pre-traffic", "post-traffic"];
/// A hook whose checks panic. It is no part of a release, and built and zipped like one.
const PANICKING: [&str; 1] = ["panicking"];

/// The tests, over hooks that are built and zipped for this machine as a release's are.
///
/// # Errors
/// They do not build.
pub(super) async fn tests(context: &Context) -> anyhow::Result<Command> {
    let dir = Paths::of(&context.root).packaged_hooks();
    causeway_release::package::started(context, "hooks", (&HOOKS, &PANICKING), &dir).await?;
    let mut command = super::functions(context, &["--test", "runtime"]).await?;
    command.env("CAUSEWAY_TEST_HOOKS", dir);
    Ok(command)
}
