//! What this machine has built already is not built again for a rehearsal: the crates of the registry.
//!
//! The first rehearsal of a checkout would compile the whole tool a second time, and what the functions use as well, since
//! its target directory is its own. It cannot be the checkout's: cargo takes the members of both for the same ones, and each
//! would undo the other's builds. But for a crate of the registry both ask for the same file under the same name, so it is
//! linked here. Whether it fits is for cargo to say, by its fingerprint; where it does not, cargo builds it as ever.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

use super::Run;

/// The folders of the cargo profiles that a rehearsal builds with: the tool's, and the functions'.
const BUILT_WITH: [&str; 2] = ["debug", "packaged/rehearse"];

/// What cargo keeps of units, in the order in which it is taken over: a fingerprint is written when its unit is complete.
const FINGERPRINTS: &str = ".fingerprint";
const SCRIPTS: &str = "build";
const OUTPUTS: &str = "deps";

/// What of the outputs others are built with: libraries of every kind, what is known of them, and macros.
const LIBRARIES: [&str; 5] = [".rlib", ".rmeta", ".so", ".dylib", ".a"];

impl Run {
    /// Lends a rehearsal that builds for the first time what was built beside our own program. Without it, it only takes longer.
    pub(super) fn take_over(&self, target: &Path, checkout: &Path) {
        let Some(program) = std::env::current_exe().ok() else { return };
        let Some(own) = program.parent().and_then(Path::parent) else { return };
        for profile in BUILT_WITH {
            match seed(own, target, profile, checkout) {
                Ok(0) => {}
                Ok(taken) => {
                    (self.order.show)(&format!("took over {taken} files of crates built as {profile}"))
                }
                Err(error) => {
                    (self.order.show)(&format!("crates built as {profile} are not taken over: {error:#}"));
                }
            }
        }
    }
}

/// Takes over a profile's builds of crates that are not members of the checkout, where that profile has none yet.
/// Returns how many files there are now. Nothing is taken while another cargo is at work there.
///
/// `from` and `to`: target directories; `checkout`: the workspace that is built in `to`.
///
/// # Errors
/// Something cannot be read or linked; then nothing is taken over.
fn seed(from: &Path, to: &Path, profile: &str, checkout: &Path) -> anyhow::Result<usize> {
    let (from, place) = (from.join(profile), to.join(profile));
    if place.exists() || !from.join(FINGERPRINTS).is_dir() {
        return Ok(0);
    }
    let lock = File::open(from.join(".cargo-lock")).context("open cargo's lock")?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(0);
    }
    let above = place.parent().unwrap_or(to);
    std::fs::create_dir_all(above).with_context(|| format!("create {}", above.display()))?;
    let part = tempfile::tempdir_in(to).context("make a folder for what is taken over")?;
    let taken = take(&from, part.path(), checkout)?;
    // It appears whole or not at all. Cargo makes it for itself where another run was quicker.
    let part = part.keep();
    if std::fs::rename(&part, &place).is_err() {
        std::fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
        return Ok(0);
    }
    Ok(taken)
}

fn take(from: &Path, to: &Path, checkout: &Path) -> anyhow::Result<usize> {
    let foreign = |unit: &str| {
        // `<package>-<hash>`; a member's folder has its package's name.
        let package = unit.rsplit_once('-').map_or(unit, |(package, _)| package);
        !checkout.join(package).join("Cargo.toml").exists()
    };
    let mut taken = 0;
    for part in [FINGERPRINTS, SCRIPTS] {
        for unit in names(&from.join(part))?.iter().filter(|unit| foreign(unit)) {
            taken += copy(&from.join(part).join(unit), &to.join(part).join(unit))?;
        }
    }
    let (outputs, place) = (from.join(OUTPUTS), to.join(OUTPUTS));
    std::fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
    for name in names(&outputs)? {
        let library = name.strip_prefix("lib").filter(|_| LIBRARIES.iter().any(|end| name.ends_with(end)));
        if library.is_some_and(foreign) {
            // Nobody writes into such a file: a compiler puts a new one in its place.
            std::fs::hard_link(outputs.join(&name), place.join(&name))
                .with_context(|| format!("link {name}"))?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Copies what cargo may write anew in place, with its times: by them it finds out what is out of date.
fn copy(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let kind = std::fs::symlink_metadata(from).with_context(|| format!("look at {}", from.display()))?;
    if kind.is_dir() {
        std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
        let mut taken = 0;
        for name in names(from)? {
            taken += copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(taken);
    }
    if !kind.is_file() {
        return Ok(0);
    }
    std::fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    let time: SystemTime = kind.modified().context("read a file's time")?;
    let file = File::options().write(true).open(to).with_context(|| format!("open {}", to.display()))?;
    file.set_modified(time).with_context(|| format!("set the time of {}", to.display()))?;
    Ok(1)
}

/// The names in a folder; none where there is no such folder.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", dir.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn put(dir: &Path, name: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }

    /// A target directory with a member's builds and a crate's, and the checkout of the member.
    fn built() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "checkout/api/Cargo.toml",
            "own/debug/.cargo-lock",
            "own/debug/.fingerprint/api-1/lib-api",
            "own/debug/.fingerprint/aws-types-2/lib-aws_types",
            "own/debug/build/ring-3/out/libring.a",
            "own/debug/deps/libapi-1.rlib",
            "own/debug/deps/libaws_types-2.rlib",
            "own/debug/deps/aws_types-2.d",
            "own/debug/deps/checkin-4",
            "own/debug/xtask",
        ] {
            put(dir.path(), name);
        }
        dir
    }

    #[test]
    fn crates_of_the_registry_are_taken_over_and_members_are_not() {
        let dir = built();
        let at = |name: &str| dir.path().join(name);
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let output = at("own/debug/build/ring-3/out/libring.a");
        File::options().write(true).open(&output).unwrap().set_modified(old).unwrap();
        assert_eq!(seed(&at("own"), &at("to"), "debug", &at("checkout")).unwrap(), 3);
        let found = causeway_machine::files::files_below(&at("to"), &|_| true).unwrap();
        let expected = [
            "debug/.fingerprint/aws-types-2/lib-aws_types",
            "debug/build/ring-3/out/libring.a",
            "debug/deps/libaws_types-2.rlib",
        ];
        assert_eq!(found, expected);
        let about = |name: &str| std::fs::metadata(at(name)).unwrap();
        assert_eq!(about("to/debug/build/ring-3/out/libring.a").modified().unwrap(), old);
        let same = |name: &str| about(&format!("own/{name}")).ino() == about(&format!("to/{name}")).ino();
        assert!(same(expected[2]), "large files are linked");
        assert!(!same(expected[0]), "cargo writes into this one");
    }

    #[test]
    fn what_is_there_is_left_alone_and_another_cargo_is_not_disturbed() {
        let dir = built();
        let at = |name: &str| dir.path().join(name);
        let seeded = |to: &str| seed(&at("own"), &at(to), "debug", &at("checkout")).unwrap();
        put(dir.path(), "to/debug/own-build");
        assert_eq!(seeded("to"), 0);
        assert_eq!(causeway_machine::files::files_below(&at("to"), &|_| true).unwrap(), ["debug/own-build"]);
        assert_eq!(seed(&at("own"), &at("to"), "rehearse", &at("checkout")).unwrap(), 0, "nothing is built");
        let lock = File::open(at("own/debug/.cargo-lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert_eq!(seeded("other"), 0);
        assert!(!at("other").exists());
        drop(lock);
        assert_eq!(seeded("other"), 3);
    }
}
