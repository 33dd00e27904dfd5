//! Whether a minute lies in a `DeploymentWindow`.
//!
//! Source: AWS CodePipeline user guide, "DeploymentWindow" (rule reference): seconds, minutes, hours, day of month, month, day of week,
//! year. `L`, `W` and `#` are refused: they are rare, and a wrong answer would be a wrong release.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Minutes, hours, days of the month, months, days of the week, years.
    fields: Vec<Vec<(i32, i32, i32)>>,
    zone: Offset,
}

impl Window {
    /// Reads one.
    pub(super) fn read(cron: &str, zone: Option<&str>) -> Result<Self, String> {
        let words: Vec<&str> = cron.split_whitespace().collect();
        if !(6..=7).contains(&words.len()) {
            return Err(format!("`{cron}` has not six or seven fields"));
        }
        let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199)];
        let mut fields = Vec::new();
        for (index, (low, high)) in ranges.into_iter().enumerate() {
            let word = words.get(index + 1).copied().unwrap_or("*");
            let names: &[&str] = match index {
                3 => &MONTHS,
                4 => &DAYS,
                _ => &[],
            };
            let all: Option<Vec<_>> = word.split(',').map(|part| field(part, low, high, names)).collect();
            fields.push(all.ok_or_else(|| format!("`{word}` of `{cron}` is not evaluated here"))?);
        }
        let zone = offset(zone.unwrap_or("UTC"))
            .ok_or_else(|| format!("the time zone {} is not known here", zone.unwrap_or_default()))?;
        Ok(Self { fields, zone })
    }

    /// Whether it is open.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        let at = now.to_zoned(TimeZone::fixed(self.zone));
        let day = i32::from(at.weekday().to_sunday_one_offset());
        let values = [
            i32::from(at.minute()),
            i32::from(at.hour()),
            i32::from(at.day()),
            i32::from(at.month()),
            day,
            i32::from(at.year()),
        ];
        self.fields.iter().zip(values).all(|(field, value)| {
            field.iter().any(|(from, to, by)| value >= *from && value <= *to && (value - from) % by == 0)
        })
    }
}

/// From, to and step of one part of a field.
fn field(part: &str, low: i32, high: i32, names: &[&str]) -> Option<(i32, i32, i32)> {
    let value = |word: &str| -> Option<i32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        let value = match named {
            Some(index) => i32::try_from(index).ok()? + 1,
            None => word.parse().ok()?,
        };
        (low..=high).contains(&value).then_some(value)
    };
    let (range, by) = match part.split_once('/') {
        Some((range, by)) => (range, Some(by.parse::<i32>().ok().filter(|by| *by > 0)?)),
        None => (part, None),
    };
    let (from, to) = match range {
        "*" | "?" => (low, high),
        _ => match range.split_once('-') {
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/15` begins at 5 and goes to the end.
            None => (value(range)?, if by.is_some() { high } else { value(range)? }),
        },
    };
    (from <= to).then_some((from, to, by.unwrap_or(1)))
}

/// UTC, with a difference or without.
fn offset(zone: &str) -> Option<Offset> {
    let rest = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT"))?;
    if rest.is_empty() {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match rest.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_when_aws_says_so() {
        // A Saturday.
        let now = |time: &str| format!("2026-11-28T{time}:30Z").parse::<Timestamp>().unwrap();
        let table = [
            ("* * * * * ? *", None, "03:30", true),
            ("0 0 9 ? * MON-THU *", None, "09:00", false),
            ("0 0 9 ? * SAT *", None, "09:00", true),
            ("0 0 9 ? * SAT *", None, "09:01", false),
            ("* * 9-17 ? * 2-6", None, "10:00", false),
            ("* * 9-17 ? * 7", None, "10:00", true),
            ("* 0/15 * * NOV ? 2026", None, "10:45", true),
            ("* 0/15 * * NOV ? 2026", None, "10:46", false),
            ("* * * 27,28 11 ? *", None, "10:46", true),
            ("* * * * DEC ? *", None, "10:46", false),
            ("* * 9 ? * SAT *", Some("UTC+2"), "07:10", true),
            ("* * 9 ? * SAT *", Some("UTC-5"), "14:10", true),
            ("* * 9 ? * SAT *", Some("UTC"), "07:10", false),
        ];
        for (cron, zone, time, open) in table {
            let window = Window::read(cron, zone).unwrap();
            assert_eq!(window.is_open(now(time)), open, "{cron} {zone:?} {time}");
        }
        for (cron, zone) in [
            ("* * *", None),
            ("* * * L * ? *", None),
            ("* * * ? * 6#3 *", None),
            ("* 61 * * * ? *", None),
            ("* * * * * ? *", Some("Europe/Berlin")),
            ("* 5-1 * * * ? *", None),
        ] {
            assert!(Window::read(cron, zone).is_err(), "{cron} {zone:?}");
        }
    }
}
