//! Dates of conditions: IAM takes the W3C's forms of ISO 8601, and seconds since 1970. Source: IAM user guide, "IAM JSON policy
//! elements: Condition operators", "Date condition operators"; W3C note "Date and Time Formats".

use chrono::{DateTime, Datelike as _, NaiveDate, SecondsFormat};

/// A date as RFC 3339 has it, as far as it is one: `2020`, `2020-04`, `2020-04-01`, with a time behind `T` and a zone, or seconds.
pub(crate) fn rfc3339(value: &str) -> Option<String> {
    if value.len() > 4 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return of_seconds(value.parse().ok()?);
    }
    let (date, time) = match value.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (value, None),
    };
    let parts: Vec<u32> = date
        .split('-')
        .map(|part| digits(part, if part.len() == 4 { 4 } else { 2 }))
        .collect::<Option<_>>()?;
    let (year, month, day) = match (parts.as_slice(), time) {
        ([year], None) => (*year, 1, 1),
        ([year, month], None) => (*year, *month, 1),
        ([year, month, day], _) => (*year, *month, *day),
        _ => return None,
    };
    let is_year = date.split('-').next().is_some_and(|year| year.len() == 4);
    if !is_year || NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).is_none() {
        return None;
    }
    let time = match time {
        None => "00:00:00Z".to_owned(),
        Some(time) => of_time(time)?,
    };
    Some(format!("{year:04}-{month:02}-{day:02}T{time}"))
}

fn of_time(time: &str) -> Option<String> {
    let zone = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let parts: Vec<u32> = whole.split(':').map(|part| digits(part, 2)).collect::<Option<_>>()?;
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] if fraction.is_none() => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    let is_fraction = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if hour > 23 || minute > 59 || second > 59 || !fraction.is_none_or(is_fraction) {
        return None;
    }
    if zone != "Z" {
        let (hours, minutes) = zone.get(1..)?.split_once(':')?;
        if digits(hours, 2)? > 23 || digits(minutes, 2)? > 59 {
            return None;
        }
    }
    let fraction = fraction.map(|text| format!(".{text}")).unwrap_or_default();
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn of_seconds(seconds: u64) -> Option<String> {
    let date = DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
    // What has no four digits is no year of these forms.
    (date.year() <= 9999).then(|| date.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn every_form_of_a_date_is_taken_and_nothing_else() {
        for (value, expected) in [
            ("2020", Some("2020-01-01T00:00:00Z")),
            ("2020-04", Some("2020-04-01T00:00:00Z")),
            ("2020-04-01", Some("2020-04-01T00:00:00Z")),
            ("2020-02-29", Some("2020-02-29T00:00:00Z")),
            ("2020-04-01T12:30Z", Some("2020-04-01T12:30:00Z")),
            ("2020-04-01T12:30:15Z", Some("2020-04-01T12:30:15Z")),
            ("2020-04-01T12:30:15.45+01:00", Some("2020-04-01T12:30:15.45+01:00")),
            ("2020-04-01T12:30-05:30", Some("2020-04-01T12:30:00-05:30")),
            ("1585699200", Some("2020-04-01T00:00:00Z")),
            ("1585782245", Some("2020-04-01T23:04:05Z")),
            ("2021-02-29", None),
            ("2020-13-01", None),
            ("2020-4-1", None),
            ("20-04-01", None),
            ("2020-04-01T12Z", None),
            ("2020-04-01T12:30", None),
            ("2020-04-01T25:00Z", None),
            ("2020-04-01 12:30Z", None),
            ("2020-04T12:30Z", None),
            ("tomorrow", None),
            ("", None),
            ("2020-04-01T12:30Zx", None),
            ("é020-04-01", None),
        ] {
            assert_eq!(rfc3339(value).as_deref(), expected, "{value}");
        }
    }
}
