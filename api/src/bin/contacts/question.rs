//! What is asked: about whom, which day, how close in time, and which part of the answer.

use std::ops::RangeInclusive;

use api::cursor;
use api::fields;
use api::model::Day;
use api::problem::Problem;
use api::query::{Query, encoded};

use crate::cursor::Progress;

/// Minutes to either side of a check-in. Half a day to either side is the whole of an office's day.
pub(crate) const WINDOW: RangeInclusive<usize> = 1..=720;
/// The window unless the request names one.
pub(crate) const DEFAULT_WINDOW: usize = 60;

/// One request's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The day, in UTC.
    pub(crate) day: Day,
    /// Whose contacts; as [`folded`].
    pub(crate) email: String,
    /// Minutes to either side.
    pub(crate) window: usize,
    /// At most so many items on the page.
    pub(crate) limit: usize,
    /// How far earlier pages came.
    pub(crate) progress: Progress,
}

impl Question {
    /// Reads the parameters.
    ///
    /// # Errors
    /// 400 when one is missing or not valid; it is not repeated.
    pub(crate) fn from_query(query: &Query) -> Result<Self, Problem> {
        let required = |name| query.get(name).ok_or_else(|| Problem::parameter(name, "is required"));
        let day = required("dt")?.parse().map_err(|reason: &str| Problem::parameter("dt", reason))?;
        let email = address(required("email")?).map_err(|reason| Problem::parameter("email", reason))?;
        let window = query.get("window").map(|text| fields::whole_number(text, WINDOW)).transpose();
        let window = window.map_err(|reason| Problem::parameter("window", reason))?.unwrap_or(DEFAULT_WINDOW);
        let limit = cursor::limit(query)?;
        let asked = Self { day, email, window, limit, progress: Progress::default() };
        let Some(next) = query.get("next") else { return Ok(asked) };
        let progress = Progress::decode(next, &asked).ok_or_else(cursor::foreign)?;
        Ok(Self { progress, ..asked })
    }

    /// The same question as a query, without its progress.
    pub(crate) fn to_query(&self) -> String {
        let Self { day, email, window, limit, .. } = self;
        format!("dt={day}&email={}&window={window}&limit={limit}", encoded(email))
    }

    /// The window in microseconds, which is how exactly times are kept.
    pub(crate) fn window_micros(&self) -> i64 {
        i64::try_from(self.window).unwrap_or(i64::MAX).saturating_mul(60_000_000)
    }
}

/// Reads an address, which may have blanks around it; they count for its length.
fn address(text: &str) -> Result<String, String> {
    let short = text.chars().count() <= *fields::EMAIL.end();
    fields::email(if short { text.trim() } else { text }).map(|email| folded(&email))
}

/// An address as it is compared: without blanks around it and without regard to capitals, on the whole of it. Mail
/// systems may tell capitals apart before the `@`; people who type their own address do not.
pub(crate) fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["dt", "email", "window", "limit", "next"];

    fn question(raw: &str) -> Result<Question, u16> {
        let query = Query::parse(Some(raw), &KNOWN).map_err(|problem| problem.status())?;
        Question::from_query(&query).map_err(|problem| problem.status())
    }

    #[test]
    fn a_question_is_read_and_written() {
        for (raw, email, window, written) in [
            (
                "dt=2024-02-29&email=jane@example.com",
                "jane@example.com",
                60,
                "dt=2024-02-29&email=jane%40example.com&window=60&limit=1000",
            ),
            (
                "window=720&limit=5&email=%20Jane%2BX@Example.COM+&dt=2024-02-29",
                "jane+x@example.com",
                720,
                "dt=2024-02-29&email=jane%2Bx%40example.com&window=720&limit=5",
            ),
            (
                "dt=2024-02-29&email=%C3%89va@x.hu&window=1",
                "éva@x.hu",
                1,
                "dt=2024-02-29&email=%C3%A9va%40x.hu&window=1&limit=1000",
            ),
        ] {
            let asked = question(raw).unwrap();
            assert_eq!((asked.email.as_str(), asked.window), (email, window), "{raw}");
            assert_eq!(asked.to_query(), written);
            assert_eq!(question(&asked.to_query()), Ok(asked), "{raw}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_refused() {
        let who = "dt=2024-02-29&email=jane@example.com";
        for raw in [
            "".to_owned(),
            "dt=2024-02-29".to_owned(),
            "email=jane@example.com".to_owned(),
            "dt=2024-02-30&email=jane@example.com".to_owned(),
            "dt=2024-02-29&email=".to_owned(),
            "dt=2024-02-29&email=jane".to_owned(),
            "dt=2024-02-29&email=jane+x@example.com".to_owned(),
            format!("{who}&window="),
            format!("{who}&window=0"),
            format!("{who}&window=721"),
            format!("{who}&window=60m"),
            format!("{who}&limit=0"),
            format!("{who}&next="),
            format!("{who}&next=MTo"),
            format!("{who}&email=jane@example.com"),
            format!("{who}&locationId=x"),
        ] {
            assert_eq!(question(&raw), Err(400), "{raw}");
        }
    }
}
