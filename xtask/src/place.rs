//! Where the entry lies, and what follows from it.
//!
//! In a folder into which cargo builds, the tool beside the entry may be older than its sources, so cargo decides. Anywhere
//! else (the artifact `Tool`) the tool beside it is the one that belongs to it, and there need not be a cargo at all.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::part::Part;

/// Cargo keeps this file in each folder into which it builds programs, and in no other.
const CARGOS: &str = ".cargo-lock";

/// Where the entry lies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The folder.
    dir: PathBuf,
    /// What cargo built it for, where it lies where cargo built it.
    pub(crate) cargos: Option<Cargos>,
}

/// `<target>/[<triple>/]<profile>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cargos {
    /// The target directory.
    pub(crate) target: PathBuf,
    /// `--target`, where one was given.
    pub(crate) triple: Option<String>,
    /// The folder of the profile: `debug` or its name.
    pub(crate) profile: String,
}

impl Place {
    /// Of a program.
    pub(crate) fn of(program: &Path) -> Self {
        let dir = program.parent().unwrap_or(Path::new(".")).to_owned();
        let cargos = dir.join(CARGOS).exists().then(|| Cargos::of(&dir)).flatten();
        Self { dir, cargos }
    }

    /// The tool beside the entry, where that is for certain the one that belongs to it.
    pub(crate) fn beside(&self, part: Part) -> Option<PathBuf> {
        let path = self.dir.join(part.bin);
        (self.cargos.is_none() && path.is_file()).then_some(path)
    }
}

impl Cargos {
    fn of(dir: &Path) -> Option<Self> {
        let is_target =
            |dir: &Path| dir.join(".rustc_info.json").exists() || dir.join("CACHEDIR.TAG").exists();
        let name = |dir: &Path| Some(dir.file_name()?.to_str()?.to_owned());
        let above = dir.parent()?;
        let profile = name(dir)?;
        if is_target(above) {
            return Some(Self { target: above.to_owned(), triple: None, profile });
        }
        let target = above.parent().filter(|dir| is_target(dir))?;
        Some(Self { target: target.to_owned(), triple: Some(name(above)?), profile })
    }

    /// In a checkout, for an entry that lies elsewhere.
    pub(crate) fn usual(root: &Path) -> Self {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| here_or(&dir));
        Self { target, triple: None, profile: "debug".to_owned() }
    }

    /// What cargo is told so that it builds into the same folder.
    pub(crate) fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut all = vec!["--target-dir".into(), self.target.clone().into_os_string()];
        if let Some(triple) = &self.triple {
            all.extend(["--target".into(), triple.into()]);
        }
        if self.profile != "debug" {
            all.extend(["--profile".into(), self.profile.as_str().into()]);
        }
        all
    }

    /// Where a program lies once it is built.
    pub(crate) fn program(&self, bin: &str) -> PathBuf {
        let mut path = self.target.clone();
        path.extend(&self.triple);
        path.join(&self.profile).join(bin)
    }
}

/// A zip may have lost the mode of the tool. Where it cannot be set, starting the tool says so.
pub(crate) fn make_executable(path: &Path) {
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o100 == 0 {
        let _ = std::fs::set_permissions(path, Permissions::from_mode(mode | 0o755));
    }
}

fn here_or(dir: &std::ffi::OsStr) -> PathBuf {
    std::env::current_dir().unwrap_or_default().join(dir)
}

/// The current folder, as text.
pub(crate) fn here() -> String {
    std::env::current_dir().unwrap_or_default().display().to_string()
}

/// The checkout: the one from which `cargo run` built us, else the nearest above the current folder.
pub(crate) fn root() -> Option<PathBuf> {
    let built = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let from = [built, std::env::current_dir().ok()];
    from.iter().flatten().flat_map(|dir| dir.ancestors()).find(|dir| is_checkout(dir)).map(Path::to_path_buf)
}

fn is_checkout(dir: &Path) -> bool {
    dir.join("Cargo.lock").is_file() && dir.join("xtask/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PART: Part = Part { package: "p", bin: "tool" };

    fn file(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn what_lies_beside_is_run_unless_cargo_built_it_there() {
        // Where the entry lies, what else there is, the tool beside it, what cargo is told.
        let table: [(&str, &[&str], bool, Option<&str>); 6] = [
            ("tool", &["tool/tool"], true, None),
            ("tool", &[], false, None),
            (
                "target/debug",
                &["target/CACHEDIR.TAG", "target/debug/.cargo-lock", "target/debug/tool"],
                false,
                Some("--target-dir T"),
            ),
            (
                "target/release",
                &["target/.rustc_info.json", "target/release/.cargo-lock", "target/release/tool"],
                false,
                Some("--target-dir T --profile release"),
            ),
            (
                "target/x86_64-unknown-linux-gnu/debug",
                &["target/CACHEDIR.TAG", "target/x86_64-unknown-linux-gnu/debug/.cargo-lock"],
                false,
                Some("--target-dir T --target x86_64-unknown-linux-gnu"),
            ),
            // An artifact that was unpacked somewhere below a target directory.
            ("target/tool", &["target/CACHEDIR.TAG", "target/tool/tool"], true, None),
        ];
        for (dir, files, beside, told) in table {
            let root = tempfile::tempdir().unwrap();
            for name in files {
                file(root.path(), name);
            }
            let dir = root.path().join(dir);
            let place = Place::of(&dir.join("xtask"));
            assert_eq!(place.beside(PART).is_some(), beside, "{}", dir.display());
            let target = root.path().join("target").display().to_string();
            let found = place.cargos.map(|cargos| {
                assert_eq!(cargos.program("tool"), dir.join("tool"));
                let words: Vec<String> = cargos
                    .arguments()
                    .iter()
                    .map(|word| word.to_string_lossy().replace(&target, "T"))
                    .collect();
                words.join(" ")
            });
            assert_eq!(found.as_deref(), told, "{}", dir.display());
        }
    }
}
