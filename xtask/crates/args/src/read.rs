//! Reads the words of a command line.

use std::ffi::OsString;

use clap::Parser as _;

use crate::Cli;

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

    /// What is wrong with it, in a few words.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.error.kind().as_str().unwrap_or("it is not understood")
    }
}

/// Reads a command line, the program's own name in front.
///
/// # Errors
/// There is nothing to do: see [`Unread`].
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Unread> {
    let words: Vec<OsString> = words.into_iter().collect();
    Cli::try_parse_from(&words).map_err(|error| {
        let words: Vec<String> =
            words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let json = words.iter().any(|word| word == "--output=json")
            || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
        let command = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
        Unread { error, json, command, typed: words.join(" ") }
    })
}
