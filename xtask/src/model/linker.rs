//! The small programs that stand before a compiler or a linker, and what to say where there is none. Text only.

use super::fault::Fault;

/// The one glibc that is linked against: Lambda's. Zig takes it as part of its target.
const GLIBC: &str = "2.34";

/// A text as one word of `/bin/sh`.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The program before `rustc`: adds the remapping of paths to every call.
pub(crate) fn rustc(compiler: &str, libraries: Option<&str>, remapped: &[(String, &str)]) -> String {
    let mut text = "#!/bin/sh\n".to_owned();
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
pub(crate) fn zig_cc(zig: &str, target: &str) -> String {
    let machine = target.split('-').next().unwrap_or_default();
    format!(
        "#!/bin/sh\nunset LD_LIBRARY_PATH\nleft=$#\nwhile [ \"$left\" -gt 0 ]; do\n  word=$1; shift; left=$((left-1))\n  case $word in\n    --target=*|-Wl,--fix-cortex-a53-843419) ;;\n    -lgcc_s) set -- \"$@\" -lunwind ;;\n    *) set -- \"$@\" \"$word\" ;;\n  esac\ndone\nexec {} cc -target {machine}-linux-gnu.{GLIBC} \"$@\"\n",
        quoted(zig)
    )
}

/// The program before `zig ar`.
pub(crate) fn zig_ar(zig: &str) -> String {
    format!("#!/bin/sh\nunset LD_LIBRARY_PATH\nexec {} ar \"$@\"\n", quoted(zig))
}

/// The name of a distribution's cross compiler.
pub(crate) fn cross_compiler(target: &str) -> String {
    format!("{}-linux-gnu-gcc", target.split('-').next().unwrap_or_default())
}

/// The linker that a `.cargo/config.toml` names for a target.
pub(crate) fn of_config(text: &str, target: &str) -> Option<String> {
    let config: toml::Table = toml::from_str(text).ok()?;
    let linker = config.get("target")?.get(target)?.get("linker")?;
    // A later form is a table with the path in it.
    linker.as_str().or_else(|| linker.get("path")?.as_str()).map(ToOwned::to_owned)
}

/// There is no standard library for the target.
pub(crate) fn no_library(target: &str, why: String) -> Fault {
    Fault::usage("find a way to build", format!("for {target}")).why(why).next(format!(
        "one of these lines mends it:\n  rustup:        rustup target add {target} (or cargo xtask doctor --fix)\n  Debian 12:     sudo apt-get update (once a mirror answers, its packages are unpacked below target/ by themselves)\n  Amazon Linux:  on an arm64 machine sudo dnf install rust cargo gcc; on x86-64 rustup, as above\nor build for this machine: --target host"
    ))
}

/// There is no linker for the target.
pub(crate) fn no_linker(target: &str, cross: &str, why: &str) -> Fault {
    Fault::usage("find a linker", format!("for {target}"))
        .why(format!("none is named, Zig cannot be had ({why}), and there is no {cross}"))
        .next(format!(
            "one of these lines mends it:\n  anywhere:      let PyPI be reachable: the tool then brings Zig itself\n  Debian:        sudo apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross\n  Amazon Linux:  sudo dnf install gcc-aarch64-linux-gnu\nor name one: CARGO_TARGET_{}_LINKER",
            target.to_ascii_uppercase().replace('-', "_")
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn words_stay_words() {
        let text = rustc("/o'dd/rustc", Some("/lib"), &[("/home/a b".to_owned(), "/causeway")]);
        assert_eq!(
            text,
            "#!/bin/sh\nexport LD_LIBRARY_PATH='/lib'\nexec '/o'\\''dd/rustc' \"$@\" '--remap-path-prefix=/home/a b=/causeway'\n"
        );
        assert!(zig_cc("/zig", ARM).ends_with("exec '/zig' cc -target aarch64-linux-gnu.2.34 \"$@\"\n"));
        assert_eq!(cross_compiler(ARM), "aarch64-linux-gnu-gcc");
    }

    #[test]
    fn a_configured_linker_is_found() {
        let table = [
            ("[target.aarch64-unknown-linux-gnu]\nlinker = \"my-ld\"\n", Some("my-ld")),
            ("[target.aarch64-unknown-linux-gnu]\nlinker = {path = \"p\"}\n", Some("p")),
            ("[target.x86_64-unknown-linux-gnu]\nlinker = \"my-ld\"\n", None),
            ("not toml [", None),
        ];
        for (text, expected) in table {
            assert_eq!(of_config(text, ARM).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_mended_by_exact_lines() {
        let fault = no_library(ARM, "why".to_owned());
        for line in ["rustup target add aarch64-unknown-linux-gnu", "Debian", "dnf install", "--target host"]
        {
            assert!(fault.next.contains(line), "{line}: {}", fault.next);
        }
        assert_eq!(fault.kind, super::super::fault::Kind::Usage);
        let fault = no_linker(ARM, "aarch64-linux-gnu-gcc", "PyPI does not answer");
        for line in ["apt-get install gcc-aarch64-linux-gnu", "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"]
        {
            assert!(fault.next.contains(line), "{line}: {}", fault.next);
        }
    }
}
