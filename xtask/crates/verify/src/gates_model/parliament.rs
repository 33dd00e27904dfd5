//! parliament's word on the policies of identities.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{FILE, Judged};
use causeway_prove::IdentityPolicy;

/// A finding that is let pass, in every account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiver {
    /// The logical ids of the roles or managed policies.
    of: Vec<String>,
    /// parliament's word for the finding.
    issue: String,
    /// What its detail has, for instance an action; anything where there is none.
    #[serde(default)]
    names: Option<String>,
    /// Why it passes.
    pub(super) why: String,
}

/// Holds parliament's findings, one JSON object a line, to the waivers. `policies` are the files it read, by name.
///
/// # Errors
/// A line is no finding, or is about a file that nobody gave it.
pub(crate) fn judge(
    findings: &str,
    policies: &[(String, IdentityPolicy)],
    passes: &super::Passes,
) -> Result<Judged, String> {
    let mut complaints = Vec::new();
    let mut used: Vec<Vec<&str>> = vec![Vec::new(); passes.parliament.len()];
    let (mut found, mut waived) = (0, 0);
    for row in findings.lines().filter(|row| !row.trim().is_empty()) {
        let finding: Value = serde_json::from_str(row).map_err(|error| format!("{row}: {error}"))?;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (issue, detail) = (text(&finding["issue"]), text(&finding["detail"]));
        let location = &finding["location"];
        let file = text(&location["filepath"]);
        let (_, policy) = policies
            .iter()
            .find(|(name, _)| file.ends_with(&format!("/{name}")) || file == *name)
            .ok_or_else(|| format!("{row}: no policy of that name was given"))?;
        found += 1;
        let waiver = passes.parliament.iter().position(|waiver| {
            waiver.issue == issue
                && waiver.of.contains(&policy.of)
                && waiver.names.as_ref().is_none_or(|names| detail.contains(names))
        });
        match waiver.and_then(|index| used.get_mut(index)) {
            Some(used) => {
                used.push(&policy.of);
                waived += 1;
            }
            None => {
                let line = location["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(2);
                complaints.push(format!(
                    "{}:{}: {} in {}: {issue} ({}): {detail}",
                    policy.file,
                    policy.line(line),
                    policy.of,
                    policy.account,
                    text(&finding["title"])
                ));
            }
        }
    }
    for (waiver, used) in passes.parliament.iter().zip(&used) {
        for of in waiver.of.iter().filter(|of| !used.contains(&of.as_str())) {
            complaints.push(format!("{FILE}: {} of {of} is gone: take it off the list", waiver.issue));
        }
    }
    let data = json!({"policies": policies.len(), "findings": found, "waived": waived});
    Ok(Judged { data, complaints })
}

#[cfg(test)]
mod tests {
    use super::super::Passes;
    use super::*;

    const STAR: &str = r#"{"issue": "RESOURCE_STAR", "title": "Unnecessary use of Resource *", "severity": "LOW", "detail": ["logs:CreateLogDelivery"], "location": {"line": 3, "column": 1, "filepath": "/x/p/0-Role.json"}}"#;

    fn policies() -> Vec<(String, IdentityPolicy)> {
        let policy = IdentityPolicy {
            file: "cfn/a.yaml".into(),
            of: "Role".into(),
            account: "dev".into(),
            lines: vec![10, 20],
            statements: vec![json!({}), json!({})],
        };
        vec![("0-Role.json".into(), policy)]
    }

    fn passes(names: &str) -> Passes {
        Passes::parse(&format!(
            "[[parliament]]\nof = [\"Role\"]\nissue = \"RESOURCE_STAR\"\nnames = \"{names}\"\nwhy = \"the call takes no resource\"\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_finding_is_named_with_the_templates_line_unless_it_is_waived() {
        let found = judge(STAR, &policies(), &Passes::default()).unwrap();
        assert!(found.complaints[0].starts_with("cfn/a.yaml:20: Role in dev: RESOURCE_STAR"), "{found:?}");
        let waived = judge(STAR, &policies(), &passes("logs:CreateLogDelivery")).unwrap();
        assert_eq!(waived.complaints, [""; 0]);
        assert_eq!(waived.data, json!({"policies": 1, "findings": 1, "waived": 1}));
    }

    #[test]
    fn a_waiver_that_nothing_needs_fails() {
        let gone = judge("", &policies(), &passes("logs:CreateLogDelivery")).unwrap();
        assert!(gone.complaints[0].contains("is gone"), "{gone:?}");
        let other = judge(STAR, &policies(), &passes("iam:PassRole")).unwrap();
        assert_eq!(other.complaints.len(), 2, "{other:?}");
        assert!(judge("Traceback", &policies(), &Passes::default()).is_err());
        assert!(judge(STAR, &[], &Passes::default()).is_err());
    }
}
