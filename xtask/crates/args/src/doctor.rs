//! The arguments of `doctor`.

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Remove app stacks that can never be deployed again, and add the target for arm64 with rustup; after asking
    #[arg(long)]
    pub fix: bool,
    /// Compare roles, trust, boundaries, key and bucket policies in the accounts with the templates
    #[arg(long, conflicts_with = "offline")]
    pub drift: bool,
    /// Only look at this machine
    #[arg(long)]
    pub offline: bool,
}
