//! Files: private ones, written whole or not at all; and what lies below a directory.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// How often a place that another run has is asked for again.
const PACE: Duration = Duration::from_millis(100);

use causeway_model::fault::Fault;

/// Writes a file of mode 0600 under its final name in one step.
///
/// # Errors
/// The directory or the file cannot be written; what stood there before stays.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().context("a file without a directory")?;
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    // A temporary file is made with mode 0600.
    let mut file =
        tempfile::NamedTempFile::new_in(dir).with_context(|| format!("write in {}", dir.display()))?;
    file.write_all(content).with_context(|| format!("write {}", path.display()))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

/// Writes a file that everybody may read under its final name in one step.
///
/// # Errors
/// The directory or the file cannot be written; what stood there before stays.
pub fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(dir).with_context(|| format!("write in {}", dir.display()))?;
    file.write_all(content).with_context(|| format!("write {}", path.display()))?;
    let readable = Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable).with_context(|| format!("write {}", path.display()))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

/// What could not be written, why, and what to do about it: the full disk and what may not be written have their own advice.
pub fn not_written(path: &Path, error: &std::io::Error) -> Fault {
    let fault = Fault::failed("write", path.display().to_string()).why(error);
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => fault.next(
            "free some space, for instance with cargo clean, and run it again; nothing is left half-written",
        ),
        ErrorKind::ReadOnlyFilesystem => fault
            .next("the file system is mounted for reading only: run it in a checkout that can be written to"),
        ErrorKind::PermissionDenied => {
            fault.next("let this user write there (who owns it? ls -ld), and run it again")
        }
        ErrorKind::FileTooLarge => fault
            .next("raise the limit for the size of files (ulimit -f), and run it again; nothing is left half-written"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            fault.next("move away what lies in the way, and run it again")
        }
        _ => fault.next("fix what it says, and run it again; nothing is left half-written"),
    }
}

/// A folder that only its owner may look into, made where it is missing.
///
/// # Errors
/// It cannot be made, or belongs to somebody else.
pub fn private_dir(path: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("create {}", path.display()))?;
    // One that was there already may have been made for everybody.
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .with_context(|| format!("make {} private", path.display()))
}

/// An empty file of mode 0600, for what is written line by line. Its folder is made where it is missing.
///
/// # Errors
/// The folder or the file cannot be made.
pub fn create_private(path: &Path) -> anyhow::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("create {}", path.display()))?;
    file.set_permissions(Permissions::from_mode(0o600))
        .with_context(|| format!("make {} private", path.display()))?;
    Ok(file)
}

/// Has a place for itself until the answer is dropped. Where another run has it, this is said once and waited for,
/// without blocking: whoever waits can be interrupted.
///
/// # Errors
/// The file cannot be made or locked.
pub async fn lock(path: &Path, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| not_written(path, &error))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        if !said {
            say(&format!("waits for another run that has {}", path.display()));
            said = true;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Every file below a directory, relative, sorted, with `/` between folders. `enter` decides by name which folders count.
///
/// # Errors
/// A folder cannot be read.
pub fn files_below(dir: &Path, enter: &dyn Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(dir, "", enter, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(
    dir: &Path,
    prefix: &str,
    enter: &dyn Fn(&str) -> bool,
    found: &mut Vec<String>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?;
        if kind.is_dir() && enter(&name) {
            walk(&entry.path(), &format!("{prefix}{name}/"), enter, found)?;
        } else if kind.is_file() {
            found.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_waited_for_and_that_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let said = Mutex::new(Vec::new());
        let say = |text: &str| said.lock().unwrap().push(text.to_owned());
        let first = lock(&path, &say).await.unwrap();
        assert!(said.lock().unwrap().is_empty());
        // Whoever waits can be dropped at any time: nothing blocks.
        let cut_off = tokio::time::timeout(PACE * 3, lock(&path, &say)).await;
        assert!(cut_off.is_err(), "the place is taken");
        assert_eq!(*said.lock().unwrap(), [format!("waits for another run that has {}", path.display())]);
        drop(first);
        lock(&path, &say).await.unwrap();
        assert_eq!(said.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_written_says_what_to_do() {
        let table = [
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::QuotaExceeded, "free some space"),
            (ErrorKind::ReadOnlyFilesystem, "mounted for reading only"),
            (ErrorKind::PermissionDenied, "let this user write there"),
            (ErrorKind::NotADirectory, "lies in the way"),
            (ErrorKind::FileTooLarge, "ulimit -f"),
            (ErrorKind::Other, "nothing is left half-written"),
        ];
        for (kind, next) in table {
            let fault = not_written(Path::new("/x/y"), &kind.into());
            assert!(
                fault.next.contains(next) && fault.on == "/x/y" && !fault.why.is_empty(),
                "{kind:?}: {fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_waits_is_told_once_and_gets_the_place_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let told = std::sync::atomic::AtomicUsize::new(0);
        let count = |_: &str| {
            told.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        };
        let first = lock(&path, &count).await.unwrap();
        assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 0);
        let (second, ()) = tokio::join!(lock(&path, &count), async {
            // The other one has been asked by now: it is polled first.
            drop(first);
        });
        assert!(second.is_ok());
        assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[test]
    fn only_the_owner_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/file");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let log = dir.path().join("logs/one.log");
        create_private(&log).unwrap().write_all(b"first").unwrap();
        std::fs::set_permissions(&log, Permissions::from_mode(0o644)).unwrap();
        create_private(&log).unwrap();
        assert_eq!((mode(&log), std::fs::read(&log).unwrap().len()), (0o600, 0));
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        private_dir(&open.join("in/side")).unwrap();
        private_dir(&open).unwrap();
        assert_eq!((mode(&open), mode(&open.join("in/side"))), (0o700, 0o700));
    }
}
