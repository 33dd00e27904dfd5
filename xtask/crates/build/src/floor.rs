//! The floor: what a binary may ask of Lambda's operating system. Read from the binary itself, after it was linked.

use std::collections::BTreeSet;

use object::read::elf::{Dyn as _, FileHeader as _, Sym as _};
use object::{Endianness, elf};

use causeway_model::package::architecture;

/// The newest glibc that `provided.al2023` has. Source: "Amazon Linux 2023 release notes": glibc 2.34.
pub const GLIBC: (u32, u32) = (2, 34);

/// Dynamic libraries that are there: glibc's own and the compiler's unwinder.
const LIBRARIES: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
];

/// What a binary asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asks {
    /// Lambda's word for the machine, `arm64` or `x86_64`.
    pub architecture: &'static str,
    /// The dynamic libraries it names.
    pub libraries: Vec<String>,
    /// The symbols it takes from glibc, each with its version, the newest first.
    pub symbols: Vec<(String, (u32, u32))>,
    /// The versions it requires of glibc as a whole, whether a symbol carries them or not, sorted.
    pub versions: Vec<String>,
}

/// Why a binary cannot run on Lambda, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason, with the symbol, library or machine that stands against it.
    pub why: String,
    /// What to do next.
    pub next: &'static str,
}

const OTHER_SYSTEM: &str = "build for Linux: leave --target out for Lambda on arm64, or name a target that ends in -unknown-linux-gnu";
const DAMAGED: &str = "remove what was built with cargo clean, and run it again";
const OTHER_MACHINE: &str = "see which linker and which build.target .cargo/config.toml or the environment names for it, and take them out";
const NEWER_GLIBC: &str = "link against glibc 2.34 at most: leave --target host and a linker of your own out (the tool then links with Zig, for this very glibc), or build in CodeBuild";
const OTHER_LIBRARY: &str = "find who asks for it with cargo tree, and link it statically or do without";

/// Reads what a binary asks for.
///
/// # Errors
/// It is no ELF binary for a machine of Lambda's, or its tables cannot be read.
pub fn read(binary: &[u8]) -> Result<Asks, Refused> {
    let architecture = architecture(binary).ok_or_else(|| Refused {
        why: "it is no ELF binary for x86-64 or AArch64".to_owned(),
        next: OTHER_SYSTEM,
    })?;
    let Tables { libraries, mut symbols, versions } =
        tables(binary).map_err(|error| Refused { why: format!("its tables: {error}"), next: DAMAGED })?;
    symbols.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(Asks { architecture, libraries, symbols, versions: versions.into_iter().collect() })
}

#[derive(Default)]
struct Tables {
    libraries: Vec<String>,
    symbols: Vec<(String, (u32, u32))>,
    versions: BTreeSet<String>,
}

fn tables(binary: &[u8]) -> object::Result<Tables> {
    let header = elf::FileHeader64::<Endianness>::parse(binary)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, binary)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = Tables::default();
    if let Some((entries, index)) = sections.dynamic(endian, binary)? {
        let strings = sections.strings(endian, binary, index)?;
        for entry in entries {
            if entry.tag(endian) == elf::DT_NEEDED {
                found.libraries.push(text(entry.string(endian, strings)?));
            }
        }
    }
    let symbols = sections.symbols(endian, binary, elf::SHT_DYNSYM)?;
    if let Some(versions) = sections.versions(endian, binary)? {
        for (index, symbol) in symbols.enumerate() {
            if !symbol.is_undefined(endian) {
                continue;
            }
            let version = versions.version(versions.version_index(endian, index).index())?;
            if let Some(number) = version.and_then(|version| glibc_version(&text(version.name()))) {
                found.symbols.push((text(symbols.symbol_name(endian, symbol)?), number));
            }
        }
    }
    // The loader refuses a version it does not know even where no symbol carries it, as with packed relocations.
    if let Some((mut needs, index)) = sections.gnu_verneed(endian, binary)? {
        let strings = sections.strings(endian, binary, index)?;
        while let Some((_, mut versions)) = needs.next()? {
            while let Some(version) = versions.next()? {
                let name = text(version.name(endian, strings)?);
                if name.starts_with("GLIBC_") {
                    found.versions.insert(name);
                }
            }
        }
    }
    Ok(found)
}

/// `GLIBC_2.34` or `GLIBC_2.2.5` as its first two numbers.
fn glibc_version(name: &str) -> Option<(u32, u32)> {
    let mut numbers = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

/// What stands against running a binary on Lambda for a target; the first thing found, with its name.
///
/// # Errors
/// The wrong machine, a symbol or a version that is too new or not known, a library that is not there.
pub fn hold(asks: &Asks, target: &str) -> Result<(), Refused> {
    let wanted = if target.starts_with("aarch64") { "arm64" } else { "x86_64" };
    let refused = |why: String, next: &'static str| Err(Refused { why, next });
    if asks.architecture != wanted {
        return refused(
            format!("it is for {}, and {target} was asked for", asks.architecture),
            OTHER_MACHINE,
        );
    }
    let lambda = format!("Lambda has {}.{}", GLIBC.0, GLIBC.1);
    if let Some((symbol, (major, minor))) = asks.symbols.first().filter(|(_, version)| *version > GLIBC) {
        return refused(format!("symbol {symbol} needs glibc {major}.{minor}; {lambda}"), NEWER_GLIBC);
    }
    let newer = |name: &&String| glibc_version(name).is_none_or(|version| version > GLIBC);
    if let Some(name) = asks.versions.iter().find(newer) {
        return refused(format!("it requires {name} of glibc; {lambda}, without that"), NEWER_GLIBC);
    }
    match asks.libraries.iter().find(|library| !LIBRARIES.contains(&library.as_str())) {
        Some(library) => refused(format!("it needs {library}, which Lambda does not have"), OTHER_LIBRARY),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(library: &str, symbol: &str, version: (u32, u32)) -> Asks {
        Asks {
            architecture: "arm64",
            libraries: vec!["libc.so.6".into(), library.into()],
            symbols: vec![(symbol.into(), version)],
            versions: vec!["GLIBC_2.17".into(), "GLIBC_2.34".into()],
        }
    }

    #[test]
    fn what_lambda_does_not_have_is_named() {
        let arm = "aarch64-unknown-linux-gnu";
        let requires =
            |name: &str| Asks { versions: vec![name.to_owned()], ..asks("libm.so.6", "read", (2, 17)) };
        let table = [
            (asks("libm.so.6", "read", (2, 34)), arm, Ok(())),
            (
                asks("libm.so.6", "__isoc23_strtol", (2, 38)),
                arm,
                Err(("symbol __isoc23_strtol needs glibc 2.38; Lambda has 2.34", NEWER_GLIBC)),
            ),
            (
                requires("GLIBC_ABI_DT_RELR"),
                arm,
                Err(("it requires GLIBC_ABI_DT_RELR of glibc; Lambda has 2.34, without that", NEWER_GLIBC)),
            ),
            (
                requires("GLIBC_2.36"),
                arm,
                Err(("it requires GLIBC_2.36 of glibc; Lambda has 2.34, without that", NEWER_GLIBC)),
            ),
            (
                asks("libssl.so.3", "read", (2, 17)),
                arm,
                Err(("it needs libssl.so.3, which Lambda does not have", OTHER_LIBRARY)),
            ),
            (
                asks("libm.so.6", "read", (2, 17)),
                "x86_64-unknown-linux-gnu",
                Err(("it is for arm64, and x86_64-unknown-linux-gnu was asked for", OTHER_MACHINE)),
            ),
        ];
        for (asks, target, expected) in table {
            let expected = expected.map_err(|(why, next)| Refused { why: why.to_owned(), next });
            assert_eq!(hold(&asks, target), expected, "{asks:?}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        let table = [
            ("GLIBC_2.2.5", Some((2, 2))),
            ("GLIBC_2.34", Some((2, 34))),
            ("GLIBC_ABI_DT_RELR", None),
            ("GCC_3.0", None),
        ];
        for (name, expected) in table {
            assert_eq!(glibc_version(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_binary_is_an_error_and_no_panic() {
        for bytes in [b"".as_slice(), b"MZ", b"\x7fELF", &[0x7f; 64]] {
            assert_eq!(read(bytes).unwrap_err().next, OTHER_SYSTEM);
        }
        let mut header = vec![0u8; 64];
        header[..4].copy_from_slice(b"\x7fELF");
        header[18] = 183;
        assert!(read(&header).unwrap_err().why.starts_with("its tables"));
    }
}
