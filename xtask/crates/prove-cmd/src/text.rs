//! What `prove` found out, as a person reads it: what a change brings, what fails, and counts.

use std::fmt::Write as _;

use causeway_command::term::Paint;
use causeway_prove::{Checked, Report, Shift, told};

/// The report as text: what fails, and counts. With `all` every row and every request has its line, too.
pub(crate) fn render(report: &Report, all: bool, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(shifts) = &report.shifts {
        diff(shifts, paint, &mut text);
    }
    for problem in &report.problems {
        let _ = writeln!(text, "  {} {problem}", paint.bad("✗"));
    }
    for one in report.checked.iter().filter(|one| !one.holds) {
        let _ = writeln!(text, "{}", failed(one, paint));
    }
    for one in &report.sufficiency.missing {
        let _ = writeln!(
            text,
            "  {} to {} {}, {} needs {} on {}\n      {}:{}  {}",
            paint.bad("✗"),
            one.handler,
            paint.bold(&one.resource),
            one.who,
            paint.bold(&one.action),
            one.on,
            one.file,
            one.line,
            one.by
        );
    }
    for one in &report.rules.violations {
        let _ = writeln!(
            text,
            "  {} rule {} {}\n      {}\n      {}:{}  {}",
            paint.bad("✗"),
            paint.bold(&one.rule),
            one.thing,
            one.what,
            one.file,
            one.line,
            paint.dim(&one.reason)
        );
    }
    for warning in &report.rules.warnings {
        let _ = writeln!(text, "  {} {warning}", paint.warn("!"));
    }
    if all {
        rows(report, paint, &mut text);
    }
    summary(report, paint, &mut text);
    text.trim_end().to_owned()
}

/// What a change of the templates does, in the order in which a reviewer asks: what somebody may do now and could not before,
/// what nobody may do any more, what only has another name.
fn diff(shifts: &[Shift], paint: Paint, text: &mut String) {
    let told = told(shifts);
    if told.came.is_empty() {
        let _ = writeln!(text, "  nobody may do anything now that they could not do before");
    }
    for sentence in &told.came {
        let _ = writeln!(text, "  {} {sentence}", paint.warn("+"));
    }
    for sentence in &told.went {
        let _ = writeln!(text, "  {} {sentence}", paint.dim("-"));
    }
    for sentence in &told.renamed {
        let _ = writeln!(text, "  {} {sentence}", paint.dim("="));
    }
    let _ = writeln!(
        text,
        "  diff         {} sentences of permissions added, {} of permissions removed, {} things renamed",
        told.came.len(),
        told.went.len(),
        told.renamed.len()
    );
}

fn failed(one: &Checked, paint: Paint) -> String {
    let with: Vec<String> = one.with.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
    let source = one.source.as_ref().map_or_else(String::new, |source| format!("\n      source: {source}"));
    format!(
        "  {} {:<6} {}\n      expected {}, came {}: {} {} on {}{with}\n      {}{source}",
        paint.bad("✗"),
        one.id,
        paint.bad(&one.says),
        one.expected.word(),
        one.came.word(),
        one.who,
        one.action,
        one.on,
        one.by
    )
}

/// One line for each row that holds: what came out, how often it was asked, and the statement that decided first; then one for
/// each request.
fn rows(report: &Report, paint: Paint, text: &mut String) {
    let mut at = 0;
    while let Some(first) = report.checked.get(at) {
        let count = report.checked[at..].iter().take_while(|one| one.id == first.id).count();
        let row = &report.checked[at..at + count];
        at += count;
        if row.iter().all(|one| one.holds) {
            let _ = writeln!(
                text,
                "  {} {:<6} {:<5} {:>3}×  {}  {}",
                paint.good("✓"),
                first.id,
                first.came.word(),
                count,
                first.says,
                paint.dim(&first.by)
            );
        }
        for one in row.iter().filter(|one| one.holds) {
            let _ = writeln!(
                text,
                "             {} {} on {}  {}",
                one.who,
                one.action,
                one.on,
                paint.dim(&one.by)
            );
        }
    }
}

fn summary(report: &Report, paint: Paint, text: &mut String) {
    let count = |n: usize, what: &str| {
        if n == 0 { paint.dim(format!("0 {what}")) } else { paint.bad(format!("{n} {what}")) }
    };
    let _ = writeln!(
        text,
        "  rows         {} asked {} times, for {}: {}",
        report.rows,
        report.checked.len(),
        report.targets.join(" and "),
        count(report.failed_rows().len(), "fail")
    );
    let sufficiency = &report.sufficiency;
    let _ = writeln!(
        text,
        "  sufficiency  {} calls of CloudFormation's handlers: {}",
        sufficiency.asked,
        count(sufficiency.missing.len(), "not allowed")
    );
    let _ = writeln!(
        text,
        "  rules        {} of cfn/release-rules.toml, asked {} times: {}",
        report.rules.rules,
        report.rules.asked,
        count(report.rules.violations.len(), "not kept")
    );
    if let Some(mutation) = &report.mutation {
        let total = mutation.mutants.len();
        let _ = writeln!(
            text,
            "  mutants      {total}, caught {} ({:.1} %)",
            mutation.caught(),
            100.0 * mutation.caught() as f64 / total.max(1) as f64
        );
        for (kind, (made, caught)) in mutation.by_kind() {
            let share = 100.0 * caught as f64 / made.max(1) as f64;
            let _ = writeln!(text, "    {kind:<10} {made}, caught {caught} ({share:.1} %)");
        }
        for mutant in mutation.survivors() {
            let why =
                mutant.why.as_ref().map_or_else(|| paint.bad("no row catches it"), |why| paint.dim(why));
            let _ = writeln!(text, "    survives {}:{}  {}  {why}", mutant.file, mutant.line, mutant.name);
        }
    }
    if !report.problems.is_empty() {
        let _ = writeln!(text, "  files        {}", count(report.problems.len(), "complaints"));
    }
}
