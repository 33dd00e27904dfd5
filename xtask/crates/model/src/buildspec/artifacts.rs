//! What a build hands on: which files, under which names.

use std::collections::BTreeMap;

/// What a build hands on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// Patterns, relative to the base directory.
    pub files: Vec<String>,
    /// Patterns of what is left out, relative to the base directory.
    pub exclude: Vec<String>,
    /// Whether files lose their folders.
    pub discard_paths: bool,
    /// Whether symbolic links stay links.
    pub symlinks: bool,
    /// The directory that patterns and names in the archive are relative to; `*` at its end takes every one that begins so.
    pub base_directory: Option<String>,
    /// `secondary-artifacts` by their identifier.
    pub secondary: BTreeMap<String, Artifacts>,
}

impl Artifacts {
    /// The name under which a file of the base directory is handed on; `None` where it is not.
    pub fn name(&self, file: &str) -> Option<String> {
        let any = |patterns: &[String]| {
            patterns.iter().any(|pattern| fits(pattern.strip_prefix("./").unwrap_or(pattern), file))
        };
        if !any(&self.files) || any(&self.exclude) {
            return None;
        }
        let name = if self.discard_paths { file.rsplit('/').next().unwrap_or(file) } else { file };
        Some(name.to_owned())
    }

    /// The same with the build's variables filled in.
    pub fn filled(&self, variables: &BTreeMap<String, String>) -> Self {
        let fill = |all: &[String]| all.iter().map(|one| filled(one, variables)).collect();
        Self {
            files: fill(&self.files),
            exclude: fill(&self.exclude),
            base_directory: self.base_directory.as_ref().map(|base| filled(base, variables)),
            ..self.clone()
        }
    }
}

/// A text with `$NAME` and `${NAME}` replaced by what the build's variables have; what is not set becomes nothing, as in a shell.
pub fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, end)) => (name, end),
            None => {
                let long =
                    after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(long)
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(variables.get(name).map_or("", String::as_str));
        }
        rest = end;
    }
    out.push_str(rest);
    out
}

/// CodeBuild's patterns: `*` within a folder, `**` across folders.
pub fn fits(pattern: &str, name: &str) -> bool {
    fn go(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', b'/', rest @ ..] => {
                go(rest, name)
                    || name.iter().enumerate().any(|(at, byte)| *byte == b'/' && go(rest, &name[at + 1..]))
            }
            [b'*', b'*'] => true,
            [b'*', rest @ ..] => {
                let folder = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
                (0..=folder).any(|at| go(rest, &name[at..]))
            }
            [first, rest @ ..] => name.first() == Some(first) && go(rest, &name[1..]),
        }
    }
    go(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_codebuilds() {
        let table = [
            ("template.yaml", "template.yaml", true),
            ("params-*.json", "params-dev.json", true),
            ("params-*.json", "deep/params-dev.json", false),
            ("**/*", "a", true),
            ("**/*", "a/b/c", true),
            ("a/**/c", "a/b/c", true),
            ("a/**", "a/b/c", true),
            ("*", "a/b", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_handed_on_under_their_names() {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let all = Artifacts { files: texts(&["**/*"]), ..Artifacts::default() };
        let without = Artifacts { exclude: texts(&["secret/**", "./**/*.pem"]), ..all.clone() };
        let flat = Artifacts { discard_paths: true, ..without.clone() };
        let table = [
            (&all, "a/b.json", Some("a/b.json")),
            (&without, "secret/key", None),
            (&without, "secret/deep/key", None),
            (&without, "a/key.pem", None),
            (&without, "secrets", Some("secrets")),
            (&flat, "a/b/c.json", Some("c.json")),
            (&flat, "secret/c.json", None),
        ];
        for (artifacts, file, expected) in table {
            assert_eq!(artifacts.name(file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn variables_are_filled_in() {
        let variables =
            BTreeMap::from([("A".to_owned(), "x".to_owned()), ("A_B".to_owned(), "y".to_owned())]);
        for (text, expected) in [
            ("$A/out", "x/out"),
            ("${A}_B", "x_B"),
            ("$A_B.zip", "y.zip"),
            ("$NONE-a", "-a"),
            ("cost$", "cost$"),
            ("**/*", "**/*"),
        ] {
            assert_eq!(filled(text, &variables), expected, "{text}");
        }
    }
}
