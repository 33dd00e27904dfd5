//! `rehearse --break-prod`: a build that is broken on purpose, and the proof that no other one is.

use causeway_model::fault::Fault;
use causeway_model::net::is_loopback;

/// Names how the build is broken.
pub const VARIABLE: &str = "CAUSEWAY_BREAK_PROD";
/// The feature that is turned on for it.
pub const FEATURE: &str = "api/break-prod";
/// Stands in every binary that is broken on purpose: `MARK` of the workload's `broken.rs`.
const MARK: &[u8] = b"causeway-broken-on-purpose";

/// How a version can be broken.
pub use causeway_args::rehearse::BROKEN as MODES;

/// How this build is to be broken. Only beside the local cloud: nothing of it can be switched on in a real pipeline.
pub fn mode() -> Option<&'static str> {
    let local = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| is_loopback(&url));
    let word = std::env::var(VARIABLE).ok().filter(|_| local)?;
    MODES.into_iter().find(|mode| *mode == word)
}

/// Sees that a binary is broken on purpose only where that was asked for.
///
/// # Errors
/// It carries the mark without having been asked for.
pub fn check(function: &str, binary: &[u8], mode: Option<&str>) -> Result<(), Fault> {
    let marked = binary.windows(MARK.len()).any(|window| window == MARK);
    if !marked || mode.is_some() {
        return Ok(());
    }
    Err(Fault::failed("package the function", function)
        .why("the binary is broken on purpose: it was built with the feature break-prod")
        .next("build it without that feature; only `cargo xtask rehearse --break-prod` turns it on"))
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
    fn the_mark_is_the_workloads() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../api/src/broken.rs");
        let text = std::fs::read_to_string(source).unwrap();
        let mark = format!("pub const MARK: &str = \"{}\";", String::from_utf8_lossy(MARK));
        assert!(text.contains(&mark), "{source} has another mark");
        for mode in MODES {
            assert!(text.contains(&format!("\"{mode}\" =>")), "{source} does not know {mode}");
        }
    }
}
