//! What cargo takes from variables and from configuration files outside of the workspace, and which of it would make other
//! bytes of the same commit. Text only.
//!
//! Source: "The Cargo Book", "Configuration" and "Environment Variables"; the names of C's are those of the crate `cc`.

/// Variables that change what is built.
const NAMES: [&str; 14] = [
    "RUSTFLAGS",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_INCREMENTAL",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CRATE_CC_NO_DEFAULTS",
    "CPATH",
];

/// What the crate `cc` reads, alone, with `TARGET_` or `HOST_` before it, or with `_<target>` behind it.
const C_FLAGS: [&str; 4] = ["CFLAGS", "CXXFLAGS", "ARFLAGS", "RANLIBFLAGS"];
const C_PROGRAMS: [&str; 4] = ["CC", "CXX", "AR", "RANLIB"];

/// Whether a variable of the caller's would make other bytes of the same commit.
///
/// `own_linker`: the caller named the linker, and so may name the C compiler that goes with it.
pub fn is_left_out(name: &str, own_linker: bool) -> bool {
    let of_c = |stem: &str| {
        let bare = name.strip_prefix("TARGET_").or_else(|| name.strip_prefix("HOST_")).unwrap_or(name);
        bare == stem || name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('_'))
    };
    NAMES.contains(&name)
        || name.starts_with("CARGO_PROFILE_")
        || (name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS"))
        || C_FLAGS.iter().any(|stem| of_c(stem))
        || (!own_linker && C_PROGRAMS.iter().any(|stem| of_c(stem)))
}

/// What a configuration file outside of the workspace says that concerns the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreign {
    /// Keys that are overridden by what we hand to cargo.
    pub overridden: Vec<String>,
    /// Keys that stay in force: cargo has no way to be told otherwise.
    pub in_force: Vec<String>,
}

/// Reads such a file; one that does not parse says nothing here, cargo complains about it.
pub fn foreign(text: &str) -> Foreign {
    let mut found = Foreign::default();
    let Ok(config) = toml::from_str::<toml::Table>(text) else { return found };
    let table = |name: &str| config.get(name).and_then(toml::Value::as_table);
    let build = table("build");
    for key in ["rustflags", "rustc", "rustc-wrapper", "rustc-workspace-wrapper", "incremental"] {
        if build.is_some_and(|build| build.contains_key(key)) {
            found.overridden.push(format!("build.{key}"));
        }
    }
    for (target, settings) in table("target").into_iter().flatten() {
        if settings.get("rustflags").is_some() {
            found.overridden.push(format!("target.{target}.rustflags"));
        }
    }
    if build.is_some_and(|build| build.contains_key("target")) {
        found.in_force.push("build.target".to_owned());
    }
    for name in ["profile", "env", "patch"] {
        found.in_force.extend(table(name).into_iter().flatten().map(|(key, _)| format!("{name}.{key}")));
    }
    if config.contains_key("paths") {
        found.in_force.push("paths".to_owned());
    }
    found
}

/// The flags that the workspace's own configuration gives to the compiler for a target; none where it has none.
///
/// `None` where that depends on a `cfg(…)`: only cargo can say.
pub fn rustflags(text: &str, target: &str) -> Option<Vec<String>> {
    let Ok(config) = toml::from_str::<toml::Table>(text) else { return Some(Vec::new()) };
    let targets = config.get("target").and_then(toml::Value::as_table);
    let conditional = targets
        .into_iter()
        .flatten()
        .any(|(name, settings)| name.starts_with("cfg(") && settings.get("rustflags").is_some());
    if conditional {
        return None;
    }
    let own = targets.and_then(|all| all.get(target)).and_then(|settings| settings.get("rustflags"));
    let flags = own.or_else(|| config.get("build")?.get("rustflags"));
    Some(match flags {
        Some(toml::Value::String(text)) => text.split_whitespace().map(ToOwned::to_owned).collect(),
        Some(toml::Value::Array(all)) => {
            all.iter().filter_map(toml::Value::as_str).map(ToOwned::to_owned).collect()
        }
        _ => Vec::new(),
    })
}

/// The linker that a configuration file names for a target.
pub fn linker(text: &str, target: &str) -> Option<String> {
    let config: toml::Table = toml::from_str(text).ok()?;
    let linker = config.get("target")?.get(target)?.get("linker")?;
    // A later form is a table with the path in it.
    linker.as_str().or_else(|| linker.get("path")?.as_str()).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn what_changes_bytes_is_left_out_and_nothing_else() {
        let out = [
            "RUSTFLAGS",
            "CARGO_PROFILE_LAMBDA_OPT_LEVEL",
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CFLAGS",
            "TARGET_CFLAGS",
            "HOST_CFLAGS",
            "CFLAGS_aarch64_unknown_linux_gnu",
            "CXXFLAGS_aarch64-unknown-linux-gnu",
        ];
        for name in out {
            assert!(is_left_out(name, true) && is_left_out(name, false), "{name}");
        }
        for name in ["CC", "TARGET_CC", "CC_aarch64-unknown-linux-gnu", "AR"] {
            assert!(!is_left_out(name, true) && is_left_out(name, false), "{name}");
        }
        let stay = [
            "PATH",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "CCACHE_DIR",
            "ARCH",
            "CARGO_NET_OFFLINE",
        ];
        for name in stay {
            assert!(!is_left_out(name, false), "{name}");
        }
    }

    #[test]
    fn what_a_file_outside_says_is_named() {
        let text = "[build]\nrustflags = [\"-C\", \"debuginfo=1\"]\nrustc-wrapper = \"sccache\"\ntarget = \"x\"\njobs = 2\n[target.aarch64-unknown-linux-gnu]\nrustflags = \"-g\"\nlinker = \"ld\"\n[profile.lambda]\nopt-level = 3\n[env]\nX = \"1\"\n[net]\noffline = true\n";
        let found = foreign(text);
        assert_eq!(
            found.overridden,
            ["build.rustflags", "build.rustc-wrapper", "target.aarch64-unknown-linux-gnu.rustflags"]
        );
        assert_eq!(found.in_force, ["build.target", "profile.lambda", "env.X"]);
        assert_eq!(foreign("[alias]\nx = \"run\"\n"), Foreign::default());
        assert_eq!(foreign("not toml ["), Foreign::default());
    }

    #[test]
    fn committed_flags_are_kept() {
        let table = [
            ("", Some(vec![])),
            (
                "[build]\nrustflags = \"-C target-cpu=neoverse-n1\"\n",
                Some(vec!["-C", "target-cpu=neoverse-n1"]),
            ),
            (
                "[build]\nrustflags = [\"-a\"]\n[target.aarch64-unknown-linux-gnu]\nrustflags = [\"-b\", \"c d\"]\n",
                Some(vec!["-b", "c d"]),
            ),
            ("[target.'cfg(unix)']\nrustflags = \"-a\"\n", None),
        ];
        for (text, expected) in table {
            let expected: Option<Vec<String>> =
                expected.map(|all| all.into_iter().map(ToOwned::to_owned).collect());
            assert_eq!(rustflags(text, ARM), expected, "{text}");
        }
    }

    #[test]
    fn a_configured_linker_is_found() {
        let table = [
            ("[target.aarch64-unknown-linux-gnu]\nlinker = \"my-ld\"\n", Some("my-ld")),
            ("[target.aarch64-unknown-linux-gnu]\nlinker = {path = \"p\"}\n", Some("p")),
            ("[target.x86_64-unknown-linux-gnu]\nlinker = \"my-ld\"\n", None),
            ("not toml [", None),
        ];
        for (text, expected) in table {
            assert_eq!(linker(text, ARM).as_deref(), expected, "{text}");
        }
    }
}
