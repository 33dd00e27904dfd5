//! What cargo compiled, by its own JSON messages, and what of it twice.
//!
//! Source: "External tools" in the Cargo book, "Artifact messages". A unit is a target of a package; one that was up to date
//! is none here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A target of a package that was compiled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// The build that compiled it: one for each source that is built.
    pub build: String,
    /// Cargo's id of the package.
    pub package: String,
    /// The target's name.
    pub target: String,
    /// The target's kinds, for instance `lib`; `test` where it was compiled as a test.
    pub kind: String,
    /// Its features.
    pub features: Vec<String>,
}

/// Reads one of cargo's lines; `None` for what is no artifact, and for one that was up to date.
pub fn unit(build: &str, line: &str) -> Option<Unit> {
    if !line.contains("\"compiler-artifact\"") {
        return None;
    }
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["fresh"] != false {
        return None;
    }
    let texts = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(ToOwned::to_owned).collect()
    };
    let is_test = message["profile"]["test"] == true;
    Some(Unit {
        build: build.to_owned(),
        package: message["package_id"].as_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        kind: if is_test { "test".to_owned() } else { texts(&message["target"]["kind"]).join(",") },
        features: texts(&message["features"]),
    })
}

impl Unit {
    /// Whether its package is no member of the workspace.
    fn is_foreign(&self) -> bool {
        !self.package.starts_with("path+")
    }
}

/// How much was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Count {
    /// Units of all packages.
    pub units: usize,
    /// Units of packages that are no members of the workspace.
    pub dependencies: usize,
    /// Units of members that were compiled again for the same source: with another version stamped in, or broken on purpose.
    pub members_twice: usize,
    /// Which, by package and target.
    pub members_named: BTreeSet<String>,
    /// What of the dependencies was compiled more than once, by package and target.
    pub twice: BTreeSet<String>,
}

impl Count {
    /// Counts the units of builds that share a target directory.
    ///
    /// A dependency is compiled twice when one build compiles a target of it more than once, whatever the difference: features
    /// and profiles must be the same for all that is built of one source. It is also compiled twice when a later build, of another
    /// source, compiles it with the features that it had before: the earlier build should have served.
    pub fn of(units: &[Unit]) -> Self {
        let mut within: BTreeMap<(&str, &str, &str, &str), usize> = BTreeMap::new();
        let mut across: BTreeMap<(&str, &str, &str, &[String]), BTreeSet<&str>> = BTreeMap::new();
        for unit in units {
            let (build, package) = (unit.build.as_str(), unit.package.as_str());
            let (target, kind) = (unit.target.as_str(), unit.kind.as_str());
            *within.entry((build, package, target, kind)).or_default() += 1;
            if unit.is_foreign() {
                across.entry((package, target, kind, &unit.features)).or_default().insert(build);
            }
        }
        let mut count = Self {
            units: units.len(),
            dependencies: units.iter().filter(|unit| unit.is_foreign()).count(),
            ..Self::default()
        };
        for ((_, package, target, kind), times) in within {
            if package.starts_with("path+") {
                count.members_twice += times - 1;
                if times > 1 {
                    count.members_named.insert(named(package, target, kind));
                }
            } else if times > 1 {
                count.twice.insert(named(package, target, kind));
            }
        }
        for ((package, target, kind, _), builds) in across {
            if builds.len() > 1 {
                count.twice.insert(named(package, target, kind));
            }
        }
        count
    }

    /// As the result of a rehearsal has it.
    pub fn data(&self) -> Value {
        json!({
            "units": self.units, "dependencies": self.dependencies, "dependencies_twice": self.twice,
            "members_twice": self.members_twice, "members_named": self.members_named,
        })
    }
}

/// A package's name and version, and which target of it.
fn named(package: &str, target: &str, kind: &str) -> String {
    let name = package.rsplit_once('#').map_or(package, |(_, name)| name);
    // "Package ID specifications": a member whose folder has its name has the version alone there.
    let folder =
        || package.rsplit_once('#').and_then(|(path, _)| path.rsplit_once('/')).map_or("", |(_, last)| last);
    match name.contains('@') {
        true => format!("{name} ({target}, {kind})"),
        false => format!("{}@{name} ({target}, {kind})", folder()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERDE: &str = "registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0";
    const API: &str = "path+file:///work/api#0.1.0";

    fn message(package: &str, kind: &str, fresh: bool, features: &[&str]) -> String {
        json!({
            "reason": "compiler-artifact", "package_id": package, "fresh": fresh, "features": features,
            "target": {"kind": [kind], "name": "it"}, "profile": {"test": kind == "test"},
        })
        .to_string()
    }

    fn units(all: &[(&str, &str, &str, &[&str])]) -> Vec<Unit> {
        let read = |(build, package, kind, features): &(&str, &str, &str, &[&str])| {
            unit(build, &message(package, kind, false, features)).unwrap()
        };
        all.iter().map(read).collect()
    }

    #[test]
    fn what_was_up_to_date_is_not_counted() {
        assert_eq!(unit("b", &message(SERDE, "lib", true, &[])), None);
        assert_eq!(unit("b", "{\"reason\":\"build-finished\",\"success\":true}"), None);
        assert_eq!(unit("b", "compiler-artifact"), None);
        let found = unit("b", &message(API, "test", false, &["a"])).unwrap();
        assert_eq!((found.kind.as_str(), found.is_foreign()), ("test", false));
    }

    #[test]
    fn a_dependency_with_two_sets_of_features_in_one_build_is_compiled_twice() {
        let count = Count::of(&units(&[
            ("build", SERDE, "lib", &["std"]),
            ("build", SERDE, "lib", &["std", "test"]),
            ("build", SERDE, "custom-build", &["std"]),
        ]));
        assert_eq!((count.units, count.dependencies, count.members_twice), (3, 3, 0));
        assert_eq!(count.twice, ["serde@1.0.0 (it, lib)".to_owned()].into());
    }

    #[test]
    fn a_later_build_may_ask_for_other_features_and_for_nothing_that_was_there() {
        let other = [("before", SERDE, "lib", &["std"][..]), ("after", SERDE, "lib", &["std", "more"])];
        assert_eq!(Count::of(&units(&other)).twice, BTreeSet::new());
        let same = [("before", SERDE, "lib", &["std"][..]), ("after", SERDE, "lib", &["std"])];
        assert_eq!(Count::of(&units(&same)).twice.len(), 1);
    }

    #[test]
    fn members_are_compiled_anew_for_another_source_and_counted_apart_for_the_same() {
        let count = Count::of(&units(&[
            ("before", API, "lib", &[]),
            ("after", API, "lib", &[]),
            ("after", API, "lib", &["break-prod"]),
        ]));
        assert_eq!((count.units, count.dependencies, count.members_twice), (3, 0, 1));
        assert_eq!(count.members_named, ["api@0.1.0 (it, lib)".to_owned()].into());
        assert_eq!(count.twice, BTreeSet::new());
    }
}
