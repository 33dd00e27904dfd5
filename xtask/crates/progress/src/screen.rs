//! Where the line goes: redrawn in place on a terminal, now and then a plain line elsewhere.

use std::io::{self, Write};
use std::time::Duration;

/// In a log a line comes so often.
const EVERY: Duration = Duration::from_secs(10);
/// On a terminal the line stands from here on: what is quicker needs none.
const AT_ONCE: Duration = Duration::from_millis(400);

/// Where the line goes.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    /// Something is drawn, and what it is.
    drawn: Option<String>,
    next: Option<Duration>,
}

impl<W: Write> Screen<W> {
    /// On an output.
    pub fn new(out: W) -> Self {
        Self { out, drawn: None, next: None }
    }

    /// The line as it is now. A terminal says how wide it is; without one there is a plain line every ten seconds.
    ///
    /// # Errors
    /// The output cannot be written to.
    pub fn show(&mut self, line: &str, now: Duration, columns: Option<usize>) -> io::Result<()> {
        match columns {
            Some(_) if now < AT_ONCE => Ok(()),
            Some(columns) => self.draw(&fitted(line, columns)),
            None => {
                // The first at a second: what is quicker is not worth a line.
                if now < self.next.unwrap_or(Duration::from_secs(1)) {
                    return Ok(());
                }
                self.next = Some(now + EVERY);
                writeln!(self.out, "{}", fitted(line, usize::MAX))?;
                self.out.flush()
            }
        }
    }

    /// What is for the reader, above the line.
    ///
    /// # Errors
    /// The output cannot be written to.
    pub fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.clear()?;
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Takes the line away.
    ///
    /// # Errors
    /// The output cannot be written to.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.drawn.take().is_some() {
            self.out.write_all(b"\r\x1b[K")?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn draw(&mut self, line: &str) -> io::Result<()> {
        if self.drawn.as_deref() == Some(line) {
            return Ok(());
        }
        // Drawn over, then cleared to the end of the row: it does not flicker, and the cursor stays in its row.
        write!(self.out, "\r{line}\x1b[K")?;
        self.out.flush()?;
        self.drawn = Some(line.to_owned());
        Ok(())
    }
}

/// A line that fits into a row with one column left free, since a full row would go on in the next; nothing in it moves
/// the cursor.
fn fitted(line: &str, columns: usize) -> String {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let room = columns.saturating_sub(1);
    if line.chars().count() <= room {
        return line;
    }
    line.chars().take(room.saturating_sub(1)).chain((room > 0).then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// What was written by so many steps, each a line at a time.
    fn written(columns: Option<usize>, steps: &[(u64, &str)]) -> String {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes);
        for (at, line) in steps {
            screen.show(line, ms(*at), columns).unwrap();
        }
        screen.clear().unwrap();
        drop(screen);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_terminal_has_one_line_that_is_redrawn() {
        assert_eq!(written(Some(80), &[(100, "a")]), "", "what is quick is not shown");
        assert_eq!(
            written(Some(80), &[(500, "a"), (600, "a"), (1_000, "b")]),
            "\ra\u{1b}[K\rb\u{1b}[K\r\u{1b}[K",
            "the same line is not written again"
        );
    }

    #[test]
    fn a_log_has_a_plain_line_every_ten_seconds() {
        let steps = [
            (100, "a"),
            (1_000, "b"),
            (1_500, "c"),
            (10_900, "d"),
            (11_000, "e"),
            (20_000, "f"),
            (21_000, "g"),
        ];
        assert_eq!(written(None, &steps), "b\ne\ng\n");
    }

    #[test]
    fn others_are_written_above_the_line() {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes);
        screen.pass(b"").unwrap();
        screen.show("line", ms(500), Some(80)).unwrap();
        screen.pass(b"error\n").unwrap();
        screen.show("line", ms(600), Some(80)).unwrap();
        drop(screen);
        assert_eq!(String::from_utf8(bytes).unwrap(), "\rline\u{1b}[K\r\u{1b}[Kerror\n\rline\u{1b}[K");
    }

    #[test]
    fn lines_fit_and_move_no_cursor() {
        let table = [
            ("abcdef", 80, "abcdef"),
            ("abcdef", 7, "abcdef"),
            ("abcdef", 6, "abcd…"),
            ("ab\ncd\u{1b}[2J", 80, "abcd[2J"),
            ("äöüß", 4, "äö…"),
            ("abc", 1, ""),
            ("abc", 0, ""),
        ];
        for (line, columns, expected) in table {
            assert_eq!(fitted(line, columns), expected, "{line:?} in {columns}");
        }
    }
}
