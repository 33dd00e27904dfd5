//! How the entry ends where it does not become the tool: the result line and the exit code of the tool's own table.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why it ends, in the terms of the exit code table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something was tried and did not work.
    Failed,
    /// The command line, or a tool that is missing.
    Usage,
    /// Ctrl-C.
    Interrupted,
}

impl Kind {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Interrupted => 130,
        }
    }

    fn verdict(self) -> &'static str {
        match self {
            Kind::Failed | Kind::Usage => "failed",
            Kind::Interrupted => "interrupted",
        }
    }
}

/// One failure: what failed, on what, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    what: &'static str,
    /// Whether `what` is a fact, and no act that did not work.
    is_fact: bool,
    on: String,
    why: String,
    pub(crate) next: String,
}

impl Fault {
    pub(crate) fn new(kind: Kind, what: &'static str, on: &str) -> Self {
        Self { kind, what, is_fact: false, on: on.to_owned(), why: String::new(), next: String::new() }
    }

    /// A fact in place of an act that did not work.
    pub(crate) fn fact(kind: Kind, fact: &'static str, on: &str) -> Self {
        Self { is_fact: true, ..Self::new(kind, fact, on) }
    }

    /// What happened, as a sentence.
    fn title(&self) -> String {
        if self.is_fact { self.what.to_owned() } else { format!("could not {}", self.what) }
    }

    pub(crate) fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Well, and what was printed is all.
    Quiet,
    /// Well, with what was found out, as JSON.
    Done(String),
    /// It did not.
    Failed(Fault),
}

/// Says how it ended. A person reads it on stderr: stdout may be read by a program.
pub(crate) fn end(command: &str, json: bool, seconds: f64, outcome: &Outcome) -> ExitCode {
    let (kind, fault, data) = match outcome {
        Outcome::Quiet => return ExitCode::SUCCESS,
        Outcome::Done(data) => (None, None, data.as_str()),
        Outcome::Failed(fault) => (Some(fault.kind), Some(fault), "{}"),
    };
    let code = kind.map_or(0, Kind::code);
    let verdict = kind.map_or("done", Kind::verdict);
    if json {
        let line = line(&now(), command, code, verdict, seconds, fault, data);
        let _ = writeln!(std::io::stdout(), "{line}");
    } else if let Some(fault) = fault {
        let mut text = format!("error: {}\n", fault.title());
        for (name, value) in [("on", &fault.on), ("why", &fault.why), ("next", &fault.next)] {
            if !value.is_empty() {
                let _ = writeln!(text, "  {name:<5} {value}");
            }
        }
        let _ = writeln!(std::io::stderr(), "{text}{command}: {verdict} ({seconds:.1} s)");
    }
    ExitCode::from(code)
}

/// The result line, with the keys of every other one in their order.
fn line(
    at: &str,
    command: &str,
    code: u8,
    verdict: &str,
    seconds: f64,
    fault: Option<&Fault>,
    data: &str,
) -> String {
    let error = fault.map_or_else(
        || "null".to_owned(),
        |fault| {
            let (what, on) = (quoted(fault.what), quoted(&fault.on));
            let (why, next) = (quoted(&fault.why), quoted(&fault.next));
            let title = quoted(&fault.title());
            format!("{{\"what\":{what},\"on\":{on},\"why\":{why},\"next\":{next},\"title\":{title}}}")
        },
    );
    let (command, ok) = (quoted(command), fault.is_none());
    format!(
        "{{\"v\":1,\"type\":\"result\",\"at\":\"{at}\",\"command\":{command},\"ok\":{ok},\"exit_code\":{code},\
         \"verdict\":\"{verdict}\",\"commit\":null,\"seconds\":{seconds:.1},\"changed\":[],\"error\":{error},\"data\":{data}}}"
    )
}

/// Text as a JSON string. Written here, since a crate for it would be built before anybody sees anything.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Now as RFC 3339 in UTC, with milliseconds.
fn now() -> String {
    #[expect(clippy::disallowed_methods, reason = "the one place of the entry that reads the clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since)
}

fn rfc3339(since: Duration) -> String {
    let (seconds, ms) = (since.as_secs(), since.subsec_millis());
    let mut days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", days + 1)
}

/// Measures how long it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the entry measures what it shows, without a runtime")]
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the entry measures what it shows, without a runtime")]
        self.0.elapsed()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line_is_that_of_the_contract() {
        let fault = Fault::new(Kind::Usage, "read", "a \"b\"\\\n\u{1b}é").why("so").next("go");
        let text = line("2026-11-28T00:00:00.000Z", "x", 2, "failed", 0.04, Some(&fault), "{}");
        assert_eq!(
            text,
            r#"{"v":1,"type":"result","at":"2026-11-28T00:00:00.000Z","command":"x","ok":false,"exit_code":2,"verdict":"failed","commit":null,"seconds":0.0,"changed":[],"error":{"what":"read","on":"a \"b\"\\\n\u001bé","why":"so","next":"go","title":"could not read"},"data":{}}"#
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["error"]["on"], "a \"b\"\\\n\u{1b}é");
        let good: serde_json::Value =
            serde_json::from_str(&line("", "completions", 0, "done", 1.26, None, "{\"a\":1}")).unwrap();
        assert_eq!(
            (&good["ok"], &good["seconds"], &good["data"]["a"]),
            (&true.into(), &1.3.into(), &1.into())
        );
    }

    #[test]
    fn times_are_utc_in_rfc_3339() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(Duration::from_millis(7)), "1970-01-01T00:00:00.007Z");
    }
}
