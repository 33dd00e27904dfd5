//! How large a template may be, and what is submitted of one that is larger than a request.

use std::borrow::Cow;

use super::parse;

/// The largest template in a request, in bytes ("CloudFormation quotas").
pub const MAX_BODY: usize = 51_200;
/// The largest template in an S3 object, in bytes ("CloudFormation quotas": 1 MB).
pub const MAX_OBJECT: usize = 1_048_576;
/// The longest `TemplateURL` ("CreateStack" in the CloudFormation API reference).
pub const MAX_URL: usize = 5_120;

/// The text that is submitted: the template as it is, or, where that is larger than a request and enough of it is comments
/// and white space, the same as JSON without them. One that is larger even so goes as it is, by URL.
pub fn submitted(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_BODY {
        return Cow::Borrowed(text);
    }
    match parse(text).map(|root| root.to_json().to_string()) {
        Ok(short) if short.len() <= MAX_BODY => Cow::Owned(short),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_loses_its_comments() {
        let small = "Resources:\n  T: {Type: 'AWS::SNS::Topic'} # why\n";
        assert_eq!(submitted(small), small);
        let exactly = format!("{small}#{}", "x".repeat(MAX_BODY - small.len() - 1));
        assert_eq!((exactly.len(), submitted(&exactly) == exactly), (MAX_BODY, true));
        let commented = format!("{small}#{}", "x".repeat(MAX_BODY));
        assert_eq!(submitted(&commented), r#"{"Resources":{"T":{"Type":"AWS::SNS::Topic"}}}"#);
        let full = format!("{small}Description: {}", "x".repeat(MAX_BODY));
        assert_eq!(submitted(&full), full, "it goes by URL");
        let broken = format!("[{}", "x".repeat(MAX_BODY));
        assert_eq!(submitted(&broken), broken, "CloudFormation says what is wrong");
    }

    /// What loses its comments is the same template: read again, it is what it was.
    #[test]
    fn the_projects_templates_are_the_same_without_their_comments() {
        for (name, text) in [
            ("app.yaml", include_str!("../../../../../cfn/app.yaml")),
            ("target-roles.yaml", include_str!("../../../../../cfn/target-roles.yaml")),
            ("pipeline.yaml", include_str!("../../../../../cfn/pipeline.yaml")),
            ("build-base.yaml", include_str!("../../../../../cfn/build-base.yaml")),
        ] {
            let padded = format!("{text}\n# {}\n", "x".repeat(MAX_BODY));
            let short = submitted(&padded);
            assert!(short.len() < text.len(), "{name}");
            assert_eq!(parse(&short).unwrap().to_json(), parse(text).unwrap().to_json(), "{name}");
        }
    }
}
