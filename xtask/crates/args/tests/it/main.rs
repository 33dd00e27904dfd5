//! What a person reads who has made a mistake in a command line. Help itself is held by the entry's tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_args::{Cli, read};
use clap::CommandFactory as _;

/// What the tool prints of a line.
fn printed(line: &str) -> String {
    let words = std::iter::once("xtask").chain(line.split_whitespace()).map(Into::into);
    let unread = read(words).unwrap_err();
    assert!(unread.is_mistake());
    unread.error.to_string()
}

#[test]
fn what_is_said_of_mistakes() {
    let lines = [
        "rehearze",
        "rehearse --aprove auto",
        "rehearse --approve perhaps",
        "rehearse --break-prod --no-baseline",
        "check --full --gates",
        "bootstrap --detailed-exitcode",
        "deploy",
        "test-deployment --env prod --rate soon",
        "--output",
    ];
    let all: Vec<String> =
        lines.iter().map(|line| format!("$ cargo xtask {line}\n{}", printed(line).trim_end())).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

/// What only one of can be asked for is a mistake together with any other, whichever is named first.
#[test]
fn each_part_of_check_is_asked_for_alone() {
    let parts = [
        "--full",
        "--contract",
        "--gates",
        "--opinions",
        "--arm64",
        "--packages",
        "--faults",
        "--corpus folder",
    ];
    for one in parts {
        for other in parts.iter().filter(|other| **other != one) {
            let said = printed(&format!("check {one} {other}"));
            assert!(said.contains("cannot be used with"), "{one} {other}: {said}");
        }
    }
    // What belongs to one part is a mistake with each of the others, and without it.
    for own in ["--sample", "--case name"] {
        for other in parts.iter().filter(|other| **other != "--faults") {
            let said = printed(&format!("check {other} {own}"));
            assert!(said.contains("cannot be used with"), "{other} {own}: {said}");
        }
        assert!(printed(&format!("check {own}")).contains("--faults"));
    }
}

/// An option that means something beside another one alone is a mistake without it, also beside what excludes that one.
#[test]
fn an_option_of_another_one_is_never_passed_over() {
    for line in [
        "bootstrap --detailed-exitcode",
        "bootstrap --apply plan --detailed-exitcode",
        "deploy --isolated mine --detailed-exitcode",
        "deploy --list --detailed-exitcode",
        "destroy --detailed-exitcode",
        "package --env dev",
    ] {
        printed(line);
    }
}

#[test]
fn the_declarations_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}
