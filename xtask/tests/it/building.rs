//! What cargo builds: what is said of it, and how it fails.

use std::os::unix::process::CommandExt as _;

use crate::support::{Ended, Folder, RELEASE, path_variable, program, with_cargo};

/// Prints what it was told, and ends with 7.
const TOOL: &str = r#"fn main() {
    for (name, _) in std::env::vars_os() {
        assert!(!name.to_string_lossy().starts_with("CARGO_PKG_"), "{name:?}");
    }
    println!("built {:?}", std::env::var("CAUSEWAY_TOOL_BUILT").ok());
    println!("words {:?}", std::env::args().skip(1).collect::<Vec<_>>());
    std::process::exit(7);
}
"#;

#[test]
fn what_is_missing_is_built_and_run() {
    let folder = Folder::new();
    let entry = folder.checkout("one", TOOL);
    let root = folder.path("one");
    let run = || {
        let mut command = with_cargo(&entry, &root);
        Ended::of(command.args(["doctor", "--offline"]).env("CARGO_PKG_NAME", "from cargo run"))
    };
    let first = run();
    assert_eq!(first.code, Some(7), "{}", first.stderr);
    assert!(first.stdout.contains(r#"words ["doctor", "--offline"]"#), "{}", first.stdout);
    assert!(first.stderr.contains(&format!("built {}: 1 units", RELEASE.bin)), "{}", first.stderr);
    assert!(!first.stderr.contains("Compiling") && !first.stderr.contains("Finished"), "{}", first.stderr);
    assert!(folder.path(&format!("one/target/causeway/progress/{}-debug", RELEASE.bin)).is_file());
    let again = run();
    assert_eq!((again.code, again.stderr.as_str()), (Some(7), ""), "nothing is built, and nothing said");
    folder.write("one/xtask/src/main.rs", &TOOL.replace("words", "other words"));
    let changed = run();
    assert!(changed.stdout.contains("other words"), "an old tool ran: {}", changed.stdout);
}

#[test]
fn a_build_that_fails_shows_the_compilers_error_and_ends_with_1() {
    let folder = Folder::new();
    let entry = folder.checkout("one", "fn main() { let wrong: u8 = \"text\"; }\n");
    let ended = Ended::of(with_cargo(&entry, &folder.path("one")).args(["doctor", "--output", "json"]));
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 1), "{}", ended.stderr);
    for part in ["error[E0308]: mismatched types", "let wrong: u8 = \"text\";", "could not compile"] {
        assert_eq!(ended.stderr.matches(part).count(), 1, "{part}: {}", ended.stderr);
    }
    let result = ended.result();
    assert_eq!((&result["command"], &result["exit_code"]), (&"doctor".into(), &1.into()));
    assert_eq!(result["error"]["what"], "build the tool");
    let text = Ended::of(with_cargo(&entry, &folder.path("one")).arg("doctor"));
    assert!(text.stdout.is_empty() && text.stderr.ends_with(" s)\n"), "{}", text.stderr);
    assert!(text.stderr.contains("  next  fix what they name"), "{}", text.stderr);
}

/// Ctrl-C reaches the whole foreground group of a terminal, `kill` the entry alone.
#[test]
fn an_interrupted_build_ends_with_a_result_line_and_130() {
    let folder = Folder::new();
    let entry = folder.checkout("one", TOOL);
    folder.script("bin/cc", "exit 1");
    let ways = [
        "kill -INT $PPID; exec sleep 600",
        "kill -TERM $PPID; exec sleep 600",
        "kill -INT 0; exec sleep 600",
        // It is interrupted, and ends well nevertheless: the tool must not run.
        "trap '' INT; kill -INT $PPID; cp /bin/true \"$OUT\"",
    ];
    let out = folder.path(&format!("one/target/debug/{}", RELEASE.bin));
    for (n, how) in ways.into_iter().enumerate() {
        let cargo = folder.script(&format!("bin/cargo{n}"), how);
        for json in [true, false] {
            let mut command = with_cargo(&entry, &folder.path("one"));
            command.env("CARGO", &cargo).env("OUT", &out).process_group(0).arg("doctor");
            if json {
                command.arg("--output=json");
            }
            let ended = Ended::of(&mut command);
            assert_eq!(ended.code, Some(130), "{how}: {}", ended.stderr);
            if json {
                assert_eq!(ended.stdout.lines().count(), 1, "{how}: {}", ended.stdout);
                let result = ended.result();
                assert_eq!(
                    (&result["type"], &result["command"], &result["exit_code"], &result["verdict"]),
                    (&"result".into(), &"doctor".into(), &130.into(), &"interrupted".into()),
                    "{how}"
                );
                assert_eq!(result["error"]["what"], "build the tool", "{how}");
            } else {
                assert!(ended.stdout.is_empty(), "{how}: {}", ended.stdout);
                assert!(ended.stderr.contains("doctor: interrupted ("), "{how}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn warnings_are_shown_and_the_tool_runs() {
    let folder = Folder::new();
    let entry = folder.checkout("one", "fn main() { let unused = 1; }\n");
    let ended = Ended::of(with_cargo(&entry, &folder.path("one")).arg("doctor"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning: unused variable: `unused`"), "{}", ended.stderr);
}

#[test]
fn a_missing_cargo_or_compiler_is_named_at_once() {
    let folder = Folder::new();
    let entry = folder.checkout("one", TOOL);
    let root = folder.path("one");
    let bin = folder.path("bin");
    let run = |cargo: &str| {
        let mut command = program(&entry);
        Ended::of(
            command
                .current_dir(&root)
                .env("PATH", &bin)
                .env("CARGO", cargo)
                .args(["doctor", "--output=json"]),
        )
    };
    let nothing = run("/nonexistent/cargo");
    assert_eq!(
        (nothing.code, &nothing.result()["error"]["on"]),
        (Some(2), &"cc".into()),
        "{}",
        nothing.stderr
    );
    folder.script("bin/cc", "exit 1");
    let no_cargo = run("/nonexistent/cargo");
    assert_eq!(no_cargo.code, Some(2));
    assert_eq!(no_cargo.result()["error"]["on"], "/nonexistent/cargo");
    assert!(no_cargo.result()["error"]["next"].as_str().unwrap().contains("rustup"));
    // It built something, but not where it should.
    let elsewhere = run(folder.script("bin/cargo", "exit 0").to_str().unwrap());
    assert_eq!((elsewhere.code, &elsewhere.result()["error"]["what"]), (Some(1), &"find the tool".into()));
}

/// What cargo is told, and what it is told it in.
#[test]
fn cargo_builds_as_the_entry_was_built() {
    let folder = Folder::new();
    folder.checkout("one", TOOL);
    folder.write("one/target/release/.cargo-lock", "");
    let entry = folder.entry("one/target/release");
    folder.script("bin/cc", "exit 1");
    let cargo =
        folder.script("bin/cargo", "echo \"$@\" >&2; echo \"$CARGO_TERM_PROGRESS_WHEN\" >&2; exit 101");
    let root = folder.path("one");
    let mut command = program(&entry);
    command
        .current_dir(&root)
        .env("PATH", path_variable())
        .env("CARGO", cargo)
        .env("CARGO_MANIFEST_DIR", &root);
    let ended = Ended::of(command.arg("doctor"));
    let expected = format!(
        "build --locked --package {} --bin {} --manifest-path {root}/Cargo.toml --target-dir {root}/target --profile release\nalways\n",
        RELEASE.package,
        RELEASE.bin,
        root = root.display()
    );
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
}

/// A rehearsal's checkout: the tool that runs is not built a second time, but only where the sources are the same.
#[test]
fn the_tool_that_runs_is_used_only_where_the_sources_are_the_same() {
    let folder = Folder::new();
    let first = folder.checkout("first", TOOL);
    let ended = Ended::of(with_cargo(&first, &folder.path("first")).arg("doctor"));
    let built = ended.stdout.lines().next().unwrap().to_owned();
    let digest = built.strip_prefix("built Some(\"").unwrap().split(' ').next().unwrap().to_owned();
    let tool = folder.path(&format!("first/target/debug/{}", RELEASE.bin));
    let second = folder.checkout("second", TOOL);
    let root = folder.path("second");
    let run = |cargo: &str, digest: &str| {
        let mut command = with_cargo(&second, &root);
        command.env("CAUSEWAY_TOOL", &tool).env("CAUSEWAY_TOOL_DIGEST", digest);
        if !cargo.is_empty() {
            command.env("CARGO", cargo);
        }
        Ended::of(command.arg("doctor"))
    };
    let same = run("/nonexistent/cargo", &digest);
    assert_eq!(same.code, Some(7), "{}", same.stderr);
    assert!(
        same.stderr.contains("not built a second time") && same.stdout.contains(&digest),
        "{}",
        same.stderr
    );
    // Another digest than the sources have here: cargo decides, and there is none.
    let other = run("/nonexistent/cargo", &"0".repeat(64));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    // Other sources here than the tool was built from.
    folder.write("second/xtask/src/main.rs", &TOOL.replace("words", "other words"));
    let changed = run("", &digest);
    assert!(changed.stdout.contains("other words"), "the wrong tool ran: {}", changed.stdout);
    assert!(changed.stderr.contains("are not those of the tool that runs"), "{}", changed.stderr);
}
