//! The traffic of one function over time: the share its new version should get, the share it got, errors, alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::{number, text};

/// The most points of a chart; a longer watch is put into bins of equal length.
const POINTS: u64 = 100;
/// A point of a function that is deployed rests on so many requests where there is time: a share of fewer says little.
const ENOUGH: u64 = 10;
/// And the fewest points that are left by that.
const FEWEST: u64 = 12;
/// The drawing's size, in its own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// Room for the labels at the left and the bottom.
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 14.0;

/// One function's chart, and its numbers as a table.
#[derive(Serialize)]
pub(super) struct Chart {
    id: String,
    env: String,
    function: String,
    /// Lambda's number of the new version; empty where nothing was deployed.
    new: String,
    /// What that version is: its digest and, where it is the released one, the commit.
    is: String,
    /// Why more was observed than intended, for each row where it was.
    above: Vec<String>,
    /// What a reader who sees no picture is told.
    says: String,
    /// Seconds of one row.
    width: u64,
    versions: Vec<String>,
    rows: Vec<Bin>,
    intended: String,
    observed: String,
    dots: Vec<(String, String)>,
    errors: Vec<Bar>,
    alarms: Vec<Bar>,
    ticks: Vec<(String, String)>,
    /// The marks of the ticks.
    marks: String,
}

/// What happened in one bin.
#[derive(Serialize)]
struct Bin {
    at: u64,
    sent: u64,
    by_version: Vec<u64>,
    errors: u64,
    /// Percent.
    intended: Option<f64>,
    /// Percent; nothing where nobody answered.
    observed: Option<f64>,
    alarms: Vec<String>,
}

/// A rectangle of the drawing.
#[derive(Serialize)]
struct Bar {
    x: String,
    y: String,
    width: String,
    height: String,
}

/// The charts of an environment: one for each function that was deployed, or asked and failed.
pub(super) fn charts(env: &str, seen: &Value, commit: Option<&str>) -> Vec<Chart> {
    let empty = Vec::new();
    let seconds = seen["seconds"].as_array().unwrap_or(&empty);
    let functions: BTreeSet<&String> = seconds
        .iter()
        .filter_map(|second| second["by_function"].as_object())
        .flat_map(|all| all.keys())
        .collect();
    functions.into_iter().filter_map(|function| chart(env, function, seen, seconds, commit)).collect()
}

/// What a version of a function is: what its answers say of themselves, and the commit where it is the one that was deployed.
pub(super) fn identity(seen: &Value, function: &str, number: &str, commit: Option<&str>) -> String {
    let says = &seen["versions"][format!("{function} {number}")]["says"];
    let mut parts: Vec<String> = says.as_array().into_iter().flatten().map(text).collect();
    let is_new = seen["deployments"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["function"] == function && one["new"] == number));
    if let Some(commit) = commit.filter(|_| is_new) {
        parts.push(format!("commit {}", commit.chars().take(12).collect::<String>()));
    }
    parts.join(", ")
}

fn chart(env: &str, function: &str, seen: &Value, seconds: &[Value], commit: Option<&str>) -> Option<Chart> {
    let deployment = seen["deployments"]
        .as_array()
        .and_then(|all| all.iter().find(|deploying| deploying["function"] == function));
    let new = deployment.map(|deploying| text(&deploying["new"])).unwrap_or_default();
    let prefix = format!("{function} ");
    let last = seconds.iter().map(|second| number(&second["at"])).max()?;
    let asked = |key: &str| -> u64 {
        seconds.iter().map(|second| number(&second["by_function"][function][key])).sum()
    };
    if deployment.is_none() && asked("errors") == 0 {
        return None;
    }
    let enough = ((last + 1) * ENOUGH).div_ceil(asked("sent").max(1)).clamp(1, ((last + 1) / FEWEST).max(1));
    let width = (last + 1).div_ceil(POINTS).max(enough);
    let mut versions = BTreeSet::new();
    for second in seconds {
        for key in second["by_version"].as_object().into_iter().flat_map(|all| all.keys()) {
            versions.extend(key.strip_prefix(&prefix).map(ToOwned::to_owned));
        }
    }
    let versions: Vec<String> = versions.into_iter().collect();
    let mut bins: BTreeMap<u64, Bin> = BTreeMap::new();
    for second in seconds {
        let at = number(&second["at"]) / width * width;
        let bin = bins.entry(at).or_insert_with(|| Bin {
            at,
            sent: 0,
            by_version: vec![0; versions.len()],
            errors: 0,
            intended: None,
            observed: None,
            alarms: Vec::new(),
        });
        bin.sent += number(&second["by_function"][function]["sent"]);
        bin.errors += number(&second["by_function"][function]["errors"]);
        for (place, version) in versions.iter().enumerate() {
            bin.by_version[place] += number(&second["by_version"][format!("{function} {version}")]);
        }
        bin.intended = second["intended"][function].as_f64().or(bin.intended);
        for alarm in second["alarms"].as_array().into_iter().flatten().map(text) {
            if !bin.alarms.contains(&alarm) {
                bin.alarms.push(alarm);
            }
        }
    }
    let of_new = versions.iter().position(|version| *version == new);
    for bin in bins.values_mut() {
        let all: u64 = bin.by_version.iter().sum();
        bin.observed = of_new
            .filter(|_| all > 0)
            .map(|place| (bin.by_version[place] as f64 / all as f64 * 1_000.0).round() / 10.0);
    }
    let rows: Vec<Bin> = bins.into_values().collect();
    let place = Place { seconds: (last + width) as f64, width: width as f64 };
    let sent: u64 = rows.iter().map(|bin| bin.sent).sum();
    let errors: u64 = rows.iter().map(|bin| bin.errors).sum();
    let says = match of_new {
        Some(_) => format!(
            "Share of version {new} of {function} in {env} over {last} seconds: {sent} requests, {errors} errors."
        ),
        None => format!("Requests to {function} in {env} over {last} seconds: {sent}, {errors} errors."),
    };
    Some(Chart {
        id: format!("{env}-{function}"),
        env: env.to_owned(),
        function: function.to_owned(),
        says,
        width,
        intended: place.steps(rows.iter().filter_map(|bin| Some((bin.at, bin.intended?)))),
        observed: place.line(rows.iter().filter_map(|bin| Some((bin.at, bin.observed?)))),
        dots: rows.iter().filter_map(|bin| Some(place.point(bin.at, bin.observed?))).collect(),
        errors: place.errors(&rows),
        alarms: rows.iter().filter(|bin| !bin.alarms.is_empty()).map(|bin| place.band(bin.at)).collect(),
        marks: place.marks(),
        ticks: place.ticks().into_iter().map(|(x, second)| (x, format!("{second} s"))).collect(),
        is: identity(seen, function, &new, commit),
        above: above(&rows),
        versions,
        rows,
        new,
    })
}

/// Where a second and a share are in the drawing.
struct Place {
    seconds: f64,
    width: f64,
}

impl Place {
    fn x(&self, second: f64) -> f64 {
        LEFT + second / self.seconds * (WIDTH - LEFT - 8.0)
    }

    fn y(share: f64) -> f64 {
        TOP + (100.0 - share) / 100.0 * (HEIGHT - TOP - BOTTOM)
    }

    fn point(&self, at: u64, share: f64) -> (String, String) {
        (unit(self.x(at as f64 + self.width / 2.0)), unit(Self::y(share)))
    }

    fn line(&self, points: impl Iterator<Item = (u64, f64)>) -> String {
        let mut path = String::new();
        for (at, share) in points {
            let (x, y) = self.point(at, share);
            let _ = write!(path, "{}{x} {y}", if path.is_empty() { "M" } else { " L" });
        }
        path
    }

    /// A share holds from its second on, until the next one.
    fn steps(&self, points: impl Iterator<Item = (u64, f64)>) -> String {
        let mut path = String::new();
        let mut end = 0;
        for (at, share) in points {
            let (x, y) = (unit(self.x(at as f64)), unit(Self::y(share)));
            if path.is_empty() {
                let _ = write!(path, "M{x} {y}");
            } else {
                let _ = write!(path, " H{x} V{y}");
            }
            end = at;
        }
        if !path.is_empty() {
            let _ = write!(path, " H{}", unit(self.x(end as f64 + self.width)));
        }
        path
    }

    fn errors(&self, rows: &[Bin]) -> Vec<Bar> {
        let most = rows.iter().map(|bin| bin.errors).max().unwrap_or(0).max(1) as f64;
        let bar = |bin: &Bin| {
            let height = (bin.errors as f64 / most * 40.0).max(3.0);
            Bar { y: unit(HEIGHT - BOTTOM - height), height: unit(height), ..self.band(bin.at) }
        };
        rows.iter().filter(|bin| bin.errors > 0).map(bar).collect()
    }

    fn band(&self, at: u64) -> Bar {
        let (from, to) = (self.x(at as f64), self.x(at as f64 + self.width));
        Bar {
            x: unit(from),
            width: unit((to - from).max(1.5)),
            y: unit(TOP),
            height: unit(HEIGHT - TOP - BOTTOM),
        }
    }

    /// Where ticks are, and their seconds: whole seconds at equal distances, from the beginning on.
    fn ticks(&self) -> Vec<(String, u64)> {
        let seconds = self.seconds as u64;
        let steps = (0..).flat_map(|power| [1, 2, 5].map(|first| first * 10_u64.pow(power)));
        let step = steps.into_iter().find(|step| seconds / step <= MOST_TICKS).unwrap_or(seconds);
        (0..=seconds / step).map(|n| (unit(self.x((n * step) as f64)), n * step)).collect()
    }

    /// A mark below the drawing for each tick.
    fn marks(&self) -> String {
        self.ticks().iter().fold(String::new(), |mut path, (x, _)| {
            let _ = write!(path, "M{x} {}v4", HEIGHT - BOTTOM);
            path
        })
    }
}

/// The most distances between ticks.
const MOST_TICKS: u64 = 6;
/// The most rows that are explained one by one.
const EXPLAINED: usize = 6;

/// Why more was observed than intended, row by row: a reader takes it for traffic that moved before it was allowed to.
fn above(rows: &[Bin]) -> Vec<String> {
    let mut all = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let (Some(intended), Some(observed)) = (row.intended, row.observed) else { continue };
        if observed <= intended {
            continue;
        }
        let after = rows.get(place + 1).and_then(|next| next.intended);
        let before = place.checked_sub(1).and_then(|place| rows.get(place)).and_then(|row| row.intended);
        let answered: u64 = row.by_version.iter().sum();
        let why = match (before, after) {
            (_, Some(after)) if after > intended => {
                format!("the row has the weight it began with, which was raised to {after} % within it")
            }
            (Some(before), _) if before > intended => {
                format!(
                    "the weight went from {before} % to {intended} %, and requests sent before were still answered"
                )
            }
            _ => format!("{answered} answers are few, so that the share is rough"),
        };
        all.push(format!(
            "second {}: {observed} % of {answered} answers, {intended} % intended: {why}",
            row.at
        ));
    }
    let more = all.len().saturating_sub(EXPLAINED);
    all.truncate(EXPLAINED);
    if more > 0 {
        all.push(format!("and {more} more rows"));
    }
    all
}

/// A length with one decimal: the same bytes on every machine.
fn unit(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_deployed_or_failed_has_a_chart_whose_points_say_something() {
        let seconds: Vec<Value> = (0..30)
            .map(|at| {
                let asked = |errors: u32| json!({"sent": 5, "errors": errors});
                json!({"at": at, "by_function": {"f": asked(0), "g": asked(0), "h": asked(1)},
                    "by_version": {"f 1": 4, "f 2": 1, "g 1": 5, "h 1": 5}, "intended": {"f": 20.0}, "alarms": []})
            })
            .collect();
        let deployments = json!([{"function": "f", "new": "2"}]);
        let charts = charts("prod", &json!({"seconds": seconds, "deployments": deployments}), None);
        let found: Vec<(&str, u64, usize)> =
            charts.iter().map(|chart| (chart.function.as_str(), chart.width, chart.rows.len())).collect();
        assert_eq!(found, [("f", 2, 15), ("h", 2, 15)]);
        assert!(charts[0].rows.iter().all(|row| row.sent == 10 && row.observed == Some(20.0)));
        // A short watch has points for all that.
        let short =
            super::charts("prod", &json!({"seconds": seconds[..5], "deployments": deployments}), None);
        assert_eq!((short[0].width, short[0].rows.len()), (1, 5));
    }

    #[test]
    fn ticks_are_whole_seconds_at_equal_distances() {
        for (seconds, wanted) in [
            (1, vec![0, 1]),
            (5, vec![0, 1, 2, 3, 4, 5]),
            (7, vec![0, 2, 4, 6]),
            (20, vec![0, 5, 10, 15, 20]),
            (59, vec![0, 10, 20, 30, 40, 50]),
            (3_600, vec![0, 1_000, 2_000, 3_000]),
        ] {
            let place = Place { seconds: f64::from(seconds), width: 1.0 };
            let found: Vec<u64> = place.ticks().into_iter().map(|(_, second)| second).collect();
            assert_eq!(found, wanted, "{seconds}");
            assert_eq!(place.marks().matches('M').count(), wanted.len());
        }
    }

    #[test]
    fn more_than_intended_is_explained() {
        let bin = |at, intended: f64, observed: f64| Bin {
            at,
            sent: 5,
            by_version: vec![3, 2],
            errors: 0,
            intended: Some(intended),
            observed: Some(observed),
            alarms: Vec::new(),
        };
        let rows =
            [bin(0, 0.0, 40.0), bin(1, 40.0, 20.0), bin(2, 40.0, 60.0), bin(3, 0.0, 20.0), bin(4, 0.0, 0.0)];
        let found = above(&rows);
        assert_eq!(found.len(), 3, "{found:?}");
        for (text, part) in found.iter().zip(["raised to 40 %", "are few", "went from 40 % to 0 %"]) {
            assert!(text.contains(part), "{text}");
        }
        assert!(found[0].starts_with("second 0: 40 % of 5 answers, 0 % intended"));
        let many: Vec<Bin> = (0..9).map(|at| bin(at, 10.0, 40.0)).collect();
        assert_eq!(above(&many).last().map(String::as_str), Some("and 3 more rows"));
    }
}
