//! How a build stands, from what has come until now.

use std::time::Duration;

use crate::bar::Piece;
use crate::estimate::{Record, Trace};
use crate::stream::{Part, Stream};

/// Follows one cargo.
#[derive(Debug)]
pub struct Watch {
    what: String,
    stream: Stream,
    last: Record,
    trace: Trace,
    bar: Option<(u32, u32, Vec<String>)>,
    phase: Option<String>,
}

impl Watch {
    /// For a build of something, with what the last run of it left.
    #[must_use]
    pub fn new(what: impl Into<String>, last: Record) -> Self {
        let (stream, trace) = (Stream::default(), Trace::default());
        Self { what: what.into(), stream, last, trace, bar: None, phase: None }
    }

    /// Takes what cargo printed, and gives what of it is for the reader, byte for byte.
    pub fn feed(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        let mut others = Vec::new();
        for part in self.stream.feed(bytes) {
            match part {
                Part::Other(bytes) => others.extend(bytes),
                Part::Own(Piece::Quiet) => {}
                Part::Own(Piece::Phase(text)) => self.phase = Some(text),
                Part::Own(Piece::Bar { done, total, names }) => {
                    self.trace.note(now, total - done);
                    self.phase = None;
                    self.bar = Some((done, total, names));
                }
            }
        }
        others
    }

    /// What is left when cargo has ended.
    pub fn rest(&mut self) -> Vec<u8> {
        self.stream.rest().unwrap_or_default()
    }

    /// Whether anything has been built.
    #[must_use]
    pub fn has_built(&self) -> bool {
        self.bar.is_some()
    }

    /// How it stands, in one line without an end.
    #[must_use]
    pub fn line(&self, now: Duration) -> String {
        format!("building {}: {}", self.what, self.state(now))
    }

    /// How it stands, without saying what it is that is built.
    #[must_use]
    pub fn state(&self, now: Duration) -> String {
        if let Some(phase) = &self.phase {
            return format!("{phase}, {}", spell(now));
        }
        let Some((done, total, names)) = &self.bar else { return spell(now) };
        let left = match self.trace.left(now, &self.last) {
            Some(left) if left.is_zero() => ", longer than last time".to_owned(),
            Some(left) => format!(", about {} left", about(left)),
            None => String::new(),
        };
        let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        format!("{done} of {total} units, {}{left}{names}", spell(now))
    }

    /// What was built, where anything was.
    #[must_use]
    pub fn summary(&self, now: Duration) -> Option<String> {
        let (_, total, _) = self.bar.as_ref()?;
        Some(format!("built {}: {total} units, {}", self.what, spell(now)))
    }

    /// What the next run is to know, once this one has ended well.
    #[must_use]
    pub fn record(&self, now: Duration) -> Record {
        self.trace.kept(now, &self.last)
    }
}

/// `45 s`, `2 min`, `2 min 5 s`.
#[must_use]
pub fn spell(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A time that nobody knows to the second: `8 s`, `45 s`, `2 min`.
fn about(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{} s", seconds.ceil())
    } else if seconds < 87.5 {
        format!("{} s", (seconds / 5.0).round() * 5.0)
    } else {
        format!("{} min", (seconds / 60.0).round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_line_says_what_a_person_wants_to_know() {
        let mut watch = Watch::new("the tool", Record::default());
        assert_eq!(watch.line(s(0)), "building the tool: 0 s");
        assert!(!watch.has_built() && watch.summary(s(1)).is_none());
        let steps: [(&str, u64, &str, &str); 6] = [
            ("    Updating crates.io index\n", 1, "building the tool: updating crates.io index, 1 s", ""),
            (" Downloading 9 crates   \r", 2, "building the tool: downloading 9 crates, 2 s", ""),
            (
                "   Compiling syn v3\n    Building [=>    ] 100/300: syn, ring(build)\r",
                10,
                "building the tool: 100 of 300 units, 10 s, about 3 min left: syn, ring(build)",
                "",
            ),
            (
                "warning: unused\n    Building [==>   ] 200/300: syn\r",
                70,
                "building the tool: 200 of 300 units, 1 min 10 s, about 60 s left: syn",
                "warning: unused\n",
            ),
            (
                "    Blocking waiting for file lock on artifact directory\n",
                71,
                "building the tool: waiting for another cargo that has the artifact directory, 1 min 11 s",
                "",
            ),
            ("error: could not compile `x`\nnoise\r", 72, "", "error: could not compile `x`\n"),
        ];
        for (text, at, line, others) in steps {
            assert_eq!(String::from_utf8(watch.feed(text.as_bytes(), s(at))).unwrap_or_default(), others);
            if !line.is_empty() {
                assert_eq!(watch.line(s(at)), line);
            }
        }
        assert_eq!(watch.rest(), b"noise\r");
        assert_eq!(watch.summary(s(130)).as_deref(), Some("built the tool: 300 units, 2 min 10 s"));
    }

    #[test]
    fn the_next_run_knows_what_this_one_took() {
        let bars = |watch: &mut Watch| {
            watch.feed(b"    Building [ ] 0/10: a\r", s(0));
            watch.line(s(0))
        };
        let mut first = Watch::new("x", Record::default());
        bars(&mut first);
        let record = Record::read(&first.record(s(300)).text());
        assert_eq!(
            bars(&mut Watch::new("x", record.clone())),
            "building x: 0 of 10 units, 0 s, about 5 min left: a"
        );
        let mut late = Watch::new("x", record);
        bars(&mut late);
        assert_eq!(late.line(s(301)), "building x: 0 of 10 units, 5 min 1 s, longer than last time: a");
    }

    #[test]
    fn times_are_spelled() {
        let table = [(0, "0 s", "0 s"), (9, "9 s", "9 s"), (12, "12 s", "10 s"), (58, "58 s", "60 s")];
        let more = [(60, "1 min", "60 s"), (125, "2 min 5 s", "2 min"), (366, "6 min 6 s", "6 min")];
        for (seconds, exact, rough) in table.into_iter().chain(more) {
            assert_eq!((spell(s(seconds)).as_str(), about(s(seconds)).as_str()), (exact, rough));
        }
    }
}
