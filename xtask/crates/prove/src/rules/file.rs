//! `cfn/release-rules.toml` as data. Its head and `docs/release-rules.md` explain every field.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::super::Problem;
use super::super::matrix::line;
use super::path::{Path, Step};
use super::things::{FACTS, KINDS};

/// The file, relative to the checkout.
pub(super) const FILE: &str = "cfn/release-rules.toml";

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Classes of things, by name.
    #[serde(default)]
    pub classes: BTreeMap<String, Spanned<Class>>,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A class: things of a type, a kind or another class for which every condition holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    /// A type of resource, a kind of thing, or another class.
    pub of: Spanned<String>,
    /// What it holds, in words.
    pub says: String,
    /// Which of them.
    #[serde(default, rename = "where")]
    pub filter: Vec<Spanned<Condition>>,
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Rule {
    /// Its name.
    pub id: Spanned<String>,
    /// Why it is there.
    pub reason: Spanned<String>,
    /// The class that it is for.
    #[serde(rename = "for")]
    pub class: Spanned<String>,
    /// Which of the class.
    #[serde(default, rename = "where")]
    pub filter: Vec<Spanned<Condition>>,
    /// What must hold for each.
    #[serde(default)]
    pub must: Vec<Spanned<Condition>>,
    /// Where there must be at least one: in each environment, or anywhere.
    #[serde(default)]
    pub exists: Option<Exists>,
}

/// Where there must be at least one of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Exists {
    /// In each environment.
    InEachEnvironment,
    /// Anywhere in the project.
    InTheProject,
}

/// A path and one comparison with what is there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Condition {
    /// The path; without it, the thing itself.
    #[serde(default)]
    pub at: Option<String>,
    /// There is a value, or there is none.
    #[serde(default)]
    pub present: Option<bool>,
    /// The value is this.
    #[serde(default)]
    pub equals: Option<Value>,
    /// The value is not this.
    #[serde(default)]
    pub differs: Option<Value>,
    /// The value is one of these.
    #[serde(default)]
    pub one_of: Option<Vec<Value>>,
    /// The value is none of these.
    #[serde(default)]
    pub none_of: Option<Vec<Value>>,
    /// The number is this or more.
    #[serde(default)]
    pub at_least: Option<Value>,
    /// The number is this or less.
    #[serde(default)]
    pub at_most: Option<Value>,
    /// The text has this shape: `*` is any text, `?` any character.
    #[serde(default)]
    pub matches: Option<String>,
    /// The text does not have this shape.
    #[serde(default)]
    pub never_matches: Option<String>,
    /// Among the values are these.
    #[serde(default)]
    pub contains: Option<Vec<Value>>,
    /// The values are these and no others, in any order.
    #[serde(default)]
    pub exactly: Option<Vec<Value>>,
    /// As many values as this.
    #[serde(default)]
    pub count: Option<usize>,
    /// The text refers to a thing of this class, in the same environment.
    #[serde(default)]
    pub refers_to: Option<String>,
    /// The thing is one of this class.
    #[serde(default)]
    pub is: Option<String>,
    /// The pipeline comes to the thing before it comes to any of this class that is for the same environment.
    #[serde(default)]
    pub before: Option<String>,
    /// One of this class that is for the same environment is done before the pipeline comes to the thing.
    #[serde(default)]
    pub after: Option<String>,
    /// The role may do something.
    #[serde(default)]
    pub may: Option<May>,
}

/// Something that a role may do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct May {
    /// The action.
    #[serde(rename = "do")]
    pub action: String,
    /// On what.
    pub on: String,
    /// With which condition keys.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
}

/// The words of comparisons.
const COMPARISONS: &str = "present, equals, differs, one-of, none-of, at-least, at-most, matches, never-matches, contains, \
                           exactly, count, refers-to, is, before, after, may";

impl Condition {
    /// Its path.
    ///
    /// # Errors
    /// It is no path; with what is wrong.
    pub(super) fn path(&self) -> Result<Path, String> {
        Path::parse(self.at.as_deref().unwrap_or("."))
    }

    fn comparisons(&self) -> usize {
        let all = [
            self.present.is_some(),
            self.equals.is_some(),
            self.differs.is_some(),
            self.one_of.is_some(),
            self.none_of.is_some(),
            self.at_least.is_some(),
            self.at_most.is_some(),
            self.matches.is_some(),
            self.never_matches.is_some(),
            self.contains.is_some(),
            self.exactly.is_some(),
            self.count.is_some(),
            self.refers_to.is_some(),
            self.is.is_some(),
            self.before.is_some(),
            self.after.is_some(),
            self.may.is_some(),
        ];
        all.into_iter().filter(|set| *set).count()
    }

    fn classes(&self) -> impl Iterator<Item = &String> {
        [&self.refers_to, &self.is, &self.before, &self.after].into_iter().flatten()
    }
}

/// Reads the file, strictly.
///
/// # Errors
/// Every complaint with its line: a field, class, property, path or comparison that does not exist, a reason left out.
pub(super) fn parse(text: &str, known: &dyn Known) -> Result<File, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let message = error.message().to_owned();
        let next = if message.contains("unknown field") {
            format!("; a condition has `at` and one comparison: {COMPARISONS}")
        } else {
            String::new()
        };
        vec![Problem::new(FILE, line(text, start), format!("{message}{next}"))]
    })?;
    let mut reader = Reader { text, file: &file, known, problems: Vec::new() };
    reader.read();
    if reader.problems.is_empty() { Ok(file) } else { Err(reader.problems) }
}

/// What is known of types of resources.
pub(super) trait Known {
    /// Whether CloudFormation has a type, as far as anybody here knows.
    fn has(&self, kind: &str) -> bool;
    /// The nearest type, for a suggestion.
    fn near(&self, kind: &str) -> Option<String>;
    /// Whether a type has a property; `None` where its properties are not known.
    fn has_property(&self, kind: &str, property: &str) -> Option<bool>;
}

struct Reader<'a> {
    text: &'a str,
    file: &'a File,
    known: &'a dyn Known,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn complain(&mut self, start: usize, message: String) {
        self.problems.push(Problem::new(FILE, line(self.text, start), message));
    }

    fn read(&mut self) {
        for (name, class) in &self.file.classes {
            let (start, class) = (class.span().start, class.get_ref());
            if KINDS.contains(&name.as_str()) || name.contains("::") {
                self.complain(
                    start,
                    format!("class `{name}`: a kind or type has this name already; take another"),
                );
            }
            if class.says.trim().is_empty() {
                self.complain(start, format!("class `{name}`: `says` is empty; write what the class holds"));
            }
            self.class(class.of.get_ref(), class.of.span().start);
            if self.base(name).is_none() {
                self.complain(
                    start,
                    format!("class `{name}` is made of itself; let it be of a type or a kind"),
                );
            }
            let base = self.base(name);
            for condition in &class.filter {
                self.condition(condition, base.as_deref());
            }
        }
        let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in &self.file.rules {
            let id = rule.id.get_ref();
            let start = rule.id.span().start;
            if let Some(first) = ids.insert(id, line(self.text, start)) {
                self.complain(
                    start,
                    format!("rule {id}: line {first} has a rule of this id already; give it another"),
                );
            }
            if rule.reason.get_ref().trim().is_empty() {
                self.complain(
                    rule.reason.span().start,
                    format!("rule {id}: the reason is empty; write why the rule is there"),
                );
            }
            if rule.must.is_empty() && rule.exists.is_none() {
                self.complain(start, format!("rule {id} asks nothing; give it `must` or `exists`"));
            }
            self.class(rule.class.get_ref(), rule.class.span().start);
            let base = self.base(rule.class.get_ref());
            for condition in rule.filter.iter().chain(&rule.must) {
                self.condition(condition, base.as_deref());
            }
        }
    }

    /// The type or kind that a class comes down to; `None` where it leads in a circle.
    fn base(&self, name: &str) -> Option<String> {
        let mut at = name;
        for _ in 0..16 {
            match self.file.classes.get(at) {
                Some(class) => at = class.get_ref().of.get_ref(),
                None => return Some(at.to_owned()),
            }
        }
        None
    }

    fn class(&mut self, name: &str, start: usize) {
        if self.file.classes.contains_key(name) || KINDS.contains(&name) {
            return;
        }
        if name.contains("::") {
            if !self.known.has(name) {
                let near = self
                    .known
                    .near(name)
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                self.complain(start, format!("CloudFormation has no type `{name}`{near}"));
            }
            return;
        }
        let near = causeway_iam::closest(name, self.file.classes.keys().map(String::as_str).chain(KINDS));
        let near = near.map_or_else(
            || format!("; there are {}, and every type of resource by its name", self.names()),
            |near| format!("; did you mean `{near}`?"),
        );
        self.complain(start, format!("there is no class `{name}`{near}"));
    }

    fn names(&self) -> String {
        let all: Vec<&str> = KINDS.into_iter().chain(self.file.classes.keys().map(String::as_str)).collect();
        all.join(", ")
    }

    fn condition(&mut self, condition: &Spanned<Condition>, base: Option<&str>) {
        let (start, condition) = (condition.span().start, condition.get_ref());
        match condition.comparisons() {
            1 => {}
            0 => self
                .complain(start, format!("a condition without a comparison; give it one of {COMPARISONS}")),
            _ => self
                .complain(start, "a condition with more than one comparison; write one for each".to_owned()),
        }
        match condition.path() {
            Ok(path) => self.path(&path, base, start),
            Err(error) => self.complain(start, error),
        }
        for class in condition.classes() {
            self.class(class, start);
        }
        for text in texts(condition) {
            for path in placeholders(text) {
                match Path::parse(path) {
                    Ok(path) => self.path(&path, base, start),
                    Err(error) => self.complain(start, error),
                }
            }
        }
    }

    /// The properties that a path names, as far as its types are known.
    fn path(&mut self, path: &Path, base: Option<&str>, start: usize) {
        let mut kind = base.map(ToOwned::to_owned);
        for (at, step) in path.steps.iter().enumerate() {
            let first = at == 0
                || matches!(
                    path.steps.get(at - 1),
                    Some(Step::Referring(..) | Step::Class(_) | Step::Referred | Step::Held)
                );
            match step {
                Step::Key(key) if key.starts_with('@') => {
                    if first && !FACTS.contains(&key.as_str()) {
                        self.complain(
                            start,
                            format!("there is no fact `{key}`; there are {}", FACTS.join(", ")),
                        );
                    }
                    kind = None;
                }
                Step::Key(key) => {
                    if let Some(of) = kind.take().filter(|_| first)
                        && self.known.has_property(&of, key) == Some(false)
                    {
                        self.complain(
                            start,
                            format!(
                                "{of} has no property `{key}`; see its page in the CloudFormation user guide"
                            ),
                        );
                    }
                }
                Step::Referring(of, inner) => {
                    self.class(of, start);
                    let of = self.base(of);
                    self.path(inner, of.as_deref(), start);
                    kind = of;
                }
                Step::Class(of) => {
                    self.class(of, start);
                    kind = self.base(of);
                }
                Step::Those(inner, _) => self.path(inner, None, start),
                Step::All | Step::Referred | Step::Held => kind = None,
            }
        }
    }
}

/// The texts of a comparison that may hold placeholders.
fn texts(condition: &Condition) -> Vec<&str> {
    let mut all: Vec<&str> =
        condition.matches.iter().chain(&condition.never_matches).map(String::as_str).collect();
    let lists = [&condition.one_of, &condition.none_of, &condition.contains, &condition.exactly];
    let single = [&condition.equals, &condition.differs, &condition.at_least, &condition.at_most];
    let values = lists.into_iter().flatten().flatten().chain(single.into_iter().flatten());
    all.extend(values.filter_map(Value::as_str));
    if let Some(may) = &condition.may {
        all.push(&may.on);
        all.extend(may.with.values().map(String::as_str));
    }
    all
}

/// The paths in braces of a text. `#{…}` is CodePipeline's and stays, but for a path in it.
pub(super) fn placeholders(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let is_pipelines = rest.get(..open).is_some_and(|before| before.ends_with(['#', '$']));
        rest = rest.get(open + 1..).unwrap_or_default();
        if is_pipelines {
            continue;
        }
        // Two braces are one that is meant.
        if let Some(meant) = rest.strip_prefix('{') {
            rest = meant.find("}}").and_then(|close| meant.get(close + 2..)).unwrap_or_default();
            continue;
        }
        let Some(close) = rest.find('}') else { break };
        all.push(rest.get(..close).unwrap_or_default());
        rest = rest.get(close + 1..).unwrap_or_default();
    }
    all
}
