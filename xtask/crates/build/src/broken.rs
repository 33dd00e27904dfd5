//! `rehearse --break-prod`: a build that is broken on purpose, and the proof that no other one is.

use std::path::Path;

use anyhow::Context as _;
use causeway_model::fault::Fault;
use causeway_model::net::is_loopback;

/// Names how the build is broken.
pub const VARIABLE: &str = "CAUSEWAY_BREAK_PROD";
/// Stands in every binary that is broken on purpose: `MARK` of the workload's `api/src/broken.rs`.
const MARK: &[u8] = b"causeway-broken-on-purpose";

/// How a version can be broken.
pub use causeway_args::rehearse::BROKEN as MODES;

/// How this build is to be broken. Only beside the local cloud: nothing of it can be switched on in a real pipeline.
pub fn mode() -> Option<&'static str> {
    let local = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| is_loopback(&url));
    let word = std::env::var(VARIABLE).ok().filter(|_| local)?;
    MODES.into_iter().find(|mode| *mode == word)
}

/// The binary that is packaged in a function's place where it is to be broken, by the manifest of the function's package:
/// `[package.metadata.causeway.broken]`, function by function. One that is not there is as it always is.
///
/// # Errors
/// The manifest cannot be read, or names something that is no name.
pub fn in_place_of(package: &Path, function: &str) -> anyhow::Result<Option<String>> {
    let path = package.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let manifest: toml::Table = toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let mut value = manifest.get("package");
    for key in ["metadata", "causeway", "broken", function] {
        value = value.and_then(|value| value.get(key));
    }
    let Some(value) = value else { return Ok(None) };
    let name = value.as_str().with_context(|| format!("{}: broken.{function} is no text", path.display()))?;
    Ok(Some(name.to_owned()))
}

/// Sees that a binary is broken on purpose only where that was asked for.
///
/// # Errors
/// It carries the mark without having been asked for.
pub fn check(function: &str, binary: &[u8], mode: Option<&str>) -> Result<(), Fault> {
    let marked = memchr::memmem::find(binary, MARK).is_some();
    if !marked || mode.is_some() {
        return Ok(());
    }
    Err(Fault::failed("package the function", function)
        .why("the binary is broken on purpose: it carries the mark of one")
        .next(
            "take what is broken out of it; only `cargo xtask rehearse --break-prod` packages such a binary",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_binary_is_refused_unless_it_was_asked_for() {
        let marked = [b"\x7fELF....".as_slice(), MARK, b"...."].concat();
        let fault = check("checkin", &marked, None).unwrap_err();
        assert!(fault.to_string().contains("broken on purpose"), "{fault}");
        assert!(check("checkin", &marked, Some("errors")).is_ok());
        assert!(check("checkin", b"\x7fELF....", None).is_ok());
    }

    #[test]
    fn the_manifest_names_what_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(dir.path().join("Cargo.toml"), text).unwrap();
        let broken = |function| in_place_of(dir.path(), function).map_err(|error| error.to_string());
        assert!(broken("checkin").is_err(), "there is no manifest");
        write(
            "[package]\nname = \"api\"\n[package.metadata.causeway.broken]\ncheckin = \"checkin-broken\"\ncontacts = 1\n",
        );
        assert_eq!(broken("checkin"), Ok(Some("checkin-broken".to_owned())));
        assert_eq!(broken("pre-traffic"), Ok(None));
        assert!(broken("contacts").is_err());
        let workload = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../api");
        assert_eq!(in_place_of(Path::new(workload), "checkin").unwrap().as_deref(), Some("checkin-broken"));
    }

    #[test]
    fn the_mark_is_the_workloads() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../api/src/broken.rs");
        let text = std::fs::read_to_string(source).unwrap();
        let mark = format!("const MARK: &str = \"{}\";", String::from_utf8_lossy(MARK));
        assert!(text.contains(&mark), "{source} has another mark");
        for mode in MODES {
            assert!(text.contains(&format!("\"{mode}\" =>")), "{source} does not know {mode}");
        }
    }
}
