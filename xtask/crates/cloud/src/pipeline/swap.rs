//! `rehearse --swap-package`: what somebody who can write into the artifact bucket could do between approval and execution.
//!
//! It is done as the build account's root, which no policy here binds: what is rehearsed is what holds when they fail.

use std::io::{Cursor, Write as _};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::Run;
use causeway_aws::cloudformation::Stacks;
use causeway_model::artifact::PackageRecord;
use causeway_model::config::BUILD;
use causeway_model::fault::Fault;
use causeway_model::line::Line;
use causeway_model::package::package_keys;

/// What is done to a package after the approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    /// The approved version is deleted, and other bytes are put under its key.
    Deleted,
    /// Other bytes are put under its key, as a newer version beside it.
    Beside,
}

impl Run {
    /// Puts other bytes in place of the first package that the release brings to the environment, and says so.
    pub(super) async fn swap(&self, how: Swap) -> anyhow::Result<()> {
        let Some(key) = self.brought().await? else {
            let message = "the release brings no new package, so none was swapped".to_owned();
            (self.emit)(Line::Warning { message });
            return Ok(());
        };
        let record: PackageRecord =
            serde_json::from_str(&self.file(&self.session, "BuildOutput::package.json").await?)
                .context("read package.json of the artifact BuildOutput")?;
        let approved = record.functions.iter().find(|function| function.key == key);
        let version = approved.and_then(|function| function.version_id.as_deref()).ok_or_else(|| {
            Fault::failed("swap the package", key.as_str()).why("package.json names no version of it")
        })?;
        let bucket = self.bucket(self.world.accounts.get(BUILD)?)?;
        let other = other(&bucket.get(&key).await?)?;
        if how == Swap::Deleted {
            bucket.delete_version(&key, version).await?;
        }
        bucket.put_artifact(&key, other).await?;
        let what = match how {
            Swap::Deleted => "was deleted, and other bytes lie",
            Swap::Beside => "has other bytes beside it, as a newer version",
        };
        let message =
            format!("--swap-package: the approved version {version} of {key} {what} under its key now");
        (self.emit)(Line::Warning { message });
        Ok(())
    }

    /// The key of the first package that the environment does not have yet.
    async fn brought(&self) -> anyhow::Result<Option<String>> {
        // As where there is one: the last that was made, or any other that brings a package.
        let pending: Vec<_> =
            self.pending().0.iter().rev().map(|one| (one.account.clone(), one.key.1.clone())).collect();
        let keys = |template: &str| package_keys(template).map_err(anyhow::Error::msg);
        let new = keys(&self.file(&self.session, "BuildOutput::template.yaml").await?)?;
        for (account, stack) in pending {
            let account = self.world.accounts.get(&account)?;
            let old = keys(&Stacks::new(account).template(&stack).await?)?;
            if let Some((_, key)) = new.iter().find(|(function, key)| old.get(*function) != Some(*key)) {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }
}

/// A package that runs like the given one and has other bytes.
fn other(package: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new_append(Cursor::new(package.to_vec())).context("open the package")?;
    archive.start_file("swapped", SimpleFileOptions::default()).context("change the package")?;
    archive.write_all(b"These bytes were not approved.\n").context("change the package")?;
    let bytes = archive.finish().context("change the package")?.into_inner();
    ZipArchive::new(Cursor::new(&bytes)).context("read the changed package")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_package_has_what_the_first_has_and_more() {
        let mut package = ZipWriter::new(Cursor::new(Vec::new()));
        package.start_file("bootstrap", SimpleFileOptions::default()).unwrap();
        package.write_all(b"x").unwrap();
        let package = package.finish().unwrap().into_inner();
        let other = other(&package).unwrap();
        let mut archive = ZipArchive::new(Cursor::new(&other)).unwrap();
        assert_eq!(archive.len(), 2);
        assert!(archive.by_name("bootstrap").is_ok() && archive.by_name("swapped").is_ok());
        assert!(super::other(b"no zip").is_err());
    }
}
