//! What was built becomes packages: held to Lambda's floor and limits, zipped, each with its bill of materials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::Plan;
use crate::build::versions::{self, Binary};
use crate::build::{bootstrap_zip, broken, cargo};
use crate::model::artifact::{PackagedFunction, Upload, bill_key, package_key};
use crate::model::bill::Bill;
use crate::model::fault::Fault;
use crate::model::floor::{self, Refused};

/// Lambda's limit for a zip that is uploaded ("Lambda quotas").
const MAX_ZIP: u64 = 50 * 1024 * 1024;
/// Lambda's limit for a package once it is unpacked.
const MAX_UNPACKED: u64 = 250 * 1024 * 1024;

pub(super) type Zips = (&'static str, Vec<PackagedFunction>, BTreeMap<String, Vec<u8>>);

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
    let mut functions = Vec::new();
    let mut zips = BTreeMap::new();
    let mut architecture = "arm64";
    for (name, path) in built {
        let binary = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let refuse = |refused: Refused| {
            Fault::failed("package the function", name.as_str()).why(refused.why).next(refused.next)
        };
        let asks = floor::read(&binary).map_err(refuse)?;
        if is_held {
            floor::hold(&asks, &plan.setting.target).map_err(refuse)?;
        }
        architecture = asks.architecture;
        broken::check(name, &binary, broken::mode())?;
        let unpacked = binary.len() as u64;
        let zip = bootstrap_zip(binary)?;
        check_size(name, zip.len() as u64, unpacked)?;
        let sha256 = hex::encode(Sha256::digest(&zip));
        let key = package_key(name, &sha256);
        functions.push(PackagedFunction {
            name: name.clone(),
            bytes: zip.len() as u64,
            bill: bill_key(&key),
            key,
            sha256,
            version: stamps.get(name).cloned().unwrap_or_default(),
            upload: Upload::None,
        });
        zips.insert(name.clone(), zip);
    }
    Ok((architecture, functions, zips))
}

/// The bill of materials of each function.
///
/// # Errors
/// cargo does not accept the workspace.
pub(super) async fn bills(
    root: &Path,
    plan: &Plan,
    wanted: &[Binary],
    stamps: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let (edges, licenses) = tokio::join!(
        versions::linked(root, &plan.binaries, &plan.setting),
        cargo::licenses(root, &plan.setting.target)
    );
    let edges = edges?;
    let mut all = BTreeMap::new();
    for binary in wanted {
        let Some(inputs) = plan.inputs.get(&binary.name) else { continue };
        let bill = Bill {
            inputs,
            version: stamps.get(&binary.name).map_or("", String::as_str),
            root: &format!("{} {}", binary.package, plan.crate_version),
            edges: &edges,
            licenses: &licenses,
            linker: &plan.way.linker,
        };
        all.insert(binary.name.clone(), bill.text());
    }
    Ok(all)
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
    use crate::model::fault::from_error;
    #[cfg(target_os = "linux")]
    use crate::model::floor::Asks;

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
