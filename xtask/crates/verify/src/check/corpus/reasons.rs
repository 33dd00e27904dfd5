//! Why templates were refused, and who says so: AWS, by its page or message; the lack of what stands in the author's account
//! alone; or we. What no rule knows is ours.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// The rules, with their sources.
const RULES: &str = include_str!("../../../../../data/corpus.toml");

/// Whose reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Whose {
    /// AWS refuses it as well.
    Aws,
    /// The template rests on something in its author's account.
    Author,
    /// AWS would take it.
    Ours,
}

/// A reason, recognized by a part of its words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    says: String,
    whose: Whose,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    reason: Vec<Rule>,
}

/// How a template ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It stands.
    Deployed,
    /// The call was refused, or the stack was rolled back: the words.
    Refused(String),
}

/// All templates of a folder.
pub(in crate::check) struct Report {
    rules: Vec<Rule>,
    ends: BTreeMap<String, End>,
    sample: bool,
}

impl Report {
    /// Of these ends.
    ///
    /// # Errors
    /// The rules cannot be read.
    pub(super) fn of(ends: BTreeMap<String, End>, sample: bool) -> anyhow::Result<Self> {
        let rules: Rules = toml::from_str(RULES).context("read xtask/data/corpus.toml")?;
        Ok(Self { rules: rules.reason, ends, sample })
    }

    fn rule<'a>(&'a self, words: &'a str) -> (&'a str, Whose, &'a str) {
        let rule = self.rules.iter().find(|rule| words.contains(&rule.says));
        rule.map_or((words, Whose::Ours, ""), |rule| (rule.says.as_str(), rule.whose, rule.source.as_str()))
    }

    /// By whose reason it is and its words: the source, and the templates.
    fn reasons(&self) -> BTreeMap<(&'static str, String), (String, Vec<&str>)> {
        let mut all: BTreeMap<(&'static str, String), (String, Vec<&str>)> = BTreeMap::new();
        for (name, end) in &self.ends {
            let End::Refused(words) = end else { continue };
            let (says, whose, source) = self.rule(words);
            let whose = match whose {
                Whose::Aws => "AWS",
                Whose::Author => "the author's account",
                Whose::Ours => "ours, not AWS's",
            };
            let entry =
                all.entry((whose, says.to_owned())).or_insert_with(|| (source.to_owned(), Vec::new()));
            entry.1.push(name);
        }
        all
    }

    fn deployed(&self) -> usize {
        self.ends.values().filter(|end| **end == End::Deployed).count()
    }

    fn ours(&self) -> usize {
        self.reasons()
            .iter()
            .filter(|((whose, _), _)| whose.starts_with("ours"))
            .map(|(_, (_, names))| names.len())
            .sum()
    }

    /// For people.
    pub(in crate::check) fn table(&self) -> String {
        let mut table = format!(
            "{} templates: {} deployed, {} refused, of these {} by us and not by AWS\n",
            self.ends.len(),
            self.deployed(),
            self.ends.len() - self.deployed(),
            self.ours()
        );
        for ((whose, says), (source, names)) in self.reasons() {
            let source = if source.is_empty() { "no source" } else { &source };
            let shown: String = says.chars().take(160).collect();
            table.push_str(&format!(
                "{:>5}  {whose}: {shown} ({source}); for instance {}\n",
                names.len(),
                names.first().unwrap_or(&"")
            ));
        }
        table
    }

    /// For programs.
    pub(in crate::check) fn data(&self) -> Value {
        let reasons = self.reasons();
        let reasons = reasons.iter().map(|((whose, says), (source, names))| {
            json!({"whose": whose, "says": says, "source": source, "count": names.len(), "templates": names})
        });
        json!({"templates": self.ends.len(), "deployed": self.deployed(), "ours": self.ours(), "reasons": reasons.collect::<Vec<_>>()})
    }

    /// Of our own sample each must end as its name says: those that begin with `refused_` are refused for a reason of AWS's.
    pub(in crate::check) fn judge(&self) -> Result<(), String> {
        if !self.sample {
            return Ok(());
        }
        let as_named = |name: &str, end: &End| match end {
            End::Deployed => !name.starts_with("refused_"),
            End::Refused(words) => name.starts_with("refused_") && self.rule(words).1 == Whose::Aws,
        };
        match self.ends.iter().find(|(name, end)| !as_named(name, end)) {
            Some((name, end)) => Err(format!("{name} ended otherwise than its name says: {end:?}")),
            None if self.ends.is_empty() => Err("there is no template in the sample".to_owned()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ends: &[(&str, Option<&str>)]) -> Report {
        let end = |words: &Option<&str>| words.map_or(End::Deployed, |words| End::Refused(words.to_owned()));
        let ends = ends.iter().map(|(name, words)| ((*name).to_owned(), end(words))).collect();
        Report::of(ends, true).unwrap()
    }

    #[test]
    fn every_rule_has_a_source_and_none_is_hidden_by_another() {
        let report = report(&[]);
        for (place, rule) in report.rules.iter().enumerate() {
            assert!(!rule.source.is_empty() && !rule.says.is_empty(), "{}", rule.says);
            // A page has its title in quotation marks; what is the translator's own is run here.
            let named = rule.source.contains('"') || rule.source.contains("aws-sam-translator");
            assert!(rule.whose == Whose::Ours || named, "{} names no page: {}", rule.says, rule.source);
            let first = report.rules.iter().position(|other| rule.says.contains(&other.says));
            assert_eq!(first, Some(place), "{} is never reached", rule.says);
        }
    }

    #[test]
    fn what_no_rule_knows_is_ours() {
        let circle = "Circular dependency between resources: [A, B]";
        let all = report(&[
            ("a", None),
            ("b", Some("some words")),
            ("c", Some("some words")),
            ("refused_d", Some(circle)),
        ]);
        assert_eq!((all.deployed(), all.ours()), (1, 2));
        assert!(
            all.table().starts_with("4 templates: 1 deployed, 3 refused, of these 2 by us"),
            "{}",
            all.table()
        );
        assert_eq!(all.data()["reasons"][1]["templates"], json!(["b", "c"]), "{}", all.data());
    }

    #[test]
    fn the_sample_ends_as_its_names_say() {
        let circle = "Circular dependency between resources: [A, B]";
        for (ends, good) in [
            (vec![("a", None), ("refused_b", Some(circle))], true),
            (vec![("refused_a", None)], false),
            (vec![("a", Some(circle))], false),
            (vec![("refused_a", Some("some words"))], false),
            (vec![], false),
        ] {
            assert_eq!(report(&ends).judge().is_ok(), good, "{ends:?}");
        }
    }
}
