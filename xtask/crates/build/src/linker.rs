//! The small programs that stand before a compiler or a linker, and what to say where there is none. Text only.

use causeway_model::fault::Fault;
use causeway_model::quoted::quoted;

/// The one glibc that is linked against: Lambda's. Zig takes it as part of its target.
const GLIBC: &str = "2.34";

/// The program before `rustc`: adds the remapping of paths to every call. `version` is what the compiler says of itself: cargo
/// tells one compiler from another by the time of this file, so another compiler must make another file.
pub fn rustc(compiler: &str, version: &str, libraries: Option<&str>, remapped: &[(String, &str)]) -> String {
    let mut text = "#!/bin/sh\n".to_owned();
    for row in version.lines() {
        text.push_str(&format!("# {row}\n"));
    }
    if let Some(libraries) = libraries {
        text.push_str(&format!("export LD_LIBRARY_PATH={}\n", quoted(libraries)));
    }
    text.push_str(&format!("exec {} \"$@\"", quoted(compiler)));
    for (path, short) in remapped {
        text.push_str(&format!(" {}", quoted(&format!("--remap-path-prefix={path}={short}"))));
    }
    text.push('\n');
    text
}

/// The program before `zig cc`. Zig names targets in its own way, knows one flag of rustc's by no name, and brings its
/// own unwinder in place of libgcc's.
pub fn zig_cc(zig: &str, target: &str) -> String {
    let machine = target.split('-').next().unwrap_or_default();
    format!(
        "#!/bin/sh\nunset LD_LIBRARY_PATH\nleft=$#\nwhile [ \"$left\" -gt 0 ]; do\n  word=$1; shift; left=$((left-1))\n  case $word in\n    --target=*|-Wl,--fix-cortex-a53-843419) ;;\n    -lgcc_s) set -- \"$@\" -lunwind ;;\n    *) set -- \"$@\" \"$word\" ;;\n  esac\ndone\nexec {} cc -target {machine}-linux-gnu.{GLIBC} \"$@\"\n",
        quoted(zig)
    )
}

/// The program before `zig ar`.
pub fn zig_ar(zig: &str) -> String {
    format!("#!/bin/sh\nunset LD_LIBRARY_PATH\nexec {} ar \"$@\"\n", quoted(zig))
}

/// The name of a distribution's cross compiler.
pub fn cross_compiler(target: &str) -> String {
    format!("{}-linux-gnu-gcc", target.split('-').next().unwrap_or_default())
}

/// Whether a machine's own glibc, as `getconf GNU_LIBC_VERSION` names it (`glibc 2.36`), is no newer than Lambda's: then what
/// is linked here runs there.
pub fn is_lambdas_or_older(said: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let own = said.trim().strip_prefix("glibc ").map(numbers).unwrap_or_default();
    own.len() >= 2 && own <= numbers(GLIBC)
}

/// There is no standard library for the target.
pub fn no_library(target: &str, why: String) -> Fault {
    Fault::usage("find a way to build", format!("for {target}")).why(why).next(library_lines(target))
}

/// The lines that bring a standard library for the target. Debian's own `rustc` is too old: the one for browsers is not.
pub(super) fn library_lines(target: &str) -> String {
    let debian = match target.split('-').next().unwrap_or_default() {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    format!(
        "one of these lines fixes it:\n  rustup:        rustup target add {target} (or cargo xtask doctor --fix)\n  Debian 12:     sudo dpkg --add-architecture {debian} && sudo apt-get update && sudo apt-get install rustc-web libstd-rust-web-dev libstd-rust-web-dev:{debian}, then RUSTC=/usr/bin/rustc; on amd64 with a mirror in reach the tool unpacks the same below target/ by itself\n  Amazon Linux:  sudo dnf install gcc && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --target {target}\nor build for this machine: --target host"
    )
}

/// There is no linker for the target.
pub fn no_linker(target: &str, cross: &str, why: &str) -> Fault {
    Fault::usage("find a linker", format!("for {target}"))
        .why(format!("none is named, Zig cannot be had ({why}), and there is no {cross}"))
        .next(linker_lines(target))
}

/// The lines that bring a linker and C compiler for the target.
pub(super) fn linker_lines(target: &str) -> String {
    let (machine, libraries) = match target.split('-').next().unwrap_or_default() {
        "aarch64" => ("aarch64", "arm64"),
        _ => ("x86-64", "amd64"),
    };
    format!(
        "one of these lines fixes it:\n  rustup:        any linker serves, as below; rustup brings none\n  Debian:        sudo apt-get install python3-venv (the tool then brings Zig from PyPI), or sudo apt-get install gcc-{machine}-linux-gnu libc6-dev-{libraries}-cross\n  Amazon Linux:  sudo dnf install python3 (the tool then brings Zig from PyPI)\nor name one: CARGO_TARGET_{}_LINKER",
        target.to_ascii_uppercase().replace('-', "_")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn words_stay_words() {
        let text = rustc(
            "/o'dd/rustc",
            "rustc 1\nhost: x\n",
            Some("/lib"),
            &[("/home/a b".to_owned(), "/causeway")],
        );
        assert_eq!(
            text,
            "#!/bin/sh\n# rustc 1\n# host: x\nexport LD_LIBRARY_PATH='/lib'\nexec '/o'\\''dd/rustc' \"$@\" '--remap-path-prefix=/home/a b=/causeway'\n"
        );
        assert!(zig_cc("/zig", ARM).ends_with("exec '/zig' cc -target aarch64-linux-gnu.2.34 \"$@\"\n"));
        assert_eq!(cross_compiler(ARM), "aarch64-linux-gnu-gcc");
    }

    #[test]
    fn a_machines_glibc_is_held_to_lambdas() {
        let table = [
            ("glibc 2.34\n", true),
            ("glibc 2.26", true),
            ("glibc 2.36", false),
            ("glibc 3.0", false),
            ("glibc 2", false),
            ("musl", false),
            ("", false),
        ];
        for (said, expected) in table {
            assert_eq!(is_lambdas_or_older(said), expected, "{said:?}");
        }
    }

    #[test]
    fn what_is_missing_is_mended_by_exact_lines() {
        let fault = no_library(ARM, "why".to_owned());
        assert_eq!((fault.kind, fault.why.as_str()), (causeway_model::fault::Kind::Usage, "why"));
        insta::assert_snapshot!(fault.next, @r"
        one of these lines fixes it:
          rustup:        rustup target add aarch64-unknown-linux-gnu (or cargo xtask doctor --fix)
          Debian 12:     sudo dpkg --add-architecture arm64 && sudo apt-get update && sudo apt-get install rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64, then RUSTC=/usr/bin/rustc; on amd64 with a mirror in reach the tool unpacks the same below target/ by itself
          Amazon Linux:  sudo dnf install gcc && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --target aarch64-unknown-linux-gnu
        or build for this machine: --target host
        ");
        let fault = no_linker(ARM, "aarch64-linux-gnu-gcc", "PyPI does not answer");
        assert!(fault.why.contains("PyPI does not answer"), "{}", fault.why);
        insta::assert_snapshot!(fault.next, @r"
        one of these lines fixes it:
          rustup:        any linker serves, as below; rustup brings none
          Debian:        sudo apt-get install python3-venv (the tool then brings Zig from PyPI), or sudo apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
          Amazon Linux:  sudo dnf install python3 (the tool then brings Zig from PyPI)
        or name one: CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER
        ");
        let fault = no_linker("x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc", "no Python");
        assert!(fault.next.contains("gcc-x86-64-linux-gnu libc6-dev-amd64-cross"), "{}", fault.next);
    }
}
