//! The arguments of `check`.

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Also what takes longer than CI may
    #[arg(long)]
    pub full: bool,
    /// Only hold the deployed API to its document, as --full does besides
    #[arg(long, conflicts_with = "full")]
    pub contract: bool,
    /// Only the gates: cfn-lint, checkov, parliament, secrets, licenses, bans, advisories
    #[arg(long, conflicts_with_all = ["full", "contract"])]
    pub gates: bool,
    /// Only the second and the third opinion on the access matrix, as --full asks them besides
    #[arg(long, conflicts_with_all = ["full", "contract", "gates"])]
    pub opinions: bool,
    /// Only one package for arm64, built and run
    #[arg(long, conflicts_with_all = ["full", "contract", "gates", "opinions"])]
    pub arm64: bool,
    /// Only what --full does with packages besides: the packaged hooks are held to their tests, and all four functions are
    /// built twice for arm64, compared and run; takes many minutes
    #[arg(long, conflicts_with_all = ["full", "contract", "gates", "opinions", "arm64"])]
    pub packages: bool,
    /// Only the commands that set up a project, with every call going wrong in every way; takes up to an hour
    #[arg(long, conflicts_with_all = ["full", "contract", "gates", "opinions", "arm64", "packages"])]
    pub faults: bool,
    /// With --faults: one case of each fault alone, as check without options has it
    // Where what it requires conflicts with another one, clap asks for it no more: each is named.
    #[arg(long, requires = "faults", conflicts_with_all = ["case", "full", "contract", "gates", "opinions", "arm64", "packages", "corpus"])]
    pub sample: bool,
    /// With --faults: only the cases whose name has this in it, as a failing one prints it
    #[arg(long, value_name = "NAME", requires = "faults", conflicts_with_all = ["full", "contract", "gates", "opinions", "arm64", "packages", "corpus"])]
    pub case: Option<String>,
    /// Only the templates of a folder, such as the inputs of the SAM translator's own tests: each is deployed to a local cloud,
    /// and what is refused is counted by reason; takes minutes
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["full", "contract", "gates", "opinions", "arm64", "packages", "faults"])]
    pub corpus: Option<std::path::PathBuf>,
}
