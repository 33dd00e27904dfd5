//! Locations and registrations, and the keys that keep registrations apart.
//!
//! One table: locations under `LOCATION`, registrations under `Reg_yyyy-MM-dd`. The original sorts
//! registrations by time alone, so that two in the same 100 µs overwrite each other; here a fresh id
//! follows the time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A day in UTC, written `yyyy-MM-dd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Day(Date);

impl Day {
    /// Its first moment.
    #[must_use]
    pub fn start(&self) -> Moment {
        // Times end some hours before the calendar does. Nobody checks in then, but somebody can ask for it.
        let midnight = self.0.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
        Moment(midnight.unwrap_or(Timestamp::MAX))
    }
}

impl FromStr for Day {
    type Err = &'static str;

    /// Takes exactly `yyyy-MM-dd`, and only days that the calendar has.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REASON: &str = "must be a day of the calendar as yyyy-MM-dd";
        let shaped = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if text.len() != 10 || !shaped {
            return Err(REASON);
        }
        text.parse().map(Self).map_err(|_| REASON)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// A moment in UTC, to the microsecond; its text always has 27 characters, so that texts sort as times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// The clock's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place of the workload that reads the clock")]
    pub fn now() -> Self {
        Self::from_timestamp(Timestamp::now())
    }

    fn from_timestamp(time: Timestamp) -> Self {
        // What the text cannot show is dropped, so that a moment equals its text.
        Self(Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time))
    }

    /// The day it falls on in UTC.
    #[must_use]
    pub fn day(&self) -> Day {
        Day(self.0.to_zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.0.as_second()
    }

    /// Whole milliseconds since 1970, rounded down.
    #[must_use]
    pub fn millis(&self) -> i64 {
        self.0.as_millisecond()
    }

    /// So many microseconds later, or earlier when there are less than none; the end of time where there is no later.
    #[must_use]
    pub fn plus_micros(&self, micros: i64) -> Self {
        let at = self.0.as_microsecond().saturating_add(micros);
        Self(Timestamp::from_microsecond(at).unwrap_or(if micros < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        }))
    }

    /// Microseconds from `earlier` to here; less than none when it is the later one.
    #[must_use]
    pub fn micros_since(&self, earlier: Self) -> i64 {
        self.0.as_microsecond().saturating_sub(earlier.0.as_microsecond())
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    /// Takes exactly what [`Moment`] prints.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REASON: &str = "must be a time in UTC with microseconds";
        let moment = text.parse().map(Self::from_timestamp).map_err(|_| REASON)?;
        if moment.to_string() == text { Ok(moment) } else { Err(REASON) }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.6}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A place people check in at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Its id, and its sort key.
    #[serde(rename = "locationId", serialize_with = "hyphenated")]
    pub id: Uuid,
    /// Its name, as [`crate::fields::location_name`] allows.
    #[serde(rename = "locationName")]
    pub name: String,
}

/// Somebody was somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// A fresh id.
    #[serde(serialize_with = "hyphenated")]
    pub id: Uuid,
    /// Where.
    #[serde(serialize_with = "hyphenated")]
    pub location_id: Uuid,
    /// The place's name at that time; the place may be gone by now.
    pub location_name: String,
    /// When.
    pub timestamp: Moment,
    /// Who.
    pub name: String,
    /// How to reach them.
    pub phone_number: String,
    /// How to reach them.
    pub email: String,
}

impl Registration {
    /// The sort key: time, then id. No two registrations share one.
    #[must_use]
    pub fn sort_key(&self) -> String {
        sort_key(self.timestamp, self.id)
    }
}

/// The sort key of the registration with this time and id.
#[must_use]
pub fn sort_key(timestamp: Moment, id: Uuid) -> String {
    format!("{timestamp}#{id}")
}

/// Takes a registration's sort key apart; `None` for any other text.
#[must_use]
pub fn split_sort_key(key: &str) -> Option<(Moment, Uuid)> {
    let (time, id) = key.split_once('#')?;
    Some((time.parse().ok()?, canonical_uuid(id)?))
}

/// Reads a UUID exactly as we write it: lower case, hyphenated.
#[must_use]
pub fn canonical_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

fn hyphenated<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// What one query reads: all items of one partition, in the order of their sort keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// All locations.
    Locations,
    /// The registrations of one day.
    Day(Day),
}

impl Partition {
    /// Whether an item of this partition could have this sort key.
    #[must_use]
    pub fn holds(&self, sort_key: &str) -> bool {
        match self {
            Self::Locations => canonical_uuid(sort_key).is_some(),
            Self::Day(day) => split_sort_key(sort_key).is_some_and(|(moment, _)| moment.day() == *day),
        }
    }
}

/// The partition key.
impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locations => formatter.write_str("LOCATION"),
            Self::Day(day) => write!(formatter, "Reg_{day}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_of_the_calendar() {
        for (text, good) in [
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("0001-01-01", true),
            ("9999-12-31", true),
            ("2023-02-29", false),
            ("1900-02-29", false),
            ("2024-04-31", false),
            ("2024-13-01", false),
            ("2024-00-10", false),
            ("2024-01-00", false),
            ("2024-1-1", false),
            ("20240101", false),
            ("2024-01-01T00:00:00Z", false),
            ("2024-01-01 ", false),
            ("+024-01-01", false),
            ("-999-01-01", false),
            ("２０24-01-01", false),
            ("2024/01/01", false),
            ("", false),
        ] {
            let day = text.parse::<Day>();
            assert_eq!(day.is_ok(), good, "{text}");
            assert!(day.is_err() || day.is_ok_and(|day| day.to_string() == text), "{text}");
        }
    }

    #[test]
    fn a_moment_has_one_text_of_fixed_width() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_709_164_800_000_001_999, "2024-02-29T00:00:00.000001Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999Z"),
        ] {
            let moment = Moment::from_timestamp(Timestamp::from_nanosecond(nanoseconds).unwrap());
            assert_eq!((moment.to_string().as_str(), text.len()), (text, 27));
            assert_eq!(text.parse(), Ok(moment));
            assert_eq!(moment.day().to_string(), &text[..10]);
        }
        for text in
            ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000001+00:00", "2024-02-29 00:00:00.000001Z", ""]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert_eq!(Moment::now().to_string().len(), 27);
    }

    #[test]
    fn moments_are_counted_in_microseconds() {
        let day: Day = "2024-02-29".parse().unwrap();
        let moment: Moment = "2024-02-29T00:00:01.000002Z".parse().unwrap();
        assert_eq!(day.start().to_string(), "2024-02-29T00:00:00.000000Z");
        assert_eq!(
            (moment.micros_since(day.start()), day.start().micros_since(moment)),
            (1_000_002, -1_000_002)
        );
        assert_eq!(day.start().plus_micros(1_000_002), moment);
        assert_eq!(day.start().plus_micros(-1).day().to_string(), "2024-02-28");
        for (day, micros) in [("9999-12-30", i64::MAX), ("0001-01-01", i64::MIN)] {
            let start = day.parse::<Day>().unwrap().start();
            assert_eq!(start.to_string(), format!("{day}T00:00:00.000000Z"));
            assert_eq!(start.plus_micros(micros) > start, micros > 0, "{day}");
        }
        assert!("9999-12-31".parse::<Day>().unwrap().start() > moment);
    }

    #[test]
    fn a_sort_key_belongs_to_one_partition() {
        let day = |text: &str| Partition::Day(text.parse().unwrap());
        let id = "0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a59";
        let key = format!("2024-02-29T08:15:00.000001Z#{id}");
        assert!(Partition::Locations.holds(id) && day("2024-02-29").holds(&key));
        assert_eq!(day("2024-02-29").to_string(), "Reg_2024-02-29");
        for (partition, key) in [
            (Partition::Locations, key.as_str()),
            (day("2024-03-01"), key.as_str()),
            (day("2024-02-29"), id),
            (Partition::Locations, &id.to_uppercase()),
            (Partition::Locations, &id.replace('-', "")),
            (Partition::Locations, ""),
            (day("2024-02-29"), &key.replace('#', "##")),
            (day("2024-02-29"), &key.replace(".000001", "")),
        ] {
            assert!(!partition.holds(key), "{partition} {key}");
        }
    }
}
