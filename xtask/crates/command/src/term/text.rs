//! Lines as a person reads them.

use std::fmt::Write as _;

use super::out::Level;
use super::style::Paint;
use causeway_model::changeset::{Change, Op, legend};
use causeway_model::line::{Check, CheckOutcome, Event, Line, Mode, Probe, ResultLine, Status, Step, Weight};
use causeway_model::plan::{Setting, StackPlan, Wave};
use causeway_model::stack::Action;
use causeway_model::summary::Summary;
use causeway_model::watch::Watched;

/// The text of a line; `None` for what only a script wants to see.
pub(super) fn render(line: &Line, level: Level, paint: Paint) -> Option<String> {
    match line {
        Line::Plan { waves } => Some(plan(waves, paint)),
        Line::Event(event) => self::event(event, level, paint),
        Line::Step(step) => self::step(step, level, paint),
        Line::Weight(weight) => Some(self::weight(weight, paint)),
        // Where minutes are short, a step may be over before anybody is asked.
        Line::Probe(probe) => (probe.sent > 0).then(|| self::probe(probe, paint)),
        Line::Notice { topic, subject, message } => {
            let mut text = format!("  {} {topic}\n    {}", paint.warn("notice to"), paint.bold(subject));
            for row in message.lines() {
                let _ = write!(text, "\n    {row}");
            }
            Some(text)
        }
        Line::Warning { message } => Some(format!("  {} {message}", paint.warn("warning:"))),
        Line::Result(result) => Some(self::result(result, paint)),
    }
}

/// Everything of a line, without colors.
pub fn plain(line: &Line) -> Option<String> {
    render(line, Level::Verbose, Paint::plain())
}

/// Whether a line is printed for somebody who wants little: what fails, what is warned of, what a question is about, the result.
pub(super) fn is_quiet(line: &Line) -> bool {
    match line {
        Line::Step(step) => step.status == Status::Failed,
        Line::Event(event) => event.status.ends_with("FAILED"),
        Line::Warning { .. } | Line::Plan { .. } | Line::Result(_) => true,
        Line::Weight(_) | Line::Probe(_) | Line::Notice { .. } => false,
    }
}

/// What a watcher saw, version by version.
pub fn watched(watched: &Watched) -> String {
    let mut text =
        format!("\n  {:<32} {:>9} {:>7} {:>9} {:>9}", "version", "requests", "errors", "p50", "p99");
    for (key, seen) in &watched.versions {
        let _ = write!(
            text,
            "\n  {key:<32} {:>9} {:>7} {:>6.1} ms {:>6.1} ms",
            seen.requests, seen.errors, seen.p50, seen.p99
        );
    }
    for (what, count) in &watched.failures {
        let _ = write!(text, "\n  {count} times without a version: {what}");
    }
    if let Some(error) = &watched.first_error {
        let _ = write!(text, "\n  the first error: {error}");
    }
    text
}

/// A step in one row: mark, name, mode, seconds, reason.
fn step(step: &Step, level: Level, paint: Paint) -> Option<String> {
    let name = step_name(step);
    let (mark, name) = match step.status {
        Status::Started => return None,
        Status::Succeeded => (paint.good("✓"), format!("{name:<34}")),
        Status::Failed => (paint.bad("✗"), paint.bad(format!("{name:<34}"))),
        Status::NotRun => (paint.dim("–"), paint.dim(format!("{name:<34}"))),
    };
    let mode = match (step.status, step.mode) {
        (Status::NotRun, _) => "not run",
        (_, Mode::Executed) => "executed",
        (_, Mode::Simulated) => "simulated",
        (_, Mode::Skipped) => "skipped",
    };
    let seconds = step.seconds.map_or_else(|| " ".repeat(8), |seconds| format!("{seconds:>6.1} s"));
    let mut text = format!("  {mark} {name} {} {seconds}", paint.dim(format!("{mode:<9}")));
    if let Some(reason) = &step.reason {
        let mut rows = reason.lines();
        let _ = write!(text, "  {}", rows.next().unwrap_or_default());
        for row in rows {
            let _ = write!(text, "\n      {row}");
        }
    }
    // Checks that passed are one number, unless somebody wants to read them.
    let passed = step.checks.iter().filter(|check| check.outcome == CheckOutcome::Passed).count();
    if level < Level::Verbose && passed > 0 {
        let _ = write!(text, "  {}", paint.dim(format!("{passed} checks passed")));
    }
    let shown = |check: &&Check| level == Level::Verbose || check.outcome != CheckOutcome::Passed;
    for check in step.checks.iter().filter(shown) {
        let mark = match check.outcome {
            CheckOutcome::Passed => paint.good("✓"),
            CheckOutcome::Failed => paint.bad("✗"),
            CheckOutcome::NotRun => paint.dim("–"),
        };
        let why = check.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
        let _ = write!(text, "\n        {mark} {:<30} {:>6} ms{why}", check.name, check.ms);
    }
    Some(text.trim_end().to_owned())
}

/// `Dev/Deploy`, and for a part of an action `ExecuteChangeSet › shift checkin`.
pub(super) fn step_name(step: &Step) -> String {
    match (&step.sub, &step.function) {
        (Some(sub), Some(function)) => format!("  {}/{} › {sub} {function}", step.stage, step.action),
        (Some(sub), None) => format!("  {}/{} › {sub}", step.stage, step.action),
        _ => format!("{}/{}", step.stage, step.action),
    }
}

/// Only what matters of a stack's events: failures, and the stack's own states.
fn event(event: &Event, level: Level, paint: Paint) -> Option<String> {
    let failed = event.status.ends_with("FAILED") || event.status.contains("ROLLBACK");
    let own = event.logical_id == event.stack;
    if !failed && !own && level < Level::Verbose {
        return None;
    }
    let status = if failed { paint.bad(&event.status) } else { paint.dim(&event.status) };
    let mut text =
        format!("      {} {} {} {status}", paint.dim(&event.account), event.stack, event.logical_id);
    if let (true, Some(reason)) = (failed, &event.reason) {
        let _ = write!(text, ": {reason}");
    }
    Some(text)
}

fn weight(weight: &Weight, paint: Paint) -> String {
    let filled = usize::try_from(weight.new_weight / 5).unwrap_or(0).min(20);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(20 - filled));
    format!(
        "      {} {:<8} minute {:>2}  {bar} {:>3} % version {}",
        paint.dim(&weight.env),
        weight.function,
        weight.t_minutes,
        weight.new_weight,
        weight.new
    )
}

fn probe(probe: &Probe, paint: Paint) -> String {
    let shares: String =
        probe.by_version.iter().map(|(version, n)| format!(", version {version}: {n}")).collect();
    let errors =
        if probe.errors == 0 { paint.dim("0 errors") } else { paint.bad(format!("{} errors", probe.errors)) };
    let Probe { function, new_weight, sent, .. } = probe;
    format!("        {function:<8} at {new_weight:>3} %: {sent} sent{shares}, {errors}")
}

/// The plan: each wave, each stack, what changes in it; what endangers data stands out.
fn plan(waves: &[Wave], paint: Paint) -> String {
    let mut text = paint.bold("Plan");
    let all: Vec<Change> = waves.iter().flatten().flat_map(|stack| stack.changes.clone()).collect();
    let legend = legend(&all);
    if !legend.is_empty() {
        let _ = write!(text, "  {}", paint.dim(legend));
    }
    for (index, wave) in waves.iter().enumerate() {
        for stack in wave {
            let _ =
                write!(text, "\n  {} {}", paint.dim(format!("wave {}", index + 1)), stack_plan(stack, paint));
        }
    }
    text
}

fn stack_plan(stack: &StackPlan, paint: Paint) -> String {
    let action = match stack.action {
        Action::Create => paint.good("create"),
        Action::Update => paint.warn("update"),
        Action::None => paint.dim("no change"),
        Action::Recreate => paint.bad("remove and create"),
        Action::Wait => paint.warn("wait for the run at work"),
        Action::Repair => paint.warn("finish the rollback, then update"),
        Action::Delete => paint.bad("delete"),
    };
    let mut text =
        format!("{:<6} {:<28} {:<24} {action}", stack.account, stack.stack, paint.dim(&stack.state));
    if stack.adopts {
        let _ = write!(text, " {}", paint.bad("IS SOMEBODY ELSE'S, AND IS TAKEN OVER"));
    }
    if !stack.waits_for.is_empty() {
        let mut stacks: Vec<&str> =
            stack.waits_for.iter().map(|output| output.split('@').next().unwrap_or(output)).collect();
        stacks.sort_unstable();
        stacks.dedup();
        let _ = write!(text, " {}", paint.dim(format!("(after {})", stacks.join(", "))));
    }
    if !stack.changes.is_empty() {
        let _ = write!(text, "\n{}", changes(&stack.changes, paint));
    }
    for setting in &stack.settings {
        let _ = write!(text, "\n{}", paint.warn(self::setting(setting)));
    }
    text
}

/// What changes of the stack itself, in one row.
fn setting(setting: &Setting) -> String {
    let before = setting.before.as_deref().unwrap_or("none");
    format!("           {} {:<32} {before} → {}", Op::Modify.sign(), setting.name, setting.after)
}

/// The changes of a change set, one in a row; the danger comes first, where no narrow terminal cuts it.
fn changes(changes: &[Change], paint: Paint) -> String {
    let row = |change: &Change| {
        let row = format!("{} {:<32} {}", change.sign(), change.logical_id, change.resource_type);
        let row = match change.op {
            _ if change.endangers_data() => {
                return paint.bad(format!("      DATA {row}"));
            }
            Op::Add => paint.good(row),
            Op::Modify => paint.warn(row),
            Op::Remove | Op::Replace => paint.bad(row),
        };
        format!("           {row}")
    };
    let mut rows: Vec<String> = Vec::new();
    for change in changes {
        rows.push(row(change));
        rows.extend(
            change.details().into_iter().map(|detail| format!("               {}", paint.dim(detail))),
        );
    }
    let endangered = changes.iter().filter(|change| change.endangers_data()).count();
    if endangered > 0 {
        rows.push(paint.bad(format!("           DATA MAY BE LOST in {endangered}")));
    }
    rows.join("\n")
}

fn result(result: &ResultLine, paint: Paint) -> String {
    let summary = Summary::read(&result.data);
    let mut text = String::new();
    if let Some(fault) = &result.error {
        let _ = write!(text, "{} {}", paint.bad("error:"), fault.title());
        for (label, value) in [("on", &fault.on), ("why", &fault.why), ("next", &fault.next)] {
            // The summary's own next step is the last line.
            if !value.is_empty() && (label != "next" || summary.is_none()) {
                let indented = value.trim_end().replace('\n', "\n        ");
                let _ = write!(text, "\n  {} {indented}", paint.dim(format!("{label:<5}")));
            }
        }
        text.push('\n');
    }
    let verdict = if result.ok { paint.good(result.verdict) } else { paint.bad(result.verdict) };
    let _ = write!(text, "{}: {verdict} {}", result.command, paint.dim(format!("({:.1} s)", result.seconds)));
    if let Some(summary) = summary {
        text.push_str(&summed_up(&summary, paint));
    }
    text
}

/// The last lines of a release: what happened, what runs where, requests and errors, one next step.
fn summed_up(summary: &Summary, paint: Paint) -> String {
    let mut text = format!("\n  {}", summary.happened);
    let mut row = |label: &str, value: &str| {
        let _ = write!(text, "\n  {} {value}", paint.dim(format!("{label:<8}")));
    };
    for told in &summary.runs {
        row(&told.env, &format!("runs {}", told.says));
        if let Some(requests) = summary.requests.iter().find(|requests| requests.env == told.env) {
            row("", &requests.says);
        }
    }
    if !summary.first_error.is_empty() {
        row("met", &format!("first error: {}", summary.first_error));
    }
    row("next", &summary.next);
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use causeway_model::changeset::Change;
    use causeway_model::difference::Property;
    use causeway_model::fault::Fault;
    use causeway_model::plan;

    fn shown(line: &Line) -> String {
        render(line, Level::Usual, Paint::plain()).unwrap_or_default()
    }

    fn a_step(status: Status, sub: Option<&str>) -> Line {
        Line::Step(Step {
            stage: "Prod".into(),
            action: "ExecuteChangeSet".into(),
            sub: sub.map(Into::into),
            function: sub.map(|_| "checkin".into()),
            status,
            mode: Mode::Simulated,
            seconds: Some(3.12),
            reason: (status == Status::Failed).then(|| "the hook said no\nsecond line".into()),
            checks: Vec::new(),
        })
    }

    #[test]
    fn steps_are_one_row_each() {
        let rows: Vec<String> = [
            a_step(Status::Succeeded, None),
            a_step(Status::Failed, Some("pre-hook")),
            a_step(Status::NotRun, None),
        ]
        .iter()
        .map(shown)
        .collect();
        assert_snapshot!(rows.join("\n"), @r"
          ✓ Prod/ExecuteChangeSet              simulated    3.1 s
          ✗   Prod/ExecuteChangeSet › pre-hook checkin simulated    3.1 s  the hook said no
              second line
          – Prod/ExecuteChangeSet              not run      3.1 s
        ");
        assert_eq!(plain(&a_step(Status::Started, None)), None);
    }

    #[test]
    fn a_plan_names_what_endangers_data() {
        let plan = Line::Plan {
            waves: vec![vec![StackPlan {
                changes: vec![
                    Change {
                        properties: vec![Property {
                            path: "TableName".into(),
                            before: None,
                            after: Some("${AWS::StackName}-other".into()),
                        }],
                        because: vec!["the parameter Days has another value".into()],
                        ..Change::new("Modify", Some("True"), "Table", "AWS::DynamoDB::Table")
                    },
                    Change {
                        statements: vec!["+ Role may now s3:GetObject on ${Bucket.Arn}/*".into()],
                        ..Change::new("Modify", Some("Conditional"), "Role", "AWS::IAM::Role")
                    },
                    Change::new("Add", None, "Topic", "AWS::SNS::Topic"),
                ],
                waits_for: vec!["build-base@build.KeyArn".into(), "build-base@build.BucketName".into()],
                settings: plan::protection(true, false).into_iter().collect(),
                ..StackPlan::new("prod", "causeway-app-prod", "UPDATE_COMPLETE", Action::Update)
            }]],
        };
        assert_snapshot!(shown(&plan), @r"
        Plan  ! replaced by a new one   ? may be replaced: CloudFormation knows when it works   + added
          wave 1 prod   causeway-app-prod            UPDATE_COMPLETE          update (after build-base)
              DATA ! Table                            AWS::DynamoDB::Table
                       TableName: none → ${AWS::StackName}-other
                       because the parameter Days has another value
                   ? Role                             AWS::IAM::Role
                       + Role may now s3:GetObject on ${Bucket.Arn}/*
                   + Topic                            AWS::SNS::Topic
                   DATA MAY BE LOST in 1
                   > termination-protection           off → on
        ");
    }

    #[test]
    fn a_plan_says_what_becomes_of_each_stack() {
        let stack = |name: &str, state: &str, action, changes: Vec<Change>| StackPlan {
            changes,
            ..StackPlan::new("build", name, state, action)
        };
        let changes = vec![
            Change::new("Modify", Some("False"), "Alias", "AWS::Lambda::Alias"),
            Change::new("Remove", None, "Topic", "AWS::SNS::Topic"),
            Change::new("Remove", None, "Bucket", "AWS::S3::Bucket"),
        ];
        let first = vec![
            stack("new", "ABSENT", Action::Create, Vec::new()),
            stack("same", "UPDATE_COMPLETE", Action::None, Vec::new()),
            stack("dead", "ROLLBACK_COMPLETE", Action::Recreate, Vec::new()),
        ];
        let second = vec![
            stack("busy", "UPDATE_IN_PROGRESS", Action::Wait, Vec::new()),
            stack("torn", "UPDATE_ROLLBACK_FAILED", Action::Repair, changes),
            stack("gone", "CREATE_COMPLETE", Action::Delete, Vec::new()),
        ];
        assert_snapshot!(shown(&Line::Plan { waves: vec![first, second] }), @r"
        Plan  - removed   > changed in place
          wave 1 build  new                          ABSENT                   create
          wave 1 build  same                         UPDATE_COMPLETE          no change
          wave 1 build  dead                         ROLLBACK_COMPLETE        remove and create
          wave 2 build  busy                         UPDATE_IN_PROGRESS       wait for the run at work
          wave 2 build  torn                         UPDATE_ROLLBACK_FAILED   finish the rollback, then update
                   > Alias                            AWS::Lambda::Alias
                   - Topic                            AWS::SNS::Topic
              DATA - Bucket                           AWS::S3::Bucket
                   DATA MAY BE LOST in 1
          wave 2 build  gone                         CREATE_COMPLETE          delete
        ");
    }

    #[test]
    fn a_failure_says_what_on_why_next() {
        let result = Line::Result(Box::new(ResultLine {
            command: "rehearse".into(),
            ok: false,
            exit_code: 1,
            verdict: "failed",
            commit: None,
            seconds: 2.0,
            changed: vec![],
            error: Some(
                Fault::failed("deploy the stack", "causeway-app-dev").why("it said no").next("look there"),
            ),
            data: serde_json::Value::Null,
        }));
        assert_snapshot!(shown(&result), @r"
        error: could not deploy the stack
          on    causeway-app-dev
          why   it said no
          next  look there
        rehearse: failed (2.0 s)
        ");
    }
}
