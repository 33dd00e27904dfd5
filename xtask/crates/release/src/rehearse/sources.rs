//! What is released: the commit, or the working tree as it is; and what of it cannot be carried, by name.

use std::path::PathBuf;

use super::*;
use causeway_build::worktree;

/// How many files of a kind are named.
const NAMED: usize = 5;

/// What is released.
pub(super) struct Sources {
    /// The commit, where there is one.
    pub(super) head: Option<String>,
    /// How many files differ from it.
    pub(super) uncommitted: usize,
    /// The files.
    pub(super) zip: Vec<u8>,
}

impl Sources {
    /// Reads them, and says what a reader should know of them.
    pub(super) async fn of(context: &Context) -> anyhow::Result<Self> {
        let root = &context.root;
        let warn = |message: String| context.out.line(&Line::Warning { message });
        let (standing, dirty) = git::look(root).await?;
        match (&standing, dirty.len()) {
            (git::Standing::Commit(_), 0) => {}
            (git::Standing::Commit(_), some) => {
                warn(format!("{some} files differ from the commit; the working tree is released as it is"));
            }
            (git::Standing::NoCommit, _) => {
                warn("there is no commit yet; the working tree is released as it is".to_owned());
            }
            (git::Standing::NoRepository, _) => warn(
                "this is no git repository; every file that .gitignore lets through is released".to_owned(),
            ),
        }
        let head = standing.commit();
        let (zip, left_out, how) = match (&head, dirty.is_empty()) {
            (Some(commit), true) => {
                let zip = git::archive(root, commit).await?;
                (
                    zip,
                    worktree::unlike(root).await?,
                    "not as they are: a link is a file with its target, a submodule is empty",
                )
            }
            _ => {
                let tree = worktree::working_tree(root).await?;
                (tree.zip, tree.left_out, "not at all")
            }
        };
        if let Some(what) = told(&left_out) {
            warn(format!("these files are released {how}: {what}"));
        }
        Ok(Self { head, uncommitted: dirty.len(), zip })
    }
}

/// The files that cannot be carried, some of them by name.
fn told(left_out: &[(PathBuf, &str)]) -> Option<String> {
    let named: Vec<String> =
        left_out.iter().take(NAMED).map(|(path, why)| format!("{} ({why})", path.display())).collect();
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}
