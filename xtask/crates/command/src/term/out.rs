//! Where lines go: JSON lines or text on stdout, everything else on stderr, one spinner in a terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::style::Paint;
use super::text::{is_quiet, render, step_name};
use super::wrap::wrap;
use causeway_args::Color;
use causeway_machine::clock;
use causeway_model::changeset::Change;
use causeway_model::fault::Fault;
use causeway_model::line::{Emit, Line, Status};

/// What the user asked for, the same on every command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// JSON lines on stdout.
    pub json: bool,
    /// When there are colors.
    pub color: Color,
    /// How much is printed.
    pub level: Level,
    /// Every question is answered with yes.
    pub yes: bool,
    /// A program reads what is on stdout as text: only [`Out::raw`] goes there.
    pub stdout_is_read: bool,
}

/// How much a person wants to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `--quiet`: only warnings, what fails, questions and the result.
    Quiet,
    /// What happens.
    #[default]
    Usual,
    /// `--verbose`: everything.
    Verbose,
}

/// The output of one command. Cheap to clone.
#[derive(Clone)]
pub struct Out(Arc<Inner>);

struct Inner {
    options: Options,
    paint: Paint,
    /// Shared by outputs made from each other: there is one terminal.
    spinner: Arc<Mutex<Option<ProgressBar>>>,
    /// The lines so far, where a report is wanted of them; shared like the spinner.
    recorded: Recorded,
    terminal: bool,
    /// Why something could not be written to stdout; shared like the spinner.
    lost: Arc<Mutex<Option<String>>>,
}

/// Lines as JSON, where somebody wants to have them afterwards.
type Recorded = Arc<Mutex<Option<Vec<Value>>>>;

impl Out {
    /// For these options and this process's terminal.
    pub fn new(options: Options) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal() && !options.json;
        let paint = if options.json { Paint::plain() } else { Paint::detect(options.color) };
        Self(Arc::new(Inner {
            options,
            paint,
            spinner: Arc::default(),
            recorded: Arc::default(),
            terminal,
            lost: Arc::default(),
        }))
    }

    /// Whether stdout carries JSON lines.
    pub fn is_json(&self) -> bool {
        self.0.options.json
    }

    /// Text on stdout as it is, for programs that read it.
    pub fn raw(&self, text: &str) {
        self.put(text, false);
    }

    /// Why something of it could not be written, where a reader should have had it.
    pub fn lost(&self) -> Option<String> {
        self.0.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a person sits before it: both stdin and the output are a terminal.
    pub fn is_interactive(&self) -> bool {
        self.0.terminal && std::io::stdin().is_terminal()
    }

    /// Whether colors are wanted.
    pub fn has_colors(&self) -> bool {
        self.0.paint.is_on()
    }

    /// Keeps every line from now on, for [`Out::recorded`].
    pub fn record(&self) {
        self.0.recorded.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// The lines since [`Out::record`], as `--output json` prints them.
    pub fn recorded(&self) -> Vec<Value> {
        self.0.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Takes a line for the report, and as JSON, but shows a person nothing of it: they see it in another form.
    pub fn unshown(&self, line: &Line) {
        let mut recorded = self.0.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.options.json || recorded.is_some() {
            let json = json(line);
            if self.0.options.json {
                self.print(&json.to_string());
            }
            if let Some(lines) = recorded.as_mut() {
                lines.push(json);
            }
        }
    }

    /// Prints a line.
    pub fn line(&self, line: &Line) {
        self.unshown(line);
        if self.0.options.json {
            return;
        }
        if self.is_quiet() && !is_quiet(line) {
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
        if let Some(text) = render(line, self.0.options.level, self.0.paint) {
            self.print(&self.fitted(&text));
        }
    }

    /// Lets other parts print lines without knowing where they go.
    pub fn emitter(&self) -> Emit {
        let out = self.clone();
        Arc::new(move |line| out.line(&line))
    }

    /// A sentence for a person: on stdout in text mode, on stderr beside JSON lines.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.0.options.json {
            self.note(text);
        } else if !self.is_quiet() {
            self.print(text.as_ref());
        }
    }

    fn is_quiet(&self) -> bool {
        self.0.options.level == Level::Quiet
    }

    /// A sentence that is no result: always on stderr.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.is_quiet() {
            return;
        }
        let text = self.fitted(text.as_ref());
        let print = || {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        };
        match self.spinner().as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// What must be read whatever somebody wants to read: on stderr.
    pub fn complain(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Shows that something is being done, until [`Out::rest`].
    pub fn spin(&self, label: &str) {
        if !self.0.terminal || self.is_quiet() {
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

    /// A row of another program's as it is, on stderr.
    pub fn row(&self, row: &str) {
        let print = || {
            let _ = writeln!(std::io::stderr().lock(), "{row}");
        };
        match self.spinner().as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Whether there is a spinner to show progress with.
    pub fn is_terminal(&self) -> bool {
        self.0.terminal
    }

    /// A line of a program at work: beside the spinner in a terminal, else on stderr.
    pub fn tick(&self, line: &str) {
        match self.spinner().as_ref() {
            Some(bar) => bar.set_message(line.to_owned()),
            None if self.is_quiet() => {}
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Shows what somebody approves: the commit in a line, and what it changes, so that it fits the terminal.
    pub fn approval(&self, about: &str, changes: &[Change]) {
        let (columns, rows) = match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
            _ => (80, 24),
        };
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        self.print(&super::approval::render(about, changes, columns, rows, self.0.paint));
    }

    /// Shows a text that is made for a terminal of this kind; nothing beside JSON lines, whose result has it.
    pub fn text(&self, render: impl FnOnce(Paint) -> String) {
        if !self.0.options.json {
            self.print(&render(self.0.paint));
        }
    }

    /// The same output, with every question answered with yes.
    pub fn answering_yes(&self) -> Self {
        let options = Options { yes: true, ..self.0.options };
        let (spinner, recorded) = (Arc::clone(&self.0.spinner), Arc::clone(&self.0.recorded));
        let (paint, terminal, lost) = (self.0.paint, self.0.terminal, Arc::clone(&self.0.lost));
        Self(Arc::new(Inner { options, spinner, recorded, paint, terminal, lost }))
    }

    /// Ends the spinner.
    pub fn rest(&self) {
        if let Some(bar) = self.spinner().take() {
            bar.finish_and_clear();
        }
    }

    /// Whether every question is answered with yes.
    pub fn answers_yes(&self) -> bool {
        self.0.options.yes
    }

    /// Whether a question can be answered at all, so that nobody waits for work whose result nobody may use.
    ///
    /// # Errors
    /// Without a terminal nobody can answer: a usage fault that names `--yes`.
    pub fn can_confirm(&self, question: &str) -> Result<(), Fault> {
        if self.0.options.yes || self.is_interactive() {
            return Ok(());
        }
        Err(Fault::usage("ask for confirmation", question)
            .why("there is no terminal to answer in")
            .next("run it again with --yes, or look first with --dry-run"))
    }

    /// Asks for yes or no. `--yes` answers yes.
    ///
    /// # Errors
    /// Without a terminal nobody can answer: a usage fault that names `--yes`.
    pub async fn confirm(&self, question: &str) -> Result<bool, Fault> {
        self.can_confirm(question)?;
        if self.0.options.yes {
            return Ok(true);
        }
        let answer = self.ask(&format!("{question} [y/N]")).await;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a line of text; empty where nothing was typed.
    pub async fn ask(&self, question: &str) -> String {
        self.rest();
        let _ = write!(std::io::stderr().lock(), "{question} ");
        let (tell, told) = oneshot::channel();
        // A thread of its own, which nobody waits for: Ctrl-C ends the question, and with it the command.
        std::thread::spawn(move || {
            let mut answer = String::new();
            let _ = std::io::stdin().lock().read_line(&mut answer);
            let _ = tell.send(answer);
        });
        let unanswered = EndRow;
        let answer = told.await.unwrap_or_default();
        std::mem::forget(unanswered);
        answer.trim().to_owned()
    }

    /// The text as it fits the terminal, where there is one.
    fn fitted(&self, text: &str) -> String {
        match crossterm::terminal::size() {
            Ok((columns, _)) if self.0.terminal => wrap(text, usize::from(columns)),
            _ => text.to_owned(),
        }
    }

    fn print(&self, text: &str) {
        self.put(text, self.0.options.stdout_is_read && !self.0.options.json);
    }

    fn put(&self, text: &str, on_stderr: bool) {
        let print = || {
            if on_stderr {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
                return;
            }
            // A reader that went away (`| head`) is no reason to stop in the middle of a deployment, and what is left is
            // wanted by nobody; a full disk is: the end says so.
            let mut stdout = std::io::stdout().lock();
            if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                let mut lost = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.get_or_insert_with(|| error.to_string());
            }
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

/// Ends the row of a question that was cut off.
struct EndRow;

impl Drop for EndRow {
    fn drop(&mut self) {
        let _ = writeln!(std::io::stderr().lock());
    }
}

/// The line as JSON, version and time first.
fn json(line: &Line) -> Value {
    let mut all = Map::new();
    all.insert("v".into(), Value::from(1));
    if let Ok(Value::Object(mut own)) = serde_json::to_value(line) {
        if let Some(kind) = own.shift_remove("type") {
            all.insert("type".into(), kind);
        }
        all.insert("at".into(), Value::from(clock::now_rfc3339()));
        all.extend(own);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_begin_with_version_type_and_time() {
        let text = json(&Line::Warning { message: "careful\nnow".into() }).to_string();
        assert!(text.starts_with(r#"{"v":1,"type":"warning","at":"20"#), "{text}");
        assert!(text.ends_with(r#""message":"careful\nnow"}"#), "{text}");
        assert!(!text.contains('\n'));
    }
}
