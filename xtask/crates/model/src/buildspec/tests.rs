//! Buildspecs of our own and of others, with what CodeBuild makes of them.

use super::*;

const SPEC: &str = "version: 0.2\nenv:\n  variables: {A: 1}\n  exported-variables: [V]\nphases:\n  build:\n    commands:\n      - cargo xtask package\n    finally:\n      - echo done\n  install:\n    runtime-versions: {rust: 1.95.0}\nartifacts:\n  base-directory: out\n  files: ['**/*']\n  secondary-artifacts:\n    tool:\n      files: [xtask]\n";

#[test]
fn a_buildspec_is_read() {
    let spec = read(SPEC).unwrap();
    assert_eq!(spec.variables["A"], "1");
    assert_eq!(spec.exported, ["V"]);
    assert_eq!(spec.phases.len(), 1);
    assert_eq!(spec.phases[0].commands, ["cargo xtask package"]);
    assert_eq!(spec.phases[0].finally, ["echo done"]);
    assert_eq!(spec.phases[0].on_failure, OnFailure::Unset);
    assert_eq!((spec.shell, spec.told.len()), (Shell::Sh, 0));
    let artifacts = spec.artifacts.unwrap();
    assert_eq!(artifacts.base_directory.as_deref(), Some("out"));
    assert_eq!(artifacts.secondary["tool"].files, ["xtask"]);
}

/// What is done with it, said in the parts that a plain reader drops.
#[test]
fn every_part_of_a_buildspec_has_its_place() {
    let env = |lines: &str| format!("version: 0.2\nenv:\n{lines}phases: {{build: {{commands: [a]}}}}\n");
    let phase = |line: &str| format!("version: 0.2\nphases:\n  build:\n    {line}\n    commands: [a]\n");
    let artifacts =
        |lines: &str| format!("version: 0.2\nphases: {{build: {{commands: [a]}}}}\nartifacts:\n{lines}");
    let of = |text: String| read(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));

    assert_eq!(of(env("  shell: bash\n")).shell, Shell::Bash);
    assert_eq!(of(env("  shell: /bin/sh\n")).shell, Shell::Sh);
    assert_eq!(of(env("  parameter-store: {DB: /shop/db}\n")).parameters["DB"], "/shop/db");
    assert_eq!(
        of(env("  secrets-manager: {T: 'shop/token:value'}\n")).secrets["T"].key.as_deref(),
        Some("value")
    );
    assert_eq!(of(env("  git-credential-helper: no\n")).told, []);
    assert_eq!(of(env("  git-credential-helper: yes\n")).told[0].0, "env.git-credential-helper");
    assert_eq!(of(env("  variables:\n    N: 3\n    B: true\n")).variables["B"], "true");

    let any = || ".*".to_owned();
    for (text, expected) in [
        ("ABORT", OnFailure::Abort),
        ("CONTINUE", OnFailure::Continue),
        ("RETRY", OnFailure::Retry(3, any())),
        ("RETRY-0", OnFailure::Retry(0, any())),
        ("RETRY-5", OnFailure::Retry(5, any())),
        ("RETRY-timed out", OnFailure::Retry(3, "timed out".into())),
        ("RETRY-2-HTTP 5..", OnFailure::Retry(2, "HTTP 5..".into())),
        ("RETRY-time-out", OnFailure::Retry(3, "time-out".into())),
    ] {
        assert_eq!(of(phase(&format!("on-failure: {text}"))).phases[0].on_failure, expected, "{text}");
    }

    let made = |lines: &str| of(artifacts(lines)).artifacts.unwrap();
    let all = made(
        "  files: '**/*'\n  discard-paths: yes\n  exclude-paths: ['secret/**']\n  enable-symlinks: yes\n",
    );
    assert_eq!((all.files.len(), all.discard_paths, all.symlinks), (1, true, true));
    assert_eq!(all.exclude, ["secret/**"]);
    assert!(!made("  files: [a]\n  discard-paths: no\n").discard_paths);
    let second = "  secondary-artifacts:\n    One:\n      files: [a]\n      discard-paths: true\n      exclude-paths: b\n      name: x\n";
    let second = &made(second).secondary["One"];
    assert_eq!((second.discard_paths, &second.exclude), (true, &vec!["b".to_owned()]));

    let told = "version: 0.2\nphases: {build: {commands: [a]}}\nreports: {unit: {files: [x], file-format: JUNITXML}}\ncache: {paths: [p], key: k}\n";
    let told: Vec<String> = read(told).unwrap().told.into_iter().map(|(key, _)| key).collect();
    assert_eq!(told, ["reports", "cache"]);
}

/// What cannot be done here, and what is not known, is refused with its line and the next step, all of it at once.
#[test]
fn what_is_refused_is_named_with_its_line() {
    let rest = "phases:\n  build:\n    commands: [a]\n";
    let with = |line: &str| format!("version: 0.2\n{line}\n{rest}");
    let table: Vec<(String, usize, &str, &str)> = vec![
        (SPEC.replace("0.2", "0.1"), 1, "version", "version 0.1"),
        (SPEC.replace("  build:", "  compile:"), 6, "phases.compile", "not known"),
        (
            SPEC.replace("      - cargo xtask package", "      - [cargo]"),
            8,
            "phases.build.commands",
            "list of texts",
        ),
        ("version: 0.2\n".to_owned(), 1, "phases", "no phases"),
        (with("run-as: nobody"), 2, "run-as", "user who rehearses"),
        (with("proxy: {logs: yes}"), 2, "proxy", "no proxy"),
        (with("batch: {fast-fail: true}"), 2, "batch", "one build"),
        (with("env: {shel: bash}"), 2, "env.shel", "not known"),
        (with("env: {shell: powershell.exe}"), 2, "env.shell", "bash"),
        (with("env: {secrets-manager: {T: 'a:b:c:d'}}"), 2, "env.secrets-manager.T", "takes one of them"),
        (
            with("env: {parameter-store: {P: /p}, exported-variables: [P]}"),
            2,
            "env.exported-variables",
            "does not export P",
        ),
        (with("env: {exported-variables: [AWS_REGION]}"), 2, "env.exported-variables", "AWS_REGION"),
        (with("cache: {path: [x]}"), 2, "cache.path", "not known"),
        (with("reports: {unit: {formt: x}}"), 2, "reports.unit.formt", "not known"),
        (with("artifacts: {files: [a], discard-path: yes}"), 2, "artifacts.discard-path", "not known"),
        (with("artifacts: {files: [a], discard-paths: perhaps}"), 2, "artifacts.discard-paths", "yes nor no"),
        (with("artifacts: {secondary-artifacts: {A: {}}}"), 2, "artifacts.secondary-artifacts.A", "no files"),
        (format!("{}    comands: [b]\n", with("")), 6, "phases.build.comands", "not known"),
        (format!("{}    run-as: nobody\n", with("")), 6, "phases.build.run-as", "user who rehearses"),
        (format!("{}    on-failure: STOP\n", with("")), 6, "phases.build.on-failure", "no such action"),
        (format!("{}    on-failure: RETRY-101\n", with("")), 6, "phases.build.on-failure", "no such action"),
        (
            format!("{}    commands: 'not a list'\n", "version: 0.2\nphases:\n  build:\n"),
            4,
            "phases.build.commands",
            "list of texts",
        ),
        (
            "version: 0.2\nphases:\n  build: {commands: [a: b]}\n".to_owned(),
            3,
            "phases.build.commands",
            "list of texts",
        ),
        ("version: [\n".to_owned(), 2, "the buildspec", ""),
    ];
    for (text, line, on, word) in table {
        let faults = read(&text).unwrap_err();
        let hit =
            faults.iter().find(|fault| fault.on == on && fault.line == line && fault.why.contains(word));
        assert!(hit.is_some(), "{on} {line} {word}: {faults:?}\n{text}");
        assert!(faults.iter().all(|fault| !fault.next.is_empty()), "{faults:?}");
    }
}

/// A buildspec of somebody else (the report's own), whose every line was once dropped.
#[test]
fn a_buildspec_with_everything_is_refused_for_what_is_not_done_alone() {
    let text = include_str!("everything.yml");
    let on: Vec<(String, usize)> =
        read(text).unwrap_err().into_iter().map(|fault| (fault.on, fault.line)).collect();
    assert_eq!(on, [("run-as".to_owned(), 3), ("phases.pre_build.comands".to_owned(), 14)]);
    let text = text.replace("run-as: nobody\n", "").replace("    comands: ['echo misspelled']\n", "");
    let spec = read(&text).unwrap();
    assert_eq!(spec.shell, Shell::Bash);
    assert_eq!(spec.phases[0].on_failure, OnFailure::Continue);
    assert_eq!((spec.parameters.len(), spec.secrets.len(), spec.told.len()), (1, 1, 0));
    let output = &spec.artifacts.unwrap().secondary["BuildOutput"];
    assert_eq!(output.name("deep/a.json").as_deref(), Some("a.json"));
    assert_eq!(output.name("secret/key.pem"), None);
}
