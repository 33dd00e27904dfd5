//! The hooks as they are released, out of their zips, held to the tests of a hook's process: a hung function, one that answers
//! 200 with a wrong version, a panic in a check, and whatever else `hooks/tests/runtime.rs` lets happen.

use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use super::Context;
use causeway_build::cargo::Kind;
use causeway_build::trial;
use causeway_machine::files;
use causeway_machine::paths::Paths;
use causeway_release::package::zipped;

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
    started(context, &dir).await?;
    let mut command = super::functions(context, &["--test", "runtime"]).await?;
    command.env("CAUSEWAY_TEST_HOOKS", dir);
    Ok(command)
}

/// Lays the program out of each one's zip into a folder, by its name.
async fn started(context: &Context, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let _lock = files::lock(&to.join("lock"), &|text| context.out.note(text)).await?;
    for of in [(Kind::Binary, &HOOKS[..]), (Kind::Example, &PANICKING[..])] {
        for (name, zip) in zipped(context, "hooks", of).await? {
            let path = to.join(format!("{name}.zip"));
            std::fs::write(&path, zip).with_context(|| format!("write {}", path.display()))?;
            trial::unpack(&path, &to.join(name))?;
        }
    }
    Ok(())
}
