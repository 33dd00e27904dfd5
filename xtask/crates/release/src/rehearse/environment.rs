//! The variables that a rehearsal gives to its builds: they are told how to build.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Context, PROFILE};
use causeway_build::compile;
use causeway_command::PACE;
use causeway_machine::paths::Paths;

/// What every build of a rehearsal is told. Its checkout has no Python environment of its own.
pub(super) fn common(context: &Context) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("CAUSEWAY_VENV_DIR".to_owned(), Paths::of(&context.root).venv().display().to_string()),
        ("CAUSEWAY_TARGET".to_owned(), "host".to_owned()),
        ("CAUSEWAY_PROFILE".to_owned(), PROFILE.to_owned()),
    ])
}

/// What a build is told beside that: the file to which it adds what it compiled, and how often it tells how far it is.
pub(super) fn of_builds(context: &Context, units: &Path) -> BTreeMap<String, String> {
    let mut all = common(context);
    all.insert(compile::UNITS.to_owned(), units.display().to_string());
    all.insert(PACE.to_owned(), context.pace().as_secs().to_string());
    all
}
