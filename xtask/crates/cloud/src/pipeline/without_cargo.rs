//! A search path without cargo and rustc: what runs without them is rehearsed without them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What compiles: nothing that begins so is found.
const COMPILERS: [&str; 3] = ["cargo", "rustc", "rustup"];

/// The same search path, where a folder with one of them is replaced by one with links to everything else in it, made in
/// `scratch`.
///
/// # Errors
/// Such a folder cannot be made.
pub(super) fn path(path: &str, scratch: &Path) -> anyhow::Result<String> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for (number, dir) in std::env::split_paths(path).enumerate() {
        let names: Vec<std::ffi::OsString> =
            std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        let compiles = |name: &std::ffi::OsString| {
            COMPILERS.iter().any(|compiler| name.as_encoded_bytes().starts_with(compiler.as_bytes()))
        };
        if !names.iter().any(compiles) {
            dirs.push(dir);
            continue;
        }
        let own = scratch.join(format!("path-{number}"));
        std::fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
        for name in names.iter().filter(|name| !compiles(name)) {
            symlink(dir.join(name), own.join(name))
                .with_context(|| format!("link {}", dir.join(name).display()))?;
        }
        dirs.push(own);
    }
    let joined = std::env::join_paths(dirs).context("join the search path")?;
    joined.into_string().map_err(|path| anyhow::anyhow!("the search path is not text: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_not_found_and_what_lies_beside_them_is() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, names) in [("one", &["cargo", "rustc", "cargo-clippy", "sh"][..]), ("two", &["curl"])] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            for name in names {
                std::fs::write(dir.path().join(folder).join(name), folder).unwrap();
            }
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let before = format!("{}:{}:{}:/no/such/folder", at("one"), at("two"), at("one"));
        let after = path(&before, &dir.path().join("scratch")).unwrap();
        let found = |name: &str| {
            std::env::split_paths(&after).find_map(|dir| std::fs::read_to_string(dir.join(name)).ok())
        };
        assert_eq!((found("sh").as_deref(), found("curl").as_deref()), (Some("one"), Some("two")));
        for compiler in ["cargo", "rustc", "cargo-clippy"] {
            assert_eq!(found(compiler), None, "{compiler} in {after}");
        }
        assert!(after.contains(&at("two")) && after.ends_with(":/no/such/folder"), "{after}");
    }
}
