//! Builds whose bytes do not depend on the machine: what cargo is given, so that nothing of the caller's gets in.
//!
//! Everything is given to cargo through its environment. A small program of ours stands before the compiler and adds the
//! remapping of paths: as flags they would be part of what cargo takes for another build.

use std::path::{Path, PathBuf};

use crate::way::{Way, write};
use crate::{cargo_config, linker};

/// The folder below a target directory for what is built on such a way. Cargo takes a crate that was compiled with its true
/// paths for the same as one without: where both lay together, bytes would depend on who compiled first.
pub const APART: &str = "packaged";

/// Cargo's target directory for a workspace, as the caller has it.
pub fn target_dir(root: &Path) -> PathBuf {
    ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
        .into_iter()
        .find_map(std::env::var_os)
        .map_or_else(|| root.join("target"), |dir| root.join(dir))
}

impl Way {
    /// Leads a cargo command this way, and keeps the caller's environment out of what it builds; and, unless that stays here,
    /// this machine, too.
    ///
    /// # Errors
    /// The program that stands before the compiler cannot be written.
    pub fn lead(
        &self,
        command: &mut tokio::process::Command,
        root: &Path,
        tools: &Path,
    ) -> anyhow::Result<()> {
        for (name, _) in std::env::vars_os() {
            if cargo_config::is_left_out(&name.to_string_lossy(), self.own_linker) {
                command.env_remove(name);
            }
        }
        without_wrappers(command, root);
        if let Some(flags) = committed_flags(root, &self.target) {
            command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        }
        // What was built before must not show in what is built now.
        command.env("CARGO_INCREMENTAL", "0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.stays {
            return Ok(());
        }
        let cargo_home = cargo_home().unwrap_or_else(|| root.join(".cargo"));
        let target_dir = target_dir(root).join(APART);
        command.env("CARGO_TARGET_DIR", &target_dir);
        // The last one that fits is taken.
        let paths = [
            (root.to_path_buf(), "/causeway"),
            (target_dir, "/target"),
            (cargo_home, "/cargo"),
            (self.sysroot.clone(), "/rust"),
        ];
        let remapped: Vec<(String, &str)> =
            paths.into_iter().map(|(path, short)| (path.display().to_string(), short)).collect();
        let text = linker::rustc(
            &self.compiler.display().to_string(),
            &self.rustc,
            self.libraries.as_ref().map(|path| path.display().to_string()).as_deref(),
            &remapped,
        );
        let rustc = write(&tools.join(&self.target).join("rustc"), &text)?;
        command.env("RUSTC", rustc).env("LC_ALL", "C").env("TZ", "UTC").env("SOURCE_DATE_EPOCH", "0");
        let c_flags: Vec<String> =
            remapped.iter().map(|(path, short)| format!("-ffile-prefix-map={path}={short}")).collect();
        command.env(format!("CFLAGS_{}", self.target.replace('-', "_")), c_flags.join(" "));
        Ok(())
    }

    /// Warnings about what the caller's variables and the configuration files outside of the workspace would change.
    pub fn warnings(&self, root: &Path) -> Vec<String> {
        let mut all = Vec::new();
        let mut set: Vec<String> = std::env::vars_os()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .filter(|name| cargo_config::is_left_out(name, self.own_linker))
            .collect();
        set.sort();
        if !set.is_empty() {
            all.push(format!("{} is left out: a package depends on what is committed alone", set.join(", ")));
        }
        let flags_win = committed_flags(root, &self.target).is_some();
        for (path, text) in configs(root).filter(|(path, _)| !path.starts_with(root.join(".cargo"))) {
            let found = cargo_config::foreign(&text);
            let (out, mut stay): (Vec<String>, Vec<String>) =
                found.overridden.into_iter().partition(|key| flags_win || !key.ends_with("rustflags"));
            stay.extend(found.in_force);
            if !out.is_empty() {
                all.push(format!("{} of {} is left out", out.join(", "), path.display()));
            }
            if !stay.is_empty() {
                all.push(format!(
                    "{} of {} may change the bytes, and cargo cannot be told to leave it out: packages of another machine may differ",
                    stay.join(", "),
                    path.display()
                ));
            }
        }
        all
    }
}

/// Keeps wrappers of the compiler out of a cargo command, whoever names them. Set, the variables win over every
/// configuration file, and empty, they mean none. But then cargo does not keep what it asked the compiler, so they are set
/// only where a file may name one.
pub(super) fn without_wrappers(command: &mut tokio::process::Command, root: &Path) {
    let named = configs(root).any(|(_, text)| text.contains("wrapper") || text.contains("include"));
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(format!("CARGO_BUILD_{name}"));
        if named {
            command.env(name, "")
        } else {
            command.env_remove(name)
        };
    }
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// The configuration files that cargo reads, the nearest first: path and text.
pub(super) fn configs(root: &Path) -> impl Iterator<Item = (PathBuf, String)> + use<> {
    let mut dirs: Vec<PathBuf> = root.ancestors().map(|dir| dir.join(".cargo")).collect();
    dirs.extend(cargo_home());
    // The home may lie above the root: it counts once.
    let mut seen = std::collections::BTreeSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs.into_iter().filter_map(|dir| {
        // Cargo prefers the name without an ending where both are there.
        ["config", "config.toml"].into_iter().find_map(|name| {
            let path = dir.join(name);
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
    })
}

/// The flags that the committed configuration gives to the compiler; `None` where only cargo can say.
fn committed_flags(root: &Path, target: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root.join(".cargo/config.toml")).unwrap_or_default();
    cargo_config::rustflags(&text, target)
}

#[cfg(test)]
mod tests {
    use causeway_machine::cmd::{cmd, command};

    use super::*;

    #[tokio::test]
    async fn what_stays_on_this_machine_is_built_where_its_tests_are_and_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let way = Way::host(dir.path()).await.unwrap().that_stays();
        let mut command = command(dir.path(), |sh| cmd!(sh, "cargo build")).unwrap();
        way.lead(&mut command, dir.path(), &dir.path().join("tools")).unwrap();
        let mut set = command.as_std().get_envs().filter(|(_, value)| value.is_some());
        let flags = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("CFLAGS");
        assert!(set.all(|(name, _)| name != "CARGO_TARGET_DIR" && name != "RUSTC" && !flags(name)));
        assert!(!dir.path().join("tools").exists(), "no program stands before the compiler");
    }

    #[tokio::test]
    async fn what_is_built_on_a_way_lies_apart_from_other_builds() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let way = Way::host(root).await.unwrap();
        let mut command = command(root, |sh| cmd!(sh, "cargo build")).unwrap();
        way.lead(&mut command, root, &root.join("tools")).unwrap();
        let set = |wanted: &str| {
            let mut all = command.as_std().get_envs();
            all.find(|(name, _)| *name == wanted).and_then(|(_, value)| value).map(PathBuf::from)
        };
        let apart = target_dir(root).join(APART);
        assert_eq!(set("CARGO_TARGET_DIR"), Some(apart.clone()));
        let before_rustc = std::fs::read_to_string(set("RUSTC").unwrap()).unwrap();
        assert!(before_rustc.contains(&format!("{}=/target", apart.display())), "{before_rustc}");
    }
}
