//! Files: private ones, written whole or not at all; and what lies below a directory.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::model::fault::Fault;

/// Writes a file of mode 0600 under its final name in one step.
///
/// # Errors
/// The directory or the file cannot be written; what stood there before stays.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
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
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(dir).with_context(|| format!("write in {}", dir.display()))?;
    file.write_all(content).with_context(|| format!("write {}", path.display()))?;
    let readable = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable).with_context(|| format!("write {}", path.display()))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

/// What could not be written, why, and what to do about it: the full disk and what may not be written have their own advice.
pub(crate) fn not_written(path: &Path, error: &std::io::Error) -> Fault {
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
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            fault.next("move away what lies in the way, and run it again")
        }
        _ => fault.next("mend what it says, and run it again; nothing is left half-written"),
    }
}

/// Has a place for itself until the answer is dropped; waits for another process that has it. `wait` is called before that.
///
/// # Errors
/// The file cannot be made or locked.
pub(crate) async fn lock(path: &Path, wait: &(dyn Fn() + Sync)) -> anyhow::Result<std::fs::File> {
    let file = std::fs::File::create(path).map_err(|error| not_written(path, &error))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => wait(),
        Err(error) => return Err(error).with_context(|| format!("lock {}", path.display())),
    }
    let locked = tokio::task::spawn_blocking(move || {
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map(|()| file)
    });
    locked.await?.with_context(|| format!("lock {}", path.display()))
}

/// Every file below a directory, relative, sorted, with `/` between folders. `enter` decides by name which folders count.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn files_below(dir: &Path, enter: &dyn Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_cannot_be_written_says_what_to_do() {
        let table = [
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::QuotaExceeded, "free some space"),
            (ErrorKind::ReadOnlyFilesystem, "mounted for reading only"),
            (ErrorKind::PermissionDenied, "let this user write there"),
            (ErrorKind::NotADirectory, "lies in the way"),
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
        let count = || {
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
    }
}
