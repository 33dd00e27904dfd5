//! How far cargo is, read from the bar that it draws, and told in one line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Begins each line of progress, so that whoever passes lines on knows them.
pub const MARK: &str = "building: ";

/// What a row of cargo's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Its bar: how many units are done, of how many, and which are at work.
    Bar(Bar),
    /// What it is doing, for instance `Compiling serde v1.0.0`; a bar says it better.
    Status(String),
    /// Anything else: a warning, an error, what it belongs to.
    Other,
}

/// Cargo's bar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bar {
    /// Units that are built.
    pub done: usize,
    /// Units that were planned.
    pub planned: usize,
    /// What is at work, as cargo names it.
    pub at_work: String,
}

/// The words that cargo begins a status with, right-aligned before the thirteenth column.
const STATUSES: [&str; 16] = [
    "Adding",
    "Blocking",
    "Building",
    "Checking",
    "Compiling",
    "Dirty",
    "Downloaded",
    "Downloading",
    "Executable",
    "Finished",
    "Fresh",
    "Locking",
    "Removed",
    "Running",
    "Unpacking",
    "Updating",
];

/// Reads a row, colors or not.
pub fn read(row: &str) -> Row {
    let plain = without_colors(row);
    let (Some(head), Some(rest)) = (plain.get(..12), plain.get(12..)) else { return Row::Other };
    let word = head.trim_start();
    // A word of twelve letters would leave no column free; no status has one.
    if !head.starts_with(' ') || !STATUSES.contains(&word) {
        return Row::Other;
    }
    match (word, bar(rest)) {
        ("Building", Some(bar)) => Row::Bar(bar),
        _ => Row::Status(plain.trim().to_owned()),
    }
}

/// Whether a row begins an error of the compiler or of cargo.
pub fn is_error(row: &str) -> bool {
    without_colors(row).starts_with("error")
}

/// ` [====>   ] 3/160: serde, syn`.
fn bar(rest: &str) -> Option<Bar> {
    let (_, after) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    let (counted, at_work) = after.split_once(':').unwrap_or((after, ""));
    let (done, planned) = counted.trim().split_once('/')?;
    let at_work = at_work.trim().trim_end_matches("...").trim_end_matches([',', ' ']).to_owned();
    Some(Bar { done: done.parse().ok()?, planned: planned.trim().parse().ok()?, at_work })
}

/// A text without the terminal's control sequences.
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
            continue;
        }
        // `ESC [ … letter`.
        if rest.next() == Some('[') {
            rest.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    plain
}

/// A unit on one core, before anything is known of the machine.
const COMMON: Duration = Duration::from_millis(1_500);
/// A build of fewer units says nothing about the next one.
const ENOUGH: usize = 20;

/// How a build went on: how many units were still to be done at which of its milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Course {
    /// Units that were to be done, and milliseconds since the begin; in time's order.
    points: Vec<(usize, u64)>,
    /// Its milliseconds in all.
    millis: u64,
}

impl Course {
    /// Notes how far it is.
    pub fn note(&mut self, elapsed: Duration, bar: &Bar) {
        let left = bar.planned.saturating_sub(bar.done);
        if self.points.last().is_none_or(|(last, _)| *last != left) {
            self.points.push((left, millis(elapsed)));
        }
        self.millis = millis(elapsed);
    }

    /// Whether it was long enough to tell the next one how long it takes.
    pub fn is_worth_keeping(&self) -> bool {
        self.units() >= ENOUGH
    }

    /// How many units it had to do, as far as it was looked at.
    fn units(&self) -> usize {
        self.points.first().map_or(0, |(left, _)| *left)
    }

    /// How long it took from the moment when so many units were left. The last units of a build are its largest, so their number
    /// alone says little.
    fn after(&self, left: usize) -> Duration {
        let at = self.points.iter().rev().find(|(units, _)| *units >= left);
        Duration::from_millis(self.millis.saturating_sub(at.map_or(0, |(_, millis)| *millis)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// About how long a build will still take: as long as the last one took from there, where that one had as many units to do; else by
/// the number of units.
pub fn left(last: &Course, now: &Course, bar: &Bar, cores: usize) -> Duration {
    let (left, units) = (bar.planned.saturating_sub(bar.done), now.units());
    if last.units() >= units {
        return last.after(left);
    }
    let each = COMMON / u32::try_from(cores.max(1)).unwrap_or(u32::MAX);
    let by_units = |units: usize| each * u32::try_from(units).unwrap_or(u32::MAX);
    by_units(left).max(by_units(units).saturating_sub(Duration::from_millis(now.millis)))
}

/// One line of progress, without a line's end.
pub fn line(bar: &Bar, elapsed: Duration, left: Duration) -> String {
    let at_work = if bar.at_work.is_empty() { String::new() } else { format!(", {}", bar.at_work) };
    format!(
        "{MARK}{} of {} units{at_work}; {} s, about {} s left",
        bar.done,
        bar.planned,
        elapsed.as_secs(),
        left.as_secs()
    )
}

/// The last line of a build that went well.
pub fn done(units: usize, elapsed: Duration) -> String {
    match units {
        0 => format!("{MARK}nothing was to be compiled"),
        units => format!("{MARK}{units} units compiled in {} s", elapsed.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_cargo_are_known_with_and_without_colors() {
        let bar = |done, planned, at_work: &str| Row::Bar(Bar { done, planned, at_work: at_work.into() });
        let status = |text: &str| Row::Status(text.into());
        let table = [
            ("    Building [=>      ] 3/160: serde, libc(build.rs)", bar(3, 160, "serde, libc(build.rs)")),
            (
                "\u{1b}[K\u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [ ] 12/12: api, hooks...",
                bar(12, 12, "api, hooks"),
            ),
            ("    Building [==>  ] 7/9", bar(7, 9, "")),
            ("   Compiling serde v1.0.0", status("Compiling serde v1.0.0")),
            (
                "    Blocking waiting for file lock on build directory",
                status("Blocking waiting for file lock on build directory"),
            ),
            (
                "    Finished `dev` profile [unoptimized] target(s) in 0.1s",
                status("Finished `dev` profile [unoptimized] target(s) in 0.1s"),
            ),
            ("error: expected item, found `two`", Row::Other),
            ("   --> api/src/lib.rs:1:1", Row::Other),
            ("    = note: Compiling is no status here", Row::Other),
            ("  Compiling too far to the left", Row::Other),
            ("Compiling not indented", Row::Other),
            ("", Row::Other),
        ];
        for (row, expected) in table {
            assert_eq!(read(row), expected, "{row:?}");
        }
    }

    #[test]
    fn errors_are_known_by_how_they_begin() {
        for (row, expected) in [
            ("\u{1b}[1m\u{1b}[91merror\u{1b}[0m: expected item", true),
            ("error[E0425]: cannot find value", true),
            ("error: could not compile `api`", true),
            ("warning: error here", false),
            ("  --> error.rs:1:1", false),
        ] {
            assert_eq!(is_error(row), expected, "{row:?}");
        }
    }

    #[test]
    fn what_is_left_follows_from_the_last_build_and_else_from_the_number_of_units() {
        let at = |done| Bar { done, planned: 100, at_work: String::new() };
        let seconds = Duration::from_secs;
        let mut last = Course::default();
        for (second, done) in [(0, 0), (10, 80), (20, 98), (59, 98), (60, 100)] {
            last.note(seconds(second), &at(done));
        }
        assert!(last.is_worth_keeping());
        let mut now = Course::default();
        now.note(seconds(3), &at(10));
        for (done, expected) in [(0, 60), (10, 60), (80, 50), (90, 50), (98, 40), (100, 0)] {
            assert_eq!(left(&last, &now, &at(done), 2), seconds(expected), "{done}");
        }
        // Nothing is known: so many units on so many cores, and the last ones take longer than their number says.
        let unknown = Course::default();
        assert_eq!(left(&unknown, &now, &at(10), 2), Duration::from_millis(67_500));
        now.note(seconds(60), &at(98));
        assert_eq!(left(&unknown, &now, &at(98), 2), Duration::from_millis(7_500));
        // A short build says nothing about a longer one.
        let mut short = Course::default();
        short.note(seconds(0), &at(90));
        assert!(!short.is_worth_keeping());
        assert_eq!(left(&short, &now, &at(98), 2), Duration::from_millis(7_500));
    }

    #[test]
    fn a_line_says_how_far_it_is_what_is_at_work_and_how_long_it_takes() {
        let bar = Bar { done: 12, planned: 160, at_work: "syn".into() };
        let text = line(&bar, Duration::from_secs(31), Duration::from_secs(70));
        assert_eq!(text, "building: 12 of 160 units, syn; 31 s, about 70 s left");
    }
}
