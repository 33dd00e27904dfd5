//! Starting, finding and ending the resident process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::time::sleep;

use super::emulator::log_tail;
use super::state::State;
use causeway_machine::clock::Stopwatch;
use causeway_machine::files;
use causeway_machine::install;
use causeway_machine::paths::Paths;
use causeway_machine::process::{self, Ending, Group};
use causeway_model::config::Config;
use causeway_model::fault::{Fault, Kind};

/// How long the cloud may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Whether the cloud lives on after the command that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It does.
    Yes,
    /// It ends with us, whatever becomes of us.
    No,
}

/// A running cloud and our hold on it.
pub struct Found {
    state: State,
    /// Whether it was started just now.
    pub is_new: bool,
    /// The input goes first where this is dropped: what hears it closed ends by itself.
    owned: Option<(ChildStdin, Group)>,
}

impl Found {
    /// How to reach it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Lets it live on after us.
    pub async fn keep(mut self) {
        if let Some((mut input, group)) = self.owned.take() {
            let _ = input.write_all(b"keep").await;
            drop(input);
            group.keep();
        }
    }

    /// Ends it, where it is ours; leaves one alone that was there before us.
    pub async fn release(mut self) {
        if let Some((input, group)) = self.owned.take() {
            drop(input);
            group.end().await;
        }
    }
}

/// Finds the checkout's cloud or starts it. What an earlier run left behind is ended first.
///
/// # Errors
/// Python or its packages cannot be had; the cloud does not start.
pub async fn up(
    config: &Config,
    paths: &Paths,
    root: &Path,
    minute: Duration,
    keep: Keep,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Found> {
    // Two commands at once shall not start two clouds.
    for dir in [paths.local(), &paths.logs(), &paths.processes()] {
        files::private_dir(dir)?;
    }
    let _lock = files::lock(&paths.local().join("up.lock"), say).await?;

    if let Some(state) = State::read(paths) {
        let ours: std::collections::BTreeMap<String, String> =
            config.accounts.iter().map(|(name, account)| (name.clone(), account.id.clone())).collect();
        if (&state.region, &state.project, &state.accounts) != (&config.region, &config.project, &ours) {
            return Err(Fault::new(Kind::Stuck, "use the local cloud", state.endpoint())
                .why("it was started for another project, region or accounts than cfn/stacks.toml names now")
                .next("cargo xtask local down, then run it again")
                .into());
        }
        return Ok(Found { state, is_new: false, owned: None });
    }
    let _ = std::fs::remove_file(paths.state());
    for name in process::reap(&paths.processes()).await {
        say(&format!("ended what an earlier run had left behind: {name}"));
    }
    let _ = process::reap(&paths.processes().join("builds")).await;
    install::venv(paths, install::Set::Local, say).await?;
    install::venv(paths, install::Set::Expand, say).await?;
    start(paths, root, minute, keep).await
}

async fn start(paths: &Paths, root: &Path, minute: Duration, keep: Keep) -> anyhow::Result<Found> {
    // Its name may be another program's by now.
    let program = causeway_digest::running().context("find our own program")?;
    let log = paths.log("cloud");
    let mut command = process::logged(&program, &log)?;
    command.current_dir(root).args(["local", "serve", "--minute", &format!("{}ms", minute.as_millis())]);
    command.env("CAUSEWAY_LOCAL_DIR", paths.local());
    // A rehearsal never reaches AWS: nothing of the caller's AWS environment gets in.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    if keep == Keep::No {
        command.arg("--owned").stdin(Stdio::piped());
    }
    let mut group = process::spawn(command, "local cloud", &paths.processes(), Ending::Ask)?;
    let watch = Stopwatch::start();
    let state = loop {
        if let Some(state) = State::read(paths).filter(|state| state.pid == group.id()) {
            break state;
        }
        let ended = group.child().try_wait().context("look at the local cloud")?.is_some();
        if ended || watch.elapsed() > START_LIMIT {
            let mut said = log_tail(&log);
            // One that ended says why; one that is still at work was not given the time that it takes on this machine.
            let kind = if ended { Kind::Failed } else { Kind::TimedOut };
            if !ended {
                said = format!(
                    "it did not answer within {} s; its log ends with: {said}",
                    START_LIMIT.as_secs()
                );
            }
            group.end().await;
            return Err(Fault::new(kind, "start the local cloud", log.display().to_string())
                .why(said)
                .next("read the log; removing target/causeway/venv makes it install its parts anew")
                .into());
        }
        sleep(Duration::from_millis(30)).await;
    };
    if keep == Keep::Yes {
        group.keep();
        return Ok(Found { state, is_new: true, owned: None });
    }
    let input = group.child().stdin.take().context("hold the local cloud")?;
    Ok(Found { state, is_new: true, owned: Some((input, group)) })
}

/// Ends the checkout's cloud and whatever an earlier run left behind. False where nothing was running.
///
/// # Errors
/// None so far; the signature leaves room for them.
pub async fn down(paths: &Paths) -> anyhow::Result<bool> {
    let running = State::read(paths);
    if let Some(state) = &running {
        process::end_recorded(&paths.processes(), state.pid).await;
    }
    let left = process::reap(&paths.processes()).await;
    let builds = process::reap(&paths.processes().join("builds")).await;
    let _ = std::fs::remove_file(paths.state());
    Ok(running.is_some() || !left.is_empty() || !builds.is_empty())
}
