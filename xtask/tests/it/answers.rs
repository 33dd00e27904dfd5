//! What the entry answers by itself: no cargo, no PATH, no checkout.

use std::fmt::Write as _;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Ended, path_variable, program};

fn entry(words: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_xtask"));
    command.args(words).current_dir("/");
    command
}

/// The command lines of all commands and their parts, hidden ones too.
fn commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for command in causeway_args::command().get_subcommands() {
        let name = command.get_name().to_owned();
        all.push(vec![name.clone()]);
        all.extend(command.get_subcommands().map(|part| vec![name.clone(), part.get_name().to_owned()]));
    }
    all
}

#[test]
fn help_is_the_same_for_every_command() {
    let mut text = String::new();
    for words in commands() {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--help");
        let ended = Ended::of(&mut entry(&words));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{words:?}");
        let help = ended.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let _ = writeln!(text, "$ cargo xtask {}\n{help}\n", words.join(" "));
    }
    assert_snapshot!("help", text);
}

#[test]
fn the_version_is_the_projects() {
    let ended = Ended::of(&mut entry(&["--version"]));
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("causeway {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_mistake_ends_with_2_and_a_result_line_where_json_is_wanted() {
    // What is typed, the command of the result line, what stderr names.
    let table: [(&[&str], &str, &str); 7] = [
        (&["no-such-command"], "no-such-command", "no-such-command"),
        (&["rehearse", "--approve", "maybe"], "rehearse", "possible values: ask, auto, reject"),
        (&["rehearse", "--break-prod", "--no-baseline"], "rehearse", "cannot be used with"),
        (&["bootstrap", "--detailed-exitcode"], "bootstrap", "--dry-run"),
        (&["test-deployment", "--env", "dev", "--rate", "0"], "test-deployment", "0.1"),
        (&["completions", "ksh"], "completions", "possible values: bash, zsh, fish"),
        (&["rehearse", "--aprove", "auto"], "rehearse", "--approve"),
    ];
    for (words, command, named) in table {
        let plain = Ended::of(&mut entry(words));
        assert_eq!((plain.code, plain.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(plain.stderr.contains(named), "{words:?}: {}", plain.stderr);
        for json in [&["--output", "json"][..], &["--output=json"]] {
            let ended = Ended::of(entry(words).args(json));
            assert_eq!((ended.code, ended.stdout.lines().count()), (Some(2), 1), "{words:?}");
            let result = ended.result();
            let expected = json!({"type": "result", "v": 1, "ok": false, "exit_code": 2});
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&result[key], value, "{words:?}: {key}");
            }
            assert_eq!((&result["command"], &result["verdict"]), (&command.into(), &"failed".into()));
            assert!(!result["error"]["why"].as_str().unwrap().is_empty(), "{words:?}: {result}");
        }
    }
}

#[test]
fn no_words_say_what_this_is_and_a_script_without_words_is_wrong() {
    let ended = Ended::of(&mut entry(&[]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for part in ["Causeway carries", "cargo xtask rehearse", "cargo xtask doctor", "no checkout"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let json = Ended::of(&mut entry(&["--output", "json"]));
    assert_eq!((json.code, &json.result()["ok"]), (Some(2), &false.into()));
}

#[test]
fn completions_know_commands_and_options_and_are_good_shell() {
    for (shell, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        let ended = Ended::of(&mut entry(&["completions", shell]));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in ["rehearse", "test-deployment", "approve", "break-prod", "coldstart"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
        let json = Ended::of(&mut entry(&["completions", shell, "--output", "json"])).result();
        assert_eq!(
            (&json["ok"], &json["data"]["completions"]),
            (&true.into(), &ended.stdout.as_str().into())
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("completions");
        std::fs::write(&path, &ended.stdout).unwrap();
        let (name, option) = check.split_once(' ').unwrap();
        match program(name).env("PATH", path_variable()).arg(option).arg(&path).status() {
            Ok(status) => assert!(status.success(), "{check}"),
            // Every machine that builds this has bash.
            Err(error) => assert_ne!(shell, "bash", "{error}"),
        }
    }
}

#[test]
fn bash_completes_a_word() {
    let script = Ended::of(&mut entry(&["completions", "bash"])).stdout;
    let asked = format!(
        "{script}\nCOMP_WORDS=(xtask rehearse --appro); COMP_CWORD=2\n_xtask xtask --appro rehearse\necho \"${{COMPREPLY[@]}}\""
    );
    let ended = Ended::of(program("bash").env("PATH", path_variable()).args(["-c", &asked]));
    assert_eq!(ended.stdout.trim(), "--approve", "{}", ended.stderr);
}
