//! What somebody may have meant who typed a word that is no command.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words of other tools, and of wishes, with what there is in their place.
const ELSEWHERE: [(&[&str], &str); 7] = [
    (
        &["approve", "reject"],
        "a release waits in CodePipeline's console for somebody with the approver's policy (docs/aws.md, step 8); in a rehearsal: cargo xtask rehearse --approve ask|auto|reject",
    ),
    (
        &["status", "state", "ls", "list", "info", "ps"],
        "what an environment runs: cargo xtask package --explain --env prod; isolated stacks: cargo xtask deploy --list; all that a release needs: cargo xtask doctor; the pipeline itself: aws codepipeline get-pipeline-state",
    ),
    (
        &["logs", "log", "tail", "traces"],
        "a rehearsal's logs lie in target/causeway/local/logs; a function's on AWS: aws logs tail /aws/lambda/NAME --follow",
    ),
    (
        &["rollback", "undo", "revert"],
        "a release that fails is rolled back by itself; an earlier one comes back by git revert and a push (docs/aws.md: when a rollback gets stuck)",
    ),
    (
        &["init", "new", "create", "add", "generate"],
        "this repository is copied, and your functions go in the demo's place: docs/your-functions.md",
    ),
    (
        &["build", "zip", "lambda"],
        "cargo xtask package builds, zips and uploads; with --no-upload it stays here",
    ),
    (
        &["up", "down", "env", "start", "stop", "invoke", "watch", "sync"],
        "the local cloud: cargo xtask local up, env, down; a deployment as it happens: cargo xtask test-deployment --env prod",
    ),
];

/// Puts what there is into an error about a word that is no command.
pub(crate) fn add(error: &mut clap::Error, command: &clap::Command, first: &str) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return };
    let word = word.clone();
    // Only the first word is looked for elsewhere: a part of `local` or `bench` has its own neighbors.
    let is_first = word == first;
    let of = if is_first { Some(command) } else { command.find_subcommand(first) };
    let names: Vec<&str> =
        of.into_iter().flat_map(clap::Command::get_subcommands).map(clap::Command::get_name).collect();
    error.remove(ContextKind::SuggestedSubcommand);
    if let Some(tip) = elsewhere(&word).filter(|_| is_first) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
        return;
    }
    let near: Vec<String> = nearest(&word, &names).into_iter().map(ToOwned::to_owned).collect();
    if !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

fn elsewhere(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    ELSEWHERE.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, tip)| *tip)
}

/// The commands that a word is a misspelling of, the nearest first: so many letters apart, none counted for hyphens and case.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Vec<&'a str> {
    let plain = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    let typed = plain(word);
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|name| {
            let of = plain(name);
            let begins = typed.chars().count() >= 3 && of.starts_with(&typed);
            let apart = if begins { 1 } else { strsim::osa_distance(&typed, &of) };
            // A third of a word may be wrong; of a short one a letter.
            (apart <= (of.len() / 3).max(1)).then_some((apart, *name))
        })
        .collect();
    near.sort_unstable();
    let best = near.first().map_or(0, |(apart, _)| *apart);
    near.into_iter().filter(|(apart, _)| *apart <= best + 1).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> String {
        let words = std::iter::once("xtask").chain(words.iter().copied()).map(Into::into);
        crate::read(words).unwrap_err().error.to_string()
    }

    #[test]
    fn a_word_of_another_tool_gets_a_way_and_no_wrong_neighbor() {
        for (word, way) in [
            ("approve", "rehearse --approve"),
            ("status", "package --explain"),
            ("logs", "target/causeway/local/logs"),
            ("rollback", "git revert"),
            ("init", "docs/your-functions.md"),
            ("Up", "local up"),
        ] {
            let said = said(&[word]);
            assert!(said.contains(way), "{word}: {said}");
            assert!(!said.contains("similar subcommand"), "{word}: {said}");
        }
    }

    #[test]
    fn every_command_that_a_tip_names_is_one() {
        for (words, tip) in ELSEWHERE {
            for part in tip.split("cargo xtask ").skip(1) {
                let name = part.split([' ', ';', ',']).next().unwrap();
                assert!(crate::command().find_subcommand(name).is_some(), "{words:?}: {name}");
            }
            for word in words {
                assert!(crate::command().find_subcommand(word).is_none(), "{word} is a command");
            }
        }
    }

    #[test]
    fn the_nearest_command_comes_first_and_a_far_one_not_at_all() {
        let command = crate::command();
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        for (word, expected) in [
            ("rehearze", vec!["rehearse"]),
            ("reherase", vec!["rehearse"]),
            ("rehe", vec!["rehearse"]),
            ("testdeployment", vec!["test-deployment"]),
            ("test_deployment", vec!["test-deployment"]),
            ("destory", vec!["destroy"]),
            ("bootstarp", vec!["bootstrap"]),
            ("docter", vec!["doctor"]),
            ("integrationtest", vec!["integration-test"]),
            ("pacakge", vec!["package"]),
            ("xyzzy", vec![]),
        ] {
            assert_eq!(nearest(word, &names), expected, "{word}");
        }
        assert!(said(&["rehearze"]).contains("a similar subcommand exists: 'rehearse'"));
        assert!(said(&["local", "evn"]).contains("'env'"), "{}", said(&["local", "evn"]));
    }
}
