//! What the JSON lines of a rehearsal must hold, for whoever rehearses to check something.

use std::collections::BTreeMap;

use serde_json::Value;

/// Every action of a rehearsal in its order, by stage.
const ACTIONS: [(&str, &str); 10] = [
    ("setup", "LocalCloud"),
    ("setup", "Bootstrap"),
    ("setup", "Baseline"),
    ("Source", "Source"),
    ("Build", "Build"),
    ("Dev", "Deploy"),
    ("Dev", "IntegrationTests"),
    ("Prod", "CreateChangeSet"),
    ("Prod", "Approve"),
    ("Prod", "ExecuteChangeSet"),
];

/// What the result line has.
const RESULT: [&str; 11] =
    ["v", "type", "at", "command", "ok", "exit_code", "verdict", "seconds", "changed", "error", "data"];

/// What is missing in a rehearsal's lines, or is not as its verdict wants it; empty where they hold the contract.
///
/// A verdict `failed` is taken to be of integration tests that fail, as with `--fail-test`.
pub(crate) fn missing(lines: &[Value], verdict: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if lines.iter().any(|line| line["v"] != 1 || !line["type"].is_string() || !line["at"].is_string()) {
        complaints.push("a line without v, type and at".to_owned());
    }
    let result = lines.last().unwrap_or(&Value::Null);
    for key in RESULT.into_iter().filter(|key| result.get(key).is_none()) {
        complaints.push(format!("the result has no {key}"));
    }
    for (position, (stage, action)) in ACTIONS.into_iter().enumerate() {
        let wanted = wanted(verdict, position);
        let found = last(lines, stage, action).map_or("no", status);
        if found != wanted {
            complaints.push(format!("{stage}/{action} is to be {wanted}; there is {found} such step"));
        }
    }
    let baseline = last(lines, "setup", "Baseline").is_some_and(|line| line["mode"] == "executed");
    if verdict == "released" && baseline {
        complaints.extend(shift(lines));
    }
    complaints
}

/// How an action ends under a verdict.
fn wanted(verdict: &str, position: usize) -> &'static str {
    let stops_at = match verdict {
        "rejected" => "Approve",
        "failed" => "IntegrationTests",
        "rolled-back" => "ExecuteChangeSet",
        _ => return "succeeded",
    };
    let stop = ACTIONS.iter().position(|(_, action)| *action == stops_at).unwrap_or(ACTIONS.len());
    match position.cmp(&stop) {
        std::cmp::Ordering::Less => "succeeded",
        std::cmp::Ordering::Equal => "failed",
        std::cmp::Ordering::Greater => "not-run",
    }
}

/// The last line of an action itself, not of a part of it.
fn last<'a>(lines: &'a [Value], stage: &str, action: &str) -> Option<&'a Value> {
    let own = |line: &&Value| {
        line["type"] == "step"
            && line["stage"] == stage
            && line["action"] == action
            && line.get("sub").is_none()
    };
    lines.iter().rfind(own)
}

fn status(line: &Value) -> &str {
    line["status"].as_str().unwrap_or_default()
}

/// Under prod's ExecuteChangeSet: each function that shifts has its hooks, executed, and ten weights between them, each
/// with what was sent meanwhile and who answered.
fn shift(lines: &[Value]) -> Vec<String> {
    let mut weights: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["type"] == "weight" && line["env"] == "prod") {
        let function = line["function"].as_str().unwrap_or_default();
        weights.entry(function).or_default().push(line["new_weight"].as_u64().unwrap_or(0));
    }
    let mut complaints = Vec::new();
    if weights.is_empty() {
        complaints.push("no function shifts in prod".to_owned());
    }
    for (function, weights) in weights {
        complaints.extend(answered(lines, function, &weights));
        if weights != (1..=10).map(|n| n * 10).collect::<Vec<u64>>() {
            complaints.push(format!("{function} shifts by {weights:?}, not from 10 to 100 in ten steps"));
        }
        for sub in ["pre-hook", "post-hook"] {
            let executed = lines.iter().any(|line| {
                line["stage"] == "Prod"
                    && line["action"] == "ExecuteChangeSet"
                    && line["sub"] == sub
                    && line["function"] == function
                    && line["status"] == "succeeded"
                    && line["mode"] == "executed"
            });
            if !executed {
                complaints.push(format!("the {sub} of {function} was not executed"));
            }
        }
    }
    complaints
}

/// Each weight of a function has its requests, in order, and the new version answered its share of them within one.
fn answered(lines: &[Value], function: &str, weights: &[u64]) -> Vec<String> {
    let own = |line: &&Value| line["env"] == "prod" && line["function"] == function;
    let new = lines.iter().find(|line| line["type"] == "weight" && own(line)).map(|line| &line["new"]);
    let new = new.and_then(Value::as_str).unwrap_or_default();
    let probes: Vec<&Value> = lines.iter().filter(|line| line["type"] == "probe" && own(line)).collect();
    let probed: Vec<u64> = probes.iter().map(|line| line["new_weight"].as_u64().unwrap_or(0)).collect();
    let mut complaints = Vec::new();
    if probed != weights {
        complaints.push(format!("{function} is asked at {probed:?}, not at each of its weights"));
    }
    // What nobody answered has no version, so the shares are those of the others.
    for probe in probes.into_iter().filter(|probe| probe["errors"] == 0) {
        let count = |key: &str| probe[key].as_u64().unwrap_or(0);
        let found = probe["by_version"].get(new).and_then(Value::as_u64).unwrap_or(0);
        if (found * 100).abs_diff(count("sent") * count("new_weight")) > 100 {
            complaints.push(format!("version {new} of {function} has not its share: {probe}"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The lines of a rehearsal that ended with a verdict.
    fn lines(verdict: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for (position, (stage, action)) in ACTIONS.into_iter().enumerate() {
            let status = wanted(verdict, position);
            if action == "ExecuteChangeSet" {
                for sub in ["pre-hook", "post-hook"] {
                    all.push(json!({"v": 1, "type": "step", "at": "t", "stage": stage, "action": action, "sub": sub, "function": "f", "status": "succeeded", "mode": "executed"}));
                }
                for n in 1..=10 {
                    all.push(json!({"v": 1, "type": "weight", "at": "t", "env": "prod", "function": "f", "new": "2", "new_weight": 10 * n}));
                    all.push(json!({"v": 1, "type": "probe", "at": "t", "env": "prod", "function": "f", "sent": 10, "new_weight": 10 * n, "by_version": {"1": 10 - n, "2": n}, "errors": 0}));
                }
            }
            all.push(json!({"v": 1, "type": "step", "at": "t", "stage": stage, "action": action, "status": status, "mode": "executed"}));
        }
        let mut result: serde_json::Map<String, Value> =
            RESULT.iter().map(|key| ((*key).to_owned(), json!("x"))).collect();
        result.insert("v".to_owned(), json!(1));
        all.push(Value::Object(result));
        all
    }

    #[test]
    fn good_lines_are_good_and_of_one_verdict_only() {
        let verdicts = ["released", "rejected", "failed", "rolled-back"];
        for of in verdicts {
            for held_to in verdicts {
                let missing = missing(&lines(of), held_to);
                assert_eq!(missing.is_empty(), of == held_to, "{of} {held_to}: {missing:?}");
            }
        }
    }

    #[test]
    fn every_line_is_missed() {
        let good = lines("released");
        for at in 0..good.len() {
            let mut lines = good.clone();
            let gone = lines.remove(at);
            assert!(!missing(&lines, "released").is_empty(), "{gone}");
        }
        let mut without_time = good;
        without_time[0]["at"] = Value::Null;
        assert_eq!(missing(&without_time, "released"), ["a line without v, type and at"]);
        assert!(!missing(&[], "released").is_empty());
    }

    #[test]
    fn a_share_that_is_missed_is_found() {
        for (sent, answered, good) in [(10, 1, true), (10, 2, true), (10, 3, false), (25, 1, false)] {
            let mut lines = lines("released");
            let probe = lines.iter_mut().find(|line| line["type"] == "probe").unwrap();
            probe["sent"] = json!(sent);
            probe["by_version"] = json!({"1": sent - answered, "2": answered});
            let missing = missing(&lines, "released");
            assert_eq!(missing.is_empty(), good, "{sent} {answered}: {missing:?}");
        }
    }

    #[test]
    fn a_first_day_has_neither_hooks_nor_shift() {
        let mut lines = lines("released");
        lines.retain(|line| line["type"] != "weight");
        assert_eq!(missing(&lines, "released"), ["no function shifts in prod"]);
        for line in lines.iter_mut().filter(|line| line["action"] == "Baseline") {
            line["mode"] = json!("skipped");
        }
        assert_eq!(missing(&lines, "released"), Vec::<String>::new());
    }
}
