//! One release at a time holds a checkout's cloud, from its first second to its last: two that take turns within one shift, or
//! one that ends the cloud of the other, would both be told wrong.
//!
//! The hold is a lock of the system on a file, so it ends with its process, whatever becomes of that. What the file says is for
//! people.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use causeway_machine::files;
use causeway_machine::paths::Paths;
use causeway_model::fault::{Fault, Kind};

/// How often it is looked whether the cloud is free.
const PACE: Duration = Duration::from_millis(200);
/// How often it is said that it is waited for.
const SAYS: Duration = Duration::from_secs(10);

/// The cloud, held until this is dropped.
#[derive(Debug)]
pub(super) struct Hold(#[expect(dead_code, reason = "it is held, and not looked at")] File);

/// How long somebody waits for the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as it takes: a person can end it.
    Any,
    /// So long.
    For(Duration),
}

impl Patience {
    /// As asked for with `--wait`; without it a person waits, and nobody else.
    pub(super) fn of(wait: Option<u64>, is_interactive: bool) -> Self {
        match (wait, is_interactive) {
            (Some(seconds), _) => Self::For(Duration::from_secs(seconds)),
            (None, true) => Self::Any,
            (None, false) => Self::For(Duration::ZERO),
        }
    }
}

/// Holds the checkout's cloud for a release. Where another one has it, that is waited for.
///
/// # Errors
/// It is not free in time; the fault names the process and the commit of the one that holds it.
pub(super) async fn hold(
    paths: &Paths,
    commit: &str,
    patience: Patience,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Hold> {
    files::private_dir(paths.local())?;
    let path = place(paths);
    let begin = Instant::now();
    let mut said: Option<(String, Instant)> = None;
    let mut file = loop {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => break file,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        let holder = holder(&path);
        let left = match patience {
            Patience::Any => PACE,
            Patience::For(long) => long.saturating_sub(begin.elapsed()),
        };
        if left.is_zero() {
            return Err(Fault::new(Kind::Stuck, "start the release", "the local cloud of this checkout")
                .why(format!("one release at a time: {holder}"))
                .next("wait until that one has ended (--wait SECONDS does), or end it with Ctrl-C")
                .into());
        }
        if said.as_ref().is_none_or(|(text, at)| *text != holder || at.elapsed() >= SAYS) {
            say(&format!(
                "waits for the local cloud of this checkout, {} s: {holder}",
                begin.elapsed().as_secs()
            ));
            said = Some((holder, Instant::now()));
        }
        sleep(PACE.min(left)).await;
    };
    let own = json!({"pid": std::process::id(), "commit": commit}).to_string();
    file.set_len(0)
        .and_then(|()| file.write_all(own.as_bytes()))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(Hold(file))
}

fn place(paths: &Paths) -> PathBuf {
    paths.local().join("release.lock")
}

/// Who holds it, in words: it may not have written itself down yet.
fn holder(path: &Path) -> String {
    let said: Value = serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default();
    match (said["pid"].as_u64(), said["commit"].as_str()) {
        (Some(pid), Some(commit)) => {
            let commit: String = commit.chars().take(12).collect();
            format!("process {pid} holds it and releases {commit}")
        }
        _ => "another process has just begun".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use causeway_model::fault::from_error;

    const QUIET: &(dyn Fn(&str) + Sync) = &|_| {};

    fn paths(dir: &Path) -> Paths {
        Paths::of(dir).with_local(&dir.join("local"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_release_is_refused_and_told_who_has_the_cloud() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let now = Patience::For(Duration::ZERO);
        let first = hold(&paths, "0123456789abcdef", now, QUIET).await.unwrap();
        let begin = Instant::now();
        for (patience, waited) in [(now, 0), (Patience::For(Duration::from_secs(25)), 25)] {
            let said = Mutex::new(Vec::new());
            let say = |text: &str| said.lock().unwrap().push(text.to_owned());
            let fault = from_error(&hold(&paths, "other", patience, &say).await.unwrap_err());
            assert_eq!(fault.kind, Kind::Stuck);
            let own = format!("process {} holds it and releases 0123456789ab", std::process::id());
            assert!(fault.why.contains(&own), "{fault}");
            assert_eq!(begin.elapsed().as_secs(), waited);
            let said = said.into_inner().unwrap();
            assert_eq!(
                said.len(),
                if waited == 0 { 0 } else { 3 },
                "at once, and every ten seconds: {said:?}"
            );
            assert!(said.iter().all(|text| text.contains(&own)), "{said:?}");
        }
        drop(first);
        hold(&paths, "other", now, QUIET).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_it_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        for patience in [Patience::Any, Patience::For(Duration::from_secs(600))] {
            let first = hold(&paths, "first", Patience::Any, QUIET).await.unwrap();
            let free = async move {
                sleep(Duration::from_secs(300)).await;
                drop(first);
            };
            let (second, ()) = tokio::join!(hold(&paths, "second", patience, QUIET), free);
            let second = second.unwrap();
            assert!(holder(&place(&paths)).ends_with("releases second"));
            drop(second);
        }
    }

    #[test]
    fn a_person_waits_and_a_script_does_not_unless_it_says_so() {
        let seconds = |n| Patience::For(Duration::from_secs(n));
        for (wait, is_interactive, expected) in [
            (None, true, Patience::Any),
            (None, false, seconds(0)),
            (Some(90), true, seconds(90)),
            (Some(90), false, seconds(90)),
            (Some(0), true, seconds(0)),
        ] {
            assert_eq!(Patience::of(wait, is_interactive), expected);
        }
    }
}
