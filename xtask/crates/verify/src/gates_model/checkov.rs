//! checkov's word on the templates, and the waivers that stand in them as `checkov:skip=ID:reason`.
//!
//! checkov takes a waived check for skipped without looking. So it is shown every template twice, as it is and with its
//! waivers made unreadable: what then passes needs no waiver.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Judged, REASON};

/// The folder of the templates as they are.
pub(crate) const KEPT: &str = "cfn";
/// The folder of the templates without their waivers.
pub(crate) const BARE: &str = "bare";

/// What costs money or breaks new accounts: waived with a reason, never satisfied. In this order: reserved concurrency,
/// dead-letter queue, VPC, code signing, a year of logs.
const NEVER: [&str; 5] = ["CKV_AWS_115", "CKV_AWS_116", "CKV_AWS_117", "CKV_AWS_272", "CKV_AWS_338"];

const MARK: &str = "checkov:skip=";

/// A template whose waivers checkov does not read; its lines stay where they are.
pub(crate) fn bare(template: &str) -> String {
    template.replace(MARK, "checkov-skip ")
}

/// A waiver in a template.
#[derive(Debug, PartialEq, Eq)]
struct Waiver<'a> {
    line: u64,
    id: &'a str,
    reason: &'a str,
}

fn waivers(template: &str) -> Vec<Waiver<'_>> {
    let lines = (1..).zip(template.lines());
    lines
        .filter_map(|(line, text)| {
            let (_, rest) = text.split_once(MARK)?;
            let (id, reason) = rest.split_once(':').unwrap_or((rest, ""));
            Some(Waiver { line, id: id.trim(), reason: reason.trim() })
        })
        .collect()
}

/// One check of a resource in checkov's report.
struct Entry<'a> {
    id: &'a str,
    name: &'a str,
    resource: &'a str,
    /// `cfn` or `bare`.
    folder: &'a str,
    file: &'a str,
    from: u64,
    to: u64,
}

fn entries<'a>(report: &'a Value, kind: &str) -> Result<Vec<Entry<'a>>, String> {
    let list = report["results"][kind].as_array().ok_or_else(|| format!("its report has no {kind}"))?;
    list.iter()
        .map(|value| {
            let text = |key: &str| value[key].as_str().unwrap_or_default();
            let mut path = text("file_path").trim_start_matches('/').splitn(2, '/');
            let (folder, file) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
            let line = |index: usize| value["file_line_range"][index].as_u64();
            let (Some(from), Some(to)) = (line(0), line(1)) else {
                return Err(format!("its report has no lines for {}", text("check_id")));
            };
            let (id, name, resource) = (text("check_id"), text("check_name"), text("resource"));
            Ok(Entry { id, name, resource, folder, file, from, to })
        })
        .collect()
}

/// Holds the report to the templates, by name without folder.
///
/// # Errors
/// The report has another form than expected, or checkov looked at nothing.
pub(crate) fn judge(report: &Value, templates: &BTreeMap<String, String>) -> Result<Judged, String> {
    let (passed, failed, skipped) = (
        entries(report, "passed_checks")?,
        entries(report, "failed_checks")?,
        entries(report, "skipped_checks")?,
    );
    let mut complaints = Vec::new();
    for file in report["results"]["parsing_errors"].as_array().into_iter().flatten() {
        complaints.push(format!("checkov cannot read {}", file.as_str().unwrap_or_default()));
    }
    for name in templates.keys() {
        let seen = |folder: &str| {
            let mut all = passed.iter().chain(&failed).chain(&skipped);
            all.any(|entry| entry.folder == folder && entry.file == name)
        };
        if !seen(KEPT) || !seen(BARE) {
            complaints.push(format!("cfn/{name}: checkov did not look at it"));
        }
    }
    let kept = |list: &'_ [Entry<'_>]| list.iter().filter(|entry| entry.folder == KEPT).count();
    for entry in failed.iter().filter(|entry| entry.folder == KEPT) {
        complaints.push(format!(
            "cfn/{}:{}: {} {}: {}",
            entry.file, entry.from, entry.id, entry.resource, entry.name
        ));
    }
    let mut satisfied = BTreeSet::new();
    for entry in passed.iter().filter(|entry| NEVER.contains(&entry.id)) {
        if satisfied.insert((entry.file, entry.from, entry.id)) {
            complaints.push(format!(
                "cfn/{}:{}: {} is satisfied by {}; it costs money or breaks new accounts: waive it",
                entry.file, entry.from, entry.id, entry.resource
            ));
        }
    }
    for (file, text) in templates {
        for waiver in waivers(text) {
            let place = format!("cfn/{file}:{}: {MARK}{}", waiver.line, waiver.id);
            if waiver.reason.len() < REASON {
                complaints.push(format!("{place} gives no reason"));
            }
            let about = |entry: &Entry<'_>, folder: &str| {
                (entry.folder, entry.file, entry.id) == (folder, file.as_str(), waiver.id)
                    && (entry.from..=entry.to).contains(&waiver.line)
            };
            if !skipped.iter().any(|entry| about(entry, KEPT)) {
                complaints.push(format!("{place} is about no check that checkov makes there"));
            } else if !failed.iter().any(|entry| about(entry, BARE)) {
                complaints.push(format!("{place} is not needed any more: the check passes without it"));
            }
        }
    }
    let data = json!({"passed": kept(&passed), "failed": kept(&failed), "skipped": kept(&skipped)});
    Ok(Judged { data, complaints })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "Resources:\n  Table:\n    # checkov:skip=CKV_AWS_119:A key of its own costs.\n    Type: AWS::DynamoDB::Table\n";

    fn entry(folder: &str, id: &str) -> Value {
        json!({"check_id": id, "check_name": "Ensure it", "resource": "AWS::DynamoDB::Table.Table",
            "file_path": format!("/{folder}/a.yaml"), "file_line_range": [2, 4]})
    }

    fn report(passed: Vec<Value>, failed: Vec<Value>, skipped: Vec<Value>) -> Value {
        json!({"results": {"passed_checks": passed, "failed_checks": failed, "skipped_checks": skipped,
            "parsing_errors": []}})
    }

    fn complaints(template: &str, report: &Value) -> Vec<String> {
        judge(report, &BTreeMap::from([("a.yaml".to_owned(), template.to_owned())])).unwrap().complaints
    }

    #[test]
    fn a_waiver_that_is_needed_and_has_a_reason_passes() {
        let report = report(
            vec![entry("cfn", "CKV_AWS_28")],
            vec![entry("bare", "CKV_AWS_119")],
            vec![entry("cfn", "CKV_AWS_119")],
        );
        let judged = judge(&report, &BTreeMap::from([("a.yaml".into(), TEMPLATE.into())])).unwrap();
        assert_eq!(judged.complaints, [""; 0]);
        assert_eq!(judged.data, json!({"passed": 1, "failed": 0, "skipped": 1}));
        assert!(!bare(TEMPLATE).contains(MARK) && bare(TEMPLATE).lines().count() == TEMPLATE.lines().count());
    }

    #[test]
    fn what_does_not_pass_is_named_with_file_and_line() {
        let (kept, gone) = (vec![entry("cfn", "CKV_AWS_119")], vec![entry("bare", "CKV_AWS_119")]);
        let unreasoned = TEMPLATE.replace("A key of its own costs.", "no");
        let other = TEMPLATE.replace("CKV_AWS_119", "CKV_AWS_118");
        let seen = vec![entry("bare", "CKV_AWS_28")];
        let both = || vec![entry("cfn", "CKV_AWS_338"), entry("bare", "CKV_AWS_338")];
        let failing = vec![entry("cfn", "CKV_AWS_28"), entry("bare", "CKV_AWS_119")];
        let table = [
            (
                TEMPLATE,
                report(seen, vec![], kept.clone()),
                "cfn/a.yaml:3: checkov:skip=CKV_AWS_119 is not needed any more",
            ),
            (
                &unreasoned,
                report(vec![], gone.clone(), kept.clone()),
                "cfn/a.yaml:3: checkov:skip=CKV_AWS_119 gives no reason",
            ),
            (&other, report(vec![], gone.clone(), kept.clone()), "CKV_AWS_118 is about no check"),
            (TEMPLATE, report(both(), gone.clone(), kept.clone()), "cfn/a.yaml:2: CKV_AWS_338 is satisfied"),
            (
                TEMPLATE,
                report(vec![], failing, kept.clone()),
                "cfn/a.yaml:2: CKV_AWS_28 AWS::DynamoDB::Table.Table",
            ),
            (TEMPLATE, report(vec![], vec![], kept), "cfn/a.yaml: checkov did not look at it"),
        ];
        for (template, report, word) in table {
            let found = complaints(template, &report);
            assert!(found.iter().any(|complaint| complaint.contains(word)), "{word}: {found:?}");
        }
        assert!(judge(&json!({"passed": 0, "failed": 0}), &BTreeMap::new()).is_err());
    }
}
