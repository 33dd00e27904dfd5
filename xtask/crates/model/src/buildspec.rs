//! Buildspecs: phases, environment and artifacts, as CodeBuild reads them.
//!
//! Source: "Build specification reference for CodeBuild", version 0.2.

use std::collections::BTreeMap;

use super::template::{Node, NodeValue, TemplateError, parse};

/// A buildspec.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buildspec {
    /// `env.variables`.
    pub variables: BTreeMap<String, String>,
    /// `env.exported-variables`.
    pub exported: Vec<String>,
    /// The phases that have commands, in CodeBuild's order.
    pub phases: Vec<Phase>,
    /// `artifacts`.
    pub artifacts: Option<Artifacts>,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// `install`, `pre_build`, `build` or `post_build`.
    pub name: String,
    /// Run one after the other; the first failure ends the phase.
    pub commands: Vec<String>,
    /// Run after the commands whatever became of them.
    pub finally: Vec<String>,
}

/// What a build hands on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// Patterns, relative to the base directory.
    pub files: Vec<String>,
    /// The directory that patterns and names in the archive are relative to.
    pub base_directory: Option<String>,
    /// `secondary-artifacts` by their identifier.
    pub secondary: BTreeMap<String, Artifacts>,
}

/// The phases in the order CodeBuild runs them.
pub const PHASES: [&str; 4] = ["install", "pre_build", "build", "post_build"];

/// Reads a buildspec.
///
/// # Errors
/// YAML that does not parse, a version other than 0.2, an unknown phase, or a part of the wrong shape; with its line.
pub fn read(text: &str) -> Result<Buildspec, TemplateError> {
    let root = parse(text)?;
    let fault = |line: usize, message: String| TemplateError { line, message };
    match root.get("version").map(scalar) {
        Some(Some(version)) if version == "0.2" => {}
        _ => return Err(fault(1, "a buildspec of version 0.2 is wanted".to_owned())),
    }
    let mut spec = Buildspec::default();
    if let Some(variables) = root.at(&["env", "variables"]) {
        for (key, value) in variables.entries() {
            let text = scalar(value)
                .ok_or_else(|| fault(value.line, format!("variable {} is not a scalar", key.name)))?;
            spec.variables.insert(key.name.clone(), text);
        }
    }
    if let Some(exported) = root.at(&["env", "exported-variables"]) {
        spec.exported = strings(exported)?;
    }
    let phases = root.get("phases").ok_or_else(|| fault(root.line, "there are no phases".to_owned()))?;
    for (key, _) in phases.entries() {
        if !PHASES.contains(&key.name.as_str()) {
            return Err(fault(
                key.line,
                format!("unknown phase `{}`; known are {}", key.name, PHASES.join(", ")),
            ));
        }
    }
    for name in PHASES {
        let Some(phase) = phases.get(name) else { continue };
        let list = |key: &str| phase.get(key).map_or(Ok(Vec::new()), strings);
        let (commands, finally) = (list("commands")?, list("finally")?);
        if !commands.is_empty() || !finally.is_empty() {
            spec.phases.push(Phase { name: name.to_owned(), commands, finally });
        }
    }
    if let Some(artifacts) = root.get("artifacts") {
        spec.artifacts = Some(artifacts_of(artifacts)?);
    }
    Ok(spec)
}

fn artifacts_of(node: &Node) -> Result<Artifacts, TemplateError> {
    let mut artifacts = Artifacts {
        files: node.get("files").map_or(Ok(Vec::new()), strings)?,
        base_directory: node.get("base-directory").and_then(scalar),
        secondary: BTreeMap::new(),
    };
    if let Some(secondary) = node.get("secondary-artifacts") {
        for (key, value) in secondary.entries() {
            artifacts.secondary.insert(key.name.clone(), artifacts_of(value)?);
        }
    }
    Ok(artifacts)
}

fn strings(node: &Node) -> Result<Vec<String>, TemplateError> {
    let fault = |line: usize| TemplateError { line, message: "a list of texts is wanted".to_owned() };
    match &node.value {
        NodeValue::Seq(items) => {
            items.iter().map(|item| scalar(item).ok_or_else(|| fault(item.line))).collect()
        }
        _ => Err(fault(node.line)),
    }
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        NodeValue::String(text) => Some(text.clone()),
        NodeValue::Number(number) => Some(number.to_string()),
        NodeValue::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "version: 0.2\nenv:\n  variables: {A: 1}\n  exported-variables: [V]\nphases:\n  build:\n    commands:\n      - cargo xtask package\n    finally:\n      - echo done\n  install:\n    runtime-versions: {rust: 1.95.0}\nartifacts:\n  base-directory: out\n  files: ['**/*']\n  secondary-artifacts:\n    tool:\n      files: [xtask]\n";

    #[test]
    fn a_buildspec_is_read() {
        let spec = read(SPEC).unwrap();
        assert_eq!(spec.variables["A"], "1");
        assert_eq!(spec.exported, ["V"]);
        assert_eq!(spec.phases.len(), 1);
        assert_eq!(spec.phases[0].commands, ["cargo xtask package"]);
        assert_eq!(spec.phases[0].finally, ["echo done"]);
        let artifacts = spec.artifacts.unwrap();
        assert_eq!(artifacts.base_directory.as_deref(), Some("out"));
        assert_eq!(artifacts.secondary["tool"].files, ["xtask"]);
    }

    #[test]
    fn complaints_name_the_line() {
        let table = [
            (SPEC.replace("0.2", "0.1"), 1, "version 0.2"),
            (SPEC.replace("  build:", "  compile:"), 6, "unknown phase `compile`"),
            (SPEC.replace("      - cargo xtask package", "      - [cargo]"), 8, "list of texts"),
            ("version: 0.2\n".to_owned(), 1, "no phases"),
        ];
        for (text, line, word) in table {
            let error = read(&text).unwrap_err();
            assert!(error.message.contains(word), "{error}");
            assert_eq!(error.line, line, "{error}");
        }
    }
}
