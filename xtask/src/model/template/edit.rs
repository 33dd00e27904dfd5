//! Replaces single scalars in a template's text, so that comments and order stay as they were written.

use std::ops::Range;

use super::node::Node;

/// One scalar of the source and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The bytes of the scalar, its quotes included.
    pub(crate) span: Range<usize>,
    /// The new text; it is written so that YAML reads it as this string.
    pub(crate) text: String,
}

impl Edit {
    /// An edit of a node that the source has as one scalar.
    pub(crate) fn of(node: &Node, text: impl Into<String>) -> Self {
        Self { span: node.span.clone(), text: text.into() }
    }
}

/// The text with every edit made. Edits must not overlap; their order does not matter.
///
/// # Errors
/// Edits that overlap or lie outside of the text.
pub(crate) fn apply(source: &str, mut edits: Vec<Edit>) -> Result<String, String> {
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(source.len() + 64 * edits.len());
    let mut done = 0;
    for edit in &edits {
        if edit.span.start < done {
            return Err("two edits of the same text".to_owned());
        }
        let before = source.get(done..edit.span.start).ok_or("an edit outside of the text")?;
        out.push_str(before);
        out.push_str(&scalar(&edit.text));
        done = edit.span.end;
    }
    out.push_str(source.get(done..).ok_or("an edit outside of the text")?);
    Ok(out)
}

/// The text as a YAML scalar: plain where that is safe, else in double quotes (JSON's rules are YAML's there).
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-:+".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(safe)
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn only_the_scalar_changes() {
        let source = "# head\nA:\n  CodeUri: ../x.zip   # where it comes from\n  Keep: [a,  'b']\nB: {CodeUri: \"y.zip\"}\n";
        let root = parse(source).unwrap();
        let edits = vec![
            Edit::of(root.at(&["B", "CodeUri"]).unwrap(), "s3://bucket/k y.zip"),
            Edit::of(root.at(&["A", "CodeUri"]).unwrap(), "s3://bucket/packages/x/1.zip"),
        ];
        let edited = apply(source, edits).unwrap();
        assert_eq!(
            edited,
            "# head\nA:\n  CodeUri: s3://bucket/packages/x/1.zip   # where it comes from\n  Keep: [a,  'b']\nB: {CodeUri: \"s3://bucket/k y.zip\"}\n"
        );
        assert_eq!(
            parse(&edited).unwrap().at(&["B", "CodeUri"]).unwrap().as_str(),
            Some("s3://bucket/k y.zip")
        );
    }

    #[test]
    fn what_yaml_would_read_otherwise_is_quoted() {
        for (text, expected) in [
            ("arm64", "arm64"),
            ("true", "\"true\""),
            ("0.1.0+ab", "\"0.1.0+ab\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn overlaps_are_refused() {
        let edit = |span| Edit { span, text: "x".into() };
        assert!(apply("abcdef", vec![edit(0..3), edit(2..4)]).is_err());
        assert!(apply("abc", vec![edit(2..9)]).is_err());
    }
}
