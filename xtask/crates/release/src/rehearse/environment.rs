//! The variables that a rehearsal gives to what it starts: AWS clients are led to the local cloud, builds are told how to build.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Context, PROFILE};
use causeway_build::compile;
use causeway_cloud::state::State;
use causeway_command::PACE;
use causeway_machine::paths::Paths;

/// What leads AWS clients to the cloud, without a profile: builds have their role's keys.
pub(super) fn of_clients(state: &State, paths: &Paths) -> Vec<(String, String)> {
    let kept =
        ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_EC2_METADATA_DISABLED"];
    let mut all: Vec<(String, String)> =
        state.environment(paths).into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect();
    // Files that are not there: no profile of the caller's gets in.
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        all.push((name.to_owned(), paths.local().join("no-such-file").display().to_string()));
    }
    all
}

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
