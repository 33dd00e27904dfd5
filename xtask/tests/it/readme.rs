//! What the documents say against the tool: every command that they show is read as the tool reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The pages that people read, as paths from the root.
fn pages() -> Vec<String> {
    let mut all = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for folder in ["docs", "docs/upstream", "cfn"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        all.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    all
}

/// Every `cargo xtask …` of a text, and every `./xtask …`, as words, with the number of its line.
fn commands(text: &str) -> BTreeMap<Vec<String>, usize> {
    let mut all = BTreeMap::new();
    for (number, row) in text.lines().enumerate() {
        for part in row.replace("./xtask ", "cargo xtask ").split("cargo xtask ").skip(1) {
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
    row.split(['`', '[', ' ', ',']).filter_map(option).collect()
}

/// Reads a command line as the tool does: unknown options, values that are missing or of no use, what is required, and what
/// excludes each other.
fn read(words: &[String]) -> Result<(), String> {
    let words = std::iter::once("xtask").chain(words.iter().map(String::as_str)).map(Into::into);
    match causeway_args::read(words) {
        Ok(_) => Ok(()),
        Err(unread) if unread.is_mistake() => Err(unread.error.to_string()),
        // Somebody who asks for help does not run anything; no document shows that.
        Err(unread) => Err(format!("it only asks for help: {}", unread.typed)),
    }
}

fn help(command: &str) -> String {
    let unread = causeway_args::read(["xtask", command, "--help"].map(Into::into)).unwrap_err();
    assert!(!unread.is_mistake(), "{}", unread.error);
    unread.error.to_string()
}

#[test]
fn every_command_of_the_documents_is_understood() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for name in
        pages().into_iter().chain(["buildspecs/build.yml".to_owned(), "buildspecs/test.yml".to_owned()])
    {
        let all = commands(&text(&name));
        seen += all.len();
        for (words, line) in &all {
            if let Err(said) = read(words) {
                wrong.push(format!("{name}:{line}: cargo xtask {}: {said}", words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "only {seen} commands were found");
}

/// Where a link of a page leads outside of the page and of the web: the path, and the heading after `#`.
fn links(text: &str) -> Vec<(String, Option<String>)> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let ours = ends.filter(|link| !link.contains("://") && !link.contains(' '));
    ours.map(|link| match link.split_once('#') {
        Some((path, heading)) => (path.to_owned(), Some(heading.to_owned())),
        None => (link.to_owned(), None),
    })
    .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|row| row.starts_with('#'));
    let anchor = |row: &str| {
        let title = row.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_the_pages_leads_to_something() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for name in pages() {
        let page = text(&name);
        for (path, heading) in links(&page) {
            seen += 1;
            let folder = root().join(&name).parent().unwrap().to_owned();
            let target = if path.is_empty() { root().join(&name) } else { folder.join(&path) };
            let there = match &heading {
                _ if !target.exists() => false,
                None => true,
                Some(heading) => anchors(&std::fs::read_to_string(&target).unwrap()).contains(heading),
            };
            if !there {
                wrong.push(format!("{name}: {path}#{}", heading.unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "only {seen} links were found");
    assert_eq!(links("[a](b.md#c), [d](https://e)"), [("b.md".to_owned(), Some("c".to_owned()))]);
    assert!(anchors("## When it's *stuck*, so?").contains("when-its-stuck-so"));
}

#[test]
fn the_first_page_is_short_and_no_page_stands_alone() {
    let first = text("README.md");
    let words = first.split_whitespace().count();
    assert!(words <= 1_200, "README.md has {words} words");
    let alone: Vec<String> = pages()
        .into_iter()
        .filter(|name| name.starts_with("docs/") && name.matches('/').count() == 1)
        .filter(|name| {
            let file = name.trim_start_matches("docs/");
            !pages().iter().any(|from| from != name && text(from).contains(file))
        })
        .collect();
    assert!(alone.is_empty(), "nothing leads to {}", alone.join(", "));
}

#[test]
fn every_option_of_the_table_of_commands_is_there() {
    let text = text("docs/commands.md");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (number, row) in text.lines().enumerate().filter(|(_, row)| row.starts_with("| `cargo xtask ")) {
        let named = row.split('|').nth(1).unwrap();
        let command = named.trim().trim_start_matches("`cargo xtask ").split(['`', ' ']).next().unwrap();
        let help = help(command);
        for option in options(row) {
            seen += 1;
            let there = help.lines().any(|line| {
                line.trim_start().contains(&format!("{option} ")) || line.trim_end().ends_with(&option)
            });
            if !there {
                wrong.push(format!("docs/commands.md:{}: cargo xtask {command} has no {option}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 15, "only {seen} options were found in the table");
}

#[test]
fn the_test_can_fail() {
    for (text, why) in [
        ("cargo xtask rehearse --aprove auto", "unexpected argument '--aprove'"),
        ("run `cargo xtask rehearze`.", "unrecognized subcommand"),
        ("cargo xtask rehearse --approve perhaps   # no such answer", "invalid value 'perhaps'"),
        ("eval \"$(cargo xtask local enf)\"", "unrecognized subcommand"),
        // What `--help` would have hidden.
        ("cargo xtask rehearse --break-prod --no-baseline", "cannot be used with"),
        ("cargo xtask check --full --gates", "cannot be used with"),
        ("cargo xtask rehearse --report", "a value is required"),
        ("cargo xtask bootstrap --detailed-exitcode", "required arguments were not provided"),
        ("cargo xtask deploy", "required arguments were not provided"),
        ("cargo xtask test-deployment --env prod --rate soon", "invalid value 'soon'"),
        ("cargo xtask rehearse --help", "only asks for help"),
    ] {
        let found = commands(text);
        let (words, line) = found.first_key_value().unwrap();
        assert_eq!(*line, 1);
        match read(words) {
            Ok(()) => panic!("{text} was understood"),
            Err(said) => assert!(said.contains(why), "{text}: {said}"),
        }
    }
    assert!(commands("`cargo xtask COMMAND --help` has the rest").is_empty());
    let row = "| `cargo xtask package` | `--explain [--env prod]`, (`--target host` for this); `--full` |";
    assert_eq!(options(row).into_iter().collect::<Vec<_>>(), ["--env", "--explain", "--full", "--target"]);
}
