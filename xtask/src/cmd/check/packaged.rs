//! The hooks as they were packaged, held to the tests of a hook's process: a hung function, one that answers 200 with a
//! wrong version, and whatever else `hooks/tests/runtime.rs` lets happen.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::Context;
use crate::local::paths::Paths;
use crate::model::fault::Fault;
use crate::shell::program;

/// The hooks, by the names of their zips.
const HOOKS: [&str; 2] = ["pre-traffic", "post-traffic"];

/// The tests, over what the last rehearsal packaged.
///
/// # Errors
/// No rehearsal has packaged anything, or a zip holds no program.
pub(super) fn tests(context: &Context) -> anyhow::Result<Command> {
    let rehearsal = Paths::of(&context.root).rehearsal();
    let zips = rehearsal.join("source/target/causeway/package");
    let dir = rehearsal.join("packaged-hooks");
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for name in HOOKS {
        unpack(&zips.join(format!("{name}.zip")), &dir.join(name))?;
    }
    let mut command = program("cargo", super::FUNCTIONS, &context.root);
    command.args(["--test", "runtime", "--examples"]);
    command.env("CAUSEWAY_TEST_HOOKS", dir);
    Ok(command)
}

/// Takes the program out of a package.
fn unpack(zip: &Path, to: &PathBuf) -> anyhow::Result<()> {
    let file = std::fs::File::open(zip).map_err(|error| {
        Fault::failed("read the package", zip.display().to_string())
            .why(error)
            .next("cargo xtask rehearse --approve reject")
    })?;
    let mut archive = zip::ZipArchive::new(file).with_context(|| format!("read {}", zip.display()))?;
    let mut bytes = Vec::new();
    archive
        .by_name("bootstrap")
        .with_context(|| format!("{} has no bootstrap", zip.display()))?
        .read_to_end(&mut bytes)
        .with_context(|| format!("unpack {}", zip.display()))?;
    std::fs::write(to, bytes).with_context(|| format!("write {}", to.display()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} a program", to.display()))
}
