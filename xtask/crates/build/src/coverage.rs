//! Coverage: from LLVM's lcov export to Cobertura, which CodeBuild reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::escape::escape;

/// Hits by line.
type Hits = BTreeMap<u32, u64>;

/// Hits by line, by file.
pub type Lines = BTreeMap<String, Hits>;

/// Reads an lcov export, keeping files below the root, relative to it.
pub fn read_lcov(text: &str, root: &str) -> Lines {
    let mut all = Lines::new();
    let mut file: Option<String> = None;
    let root = format!("{}/", root.trim_end_matches('/'));
    for row in text.lines() {
        if let Some(path) = row.strip_prefix("SF:") {
            file = path.strip_prefix(&root).map(ToOwned::to_owned);
        } else if row == "end_of_record" {
            file = None;
        } else if let (Some(file), Some((line, hits))) =
            (&file, row.strip_prefix("DA:").and_then(|row| row.split_once(',')))
            && let (Ok(line), Ok(hits)) =
                (line.parse(), hits.split(',').next().unwrap_or_default().parse::<u64>())
        {
            let known: &mut u64 = all.entry(file.clone()).or_default().entry(line).or_default();
            *known = known.saturating_add(hits);
        }
    }
    all
}

/// The share of lines that were run, 0 to 1; 1 where there are none.
pub fn rate<'a>(lines: impl Iterator<Item = &'a Hits>) -> f64 {
    let (mut run, mut all) = (0_u32, 0_u32);
    for hits in lines.flat_map(BTreeMap::values) {
        all += 1;
        run += u32::from(*hits > 0);
    }
    if all == 0 { 1.0 } else { f64::from(run) / f64::from(all) }
}

/// The lines as a Cobertura document: one package a folder, one class a file.
pub fn cobertura(lines: &Lines) -> String {
    let mut packages: BTreeMap<&str, Vec<(&str, &Hits)>> = BTreeMap::new();
    for (file, hits) in lines {
        let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
        packages.entry(folder).or_default().push((file, hits));
    }
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE coverage SYSTEM \"http://cobertura.sourceforge.net/xml/coverage-04.dtd\">\n",
    );
    let _ = writeln!(
        out,
        "<coverage line-rate=\"{:.4}\" branch-rate=\"0\" version=\"1\" timestamp=\"0\"><sources><source>.</source></sources><packages>",
        rate(lines.values())
    );
    for (folder, files) in packages {
        let _ = writeln!(
            out,
            "<package name=\"{}\" line-rate=\"{:.4}\" branch-rate=\"0\" complexity=\"0\"><classes>",
            escape(folder),
            rate(files.iter().map(|(_, hits)| *hits))
        );
        for (file, hits) in files {
            let name = escape(file);
            let _ = write!(
                out,
                "<class name=\"{name}\" filename=\"{name}\" line-rate=\"{:.4}\" branch-rate=\"0\" complexity=\"0\"><methods/><lines>",
                rate(std::iter::once(hits))
            );
            for (line, count) in hits {
                let _ = write!(out, "<line number=\"{line}\" hits=\"{count}\"/>");
            }
            out.push_str("</lines></class>\n");
        }
        out.push_str("</classes></package>\n");
    }
    out.push_str("</packages></coverage>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lcov_becomes_cobertura() {
        let text = "SF:/w/api/src/lib.rs\nDA:1,3\nDA:2,0\nend_of_record\nSF:/home/cargo/registry/x.rs\nDA:1,9\nend_of_record\nSF:/w/api/src/lib.rs\nDA:2,1\nend_of_record\nSF:/w/api/src/a&b.rs\nDA:7,0\nend_of_record\n";
        let lines = read_lcov(text, "/w");
        assert_eq!(lines.keys().collect::<Vec<_>>(), ["api/src/a&b.rs", "api/src/lib.rs"]);
        assert_eq!(lines["api/src/lib.rs"], BTreeMap::from([(1, 3), (2, 1)]));
        assert!((rate(lines.values()) - 2.0 / 3.0).abs() < 1e-9);
        let document = cobertura(&lines);
        for part in [
            "line-rate=\"0.6667\"",
            "filename=\"api/src/a&amp;b.rs\"",
            "<line number=\"2\" hits=\"1\"/>",
            "<package name=\"api/src\"",
        ] {
            assert!(document.contains(part), "{part}: {document}");
        }
    }
}
