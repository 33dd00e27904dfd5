//! The stage timeline: which step ran when, in which mode, how it ended.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{of, seconds_of, text};

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// `Dev/Deploy`, or `pre-hook checkin` for a part of an action.
    pub(super) name: String,
    /// Whether it is a part of the action above it.
    pub(super) part: bool,
    /// `succeeded`, `failed`, `not run` or `not over`.
    pub(super) status: String,
    /// The style of that word.
    pub(super) class: &'static str,
    /// `executed`, `simulated` or `skipped`.
    pub(super) mode: String,
    /// How long it took, where it says so.
    pub(super) seconds: Option<f64>,
    /// Where its bar begins, in percent of the whole time.
    pub(super) left: f64,
    /// How long its bar is, in percent of the whole time.
    pub(super) width: f64,
    /// Why it failed, or what one should know of it.
    pub(super) reason: String,
}

/// The steps in the order in which they began, and how long the bars' whole width lasts, in words.
pub(super) fn rows(lines: &[Value]) -> (Vec<Row>, String) {
    let key = |step: &Value| {
        ["stage", "action", "sub", "function"].map(|part| step[part].as_str().unwrap_or_default().to_owned())
    };
    let mut started = BTreeMap::new();
    let mut order = Vec::new();
    for step in of(lines, "step") {
        let key = key(step);
        if step["status"] == "started" {
            started.insert(key.clone(), seconds_of(step));
            order.push((key, step, None));
        } else if let Some(open) = order
            .iter_mut()
            .rev()
            .find(|(other, _, end): &&mut (_, _, Option<&Value>)| *other == key && end.is_none())
        {
            open.2 = Some(step);
        } else {
            order.push((key, step, Some(step)));
        }
    }
    let ends: Vec<f64> = of(lines, "step").filter_map(seconds_of).collect();
    let first = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let last = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let whole = (last - first).max(0.001);
    let rows = order
        .into_iter()
        .map(|(key, begun, ended)| {
            let step = ended.unwrap_or(begun);
            let end = seconds_of(step).unwrap_or(last);
            let begin = started.get(&key).copied().flatten();
            let begin = begin.unwrap_or_else(|| end - step["seconds"].as_f64().unwrap_or(0.0)).max(first);
            let [stage, action, sub, function] = key;
            let (status, class) = match (ended, step["status"].as_str()) {
                (None, _) => ("not over", "s-not"),
                (_, Some("succeeded")) => ("succeeded", "s-succeeded"),
                (_, Some("not-run")) => ("not run", "s-not"),
                (_, Some(status)) => (status, "s-failed"),
                (_, None) => ("unknown", "s-failed"),
            };
            Row {
                name: if sub.is_empty() { format!("{stage}/{action}") } else { format!("{sub} {function}") },
                part: !sub.is_empty(),
                status: status.to_owned(),
                class,
                mode: text(&step["mode"]),
                seconds: step["seconds"].as_f64(),
                left: tenths((begin - first) / whole * 100.0),
                width: tenths(((end - begin) / whole * 100.0).max(0.3)),
                reason: text(&step["reason"]),
            }
        })
        .collect();
    let span = if ends.is_empty() { String::new() } else { format!("{whole:.1} s") };
    (rows, span)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
