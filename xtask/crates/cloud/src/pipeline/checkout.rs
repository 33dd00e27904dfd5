//! The checkout in which builds run: brought to a commit so that unchanged files keep their times.
//!
//! Cargo compares times, not content. A file that is written anew without a change would be compiled again; one that
//! is changed but carries an older time would not be compiled at all. So exactly what differs is written, now.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use anyhow::Context as _;

/// What a build leaves behind and what must survive the next one.
const KEPT: &str = "target";

/// Brings a directory to the content of a zip. Returns how many files were written or removed.
///
/// # Errors
/// The archive is broken or names a place outside of the directory; a file cannot be written.
pub(super) fn sync(dir: &Path, zip: &[u8]) -> anyhow::Result<usize> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).context("open the source artifact")?;
    let mut wanted = BTreeSet::new();
    let mut changed = 0;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).context("read the source artifact")?;
        if file.is_dir() {
            continue;
        }
        let name = file.name().context("read a name of the source artifact")?.into_owned();
        let safe = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        anyhow::ensure!(
            safe && !name.is_empty(),
            "the source artifact names {name:?}, which lies outside of the checkout"
        );
        let mut content = Vec::new();
        file.read_to_end(&mut content).with_context(|| format!("read {name} from the source artifact"))?;
        let executable = file.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        changed += usize::from(write(&dir.join(&name), &content, executable)?);
        wanted.insert(name);
    }
    for name in causeway_machine::files::files_below(dir, &|name| name != KEPT && name != ".git")? {
        if !wanted.contains(&name) {
            std::fs::remove_file(dir.join(&name))
                .with_context(|| format!("remove {name} from the checkout"))?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Writes a file where its content or its mode differs; says whether it did.
fn write(path: &Path, content: &[u8], executable: bool) -> anyhow::Result<bool> {
    let mode = if executable { 0o755 } else { 0o644 };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        let same_mode = (metadata.permissions().mode() & 0o111 != 0) == executable;
        if metadata.is_file() && same_mode && std::fs::read(path).is_ok_and(|found| found == content) {
            return Ok(false);
        }
        if metadata.is_dir() {
            std::fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions)
        .with_context(|| format!("set the mode of {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn only_what_differs_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(sync(dir.path(), &zip_of(&[("a", "1"), ("b/c", "2")])).unwrap(), 2);
        std::fs::create_dir_all(at("target/deep")).unwrap();
        std::fs::write(at("target/deep/x"), "kept").unwrap();
        let before = std::fs::metadata(at("a")).unwrap().modified().unwrap();
        assert_eq!(sync(dir.path(), &zip_of(&[("a", "1"), ("b/d", "3")])).unwrap(), 2);
        assert_eq!(std::fs::metadata(at("a")).unwrap().modified().unwrap(), before);
        assert!(!at("b/c").exists() && at("b/d").exists() && at("target/deep/x").exists());
        assert_eq!(sync(dir.path(), &zip_of(&[("a", "1"), ("b/d", "3")])).unwrap(), 0);
    }

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["../x", "/x", "a/../../x"] {
            assert!(sync(&dir.path().join("in"), &zip_of(&[(name, "x")])).is_err(), "{name}");
        }
        assert!(!dir.path().join("x").exists());
    }
}
