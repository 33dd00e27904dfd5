//! Follows a cargo to its end: a thread reads, and the line goes on also while nothing comes.

use std::io::{Read, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::screen::Screen;
use crate::watch::Watch;

/// How often the line is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// Reads what cargo prints until it closes its end, keeps the line, and passes on what is for the reader; returns that, too.
/// `now` is the time since the beginning, `columns` the terminal's width where there is one.
///
/// What cannot be written is let go: a reader that has gone away does not end the build.
pub fn follow<R, W>(
    mut from: R,
    watch: &mut Watch,
    screen: &mut Screen<W>,
    now: impl Fn() -> Duration,
    columns: impl Fn() -> Option<usize>,
) -> Vec<u8>
where
    R: Read + Send + 'static,
    W: Write,
{
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            match from.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    if send.send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let mut passed = Vec::new();
    loop {
        let bytes = match receive.recv_timeout(TICK) {
            Ok(bytes) => watch.feed(&bytes, now()),
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let _ = screen.pass(&bytes);
        passed.extend(bytes);
        let _ = screen.show(&watch.line(now()), now(), columns());
    }
    let rest = watch.rest();
    let _ = screen.pass(&rest);
    passed.extend(rest);
    let _ = screen.clear();
    passed
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Record;

    #[test]
    fn a_cargo_is_followed_to_its_end() {
        let said = b"    Building [=> ] 1/2: a\rwarning: w\n    Building [=>] 2/2: \rthe end".as_slice();
        let mut watch = Watch::new("x", Record::default());
        let mut bytes = Vec::new();
        let seconds = AtomicU64::new(0);
        let now = || Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed));
        let passed = follow(said, &mut watch, &mut Screen::new(&mut bytes), now, || Some(80));
        assert_eq!(passed, b"warning: w\nthe end");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("warning: w\n") && text.contains("2 of 2 units"), "{text:?}");
        assert!(text.ends_with("\r\u{1b}[Kthe end"), "{text:?}");
    }
}
