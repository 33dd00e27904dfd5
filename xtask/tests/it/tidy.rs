//! The architecture's rules, as a test.
//!
//! A rule that only stands in a document is forgotten; here a build fails. Each complaint names file, line and rule.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

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

/// Which room of xtask a file belongs to: `model`, `aws`, … or its own name for files at the top.
fn room(name: &str) -> &str {
    let below = name.strip_prefix("xtask/src/").unwrap_or(name);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

#[test]
fn rooms_only_import_what_they_may() {
    // main → cmd → { aws, local, build, term, api_client, watch } → model. Small shared tools at the top belong to everyone.
    let shared = ["model", "clock", "shell", "files"];
    let rooms = ["aws", "local", "build", "term", "api_client", "watch", "cmd", "model"];
    let translated = ["xtask/src/model/prove/tests/", "xtask/src/model/release/tests.rs"];
    let mut complaints = Vec::new();
    for source in sources(&["xtask/src"], &[".rs"]) {
        let own = room(&source.name);
        for (number, row) in source.text.lines().enumerate() {
            for imported in rooms {
                if !row.contains(&format!("crate::{imported}::"))
                    && !row.contains(&format!("crate::{imported}}}"))
                {
                    continue;
                }
                // The watcher is a client of AWS and of the API like any other; so is the pipeline runner, which watches, too.
                let client = match own {
                    // What `prove` says rests on AWS's translator, and so does what publishes a version: their tests ask that.
                    "model" => {
                        imported == "local" && translated.iter().any(|tests| source.name.starts_with(tests))
                    }
                    "watch" => ["aws", "api_client"].contains(&imported),
                    _ if source.name.starts_with("xtask/src/local/pipeline/") => {
                        ["aws", "api_client", "watch"].contains(&imported)
                    }
                    _ => false,
                };
                let allowed = match own {
                    "model" | "clock" | "files" | "shell" => imported == "model" || client,
                    "cmd" | "main" => true,
                    _ => own == imported || shared.contains(&imported) || client,
                };
                if !allowed {
                    complaints.push(format!(
                        "{}:{}: {own} must not import {imported}",
                        source.name,
                        number + 1
                    ));
                }
            }
        }
    }
    hold(&complaints);
}

#[test]
fn the_model_is_pure() {
    let banned =
        ["std::fs", "std::env::", "std::process", "tokio::", "println!", "eprintln!", "reqwest", "async fn"];
    let mut complaints = Vec::new();
    for source in sources(&["xtask/src/model"], &[".rs"]) {
        for word in banned {
            complaints.extend(lines(&source, &format!("model must not use {word}"), |row| {
                row.contains(word) && !row.trim_start().starts_with("//")
            }));
        }
    }
    hold(&complaints);
}

#[test]
fn only_aws_names_the_sdks() {
    let mut complaints = Vec::new();
    for source in sources(&["xtask/src"], &[".rs"]) {
        if room(&source.name) != "aws" {
            complaints
                .extend(lines(&source, "only aws/ names an aws_sdk_* crate", |row| row.contains("aws_sdk_")));
        }
    }
    hold(&complaints);
}

#[test]
fn main_is_a_table_of_contents() {
    let main = std::fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    assert!(main.lines().count() < 80, "main.rs has {} lines", main.lines().count());
    assert_eq!(main.matches("fn ").count(), 1, "main.rs holds no logic");
}

#[test]
fn every_module_says_why_it_exists() {
    let mut complaints = Vec::new();
    for source in
        sources(&["xtask/src", "xtask/tests", "api/src", "api/tests", "hooks/src", "hooks/tests"], &[".rs"])
    {
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{}:1: a module opens with `//!` saying why it exists", source.name));
        }
    }
    hold(&complaints);
}

#[test]
fn files_stay_one_idea() {
    let mut complaints = Vec::new();
    for source in sources(&["xtask/src", "api/src", "hooks/src"], &[".rs"]) {
        let code = source.text.split("\n#[cfg(test)]").next().unwrap_or_default().lines().count();
        if code > 500 {
            complaints
                .push(format!("{}: {code} lines besides its tests; it wants to be two ideas", source.name));
        }
    }
    hold(&complaints);
}

#[test]
fn exceptions_carry_a_reason_and_nothing_is_unfinished() {
    let mut complaints = Vec::new();
    for source in sources(&["xtask/src", "api/src", "hooks/src"], &[".rs"]) {
        complaints.extend(lines(&source, "use #[expect(…, reason = …)]", |row| row.contains("#[allow(")));
        complaints.extend(lines(&source, "unfinished", |row| {
            ["todo!(", "unimplemented!(", "FIXME", "XXX"].iter().any(|word| row.contains(word))
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
    for manifest in ["api", "hooks", "xtask"] {
        let text = std::fs::read_to_string(root().join(manifest).join("Cargo.toml")).unwrap();
        let versions =
            text.split("dependencies]").skip(1).flat_map(str::lines).filter(|row| row.contains("version = "));
        assert_eq!(
            versions.count(),
            0,
            "{manifest}/Cargo.toml names versions; they belong to [workspace.dependencies]"
        );
    }
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
    let output = assert_cmd::Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
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
    assert_eq!(room("xtask/src/local/edge/mod.rs"), "local");
    assert_eq!(room("xtask/src/clock.rs"), "clock");
}
