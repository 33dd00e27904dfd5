//! What a package is: its key, its version, and the record of one `package` run.

use serde::{Deserialize, Serialize};

/// The record of one `package` run, `package.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// The commit that was packaged; absent outside of a git checkout.
    pub commit: Option<String>,
    /// The compiler, as `rustc --version` says it.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// The cargo profile.
    pub profile: String,
    /// The linker, in words.
    #[serde(default)]
    pub linker: String,
    /// One entry for each packaged binary, by name.
    pub functions: Vec<PackagedFunction>,
}

/// One packaged binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagedFunction {
    /// The binary's name, for instance `checkin`.
    pub name: String,
    /// The zip's size.
    pub bytes: u64,
    /// The zip's digest, lowercase hex.
    pub sha256: String,
    /// Its key in the artifact bucket.
    pub key: String,
    /// The version stamped into the binary.
    pub version: String,
    /// What became of it.
    pub upload: Upload,
    /// The key of its bill of materials.
    #[serde(default)]
    pub bill: String,
    /// The version of its object in the artifact bucket; none where nothing was uploaded, or the bucket keeps no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// What became of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upload {
    /// It was put into the bucket.
    Uploaded,
    /// It was there already.
    Present,
    /// No upload was asked for.
    None,
}

impl PackageRecord {
    /// The entry of a binary.
    pub fn function(&self, name: &str) -> Option<&PackagedFunction> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// This record and the entries of an earlier one that it does not have itself, by name. `None` where the earlier one is
    /// for another target or profile.
    pub fn beside(&self, before: &Self) -> Option<Self> {
        if (&self.target, &self.profile) != (&before.target, &before.profile) {
            return None;
        }
        let mut all = self.clone();
        let others = before.functions.iter().filter(|function| self.function(&function.name).is_none());
        all.functions.extend(others.cloned());
        all.functions.sort_by(|a, b| a.name.cmp(&b.name));
        Some(all)
    }

    /// What differs in the tools that two runs were made with: equal bytes are promised for equal tools only.
    pub fn other_tools(&self, before: &Self) -> Option<String> {
        if (&self.target, &self.profile) != (&before.target, &before.profile) {
            return None;
        }
        let pairs = [(&before.rustc, &self.rustc), (&before.linker, &self.linker)];
        let rows: Vec<String> = pairs
            .into_iter()
            .filter(|(old, new)| old != new && !old.is_empty())
            .map(|(old, new)| format!("{old} → {new}"))
            .collect();
        (!rows.is_empty()).then(|| rows.join(", "))
    }
}

/// The key of a package: `packages/<function>/<sha256>.zip`.
pub fn package_key(function: &str, sha256: &str) -> String {
    format!("packages/{function}/{sha256}.zip")
}

/// The key of a package's bill of materials, beside it.
pub fn bill_key(package_key: &str) -> String {
    format!("{}.cdx.json", package_key.trim_end_matches(".zip"))
}

/// The version of a function: the crate's version and the first twelve hex digits of the digest of its inputs.
pub fn version(crate_version: &str, digest: &str) -> String {
    format!("{crate_version}+{}", digest.get(..12).unwrap_or(digest))
}

/// The variable through which a binary gets its version at build time, for instance `CAUSEWAY_VERSION_PRE_TRAFFIC`.
pub fn version_variable(bin: &str) -> String {
    format!("CAUSEWAY_VERSION_{}", bin.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_content() {
        assert_eq!(package_key("checkin", "ab12"), "packages/checkin/ab12.zip");
        assert_eq!(version("0.1.0", "0123456789abcdef"), "0.1.0+0123456789ab");
        assert_eq!(version_variable("pre-traffic"), "CAUSEWAY_VERSION_PRE_TRAFFIC");
    }

    #[test]
    fn the_record_has_the_contracts_keys() {
        let mut record = PackageRecord {
            commit: Some("c".into()),
            rustc: "r".into(),
            target: "t".into(),
            profile: "p".into(),
            linker: "l".into(),
            functions: vec![PackagedFunction {
                name: "checkin".into(),
                bytes: 1,
                sha256: "s".into(),
                key: "k".into(),
                version: "v".into(),
                upload: Upload::None,
                bill: bill_key("k.zip"),
                version_id: Some("i".into()),
            }],
        };
        insta::assert_snapshot!(serde_json::to_string(&record).unwrap(), @r#"{"commit":"c","rustc":"r","target":"t","profile":"p","linker":"l","functions":[{"name":"checkin","bytes":1,"sha256":"s","key":"k","version":"v","upload":"none","bill":"k.cdx.json","version_id":"i"}]}"#);
        let before = record.clone();
        assert_eq!(record.other_tools(&before), None);
        record.rustc = "r2".into();
        assert_eq!(record.other_tools(&before).as_deref(), Some("r → r2"));
        // One function made anew takes its place beside the others.
        let one = |name: &str, sha256: &str| PackagedFunction {
            name: name.into(),
            sha256: sha256.into(),
            ..before.functions[0].clone()
        };
        let all =
            PackageRecord { functions: vec![one("checkin", "1"), one("contacts", "1")], ..before.clone() };
        record.functions = vec![one("contacts", "2"), one("pre-traffic", "2")];
        let merged = record.beside(&all).unwrap();
        let found: Vec<(&str, &str)> =
            merged.functions.iter().map(|f| (f.name.as_str(), f.sha256.as_str())).collect();
        assert_eq!(found, [("checkin", "1"), ("contacts", "2"), ("pre-traffic", "2")]);
        record.target = "t2".into();
        assert_eq!(record.beside(&all), None);
        assert_eq!(record.other_tools(&before), None, "another target has other bytes anyway");
    }
}
