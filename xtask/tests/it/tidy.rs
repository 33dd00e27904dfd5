//! The architecture's rules, as a test.
//!
//! A rule that only stands in a document is forgotten; here a build fails. Each complaint names file, line and rule.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A file of the workspace.
struct Source {
    /// Relative to the workspace, with `/`.
    name: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a folder of the workspace with one of these endings.
fn sources(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { name, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no files below {folders:?}");
    found
}

/// Fails with every complaint.
fn hold(complaints: &[String]) {
    let mut text = String::new();
    for complaint in complaints {
        let _ = writeln!(text, "  {complaint}");
    }
    assert!(complaints.is_empty(), "rules of ARCHITECTURE.md are broken:\n{text}");
}

/// Complaints about lines that fit, each as `file:line: rule`.
fn lines(source: &Source, rule: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let rows = source.text.lines().enumerate().filter(|(_, row)| fits(row));
    rows.map(|(number, _)| format!("{}:{}: {rule}", source.name, number + 1)).collect()
}

/// Everything in Rust.
const RUST: [&str; 3] = ["xtask", "api", "hooks"];
/// The crates that do no I/O: what they know, they are given.
const PURE: [&str; 4] = ["causeway-args", "causeway-iam", "causeway-model", "causeway-prove"];

/// The names that a file's `use` lines and paths mean, a group written out: `use std::{fs, env::var}` are `std::fs` and
/// `std::env::var`. Comments and texts in quotes stay as they are.
fn written_out(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("std::{") {
        out.push_str(&rest[..at]);
        rest = &rest[at + "std::{".len()..];
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let (group, after) = rest.split_at(end.unwrap_or(rest.len()));
        let mut depth = 0;
        let names = group.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        // One line in place of several: the lines' numbers must not change.
        let names: Vec<String> = names
            .map(|name| name.split_whitespace().collect::<String>())
            .filter(|name| !name.is_empty())
            .map(|name| format!("std::{name}"))
            .collect();
        out.push_str(&names.join(", "));
        out.push_str(&"\n".repeat(group.matches('\n').count()));
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    out + rest
}

#[test]
fn what_is_pure_touches_nothing() {
    let banned = [
        "std::fs",
        "std::env::",
        "std::env;",
        "std::env,",
        "std::process",
        "std::net::Tcp",
        "std::net::Udp",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "println!",
        "eprintln!",
        "async fn",
    ];
    let mut complaints = Vec::new();
    for package in PURE {
        let folder = format!("xtask/crates/{}/src", package.trim_start_matches("causeway-"));
        for source in sources(&[&folder], &[".rs"]) {
            let source = Source { text: written_out(&source.text), ..source };
            for word in banned {
                complaints.extend(lines(&source, &format!("{package} must not use {word}"), |row| {
                    row.contains(word) && !row.trim_start().starts_with("//")
                }));
            }
        }
    }
    hold(&complaints);
}

/// What cargo says of the workspace and of everything it depends on.
fn metadata() -> serde_json::Value {
    let output = assert_cmd::Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The names of the packages of which a package's own program is made, itself included.
fn made_of(metadata: &serde_json::Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let name = |id: &str| packages.iter().find(|one| one["id"] == id).unwrap()["name"].as_str().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let first = packages.iter().find(|one| one["name"] == package).unwrap_or_else(|| panic!("no {package}"));
    let mut open = vec![first["id"].as_str().unwrap()];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            // The kind of a normal dependency is null; others are `dev` and `build`.
            if dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null()) {
                open.push(dependency["pkg"].as_str().unwrap());
            }
        }
    }
    seen.into_iter().map(|id| name(id).to_owned()).collect()
}

/// Whether a package is one of AWS's, or a part of an HTTP client or of the async runtime.
fn is_reach(name: &str) -> bool {
    name.starts_with("aws-") || ["tokio", "hyper", "reqwest", "rustls", "mio", "socket2"].contains(&name)
}

#[test]
fn what_is_pure_is_made_of_nothing_that_could_reach_further() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in PURE {
        for name in made_of(&metadata, package).iter().filter(|name| is_reach(name)) {
            complaints.push(format!("{package} is made of {name}, too"));
        }
    }
    hold(&complaints);
    // The same look finds them where they are.
    let aws = made_of(&metadata, "causeway-aws");
    for name in ["aws-sdk-s3", "aws-config", "tokio", "hyper"] {
        assert!(is_reach(name) && aws.contains(name), "causeway-aws is made of {name}");
    }
}

/// The compiler refuses an SDK's name in any other crate, for its manifest does not give it: a documentation test of
/// `causeway-watch`, which stands above `causeway-aws`, shows that, and one of `causeway-aws` that the same line is right there.
#[test]
fn only_the_crate_aws_names_the_sdks() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    let mut found = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = package["manifest_path"].as_str().unwrap();
        let own = Path::new(manifest).strip_prefix(root().canonicalize().unwrap());
        // The functions that `bench coldstart` compares with are no part of the tool.
        if !own.is_ok_and(|own| own.starts_with("xtask")) || package["name"] == "coldstart" {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            if name.starts_with("aws-") && package["name"] == "causeway-aws" {
                found += 1;
            } else if name.starts_with("aws-") {
                complaints.push(format!("{}: only causeway-aws names {name}", package["name"]));
            }
        }
    }
    hold(&complaints);
    assert!(found > 5, "causeway-aws has {found} crates of AWS");
}

#[test]
fn every_main_is_a_table_of_contents() {
    let mut seen = 0;
    let mut complaints = Vec::new();
    for source in sources(&["xtask"], &[".rs"]) {
        if !source.name.ends_with("src/main.rs") && !source.name.contains("/src/bin/") {
            continue;
        }
        seen += 1;
        let (rows, functions) = (source.text.lines().count(), functions(&source.text));
        if rows >= 80 || functions != 1 {
            complaints.push(format!("{}: {rows} lines with {functions} functions hold logic", source.name));
        }
    }
    hold(&complaints);
    assert!(seen >= 3, "{seen} programs");
}

/// How many functions are written in a file.
fn functions(text: &str) -> usize {
    let code = text.lines().map(str::trim_start).filter(|row| !row.starts_with("//"));
    code.filter(|row| row.starts_with("fn ") || row.contains(" fn ")).count()
}

#[test]
fn every_module_says_why_it_exists() {
    let mut complaints = Vec::new();
    for source in sources(&RUST, &[".rs"]) {
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{}:1: a module opens with `//!` saying why it exists", source.name));
        }
    }
    hold(&complaints);
}

/// How many lines of a file are there besides its tests: a module `#[cfg(test)] mod NAME { … }` is left out wherever it
/// stands, and what follows it counts.
fn besides_tests(text: &str) -> usize {
    let mut count = 0;
    let mut rows = text.lines().peekable();
    while let Some(row) = rows.next() {
        let is_tests = row == "#[cfg(test)]" && rows.peek().is_some_and(|next| next.starts_with("mod "));
        if !is_tests {
            count += 1;
        } else if rows.next().is_some_and(|next| next.ends_with('{')) {
            // Formatted code closes what stands at the margin at the margin.
            let _ = rows.by_ref().find(|row| *row == "}");
        }
    }
    count
}

#[test]
fn files_stay_one_idea() {
    let mut complaints = Vec::new();
    for source in sources(&RUST, &[".rs"]).into_iter().filter(|source| source.name.contains("/src/")) {
        let code = besides_tests(&source.text);
        if code > 500 {
            complaints
                .push(format!("{}: {code} lines besides its tests; it wants to be two ideas", source.name));
        }
    }
    hold(&complaints);
}

/// Whether a row allows what a lint forbids, for a line, a file or under a condition.
fn allows(row: &str) -> bool {
    let row = row.trim_start();
    !row.starts_with("//")
        && (row.starts_with("#[allow(")
            || row.starts_with("#![allow(")
            || (row.contains("cfg_attr(") && row.contains(" allow(")))
}

#[test]
fn exceptions_carry_a_reason_and_nothing_is_unfinished() {
    // This file names the words that it looks for.
    let own = "xtask/tests/it/tidy.rs";
    let mut complaints = Vec::new();
    for source in sources(&RUST, &[".rs"]).iter().filter(|source| source.name != own) {
        complaints.extend(lines(source, "use #[expect(…, reason = …)]", allows));
        complaints.extend(lines(source, "unfinished", |row| {
            ["todo!(", "unimplemented!(", "FIXME", "TODO", "XXX"].iter().any(|word| row.contains(word))
        }));
    }
    hold(&complaints);
}

#[test]
fn templates_name_no_region_partition_or_account() {
    let mut complaints = Vec::new();
    for source in sources(&["cfn", "buildspecs"], &[".yaml", ".yml"]) {
        complaints.extend(lines(&source, "write ${AWS::Partition}", |row| {
            row.contains("arn:aws:") && !row.trim_start().starts_with('#')
        }));
        complaints.extend(lines(&source, "write ${AWS::Region}", has_region));
        complaints.extend(lines(&source, "write ${AWS::URLSuffix}", |row| {
            row.contains(".amazonaws.com.cn") || (row.contains("https://") && row.contains(".amazonaws.com"))
        }));
        complaints.extend(lines(&source, "no account is written down", has_account));
    }
    hold(&complaints);
}

/// Whether a word of the row has the shape of a region, such as `eu-central-1`.
fn has_region(row: &str) -> bool {
    let words = row.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.into_iter().any(|word| {
        let parts: Vec<&str> = word.split('-').collect();
        let areas = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "cn"];
        parts.len() >= 3
            && areas.contains(&parts[0])
            && parts[parts.len() - 1].len() == 1
            && parts[parts.len() - 1].chars().all(|c| c.is_ascii_digit())
    })
}

/// Whether a word of the row is twelve digits.
fn has_account(row: &str) -> bool {
    row.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 12)
}

#[test]
fn buildspecs_are_lines_of_the_tool() {
    let mut complaints = Vec::new();
    for source in sources(&["buildspecs"], &[".yml"]) {
        let mut in_commands = false;
        for (number, row) in source.text.lines().enumerate() {
            let text = row.trim();
            if text.ends_with("commands:") || text.ends_with("finally:") {
                in_commands = true;
            } else if in_commands && text.starts_with("- ") {
                let command = text.trim_start_matches("- ");
                // The one exception: an artifact's zip may have lost the mode of the program that the next line runs.
                let is_exception = source.name.ends_with("test.yml") && command == "chmod +x ./xtask";
                if !is_exception
                    && !command.starts_with("cargo xtask ")
                    && !command.starts_with("xtask ")
                    && !command.starts_with("./xtask ")
                {
                    complaints.push(format!(
                        "{}:{}: a command is a line of cargo xtask",
                        source.name,
                        number + 1
                    ));
                }
            } else if !text.is_empty() && !text.starts_with('#') {
                in_commands = false;
            }
        }
    }
    hold(&complaints);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = text.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let (mut explained, mut family) = (false, String::new());
    let mut complaints = Vec::new();
    for row in section.lines().map(str::trim).filter(|row| !row.is_empty()) {
        if row.starts_with('#') {
            explained = true;
        } else if row.contains("path = ") {
            // A crate of our own: its manifest says what it is for.
            let own = row.split('"').nth(1).unwrap();
            let manifest = std::fs::read_to_string(root().join(own).join("Cargo.toml")).unwrap();
            if !manifest.lines().any(|row| row.starts_with("description = \"") && row.len() > 30) {
                complaints.push(format!("{own}/Cargo.toml has no description"));
            }
        } else {
            // AWS's own crates share the reason of the first.
            let own = row.split('-').next().unwrap_or_default().to_owned();
            let shared = own == "aws" && family == own;
            family = own;
            if !explained && !shared {
                complaints.push(format!("Cargo.toml: {row} stands below no explanation"));
            }
            // One line of reasons for one dependency.
            explained = false;
        }
    }
    hold(&complaints);
    let mut complaints = Vec::new();
    for manifest in sources(&RUST, &["Cargo.toml"]) {
        let mut in_dependencies = false;
        for (number, row) in manifest.text.lines().enumerate() {
            if row.starts_with('[') {
                in_dependencies = row.contains("dependencies");
            } else if in_dependencies
                && !row.starts_with('#')
                && !row.contains("workspace = true")
                && row.contains('=')
            {
                complaints.push(format!(
                    "{}:{}: versions belong to [workspace.dependencies]: {row}",
                    manifest.name,
                    number + 1
                ));
            }
        }
    }
    hold(&complaints);
}

#[test]
fn the_compiler_is_the_same_everywhere() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let declared = manifest
        .lines()
        .find_map(|row| row.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    for spec in sources(&["buildspecs"], &["build.yml"]) {
        let named = spec.text.lines().find_map(|row| row.trim().strip_prefix("rust: ")).unwrap_or("none");
        assert_eq!(named, declared, "{} names another compiler than Cargo.toml", spec.name);
    }
}

#[test]
fn builds_never_run_on_the_smallest_machine() {
    let text = std::fs::read_to_string(root().join("cfn/pipeline.yaml")).unwrap();
    let parameter = text.split("  BuildComputeType:\n").nth(1).unwrap();
    let values = parameter.lines().find(|row| row.contains("AllowedValues:")).unwrap();
    assert!(values.contains("BUILD_GENERAL1_MEDIUM") && !values.contains("SMALL"), "{values}");
    assert!(text.contains("Type: ARM_CONTAINER"), "and they are native");
}

/// `1.95` or `1.95.0` as numbers.
fn numbers(version: &str) -> Vec<u32> {
    let mut all: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    all.resize(3, 0);
    all
}

#[test]
fn the_compiler_is_new_enough_for_every_dependency() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let declared = manifest.lines().find_map(|row| row.strip_prefix("rust-version = ")).unwrap();
    let declared = declared.trim_matches('"');
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let wanted = package["rust_version"].as_str().unwrap_or("0");
        if numbers(wanted) > numbers(declared) {
            complaints
                .push(format!("{} wants Rust {wanted}; Cargo.toml declares {declared}", package["name"]));
        }
    }
    hold(&complaints);
}

#[test]
fn the_rules_can_fail() {
    assert!(numbers("1.100") > numbers("1.95.1") && numbers("1.95") == numbers("1.95.0"));
    assert!(
        has_region("    Region: eu-central-1")
            && has_region("us-gov-east-1")
            && !has_region("check-in-1x a-b-c")
    );
    assert!(has_account("id: '111111111111'") && !has_account("2012-10-17 1111111111112"));
    let source = Source { name: "x.rs".into(), text: "fine\nuse aws_sdk_s3;\n".into() };
    assert_eq!(lines(&source, "rule", |row| row.contains("aws_sdk_")), ["x.rs:2: rule"]);

    let groups = "use std::{\n    env::{self, var},\n    fs,\n};\nlet x = std::fs::read(y);";
    let wanted = "use std::env::{self,var}, std::fs\n\n\n;\nlet x = std::fs::read(y);";
    assert_eq!(written_out(groups), wanted);
    assert_eq!(written_out("use std::collections::BTreeMap;"), "use std::collections::BTreeMap;");

    let tests_first = "a\n#[cfg(test)]\nmod tests;\nb\nc\n";
    assert_eq!(besides_tests(tests_first), 3, "what follows a test module counts");
    let tests_within = "a\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nc\n#[cfg(test)]\nfn d() {}\n";
    assert_eq!(besides_tests(tests_within), 4);

    for row in ["#[allow(dead_code)]", "    #![allow(dead_code)]", "#![cfg_attr(test, allow(dead_code))]"] {
        assert!(allows(row), "{row}");
    }
    assert!(!allows("#[expect(dead_code, reason = \"…\")]") && !allows("// #[allow(x)]"));
    assert_eq!(functions("//! the fn main\nfn main() {}\npub async fn other() {}\n"), 2);
}
