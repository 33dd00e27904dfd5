//! The variables that a rehearsal gives to its builds: they are told how to build.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::{Context, PROFILE};
use causeway_build::compile;
use causeway_command::PACE;
use causeway_digest as digest;
use causeway_machine::paths::Paths;

/// What every build of a rehearsal is told. Its checkout has no Python environment of its own.
pub(super) fn common(context: &Context) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("CAUSEWAY_VENV_DIR".to_owned(), Paths::of(&context.root).venv().display().to_string()),
        ("CAUSEWAY_TARGET".to_owned(), "host".to_owned()),
        ("CAUSEWAY_PROFILE".to_owned(), PROFILE.to_owned()),
    ])
}

/// What a build is told beside that: the file to which it adds what it compiled, how often it tells how far it is, and the
/// tool that need not be built a second time, where it is known from which sources this one was.
///
/// # Errors
/// The tool cannot be copied to where the builds find it.
pub(super) fn of_builds(context: &Context, units: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = common(context);
    let folder = Paths::of(&context.root).rehearsal().join("tool");
    let kept = digest::keep(&folder, "causeway")
        .with_context(|| format!("keep the tool in {}", folder.display()))?;
    if let Some((path, of)) = kept {
        all.insert(digest::TOOL.to_owned(), path.display().to_string());
        all.insert(digest::TOOL_DIGEST.to_owned(), of);
    }
    all.insert(compile::UNITS.to_owned(), units.display().to_string());
    all.insert(PACE.to_owned(), context.pace().as_secs().to_string());
    Ok(all)
}
