//! Test results: read from what Rust's test harness prints, written as JUnit.

use std::fmt::Write as _;

use quick_xml::escape::escape;

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It passed.
    Passed,
    /// It was not run, by its own word.
    Ignored,
    /// It failed; with what it printed.
    Failed(String),
}

/// One test program's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Its name, for instance `api::store`.
    pub name: String,
    /// Its tests and how they ended, in the order they were reported.
    pub tests: Vec<(String, Ended)>,
    /// Milliseconds it took.
    pub millis: u64,
    /// Whether the program itself ended well; it may die without naming a test.
    pub ended_well: bool,
    /// Why there is no program, where there is none.
    pub missing: Option<String>,
}

impl Suite {
    /// From what a test program printed on stdout.
    pub fn parse(name: &str, stdout: &str, millis: u64, ended_well: bool) -> Self {
        let mut tests: Vec<(String, Ended)> = Vec::new();
        for row in stdout.lines() {
            let Some((test, outcome)) = row.strip_prefix("test ").and_then(|row| row.rsplit_once(" ... "))
            else {
                continue;
            };
            let ended = match outcome.split([',', ' ']).next().unwrap_or_default() {
                "ok" => Ended::Passed,
                "ignored" => Ended::Ignored,
                "FAILED" => Ended::Failed(printed(stdout, test)),
                _ => continue,
            };
            // "test a::b - should panic ... ok"
            tests.push((test.trim_end_matches(" - should panic").to_owned(), ended));
        }
        Self { name: name.to_owned(), tests, millis, ended_well, missing: None }
    }

    /// Of tests that could not be run at all, for instance since they do not compile.
    pub fn not_run(name: &str, why: &str) -> Self {
        let missing = Some(why.to_owned());
        Self { name: name.to_owned(), tests: Vec::new(), millis: 0, ended_well: false, missing }
    }

    /// What a person must read of it: each failed test's own lines. Of a program that died without naming a test, all that it
    /// printed. `None` where all passed.
    pub fn failure(&self, stdout: &str, stderr: &str) -> Option<String> {
        let rows = |text: &str| -> String { text.trim().lines().map(|row| format!("\n    {row}")).collect() };
        let failed: Vec<String> = self
            .tests
            .iter()
            .filter_map(|(test, ended)| match ended {
                Ended::Failed(printed) => Some(format!("{} {test} failed{}", self.name, rows(printed))),
                _ => None,
            })
            .collect();
        if !failed.is_empty() {
            return Some(failed.join("\n"));
        }
        let died = || format!("{} died{}{}", self.name, rows(stdout), rows(stderr));
        (!self.ended_well).then(died)
    }

    /// How many tests failed; a program that died counts as one.
    pub fn failed(&self) -> usize {
        self.failures() + self.errors()
    }

    /// Tests that failed by name.
    fn failures(&self) -> usize {
        self.tests.iter().filter(|(_, ended)| matches!(ended, Ended::Failed(_))).count()
    }

    /// 1 where the program died without naming a test.
    fn errors(&self) -> usize {
        usize::from(!self.ended_well && self.failures() == 0)
    }

    /// Tests, and the program where it died.
    fn cases(&self) -> usize {
        self.tests.len() + self.errors()
    }
}

/// What a failed test printed: the section `---- name stdout ----`.
fn printed(stdout: &str, test: &str) -> String {
    let head = format!("---- {test} stdout ----");
    let Some((_, rest)) = stdout.split_once(&head) else { return String::new() };
    let end = rest.find("\n---- ").or_else(|| rest.find("\n\nfailures:")).unwrap_or(rest.len());
    rest[..end].trim().to_owned()
}

/// The results as a JUnit document ("JUnit XML" in CodeBuild's list of report formats).
pub fn junit(suites: &[Suite]) -> String {
    let sum = |count: fn(&Suite) -> usize| suites.iter().map(count).sum::<usize>();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"causeway\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        sum(Suite::cases),
        sum(Suite::failures),
        sum(Suite::errors)
    );
    for suite in suites {
        let name = escaped(&suite.name);
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{}\" disabled=\"{}\" errors=\"{}\" failures=\"{}\" time=\"{}.{:03}\">",
            suite.cases(),
            suite.tests.iter().filter(|(_, ended)| *ended == Ended::Ignored).count(),
            suite.errors(),
            suite.failures(),
            suite.millis / 1_000,
            suite.millis % 1_000
        );
        for (test, ended) in &suite.tests {
            let inner = match ended {
                Ended::Passed => String::new(),
                Ended::Ignored => "<skipped/>".to_owned(),
                Ended::Failed(printed) => format!("<failure>{}</failure>", escaped(printed)),
            };
            let test = escaped(test);
            let _ = writeln!(text, "    <testcase name=\"{test}\" classname=\"{name}\">{inner}</testcase>");
        }
        if suite.errors() > 0 {
            let message = escaped(suite.missing.as_deref().unwrap_or("the test program died"));
            let _ = writeln!(
                text,
                "    <testcase name=\"the test program\" classname=\"{name}\"><error message=\"{message}\"/></testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// Text as XML may have it: escaped, and without the control characters that XML 1.0 has no way to write, such as those that
/// color a terminal.
fn escaped(text: &str) -> String {
    let plain = causeway_progress::plain(text);
    let allowed = |c: &char| {
        matches!(c, '\t' | '\n' | '\r') || (!c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    escape(plain.chars().filter(allowed).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\nrunning 4 tests\ntest a::one ... ok\ntest a::two ... FAILED\ntest a::three ... ignored, slow\ntest b - should panic ... ok\n\nfailures:\n\n---- a::two stdout ----\n\nthread 'a::two' panicked at x.rs:1:\n\u{1b}[31mleft != <right>\n\n\nfailures:\n    a::two\n\ntest result: FAILED. 2 passed; 1 failed; 1 ignored\n";

    #[test]
    fn the_harness_is_read() {
        let suite = Suite::parse("api", PRINTED, 1_500, false);
        let failed = Ended::Failed("thread 'a::two' panicked at x.rs:1:\n\u{1b}[31mleft != <right>".into());
        assert_eq!(
            suite.tests,
            [
                ("a::one".into(), Ended::Passed),
                ("a::two".into(), failed),
                ("a::three".into(), Ended::Ignored),
                ("b".into(), Ended::Passed)
            ]
        );
        assert_eq!(suite.failed(), 1);
        assert_eq!(Suite::parse("api", "", 0, false).failed(), 1, "a program that died");
    }

    #[test]
    fn of_a_program_that_failed_only_the_failed_tests_own_lines_are_told() {
        let stdout = "running 2 tests\ntest good ... ok\ntest a::bad ... FAILED\n\nfailures:\n\n---- a::bad stdout ----\nthread 'a::bad' panicked\nleft: 1\n\n\nfailures:\n    a::bad\n\ntest result: FAILED.\n";
        let failed = Suite::parse("api", stdout, 1, false);
        let told = failed.failure(stdout, "not of a test").unwrap();
        assert_eq!(told, "api a::bad failed\n    thread 'a::bad' panicked\n    left: 1");
        let good = Suite::parse("api", "test good ... ok\n", 1, true);
        assert_eq!(good.failure("test good ... ok\n", "noise"), None);
        let died = Suite::parse("api", "running 1 test\n", 1, false);
        assert_eq!(
            died.failure("running 1 test\n", "memory").unwrap(),
            "api died\n    running 1 test\n    memory"
        );
    }

    #[test]
    fn junit_names_failures_and_escapes_what_they_printed() {
        let missing = Suite::not_run("other", "it does not compile");
        let text = junit(&[
            Suite::parse("api", PRINTED, 1_500, false),
            Suite::parse("hooks", "", 1, false),
            missing,
        ]);
        for part in [
            "name=\"a::one\"",
            "tests=\"4\"",
            "failures=\"1\"",
            "left != &lt;right&gt;",
            "<skipped",
            "the test program died",
            "<error message=\"it does not compile\"",
            "errors=\"1\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            text.contains("<testsuites name=\"causeway\" tests=\"6\" failures=\"1\" errors=\"2\">"),
            "{text}"
        );
        assert!(text.contains("time=\"1.500\"") && !text.contains('\u{1b}'), "{text}");
        // Whoever reads XML reads it to its end.
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut cases = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(start) => {
                    cases += usize::from(start.name().as_ref() == "testcase")
                }
                _ => {}
            }
        }
        assert_eq!(cases, 6);
    }

    /// Whoever reads XML reads it to its end, and finds the counts that stand in its head.
    #[test]
    fn junit_is_xml_whatever_a_test_prints() {
        assert_eq!(escaped("\u{1b}[31mleft\u{1b}[0m <1>"), "left &lt;1&gt;", "no remains of colors");
        // The reader below is more lenient than "Characters" of XML 1.0.
        let all = escaped(&(0..0x2_0000_u32).filter_map(char::from_u32).collect::<String>());
        let barred =
            |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
        assert_eq!(all.chars().find(|c| barred(*c)), None);
        let all: String = (0..=0x2_ffff_u32).filter_map(char::from_u32).collect();
        let mut suite = Suite::parse(&all, "test a ... ok\n", 1, false);
        suite.tests.push((all.clone(), Ended::Failed(all.clone())));
        let text = junit(&[suite, Suite::not_run(&all, &all)]);
        let mut reader = quick_xml::Reader::from_str(&text);
        let (mut cases, mut stated) = (0, None);
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(start) => {
                    for attribute in start.attributes() {
                        let attribute = attribute.unwrap();
                        attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                        if attribute.key.as_ref() == "tests" {
                            stated.get_or_insert_with(|| attribute.value.to_string());
                        }
                    }
                    cases += usize::from(start.name().as_ref() == "testcase");
                }
                _ => {}
            }
        }
        assert_eq!((cases, stated.as_deref()), (3, Some("3")));
    }
}
