//! The hook before traffic moves: it asks the new version by its number.

use std::process::ExitCode;

use hooks::settings::Phase;
use hooks::suites::SUITES;

/// The version is compiled in here and not into the library, so that a new one rebuilds this hook only.
const VERSION: &str = match option_env!("CAUSEWAY_VERSION_PRE_TRAFFIC") {
    Some(stamped) => stamped,
    None => concat!(env!("CARGO_PKG_VERSION"), "+unstamped"),
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    hooks::serve::run(Phase::PreTraffic, VERSION, SUITES).await
}
