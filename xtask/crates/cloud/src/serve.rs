//! The resident process: emulator, front, edge and engines, until somebody says stop.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum_server::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::alarms;
use super::cloud::Cloud;
use super::emulator;
use super::front;
use super::lower::Target;
use super::state::{Last, State};
use super::strain;
use super::tls;
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_machine::{install, process};
use causeway_model::config::Config;

/// What the resident process is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a minute of AWS takes.
    pub minute: Duration,
    /// Ends itself when its input is closed, unless it hears `keep` first: the command that started it is gone then.
    pub owned: bool,
}

/// Names a process whose end is the cloud's end, also of a cloud that is kept: for programs that start one for
/// themselves, and may be killed before they can end it.
pub const WHILE: &str = "CAUSEWAY_LOCAL_WHILE";

/// How long a running execution may take to end with the cloud: what its builds started is ended meanwhile.
const LAST_EXECUTION: Duration = Duration::from_secs(2);

/// How often it is looked whether that process is still there.
const WHILE_PACE: Duration = Duration::from_millis(300);

/// Runs the local cloud. Returns when it was told to stop.
///
/// # Errors
/// The emulator or the front does not start.
pub async fn run(config: &Config, paths: &Paths, options: &Options) -> anyhow::Result<()> {
    // Only one provider is compiled in; an earlier installation of it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let venv = install::venv(paths, install::Set::Local, &|_| {}).await?;
    let expander = Expander::in_memory(paths, &|_| {}).await?;
    let leaf = tls::issue(paths)?;
    let emulator = emulator::start(&venv, paths, &config.region).await?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen for the front")?;
    listener.set_nonblocking(true).context("listen for the front")?;
    let port = listener.local_addr().context("listen for the front")?.port();
    let state = State {
        v: 1,
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        port,
        region: config.region.clone(),
        project: config.project.clone(),
        accounts: config.accounts.iter().map(|(name, account)| (name.clone(), account.id.clone())).collect(),
        token: secret(),
        root_secret: secret(),
        urls: std::collections::BTreeMap::new(),
    };
    let target = Target {
        endpoint: state.endpoint(),
        bundle: paths.bundle().display().to_string(),
        architecture: architecture().to_owned(),
    };
    state.write_profiles(paths)?;
    let cloud = Arc::new(Cloud::new(
        emulator.client.clone(),
        target,
        expander,
        paths.clone(),
        state.clone(),
        options.minute,
    ));
    let handle: Handle<SocketAddr> = Handle::new();
    let server = tokio::spawn(front::serve(Arc::clone(&cloud), listener, leaf, handle.clone()));
    handle.listening().await.context("the front does not listen")?;
    state.write(paths)?;
    tokio::spawn(alarms::run(Arc::clone(&cloud)));
    let measured = Arc::clone(&cloud);
    let root = emulator.group.id();
    tokio::spawn(async move { strain::run(&measured.strains, root).await });
    tracing::info!(port, "the local cloud is up");

    let mut group = emulator.group;
    let mut stop = cloud.stop.subscribe();
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for signals")?;
    let owner = owner_gone(options.owned);
    tokio::pin!(owner);
    let why = loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break "the local cloud was told to end",
            _ = terminate.recv() => break "the local cloud was told to end",
            _ = interrupt.recv() => break "the local cloud was told to end",
            () = &mut owner => break "the command that the local cloud belongs to is gone",
            // The terminal is gone; the cloud stays.
            _ = hangup.recv() => {}
            ended = group.child().wait() => {
                tracing::error!("the emulator ended: {ended:?}");
                break "the emulator ended";
            }
        }
    };
    tracing::info!("the local cloud ends: {why}");
    let last = Last { pid: state.pid, why: why.to_owned() };
    if let Err(error) = last.write(paths) {
        tracing::warn!("write down why the local cloud ends: {error:#}");
    }
    let _ = std::fs::remove_file(paths.state());
    // While the front still answers, so that whoever follows hears of it.
    let _ = tokio::time::timeout(LAST_EXECUTION, cloud.executions.end(why)).await;
    handle.graceful_shutdown(Some(Duration::from_millis(300)));
    group.end().await;
    let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
    let _ = process::reap(&paths.processes().join("builds")).await;
    Ok(())
}

/// Resolves when the command that started us is gone without having said `keep`, or the process that [`WHILE`] names.
async fn owner_gone(owned: bool) {
    let with: Option<i32> = std::env::var(WHILE).ok().and_then(|id| id.parse().ok());
    let started = with.and_then(process::start_time);
    if owned {
        let (tell, told) = oneshot::channel();
        // A thread of its own: the runtime would wait at its end for one of its own that still reads.
        std::thread::spawn(move || {
            let mut heard = Vec::new();
            let _ = std::io::stdin().lock().read_to_end(&mut heard);
            let _ = tell.send(heard);
        });
        if !told.await.unwrap_or_default().starts_with(b"keep") {
            return;
        }
    }
    let Some(id) = with else { return std::future::pending().await };
    while started.is_some() && process::start_time(id) == started {
        tokio::time::sleep(WHILE_PACE).await;
    }
}

/// 244 random bits, from the system.
fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Lambda's name of this machine's architecture.
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
