//! What a `package` run leaves in `target/causeway/`: its record, the packages, the parameters of the app stack, the tool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Context;
use causeway_machine::files::not_written;
use causeway_model::artifact::PackageRecord;
use causeway_model::config::{ArtifactFact, Config, Parameter, Stack};
use causeway_model::fault::Fault;
use causeway_model::line::Line;

/// What was packaged last in this checkout, and that it cannot be read where that is so.
pub(super) fn before(context: &Context, dir: &Path) -> Option<PackageRecord> {
    let text = std::fs::read_to_string(dir.join("package.json")).ok()?;
    match serde_json::from_str(&text) {
        Ok(record) => Some(record),
        Err(error) => {
            let message = format!("the last package.json cannot be read ({error}); it is written anew");
            context.out.line(&Line::Warning { message });
            None
        }
    }
}

/// Another compiler or linker makes other bytes of the same sources: that is said.
pub(super) fn say_other_tools(context: &Context, before: Option<&PackageRecord>, record: &PackageRecord) {
    if let Some(rows) = before.and_then(|before| record.other_tools(before)) {
        let message = format!("other tools than for the last packages, so other bytes: {rows}");
        context.out.line(&Line::Warning { message });
    }
}

/// `package.json` of a run that made some functions only: the others stay in it as they were, where they are for the same
/// target; what is for another one is not beside them any more.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn some(
    context: &Context,
    before: Option<&PackageRecord>,
    record: &PackageRecord,
) -> anyhow::Result<(String, Vec<u8>)> {
    let merged = before.and_then(|before| record.beside(before));
    if merged.is_none() {
        context.out.note(
            "package.json names these functions alone: nothing else was packaged here for this target and profile",
        );
    }
    of(merged.as_ref().unwrap_or(record))
}

/// `package.json`: its name and its content.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn of(record: &PackageRecord) -> anyhow::Result<(String, Vec<u8>)> {
    let text = serde_json::to_string_pretty(record).context("write package.json")?;
    Ok(("package.json".to_owned(), format!("{text}\n").into_bytes()))
}

/// The parameters of the app stack in an account.
///
/// # Errors
/// One names a package that was not made.
pub fn parameters(
    config: &Config,
    app: &Stack,
    account: &str,
    record: &PackageRecord,
) -> anyhow::Result<BTreeMap<String, String>> {
    let instance = causeway_model::config::Instance { stack: app.name.clone(), account: account.to_owned() };
    let mut all = BTreeMap::new();
    for (name, parameter) in config.parameters(&instance) {
        let value = match parameter {
            Parameter::Literal(text) => config.fill(&text, account)?,
            Parameter::Artifact { function, fact } => {
                let found = record.function(&function).ok_or_else(|| {
                    Fault::usage("fill a parameter", name.as_str())
                        .why(format!("no package is called {function}"))
                        .next("correct it in cfn/stacks.toml")
                })?;
                match fact {
                    ArtifactFact::Version => found.version.clone(),
                    ArtifactFact::Key => found.key.clone(),
                    ArtifactFact::Sha256 => found.sha256.clone(),
                }
            }
            Parameter::Output { .. } => continue,
        };
        all.insert(name, value);
    }
    Ok(all)
}

/// Lays out what the test stage runs: the entry, this very program and the files it needs, so that nothing is compiled
/// twice. A program that no entry started stands alone, under the entry's name.
///
/// # Errors
/// A file cannot be copied.
pub(super) fn tool(root: &Path) -> anyhow::Result<()> {
    let dir = root.join("target/causeway/tool");
    let own = std::env::current_exe().context("find our own program")?;
    let entry = std::env::var_os(causeway_digest::ENTRY).map(PathBuf::from);
    let entry = entry.or_else(|| own.parent().map(|dir| dir.join("xtask"))).filter(|entry| entry.is_file());
    let programs = match entry {
        Some(entry) => vec![(entry, "xtask"), (own, "causeway")],
        None => vec![(own, "xtask")],
    };
    let files = [
        (root.join("cfn/stacks.toml"), "cfn/stacks.toml"),
        (root.join("buildspecs/test.yml"), "buildspecs/test.yml"),
    ];
    for (from, to) in programs.into_iter().chain(files) {
        let to = dir.join(to);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        // A file in use cannot be written over, but it can be replaced.
        let _ = std::fs::remove_file(&to);
        std::fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Writes every file under a temporary name first, then renames them, `package.json` last. What is there already, to the
/// byte, stays.
///
/// # Errors
/// The disk is full, or the folder may not be written: the last packages are as they were then.
pub(super) fn write_all(dir: &Path, files: Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    use std::io::Write as _;
    std::fs::create_dir_all(dir).map_err(|error| not_written(dir, &error))?;
    let mut ready: Vec<(tempfile::NamedTempFile, PathBuf)> = Vec::new();
    for (name, content) in files {
        let path = dir.join(name);
        if std::fs::read(&path).is_ok_and(|there| there == content) {
            continue;
        }
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|error| not_written(dir, &error))?;
        // A full disk may show only once all of it is really written.
        file.write_all(&content)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| not_written(&path, &error))?;
        ready.push((file, path));
    }
    for (file, path) in ready {
        file.persist(&path).map_err(|error| not_written(&path, &error.error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::from_error;

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = |text: &str| {
            vec![
                ("a.zip".to_owned(), text.as_bytes().to_vec()),
                ("b.zip".to_owned(), text.as_bytes().to_vec()),
            ]
        };
        write_all(dir.path(), files("one")).unwrap();
        std::fs::remove_file(dir.path().join("b.zip")).unwrap();
        std::fs::create_dir_all(dir.path().join("b.zip/in-the-way")).unwrap();
        let fault = from_error(&write_all(dir.path(), files("two")).unwrap_err());
        assert!(fault.on.ends_with("b.zip") && !fault.next.is_empty(), "{fault:?}");
        // A file where the folder should be.
        let fault = from_error(&write_all(&dir.path().join("a.zip/below"), files("two")).unwrap_err());
        assert!(fault.next.contains("in the way"), "{fault:?}");
        std::fs::remove_dir_all(dir.path().join("b.zip")).unwrap();
        write_all(dir.path(), files("two")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("b.zip")).unwrap(), b"two", "a retry works");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-written is left");
    }
}
