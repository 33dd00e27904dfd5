//! The floor: what a binary may ask of Lambda's operating system. Read from the binary itself, after it was linked.

use object::read::elf::{Dyn as _, FileHeader as _, Sym as _};
use object::{Endianness, elf};

use super::package::architecture;

/// The newest glibc that `provided.al2023` has. Source: "Amazon Linux 2023 release notes": glibc 2.34.
pub(crate) const GLIBC: (u32, u32) = (2, 34);

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
pub(crate) struct Asks {
    /// Lambda's word for the machine, `arm64` or `x86_64`.
    pub(crate) architecture: &'static str,
    /// The dynamic libraries it names.
    pub(crate) libraries: Vec<String>,
    /// The symbols it takes from glibc, each with its version, the newest first.
    pub(crate) symbols: Vec<(String, (u32, u32))>,
}

/// Reads what a binary asks for.
///
/// # Errors
/// It is no ELF binary for a machine of Lambda's, or its tables cannot be read; in words.
pub(crate) fn read(binary: &[u8]) -> Result<Asks, String> {
    let architecture = architecture(binary).ok_or("it is no ELF binary for x86-64 or AArch64")?;
    let (libraries, mut symbols) = tables(binary).map_err(|error| format!("its tables: {error}"))?;
    symbols.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(Asks { architecture, libraries, symbols })
}

type Tables = (Vec<String>, Vec<(String, (u32, u32))>);

fn tables(binary: &[u8]) -> object::Result<Tables> {
    let header = elf::FileHeader64::<Endianness>::parse(binary)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, binary)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut libraries = Vec::new();
    if let Some((entries, index)) = sections.dynamic(endian, binary)? {
        let strings = sections.strings(endian, binary, index)?;
        for entry in entries {
            if entry.tag(endian) == elf::DT_NEEDED {
                libraries.push(text(entry.string(endian, strings)?));
            }
        }
    }
    let mut wanted = Vec::new();
    let symbols = sections.symbols(endian, binary, elf::SHT_DYNSYM)?;
    if let Some(versions) = sections.versions(endian, binary)? {
        for (index, symbol) in symbols.enumerate() {
            if !symbol.is_undefined(endian) {
                continue;
            }
            let version = versions.version(versions.version_index(endian, index).index())?;
            if let Some(number) = version.and_then(|version| glibc_version(&text(version.name()))) {
                wanted.push((text(symbols.symbol_name(endian, symbol)?), number));
            }
        }
    }
    Ok((libraries, wanted))
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
/// The wrong machine, a symbol that is too new, a library that is not there.
pub(crate) fn hold(asks: &Asks, target: &str) -> Result<(), String> {
    let wanted = if target.starts_with("aarch64") { "arm64" } else { "x86_64" };
    if asks.architecture != wanted {
        return Err(format!("it is for {}, and {target} was asked for", asks.architecture));
    }
    if let Some((symbol, (major, minor))) = asks.symbols.first().filter(|(_, version)| *version > GLIBC) {
        return Err(format!(
            "symbol {symbol} needs glibc {major}.{minor}; Lambda has {}.{}",
            GLIBC.0, GLIBC.1
        ));
    }
    match asks.libraries.iter().find(|library| !LIBRARIES.contains(&library.as_str())) {
        Some(library) => Err(format!("it needs {library}, which Lambda does not have")),
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
        }
    }

    #[test]
    fn what_lambda_does_not_have_is_named() {
        let arm = "aarch64-unknown-linux-gnu";
        let table = [
            (asks("libm.so.6", "read", (2, 34)), arm, Ok(())),
            (
                asks("libm.so.6", "__isoc23_strtol", (2, 38)),
                arm,
                Err("symbol __isoc23_strtol needs glibc 2.38; Lambda has 2.34"),
            ),
            (
                asks("libssl.so.3", "read", (2, 17)),
                arm,
                Err("it needs libssl.so.3, which Lambda does not have"),
            ),
            (
                asks("libm.so.6", "read", (2, 17)),
                "x86_64-unknown-linux-gnu",
                Err("it is for arm64, and x86_64-unknown-linux-gnu was asked for"),
            ),
        ];
        for (asks, target, expected) in table {
            assert_eq!(hold(&asks, target), expected.map_err(ToOwned::to_owned), "{asks:?}");
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
            assert!(read(bytes).is_err());
        }
        let mut header = vec![0u8; 64];
        header[..4].copy_from_slice(b"\x7fELF");
        header[18] = 183;
        assert!(read(&header).unwrap_err().starts_with("its tables"));
    }
}
