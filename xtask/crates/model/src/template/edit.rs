//! Replaces single scalars in a template's text, so that comments and order stay as they were written.

use std::ops::Range;

use super::node::Node;

/// One scalar of the source and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The bytes of the scalar, its quotes included.
    span: Range<usize>,
    /// The new text, as YAML.
    yaml: String,
}

impl Edit {
    /// An edit of a node that the source has as one scalar: YAML reads the new text as this string.
    pub fn of(node: &Node, text: impl AsRef<str>) -> Self {
        Self { span: node.span.clone(), yaml: scalar(text.as_ref()) }
    }

    /// An edit that adds YAML, as it is, at a place of the source.
    pub fn insert(at: usize, yaml: impl Into<String>) -> Self {
        Self { span: at..at, yaml: yaml.into() }
    }

    /// An edit that puts a mapping of strings in a scalar's place, on its line.
    pub fn mapping(node: &Node, pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect();
        Self { span: node.span.clone(), yaml: format!("{{{}}}", pairs.join(", ")) }
    }
}

/// The text with every edit made. Edits must not overlap; their order does not matter.
///
/// # Errors
/// Edits that overlap or lie outside of the text.
pub fn apply(source: &str, mut edits: Vec<Edit>) -> Result<String, String> {
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(source.len() + 64 * edits.len());
    let mut done = 0;
    for edit in &edits {
        if edit.span.start < done {
            return Err("two edits of the same text".to_owned());
        }
        let before = source.get(done..edit.span.start).ok_or("an edit outside of the text")?;
        out.push_str(before);
        out.push_str(&edit.yaml);
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
    fn a_scalar_becomes_a_mapping() {
        let source = "A:\n  CodeUri: ../x.zip   # from here\nB: {CodeUri: 'y.zip', C: 1}\n";
        let root = parse(source).unwrap();
        let pairs = [("Bucket", "b"), ("Key", "packages/x/1.zip"), ("Version", "3:a, b}")];
        let edits = ["A", "B"].map(|name| Edit::mapping(root.at(&[name, "CodeUri"]).unwrap(), &pairs));
        let edited = apply(source, edits.to_vec()).unwrap();
        let flow = "{Bucket: b, Key: packages/x/1.zip, Version: \"3:a, b}\"}";
        assert_eq!(edited, format!("A:\n  CodeUri: {flow}   # from here\nB: {{CodeUri: {flow}, C: 1}}\n"));
        let read = parse(&edited).unwrap();
        for name in ["A", "B"] {
            for (key, value) in pairs {
                assert_eq!(read.at(&[name, "CodeUri", key]).unwrap().as_str(), Some(value));
            }
        }
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
        let edit = |span| Edit { span, yaml: "x".into() };
        assert!(apply("abcdef", vec![edit(0..3), edit(2..4)]).is_err());
        assert!(apply("abc", vec![edit(2..9)]).is_err());
    }
}
