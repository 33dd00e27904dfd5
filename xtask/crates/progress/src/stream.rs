//! Cuts what cargo prints into bars, which end in a carriage return, and lines, which end in a newline.

use crate::bar::{Piece, plain, read};

/// What cargo prints before a line where it has drawn a bar: clear the row.
const CLEAR: &[u8] = b"\x1b[K";

/// What came, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Bar or status line.
    Own(Piece),
    /// Anything else, byte for byte, its end included.
    Other(Vec<u8>),
}

/// The bytes that have come and are no whole piece yet.
#[derive(Debug, Default)]
pub(crate) struct Stream(Vec<u8>);

impl Stream {
    /// Takes bytes, and gives what is whole by now.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Part> {
        self.0.extend_from_slice(bytes);
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some(end) = self.0[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let end = from + end;
            let text = &self.0[from..end];
            if self.0[end] == b'\r' {
                if let Some(piece) = own(text) {
                    parts.push(Part::Own(piece));
                    from = end + 1;
                    continue;
                }
                match self.0.get(end + 1) {
                    // A source line that ends in both, or one with a carriage return in it: it goes on to its newline.
                    Some(_) => {
                        let Some(newline) = self.0[end..].iter().position(|byte| *byte == b'\n') else {
                            break;
                        };
                        let whole = &self.0[from..=end + newline];
                        parts.push(Part::Other(whole.strip_prefix(CLEAR).unwrap_or(whole).to_vec()));
                        from = end + newline + 1;
                        continue;
                    }
                    None => break,
                }
            }
            let whole = &self.0[from..=end];
            parts.push(match own(text) {
                Some(piece) => Part::Own(piece),
                None => Part::Other(whole.strip_prefix(CLEAR).unwrap_or(whole).to_vec()),
            });
            from = end + 1;
        }
        self.0.drain(..from);
        parts
    }

    /// What is left at the end, unless it is a bar that was never cleared.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.0);
        let shown = rest.strip_prefix(CLEAR).unwrap_or(&rest);
        (own(shown).is_none() && !shown.is_empty()).then(|| shown.to_vec())
    }
}

fn own(text: &[u8]) -> Option<Piece> {
    read(&plain(std::str::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real cargo wrote into a pipe, colors on: downloads, units, a compiler's error between bars.
    const REAL: &str = "\u{1b}[1m\u{1b}[92m    Updating\u{1b}[0m crates.io index\n\
        \u{1b}[1m\u{1b}[96m Downloading\u{1b}[0m 2 crates     \r\u{1b}[K\u{1b}[1m\u{1b}[92m  Downloaded\u{1b}[0m heck v0.5.0\n\
        \u{1b}[1m\u{1b}[92m   Compiling\u{1b}[0m small v0.1.0 (/x)\n\
        \u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [====>  ] 14/15: small      \r\u{1b}[K\u{1b}[1m\u{1b}[91merror[E0308]\u{1b}[0m: mismatched types\n\
        \u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [====>  ] 14/15: small      \r\u{1b}[K\n\
        \u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [====>  ] 14/15: small      \r";

    fn others(parts: &[Part]) -> String {
        let others = parts.iter().filter_map(|part| match part {
            Part::Other(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Part::Own(_) => None,
        });
        others.collect()
    }

    #[test]
    fn errors_between_bars_are_passed_on_as_they_are_however_the_bytes_come() {
        let expected = "\u{1b}[1m\u{1b}[91merror[E0308]\u{1b}[0m: mismatched types\n\n";
        for size in [1, 2, 3, 7, 64, REAL.len()] {
            let mut stream = Stream::default();
            let mut parts = Vec::new();
            for bytes in REAL.as_bytes().chunks(size) {
                parts.extend(stream.feed(bytes));
            }
            assert_eq!(others(&parts), expected, "in pieces of {size}");
            let bars = parts.iter().filter(|part| matches!(part, Part::Own(Piece::Bar { .. }))).count();
            assert_eq!((bars, stream.rest()), (3, None), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_bar_is_never_lost() {
        let table: [(&[u8], &[u8]); 7] = [
            (b"a line\r\nnext\n", b"a line\r\nnext\n"),
            (b"half\rof it\n", b"half\rof it\n"),
            (b"no end", b"no end"),
            (b"ends in return\r", b"ends in return\r"),
            (b"\xff\xfe no text\n", b"\xff\xfe no text\n"),
            (b"\n\n", b"\n\n"),
            (b"a\rb\rc\n    Building [=>] 1/2: x\rd\n", b"a\rb\rc\nd\n"),
        ];
        for (given, expected) in table {
            for size in [1, given.len()] {
                let mut stream = Stream::default();
                let mut found = Vec::new();
                for bytes in given.chunks(size) {
                    for part in stream.feed(bytes) {
                        if let Part::Other(bytes) = part {
                            found.extend(bytes);
                        }
                    }
                }
                found.extend(stream.rest().unwrap_or_default());
                assert_eq!(found, expected, "{}", String::from_utf8_lossy(given));
            }
        }
    }
}
