//! Reads the words of a command line.

use std::ffi::OsString;

use clap::FromArgMatches as _;

use crate::{Cli, hint};

/// A command line that names nothing to do: somebody asked for help or the version, or there is a mistake in it.
#[derive(Debug)]
pub struct Unread {
    /// What clap prints of it, to stdout or stderr.
    pub error: clap::Error,
    /// Whether `--output json` stands in it, as far as one can tell: then a mistake ends in a result line, too.
    pub json: bool,
    /// The command, as far as one can tell.
    pub command: String,
    /// The words, as they were typed.
    pub typed: String,
}

impl Unread {
    /// Whether it is a mistake, and no question for help.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        self.error.use_stderr()
    }

    /// Whether nothing at all was typed that says what to do: somebody wants to know what this is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_mistake() && self.typed.is_empty()
    }

    /// What is wrong with it, without clap's usage lines.
    #[must_use]
    pub fn why(&self) -> String {
        let text = self.error.to_string();
        let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
        let said: Vec<&str> =
            lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
        said.join("; ").trim_start_matches("error: ").to_owned()
    }
}

/// Reads a command line, the program's own name in front.
///
/// # Errors
/// There is nothing to do: see [`Unread`].
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Unread> {
    let words: Vec<OsString> = words.into_iter().collect();
    let read = crate::command().try_get_matches_from(&words);
    let read = read.and_then(|matches| Cli::from_arg_matches(&matches)).map(|mut cli| {
        cli.common.stdout_is_read = cli.command.stdout_is_read();
        cli
    });
    read.map_err(|mut error| {
        let words: Vec<String> =
            words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let json = words.iter().any(|word| word == "--output=json")
            || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
        let first = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
        hint::add(&mut error, &crate::command(), &first);
        Unread { error, json, command: first, typed: words.join(" ") }
    })
}
