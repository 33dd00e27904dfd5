//! The watcher's live view: intended and observed share of each function, versions, alarms. It redraws in place below
//! the lines that have been printed.

use std::io::Stdout;

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart as Plot, Dataset, GraphType, Paragraph, Row, Table, Widget as _, Wrap};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport, symbols};

use super::wrap::wrap;
use causeway_model::tally::Tally;

/// Rows of the view.
const HEIGHT: u16 = 18;
/// Below this width there is no room for the plot and for long names.
const WIDE: u16 = 60;
/// Over how many seconds the observed share is taken.
const WINDOW: usize = 5;

/// Of the functions that are deployed, in their order.
const COLORS: [Color; 4] = [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green];

/// Seconds and percent.
type Points = Vec<(f64, f64)>;

/// A live view in a terminal.
pub struct Chart {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    env: String,
    stack: String,
    rate: f64,
    minute: Option<f64>,
    colors: bool,
}

impl Chart {
    /// Opens it; `None` where the terminal cannot do it. `minute` is how many seconds a minute of CodeDeploy takes, where
    /// that is known.
    pub fn open(env: &str, stack: &str, rate: f64, minute: Option<f64>, colors: bool) -> Option<Self> {
        let (_, rows) = crossterm::terminal::size().ok()?;
        let options =
            TerminalOptions { viewport: Viewport::Inline(HEIGHT.min(rows.saturating_sub(2)).max(4)) };
        let terminal = Terminal::with_options(CrosstermBackend::new(std::io::stdout()), options).ok()?;
        Some(Self { terminal, env: env.to_owned(), stack: stack.to_owned(), rate, minute, colors })
    }

    /// Prints text above the view.
    pub fn above(&mut self, text: &str) {
        // A narrow terminal shows the whole line in several rows.
        let width = self.terminal.size().map_or(80, |size| size.width).max(1);
        let text = wrap(text, usize::from(width));
        // What is one word is broken where it must.
        let long = |line: &str| line.chars().count().div_ceil(usize::from(width)).max(1);
        let rows = u16::try_from(text.lines().map(long).sum::<usize>()).unwrap_or(u16::MAX);
        let shown = Paragraph::new(text).wrap(Wrap { trim: false });
        let _ = self.terminal.insert_before(rows, |buffer| shown.render(buffer.area, buffer));
    }

    /// Draws what was seen so far.
    pub fn draw(&mut self, tally: &Tally, elapsed: f64) {
        let view = View {
            env: &self.env,
            stack: &self.stack,
            rate: self.rate,
            minute: self.minute,
            colors: self.colors,
            tally,
            elapsed,
        };
        let _ = self.terminal.draw(|frame| view.draw(frame));
    }

    /// Takes the view away and leaves the cursor below what was printed.
    pub fn close(mut self) {
        let top = self.terminal.get_frame().area().y;
        let _ = self.terminal.clear();
        let _ = self.terminal.set_cursor_position((0, top));
        let _ = self.terminal.show_cursor();
    }
}

struct View<'a> {
    env: &'a str,
    stack: &'a str,
    rate: f64,
    minute: Option<f64>,
    colors: bool,
    tally: &'a Tally,
    elapsed: f64,
}

impl View<'_> {
    fn color(&self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let wide = area.width >= WIDE;
        let shares = self.shares(wide);
        let versions = self.tally.versions();
        let alarms = self.alarms();
        let rows = [
            Constraint::Length(1),
            Constraint::Length(u16::try_from(shares.len()).unwrap_or(4)),
            if wide { Constraint::Fill(1) } else { Constraint::Length(0) },
            Constraint::Length(u16::from(wide && !self.tally.so_far().deployments.is_empty())),
            Constraint::Length(u16::try_from(versions.len()).unwrap_or(4).min(6) + 1),
            Constraint::Length(u16::try_from(alarms.len()).unwrap_or(1)),
        ];
        let [head, share, plot, legend, table, foot] = Layout::vertical(rows).areas(area);
        let minutes = self.elapsed as u64 / 60;
        let text = format!(
            "{} {}  {:.0}/s  {minutes:02}:{:02}",
            self.env,
            self.stack,
            self.rate,
            self.elapsed as u64 % 60
        );
        frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD)), head);
        frame.render_widget(Paragraph::new(shares), share);
        if wide && plot.height >= 4 {
            self.plot(frame, plot);
            frame.render_widget(Paragraph::new(self.legend()), legend);
        }
        // In a narrow terminal the latencies give way.
        let columns = if wide { 5 } else { 3 };
        let header = ["version", "requests", "errors", "p50 ms", "p99 ms"];
        let header =
            Row::new(header.into_iter().take(columns)).style(Style::new().add_modifier(Modifier::DIM));
        let rows = versions.into_iter().map(|(key, seen)| {
            let style = if seen.errors > 0 { self.color(Color::Red) } else { Style::new() };
            let cells = [
                key,
                seen.requests.to_string(),
                seen.errors.to_string(),
                format!("{:.1}", seen.p50),
                format!("{:.1}", seen.p99),
            ];
            Row::new(cells.into_iter().take(columns)).style(style)
        });
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Length(7),
            Constraint::Length(7),
        ];
        frame.render_widget(Table::new(rows, widths.into_iter().take(columns)).header(header), table);
        frame.render_widget(Paragraph::new(alarms), foot);
    }

    /// One or two rows for each function that is deployed: its bar, both shares, the event at work, the time to go.
    fn shares(&self, wide: bool) -> Vec<Line<'static>> {
        let deployments = &self.tally.so_far().deployments;
        if deployments.is_empty() {
            return vec![Line::from("no deployment in progress")];
        }
        let mut lines = Vec::new();
        for deploying in deployments {
            let observed = self.tally.observed(&deploying.function, &deploying.new, WINDOW);
            let observed = observed.map_or_else(|| "-".to_owned(), |share| format!("{share:.0} %"));
            let cells = if wide { 20.0 } else { 10.0 };
            let full = (deploying.weight / 100.0 * cells).round() as usize;
            let bar =
                format!("{}{}", "█".repeat(full), "░".repeat(cells as usize - full.min(cells as usize)));
            let at = match (deploying.at_work(), deploying.is_over()) {
                (_, true) => deploying.status.clone(),
                (Some(event), false) => event.to_owned(),
                (None, false) => deploying.status.clone(),
            };
            let to_go = match self.tally.minutes_to_go(deploying, self.elapsed, self.minute) {
                Some(minutes) if !deploying.is_over() => format!(", {minutes} min to go"),
                _ => String::new(),
            };
            let label = if wide { " intended" } else { "" };
            lines.push(Line::from(vec![
                Span::raw(format!("{:<9} ", deploying.function)),
                Span::styled(bar, self.color(Color::Cyan)),
                Span::raw(format!(" {:>3.0} %{label}, {observed} seen", deploying.weight)),
            ]));
            let (old, new) = (&deploying.old, &deploying.new);
            lines.push(Line::from(match wide {
                true => format!("          version {old} to {new}: {at}{to_go}"),
                false => format!("  {old} to {new}: {at}{to_go}"),
            }));
        }
        lines
    }

    /// What the lines of the plot are.
    fn legend(&self) -> Line<'static> {
        let mut spans = vec![Span::raw("      ")];
        for (deploying, color) in self.tally.so_far().deployments.iter().zip(COLORS) {
            spans.push(Span::styled(format!("⠒⠒ {} seen  ", deploying.function), self.color(color)));
        }
        spans.push(Span::raw("•• intended"));
        Line::from(spans)
    }

    fn plot(&self, frame: &mut Frame<'_>, area: Rect) {
        let deployments = &self.tally.so_far().deployments;
        let (mut all_seen, mut all_intended): (Vec<(Style, Points)>, Vec<Points>) = Default::default();
        for (deploying, color) in deployments.iter().zip(COLORS) {
            let key = Tally::key(&deploying.function, &deploying.new);
            let prefix = format!("{} ", deploying.function);
            let (mut seen, mut intended) = (Vec::new(), Vec::new());
            // The second at work is not over: its share would be of a request or two.
            for second in self.tally.seconds().filter(|second| f64::from(second.at + 1) <= self.elapsed) {
                let of = |all: bool| -> u32 {
                    let own = second
                        .by_version
                        .iter()
                        .filter(|(k, _)| k.starts_with(&prefix) && (all || **k == key));
                    own.map(|(_, count)| count).sum()
                };
                if of(true) > 0 {
                    seen.push((f64::from(second.at), f64::from(of(false)) / f64::from(of(true)) * 100.0));
                }
                if let Some(weight) = second.intended.get(&deploying.function) {
                    intended.push((f64::from(second.at), *weight));
                }
            }
            all_seen.push((self.color(color), seen));
            all_intended.push(intended);
        }
        // Told apart by their marks, too: there may be no colors.
        let intended = all_intended.iter().map(|points| {
            Dataset::default().marker(symbols::Marker::Dot).graph_type(GraphType::Scatter).data(points)
        });
        let seen = all_seen.iter().map(|(style, points)| {
            Dataset::default()
                .marker(symbols::Marker::Braille)
                .graph_type(GraphType::Line)
                .style(*style)
                .data(points)
        });
        let datasets = intended.chain(seen).collect();
        let right = self.elapsed.max(10.0);
        let plot = Plot::new(datasets)
            .x_axis(Axis::default().bounds([0.0, right]).labels(["0 s".to_owned(), format!("{right:.0} s")]))
            .y_axis(Axis::default().bounds([0.0, 100.0]).labels(["0", "50", "100 %"]));
        frame.render_widget(plot, area);
    }

    fn alarms(&self) -> Vec<Line<'static>> {
        let alarms = &self.tally.so_far().alarms;
        let raised: Vec<&String> =
            alarms.iter().filter(|(_, state)| *state == "ALARM").map(|(name, _)| name).collect();
        if raised.is_empty() {
            let ok = alarms.values().filter(|state| *state == "OK").count();
            return vec![Line::from(format!("alarms: {ok} of {} OK, none in ALARM", alarms.len()))];
        }
        raised.iter().map(|name| Line::styled(format!("ALARM {name}"), self.color(Color::Red))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratatui::backend::TestBackend;

    use super::*;
    use causeway_model::rollout::Shifting;
    use causeway_model::watch::{Deploying, Sample};

    fn drawn(width: u16) -> String {
        let mut tally = Tally::new("prod", "causeway-app-prod", 10.0);
        tally.deployments(
            0.0,
            vec![Deploying {
                id: "d-1".into(),
                function: "checkin".into(),
                status: "InProgress".into(),
                old: "3".into(),
                new: "4".into(),
                weight: 30.0,
                events: vec![("AllowTraffic".into(), "InProgress".into())],
                error: None,
                config: "Own.Tenths".into(),
                shifting: Some(Shifting::Linear { percent: 10, minutes: 1 }),
            }],
        );
        for n in 0..100_u32 {
            let version = if n % 10 < 3 { "4" } else { "3" };
            let error = (n == 50).then(|| "GET x answered 500".to_owned());
            let sample = Sample {
                intended: f64::from(n) / 10.0,
                millis: 12.0,
                version: Some(version.into()),
                says: None,
                new_weight: None,
                error,
            };
            tally.add("checkin", &sample);
        }
        tally.alarms(9.0, BTreeMap::from([("app-errors".to_owned(), "ALARM".to_owned())]));
        let mut terminal = Terminal::new(TestBackend::new(width, HEIGHT)).unwrap();
        let view = View {
            env: "prod",
            stack: "causeway-app-prod",
            rate: 10.0,
            minute: Some(60.0),
            colors: false,
            tally: &tally,
            elapsed: 10.0,
        };
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn shares_versions_and_alarms_are_in_it() {
        for width in [40, 80] {
            let text = drawn(width);
            for wanted in ["30 %", "30 % seen", "AllowTraffic", "checkin 4", "ALARM app-errors"] {
                assert!(text.contains(wanted), "{width}: {wanted}\n{text}");
            }
        }
        assert!(drawn(80).contains("30 % intended"), "{}", drawn(80));
        assert!(drawn(80).contains("⠒⠒ checkin seen") && drawn(80).contains("•• intended"), "{}", drawn(80));
        for width in [40, 80] {
            assert!(drawn(width).contains("3 to 4: AllowTraffic, 7 min to go"), "{}", drawn(width));
        }
    }
}
