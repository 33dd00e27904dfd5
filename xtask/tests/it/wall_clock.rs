//! No test judges by the wall clock: a busy machine would fail what is right.
//!
//! Clippy bans the system's clocks (`clippy.toml`), with one home for each. It cannot see which of the functions that measure
//! for a report are called by a test, nor whether a test's runtime is paused; this can. A test that needs time to pass has a
//! paused clock (`start_paused = true`); one that waits for something has a limit that only a hang reaches.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

/// What reads a clock.
const CLOCKS: [&str; 5] =
    [".elapsed(", "Instant::now(", "Stopwatch::", "SystemTime::now(", "Timestamp::now("];

/// What gives the date. A signature needs one; with another beside it it measures.
const DATE: &str = "clock::now(";

/// What compares.
const COMPARES: [&str; 6] = [" < ", " > ", " <= ", " >= ", " - ", "since("];

/// What a measurement is called where it comes out of a program.
const MEASURED: [&str; 4] = ["[\"seconds\"]", "[\"ms\"]", "[\"millis\"]", "[\"p99"];

/// The shortest limit that only a hang reaches, in seconds.
const HANGS: u64 = 60;

/// Every file of Rust in the workspace.
fn sources() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crates.ancestors().find(|dir| dir.join("Cargo.lock").is_file()).unwrap().to_path_buf();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(".rs") && name != "wall_clock.rs" {
                let shown = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((shown, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 100, "{} files", found.len());
    found.sort();
    found
}

/// Where the rows of tests begin: at once in a file of tests alone.
fn first_row_of_tests(name: &str, text: &str) -> usize {
    let has_tests = text.contains("#[test]") || text.contains("#[tokio::test");
    if name.split('/').any(|part| part == "tests") || (name.ends_with("tests.rs") && has_tests) {
        return 0;
    }
    let rows: Vec<&str> = text.lines().map(str::trim).collect();
    let begins =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
    rows.windows(2).position(begins).unwrap_or(usize::MAX)
}

/// How the time of the function passes in which a row stands.
#[derive(Clone, Copy, PartialEq)]
enum Time {
    /// A test's: as the machine's does.
    Real,
    /// It has a paused clock, or says that it reads the machine's for something else.
    Own,
    /// No test's, but of one that calls it.
    Callers,
}

/// Every row that judges by the wall clock, as `file:row: what is wrong`.
fn complaints(name: &str, text: &str) -> Vec<String> {
    let begin = first_row_of_tests(name, text);
    let has_paused = text.contains("start_paused = true");
    let (mut time, mut ends) = (Time::Callers, None);
    let mut found = Vec::new();
    for (number, row) in text.lines().enumerate() {
        let trimmed = row.trim();
        // A listener that is dropped leaves its port to whoever asks next.
        if row.contains("bind(") && row.contains(".local_addr()") {
            found.push(format!("{name}:{}: the port is dropped as soon as it is known: keep it", number + 1));
        }
        if number < begin || trimmed.starts_with("//") || trimmed.starts_with("use ") {
            continue;
        }
        let indent = row.len() - row.trim_start().len();
        if ends.is_none() {
            if trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test") {
                time = if trimmed.contains("start_paused = true") { Time::Own } else { Time::Real };
            } else if trimmed.starts_with("#[expect(clippy::disallowed_methods") && time == Time::Callers {
                time = Time::Own;
            } else if is_function(trimmed) && trimmed.ends_with('{') {
                ends = Some(indent);
            }
        } else if ends == Some(indent) && trimmed == "}" {
            (time, ends) = (Time::Callers, None);
            continue;
        }
        let judges = match time {
            Time::Own => false,
            Time::Real => true,
            Time::Callers => !has_paused,
        };
        if let Some(what) = wrong(trimmed, time).filter(|_| judges) {
            found.push(format!("{name}:{}: {what}", number + 1));
        }
    }
    found
}

fn is_function(row: &str) -> bool {
    let mut words = row.split(' ').filter(|word| !word.starts_with("pub"));
    matches!((words.next(), words.next()), (Some("fn"), _) | (Some("async" | "const"), Some("fn")))
}

/// What is wrong with a row of a test whose time is the machine's.
fn wrong(row: &str, time: Time) -> Option<String> {
    if let Some(clock) = CLOCKS.iter().find(|clock| row.contains(**clock)) {
        return Some(format!("a test reads a clock ({clock}): pause it (start_paused = true)"));
    }
    let compares = COMPARES.iter().any(|sign| row.contains(sign));
    if compares && row.contains(DATE) {
        return Some(format!("a test measures by dates ({DATE}): pause its clock (start_paused = true)"));
    }
    if let Some(field) = MEASURED.iter().find(|field| row.contains(**field)).filter(|_| compares) {
        return Some(format!("a test judges by what a program measured ({field})"));
    }
    if ["sleep(Duration", "time::sleep(", "thread::sleep("].iter().any(|sleep| row.contains(sleep))
        && time == Time::Real
    {
        return Some("a test sleeps and then looks: wait until it is there".to_owned());
    }
    if row.contains("timeout(") {
        let literal = |unit: &str| {
            let rest = row.split_once(unit)?.1;
            rest.split(')').next()?.replace('_', "").parse::<u64>().ok()
        };
        let short = literal("from_millis(").is_some_and(|millis| millis < HANGS * 1_000)
            || literal("from_secs(").is_some_and(|seconds| seconds < HANGS);
        if short {
            return Some(format!("a test's limit is one that only a hang reaches: {HANGS} s or more"));
        }
    }
    None
}

#[test]
fn no_test_judges_by_the_wall_clock() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(name, text)| complaints(name, text))
        .map(|row| format!("  {row}\n"))
        .collect();
    assert!(found.is_empty(), "\n{}", found.concat());
}

#[test]
fn this_rule_can_fail() {
    let test = |attribute: &str, row: &str| format!("#[{attribute}]\nasync fn x() {{\n    {row}\n}}\n");
    let real = "tokio::test";
    let table = [
        ("assert!(begin.elapsed() < LIMIT);", true),
        ("let begin = tokio::time::Instant::now();", true),
        ("let watch = Stopwatch::start();", true),
        ("let begin = std::time::SystemTime::now();", true),
        ("assert!(line[\"ms\"].as_u64() < Some(400));", true),
        ("assert!(line[\"ms\"].is_u64());", false),
        ("tokio::time::sleep(Duration::from_millis(200)).await;", true),
        ("timeout(Duration::from_millis(300), work).await.unwrap();", true),
        ("timeout(Duration::from_secs(5), work).await.unwrap();", true),
        ("timeout(Duration::from_secs(600), work).await.unwrap();", false),
        ("timeout(HANGS, work).await.unwrap();", false),
        ("// begin.elapsed()", false),
        ("let signed = sign(clock::now());", false),
        ("assert!(clock::now() - begin < limit);", true),
    ];
    for (row, wrong) in table {
        assert_eq!(complaints("a/tests/b.rs", &test(real, row)).len(), usize::from(wrong), "{row}");
        let paused = test("tokio::test(start_paused = true)", row);
        assert_eq!(complaints("a/tests/b.rs", &paused), [""; 0], "{row}");
        // The same in a program is none of this rule's business, and in the tests below it is.
        let program = format!("async fn x() {{\n    {row}\n}}\n");
        assert_eq!(complaints("a/src/b.rs", &program), [""; 0], "{row}");
        let both = format!("{program}#[cfg(test)]\nmod tests {{\n{}}}\n", test(real, row));
        assert_eq!(complaints("a/src/b.rs", &both).len(), usize::from(wrong), "{row}");
    }
    // A function that tests call is held to it, too, unless it says that it judges nothing.
    let helper = "fn x() -> Instant {\n    Instant::now()\n}\n";
    assert_eq!(complaints("a/tests/b.rs", helper).len(), 1);
    let said = format!("#[expect(clippy::disallowed_methods, reason = \"a date\")]\n{helper}");
    assert_eq!(complaints("a/tests/b.rs", &said), [""; 0]);
    let after = format!(
        "{}{}",
        test("tokio::test(start_paused = true)", "advance(x).await;"),
        test(real, "b.elapsed();")
    );
    assert_eq!(complaints("a/tests/b.rs", &after).len(), 1, "each test by itself");
    let port = "let free = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();";
    assert_eq!(complaints("a/src/b.rs", port).len(), 1);
    assert_eq!(
        first_row_of_tests("a/b.rs", "#[cfg(test)]\nmod tests;\nfn x() {}\n"),
        usize::MAX,
        "elsewhere"
    );
    assert_eq!(
        first_row_of_tests("build/tests.rs", "fn runs_tests() {}\n"),
        usize::MAX,
        "a program that runs tests"
    );
}
