//! Connections to a source provider: which texts name one, and where a person finishes it.

/// Whether a parameter's value is the ARN of a connection.
pub fn is_connection(value: &str) -> bool {
    let fields: Vec<&str> = value.splitn(6, ':').collect();
    matches!(fields.as_slice(), ["arn", _, "codeconnections" | "codestar-connections", _, _, resource] if resource.starts_with("connection/"))
}

/// The page of the console on which a person finishes a pending connection.
///
/// Source: "Update a pending connection" in the Developer Tools console user guide.
pub fn console_link(arn: &str) -> String {
    let fields: Vec<&str> = arn.split(':').collect();
    let (partition, region) =
        (fields.get(1).copied().unwrap_or("aws"), fields.get(3).copied().unwrap_or_default());
    let domain = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}/codesuite/settings/connections?region={region}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_told_from_other_texts() {
        for arn in [
            "arn:aws:codeconnections:eu-central-1:111111111111:connection/ab",
            "arn:aws-cn:codestar-connections:cn-north-1:111111111111:connection/ab",
        ] {
            assert!(is_connection(arn), "{arn}");
        }
        for text in [
            "",
            "arn:aws:kms:eu-central-1:111111111111:key/ab",
            "connection/ab",
            "arn:aws:codeconnections:eu-central-1:111111111111:host/ab",
        ] {
            assert!(!is_connection(text), "{text}");
        }
        assert_eq!(
            console_link("arn:aws:codeconnections:eu-central-1:111111111111:connection/ab"),
            "https://eu-central-1.console.aws.amazon.com/codesuite/settings/connections?region=eu-central-1"
        );
    }
}
