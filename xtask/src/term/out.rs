//! Where lines go: JSON lines or text on stdout, everything else on stderr, one spinner in a terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

use super::style::Paint;
use super::text::{render, step_name};
use crate::clock;
use crate::model::fault::Fault;
use crate::model::line::{Emit, Line, Status};
use crate::model::prove::Report;

/// What the user asked for, the same on every command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// JSON lines on stdout.
    pub(crate) json: bool,
    /// No colors.
    pub(crate) no_color: bool,
    /// Every question is answered with yes.
    pub(crate) yes: bool,
}

/// The output of one command. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Out(Arc<Inner>);

struct Inner {
    options: Options,
    paint: Paint,
    /// Shared by outputs made from each other: there is one terminal.
    spinner: Arc<Mutex<Option<ProgressBar>>>,
    terminal: bool,
}

impl Out {
    /// For these options and this process's terminal.
    pub(crate) fn new(options: Options) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal() && !options.json;
        let paint = if options.json { Paint::plain() } else { Paint::detect(options.no_color) };
        Self(Arc::new(Inner { options, paint, spinner: Arc::default(), terminal }))
    }

    /// Whether stdout carries JSON lines.
    pub(crate) fn is_json(&self) -> bool {
        self.0.options.json
    }

    /// Text on stdout as it is, for programs that read it.
    pub(crate) fn raw(&self, text: &str) {
        self.print(text);
    }

    /// Whether a person sits before it: both stdin and the output are a terminal.
    pub(crate) fn is_interactive(&self) -> bool {
        self.0.terminal && std::io::stdin().is_terminal()
    }

    /// Whether colors are wanted.
    pub(crate) fn has_colors(&self) -> bool {
        self.0.paint.is_on()
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: &Line) {
        if self.0.options.json {
            self.print(&json(line));
            return;
        }
        if let Line::Step(step) = line {
            match step.status {
                Status::Started if self.0.terminal => self.spin(step_name(step).trim()),
                Status::Started if step.sub.is_none() => {
                    self.print(&format!("  … {}", step_name(step).trim()))
                }
                Status::Started => {}
                _ if step.sub.is_none() => self.rest(),
                _ => {}
            }
        }
        if let Line::Event(event) = line
            && let Some(bar) = self.spinner().as_ref()
        {
            bar.set_message(format!("{} {}", event.logical_id, event.status));
        }
        if let Some(text) = render(line, self.0.paint) {
            self.print(&text);
        }
    }

    /// Lets other parts print lines without knowing where they go.
    pub(crate) fn emitter(&self) -> Emit {
        let out = self.clone();
        Arc::new(move |line| out.line(&line))
    }

    /// A sentence for a person: on stdout in text mode, on stderr beside JSON lines.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if self.0.options.json { self.note(text) } else { self.print(text.as_ref()) }
    }

    /// A sentence that is no result: always on stderr.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let print = || {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
        };
        match self.spinner().as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Shows that something is being done, until [`Out::rest`].
    pub(crate) fn spin(&self, label: &str) {
        if !self.0.terminal {
            return;
        }
        // The old one goes first: both would draw on the same row.
        self.rest();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix} {elapsed:.dim} {wide_msg:.dim}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        *self.spinner() = Some(bar);
    }

    /// A line of a program at work: beside the spinner in a terminal, else on stderr.
    pub(crate) fn tick(&self, line: &str) {
        match self.spinner().as_ref() {
            Some(bar) => bar.set_message(line.to_owned()),
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Shows what `prove` found out; nothing beside JSON lines, whose result has it.
    pub(crate) fn proof(&self, report: &Report, all: bool) {
        if !self.0.options.json {
            self.print(&super::proof::render(report, all, self.0.paint));
        }
    }

    /// The same output, with every question answered with yes.
    pub(crate) fn answering_yes(&self) -> Self {
        let options = Options { yes: true, ..self.0.options };
        let (paint, spinner, terminal) = (self.0.paint, Arc::clone(&self.0.spinner), self.0.terminal);
        Self(Arc::new(Inner { options, paint, spinner, terminal }))
    }

    /// Ends the spinner.
    pub(crate) fn rest(&self) {
        if let Some(bar) = self.spinner().take() {
            bar.finish_and_clear();
        }
    }

    /// Asks for yes or no. `--yes` answers yes.
    ///
    /// # Errors
    /// Without a terminal nobody can answer: a usage fault that names `--yes`.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Fault> {
        if self.0.options.yes {
            return Ok(true);
        }
        if !self.is_interactive() {
            return Err(Fault::usage("ask for confirmation", question)
                .why("there is no terminal to answer in")
                .next("run it again with --yes, or look first with --dry-run"));
        }
        self.rest();
        let mut answer = String::new();
        let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
        let read = std::io::stdin().lock().read_line(&mut answer);
        Ok(read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a line of text; empty where nothing was typed.
    pub(crate) fn ask(&self, question: &str) -> String {
        self.rest();
        let mut answer = String::new();
        let _ = write!(std::io::stderr().lock(), "{question} ");
        let _ = std::io::stdin().lock().read_line(&mut answer);
        answer.trim().to_owned()
    }

    fn print(&self, text: &str) {
        // A reader that went away (`| head`) is no reason to stop in the middle of a deployment.
        let print = || {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        };
        match self.spinner().as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn spinner(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.0.spinner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line as JSON, version and time first.
fn json(line: &Line) -> String {
    let mut all = Map::new();
    all.insert("v".into(), Value::from(1));
    if let Ok(Value::Object(mut own)) = serde_json::to_value(line) {
        if let Some(kind) = own.shift_remove("type") {
            all.insert("type".into(), kind);
        }
        all.insert("at".into(), Value::from(clock::now_rfc3339()));
        all.extend(own);
    }
    Value::Object(all).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_begin_with_version_type_and_time() {
        let text = json(&Line::Warning { message: "careful\nnow".into() });
        assert!(text.starts_with(r#"{"v":1,"type":"warning","at":"20"#), "{text}");
        assert!(text.ends_with(r#""message":"careful\nnow"}"#), "{text}");
        assert!(!text.contains('\n'));
    }
}
