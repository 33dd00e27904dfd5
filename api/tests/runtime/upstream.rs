//! `docs/upstream/` says what lambda_http does with events that clients can shape, and why a guard stands before it. Each of its
//! snippets and rows is run here: a version of lambda_http that does better makes this fail, and the guard smaller.

use std::panic::catch_unwind;
use std::path::Path;

use serde_json::Value;

/// What lambda_http makes of an event: the path, `is refused: …` or `panics: …`.
fn made(event: &str) -> String {
    let made =
        catch_unwind(|| lambda_http::request::from_str(event).map(|request| request.uri().path().to_owned()));
    match made {
        Ok(Ok(path)) => path,
        Ok(Err(error)) => format!("is refused: {error}"),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map_or("", String::as_str);
            format!("panics: {said}")
        }
    }
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap().0
}

/// The rows of a page's table: where in the event, which value, what comes of it.
fn rows(page: &str) -> Vec<(&str, Value, &str)> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let row =
        |cells: &'_ str| -> Option<(usize, usize)> { Some((cells.find("` | `")?, cells.rfind("` | ")?)) };
    cells
        .map(|cells| {
            let (first, last) = row(cells).unwrap();
            let value = serde_json::from_str(&cells[first + 5..last]).unwrap();
            (&cells[..first], value, cells[last + 4..].trim_matches('`'))
        })
        .collect()
}

#[test]
fn what_the_findings_say_is_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/upstream");
    let mut found = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let page = std::fs::read_to_string(&path).unwrap();
        if ["README.md", "alias-weights.md"].contains(&name.as_str()) {
            continue;
        }
        let (event, said) = (between(&page, "r#\"", "\"#"), between(&page, "```text\n", "\n```"));
        let whole = match name.split_once('-').unwrap().0 {
            "panic" => format!("panics: {said}"),
            "failure" => format!("is refused: {said}"),
            _ => said.to_owned(),
        };
        assert_eq!(made(event), whole, "{name}");
        let rows = rows(&page);
        assert!(rows.len() >= 3, "{name}: {rows:?}");
        for (at, value, outcome) in rows {
            let mut changed: Value = serde_json::from_str(event).unwrap();
            let (parent, key) = at.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[key] = value;
            let made = made(&changed.to_string());
            assert_eq!(
                made.split_once(": ").map_or(made.as_str(), |(kind, _)| kind),
                outcome,
                "{name}: {changed}"
            );
        }
        found += 1;
    }
    assert_eq!(found, 7);
}
