//! The files of a checkout as they are, committed or not.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::read_bytes;

use crate::git::{self, Standing};

/// A working tree as an artifact.
#[derive(Debug)]
pub struct Tree {
    /// Its files.
    pub zip: Vec<u8>,
    /// What is not among them though git lists it, with the reason.
    pub left_out: Vec<(PathBuf, &'static str)>,
}

/// Why a link is left out.
const LINK: &str = "a symbolic link";
/// Why a submodule is left out.
const FOLDER: &str = "a submodule or another repository";
/// Why a file with a strange name is left out.
const NAME: &str = "its name is not UTF-8";
/// Why anything else is left out.
const OTHER: &str = "no regular file";

/// The working tree's files as they are, without what git ignores. Works outside of a git checkout, too: there `.gitignore`
/// says what is ignored.
///
/// # Errors
/// git is missing, refuses or fails; a file cannot be read.
pub async fn working_tree(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree { zip: Vec::new(), left_out: Vec::new() };
    let mut entries = Vec::new();
    for name in names(root).await? {
        let path = root.join(&name);
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // A tracked file that was deleted is still listed, also where a file now has the name of its folder.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("look at {}", path.display()));
            }
        };
        let why = match metadata.file_type() {
            kind if kind.is_symlink() => Some(LINK),
            kind if kind.is_dir() => Some(FOLDER),
            kind if !kind.is_file() => Some(OTHER),
            _ => None,
        };
        let text = name.to_str().map(ToOwned::to_owned);
        match (why, text) {
            (Some(why), _) => tree.left_out.push((name, why)),
            (None, None) => tree.left_out.push((name, NAME)),
            (None, Some(name)) => {
                let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let executable = metadata.permissions().mode() & 0o111 != 0;
                entries.push(super::zips::Entry { name, executable, content });
            }
        }
    }
    tree.zip = super::zips::archive(entries)?;
    Ok(tree)
}

/// What of a commit's files a source artifact does not hold as it is: links and submodules.
///
/// # Errors
/// git is missing, refuses or fails.
pub async fn unlike(root: &Path) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let listed = read_bytes(command(root, |sh| cmd!(sh, "git ls-files -z --stage"))?).await?;
    let rows = listed.split(|byte| *byte == 0);
    let why = |row: &[u8]| match row.get(..6)? {
        b"120000" => Some(LINK),
        b"160000" => Some(FOLDER),
        _ => None,
    };
    let named = |row: &[u8]| {
        let at = row.iter().position(|byte| *byte == b'\t')?;
        Some((git::path(row.get(at + 1..)?), why(row)?))
    };
    Ok(rows.filter_map(named).collect())
}

async fn names(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = match git::standing(root).await? {
        Standing::Commit(_) | Standing::NoCommit => {
            read_bytes(command(root, |sh| cmd!(sh, "git {words...}"))?).await?
        }
        Standing::NoRepository => {
            // An empty repository elsewhere, so that git reads the ignore files that are here.
            let elsewhere = tempfile::tempdir().context("make a folder for git")?;
            let dir = elsewhere.path();
            read_bytes(command(root, |sh| cmd!(sh, "git init --quiet --bare {dir}"))?).await?;
            let tree = [format!("--git-dir={}", dir.display()), "--work-tree=.".to_owned()];
            read_bytes(command(root, |sh| cmd!(sh, "git {tree...} {words...}"))?).await?
        }
    };
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(git::path);
    // Where nothing says so, what the tool itself makes is no source.
    let mut all: Vec<PathBuf> = names.filter(|name| !name.starts_with("target")).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use causeway_machine::cmd::Shell;

    use super::*;

    fn holds(zip: &[u8], name: &str) -> bool {
        zip.windows(name.len()).any(|part| part == name.as_bytes())
    }

    /// A folder with an ignored private file, a link, and a file whose name is not UTF-8.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &OsStr, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put(OsStr::new(".gitignore"), "private.toml\n");
        put(OsStr::new("private.toml"), "mine");
        put(OsStr::new("README.md"), "edited");
        put(OsStr::from_bytes(b"f\xff\xfe.txt"), "x");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        dir
    }

    #[tokio::test]
    async fn what_cannot_be_carried_is_named_and_hides_nothing_else() {
        for repository in [true, false] {
            let dir = folder();
            if repository {
                let sh = Shell::new().unwrap();
                sh.change_dir(dir.path());
                #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
                cmd!(sh, "git init --quiet").quiet().run().unwrap();
                let changed = git::uncommitted(dir.path()).await.unwrap();
                assert!(changed.contains(&PathBuf::from("README.md")), "{changed:?}");
                assert_eq!(changed.len(), 4, "{changed:?}");
            }
            let tree = working_tree(dir.path()).await.unwrap();
            assert!(holds(&tree.zip, "README.md"), "{repository}");
            assert!(!holds(&tree.zip, "private.toml"), "{repository}: what is ignored is private");
            let why: Vec<&str> = tree.left_out.iter().map(|(_, why)| *why).collect();
            assert_eq!(why, [NAME, LINK], "{:?}", tree.left_out);
        }
    }

    #[tokio::test]
    async fn only_a_file_that_is_gone_is_taken_for_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (root, sh) = (dir.path(), Shell::new().unwrap());
        sh.change_dir(root);
        for name in ["gone", "inside/gone", "replaced/gone", "loop/there"] {
            sh.write_file(name, name).unwrap();
        }
        #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
        for words in [&["init", "--quiet"][..], &["add", "--all"]] {
            cmd!(sh, "git {words...}").quiet().run().unwrap();
        }
        for folder in ["inside", "replaced"] {
            std::fs::remove_dir_all(root.join(folder)).unwrap();
        }
        std::fs::remove_file(root.join("gone")).unwrap();
        std::fs::write(root.join("replaced"), "a file now").unwrap();
        let tree = working_tree(root).await.unwrap();
        assert!(holds(&tree.zip, "loop/there") && !holds(&tree.zip, "/gone"));
        // Nobody can tell what is there now.
        std::fs::remove_dir_all(root.join("loop")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let refused = format!("{:#}", working_tree(root).await.unwrap_err());
        assert!(refused.contains("loop/there"), "{refused}");
    }

    #[tokio::test]
    async fn a_commits_links_are_named() {
        let dir = folder();
        let sh = Shell::new().unwrap();
        sh.change_dir(dir.path());
        #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
        for words in [&["init", "--quiet"][..], &["add", "--all"]] {
            cmd!(sh, "git {words...}").quiet().run().unwrap();
        }
        assert_eq!(unlike(dir.path()).await.unwrap(), [(PathBuf::from("link"), LINK)]);
    }
}
