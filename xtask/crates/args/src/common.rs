//! What several commands take.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Options of every command.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// What stdout carries: text for a person, or one JSON object a line
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Answer every question with yes
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// When there are colors; NO_COLOR and FORCE_COLOR decide where this does not
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// The same as --color never
    #[arg(long, global = true, conflicts_with = "color")]
    pub no_color: bool,
    /// Only warnings, what fails, questions and the result
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Everything: each check of a hook, each event of a stack
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Profiles are PREFIX-build, PREFIX-dev and so on, in place of the project's name
    #[arg(long, global = true, value_name = "PREFIX")]
    pub profile_prefix: Option<String>,
    /// Whether a program reads stdout, so that nothing but what it wants may be there.
    #[arg(skip)]
    pub stdout_is_read: bool,
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

/// When there are colors.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// In a terminal that can show them
    #[default]
    Auto,
    /// Also into a pipe or a file
    Always,
    /// Never
    Never,
}

impl Color {
    /// What two options say together.
    #[must_use]
    pub fn of(color: Self, no_color: bool) -> Self {
        if no_color { Color::Never } else { color }
    }

    /// Whether an output is painted. An option is stronger than a variable, and `NO_COLOR` (no-color.org) is stronger than
    /// `FORCE_COLOR` (force-color.org) and `CLICOLOR_FORCE` (bixense.com/clicolors), which are off when empty or 0.
    #[must_use]
    pub fn paints(self, is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let forced = |name: &str| set(name).is_some_and(|value| value != "0");
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if set("NO_COLOR").is_some() => false,
            Color::Auto if forced("FORCE_COLOR") || forced("CLICOLOR_FORCE") => true,
            Color::Auto => is_terminal && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

impl Common {
    /// When there are colors.
    #[must_use]
    pub fn colors(&self) -> Color {
        Color::of(self.color, self.no_color)
    }
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
    fn an_option_is_stronger_than_a_variable_and_no_color_than_force() {
        // The option, whether it is a terminal, the variables, whether it is painted.
        type Row = (Color, bool, &'static [(&'static str, &'static str)], bool);
        let table: [Row; 13] = [
            (Color::Auto, true, &[], true),
            (Color::Auto, false, &[], false),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Auto, true, &[("NO_COLOR", "1")], false),
            (Color::Auto, true, &[("NO_COLOR", "")], true),
            (Color::Auto, false, &[("FORCE_COLOR", "1")], true),
            (Color::Auto, false, &[("FORCE_COLOR", "0")], false),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "")], false),
            (Color::Auto, true, &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], false),
            (Color::Always, false, &[("NO_COLOR", "1")], true),
            (Color::Never, true, &[("FORCE_COLOR", "1")], false),
            (Color::of(Color::Auto, true), true, &[], false),
        ];
        for (color, terminal, variables, painted) in table {
            let variable = |name: &str| {
                let found = variables.iter().find(|(of, _)| *of == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(color.paints(terminal, variable), painted, "{color:?} {terminal} {variables:?}");
        }
    }

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
