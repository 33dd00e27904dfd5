//! What cargo prints when a way to a target is not a way after all: known lines, and what fixes them.

use super::linker;
use causeway_model::fault::{Fault, Kind};

/// Whether what was said fits, and the fault for a target.
type Known = (fn(&str) -> bool, fn(&str) -> Fault);

/// Finds in what cargo printed a known failure of the machine, not of the sources; the first that fits.
///
/// Source of the lines: rustc (E0463, E0514), GNU ld (a wrong machine), the crate `cc` (no compiler), the C library (no space).
pub fn known(said: &str, target: &str) -> Option<Fault> {
    let table: [Known; 5] = [
        (lacks_library, no_library),
        (lacks_linker, no_linker),
        (lacks_c_compiler, no_c_compiler),
        (is_mixed, mixed),
        (is_full, full),
    ];
    table.into_iter().find(|(fits, _)| fits(said)).map(|(_, fault)| fault(target))
}

/// Whether what cargo printed is that a registry or the way to it failed, which may be over in a moment.
///
/// Source of the lines: cargo's `src/cargo/util/network` and the messages of curl that it passes on.
pub fn is_network(said: &str) -> bool {
    const LINES: [&str; 14] = [
        "spurious network error",
        "Could not resolve host",
        "Could not resolve proxy",
        "Could not connect to server",
        "Couldn't connect to server",
        "Failed to connect to",
        "Connection reset by peer",
        "Connection refused",
        "Timeout was reached",
        "Operation timed out",
        "Operation too slow",
        "SSL connect error",
        "Failure when receiving data from the peer",
        "Transferred a partial file",
    ];
    let answered = |code: &str| {
        said.contains(&format!("got {code}")) && said.contains("failed to get successful HTTP response")
    };
    LINES.iter().any(|line| said.contains(line))
        || ["408", "429", "500", "502", "503", "504"].iter().any(|code| answered(code))
}

fn lacks_library(said: &str) -> bool {
    ["can't find crate for `std`", "can't find crate for `core`"].iter().any(|line| said.contains(line))
}

fn no_library(target: &str) -> Fault {
    fault(target)
        .why("the compiler has no standard library for the target (E0463)")
        .next(linker::library_lines(target))
}

fn lacks_linker(said: &str) -> bool {
    said.contains("incompatible with elf64-x86-64") || said.contains("incompatible with aarch64linux")
}

fn no_linker(target: &str) -> Fault {
    fault(target)
        .why("the linker is for another machine: it took this machine's own for the target's objects")
        .next(format!(
            "take the linker out that .cargo/config.toml or the environment names, and the tool brings one; or {}",
            linker::linker_lines(target)
        ))
}

fn lacks_c_compiler(said: &str) -> bool {
    said.contains("failed to find tool")
}

fn no_c_compiler(target: &str) -> Fault {
    fault(target).why("a dependency is written in C, and there is no C compiler for the target").next(
        format!(
            "name one: CC_{}; or take out the linker that is named, and the tool brings Zig for both; or {}",
            target.replace('-', "_"),
            linker::linker_lines(target)
        ),
    )
}

fn is_mixed(said: &str) -> bool {
    said.contains("E0514") || said.contains("compiled by an incompatible version of rustc")
}

fn mixed(target: &str) -> Fault {
    fault(target)
        .why("the standard library, or what was built before, is another compiler's (E0514)")
        .next(format!(
            "take compiler and library from one place: rustup update && rustup target add {target}, or RUSTC=/usr/bin/rustc with Debian's; then cargo clean, and run it again"
        ))
}

fn is_full(said: &str) -> bool {
    said.contains("No space left on device") || said.contains("os error 28")
}

fn full(target: &str) -> Fault {
    Fault { kind: Kind::Failed, ..fault(target) }.why("the disk is full").next(
        "free some, for instance with cargo clean, and run it again; the last packages are as they were",
    )
}

fn fault(target: &str) -> Fault {
    Fault::usage("build the functions", format!("for {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";

    fn next(said: &str) -> (Kind, String) {
        let fault = known(said, ARM).unwrap();
        (fault.kind, format!("{} | {}", fault.why, fault.next))
    }

    #[test]
    fn a_missing_standard_library_is_recognized() {
        let said = "\u{1b}[1merror[E0463]\u{1b}[0m: can't find crate for `std`\n  |\n  = note: the `aarch64-unknown-linux-gnu` target may not be installed\n";
        let (kind, text) = next(said);
        assert_eq!(kind, Kind::Usage);
        assert!(
            text.contains("E0463") && text.contains("rustup target add aarch64-unknown-linux-gnu"),
            "{text}"
        );
    }

    #[test]
    fn a_linker_for_another_machine_is_recognized() {
        let said = "/usr/bin/ld: x.o: Relocations in generic ELF (EM: 183)\n/usr/bin/ld: foo.rcgu.o is incompatible with elf64-x86-64\n";
        let (kind, text) = next(said);
        assert_eq!(kind, Kind::Usage);
        assert!(
            text.contains("another machine") && text.contains("apt-get install gcc-aarch64-linux-gnu"),
            "{text}"
        );
    }

    #[test]
    fn a_registry_that_does_not_answer_is_told_from_what_stays() {
        for passing in [
            "warning: spurious network error (3 tries remaining): [7] Couldn't connect to server\n",
            "error: failed to download from `https://static.crates.io/crates/serde/1.0.0/download`\n\nCaused by:\n  [6] Could not resolve hostname (Could not resolve host: static.crates.io)\n",
            "  failed to get successful HTTP response from `https://index.crates.io/se/rd/serde` (127.0.0.1), got 503\n",
        ] {
            assert!(is_network(passing), "{passing}");
        }
        for stays in [
            "error[E0308]: mismatched types\n",
            "error: the lock file Cargo.lock needs to be updated but --locked was passed\n",
            "  failed to get successful HTTP response from `https://index.crates.io/se/rd/serde` (127.0.0.1), got 404\n",
            "error: attempting to make an HTTP request, but --offline was specified\n",
            "test result: FAILED. 3 passed; 1 failed\n",
        ] {
            assert!(!is_network(stays), "{stays}");
        }
    }

    #[test]
    fn a_missing_c_compiler_is_recognized() {
        let said = "error occurred in cc-rs: failed to find tool \"aarch64-linux-gnu-gcc\": No such file or directory (os error 2)\n";
        let (kind, text) = next(said);
        assert_eq!(kind, Kind::Usage);
        assert!(text.contains("CC_aarch64_unknown_linux_gnu") && text.contains("Zig"), "{text}");
    }

    #[test]
    fn a_library_of_another_compiler_is_recognized() {
        let said = "error[E0514]: found crate `std` compiled by an incompatible version of rustc\n";
        let (kind, text) = next(said);
        assert_eq!(kind, Kind::Usage);
        assert!(text.contains("E0514") && text.contains("cargo clean"), "{text}");
    }

    #[test]
    fn a_full_disk_is_recognized_and_sources_that_do_not_compile_are_not() {
        let (kind, text) = next("error: failed to write x.rlib: No space left on device (os error 28)\n");
        assert_eq!(kind, Kind::Failed);
        assert!(text.contains("the disk is full"), "{text}");
        for said in ["", "error[E0308]: mismatched types\n", "error[E0463]: can't find crate for `serdee`\n"]
        {
            assert_eq!(known(said, ARM), None, "{said}");
        }
    }
}
