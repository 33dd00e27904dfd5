//! What a rehearsal builds never leaves the machine, so functions and their tests are one build: one profile, one triple, the
//! same flags and features, one target directory. What both depend on is compiled once.

use std::path::Path;

use causeway_model::net::is_loopback;

/// The feature of a package that turns on what only its tests need of a dependency. On in a rehearsal, never in a release.
const FEATURE: &str = "rehearsal";

/// Whether what is built for `target` is for the local cloud, which runs on this machine.
pub fn is_one(target: Option<&str>) -> bool {
    target == Some("host") && std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| is_loopback(&url))
}

/// The features that are on in a rehearsal, of those packages that have such a one. A package's folder has its name.
pub fn features<'a>(root: &Path, packages: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let has_one = |package: &&str| {
        let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml")).unwrap_or_default();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap_or_default();
        manifest.get("features").is_some_and(|features| features.get(FEATURE).is_some())
    };
    packages.into_iter().filter(has_one).map(|package| format!("{package}/{FEATURE}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_have_the_feature_get_it() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("one", "[features]\nrehearsal = []\n"), ("two", "[features]\nother = []\n")] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("Cargo.toml"), text).unwrap();
        }
        assert_eq!(features(dir.path(), ["one", "two", "three"]), ["one/rehearsal"]);
    }
}
