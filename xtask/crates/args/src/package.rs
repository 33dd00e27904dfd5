//! The arguments of `package`.

/// Arguments of `package`.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Only build, zip and write the template; upload nothing
    #[arg(long)]
    pub no_upload: bool,
    /// aarch64-unknown-linux-gnu for Lambda on arm64 (the default), x86_64-unknown-linux-gnu for Lambda on x86-64, or `host`
    /// for this machine; musl is not supported
    #[arg(long, env = "CAUSEWAY_TARGET", value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Package this function alone; the template is left as it is
    #[arg(long, value_name = "NAME")]
    pub bin: Vec<String>,
    /// Build nothing: say what differs from what was packaged last, or from what an environment runs
    #[arg(long)]
    pub explain: bool,
    /// The environment to compare with
    #[arg(long, value_name = "ENV", requires = "explain")]
    pub env: Option<String>,
    /// Cargo profile
    #[arg(long, env = "CAUSEWAY_PROFILE", default_value = "lambda", value_name = "PROFILE")]
    pub profile: String,
    /// Where the packages go; by default the bucket of the build account's base stack
    #[arg(long, env = "CAUSEWAY_ARTIFACT_BUCKET", value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// The key they are encrypted under
    #[arg(long, env = "CAUSEWAY_ARTIFACT_KEY_ARN", value_name = "ARN")]
    pub key_arn: Option<String>,
}

impl Args {
    /// All functions for a target with a profile, nothing uploaded.
    pub fn plain(target: Option<String>, profile: String) -> Self {
        Self {
            no_upload: true,
            target,
            bin: Vec::new(),
            explain: false,
            env: None,
            profile,
            bucket: None,
            key_arn: None,
        }
    }
}
