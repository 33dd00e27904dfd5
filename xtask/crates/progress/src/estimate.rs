//! About how long it takes: by the record of the last run, else by the units' own pace.
//!
//! What is left, not what is done, says where a build is: of 299 units all but one may have been there already. So a
//! record has, for each number of units left, how long it took from there to the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long it took from each number of units left to the end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record(BTreeMap<u32, f64>);

/// The first line of a record; one of another format is no record.
const FORMAT: &str = "causeway-progress 1";
/// Before there is a pace: so many units at so many seconds each are believed in, beside what is seen.
const BELIEVED: (f64, f64) = (8.0, 0.8);
/// A machine is so many times slower or quicker than last time at most, by what the run itself says.
const PACES: (f64, f64) = (0.25, 4.0);
/// So many seconds of the last run must have been gone through before this run's pace is compared with it.
const COMPARED: f64 = 5.0;

impl Record {
    /// The record that the last run left in a file; an empty one where there is none: it is only an estimate.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        Self::read(&fs::read_to_string(path).unwrap_or_default())
    }

    /// Leaves the record for the next run, whole or not at all. Where it cannot be kept, there is no estimate the next time.
    pub fn keep(&self, path: &Path) {
        let dir = path.parent().unwrap_or(Path::new("."));
        let part = path.with_extension("part");
        let _ = fs::create_dir_all(dir)
            .and_then(|()| fs::write(&part, self.text()))
            .and_then(|()| fs::rename(&part, path));
    }

    /// Reads a record. What is not understood is left out: it is only an estimate.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut rows = text.lines();
        if rows.next() != Some(FORMAT) {
            return Self::default();
        }
        let levels = rows.filter_map(|row| {
            let (left, seconds) = row.split_once(' ')?;
            let seconds: f64 = seconds.parse().ok()?;
            (seconds.is_finite() && seconds >= 0.0).then_some((left.parse().ok()?, seconds))
        });
        Self(levels.collect())
    }

    /// The record as text, for the next run.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        for (left, seconds) in &self.0 {
            let _ = writeln!(text, "{left} {seconds:.1}");
        }
        text
    }

    /// Seconds from so many units left to the end: what stands there, or between its neighbors, or beyond the most of them
    /// in proportion.
    fn at(&self, left: u32) -> Option<f64> {
        let below = self.0.range(..=left).next_back();
        let above = self.0.range(left..).next();
        match (below, above) {
            (Some((&a, &from)), Some((&b, &to))) if b > a => {
                Some(from + (to - from) * f64::from(left - a) / f64::from(b - a))
            }
            (_, Some((&b, &to))) => Some(to * f64::from(left) / f64::from(b.max(1))),
            (Some((&a, &from)), None) => Some(from * f64::from(left) / f64::from(a.max(1))),
            (None, None) => None,
        }
    }
}

/// When this run came to each number of units left; the first is where it began.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Trace(Vec<(Duration, u32)>);

impl Trace {
    /// So many units are left now.
    pub(crate) fn note(&mut self, now: Duration, left: u32) {
        if self.0.last().is_none_or(|(_, before)| left < *before) {
            self.0.push((now, left));
        }
    }

    /// About how long it still takes; zero where it takes longer than last time already.
    pub(crate) fn left(&self, now: Duration, last: &Record) -> Option<Duration> {
        let (&(began, first), &(reached, left)) = (self.0.first()?, self.0.last()?);
        let spent = (reached.saturating_sub(began)).as_secs_f64();
        let Some(rest) = last.at(left) else {
            let built = f64::from(first - left);
            let passed = now.saturating_sub(began).as_secs_f64();
            let pace = (passed + BELIEVED.0 * BELIEVED.1) / (built + BELIEVED.0);
            return Some(Duration::from_secs_f64(pace * f64::from(left)));
        };
        let before = last.at(first)? - rest;
        let pace = if before >= COMPARED { (spent / before).clamp(PACES.0, PACES.1) } else { 1.0 };
        let since = now.saturating_sub(reached).as_secs_f64();
        Some(Duration::from_secs_f64((rest * pace - since).max(0.0)))
    }

    /// The record of a run that ended well now, on top of the one before: a run that built little says nothing of a run
    /// that builds all.
    pub(crate) fn kept(&self, end: Duration, before: &Record) -> Record {
        let mut levels = before.0.clone();
        if let Some((_, first)) = self.0.first() {
            levels.retain(|left, _| left > first);
        }
        levels.extend(self.0.iter().map(|(at, left)| (*left, end.saturating_sub(*at).as_secs_f64())));
        Record(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn trace(points: &[(u64, u32)]) -> Trace {
        let mut trace = Trace::default();
        for (at, left) in points {
            trace.note(s(*at), *left);
        }
        trace
    }

    fn record(levels: &[(u32, f64)]) -> Record {
        Record(levels.iter().copied().collect())
    }

    /// What it is about, when so many units were left, now, the last run, the seconds that are left.
    type Row<'a> = (&'a str, &'a [(u64, u32)], u64, &'a Record, Option<u64>);

    #[test]
    fn the_estimate_follows_the_last_run_else_the_pace() {
        let none = record(&[]);
        // 300 units in 360 s, the last of them 50 s.
        let last = record(&[(300, 360.0), (100, 160.0), (1, 50.0)]);
        let table: [Row; 12] = [
            ("nothing seen", &[], 3, &none, None),
            ("no pace yet: 0.8 s a unit", &[(0, 300)], 0, &none, Some(240)),
            ("half of it in 100 s", &[(0, 200), (100, 100)], 100, &none, Some(99)),
            ("a long unit slows the pace", &[(0, 200), (100, 100)], 200, &none, Some(191)),
            ("as last time, from the start", &[(0, 300)], 0, &last, Some(360)),
            ("as last time, after a while", &[(0, 300)], 10, &last, Some(350)),
            ("at the pace of last time", &[(0, 300), (200, 100)], 200, &last, Some(160)),
            ("twice as slow", &[(0, 300), (400, 100)], 400, &last, Some(320)),
            ("only the last unit", &[(0, 1)], 5, &last, Some(45)),
            ("longer than last time", &[(0, 1)], 60, &last, Some(0)),
            ("more units than last time", &[(0, 600)], 0, &last, Some(720)),
            ("between two numbers", &[(0, 200)], 0, &last, Some(260)),
        ];
        for (name, points, now, record, expected) in table {
            let found = trace(points).left(s(now), record).map(|left| left.as_secs_f64().round() as u64);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_small_run_keeps_what_a_large_one_found_out() {
        let large = trace(&[(0, 300), (200, 100), (310, 1)]).kept(s(360), &Record::default());
        assert_eq!(large, record(&[(300, 360.0), (100, 160.0), (1, 50.0)]));
        let small = trace(&[(0, 1)]).kept(s(40), &large);
        assert_eq!(small, record(&[(300, 360.0), (100, 160.0), (1, 40.0)]));
        assert_eq!(Trace::default().kept(s(1), &large), large, "a run that built nothing changes nothing");
    }

    #[test]
    fn records_are_read_as_they_were_written_and_nonsense_is_left_out() {
        let kept = record(&[(300, 360.5), (1, 50.0)]);
        assert_eq!(Record::read(&kept.text()), kept);
        let table = [
            ("", record(&[])),
            ("another format\n1 2.0\n", record(&[])),
            ("causeway-progress 1\nx\n3\n4 y\n5 -1\n6 NaN\n7 inf\n8 1.5\n\n", record(&[(8, 1.5)])),
        ];
        for (text, expected) in table {
            assert_eq!(Record::read(text), expected, "{text:?}");
        }
        assert_eq!(record(&[(0, 0.0)]).at(5), Some(0.0), "no division by nothing");
    }
}
