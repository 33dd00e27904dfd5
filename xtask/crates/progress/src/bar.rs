//! What a piece of cargo's output is: its bar, one of its status lines, or anything else.

/// A piece of cargo's output, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `Building [==>   ] 120/299: names…`
    Bar {
        /// Units that are done, those that were there already among them.
        done: u32,
        /// All units.
        total: u32,
        /// What is being compiled.
        names: Vec<String>,
    },
    /// A status line that says what cargo is at, in our words.
    Phase(String),
    /// A status line of which nothing has to be said.
    Quiet,
}

/// Status words stand at the right end of so many columns.
const COLUMN: usize = 12;

/// Understands a piece of output, its colors already taken off. None where it is neither bar nor a status line that is
/// known: then it is for the reader.
pub(crate) fn read(text: &str) -> Option<Piece> {
    let text = text.trim_end();
    let word = text.trim_start();
    let (word, rest) = word.split_once(' ')?;
    let indent = text.len() - text.trim_start().len();
    // No line of the compiler has its first word end there and be one of these.
    if indent + word.len() != COLUMN {
        return None;
    }
    if rest.starts_with('[') {
        return bar(rest);
    }
    match word {
        "Updating" => Some(Piece::Phase(format!("updating {rest}"))),
        "Downloading" => Some(Piece::Phase(format!("downloading {rest}"))),
        "Blocking" => {
            let on = rest.strip_prefix("waiting for file lock on ").unwrap_or(rest);
            Some(Piece::Phase(format!("waiting for another cargo that has the {on}")))
        }
        "Compiling" | "Checking" | "Downloaded" | "Fresh" | "Finished" | "Locking" => Some(Piece::Quiet),
        _ => None,
    }
}

/// `[==>   ] 120/299: names…`
fn bar(rest: &str) -> Option<Piece> {
    let (_, rest) = rest.split_once("] ")?;
    let (count, names) = match rest.split_once(": ") {
        Some((count, names)) => (count, names),
        None => (rest.trim_end_matches(':'), ""),
    };
    let (done, total) = count.trim().split_once('/')?;
    let (done, total) = (done.parse().ok()?, total.parse().ok()?);
    // Cargo cuts the names where they do not fit, and says so with `...`.
    let names = names.split(", ").map(|name| name.trim().trim_end_matches("..."));
    let names = names.filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    (done <= total && total > 0).then_some(Piece::Bar { done, total, names })
}

/// Text without the sequences that color it or move the cursor.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        if rest.next_if_eq(&'[').is_some() {
            // Parameters, until the letter that ends them.
            while rest.next_if(|c| !('@'..='~').contains(c)).is_some() {}
            rest.next();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(done: u32, total: u32, names: &[&str]) -> Option<Piece> {
        Some(Piece::Bar { done, total, names: names.iter().map(|name| (*name).to_owned()).collect() })
    }

    #[test]
    fn bars_and_status_lines_are_told_from_everything_else() {
        let phase = |text: &str| Some(Piece::Phase(text.to_owned()));
        let table = [
            (
                "    Building [=======>       ] 120/299: syn, ring(build.rs)   ",
                built(120, 299, &["syn", "ring(build.rs)"]),
            ),
            ("    Building [               ] 0/3: heck, strs...", built(0, 3, &["heck", "strs"])),
            ("    Building [======>        ] 1/3", built(1, 3, &[])),
            ("    Building [======>        ] 1/3: ", built(1, 3, &[])),
            ("    Checking [======>        ] 1/3: a", built(1, 3, &["a"])),
            ("    Updating crates.io index", phase("updating crates.io index")),
            (" Downloading 9 crates    ", phase("downloading 9 crates")),
            (
                " Downloading 9 crates, remaining bytes: 1.2MiB",
                phase("downloading 9 crates, remaining bytes: 1.2MiB"),
            ),
            (
                "    Blocking waiting for file lock on build directory",
                phase("waiting for another cargo that has the build directory"),
            ),
            ("   Compiling syn v3.0.10", Some(Piece::Quiet)),
            ("  Downloaded 10 crates (748.9KiB) in 0.08s", Some(Piece::Quiet)),
            ("    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.67s", Some(Piece::Quiet)),
            // Stray and unknown: for the reader.
            ("    Building [=====> 4/9", None),
            ("    Building [=====>     ] 4/x: a", None),
            ("    Building [=====>     ] 9/4: a", None),
            ("    Building [           ] 0/0: a", None),
            ("    Building [           ] 99999999999/999999999999: a", None),
            ("     Removed 12 files", None),
            ("warning: unused variable: `x`", None),
            ("error[E0308]: mismatched types", None),
            (" --> src/lib.rs:1:37", None),
            ("1 | Compiling x", None),
            ("Compiling x v1", None),
            ("        Compiling x v1", None),
            ("", None),
            ("            ", None),
            ("é           x", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn colors_are_taken_off() {
        let table = [
            ("\u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [=>] 1/2", "    Building [=>] 1/2"),
            ("\u{1b}[Kx", "x"),
            ("plain", "plain"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}[1", ""),
            ("a\u{1b}[38;5;9mb", "ab"),
        ];
        for (text, expected) in table {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
