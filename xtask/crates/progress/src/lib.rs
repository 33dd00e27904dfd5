//! Tells how far a cargo is, from what it prints itself.
//!
//! Cargo draws a bar where `CARGO_TERM_PROGRESS_WHEN=always` asks for it, also into a pipe ([`VARIABLES`]). This reads it and
//! says in one line what a person wants to know: units built of units planned, what is being compiled, the time that has
//! passed, and about how long it will take, by the last run's record or else by the units' own pace. What is no bar
//! (warnings, the compiler's errors) is passed on as it is.
//!
//! Time comes in from outside. Only [`follow`] starts anything, a thread that reads, and only [`Record`] has a file.

mod bar;
mod estimate;
mod follow;
mod screen;
mod stream;
mod watch;

pub use bar::plain;
pub use estimate::Record;
pub use follow::follow;
pub use screen::Screen;
pub use watch::{Watch, spell};

/// What cargo's environment needs so that it draws its bar into a pipe, with room for every name.
pub const VARIABLES: [(&str, &str); 2] =
    [("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "400")];

/// Begins each line of progress of a build of functions or tests, so that whoever passes its lines on knows them.
pub const MARK: &str = "building: ";

/// Whether a line tells how far a build is: one of functions or tests, or the entry's of the tool itself.
#[must_use]
pub fn is_progress(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("building") else { return false };
    let tool = rest
        .strip_prefix(" causeway")
        .map(|rest| rest.trim_start_matches(|c: char| c == '-' || c.is_ascii_lowercase()));
    tool.unwrap_or(rest).starts_with(": ")
}

/// Whether `cargo run` sets a variable for the program it starts, which is us. Build scripts look at some of them (ring's
/// does): a cargo of ours that had them would compile anew, with all that rests on it, what one without them has built, and
/// the other way round each time. Source: "Environment variables Cargo sets for crates" in the Cargo book.
#[must_use]
pub fn is_cargos_own(name: &str) -> bool {
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    name == "CARGO_PRIMARY_PACKAGE" || own.iter().any(|own| name.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::{MARK, Record, Watch, is_cargos_own, is_progress};

    #[test]
    fn lines_of_progress_are_known_whoever_tells_them() {
        let of = |what: &str| Watch::new(what, Record::default()).line(std::time::Duration::from_secs(2));
        for line in [format!("{MARK}1 of 2 units"), of("causeway"), of("causeway-verify")] {
            assert!(is_progress(&line), "{line}");
        }
        for line in [
            "building the docs: 2 s",
            "building causeway",
            "building causeway is hard: it fails",
            "rebuilding: 1",
        ] {
            assert!(!is_progress(line), "{line}");
        }
    }

    #[test]
    fn what_cargo_sets_for_the_program_it_runs_is_known() {
        for (name, own) in [
            ("CARGO_PKG_NAME", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_BIN_EXE_x", true),
            ("CARGO_CRATE_NAME", true),
            ("CARGO_PRIMARY_PACKAGE", true),
            ("CARGO_HOME", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO", false),
        ] {
            assert_eq!(is_cargos_own(name), own, "{name}");
        }
    }
}
