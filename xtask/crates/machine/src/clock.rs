//! The one home of the clock, so that everything else can be tested without it.

use std::time::Duration;

use jiff::Timestamp;

/// Now, in UTC.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since 1970 of a time in RFC 3339; `None` for what is none.
pub fn milliseconds_of(text: &str) -> Option<i64> {
    text.parse().ok().map(|at: Timestamp| at.as_millisecond())
}

/// Now as RFC 3339 with milliseconds, as the JSON lines carry it.
pub fn now_rfc3339() -> String {
    format!("{:.3}", now())
}

/// The day so many days from now, in UTC (`yyyy-MM-dd`).
pub fn day(days: i64) -> String {
    let then = now().checked_add(jiff::SignedDuration::from_hours(days.saturating_mul(24)));
    then.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d").to_string()
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that measures, for reports and for limits")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    /// Time since the start.
    #[expect(clippy::disallowed_methods, reason = "the one place that measures, for reports and for limits")]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_to_come_is_told() {
        assert_eq!(day(0).len(), "2026-11-22".len());
        assert!(day(35) > day(0) && day(9_999_999).starts_with("9999"));
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let text = now_rfc3339();
        assert!(text.ends_with('Z') && text.len() == "2026-11-22T10:00:00.000Z".len(), "{text}");
    }
}
