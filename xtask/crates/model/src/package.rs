//! The packaged template: code locations and the architecture, replaced in the source text.

use std::collections::BTreeMap;

use super::artifact::PackageRecord;
use super::template::{Edit, Node, apply, parse};
use crate::publish::{self, Released};

/// Where a template names a package.
#[derive(Debug, Clone)]
pub struct CodeUri {
    /// The function's package, for instance `checkin` for `../target/causeway/package/checkin.zip`.
    pub function: String,
    node: Node,
}

/// What a packaged template is made with.
#[derive(Debug, Clone, Copy)]
pub struct Packaged<'a> {
    /// What was packaged.
    pub record: &'a PackageRecord,
    /// Where it was put; without one the local paths stay.
    pub bucket: Option<&'a str>,
    /// Lambda's word for the binaries' architecture.
    pub architecture: &'a str,
    /// The functions whose versions a parameter publishes; the parameters are written, too.
    pub released: &'a [Released],
}

/// The folder that `package` writes, as templates name it.
const FOLDER: &str = "target/causeway/package/";

/// Every place where a template names a package of ours.
///
/// # Errors
/// The template does not parse; with its line.
pub fn code_uris(source: &str) -> Result<Vec<CodeUri>, String> {
    let root = parse(source).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    visit(&root, &mut |key, node| {
        if key == "CodeUri"
            && let Some(function) = node.as_str().and_then(packaged_by)
        {
            found.push(CodeUri { function: function.to_owned(), node: node.clone() });
        }
    });
    if found.is_empty() {
        return Err(format!("no CodeUri names a file below {FOLDER}"));
    }
    Ok(found)
}

/// The packages that a deployed template names, by function: their keys in the artifact bucket.
///
/// # Errors
/// The template does not parse; with its line.
pub fn package_keys(template: &str) -> Result<BTreeMap<String, String>, String> {
    let root = parse(template).map_err(|error| error.to_string())?;
    let mut found = BTreeMap::new();
    visit(&root, &mut |key, node| {
        if key == "CodeUri"
            && let Some(path) = key_of(node)
            && let Some((function, _)) = path.strip_prefix("packages/").and_then(|rest| rest.split_once('/'))
        {
            found.insert(function.to_owned(), path.to_owned());
        }
    });
    Ok(found)
}

/// The key that a code location names: `s3://bucket/key`, or `Key` beside `Bucket` ("FunctionCode" in the SAM
/// specification).
fn key_of(code_uri: &Node) -> Option<&str> {
    match code_uri.as_str() {
        Some(text) => text.strip_prefix("s3://")?.split_once('/').map(|(_, key)| key),
        None => code_uri.at(&["Key"])?.as_str(),
    }
}

/// The package that a code location names, when it is one of ours.
pub fn packaged_by(code_uri: &str) -> Option<&str> {
    code_uri.split_once(FOLDER)?.1.strip_suffix(".zip")
}

/// The bucket that stands in a template for code that is not packaged yet.
pub const UNPACKAGED: &str = "not-packaged-yet";

/// Leads every local path to code or to a definition into a bucket, in a template in long form: SAM expands no other. The
/// path is the key, so whoever looks finds it again.
pub fn lead_into_bucket(template: &mut serde_json::Value) {
    use serde_json::Value;
    match template {
        Value::Array(items) => items.iter_mut().for_each(lead_into_bucket),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(path)
                        if ["CodeUri", "ContentUri", "DefinitionUri"].contains(&key.as_str())
                            && !path.starts_with("s3://") =>
                    {
                        *path = format!("s3://{UNPACKAGED}/{path}");
                    }
                    other => lead_into_bucket(other),
                }
            }
        }
        _ => {}
    }
}

/// The template's text with the packages' places and the architecture in it; comments and order stay.
///
/// # Errors
/// The template does not parse, or names a package that was not made.
pub fn template(source: &str, packaged: &Packaged<'_>) -> Result<String, String> {
    let mut edits = publish::edits(source, packaged.released)?;
    if let Some(bucket) = packaged.bucket {
        for place in code_uris(source)? {
            let function = packaged.record.function(&place.function);
            let function = function.ok_or_else(|| format!("no package {} was made", place.function))?;
            edits.push(match &function.version_id {
                // The version of the object, so that what is approved is what runs.
                Some(version) => Edit::mapping(
                    &place.node,
                    &[("Bucket", bucket), ("Key", &function.key), ("Version", version)],
                ),
                None => Edit::of(&place.node, format!("s3://{bucket}/{}", function.key)),
            });
        }
    }
    let root = parse(source).map_err(|error| error.to_string())?;
    visit(&root, &mut |key, node| {
        if key == "Architectures" {
            edits.extend(node.items().iter().map(|item| Edit::of(item, packaged.architecture)));
        }
    });
    apply(source, edits)
}

fn visit(node: &Node, see: &mut impl FnMut(&str, &Node)) {
    for (key, value) in node.entries() {
        see(&key.name, value);
        visit(value, see);
    }
    for item in node.items() {
        visit(item, see);
    }
}

/// Lambda's word for the architecture of an ELF binary; `None` for anything else.
///
/// Source: "ELF header" (`e_machine`): 62 is x86-64, 183 is AArch64.
pub fn architecture(binary: &[u8]) -> Option<&'static str> {
    if binary.get(..4)? != b"\x7fELF" {
        return None;
    }
    match u16::from_le_bytes([*binary.get(18)?, *binary.get(19)?]) {
        62 => Some("x86_64"),
        183 => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::artifact::{PackagedFunction, Upload};
    use super::*;

    const SOURCE: &str = "Globals:\n  Function:\n    Architectures:\n      - arm64  # cheaper\nResources:\n  A:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: ../target/causeway/package/checkin.zip  # replaced\n  B:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: s3://other/x.zip}\n";

    fn record() -> PackageRecord {
        let function = PackagedFunction {
            name: "checkin".into(),
            bytes: 1,
            sha256: "ab".into(),
            key: "packages/checkin/ab.zip".into(),
            version: "v".into(),
            upload: Upload::Uploaded,
            bill: String::new(),
            version_id: None,
        };
        PackageRecord {
            commit: None,
            rustc: String::new(),
            target: String::new(),
            profile: String::new(),
            linker: String::new(),
            functions: vec![function],
        }
    }

    #[test]
    fn only_places_and_architecture_change() {
        let record = record();
        let packaged =
            Packaged { record: &record, bucket: Some("bucket"), architecture: "x86_64", released: &[] };
        let text = template(SOURCE, &packaged).unwrap();
        let expected = SOURCE
            .replace("../target/causeway/package/checkin.zip", "s3://bucket/packages/checkin/ab.zip")
            .replace("- arm64", "- x86_64");
        assert_eq!(text, expected);
        let keys = package_keys(&text).unwrap();
        assert_eq!(
            keys.into_iter().collect::<Vec<_>>(),
            [("checkin".into(), "packages/checkin/ab.zip".into())]
        );
        let mut versioned = record.clone();
        versioned.functions[0].version_id = Some("9x.1".into());
        let versioned = Packaged { record: &versioned, ..packaged };
        let pinned = template(SOURCE, &versioned).unwrap();
        let mapping = "{Bucket: bucket, Key: packages/checkin/ab.zip, Version: \"9x.1\"}";
        assert_eq!(pinned, expected.replace("s3://bucket/packages/checkin/ab.zip", mapping));
        assert_eq!(package_keys(&pinned), package_keys(&text));
        let local = Packaged { bucket: None, ..packaged };
        assert_eq!(template(SOURCE, &local).unwrap(), SOURCE.replace("- arm64", "- x86_64"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(code_uris("Resources: {}\n").unwrap_err().contains("no CodeUri"));
        assert!(code_uris("a: [\n").unwrap_err().starts_with("line "));
        let mut record = record();
        record.functions.clear();
        let packaged = Packaged { record: &record, bucket: Some("b"), architecture: "arm64", released: &[] };
        assert_eq!(template(SOURCE, &packaged).unwrap_err(), "no package checkin was made");
    }

    #[test]
    fn architectures_are_read_from_the_header() {
        let header = |machine: u16| [b"\x7fELF".as_slice(), &[0; 14], &machine.to_le_bytes()].concat();
        assert_eq!(architecture(&header(62)), Some("x86_64"));
        assert_eq!(architecture(&header(183)), Some("arm64"));
        assert_eq!(architecture(&header(40)), None);
        assert_eq!(architecture(b"MZ"), None);
    }
}
