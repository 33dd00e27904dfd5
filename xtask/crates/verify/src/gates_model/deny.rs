//! cargo-deny's word on what is depended on, by `deny.toml`: licenses, bans, sources, advisories.

use serde_json::{Map, Value, json};

use super::Judged;

/// Reads cargo-deny's lines: diagnostics, and a summary of the wanted checks.
///
/// # Errors
/// There is no summary of them: cargo-deny could not do its work. With what it said.
pub(crate) fn judge(lines: &str, wanted: &[&str]) -> Result<Judged, String> {
    let mut complaints = Vec::new();
    let mut summary = None;
    let mut said = Vec::new();
    for row in lines.lines() {
        let Ok(line) = serde_json::from_str::<Value>(row) else {
            said.push(row.to_owned());
            continue;
        };
        let fields = &line["fields"];
        match line["type"].as_str() {
            Some("diagnostic") if fields["severity"] == "error" => complaints.push(complaint(fields)),
            Some("summary") => summary = Some(fields.clone()),
            Some("log") => said.push(fields["message"].as_str().unwrap_or(row).to_owned()),
            _ => {}
        }
    }
    let broken = || if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") };
    let summary = summary.ok_or_else(broken)?;
    let mut data = Map::new();
    for check in wanted {
        let errors = summary[check]["errors"].as_u64().ok_or_else(broken)?;
        data.insert((*check).to_owned(), json!(errors));
        if errors > 0 && complaints.is_empty() {
            complaints.push(format!("{check}: {errors} errors"));
        }
    }
    Ok(Judged { data: Value::Object(data), complaints })
}

/// The message, what it is about, and the crate.
fn complaint(fields: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let krate = fields["graphs"].get(0).map(|graph| {
        let krate = &graph["Krate"];
        format!("{} {}: ", text(&krate["name"]), text(&krate["version"]))
    });
    let labels = fields["labels"].as_array().into_iter().flatten();
    let about: Vec<String> = labels
        .filter(|label| label["message"].as_str().is_some_and(|message| !message.is_empty()))
        .map(|label| format!("{} ({})", text(&label["message"]), text(&label["span"])))
        .collect();
    let (krate, about) = (krate.unwrap_or_default(), about.join(", "));
    format!("{krate}{} [{}]: {about}", text(&fields["message"]), text(&fields["code"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENSE: &str = r#"{"fields":{"code":"rejected","graphs":[{"Krate":{"name":"minicbor","version":"2.3.1"}}],"labels":[{"line":33,"message":"","span":"BlueOak-1.0.0"},{"line":33,"message":"rejected: license is not explicitly allowed","span":"BlueOak-1.0.0"}],"message":"failed to satisfy license requirements","severity":"error"},"type":"diagnostic"}"#;

    fn summary(licenses: u64) -> String {
        format!(
            r#"{{"fields":{{"bans":{{"errors":0}},"licenses":{{"errors":{licenses}}}}},"type":"summary"}}"#
        )
    }

    #[test]
    fn a_license_that_is_not_allowed_names_its_crate() {
        let judged = judge(&format!("{LICENSE}\n{}\n", summary(1)), &["bans", "licenses"]).unwrap();
        assert_eq!(
            judged.complaints,
            [
                "minicbor 2.3.1: failed to satisfy license requirements [rejected]: rejected: license is not explicitly allowed (BlueOak-1.0.0)"
            ]
        );
        assert_eq!(judged.data, json!({"bans": 0, "licenses": 1}));
        assert_eq!(judge(&summary(0), &["bans", "licenses"]).unwrap().complaints, [""; 0]);
        assert_eq!(judge(&summary(2), &["licenses"]).unwrap().complaints, ["licenses: 2 errors"]);
    }

    #[test]
    fn a_check_that_was_not_made_is_no_success() {
        assert!(judge("", &["bans"]).is_err());
        assert!(judge(&summary(0), &["sources"]).is_err());
        let log = r#"{"fields":{"level":"ERROR","message":"failed to fetch crates"},"type":"log"}"#;
        assert!(judge(log, &["bans"]).unwrap_err().contains("fetch crates"));
    }
}
