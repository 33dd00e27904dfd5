//! What runs without cargo: the tool that lies beside the entry, as in the artifact of the build stage.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use crate::support::{Ended, Folder, RELEASE, program, raw};

/// The entry beside a tool that is this script; there is no PATH.
fn beside(script: &str) -> (Folder, std::process::Command) {
    let folder = Folder::new();
    let entry = folder.entry("tool");
    folder.script(&format!("tool/{}", RELEASE.bin), script);
    let mut command = program(entry);
    command.current_dir("/");
    (folder, command)
}

#[test]
fn arguments_come_as_they_were_typed() {
    let (_folder, mut command) = beside("for word; do printf '[%s]' \"$word\"; done");
    let words = [
        raw(b"rehearse"),
        raw(b"--report"),
        raw(b"a b\xff\"$x"),
        raw(b"--profile-prefix=-x  y"),
        raw(b"--output=json"),
        raw(b"--swap-package"),
    ];
    let output = command.args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected =
        b"[rehearse][--report][a b\xff\"$x][--profile-prefix=-x  y][--output=json][--swap-package]";
    assert_eq!(output.stdout, expected, "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_exit_code_is_the_tools() {
    for code in [0, 1, 3, 42, 130] {
        let (_folder, mut command) = beside(&format!("exit {code}"));
        assert_eq!(Ended::of(command.arg("doctor")).code, Some(code));
    }
    let (_folder, mut command) = beside("kill -9 $$");
    assert_eq!(command.arg("doctor").status().unwrap().signal(), Some(9));
}

/// The process that was started is the tool: whoever ends it, or sends it a signal, means the tool and reaches it.
#[test]
fn signals_reach_the_tool() {
    let (_folder, mut command) = beside("trap 'exit 9' TERM; echo $$; while :; do read -r line || :; done");
    let mut child = command.arg("doctor").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), child.id().to_string(), "it is the same process");
    let mut kill = program("/bin/sh");
    assert!(kill.args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap().success());
    // The shell looks at signals once its read ends.
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn without_a_tool_or_a_checkout_it_says_what_is_missing() {
    let folder = Folder::new();
    let entry = folder.entry("alone");
    let ended = Ended::of(program(&entry).current_dir("/").args(["doctor", "--output", "json"]));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let error = &ended.result()["error"];
    assert_eq!(error["what"], "find the project");
    assert!(error["why"].as_str().unwrap().contains(RELEASE.bin), "{error}");
    let text = Ended::of(program(&entry).current_dir("/").arg("doctor"));
    assert_eq!((text.code, text.stdout.as_str()), (Some(2), ""));
    assert!(text.stderr.contains("run it inside of the checkout"), "{}", text.stderr);
}
