//! Runs a program to its end, and says what it was where it fails.
//!
//! `cmd.rs` makes the commands. Programs that must be found and ended later are started by `process.rs` instead.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use causeway_model::fault::Fault;

/// Whether this is a run of continuous integration, by the variable that every CI system sets.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|set| !set.is_empty())
}

/// What a program printed, as text.
///
/// # Errors
/// The program cannot be started (kind usage: it is missing), or ends badly, with what it printed.
pub async fn read(mut command: Command) -> anyhow::Result<String> {
    let name = describe(&command);
    let output = command.output().await.map_err(|error| missing(&command, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::failed("run", name).why(said.trim()).into());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name}: the output is not text"))
}

/// What a program printed, as bytes.
///
/// # Errors
/// As for [`read`].
pub async fn read_bytes(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let name = describe(&command);
    let output = command.output().await.map_err(|error| missing(&command, &error))?;
    if !output.status.success() {
        return Err(Fault::failed("run", name).why(String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(output.stdout)
}

/// Runs a program whose stdout is kept while its stderr goes to ours. Tokio's own `output` keeps both, whatever was set.
///
/// # Errors
/// The program cannot be started.
pub async fn hear(mut command: Command) -> std::io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn()?.wait_with_output().await
}

/// Runs a program whose output goes to our stderr, so that stdout stays ours. True where it ended well.
///
/// # Errors
/// The program cannot be started.
pub async fn show(mut command: Command) -> anyhow::Result<bool> {
    command.stdout(std::io::stderr());
    let status = command.status().await.map_err(|error| missing(&command, &error))?;
    Ok(status.success())
}

/// Attempts at what may fail because of the network.
const ATTEMPTS: u32 = 4;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Does something until it ends without a failure that may pass; `once` gives what was said of such a failure.
pub async fn repeat<F>(once: impl Fn() -> F, what: &str, say: &(dyn Fn(&str) + Sync))
where
    F: Future<Output = Option<String>>,
{
    repeat_after(PAUSE, once, what, say).await;
}

async fn repeat_after<F>(mut pause: Duration, once: impl Fn() -> F, what: &str, say: &(dyn Fn(&str) + Sync))
where
    F: Future<Output = Option<String>>,
{
    for attempt in 1.. {
        let Some(said) = once().await else { return };
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        if attempt >= ATTEMPTS {
            say(&format!("{what} did not answer in {ATTEMPTS} attempts: {last}"));
            return;
        }
        say(&format!("{what} does not answer: {last}; trying again ({attempt} of {})", ATTEMPTS - 1));
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

fn missing(command: &Command, error: &std::io::Error) -> anyhow::Error {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    Fault::usage("start", name.as_str())
        .why(error)
        .next(format!("install {name}, or put it on the PATH"))
        .into()
}

/// The program and its arguments, as a person would type them.
pub fn describe(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::cmd::{cmd, command};
    use causeway_model::fault::{Kind, from_error};

    fn sh(script: &str) -> Command {
        command(Path::new("."), |sh| cmd!(sh, "sh -c {script}")).unwrap()
    }

    #[tokio::test]
    async fn what_goes_to_stderr_is_not_kept() {
        let heard = hear(sh("echo yes; echo shown >&2; exit 3")).await.unwrap();
        assert_eq!((heard.stdout, heard.stderr), (b"yes\n".to_vec(), Vec::new()));
        assert_eq!(heard.status.code(), Some(3));
    }

    #[tokio::test]
    async fn what_is_missing_and_what_fails_is_named() {
        let missing = command(Path::new("."), |sh| cmd!(sh, "no-such-program x")).unwrap();
        let missing = read(missing).await.unwrap_err();
        assert_eq!(from_error(&missing).kind, Kind::Usage);
        let failed = read(sh("echo no >&2; exit 3")).await.unwrap_err();
        assert_eq!(from_error(&failed).why, "no");
        assert_eq!(read(sh("echo yes")).await.unwrap(), "yes\n");
    }

    /// How often something that fails so many times is done, and what was said.
    async fn done(failures: u32) -> (u32, Vec<String>) {
        let (count, said) = (AtomicU32::new(0), Mutex::new(Vec::new()));
        let say = |text: &str| said.lock().unwrap().push(text.to_owned());
        let once = || async {
            let failed = count.fetch_add(1, Ordering::SeqCst) < failures;
            failed.then(|| "warning\nno route\n\n".to_owned())
        };
        repeat_after(Duration::ZERO, once, "it", &say).await;
        (count.into_inner(), said.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_may_pass_is_done_again_and_said_a_bounded_number_of_times() {
        assert_eq!(done(0).await, (1, Vec::new()));
        let (count, said) = done(2).await;
        assert_eq!((count, said.len()), (3, 2));
        assert_eq!(said[0], "it does not answer: no route; trying again (1 of 3)");
        let (count, said) = done(u32::MAX).await;
        assert_eq!((count, said.len()), (4, 4));
        assert_eq!(said[3], "it did not answer in 4 attempts: no route");
    }
}
