//! The README against the tool: every command that it shows is one that the tool has, with those options.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use causeway_testing::Project;

fn readme() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join("README.md")).unwrap()
}

/// Every `cargo xtask …` of a text, as words, with the number of its line.
fn commands(text: &str) -> BTreeMap<Vec<String>, usize> {
    let mut all = BTreeMap::new();
    for (number, row) in text.lines().enumerate() {
        for part in row.split("cargo xtask ").skip(1) {
            let end = part.find(['#', '`', ')']).unwrap_or(part.len());
            let words: Vec<String> = part[..end]
                .split_whitespace()
                .map(|word| word.trim_matches(['.', ',', '"']).to_owned())
                .collect();
            // `cargo xtask COMMAND --help` stands for all of them.
            if words.first().is_some_and(|word| word.starts_with(char::is_lowercase)) {
                all.entry(words).or_insert(number + 1);
            }
        }
    }
    all
}

/// The options that a row of the table of commands names.
fn options(row: &str) -> BTreeSet<String> {
    let option = |word: &str| {
        let word: String = word.chars().take_while(|c| c.is_ascii_lowercase() || "-_".contains(*c)).collect();
        word.starts_with("--").then_some(word)
    };
    row.split(['`', '[', ' ']).filter_map(option).collect()
}

fn help(project: &Project, words: &[String]) -> Result<String, String> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.push("--help");
    let output = project.command(&words).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let project = Project::new();
    let text = readme();
    let all = commands(&text);
    assert!(all.len() > 30, "only {} commands were found in the README", all.len());
    for (words, line) in &all {
        if let Err(said) = help(&project, words) {
            panic!("README.md line {line}: cargo xtask {}: {said}", words.join(" "));
        }
    }
}

#[test]
fn every_option_of_the_table_of_commands_is_there() {
    let project = Project::new();
    let text = readme();
    let mut seen = 0;
    for row in text.lines().filter(|row| row.starts_with("| `cargo xtask ")) {
        let named = row.split('|').nth(1).unwrap();
        let command = named.trim().trim_start_matches("`cargo xtask ").split(['`', ' ']).next().unwrap();
        let help = help(&project, &[command.to_owned()]).unwrap();
        for option in options(row) {
            seen += 1;
            let there = help.lines().any(|line| {
                line.trim_start().contains(&format!("{option} ")) || line.trim_end().ends_with(&option)
            });
            assert!(there, "README.md: cargo xtask {command} has no {option}\n{help}");
        }
    }
    assert!(seen > 15, "only {seen} options were found in the table");
}

#[test]
fn the_test_can_fail() {
    let project = Project::new();
    for text in [
        "cargo xtask rehearse --aprove auto",
        "run `cargo xtask rehearze`.",
        "cargo xtask rehearse --approve perhaps   # no such answer",
        "eval \"$(cargo xtask local enf)\"",
    ] {
        let found = commands(text);
        let (words, line) = found.first_key_value().unwrap();
        assert_eq!(*line, 1);
        assert!(help(&project, words).is_err(), "{words:?}");
    }
    assert!(commands("`cargo xtask COMMAND --help` has the rest").is_empty());
    let row = "| `cargo xtask package` | `--explain [--env prod]`, (`--target host` for this); `--full` |";
    assert_eq!(options(row).into_iter().collect::<Vec<_>>(), ["--env", "--explain", "--full", "--target"]);
}
