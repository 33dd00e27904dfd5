//! Breaks rows that are longer than the terminal is wide between words, and indents what goes on below.

/// How much further what goes on is indented than its row.
const INDENT: usize = 4;
/// The narrowest terminal that is wrapped for.
const NARROWEST: usize = 20;

/// A text whose rows have at most so many columns, where its words allow it. Colors take no room.
pub(super) fn wrap(text: &str, columns: usize) -> String {
    if columns < NARROWEST {
        return text.to_owned();
    }
    text.split('\n').map(|row| wrap_row(row, columns)).collect::<Vec<_>>().join("\n")
}

fn wrap_row(row: &str, columns: usize) -> String {
    if width(row) <= columns {
        return row.to_owned();
    }
    let indent = row.chars().take_while(|c| *c == ' ').count();
    let further = " ".repeat((indent + INDENT).min(columns / 2));
    // Columns of a table stay whole where one break is enough.
    for (at, _) in row.rmatch_indices("  ").filter(|(at, _)| *at >= indent) {
        let (head, rest) = (row[..at].trim_end(), row[at..].trim_start());
        if width(head) <= columns && further.len() + width(rest) <= columns {
            return format!("{head}\n{further}{rest}");
        }
    }
    let mut rows: Vec<String> = Vec::new();
    let mut now = String::new();
    // Between two words there may be more than one space: columns of a table.
    let mut gap = String::new();
    for word in row.split(' ') {
        if !word.is_empty() {
            if !now.trim().is_empty() && width(&now) + width(&gap) + width(word) > columns {
                rows.push(std::mem::replace(&mut now, further.clone()));
                gap.clear();
            }
            now.push_str(&gap);
            now.push_str(word);
            gap.clear();
        }
        gap.push(' ');
    }
    rows.push(now);
    rows.join("\n")
}

/// How many columns a text takes: its characters without the escapes of colors.
fn width(text: &str) -> usize {
    let (mut count, mut escape) = (0, false);
    for c in text.chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (false, _) => count += 1,
            (true, 'm') => escape = false,
            (true, _) => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_break_between_words() {
        let row = "  ✓ setup/Baseline      executed    0.0 s  an earlier release is there";
        assert_eq!(
            wrap(row, 40),
            "  ✓ setup/Baseline      executed\n      0.0 s  an earlier release is there"
        );
        assert_eq!(
            wrap(row, 32),
            "  ✓ setup/Baseline      executed\n      0.0 s  an earlier release\n      is there"
        );
        assert_eq!(wrap(row, 80), row);
        assert_eq!(wrap("a\n\n  b", 40), "a\n\n  b");
        assert_eq!(wrap(row, 0), row, "a terminal that does not say how wide it is");
    }

    #[test]
    fn colors_take_no_room_and_long_words_stay_whole() {
        let red = format!("\u{1b}[31m{}\u{1b}[0m", "x".repeat(20));
        assert_eq!(wrap(&red, 20), red);
        let long = format!("  see {} there", "y".repeat(50));
        assert_eq!(wrap(&long, 40), format!("  see\n      {}\n      there", "y".repeat(50)));
    }

    #[test]
    fn every_row_fits_and_nothing_is_lost() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let words: Vec<String> =
                (0..random.usize(1..30)).map(|_| "w".repeat(random.usize(0..9))).collect();
            let (row, columns) = (words.join(" "), random.usize(20..60));
            let wrapped = wrap(&row, columns);
            assert!(wrapped.lines().all(|line| width(line) <= columns), "{wrapped}");
            let plain = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            assert_eq!(plain(&wrapped), plain(&row));
        }
    }
}
