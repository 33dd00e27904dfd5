//! The arguments of `test`.

use std::path::PathBuf;

/// Arguments of `test`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Cargo profile; by default the one for tests
    #[arg(long, env = "CAUSEWAY_PROFILE", value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Leave junit.xml and, where LLVM's tools are there or rustup adds them, cobertura.xml in this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}
