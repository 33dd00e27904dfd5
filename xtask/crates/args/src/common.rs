//! What several commands take.

use std::path::PathBuf;
use std::time::Duration;

/// Options of every command.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Common {
    /// What stdout carries: text for a person, or one JSON object a line
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Answer every question with yes
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// No colors; the variable NO_COLOR does the same
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Profiles are PREFIX-build, PREFIX-dev and so on, in place of the project's name
    #[arg(long, global = true, value_name = "PREFIX")]
    pub profile_prefix: Option<String>,
}

/// What stdout carries.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person
    #[default]
    Text,
    /// For a script: JSON lines
    Json,
}

/// Option of the commands that can report.
#[derive(clap::Args, Debug, Clone, Default)]
#[group(skip)]
pub struct Report {
    /// Also write one self-contained HTML page of what happened
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// `250ms`, `1s`, `2.5s` or `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a time is written 250ms, 1s or 1m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "a time is written 250ms, 1s or 1m".to_owned())?;
    let seconds = number * factor;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("a time between 1ms and a day is wanted".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let table = [
            ("250ms", Some(250)),
            ("1s", Some(1_000)),
            ("2.5s", Some(2_500)),
            ("1m", Some(60_000)),
            ("0s", None),
            ("1", None),
            ("s", None),
            ("-1s", None),
            ("99999999m", None),
            ("1h", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), expected, "{text}");
        }
    }
}
