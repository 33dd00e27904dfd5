//! What was built becomes packages: held to Lambda's floor and limits, zipped, each with its bill of materials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::Plan;
use causeway_build::bill::Bill;
use causeway_build::floor::{self, Refused};
use causeway_build::versions::Binary;
use causeway_build::{bootstrap_zip, broken};
use causeway_model::artifact::{PackagedFunction, Upload, bill_key, package_key};
use causeway_model::fault::Fault;

/// Lambda's limit for a zip that is uploaded ("Lambda quotas").
const MAX_ZIP: u64 = 50 * 1024 * 1024;
/// Lambda's limit for a package once it is unpacked.
const MAX_UNPACKED: u64 = 250 * 1024 * 1024;

/// What was built, as packages.
pub(super) struct Zips {
    /// The architecture that the binaries are for, in Lambda's word.
    pub(super) architecture: &'static str,
    pub(super) functions: Vec<PackagedFunction>,
    pub(super) zips: BTreeMap<String, Vec<u8>>,
}

/// Zips what was built, after it was held to Lambda's limits, and to the floor where it is going to run on Lambda.
///
/// # Errors
/// A binary is for another machine, asks for what Lambda does not have, or is too large.
pub(super) fn zips(
    plan: &Plan,
    is_held: bool,
    built: &BTreeMap<String, PathBuf>,
    stamps: &BTreeMap<String, String>,
) -> anyhow::Result<Zips> {
    let target = is_held.then_some(plan.setting.target.as_str());
    let one = |name: &str, path: &Path| {
        let read = || format!("read {}", path.display());
        // Before it is read and zipped: one that is too large would take its time.
        check_size(name, 0, std::fs::metadata(path).with_context(read)?.len())?;
        let (architecture, zip) = made(name, std::fs::read(path).with_context(read)?, target)?;
        let sha256 = hex::encode(Sha256::digest(&zip));
        anyhow::Ok((architecture, zip, sha256))
    };
    // Each on a thread of its own: compressing is all there is to do.
    let one = &one;
    let done: Vec<_> = std::thread::scope(|scope| {
        let begun: Vec<_> =
            built.iter().map(|(name, path)| (name, scope.spawn(move || one(name, path)))).collect();
        begun.into_iter().map(|(name, thread)| (name, thread.join())).collect()
    });
    let mut all = Zips { architecture: "arm64", functions: Vec::new(), zips: BTreeMap::new() };
    for (name, one) in done {
        let (architecture, zip, sha256) =
            one.map_err(|_| anyhow::anyhow!("the packaging of {name} panicked"))??;
        all.architecture = architecture;
        let key = package_key(name, &sha256);
        all.functions.push(PackagedFunction {
            name: name.clone(),
            bytes: zip.len() as u64,
            bill: bill_key(&key),
            version_id: None,
            key,
            sha256,
            version: stamps.get(name).cloned().unwrap_or_default(),
            upload: Upload::None,
        });
        all.zips.insert(name.clone(), zip);
    }
    Ok(all)
}

/// A binary as a zip, and the architecture that it is for; `target` where it is held to Lambda's floor.
fn made(name: &str, binary: Vec<u8>, target: Option<&str>) -> anyhow::Result<(&'static str, Vec<u8>)> {
    let refuse =
        |refused: Refused| Fault::failed("package the function", name).why(refused.why).next(refused.next);
    let asks = floor::read(&binary).map_err(refuse)?;
    if let Some(target) = target {
        floor::hold(&asks, target).map_err(refuse)?;
    }
    broken::check(name, &binary, broken::mode())?;
    let zip = bootstrap_zip(binary)?;
    check_size(name, zip.len() as u64, 0)?;
    Ok((asks.architecture, zip))
}

/// The bill of materials of each function.
pub(super) fn bills(
    plan: &Plan,
    wanted: &[Binary],
    stamps: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for binary in wanted {
        let Some(inputs) = plan.inputs.get(&binary.name) else { continue };
        let bill = Bill {
            inputs,
            version: stamps.get(&binary.name).map_or("", String::as_str),
            root: &format!("{} {}", binary.package, plan.crate_version),
            edges: &plan.graph.edges,
            licenses: &plan.graph.licenses,
            linker: &plan.way.linker,
        };
        all.insert(binary.name.clone(), bill.text());
    }
    all
}

fn check_size(name: &str, zip: u64, unpacked: u64) -> anyhow::Result<()> {
    let over = if zip > MAX_ZIP {
        format!("the zip has {zip} bytes; Lambda takes {MAX_ZIP}")
    } else if unpacked > MAX_UNPACKED {
        format!("the binary has {unpacked} bytes; Lambda takes {MAX_UNPACKED}")
    } else {
        return Ok(());
    };
    Err(Fault::failed("package the function", name)
        .why(over)
        .next("build with the profile `lambda`, or use fewer dependencies")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use causeway_build::floor::Asks;
    use causeway_model::fault::from_error;

    #[test]
    fn lambdas_limits_are_held() {
        let table = [
            (MAX_ZIP, MAX_UNPACKED, None),
            (MAX_ZIP + 1, 1, Some("the zip has 52428801 bytes; Lambda takes 52428800")),
            (1, MAX_UNPACKED + 1, Some("the binary has 262144001 bytes; Lambda takes 262144000")),
        ];
        for (zip, unpacked, expected) in table {
            let fault = check_size("checkin", zip, unpacked).map_err(|error| from_error(&error)).err();
            assert_eq!(fault.as_ref().map(|fault| fault.why.as_str()), expected);
            assert!(fault.is_none_or(|fault| fault.on == "checkin" && fault.next.contains("lambda")));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_real_binary_is_read_and_a_version_that_no_symbol_carries_is_refused() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let asks = floor::read(&own).unwrap();
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        assert_eq!(asks.architecture, machine);
        assert!(asks.libraries.contains(&"libc.so.6".to_owned()), "{:?}", asks.libraries);
        assert!(asks.symbols.iter().any(|(symbol, _)| symbol == "write"), "{:?}", asks.symbols);
        assert!(asks.versions.iter().any(|version| version == "GLIBC_2.34"), "{:?}", asks.versions);
        // The oldest one under another name of its length: what the symbols carry stays as it was.
        let spoiled = replaced(&own, b"\0GLIBC_2.34\0", b"\0GLIBC_ABI_\0");
        let asks = Asks { symbols: Vec::new(), ..floor::read(&spoiled).unwrap() };
        assert!(asks.versions.iter().any(|version| version == "GLIBC_ABI_"), "{:?}", asks.versions);
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut only = asks.clone();
        only.versions.retain(|version| version == "GLIBC_ABI_");
        let refused = floor::hold(&only, &target).unwrap_err();
        assert!(refused.why.contains("GLIBC_ABI_ of glibc"), "{refused:?}");
        assert!(refused.next.contains("2.34 at most"), "{refused:?}");
    }

    #[cfg(target_os = "linux")]
    fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut all = bytes.to_vec();
        let places: Vec<usize> =
            all.windows(from.len()).enumerate().filter(|(_, here)| *here == from).map(|(at, _)| at).collect();
        for at in places {
            all[at..at + to.len()].copy_from_slice(to);
        }
        all
    }
}
