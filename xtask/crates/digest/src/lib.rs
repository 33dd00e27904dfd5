//! Which sources the tool is made of, and whether the program that runs was built from them.
//!
//! A rehearsal builds in a checkout of its own. Where the tool's sources there are those of the tool that runs, it is not
//! built a second time: the runner keeps a copy of its own program ([`keep`]), names it to the build ([`TOOL`],
//! [`TOOL_DIGEST`]), and the entry in the checkout compares the digest of what lies there ([`sources`]) with it.
//!
//! The wrong tool could end in a release that is green and should not be. So a digest is believed of a program only where
//! the entry computed the same one before it had cargo build and after it, and only for that very file ([`identity`]):
//! a program that was built meanwhile is another file.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Where a rehearsal notes how it ended, below the checkout: one line for `cargo xtask` alone.
pub const LAST_REHEARSAL: &str = "target/causeway/last-rehearsal";
/// Names a tool that need not be built again to the entry of a checkout.
pub const TOOL: &str = "CAUSEWAY_TOOL";
/// The digest of the sources it was built from.
pub const TOOL_DIGEST: &str = "CAUSEWAY_TOOL_DIGEST";
/// Names the entry to the program that it becomes: a package carries both.
pub const ENTRY: &str = "CAUSEWAY_ENTRY";
/// The digest that fits any sources. Only for what nobody judges: the baseline of a rehearsal, an older commit that stands for
/// the release before, is built by the tool that runs.
pub const ANY: &str = "any";
/// What the entry says to the program that it had built: the digest of its sources, and the file's identity.
pub const BUILT: &str = "CAUSEWAY_TOOL_BUILT";

/// Everything that decides on the tool's bytes, besides the compiler that `Cargo.toml` names: files and folders.
const SOURCES: [&str; 4] = [".cargo", "Cargo.lock", "Cargo.toml", "xtask"];
/// What programs leave beside sources, and no compiler reads.
const LEFT: [&str; 2] = ["__pycache__", ".DS_Store"];
/// What insta leaves beside them.
const SNAPSHOTS: [&str; 2] = [".pending-snap", ".snap.new"];

/// The digest of the tool's sources in a checkout.
///
/// # Errors
/// A file cannot be read; there is none.
pub fn sources(root: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for name in SOURCES {
        list(root, Path::new(name), &mut names)?;
    }
    names.sort();
    if names.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there are no sources of the tool"));
    }
    let mut digest = Sha256::new();
    for name in names {
        let content = fs::read(root.join(&name))?;
        // With their lengths, so that no two sets of files give the same bytes.
        let name = name.as_os_str().as_encoded_bytes();
        for part in [name, &content] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn list(root: &Path, name: &Path, names: &mut Vec<PathBuf>) -> io::Result<()> {
    // What a link leads to counts, as for the compiler.
    let metadata = match fs::metadata(root.join(name)) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        names.push(name.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(root.join(name))? {
        let own = entry?.file_name();
        let snapshot = SNAPSHOTS.iter().any(|ending| own.as_encoded_bytes().ends_with(ending.as_bytes()));
        if !snapshot && !LEFT.iter().any(|left| own == *left) {
            list(root, &name.join(own), names)?;
        }
    }
    Ok(())
}

/// What tells one file from every other, and from itself once it has been written anew.
///
/// # Errors
/// It cannot be looked at.
pub fn identity(path: &Path) -> io::Result<String> {
    Ok(identity_of(&fs::metadata(path)?))
}

fn identity_of(file: &Metadata) -> String {
    format!("{:x}-{:x}-{:x}-{:x}.{:x}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())
}

/// The value of [`BUILT`] for a program that was built from sources of this digest.
///
/// # Errors
/// The program cannot be looked at.
pub fn built(digest: &str, program: &Path) -> io::Result<String> {
    Ok(format!("{digest} {}", identity(program)?))
}

/// The program that runs: Linux leads to it even when its name has gone to another by now.
///
/// # Errors
/// It cannot be found.
pub fn running() -> io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() { Ok(link.to_owned()) } else { std::env::current_exe() }
}

/// Copies the program that runs to `<folder>/<digest>/<name>`, unless it is there, and gives the path and the digest of its
/// sources; none where it is not known which those are. What lies in the folder besides is removed: nobody else may be
/// at work in it.
///
/// # Errors
/// A file cannot be read or written.
pub fn keep(folder: &Path, name: &str) -> io::Result<Option<(PathBuf, String)>> {
    let Ok(said) = std::env::var(BUILT) else { return Ok(None) };
    keep_as(folder, name, &said, &running()?)
}

fn keep_as(folder: &Path, name: &str, said: &str, program: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let mut from = File::open(program)?;
    let Some((digest, identity)) = said.split_once(' ') else { return Ok(None) };
    let well_formed = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Of what was opened, not of what has the name: that may change in between.
    if !well_formed || identity_of(&from.metadata()?) != identity {
        return Ok(None);
    }
    let own = folder.join(digest);
    let path = own.join(name);
    if path.is_file() {
        return Ok(Some((path, digest.to_owned())));
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(&own)?;
    // Under its final name only once it is complete.
    let part = own.join(format!("{name}.part"));
    let mut to = File::create(&part)?;
    io::copy(&mut from.by_ref(), &mut to)?;
    to.set_permissions(fs::Permissions::from_mode(0o755))?;
    drop(to);
    fs::rename(&part, &path)?;
    Ok(Some((path, digest.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn checkout() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "xtask/src/main.rs", "xtask/data/a.txt"]
        {
            write(dir.path(), name, name);
        }
        dir
    }

    #[test]
    fn the_digest_is_that_of_everything_the_tool_is_made_of() {
        let (one, other) = (checkout(), checkout());
        let of = |dir: &tempfile::TempDir| sources(dir.path()).unwrap();
        let before = of(&one);
        assert_eq!(before, of(&other), "the same sources elsewhere");
        for name in ["README.md", "api/src/lib.rs", "target/debug/xtask", "xtask/data/__pycache__/a.pyc"] {
            write(other.path(), name, "x");
            assert_eq!(before, of(&other), "{name} is no part of it");
        }
        for name in [
            "Cargo.toml",
            "Cargo.lock",
            ".cargo/config.toml",
            "xtask/src/main.rs",
            "xtask/data/a.txt",
            "xtask/new.rs",
        ] {
            let changed = checkout();
            write(changed.path(), name, "other");
            assert_ne!(before, of(&changed), "{name} is part of it");
        }
        let moved = checkout();
        fs::rename(moved.path().join("xtask/data/a.txt"), moved.path().join("xtask/data/b.txt")).unwrap();
        assert_ne!(before, of(&moved), "names count");
        let gone = checkout();
        fs::remove_file(gone.path().join("xtask/data/a.txt")).unwrap();
        assert_ne!(before, of(&gone), "what is gone counts");
        let shifted = checkout();
        write(shifted.path(), "xtask/data/a.txt", "xtask/data/a.tx");
        write(shifted.path(), "xtask/src/main.rs", "txtask/src/main.rs");
        assert_ne!(before, of(&shifted), "where a file ends counts");
        assert!(sources(tempfile::tempdir().unwrap().path()).is_err());
    }

    #[test]
    fn only_the_very_program_that_was_built_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "tool").unwrap();
        let digest = "ab".repeat(32);
        let said = built(&digest, &program).unwrap();
        let folder = dir.path().join("kept");
        let keep = |said: &str| keep_as(&folder, "causeway", said, &program).unwrap();
        for wrong in ["", "x", &digest, &format!("{digest} 1-2-3"), &said.replacen("ab", "..", 1)] {
            assert_eq!(keep(wrong), None, "{wrong:?}");
        }
        let (path, found) = keep(&said).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), &found), ("tool", &digest));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(keep(&said).unwrap().0, path, "it is copied once");
        let later = built(&"cd".repeat(32), &program).unwrap();
        let other = keep(&later).unwrap().0;
        assert!(other.is_file() && !path.exists(), "the one before goes");
        // Built anew meanwhile, under the same name.
        fs::remove_file(&program).unwrap();
        fs::write(&program, "tool, but another").unwrap();
        assert_eq!(keep(&said), None);
    }
}
