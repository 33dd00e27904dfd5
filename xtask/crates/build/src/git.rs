//! The commit at work and its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::Context as _;

use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::{read, read_bytes};
use causeway_model::fault::{Fault, Kind};

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
        Ok(ask) => read_bytes(ask).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    // A message or a name may be in another encoding than UTF-8.
    let answer = String::from_utf8_lossy(&answer);
    let names = ["AuthorDate", "AuthorDisplayName", "AuthorEmail", "CommitterDate", "CommitMessage"];
    let values = answer.splitn(names.len(), '\0').map(|value| value.trim_end().to_owned());
    names.into_iter().map(ToOwned::to_owned).zip(values).collect()
}

/// How a folder stands with git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// In a checkout of this commit.
    Commit(String),
    /// In a repository without a commit.
    NoCommit,
    /// In no repository, as what was unpacked from a ZIP.
    NoRepository,
}

impl Standing {
    /// The commit, where there is one.
    pub fn commit(self) -> Option<String> {
        match self {
            Standing::Commit(id) => Some(id),
            Standing::NoCommit | Standing::NoRepository => None,
        }
    }
}

/// How a folder stands with git.
///
/// # Errors
/// There is no git, or it refuses the folder, or fails (kind usage in each case): none of that says anything about the files.
pub async fn standing(root: &Path) -> anyhow::Result<Standing> {
    let inside = asked(root, &["rev-parse", "--is-inside-work-tree"]).await?;
    if !inside.status.success() {
        let said = String::from_utf8_lossy(&inside.stderr).trim().to_owned();
        if said.contains("not a git repository") {
            return Ok(Standing::NoRepository);
        }
        return Err(refusal(root, &said).into());
    }
    let head = asked(root, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
    let id = String::from_utf8_lossy(&head.stdout).trim().to_owned();
    match (head.status.success() && !id.is_empty(), head.stderr.is_empty()) {
        (true, _) => Ok(Standing::Commit(id)),
        (false, true) => Ok(Standing::NoCommit),
        (false, false) => Err(refusal(root, String::from_utf8_lossy(&head.stderr).trim()).into()),
    }
}

/// What git answers, in English whatever the caller's language, since it is read here.
async fn asked(root: &Path, words: &[&str]) -> anyhow::Result<Output> {
    let mut ask = command(root, |sh| cmd!(sh, "git {words...}"))?;
    ask.env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::piped());
    ask.output().await.map_err(|error| {
        let next = match error.kind() {
            std::io::ErrorKind::NotFound => "install git, or put it on the PATH",
            _ => "see that git can be started",
        };
        Fault::fact(Kind::Usage, "git cannot be started", "git").why(error).next(next).into()
    })
}

/// git does not answer about this folder: that says nothing about its files.
fn refusal(root: &Path, said: &str) -> Fault {
    let on = root.display().to_string();
    let first = said.lines().next().unwrap_or("it says nothing").trim_start_matches("fatal: ");
    // git names the line itself, and quotes the folder.
    let own = said.lines().map(str::trim).find(|line| line.starts_with("git config "));
    if said.contains("dubious ownership") {
        let own =
            own.map_or_else(|| format!("git config --global --add safe.directory {on}"), ToOwned::to_owned);
        let next = format!("if you trust what is in it: {own}");
        return Fault::fact(Kind::Usage, "git refuses this checkout: it belongs to somebody else", on)
            .why(first)
            .next(next);
    }
    Fault::fact(Kind::Usage, "git does not answer about this checkout", on)
        .why(first)
        .next("see what git status says there")
}

/// A path as git says it: any bytes but NUL.
pub(crate) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The output of a command of git in a repository.
async fn read_git(root: &Path, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = asked(root, words).await?;
    if !output.status.success() {
        return Err(refusal(root, String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(output.stdout)
}

/// Files that differ from the commit or are not part of it; empty for a clean tree, and where there is no repository.
///
/// # Errors
/// git is missing, refuses or fails; a merge is not resolved.
pub async fn uncommitted(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(look(root).await?.1)
}

/// Where a checkout stands, and its files as [`uncommitted`] has them.
///
/// # Errors
/// As for [`uncommitted`].
pub async fn look(root: &Path) -> anyhow::Result<(Standing, Vec<PathBuf>)> {
    let standing = standing(root).await?;
    if standing == Standing::NoRepository {
        return Ok((standing, Vec::new()));
    }
    let words = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"];
    let answer = read_git(root, &words).await?;
    let entries: Vec<&[u8]> = answer.split(|byte| *byte == 0).filter(|entry| entry.len() > 3).collect();
    // "Unmerged" of git-status(1).
    let unmerged = |entry: &&&[u8]| {
        [&b"DD"[..], b"AU", b"UD", b"UA", b"DU", b"AA", b"UU"].contains(&entry.get(..2).unwrap_or_default())
    };
    let open: Vec<String> = entries
        .iter()
        .filter(unmerged)
        .filter_map(|entry| entry.get(3..))
        .map(|name| path(name).display().to_string())
        .collect();
    if !open.is_empty() {
        return Err(Fault::fact(Kind::Usage, "a merge is not resolved", open.join(", "))
            .why("each of these files has two contents, and none of them is what would be released")
            .next("resolve it and git add the files, or git merge --abort")
            .into());
    }
    Ok((standing, entries.iter().filter_map(|entry| entry.get(3..)).map(path).collect()))
}

/// A revision's files as a zip, as a source provider hands them out.
///
/// # Errors
/// git is missing or does not know the revision.
pub async fn archive(root: &Path, revision: &str) -> anyhow::Result<Vec<u8>> {
    let archive = command(root, |sh| cmd!(sh, "git archive --format=zip --end-of-options {revision}"))?;
    read_bytes(archive).await.context("archive the commit")
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
    use causeway_model::fault::from_error;

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
        assert_eq!(uncommitted(dir.path()).await.unwrap(), Vec::<PathBuf>::new());
        sh.write_file("-y;\n$(id)", "").unwrap();
        assert_eq!(uncommitted(dir.path()).await.unwrap(), [PathBuf::from("-y;\n$(id)")]);
        let zip = crate::worktree::working_tree(dir.path()).await.unwrap().zip;
        for name in STRANGE.into_iter().chain(["a\nb"]) {
            let name = format!("cfn/{name}");
            assert!(zip.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
        assert!(!sh.path_exists("owned"));
    }

    #[tokio::test]
    async fn what_git_says_is_told_apart_and_never_means_clean() {
        let (dir, sh) = repository();
        let head = commit(dir.path(), "HEAD").await.unwrap();
        assert_eq!(standing(dir.path()).await.unwrap(), Standing::Commit(head));
        let bare = tempfile::tempdir().unwrap();
        assert_eq!(standing(bare.path()).await.unwrap(), Standing::NoRepository);
        let empty = Shell::new().unwrap();
        empty.change_dir(bare.path());
        git(&empty, &["init", "--quiet"]);
        assert_eq!(standing(bare.path()).await.unwrap(), Standing::NoCommit);
        // What git cannot read is no clean tree.
        std::fs::write(dir.path().join(".git/index"), "no index").unwrap();
        let fault = from_error(&uncommitted(dir.path()).await.unwrap_err());
        assert_eq!(
            (fault.kind, fault.title().as_str()),
            (Kind::Usage, "git does not answer about this checkout")
        );
        std::fs::write(dir.path().join(".git/HEAD"), "no head").unwrap();
        assert_eq!(standing(dir.path()).await.unwrap(), Standing::NoRepository, "git calls it none");
        drop(sh);
    }

    #[test]
    fn a_checkout_of_somebody_else_is_refused_with_gits_own_line() {
        // git 2.39's words.
        let said = "fatal: detected dubious ownership in repository at '/w/a b'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory '/w/a b'";
        let fault = refusal(Path::new("/w/a b"), said);
        assert_eq!(fault.kind.exit_code() as i32, 2);
        assert!(fault.next.ends_with("git config --global --add safe.directory '/w/a b'"), "{}", fault.next);
        assert_eq!(fault.why, "detected dubious ownership in repository at '/w/a b'");
    }

    #[tokio::test]
    async fn an_unresolved_merge_is_refused_by_name() {
        let (dir, sh) = repository();
        let commit = |message: &str| {
            git(&sh, &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qam", message]);
        };
        git(&sh, &["checkout", "-qb", "one"]);
        sh.write_file("cfn/a\nb", "one").unwrap();
        commit("one");
        git(&sh, &["checkout", "-qb", "two", "HEAD~1"]);
        sh.write_file("cfn/a\nb", "two").unwrap();
        commit("two");
        #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
        let merged = cmd!(sh, "git merge -q one").quiet().ignore_stdout().ignore_stderr().run();
        assert!(merged.is_err());
        let fault = from_error(&uncommitted(dir.path()).await.unwrap_err());
        assert_eq!((fault.title().as_str(), fault.on.as_str()), ("a merge is not resolved", "cfn/a\nb"));
    }
}
