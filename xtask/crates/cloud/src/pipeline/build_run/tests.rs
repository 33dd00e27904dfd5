//! Builds with real shells.

use std::path::Path;

use super::*;
use causeway_model::buildspec;

const QUIET: Told<'static> = Told { show: &|_| {}, warn: &|_| {} };

fn build(dir: &Path, commands: &str) -> BuildRun {
    of(dir, &format!("version: 0.2\nenv: {{exported-variables: [GIVEN]}}\nphases:\n{commands}"))
}

fn of(dir: &Path, spec: &str) -> BuildRun {
    BuildRun {
        spec: buildspec::read(spec).unwrap(),
        dir: dir.to_path_buf(),
        environment: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
        secrets: vec!["hidden-value".to_owned()],
        scratch: tempfile::tempdir().unwrap(),
        log: dir.join("log"),
        records: dir.join("records"),
        limit: Duration::from_secs(600),
    }
}

#[tokio::test]
async fn commands_share_a_shell_and_export_variables() {
    let dir = tempfile::tempdir().unwrap();
    let run = build(
        dir.path(),
        "  install: {commands: ['export GIVEN=\"a b\"', 'mkdir sub', 'cd sub']}\n  build: {commands: ['echo $GIVEN > out']}\n",
    );
    run.phases(&QUIET).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("sub/out")).unwrap(), "a b\n");
    assert_eq!(run.exported(), [("GIVEN".to_owned(), "a b".to_owned())]);
}

#[tokio::test]
async fn the_first_failure_ends_a_phase_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = build(
        dir.path(),
        "  build: {commands: ['echo fine', 'echo broken >&2; exit 3', 'touch never'], finally: ['touch finally']}\n  post_build: {commands: ['touch post']}\n",
    );
    let error = run.phases(&QUIET).await.unwrap_err();
    let fault = causeway_model::fault::from_error(&error);
    assert_eq!(fault.on, "build: echo broken >&2; exit 3");
    assert!(fault.why.contains("broken"), "{}", fault.why);
    let there = |name: &str| dir.path().join(name).exists();
    assert!(!there("never") && there("finally") && there("post"));
}

#[tokio::test]
async fn progress_is_shown_and_a_failures_own_lines_come_once_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..40).map(|number| format!("echo row {number};")).collect::<String>();
    let run = build(
        dir.path(),
        &format!(
            "  build: {{commands: ['echo before; echo \"building causeway: 3 of 4 units\"; echo \"building: 1 of 2 units\"; echo \"building: 2 of 2 units\"; {rows} exit 1']}}\n"
        ),
    );
    let shown = std::sync::Mutex::new(Vec::new());
    let error = run
        .phases(&Told { show: &|line| shown.lock().unwrap().push(line.to_owned()), warn: &|_| {} })
        .await
        .unwrap_err();
    let shown = shown.into_inner().unwrap();
    assert_eq!(
        shown,
        ["building causeway: 3 of 4 units", "building: 1 of 2 units", "building: 2 of 2 units"],
        "nothing else"
    );
    let why = causeway_model::fault::from_error(&error).why;
    for row in ["row 0", "row 39"] {
        assert_eq!(why.lines().filter(|line| *line == row).count(), 1, "{row}: {why}");
    }
    assert!(!why.contains("before") && !why.contains("building"), "{why}");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("before\n") && log.contains("row 39\n"), "{log}");
    assert_eq!(log.matches("building").count(), 1, "progress is no news every time: {log}");
}

#[tokio::test]
async fn a_failed_install_ends_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let run = build(
        dir.path(),
        "  install: {commands: ['false']}\n  build: {commands: ['touch built']}\n  post_build: {commands: ['touch post']}\n",
    );
    assert!(run.phases(&QUIET).await.is_err());
    assert!(!dir.path().join("built").exists() && !dir.path().join("post").exists());
}

#[tokio::test(start_paused = true)]
async fn a_build_that_hangs_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing but the limit is waited for, and it passes at once: a child is no timer.
    let run = build(dir.path(), "  build: {commands: ['sleep 600']}\n");
    let fault = causeway_model::fault::from_error(&run.phases(&QUIET).await.unwrap_err());
    assert!(fault.why.contains("time-out of 10 minutes"), "{}", fault.why);
    assert_eq!(std::fs::read_dir(&run.records).unwrap().count(), 0, "nothing of it is left");
}

/// Runs a buildspec: whether it did well, the files it left, and what was warned of.
async fn ran(spec: &str) -> (Result<(), Fault>, Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let run = of(dir.path(), &format!("version: 0.2\n{spec}"));
    let warned = std::sync::Mutex::new(Vec::new());
    let warn = |text: String| warned.lock().unwrap().push(text);
    let ended = run.phases(&Told { show: &|_| {}, warn: &warn }).await;
    let mut left = causeway_machine::files::files_below(dir.path(), &|name| name != "records").unwrap();
    left.retain(|name| name != "log");
    (ended.map_err(|error| from_error(&error)), left, warned.into_inner().unwrap())
}

/// What CodeBuild does of what a phase says, and which files that leaves.
#[tokio::test]
async fn phases_end_as_codebuild_ends_them() {
    let table: Vec<(&str, bool, &[&str])> = vec![
        // One shell: what is not exported is there as well, in both shells; functions and options, too.
        (
            "phases: {pre_build: {commands: ['TAG=t']}, build: {commands: ['touch \"got-$TAG\"']}}",
            true,
            &["got-t"],
        ),
        (
            "env: {shell: bash}\nphases: {pre_build: {commands: ['TAG=t; list=(a b); made() { touch \"$1\"; }']}, build: {commands: ['[[ $TAG == t* ]] && made \"got-${list[1]}\"']}}",
            true,
            &["got-b"],
        ),
        (
            "phases: {pre_build: {commands: [\"T=it\\\\'s\"]}, build: {commands: ['touch \"$T\"']}}",
            true,
            &["it's"],
        ),
        (
            "phases: {pre_build: {commands: ['set -u']}, build: {commands: ['touch $NONE', 'touch never']}}",
            false,
            &[],
        ),
        (
            "phases: {pre_build: {commands: ['export A=1; mkdir d; cd d']}, build: {commands: ['touch $A']}}",
            true,
            &["d/1"],
        ),
        // Failures.
        (
            "phases: {install: {on-failure: CONTINUE, commands: ['false', 'touch never']}, build: {commands: ['touch b$CODEBUILD_BUILD_SUCCEEDING']}}",
            true,
            &["b0"],
        ),
        (
            "phases: {build: {on-failure: ABORT, commands: ['false']}, post_build: {commands: ['touch post']}}",
            false,
            &[],
        ),
        (
            "phases: {build: {commands: ['false']}, post_build: {commands: ['touch post$CODEBUILD_BUILD_SUCCEEDING']}}",
            false,
            &["post0"],
        ),
        (
            "phases: {build: {commands: ['true']}, post_build: {commands: ['touch post$CODEBUILD_BUILD_SUCCEEDING']}}",
            true,
            &["post1"],
        ),
        ("phases: {pre_build: {commands: ['false']}, post_build: {commands: ['touch post']}}", false, &[]),
        (
            "phases: {build: {commands: ['false'], finally: ['touch finally$CODEBUILD_BUILD_SUCCEEDING']}}",
            false,
            &["finally0"],
        ),
        (
            "phases: {build: {commands: ['true'], finally: ['false']}, post_build: {commands: ['touch post']}}",
            false,
            &["post"],
        ),
        // Tried again.
        (
            "phases: {build: {on-failure: RETRY, commands: ['test -e c || { touch c; false; }', 'touch done']}}",
            true,
            &["c", "done"],
        ),
        (
            "phases: {build: {on-failure: RETRY-1, commands: ['touch \"a$(ls | wc -l)\"; false']}}",
            false,
            &["a0", "a1"],
        ),
        (
            "phases: {build: {on-failure: RETRY-0, commands: ['touch \"a$(ls | wc -l)\"; false']}}",
            false,
            &["a0"],
        ),
        (
            "phases: {build: {on-failure: RETRY-2-HTTP 5.., commands: ['test -e c || { touch c; echo HTTP 503; false; }', 'touch done']}}",
            true,
            &["c", "done"],
        ),
        (
            "phases: {build: {on-failure: RETRY-2-HTTP 5.., commands: ['test -e c || { touch c; echo HTTP 404; false; }', 'touch done']}}",
            false,
            &["c"],
        ),
    ];
    for (spec, good, files) in table {
        let (ended, mut left, warned) = ran(spec).await;
        // `log` and `records` lie beside what the build makes.
        left.retain(|name| !name.starts_with("records/"));
        let counted =
            left.iter().map(|name| name.replace("a2", "a0").replace("a3", "a1")).collect::<Vec<_>>();
        assert_eq!(
            (ended.is_ok(), counted.iter().map(String::as_str).collect::<Vec<_>>()),
            (good, files.to_vec()),
            "{spec}: {ended:?}"
        );
        let says = spec.contains("CONTINUE")
            || (spec.contains("RETRY") && !spec.contains("RETRY-0") && !spec.contains("404"));
        assert_eq!(!warned.is_empty(), says, "{spec}: {warned:?}");
    }
}

#[tokio::test]
async fn an_exit_code_is_told_as_it_was_and_secrets_are_not_told() {
    let (ended, ..) = ran("phases: {build: {commands: ['echo it is hidden-value; exit 22']}}").await;
    let why = ended.unwrap_err().why;
    assert!(why.contains("exit status: 22") && why.contains("it is ***"), "{why}");
    assert!(!why.contains("hidden-value"), "{why}");
}

#[tokio::test]
async fn exported_variables_have_any_value_and_only_exported_ones_have_one() {
    let dir = tempfile::tempdir().unwrap();
    for (command, expected) in [
        (r#"export GIVEN="it's \"two\"""#, Some("it's \"two\"")),
        ("export GIVEN=\"$(printf 'a\\nb')\"", Some("a\nb")),
        ("GIVEN=plain", None),
        ("true", None),
    ] {
        let spec = format!(
            "version: 0.2\nenv: {{exported-variables: [GIVEN]}}\nphases:\n  build:\n    commands:\n      - {}\n",
            serde_json::to_string(command).unwrap()
        );
        let run = of(dir.path(), &spec);
        run.phases(&QUIET).await.unwrap();
        let found = run.exported();
        assert_eq!(found.first().map(|(_, value)| value.as_str()), expected, "{command}");
    }
}
