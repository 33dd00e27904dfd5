//! The parts of `bench` and their arguments.

/// The parts of `bench`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Package for this machine's own target, beside cargo lambda and a bare cargo build: cold, one file touched, nothing
    /// changed; sizes, and what a second upload sends
    Package(Package),
    /// From the start of a function's process to its first question for work, and to its first answered read of DynamoDB
    Coldstart(Coldstart),
    /// What the local cloud's edge costs before a stub, and whether the watcher keeps its rate
    Rollout,
}

/// Options of `bench package`.
#[derive(clap::Args, Debug)]
pub struct Package {
    /// These functions alone; by default all of them
    #[arg(long, value_name = "NAME")]
    pub bin: Vec<String>,
    /// One cargo profile for all three, for instance a quick one; by default ours is `lambda`, as it is released, and the
    /// others' `release`
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
}

/// Options of `bench coldstart`.
#[derive(clap::Args, Debug)]
pub struct Coldstart {
    /// The packaged function
    #[arg(long, default_value = "checkin", value_name = "NAME")]
    pub bin: String,
    /// How often each is started
    #[arg(long, default_value_t = 31, value_name = "NUMBER")]
    pub runs: usize,
}
