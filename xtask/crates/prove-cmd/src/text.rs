//! What `prove` found out, as a person reads it: what a change brings, what fails, and counts.

use std::fmt::Write as _;

use causeway_command::term::Paint;
use causeway_prove::suggest::Suggested;
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
    if let Some(suggested) = &report.suggested {
        suggestions(suggested, paint, &mut text);
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

/// Statements to paste, and what is left to a person.
fn suggestions(suggested: &Suggested, paint: Paint, text: &mut String) {
    if suggested.statements.is_empty() && suggested.by_hand.is_empty() {
        let _ = writeln!(text, "  suggested    nothing: no role and no boundary lacks anything");
    }
    for one in &suggested.statements {
        let _ = writeln!(
            text,
            "  to paste behind the statements of {}, {}:{}\n{}",
            paint.bold(&one.of),
            one.file,
            one.line,
            one.yaml.trim_end()
        );
    }
    for right in &suggested.by_hand {
        let _ = writeln!(
            text,
            "  {} never suggested; write it by hand and have it reviewed: {right}",
            paint.warn("!")
        );
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_prove::matrix::Expect;
    use causeway_prove::mutate::{Mutant, Mutation};
    use causeway_prove::needs::{Missing, Sufficiency};
    use causeway_prove::rules::{Judged, Violation};
    use causeway_prove::{Problem, compare::Shift};

    fn asked(id: &str, says: &str, holds: bool) -> Checked {
        Checked {
            id: id.into(),
            says: says.into(),
            source: (!holds).then(|| "Actions, resources, and condition keys for AWS KMS".into()),
            target: "prod".into(),
            who: "ExecutionRole (prod)".into(),
            action: "kms:Decrypt".into(),
            on: "arn:aws:kms:eu-central-1:111111111111:key/ArtifactKey".into(),
            with: [("kms:ViaService".to_owned(), "s3.eu-central-1.amazonaws.com".to_owned())].into(),
            expected: Expect::Allow,
            came: if holds { Expect::Allow } else { Expect::Deny },
            holds,
            by: "cfn/target-roles.yaml:120 ExecutionRole.DecryptPackages".into(),
        }
    }

    fn shift(widened: bool, action: &str) -> Shift {
        Shift {
            widened,
            made_up: false,
            who: "PipelineRole (build)".into(),
            actions: vec![action.into()],
            on: vec!["*".into()],
            with: String::new(),
            setting: String::new(),
            by: "cfn/pipeline.yaml:40 PipelineRole.Builds".into(),
        }
    }

    fn report() -> Report {
        Report {
            checked: vec![
                asked("A3a", "CloudFormation reads packages", true),
                asked("A3a", "CloudFormation reads packages", true),
                asked("A3b", "CloudFormation decrypts packages", false),
            ],
            rows: 2,
            targets: vec!["dev".into(), "prod".into()],
            sufficiency: Sufficiency {
                asked: 7,
                missing: vec![Missing {
                    file: "cfn/app.yaml".into(),
                    line: 88,
                    resource: "CheckinFunction (AWS::Lambda::Function) of causeway-app-prod".into(),
                    handler: "create",
                    who: "ExecutionRole (prod)".into(),
                    action: "kms:Decrypt".into(),
                    on: "*".into(),
                    by: "nothing allows it".into(),
                    with: Default::default(),
                    role: String::new(),
                    stack: 0,
                    denied: false,
                }],
                problems: Vec::new(),
            },
            mutation: Some(Mutation {
                mutants: [("A3a", None), ("", Some("told by no row")), ("", None)]
                    .map(|(row, why)| Mutant {
                        name: "ExecutionRole.Logs without logs:CreateLogDelivery".into(),
                        kind: "statement".into(),
                        file: "cfn/target-roles.yaml".into(),
                        line: 130,
                        caught_by: (!row.is_empty()).then(|| row.into()),
                        why: why.map(Into::into),
                    })
                    .into(),
                problems: Vec::new(),
            }),
            shifts: Some(vec![shift(true, "codebuild:RetryBuild"), shift(false, "codebuild:StopBuild")]),
            suggested: None,
            problems: vec![Problem::new("cfn/pipeline.yaml", 12, "Fn::Reff is no function")],
            rules: Judged {
                rules: 24,
                asked: 310,
                violations: vec![Violation {
                    rule: "data-is-kept".into(),
                    file: "cfn/app.yaml".into(),
                    line: 61,
                    thing: "Table of causeway-app-prod".into(),
                    environment: "prod".into(),
                    what: "DeletionPolicy is Delete".into(),
                    reason: "people's data outlives a mistake".into(),
                }],
                warnings: vec![Problem::new("cfn/release-rules.toml", 7, "nothing is in the class queues")],
                problems: Vec::new(),
            },
        }
    }

    #[test]
    fn what_fails_stands_first_and_the_sums_last() {
        insta::assert_snapshot!(render(&report(), false, Paint::plain()), @r"
        + PipelineRole (build) may now codebuild:RetryBuild on * — cfn/pipeline.yaml:40 PipelineRole.Builds
        - PipelineRole (build) may no longer codebuild:StopBuild on * — cfn/pipeline.yaml:40 PipelineRole.Builds
        diff         1 sentences of permissions added, 1 of permissions removed, 0 things renamed
        ✗ cfn/pipeline.yaml:12: Fn::Reff is no function
        ✗ A3b    CloudFormation decrypts packages
            expected allow, came deny: ExecutionRole (prod) kms:Decrypt on arn:aws:kms:eu-central-1:111111111111:key/ArtifactKey with kms:ViaService = s3.eu-central-1.amazonaws.com
            cfn/target-roles.yaml:120 ExecutionRole.DecryptPackages
            source: Actions, resources, and condition keys for AWS KMS
        ✗ to create CheckinFunction (AWS::Lambda::Function) of causeway-app-prod, ExecutionRole (prod) needs kms:Decrypt on *
            cfn/app.yaml:88  nothing allows it
        ✗ rule data-is-kept Table of causeway-app-prod
            DeletionPolicy is Delete
            cfn/app.yaml:61  people's data outlives a mistake
        ! cfn/release-rules.toml:7: nothing is in the class queues
        rows         2 asked 3 times, for dev and prod: 1 fail
        sufficiency  7 calls of CloudFormation's handlers: 1 not allowed
        rules        24 of cfn/release-rules.toml, asked 310 times: 1 not kept
        mutants      3, caught 1 (33.3 %)
          statement  3, caught 1 (33.3 %)
          survives cfn/target-roles.yaml:130  ExecutionRole.Logs without logs:CreateLogDelivery  told by no row
          survives cfn/target-roles.yaml:130  ExecutionRole.Logs without logs:CreateLogDelivery  no row catches it
        files        1 complaints
        ");
    }

    #[test]
    fn every_request_has_its_line_where_that_is_wanted() {
        let all = render(&report(), true, Paint::plain());
        let requests =
            all.lines().filter(|row| row.starts_with("             ExecutionRole (prod) kms:Decrypt on "));
        assert_eq!(requests.count(), 2, "{all}");
    }
}
