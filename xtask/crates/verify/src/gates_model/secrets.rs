//! What looks like a secret in a file that git has.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{FILE, Judged};

/// Something that only looks like a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    /// The file, relative to the checkout.
    file: String,
    /// The text's SHA-1, as detect-secrets gives it: another text in the same file is no exception.
    digest: String,
    /// Why it is none.
    pub(super) why: String,
}

/// Holds the report of detect-secrets over so many files to the exceptions. A finding's text is never part of it.
///
/// # Errors
/// The report has another form than expected.
pub(crate) fn judge(report: &str, files: usize, passes: &super::Passes) -> Result<Judged, String> {
    let report: Value = serde_json::from_str(report).map_err(|error| format!("its report: {error}"))?;
    let results = report["results"].as_object().ok_or("its report has no results")?;
    let mut complaints = Vec::new();
    let mut used = vec![false; passes.secrets.len()];
    let (mut found, mut waived) = (0, 0);
    for (file, findings) in results {
        for finding in findings.as_array().into_iter().flatten() {
            found += 1;
            let digest = finding["hashed_secret"].as_str().unwrap_or_default();
            let known = passes.secrets.iter().position(|one| one.file == *file && one.digest == digest);
            match known.and_then(|index| used.get_mut(index)) {
                Some(used) => {
                    *used = true;
                    waived += 1;
                }
                None => complaints.push(format!(
                    "{file}:{}: {}; where it is none, its digest is {digest}",
                    finding["line_number"],
                    finding["type"].as_str().unwrap_or("a secret")
                )),
            }
        }
    }
    for exception in passes.secrets.iter().zip(&used).filter(|(_, used)| !**used).map(|(one, _)| one) {
        let (file, digest) = (&exception.file, &exception.digest);
        complaints
            .push(format!("{FILE}: {file} has nothing of digest {digest} any more: take it off the list"));
    }
    Ok(Judged { data: json!({"files": files, "findings": found, "waived": waived}), complaints })
}

#[cfg(test)]
mod tests {
    use super::super::Passes;
    use super::*;

    const DIGEST: &str = "12ab";

    fn report() -> String {
        let finding = json!({"type": "AWS Access Key", "filename": "src/a.rs", "hashed_secret": DIGEST, "line_number": 9});
        json!({"results": {"src/a.rs": [finding]}}).to_string()
    }

    fn passes(file: &str) -> Passes {
        Passes::parse(&format!(
            "[[secrets]]\nfile = \"{file}\"\ndigest = \"{DIGEST}\"\nwhy = \"AWS's own example\"\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_secret_is_named_by_its_place_alone() {
        let found = judge(&report(), 3, &Passes::default()).unwrap();
        assert!(found.complaints[0].starts_with("src/a.rs:9: AWS Access Key"), "{found:?}");
        let waived = judge(&report(), 3, &passes("src/a.rs")).unwrap();
        assert_eq!(waived.complaints, [""; 0]);
        assert_eq!(waived.data, json!({"files": 3, "findings": 1, "waived": 1}));
        assert!(judge("{}", 3, &Passes::default()).is_err());
    }

    #[test]
    fn an_exception_holds_for_its_file_and_as_long_as_it_is_needed() {
        assert_eq!(judge(&report(), 3, &passes("src/b.rs")).unwrap().complaints.len(), 2);
        let gone = judge(r#"{"results": {}}"#, 3, &passes("src/a.rs")).unwrap();
        assert!(gone.complaints[0].contains("any more"), "{gone:?}");
    }
}
