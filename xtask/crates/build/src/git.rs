//! The commit at work and its files.

use std::path::Path;

use anyhow::Context as _;

use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::{read, read_bytes};

/// The full id of a revision; `None` where it does not exist or this is no git checkout.
pub async fn commit(root: &Path, revision: &str) -> Option<String> {
    let spec = format!("{revision}^{{commit}}");
    let ask = command(root, |sh| cmd!(sh, "git rev-parse --verify --quiet --end-of-options {spec}"));
    let answer = read(ask.ok()?).await.ok()?;
    Some(answer.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The commit at work in one line: its short id, its subject, its author's name.
pub async fn subject(root: &Path) -> Option<String> {
    let ask = command(root, |sh| cmd!(sh, "git log -1 '--format=commit %h: %s (%an)'"));
    let answer = read(ask.ok()?).await.ok()?;
    Some(answer.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What a source action's variables say of the commit, by their names; nothing where there is no commit.
pub async fn revision(root: &Path) -> std::collections::BTreeMap<String, String> {
    let ask = command(root, |sh| cmd!(sh, "git log -1 --format=%aI%x00%an%x00%ae%x00%cI%x00%B"));
    let answer = match ask {
        Ok(ask) => read(ask).await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    let names = ["AuthorDate", "AuthorDisplayName", "AuthorEmail", "CommitterDate", "CommitMessage"];
    let values = answer.splitn(names.len(), '\0').map(|value| value.trim_end().to_owned());
    names.into_iter().map(ToOwned::to_owned).zip(values).collect()
}

/// Files that differ from the commit or are not part of it; empty for a clean tree.
pub async fn uncommitted(root: &Path) -> Vec<String> {
    let ask = command(root, |sh| cmd!(sh, "git status --porcelain=v1 -z --no-renames --untracked-files=all"));
    let text = match ask {
        Ok(ask) => read(ask).await.unwrap_or_default(),
        Err(_) => return Vec::new(),
    };
    text.split('\0')
        .filter_map(|entry| entry.get(3..))
        .filter(|path| !path.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// A revision's files as a zip, as a source provider hands them out.
///
/// # Errors
/// git is missing or does not know the revision.
pub async fn archive(root: &Path, revision: &str) -> anyhow::Result<Vec<u8>> {
    let archive = command(root, |sh| cmd!(sh, "git archive --format=zip --end-of-options {revision}"))?;
    read_bytes(archive).await.context("archive the commit")
}

/// The working tree's files as they are, without what git ignores, as a zip. Works outside of a git checkout, too.
///
/// # Errors
/// A file cannot be read.
pub async fn working_tree(root: &Path) -> anyhow::Result<Vec<u8>> {
    let list = command(root, |sh| cmd!(sh, "git ls-files -z --cached --others --exclude-standard"))?;
    let listed = read(list).await;
    let names: Vec<String> = match listed {
        Ok(text) => text.split('\0').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
        Err(_) => causeway_machine::files::files_below(root, &|name| name != "target" && name != ".git")?,
    };
    let mut entries = Vec::new();
    for name in names {
        let path = root.join(&name);
        // A tracked file that was deleted is still listed; a link is not followed.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let executable = {
            use std::os::unix::fs::PermissionsExt as _;
            metadata.permissions().mode() & 0o111 != 0
        };
        entries.push(super::zips::Entry { name, executable, content });
    }
    super::zips::archive(entries)
}

/// The files directly in a folder as a commit has them, by name.
///
/// # Errors
/// git is missing, does not know the commit, or a file is not text.
pub async fn files_at(
    root: &Path,
    commit: &str,
    folder: &str,
) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let tree = format!("{commit}:{folder}");
    let listed =
        read(command(root, |sh| cmd!(sh, "git ls-tree -z --name-only --end-of-options {tree}"))?).await;
    let listed = listed.with_context(|| format!("list {folder} at {commit}"))?;
    let mut files = std::collections::BTreeMap::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let object = format!("{tree}/{name}");
        // A folder in the folder is no blob; it is none of ours.
        let show = command(root, |sh| cmd!(sh, "git cat-file blob --end-of-options {object}"))?;
        if let Ok(text) = read(show).await {
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use causeway_machine::cmd::Shell;

    use super::*;

    /// What a shell would run, what git would take for an option, and what ends a line. git allows all but the last as names
    /// of branches where they are written past its own check.
    const STRANGE: [&str; 4] = ["a;touch${IFS}owned", "$(touch${IFS}owned)", "-x", "--output=owned"];

    /// A repository with files of strange names in `cfn`, and a branch of each name.
    fn repository() -> (tempfile::TempDir, Shell) {
        let dir = tempfile::tempdir().unwrap();
        let sh = Shell::new().unwrap();
        sh.change_dir(dir.path());
        git(&sh, &["init", "--quiet"]);
        for name in STRANGE.into_iter().chain(["a\nb"]) {
            sh.write_file(format!("cfn/{name}"), name).unwrap();
        }
        git(&sh, &["add", "--all"]);
        git(
            &sh,
            &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message=t"],
        );
        for name in STRANGE {
            git(&sh, &["update-ref", &format!("refs/heads/{name}"), "HEAD"]);
        }
        (dir, sh)
    }

    fn git(sh: &Shell, words: &[&str]) {
        #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
        cmd!(sh, "git {words...}").quiet().run().unwrap();
    }

    #[tokio::test]
    async fn a_revision_and_a_file_are_values_whatever_they_are_called() {
        let (dir, sh) = repository();
        let head = commit(dir.path(), "HEAD").await.unwrap();
        for name in STRANGE {
            assert_eq!(commit(dir.path(), name).await.as_ref(), Some(&head), "{name}");
            let files = files_at(dir.path(), name, "cfn").await.unwrap();
            assert!(files.iter().all(|(name, text)| name == text), "{files:?}");
            let names: Vec<&String> = files.keys().collect();
            assert_eq!(names, ["$(touch${IFS}owned)", "--output=owned", "-x", "a\nb", "a;touch${IFS}owned"]);
            assert!(archive(dir.path(), name).await.unwrap().starts_with(b"PK"), "{name}");
        }
        for none in ["a\nb", "HEAD\n--help", "", "HEAD; id"] {
            assert_eq!(commit(dir.path(), none).await, None, "{none:?}");
            assert!(archive(dir.path(), none).await.is_err(), "{none:?}");
        }
        assert_eq!(uncommitted(dir.path()).await, [] as [&str; 0]);
        sh.write_file("-y;\n$(id)", "").unwrap();
        assert_eq!(uncommitted(dir.path()).await, ["-y;\n$(id)"]);
        let zip = working_tree(dir.path()).await.unwrap();
        for name in STRANGE.into_iter().chain(["a\nb"]) {
            let name = format!("cfn/{name}");
            assert!(zip.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
        assert!(!sh.path_exists("owned"));
    }
}
