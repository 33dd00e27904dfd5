//! The gates of `check`: what other programs say of the tree, and what of it is let pass.
//!
//! Whatever is let pass has its reason in a data file or beside the line, and is looked for: one that nothing needs any
//! more is a complaint itself.

pub(crate) mod checkov;
pub(crate) mod deny;
pub(crate) mod parliament;
pub(crate) mod secrets;

use serde::Deserialize;
use serde_json::Value;

const DATA: &str = include_str!("../../../../data/gates.toml");
const FILE: &str = "xtask/data/gates.toml";

/// A reason has at least so many characters: "none" is none.
const REASON: usize = 12;

/// What a gate found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Judged {
    /// Counts, for the result line.
    pub data: Value,
    /// What does not pass, one sentence each.
    pub complaints: Vec<String>,
}

/// What is let pass.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passes {
    /// Findings of parliament.
    #[serde(default)]
    parliament: Vec<parliament::Waiver>,
    /// Findings of detect-secrets.
    #[serde(default)]
    secrets: Vec<secrets::Exception>,
}

impl Passes {
    /// The ones of the project.
    ///
    /// # Errors
    /// The file does not parse, or a reason is missing.
    pub(crate) fn known() -> Result<Self, String> {
        Self::parse(DATA)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let all: Self = toml::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
        let reasons = all.parliament.iter().map(|one| &one.why).chain(all.secrets.iter().map(|one| &one.why));
        for why in reasons {
            if why.trim().len() < REASON {
                return Err(format!("{FILE}: `{why}` is no reason"));
            }
        }
        Ok(all)
    }
}

/// What cfn-lint found in so many templates.
///
/// # Errors
/// Its report is no JSON list.
pub(crate) fn lint(report: &str, templates: usize) -> Result<Judged, String> {
    let findings: Vec<Value> =
        serde_json::from_str(report).map_err(|error| format!("its report: {error}"))?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let complaints = findings.iter().map(|finding| {
        format!(
            "{}:{}: {} {}",
            text(&finding["Filename"]),
            finding["Location"]["Start"]["LineNumber"],
            text(&finding["Rule"]["Id"]),
            text(&finding["Message"])
        )
    });
    let data = serde_json::json!({"templates": templates, "findings": findings.len()});
    Ok(Judged { complaints: complaints.collect(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_passes_parse_and_have_reasons() {
        Passes::known().unwrap();
    }

    #[test]
    fn a_pass_without_a_reason_is_refused() {
        let text = "[[parliament]]\nof = [\"Role\"]\nissue = \"X\"\nwhy = \"none\"\n";
        assert!(Passes::parse(text).unwrap_err().contains("no reason"));
        assert!(Passes::parse("[[secrets]]\nfile = \"x\"\n").unwrap_err().contains("gates.toml"));
    }

    #[test]
    fn every_finding_of_cfn_lint_counts() {
        let report = r#"[{"Filename": "cfn/a.yaml", "Level": "Warning", "Message": "bad", "Rule": {"Id": "W1"},
            "Location": {"Start": {"LineNumber": 7, "ColumnNumber": 1}}}]"#;
        let judged = lint(report, 4).unwrap();
        assert_eq!(judged.complaints, ["cfn/a.yaml:7: W1 bad"]);
        assert_eq!(judged.data, serde_json::json!({"templates": 4, "findings": 1}));
        assert_eq!(lint("[]", 4).unwrap().complaints, [""; 0]);
        assert!(lint("usage:", 4).is_err());
    }
}
