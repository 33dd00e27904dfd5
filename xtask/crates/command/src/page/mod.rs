//! The report of a rehearsal or a watch: one self-contained HTML page, made of the JSON lines and of nothing else.
//!
//! No script, no network, no clock: the same lines give the same bytes. Every text goes through the template engine, which
//! escapes it, so nothing that a resource, a hook or a message says can become markup.

mod timeline;
mod traffic;

use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

use causeway_model::changeset;
use causeway_model::summary::Summary;
use timeline::Row;
use traffic::Chart;

/// The longest text that is shown of one message, in characters: a page stays below 150 KB.
const LONGEST: usize = 900;
/// How many rows of one kind are shown; the rest is counted.
const MOST: usize = 60;

/// Everything on the page.
#[derive(Serialize)]
struct Page {
    command: String,
    verdict: String,
    ok: bool,
    exit_code: i64,
    commit: Option<String>,
    working_tree: bool,
    seconds: f64,
    began: String,
    ended: String,
    error: Option<Error>,
    summary: Option<Summary>,
    /// What the approval said: by whom.
    approval: String,
    watches: Vec<Watch>,
    answers: Vec<Answer>,
    span: String,
    steps: Vec<Row>,
    plans: Vec<Plan>,
    charts: Vec<Chart>,
    versions: Vec<Versions>,
    weights: Vec<Weight>,
    hooks: Vec<Checks>,
    alarms: Vec<Alarm>,
    notices: Vec<Notice>,
    warnings: Vec<String>,
    left_out: usize,
}

/// What failed.
#[derive(Serialize)]
struct Error {
    title: String,
    on: String,
    why: String,
    next: String,
}

/// What was watched, at which rate, and when, as it was.
#[derive(Serialize)]
struct Watch {
    env: String,
    address: String,
    rate: f64,
    began: String,
    ended: String,
}

/// An environment and what answers there at last.
#[derive(Serialize)]
struct Answer {
    env: String,
    url: String,
    versions: Vec<(String, String)>,
}

/// What a change set changes.
#[derive(Serialize)]
struct Plan {
    title: String,
    says: String,
    changes: Vec<Change>,
    more: usize,
}

/// One change, in words.
#[derive(Serialize)]
struct Change {
    op: String,
    /// The same for people: whether a replacement is certain or only may be.
    how: String,
    logical_id: String,
    resource_type: String,
    danger: bool,
    /// What is known of it, as a plan has it.
    details: Vec<String>,
}

/// What was seen of the versions of an environment.
#[derive(Serialize)]
struct Versions {
    env: String,
    rows: Vec<Version>,
    unanswered: Vec<(String, u64)>,
    first_error: Option<String>,
}

/// What was seen of one version.
#[derive(Serialize)]
struct Version {
    name: String,
    is: String,
    requests: u64,
    errors: u64,
    p50: f64,
    p99: f64,
}

/// A step of the shift and who answered at it.
#[derive(Serialize)]
struct Weight {
    env: String,
    function: String,
    minute: u64,
    share: u64,
    new: String,
    probe: Option<Probe>,
}

/// Requests at one step.
#[derive(Serialize)]
struct Probe {
    sent: u64,
    errors: u64,
    by_version: Vec<(String, u64)>,
}

/// Checks of hooks that ended alike.
#[derive(Serialize)]
struct Checks {
    name: String,
    /// What passed is one line, until somebody opens it.
    is_folded: bool,
    rows: Vec<Check>,
}

/// One check of a hook.
#[derive(Serialize)]
struct Check {
    function: String,
    hook: String,
    name: String,
    outcome: String,
    good: bool,
    ms: Option<u64>,
    reason: String,
}

/// An alarm that changed its state.
#[derive(Serialize)]
struct Alarm {
    env: String,
    at: f64,
    alarm: String,
    state: String,
    reason: String,
}

/// A message that went to a topic.
#[derive(Serialize)]
struct Notice {
    topic: String,
    subject: String,
    message: String,
}

/// The page for the JSON lines of one command, in their order; the last one is its result.
///
/// # Errors
/// There is no result line, or the page's own template is broken.
pub fn page(lines: &[Value]) -> Result<String, String> {
    let page = read(lines)?;
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    engine.set_syntax(syntax.map_err(|error| error.to_string())?);
    engine.add_template("page", include_str!("page.html")).map_err(|error| error.to_string())?;
    let template = engine.get_template("page").map_err(|error| error.to_string())?;
    template.render(Serde(&page)).map_err(|error| error.to_string())
}

fn read(lines: &[Value]) -> Result<Page, String> {
    let result = lines.last().filter(|line| line["type"] == "result").ok_or("there is no result line")?;
    let data = &result["data"];
    let watched = watched(result);
    let began = lines.first().map_or("", |line| line["at"].as_str().unwrap_or_default());
    let warnings: Vec<String> = of(lines, "warning").map(|line| text(&line["message"])).collect();
    let left_out = warnings.len().saturating_sub(MOST);
    let (steps, span) = timeline::rows(lines);
    let commit = result["commit"].as_str();
    Ok(Page {
        command: text(&result["command"]),
        verdict: text(&result["verdict"]),
        ok: result["ok"].as_bool().unwrap_or(false),
        exit_code: result["exit_code"].as_i64().unwrap_or(1),
        commit: commit.map(ToOwned::to_owned),
        working_tree: data["working_tree"].as_bool().unwrap_or(false),
        seconds: result["seconds"].as_f64().unwrap_or(0.0),
        began: minute(began),
        ended: minute(result["at"].as_str().unwrap_or_default()),
        error: error(&result["error"]),
        summary: Summary::read(data),
        approval: text(&data["approval"]),
        watches: watched.iter().filter_map(|(env, seen)| watch(env, seen)).collect(),
        answers: answers(data),
        span,
        steps,
        plans: plans(lines),
        charts: watched.iter().flat_map(|(env, seen)| traffic::charts(env, seen, commit)).collect(),
        versions: watched.iter().filter_map(|(env, seen)| versions(env, seen, commit)).collect(),
        weights: weights(lines),
        hooks: hooks(lines),
        alarms: watched.iter().flat_map(|(env, seen)| alarms(env, seen)).collect(),
        notices: of(lines, "notice").take(MOST).map(notice).collect(),
        warnings: warnings.into_iter().take(MOST).collect(),
        left_out,
    })
}

/// What a watcher saw, by environment: `data` itself of a watch, `data.watched` of a rehearsal.
fn watched(result: &Value) -> Vec<(String, &Value)> {
    let data = &result["data"];
    if data["seconds"].is_array() {
        return vec![(text(&data["env"]), data)];
    }
    let all = data["watched"].as_object();
    all.into_iter().flatten().map(|(env, seen)| (env.clone(), seen)).collect()
}

/// Where, how and when an environment was watched; a rehearsal's own traffic says it elsewhere.
fn watch(env: &str, seen: &Value) -> Option<Watch> {
    let at = |name: &str| minute(seen[name].as_str().unwrap_or_default());
    Some(Watch {
        env: env.to_owned(),
        address: seen["address"].as_str().map(|address| text(&Value::from(address)))?,
        rate: seen["rate"].as_f64().unwrap_or(0.0),
        began: at("began"),
        ended: at("ended"),
    })
}

fn of<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

/// A text, cut where it is longer than anybody reads.
fn text(value: &Value) -> String {
    let whole = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &whole[..end]),
        None => whole,
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Seconds since 1970 of a line's time.
fn seconds_of(line: &Value) -> Option<f64> {
    let time: Timestamp = line["at"].as_str()?.parse().ok()?;
    Some(time.as_millisecond() as f64 / 1_000.0)
}

/// A time as people read it, in UTC.
fn minute(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => format!("{} UTC", time.strftime("%Y-%m-%d %H:%M:%S")),
        Err(_) => rfc3339.to_owned(),
    }
}

fn error(error: &Value) -> Option<Error> {
    let part = |name: &str| text(&error[name]);
    let title = if error["title"].is_string() { part("title") } else { part("what") };
    let found = Error { title, on: part("on"), why: part("why"), next: part("next") };
    error.is_object().then_some(found)
}

fn answers(data: &Value) -> Vec<Answer> {
    let urls = data["urls"].as_object();
    urls.into_iter()
        .flatten()
        .map(|(env, url)| {
            let versions = data["versions"][env].as_object();
            let versions =
                versions.into_iter().flatten().map(|(name, version)| (name.clone(), text(version)));
            Answer { env: env.clone(), url: text(url), versions: versions.collect() }
        })
        .collect()
}

/// Only plans that change something; what endangers data first, as the lines have it.
fn plans(lines: &[Value]) -> Vec<Plan> {
    let stacks = of(lines, "plan").flat_map(|line| line["waves"].as_array().into_iter().flatten());
    let stacks = stacks.flat_map(|wave| wave.as_array().into_iter().flatten());
    let mut plans = Vec::new();
    for stack in stacks {
        let empty = Vec::new();
        let all = stack["changes"].as_array().unwrap_or(&empty);
        let mut changes: Vec<Change> = all.iter().map(change).collect();
        if changes.is_empty() {
            continue;
        }
        changes.sort_by_key(|change| !change.danger);
        let dangers = changes.iter().filter(|change| change.danger).count();
        let counted = |op: &str| changes.iter().filter(|change| change.op == op).count();
        let mut parts: Vec<String> =
            [("add", "added"), ("modify", "modified"), ("replace", "replaced"), ("remove", "removed")]
                .iter()
                .map(|(op, word)| (counted(op), word))
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
        if dangers > 0 {
            parts.insert(0, format!("DATA MAY BE LOST in {dangers}"));
        }
        let more = changes.len().saturating_sub(MOST);
        changes.truncate(MOST);
        plans.push(Plan {
            title: format!(
                "{} in {} ({})",
                text(&stack["stack"]),
                text(&stack["account"]),
                text(&stack["action"])
            ),
            says: parts.join(", "),
            changes,
            more,
        });
    }
    plans
}

fn change(change: &Value) -> Change {
    let op = text(&change["op"]);
    let may_replace = change["may_replace"].as_bool().unwrap_or(false);
    let loses = op == "remove" || op == "replace" || may_replace;
    let known = serde_json::from_value::<changeset::Change>(change.clone());
    let details = known.map(|known| known.details()).unwrap_or_default();
    Change {
        danger: loses && change["stateful"].as_bool().unwrap_or(false),
        details: details.into_iter().map(|detail| text(&Value::String(detail))).collect(),
        how: if may_replace { "modify, may be replaced".to_owned() } else { op.clone() },
        op,
        logical_id: text(&change["logical_id"]),
        resource_type: text(&change["resource_type"]),
    }
}

fn versions(env: &str, watched: &Value, commit: Option<&str>) -> Option<Versions> {
    let rows: Vec<Version> = watched["versions"]
        .as_object()?
        .iter()
        .map(|(name, seen)| Version {
            name: name.clone(),
            is: name
                .rsplit_once(' ')
                .map(|(function, number)| traffic::identity(watched, function, number, commit))
                .unwrap_or_default(),
            requests: number(&seen["requests"]),
            errors: number(&seen["errors"]),
            p50: seen["p50"].as_f64().unwrap_or(0.0),
            p99: seen["p99"].as_f64().unwrap_or(0.0),
        })
        .collect();
    let unanswered: Vec<(String, u64)> = watched["failures"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(what, count)| (text(&Value::from(what.as_str())), number(count)))
        .take(MOST)
        .collect();
    let first_error = watched["first_error"].as_str().map(|error| text(&Value::from(error)));
    (!rows.is_empty() || !unanswered.is_empty()).then(|| Versions {
        env: env.to_owned(),
        rows,
        unanswered,
        first_error,
    })
}

/// Every step of every shift, with the probe that was sent at it.
fn weights(lines: &[Value]) -> Vec<Weight> {
    let mut weights: Vec<Weight> = Vec::new();
    for line in lines {
        let same = |weight: &&mut Weight| {
            weight.env == text(&line["env"])
                && weight.function == text(&line["function"])
                && weight.share == number(&line["new_weight"])
        };
        if line["type"] == "weight" {
            weights.push(Weight {
                env: text(&line["env"]),
                function: text(&line["function"]),
                minute: number(&line["t_minutes"]),
                share: number(&line["new_weight"]),
                new: text(&line["new"]),
                probe: None,
            });
        } else if line["type"] == "probe"
            && let Some(weight) = weights.iter_mut().rev().find(same)
        {
            let by_version = line["by_version"].as_object();
            let by_version =
                by_version.into_iter().flatten().map(|(name, count)| (name.clone(), number(count)));
            weight.probe = Some(Probe {
                sent: number(&line["sent"]),
                errors: number(&line["errors"]),
                by_version: by_version.collect(),
            });
        }
    }
    weights.truncate(MOST);
    weights
}

/// The checks that hooks reported with their steps; what did not pass comes first.
fn hooks(lines: &[Value]) -> Vec<Checks> {
    let mut all = Vec::new();
    for step in of(lines, "step") {
        for check in step["checks"].as_array().into_iter().flatten() {
            let outcome = text(&check["outcome"]);
            all.push(Check {
                function: text(&step["function"]),
                hook: text(&step["sub"]),
                name: text(&check["name"]),
                good: outcome == "passed",
                outcome,
                ms: check["ms"].as_u64(),
                reason: text(&check["reason"]),
            });
        }
    }
    all.truncate(MOST);
    let (passed, other): (Vec<Check>, Vec<Check>) = all.into_iter().partition(|check| check.good);
    let named = |name: &str, is_folded: bool, rows: Vec<Check>| {
        let name = format!(
            "{} {name}",
            if rows.len() == 1 { "1 check".to_owned() } else { format!("{} checks", rows.len()) }
        );
        (!rows.is_empty()).then_some(Checks { name, is_folded, rows })
    };
    [named("did not pass", false, other), named("passed", true, passed)].into_iter().flatten().collect()
}

fn alarms(env: &str, seen: &Value) -> Vec<Alarm> {
    let changes = seen["alarm_changes"].as_array();
    changes
        .into_iter()
        .flatten()
        .take(MOST)
        .map(|change| Alarm {
            env: env.to_owned(),
            at: change["at"].as_f64().unwrap_or(0.0),
            alarm: text(&change["alarm"]),
            state: text(&change["state"]),
            reason: text(&change["reason"]),
        })
        .collect()
}

fn notice(line: &Value) -> Notice {
    Notice { topic: text(&line["topic"]), subject: text(&line["subject"]), message: text(&line["message"]) }
}

#[cfg(test)]
mod tests;
