//! Files that only their owner may read, written whole or not at all.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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
