//! Buildspecs: environment, phases and artifacts, as CodeBuild reads them. What is in one and not known is refused.
//!
//! Source: AWS CodeBuild user guide, "Build specification reference for CodeBuild", version 0.2, as of 2026-11-28.

mod artifacts;
mod secret;

pub use artifacts::{Artifacts, filled, fits};
pub use secret::SecretRef;

use std::collections::{BTreeMap, BTreeSet};

use super::known::{self, Complaint, line_of};
use super::template::{Node, NodeValue, parse};

/// A buildspec.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buildspec {
    /// `env.shell`.
    pub shell: Shell,
    /// `env.variables`.
    pub variables: BTreeMap<String, String>,
    /// `env.parameter-store`: the parameter of each variable.
    pub parameters: BTreeMap<String, String>,
    /// `env.secrets-manager`.
    pub secrets: BTreeMap<String, SecretRef>,
    /// `env.exported-variables`.
    pub exported: Vec<String>,
    /// The phases that have commands, in CodeBuild's order.
    pub phases: Vec<Phase>,
    /// `artifacts`.
    pub artifacts: Option<Artifacts>,
    /// What of it is not rehearsed: the key and why.
    pub told: Vec<(String, String)>,
}

/// What runs the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shell {
    /// `/bin/sh`.
    #[default]
    Sh,
    /// `bash`.
    Bash,
}

impl Shell {
    /// The program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Sh => "/bin/sh",
            Self::Bash => "bash",
        }
    }
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
    /// `on-failure`.
    pub on_failure: OnFailure,
}

/// What becomes of a build when a phase fails.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Nothing is said: `post_build` runs after a failed `build`, and nothing runs after another.
    #[default]
    Unset,
    /// The build ends.
    Abort,
    /// The next phase runs, and the build may still succeed.
    Continue,
    /// The phase is tried again, so often, where what it said fits the expression.
    Retry(u32, String),
}

/// The phases in the order CodeBuild runs them.
pub const PHASES: [&str; 4] = ["install", "pre_build", "build", "post_build"];

/// How often `RETRY` tries again where no number is given.
const RETRIES: u32 = 3;

/// Reads a buildspec.
///
/// # Errors
/// Everything that is wrong with it, each with its line and the next step.
pub fn read(text: &str) -> Result<Buildspec, Vec<Complaint>> {
    let root = parse(text)
        .map_err(|error| vec![Complaint::new(error.line, "the buildspec", error.message, "fix that line")])?;
    let found = known::known().buildspec.walk(&root.to_json(), &|path| line_of(&root, path));
    let mut reader = Reader { complaints: found.complaints };
    let spec = reader.spec(&root, found.told);
    if reader.complaints.is_empty() {
        return Ok(spec);
    }
    reader.complaints.sort();
    reader.complaints.dedup();
    Err(reader.complaints)
}

/// Reads on after a fault, so that all of them are told at once.
struct Reader {
    complaints: Vec<Complaint>,
}

impl Reader {
    fn complain(&mut self, line: usize, on: &str, why: impl Into<String>, next: impl Into<String>) {
        self.complaints.push(Complaint::new(line, on, why, next));
    }

    fn spec(&mut self, root: &Node, told: Vec<(String, String)>) -> Buildspec {
        let version = root.get("version");
        match version.and_then(scalar).as_deref() {
            Some("0.2") => {}
            other => {
                let why = match other {
                    None => "there is no version".to_owned(),
                    Some(other) => format!("version {other} is not rehearsed"),
                };
                let line = version.map_or(root.line, |node| node.line);
                self.complain(line, "version", why, "write `version: 0.2`");
            }
        }
        let mut spec = Buildspec {
            shell: self.shell(root),
            variables: self.texts(root.at(&["env", "variables"]), "env.variables"),
            parameters: self.texts(root.at(&["env", "parameter-store"]), "env.parameter-store"),
            told: told
                .into_iter()
                .filter(|(key, _)| {
                    // Only `yes` asks for something.
                    key != "env.git-credential-helper"
                        || root.at(&["env", "git-credential-helper"]).and_then(truth) != Some(false)
                })
                .collect(),
            ..Buildspec::default()
        };
        self.secrets(root, &mut spec);
        self.exported(root, &mut spec);
        self.phases(root, &mut spec);
        if let Some(artifacts) = root.get("artifacts") {
            spec.artifacts = Some(self.artifacts(artifacts, "artifacts"));
        }
        spec
    }

    fn shell(&mut self, root: &Node) -> Shell {
        let Some(node) = root.at(&["env", "shell"]) else { return Shell::Sh };
        match node.as_str() {
            Some("bash") => Shell::Bash,
            Some("/bin/sh" | "sh") => Shell::Sh,
            _ => {
                self.complain(
                    node.line,
                    "env.shell",
                    "only bash and /bin/sh run here",
                    "write bash or /bin/sh",
                );
                Shell::Sh
            }
        }
    }

    fn secrets(&mut self, root: &Node, spec: &mut Buildspec) {
        for (name, text) in self.texts(root.at(&["env", "secrets-manager"]), "env.secrets-manager") {
            match SecretRef::read(&text) {
                Ok(secret) => {
                    spec.secrets.insert(name, secret);
                }
                Err(why) => {
                    let line = root.at(&["env", "secrets-manager", &name]).map_or(0, |node| node.line);
                    let next = "write secret-id:json-key:version-stage:version-id";
                    self.complain(line, &format!("env.secrets-manager.{name}"), why, next);
                }
            }
        }
    }

    fn exported(&mut self, root: &Node, spec: &mut Buildspec) {
        let Some(node) = root.at(&["env", "exported-variables"]) else { return };
        spec.exported = self.list(node, "env.exported-variables", false);
        let secret: BTreeSet<&String> = spec.parameters.keys().chain(spec.secrets.keys()).collect();
        let faults: Vec<(usize, String)> = node
            .items()
            .iter()
            .filter_map(|item| {
                let name = scalar(item)?;
                let secret = secret.contains(&name);
                (secret || name.starts_with("AWS_")).then_some((item.line, name))
            })
            .collect();
        for (line, name) in faults {
            let why = format!(
                "CodeBuild does not export {name}: secrets, and names that begin with AWS_, stay in the build"
            );
            self.complain(line, "env.exported-variables", why, "export another variable");
        }
    }

    fn phases(&mut self, root: &Node, spec: &mut Buildspec) {
        let Some(phases) = root.get("phases") else {
            self.complain(root.line, "phases", "there are no phases", "add a phase with commands");
            return;
        };
        for name in PHASES {
            let Some(phase) = phases.get(name) else { continue };
            let on = |key: &str| format!("phases.{name}.{key}");
            let mut list =
                |key: &str| phase.get(key).map_or_else(Vec::new, |node| self.list(node, &on(key), false));
            let (commands, finally) = (list("commands"), list("finally"));
            let on_failure = match phase.get("on-failure") {
                None => OnFailure::Unset,
                Some(node) => scalar(node).as_deref().and_then(on_failure).unwrap_or_else(|| {
                    let next = "write ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex or RETRY-count-regex (count: 0 to 100)";
                    self.complain(node.line, &on("on-failure"), "it is no such action", next);
                    OnFailure::Unset
                }),
            };
            if !commands.is_empty() || !finally.is_empty() {
                spec.phases.push(Phase { name: name.to_owned(), commands, finally, on_failure });
            }
        }
    }

    fn artifacts(&mut self, node: &Node, on: &str) -> Artifacts {
        let at = |key: &str| format!("{on}.{key}");
        let mut list =
            |key: &str| node.get(key).map_or_else(Vec::new, |below| self.list(below, &at(key), true));
        let (files, exclude) = (list("files"), list("exclude-paths"));
        let mut flag = |key: &str| match node.get(key) {
            None => false,
            Some(below) => truth(below).unwrap_or_else(|| {
                self.complain(below.line, &at(key), "it is neither yes nor no", "write yes or no");
                false
            }),
        };
        let (discard_paths, symlinks) = (flag("discard-paths"), flag("enable-symlinks"));
        let mut artifacts = Artifacts {
            files,
            exclude,
            discard_paths,
            symlinks,
            base_directory: None,
            secondary: BTreeMap::new(),
        };
        if let Some(base) = node.get("base-directory") {
            artifacts.base_directory = scalar(base);
            if artifacts.base_directory.is_none() {
                self.complain(base.line, &at("base-directory"), "it is no text", "write one directory");
            }
        }
        for (key, below) in node.get("secondary-artifacts").map_or(&[][..], Node::entries) {
            let on = format!("{on}.secondary-artifacts.{}", key.name);
            let one = self.artifacts(below, &on);
            if one.files.is_empty() {
                self.complain(key.line, &on, "it names no files", "add `files`");
            }
            artifacts.secondary.insert(key.name.clone(), one);
        }
        artifacts
    }

    /// A mapping of texts.
    fn texts(&mut self, node: Option<&Node>, on: &str) -> BTreeMap<String, String> {
        let Some(node) = node else { return BTreeMap::new() };
        if !matches!(node.value, NodeValue::Map(_) | NodeValue::Null) {
            self.complain(node.line, on, "a mapping is wanted", "write `name: value` lines");
        }
        let mut all = BTreeMap::new();
        for (key, value) in node.entries() {
            match scalar(value) {
                Some(text) => {
                    all.insert(key.name.clone(), text);
                }
                None => {
                    self.complain(value.line, &format!("{on}.{}", key.name), "it is no text", "write a text");
                }
            }
        }
        all
    }

    /// A list of texts; a single one, too, where CodeBuild takes that.
    fn list(&mut self, node: &Node, on: &str, single: bool) -> Vec<String> {
        let items = match &node.value {
            NodeValue::Seq(items) => items.as_slice(),
            NodeValue::Null => return Vec::new(),
            _ if single && scalar(node).is_some() => std::slice::from_ref(node),
            _ => {
                self.complain(node.line, on, "a list of texts is wanted", "begin each item with `- `");
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for item in items {
            match scalar(item) {
                Some(text) => all.push(text),
                None => {
                    let next = "put quotes around it: a colon or a bracket makes something else of a text";
                    self.complain(item.line, on, "a list of texts is wanted", next);
                }
            }
        }
        all
    }
}

fn on_failure(text: &str) -> Option<OnFailure> {
    let any = || ".*".to_owned();
    match text {
        "ABORT" => return Some(OnFailure::Abort),
        "CONTINUE" => return Some(OnFailure::Continue),
        "RETRY" => return Some(OnFailure::Retry(RETRIES, any())),
        _ => {}
    }
    let rest = text.strip_prefix("RETRY-").filter(|rest| !rest.is_empty())?;
    let (count, regex) = rest.split_once('-').unwrap_or((rest, ""));
    match (count.parse::<u32>(), regex) {
        (Ok(count), _) if count > 100 => None,
        (Ok(count), "") if rest == count.to_string() => Some(OnFailure::Retry(count, any())),
        (Ok(count), regex) if !regex.is_empty() => Some(OnFailure::Retry(count, regex.to_owned())),
        _ => Some(OnFailure::Retry(RETRIES, rest.to_owned())),
    }
}

/// `yes` and `no` as YAML 1.1 has them.
fn truth(node: &Node) -> Option<bool> {
    match &node.value {
        NodeValue::Bool(truth) => Some(*truth),
        NodeValue::String(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Some(true),
            "no" | "false" | "off" => Some(false),
            _ => None,
        },
        _ => None,
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
mod tests;
