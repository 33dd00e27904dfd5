//! What `cargo xtask` says by itself: what this is, what to do first, and where one stands.

use std::fmt::Write as _;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};

use crate::part::PARTS;
use crate::place::Cargos;

/// The text, for a checkout where there is one around.
pub(crate) fn text(root: Option<&Path>) -> String {
    let mut text = String::from(
        "Causeway carries a commit of a serverless application across AWS accounts, build\n\
         → dev → prod, or rehearses that on this machine: no account, no Docker.\n\n\
         First:\n",
    );
    for (line, what) in [
        ("cargo xtask rehearse", "the whole release, here"),
        ("cargo xtask rehearse --break-prod", "one that fails in prod, and is rolled back"),
        ("cargo xtask doctor", "what AWS would need, and what of it is there"),
    ] {
        let _ = writeln!(text, "  {line:<34} {what}");
    }
    text.push_str("\nHere:\n");
    match root {
        Some(root) => {
            for (what, how) in standing(root) {
                let _ = writeln!(text, "  {what:<12} {how}");
            }
        }
        None => text.push_str("  this is no checkout of it: go into one first\n"),
    }
    text.push_str("\ncargo xtask --help has all commands, README.md what this is.");
    text
}

/// What is there, as far as files say it: nothing is built or asked for this.
fn standing(root: &Path) -> Vec<(&'static str, String)> {
    let stacks = std::fs::read_to_string(root.join("cfn/stacks.toml")).unwrap_or_default();
    let value = |name: &str| {
        let row =
            stacks.lines().find_map(|row| row.trim().strip_prefix(name)?.trim_start().strip_prefix('='));
        row.and_then(|row| row.split('"').nth(1)).unwrap_or("?").to_owned()
    };
    let accounts = if PLACEHOLDERS.iter().any(|id| stacks.contains(id)) {
        "the account ids are placeholders: good for rehearsals, refused on AWS (docs/aws.md)"
    } else {
        "account ids of your own in cfn/stacks.toml"
    };
    let target = Cargos::usual(root);
    let tool = match PARTS.iter().any(|part| target.program(part.bin).is_file()) {
        true => "built",
        false => "not built yet: the first command compiles it, some minutes, with progress",
    };
    vec![
        ("project", format!("{} in {}", value("project"), value("region"))),
        ("accounts", accounts.to_owned()),
        ("tool", tool.to_owned()),
        ("rehearsal", last(root)),
        ("local cloud", cloud(root)),
    ]
}

/// The ids with which `cfn/stacks.toml` comes.
const PLACEHOLDERS: [&str; 3] = ["\"111111111111\"", "\"222222222222\"", "\"333333333333\""];

/// How the last rehearsal ended: its verdict, commit and time, as it noted them.
fn last(root: &Path) -> String {
    let noted = std::fs::read_to_string(root.join(causeway_digest::LAST_REHEARSAL)).unwrap_or_default();
    match noted.lines().next() {
        Some(line) if !line.is_empty() => format!("the last one: {line}"),
        _ => "none yet".to_owned(),
    }
}

/// Whether the process of the local cloud lives.
fn cloud(root: &Path) -> String {
    let state = std::fs::read_to_string(root.join("target/causeway/local/state.json")).unwrap_or_default();
    let pid = state.split("\"pid\":").nth(1).and_then(|rest| {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Pid::from_raw(digits.parse().ok()?)
    });
    match pid {
        Some(pid) if test_kill_process(pid).is_ok() => {
            "up (cargo xtask local env points a client at it, local down ends it)".to_owned()
        }
        _ => "down".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines().find(|row| row.trim_start().starts_with(name)).unwrap().trim()
    }

    #[test]
    fn it_says_where_one_stands_from_files_alone() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        put(
            "cfn/stacks.toml",
            "# a\nproject = \"shop\" # b\nregion = \"eu-west-1\"\nbuild = { id = \"111111111111\" }",
        );
        let fresh = text(Some(root.path()));
        assert_eq!(row(&fresh, "project"), "project      shop in eu-west-1");
        assert!(row(&fresh, "accounts").contains("placeholders"), "{fresh}");
        assert_eq!(row(&fresh, "rehearsal"), "rehearsal    none yet");
        assert_eq!(row(&fresh, "local cloud"), "local cloud  down");

        put("cfn/stacks.toml", "project = \"shop\"\nbuild = { id = \"123456789012\" }");
        put(causeway_digest::LAST_REHEARSAL, "released 1a2b3c4d5e6f at 2026-11-28T00:00:00Z\n");
        put("target/causeway/local/state.json", &format!("{{\"pid\": {}}}", std::process::id()));
        let later = text(Some(root.path()));
        assert!(row(&later, "accounts").contains("your own"), "{later}");
        assert!(row(&later, "rehearsal").contains("released 1a2b3c4d5e6f"), "{later}");
        assert!(row(&later, "local cloud").contains("up"), "{later}");
        // More than any process id.
        put("target/causeway/local/state.json", "{\"pid\": 2147483646}");
        assert_eq!(row(&text(Some(root.path())), "local cloud"), "local cloud  down");
        for page in [&fresh, &later, &text(None)] {
            assert!(page.lines().count() <= 22, "{page}");
            assert!(page.lines().all(|row| row.chars().count() <= 100), "{page}");
        }
        assert!(text(None).contains("no checkout"));
    }
}
