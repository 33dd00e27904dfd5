//! The files that a binary is made of.

use std::path::Path;

use causeway_machine::files::files_below;

/// The sources of one binary of a package, relative to the package: all of `src` but the folders and files of its
/// other binaries, and the manifest.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn sources(package: &Path, bin: &str) -> anyhow::Result<Vec<String>> {
    let all = files_below(&package.join("src"), &|_| true)?;
    let mut own: Vec<String> =
        all.into_iter().filter(|name| is_source_of(name, bin)).map(|name| format!("src/{name}")).collect();
    own.push("Cargo.toml".to_owned());
    if package.join("build.rs").is_file() {
        own.push("build.rs".to_owned());
    }
    Ok(own)
}

/// The sources of a package that another one takes as a library, relative to the package: all of `src` but its binaries, the
/// manifest, and what runs while it is built.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn library(package: &Path) -> anyhow::Result<Vec<String>> {
    // No binary is called so: a name ends at a dot.
    sources(package, ".").map(|mut all| {
        all.retain(|name| name != "src/main.rs");
        all
    })
}

/// Whether a file below `src` belongs to a binary: it does unless it lies in another one's place below `bin/`.
fn is_source_of(name: &str, bin: &str) -> bool {
    let Some(below) = name.strip_prefix("bin/") else { return true };
    let owner = below.split_once('/').map_or_else(|| below.trim_end_matches(".rs"), |(folder, _)| folder);
    owner == bin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_binarys_files_do_not_count() {
        let table = [
            ("lib.rs", true),
            ("store/dynamo.rs", true),
            ("bin/checkin/main.rs", true),
            ("bin/checkin/deep/x.rs", true),
            ("bin/contacts/main.rs", false),
            ("bin/contacts.rs", false),
            ("bin/checkin.rs", true),
        ];
        for (name, expected) in table {
            assert_eq!(is_source_of(name, "checkin"), expected, "{name}");
        }
    }

    #[test]
    fn a_library_is_all_but_the_binaries() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "src/lib.rs",
            "src/deep/x.rs",
            "src/main.rs",
            "src/bin/one.rs",
            "src/bin/two/main.rs",
            "build.rs",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(library(dir.path()).unwrap(), ["src/deep/x.rs", "src/lib.rs", "Cargo.toml", "build.rs"]);
    }
}
