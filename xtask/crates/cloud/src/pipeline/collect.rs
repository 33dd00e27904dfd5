//! What a build hands on, as a zip: sorted, with fixed times.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use causeway_model::buildspec::{Artifacts, fits};
use causeway_model::fault::Fault;

/// The files of an artifact. `dir` is the build's folder.
///
/// # Errors
/// No file fits, or one cannot be read.
pub(super) fn collect(dir: &Path, artifacts: &Artifacts) -> anyhow::Result<Vec<u8>> {
    // Of two files of one name, as where paths are discarded, the last one is handed on.
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for base in bases(dir, artifacts.base_directory.as_deref())? {
        for name in below(&base, artifacts.symlinks)? {
            if let Some(as_name) = artifacts.name(&name) {
                files.insert(as_name, base.join(name));
            }
        }
    }
    if files.is_empty() {
        return Err(Fault::failed("collect the artifact", artifacts.files.join(", "))
            .why(match &artifacts.base_directory {
                Some(base) => format!("no file below {base} fits"),
                None => "no file fits".to_owned(),
            })
            .next("correct `files` and `base-directory` of the artifact in the buildspec")
            .into());
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, path) in files {
        let metadata =
            std::fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let options = zip::write::SimpleFileOptions::default()
            .last_modified_time(zip::DateTime::default())
            // Quick rather than small: it goes from here to here.
            .compression_level(Some(1))
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        if artifacts.symlinks && metadata.is_symlink() {
            let target = std::fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
            writer
                .add_symlink(name.as_str(), target.to_string_lossy(), options)
                .with_context(|| format!("zip {name}"))?;
            continue;
        }
        writer.start_file(&name, options).with_context(|| format!("zip {name}"))?;
        let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        writer.write_all(&content).with_context(|| format!("zip {name}"))?;
    }
    Ok(writer.finish().context("finish the artifact")?.into_inner())
}

/// The base directories: one, or every one that fits a pattern.
fn bases(dir: &Path, base: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let Some(base) = base else { return Ok(vec![dir.to_path_buf()]) };
    if !base.contains('*') {
        let path = dir.join(base);
        if path.is_dir() {
            return Ok(vec![path]);
        }
        return Err(Fault::failed("collect the artifact", base)
            .why("the build made no such directory")
            .next("correct `base-directory` of the artifact in the buildspec")
            .into());
    }
    let base = base.trim_start_matches("./").trim_end_matches('/');
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        if entry.path().is_dir() && fits(base, &entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Files below a directory. A link is followed where it is not to be kept.
fn below(base: &Path, links: bool) -> anyhow::Result<Vec<String>> {
    let mut names = causeway_machine::files::files_below(base, &|name| name != ".git")?;
    // What `files_below` leaves out: links, to files alone.
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = base.join(&folder);
        for entry in std::fs::read_dir(&path).with_context(|| format!("read {}", path.display()))? {
            let entry = entry.with_context(|| format!("read {}", path.display()))?;
            let kind = entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(format!("{name}/"));
            } else if kind.is_symlink() && (links || entry.path().is_file()) {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path, artifacts: &Artifacts) -> Vec<String> {
        let zip = collect(dir, artifacts).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        (0..archive.len())
            .map(|index| archive.by_index(index).unwrap().name().unwrap().into_owned())
            .collect()
    }

    #[test]
    fn an_artifact_has_what_the_buildspec_says() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("out/deep/a.json", "{}"),
            ("out/secret/key.pem", "s"),
            ("out/b", "b"),
            ("out-2/c", "c"),
            ("d", "d"),
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("b", dir.path().join("out/link")).unwrap();
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let all = |base: Option<&str>| Artifacts {
            files: texts(&["**/*"]),
            base_directory: base.map(ToOwned::to_owned),
            ..Artifacts::default()
        };
        assert_eq!(names(dir.path(), &all(Some("out"))), ["b", "deep/a.json", "link", "secret/key.pem"]);
        let without = Artifacts { exclude: texts(&["secret/**"]), discard_paths: true, ..all(Some("out")) };
        assert_eq!(names(dir.path(), &without), ["a.json", "b", "link"]);
        assert_eq!(
            names(dir.path(), &all(Some("out*"))),
            ["b", "c", "deep/a.json", "link", "secret/key.pem"]
        );
        assert_eq!(names(dir.path(), &Artifacts { files: texts(&["d"]), ..all(None) }), ["d"]);
        for artifacts in [all(Some("none")), Artifacts { files: texts(&["x"]), ..all(None) }] {
            assert!(
                !causeway_model::fault::from_error(&collect(dir.path(), &artifacts).unwrap_err())
                    .next
                    .is_empty()
            );
        }
        let kept = collect(dir.path(), &Artifacts { symlinks: true, ..all(Some("out")) }).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(kept)).unwrap();
        assert!(archive.by_name("link").unwrap().is_symlink());
    }
}
