//! What somebody reads before approving a release: it fits the terminal, and what endangers data is next to the question.

use super::style::Paint;
use causeway_model::changeset::{Change, Op, legend, sorted, summary};

/// Rows besides the changes: blank ones, the commit, the summary twice, the fold, the danger and the question.
const AROUND: usize = 9;
/// The longest type that is not cut, without `AWS::`.
const TYPE: usize = 28;

/// The changes of a release for a terminal of `columns` by `rows`: what endangers data first, harmless ones folded where
/// they do not fit, summary and danger once more at the end.
pub(super) fn render(about: &str, changes: &[Change], columns: usize, rows: usize, paint: Paint) -> String {
    let changes = sorted(changes.to_vec());
    let dangers: Vec<&Change> = changes.iter().filter(|change| change.endangers_data()).collect();
    let room = rows.saturating_sub(AROUND).max(dangers.len());
    // A single one that is left takes the row of its own fold.
    let shown = if changes.len() <= room + 1 { changes.len() } else { room };
    let mut text = vec![String::new()];
    text.push(format!("  {}", cut(about, columns.saturating_sub(2))));
    let summed = format!("  {}", cut(&summary(&changes), columns.saturating_sub(2)));
    text.push(paint.bold(&summed));
    let legend = legend(&changes);
    text.push(match legend.is_empty() {
        true => String::new(),
        false => paint.dim(cut(&format!("  {legend}"), columns)),
    });
    // What is known of a change stands below it, as in a plan, as long as there are rows: the changes themselves come first.
    let mut left = room.saturating_sub(shown + usize::from(shown < changes.len()));
    for change in &changes[..shown] {
        text.push(row(change, columns, paint));
        let mut details = change.details();
        if details.len() > left {
            details.truncate(left.saturating_sub(1));
            if left > 0 {
                details.push("…".to_owned());
            }
        }
        left -= details.len();
        text.extend(details.iter().map(|detail| paint.dim(cut(&format!("           {detail}"), columns))));
    }
    let rest = &changes[shown..];
    if !rest.is_empty() {
        let folded = format!("       {}", fold(rest));
        text.push(paint.dim(cut(&folded, columns)));
    }
    if !changes.is_empty() {
        text.push(String::new());
        text.push(paint.bold(&summed));
    }
    if !dangers.is_empty() {
        let names: Vec<&str> = dangers.iter().map(|change| change.logical_id.as_str()).collect();
        let said = format!("  DATA MAY BE LOST: {}", names.join(", "));
        text.push(paint.bad(cut(&said, columns)));
    }
    text.join("\n")
}

/// One change in one row: the danger, what happens, to what, its type.
fn row(change: &Change, columns: usize, paint: Paint) -> String {
    let kind = cut(change.resource_type.trim_start_matches("AWS::"), TYPE);
    let mark = if change.endangers_data() { "DATA" } else { "" };
    let width = columns.saturating_sub("  DATA ! ".len() + 1 + TYPE).max(8);
    let text = format!("  {mark:<4} {} {:<width$} {kind}", change.sign(), cut(&change.logical_id, width));
    let text = cut(text.trim_end(), columns);
    match change.op {
        _ if change.endangers_data() => paint.bad(text),
        Op::Add => paint.good(text),
        Op::Modify => paint.warn(text),
        Op::Remove | Op::Replace => paint.bad(text),
    }
}

/// What is not shown, counted: `+ 31 added, > 4 changed in place`.
fn fold(changes: &[Change]) -> String {
    let kinds = [
        (Op::Remove, "removed"),
        (Op::Replace, "replaced"),
        (Op::Modify, "changed in place"),
        (Op::Add, "added"),
    ];
    let count = |op: Op| changes.iter().filter(|change| change.op == op).count();
    let parts: Vec<String> = kinds
        .into_iter()
        .filter(|(op, _)| count(*op) > 0)
        .map(|(op, word)| format!("{} {} {word}", op.sign(), count(op)))
        .collect();
    format!("{} more: {}", changes.len(), parts.join(", "))
}

/// The text in at most so many characters, without what would move a terminal's cursor.
fn cut(text: &str, width: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let head: String = text.chars().take(width.saturating_sub(1)).map(plain).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn change(action: &str, replacement: Option<&str>, id: &str, kind: &str) -> Change {
        Change::new(action, replacement, id, kind)
    }

    /// A release that touches much, with two dangers somewhere in the middle of it.
    fn many() -> Vec<Change> {
        let mut changes = Vec::new();
        for n in 0..31 {
            changes.push(change("Add", None, &format!("Added{n:02}"), "AWS::CloudWatch::Alarm"));
        }
        changes.push(change("Modify", Some("True"), "Table", "AWS::DynamoDB::Table"));
        changes.push(change("Modify", None, "CheckinFunction", "AWS::Lambda::Function"));
        changes.push(change(
            "Remove",
            None,
            "UploadsOfTheYearBeforeLastThatNobodyEverLookedAt",
            "AWS::S3::Bucket",
        ));
        changes.push(change("Remove", None, "OldRole", "AWS::IAM::Role"));
        changes.push(change(
            "Modify",
            Some("True"),
            "CheckinFunctionDeploymentGroupWithAVeryLongNameIndeed",
            "AWS::ElasticLoadBalancingV2::TargetGroupAttachmentPolicy",
        ));
        changes
    }

    #[test]
    fn a_change_set_is_readable_in_80_by_24() {
        let text = render("commit 1a2b3c4: Keep registrations (A. Person)", &many(), 80, 24, Paint::plain());
        // With the question it is exactly one screen.
        assert_eq!(text.lines().count() + 1, 24, "{text}");
        assert!(text.lines().all(|row| row.chars().count() <= 80), "{text}");
        assert_snapshot!(text, @r"

          commit 1a2b3c4: Keep registrations (A. Person)
          36 changes: more than code, DATA MAY BE LOST in 2, 1 touch IAM
          - removed   ! replaced by a new one   > changed in place   + added
          DATA - UploadsOfTheYearBeforeLastThatNobodyEverL… S3::Bucket
          DATA ! Table                                      DynamoDB::Table
               - OldRole                                    IAM::Role
               ! CheckinFunctionDeploymentGroupWithAVeryLo… ElasticLoadBalancingV2::Tar…
               > CheckinFunction                            Lambda::Function
               + Added00                                    CloudWatch::Alarm
               + Added01                                    CloudWatch::Alarm
               + Added02                                    CloudWatch::Alarm
               + Added03                                    CloudWatch::Alarm
               + Added04                                    CloudWatch::Alarm
               + Added05                                    CloudWatch::Alarm
               + Added06                                    CloudWatch::Alarm
               + Added07                                    CloudWatch::Alarm
               + Added08                                    CloudWatch::Alarm
               + Added09                                    CloudWatch::Alarm
               21 more: + 21 added

          36 changes: more than code, DATA MAY BE LOST in 2, 1 touch IAM
          DATA MAY BE LOST: UploadsOfTheYearBeforeLastThatNobodyEverLookedAt, Table
        ");
    }

    #[test]
    fn what_is_known_of_a_change_stands_below_it_where_there_are_rows() {
        let told = Change {
            statements: vec!["+ Role may now s3:GetObject on ${Bucket.Arn}".to_owned()],
            because: vec!["the parameter Days has another value".to_owned()],
            ..change("Modify", None, "Role", "AWS::IAM::Role")
        };
        let wide = render("x", std::slice::from_ref(&told), 80, 24, Paint::plain());
        for row in told.details() {
            assert!(wide.contains(&row), "{row}: {wide}");
        }
        assert!(wide.contains("  > changed in place\n"), "{wide}");
        // Changes come first: where there is no room, what is known of them waits in the report.
        let mut changes = many();
        changes.push(told);
        let small = render("x", &changes, 80, 24, Paint::plain());
        assert_eq!(small.lines().count() + 1, 24, "{small}");
        let tight = render("x", &changes[changes.len() - 1..], 80, 11, Paint::plain());
        assert!(tight.lines().count() < 11 && tight.contains('…'), "{tight}");
    }

    #[test]
    fn every_danger_is_shown_and_repeated_however_small_the_terminal() {
        let text = render(&"long ".repeat(40), &many(), 40, 5, Paint::plain());
        assert!(text.lines().all(|row| row.chars().count() <= 40), "{text}");
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.iter().filter(|row| row.starts_with("  DATA ")).count(), 3, "{text}");
        assert!(rows.last().unwrap().starts_with("  DATA MAY BE LOST: Uploads"), "{text}");
        assert!(text.contains("34 more"), "{text}");
    }

    #[test]
    fn a_harmless_release_is_not_folded_and_names_no_danger() {
        let changes = vec![change("Modify", None, "CheckinFunction", "AWS::Lambda::Function")];
        let text =
            render("commit 1a2b3c4 + 2 uncommitted files: x\u{1b}[2J", &changes, 80, 24, Paint::plain());
        assert!(!text.contains("more:") && !text.contains("DATA") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.matches("1 changes: code only").count(), 2, "{text}");
        assert!(render("x", &[], 80, 24, Paint::plain()).ends_with("nothing changes\n"));
    }
}
