//! What a function measures of itself, as a log line from which CloudWatch takes metrics: requests, faults, latency.
//!
//! Lambda's own `Errors` counts invocations that failed. A handler that fails answers with a 500, which is an invocation
//! that went well, so nobody but the function can count it. The line costs no call and no permission.
//!
//! By function and alias there are `Requests`, `Faults` and `Latency`, for people. By executed version there is `Faults`
//! alone: each release makes these series anew, CloudWatch charges each series by itself, and a release is stopped by no
//! other of them (how long a version takes is Lambda's own `Duration`). The prices stand in `docs/metrics.md`.
//!
//! Source: "Specification: Embedded metric format" in the CloudWatch user guide.

use std::io::Write as _;

use serde_json::json;

/// The namespace of these metrics; the alarms of `cfn/app.yaml` name it.
pub const NAMESPACE: &str = "Causeway";

/// One request, as it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The ARN through which Lambda was asked; it ends in the alias.
    pub invoked_arn: &'a str,
    /// Lambda's number of the version that answered.
    pub version: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Milliseconds from the request to the answer.
    pub millis: f64,
    /// When it was answered, in milliseconds since 1970.
    pub at: i64,
}

/// The line for a request; `None` where no alias was asked. Such a call is no traffic: CodeDeploy's hooks and people call a
/// version by its number, and would make series of their own.
#[must_use]
pub fn line(measured: &Measured<'_>) -> Option<String> {
    let (function, alias) = function_and_alias(measured.invoked_arn)?;
    let fault = u8::from(measured.status >= 500);
    let line = json!({
        "_aws": {
            "Timestamp": measured.at,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["FunctionName", "Alias"]],
                    "Metrics": [
                        {"Name": "Requests", "Unit": "Count"},
                        {"Name": "Faults", "Unit": "Count"},
                        {"Name": "Latency", "Unit": "Milliseconds"},
                    ],
                },
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["FunctionName", "Alias", "ExecutedVersion"]],
                    "Metrics": [{"Name": "Faults", "Unit": "Count"}],
                },
            ],
        },
        "FunctionName": function,
        "Alias": alias,
        "ExecutedVersion": measured.version,
        "Requests": 1,
        "Faults": fault,
        "Latency": measured.millis,
    });
    Some(line.to_string())
}

/// Writes the line of a request into the log, where it has one. Before the answer is given: afterwards Lambda may stop the
/// process until the next request.
pub fn write(measured: &Measured<'_>) {
    if let Some(mut line) = line(measured) {
        line.push('\n');
        // In one piece, as the log's own lines are. Where the log cannot be written to, nobody could be told.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// Name and alias of `arn:aws:lambda:<region>:<account>:function:<name>:<alias>`. Numbers are versions, as Lambda lets no
/// alias be one ("Lambda function aliases").
fn function_and_alias(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.split(':').skip(5);
    let (kind, function, alias) = (parts.next()?, parts.next()?, parts.next()?);
    let is_alias = alias.bytes().any(|byte| !byte.is_ascii_digit()) && alias != "$LATEST";
    (kind == "function" && is_alias && !function.is_empty()).then_some((function, alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-central-1:111111111111:function:causeway-app-prod-checkin";

    fn measured(invoked_arn: &str, status: u16) -> Measured<'_> {
        Measured { invoked_arn, version: "7", status, millis: 12.5, at: 1_709_194_500_001 }
    }

    #[test]
    fn a_line_has_each_metric_under_its_dimensions_and_nothing_of_the_request() {
        let line = line(&measured(&format!("{ARN}:live"), 503)).unwrap();
        let expected = json!({
            "_aws": {"Timestamp": 1_709_194_500_001_i64, "CloudWatchMetrics": [
                {"Namespace": "Causeway", "Dimensions": [["FunctionName", "Alias"]], "Metrics": [
                    {"Name": "Requests", "Unit": "Count"},
                    {"Name": "Faults", "Unit": "Count"},
                    {"Name": "Latency", "Unit": "Milliseconds"},
                ]},
                {"Namespace": "Causeway", "Dimensions": [["FunctionName", "Alias", "ExecutedVersion"]],
                    "Metrics": [{"Name": "Faults", "Unit": "Count"}]},
            ]},
            "FunctionName": "causeway-app-prod-checkin", "Alias": "live", "ExecutedVersion": "7",
            "Requests": 1, "Faults": 1, "Latency": 12.5,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        assert!(!line.contains('\n'), "CloudWatch reads a line at a time");
    }

    #[test]
    fn only_what_is_our_doing_is_a_fault() {
        let arn = format!("{ARN}:live");
        for (status, fault) in [(200, "0"), (404, "0"), (429, "0"), (499, "0"), (500, "1"), (503, "1")] {
            let line = line(&measured(&arn, status)).unwrap();
            assert!(line.contains(&format!("\"Faults\":{fault},")), "{status}: {line}");
        }
    }

    #[test]
    fn a_call_that_names_no_alias_is_no_traffic() {
        for (end, alias) in [
            (":live", Some("live")),
            (":v1", Some("v1")),
            (":1a", Some("1a")),
            (":12", None),
            (":$LATEST", None),
            ("", None),
            (":", None),
        ] {
            let arn = format!("{ARN}{end}");
            let found = function_and_alias(&arn);
            assert_eq!(found, alias.map(|alias| ("causeway-app-prod-checkin", alias)), "{arn}");
            assert_eq!(line(&measured(&arn, 200)).is_some(), alias.is_some(), "{arn}");
        }
        for arn in ["", "arn", "arn:aws:lambda:r:1:layer:f:live", "arn:aws:lambda:r:1:function::live"] {
            assert_eq!(function_and_alias(arn), None, "{arn}");
        }
    }
}
