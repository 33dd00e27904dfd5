//! `test --report`: JUnit whatever happens, Cobertura where LLVM's tools of the compiler's version are there.
//!
//! In a workspace of two tiny packages, so that compiling it takes no time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use causeway_machine::cmd::cmd;
use causeway_testing::{Ended, Project, read, script, shell, workspace};

const PASSING: &str = "pub fn one() -> u32 {\n    1\n}\n\n#[test]\nfn holds() {\n    assert_eq!(one(), 1);\n}\n\n#[test]\n#[ignore]\nfn is_slow() {}\n";

/// The tiny workspace. It has the names of what is released, and nothing else of it.
fn tiny() -> Project {
    let project = Project::new();
    let write = |name: &str, text: &str| {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[workspace]\nmembers = [\"api\", \"hooks\"]\nresolver = \"3\"\n");
    let mut lock = "version = 4\n".to_owned();
    for name in ["api", "hooks"] {
        write(
            &format!("{name}/Cargo.toml"),
            &format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
        );
        write(&format!("{name}/src/lib.rs"), PASSING);
        lock.push_str(&format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n"));
    }
    write("Cargo.lock", &lock);
    project
}

/// Puts a program before those of the machine.
fn put(project: &mut Project, name: &str, text: &str) {
    let bin = project.path().join("target/bin");
    script(&bin.join(name), &format!("#!/bin/sh\n{text}\n"));
    project.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
}

/// LLVM's tools of a version, as far as they are asked anything: a profile is merged into nothing, and the export
/// says that the first line of `api` was run and the second one was not.
fn put_llvm(project: &mut Project, version: &str) {
    // A compiler that brings no tools of its own.
    let real = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let path = std::env::var("PATH").unwrap();
    put(
        project,
        "rustc",
        &format!(
            "[ \"$*\" = '--print sysroot' ] && {{ echo /nowhere; exit 0; }}\nPATH='{path}' exec '{}' \"$@\"",
            real.display()
        ),
    );
    let lib = project.path().canonicalize().unwrap().join("api/src/lib.rs");
    let major = version.split('.').next().unwrap();
    for name in ["llvm-cov".to_owned(), format!("llvm-cov-{major}")] {
        put(
            project,
            &name,
            &format!(
                "case \"$1\" in --version) echo 'LLVM version {version}';; export) printf 'SF:{}\\nDA:1,4\\nDA:2,0\\nend_of_record\\n';; *) exit 1;; esac",
                lib.display()
            ),
        );
    }
    for name in ["llvm-profdata".to_owned(), format!("llvm-profdata-{major}")] {
        put(project, &name, "case \"$1\" in --version) echo ok;; merge) : > \"$4\";; *) exit 1;; esac");
    }
}

/// The LLVM of the compiler at work.
fn llvm() -> String {
    let sh = shell(&workspace());
    let said = read(cmd!(sh, "rustc -vV"));
    said.lines().find_map(|row| row.strip_prefix("LLVM version: ")).unwrap().to_owned()
}

fn report(project: &Project, name: &str) -> Option<String> {
    std::fs::read_to_string(project.path().join("reports").join(name)).ok()
}

fn run(project: &Project) -> Ended {
    project.run(&["test", "--report", "reports"])
}

#[test]
fn junit_is_written_and_coverage_is_skipped_and_said_without_the_right_llvm() {
    let mut project = tiny();
    put_llvm(&mut project, "3.9.0");
    // What an earlier run left is not taken for this one's.
    std::fs::create_dir_all(project.path().join("reports")).unwrap();
    std::fs::write(project.path().join("reports/cobertura.xml"), "old").unwrap();
    let ended = run(&project);
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    let data = &ended.result()["data"];
    assert_eq!((&data["passed"], &data["failed"], &data["ignored"]), (&2.into(), &0.into(), &2.into()));
    assert!(data["coverage"].is_null(), "{data}");
    let junit = report(&project, "junit.xml").unwrap();
    assert!(junit.contains("<testsuite name=\"api\" tests=\"2\"") && junit.contains("holds"), "{junit}");
    let skipped = ended.of_type("step").find(|step| step["action"] == "Coverage").unwrap();
    assert_eq!((&skipped["mode"], &skipped["status"]), (&"skipped".into(), &"succeeded".into()));
    let reason = skipped["reason"].as_str().unwrap();
    let major = llvm().split('.').next().unwrap().to_owned();
    assert!(reason.contains(&format!("version {major}")) && reason.contains("llvm-tools"), "{reason}");
    assert_eq!(report(&project, "cobertura.xml"), None);
}

#[test]
fn cobertura_is_written_with_llvm_tools_of_the_compilers_version() {
    let mut project = tiny();
    put_llvm(&mut project, &llvm());
    let ended = run(&project);
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    assert_eq!(ended.result()["data"]["coverage"], 0.5);
    let cobertura = report(&project, "cobertura.xml").unwrap();
    for part in ["filename=\"api/src/lib.rs\"", "line-rate=\"0.5000\"", "<line number=\"1\" hits=\"4\"/>"] {
        assert!(cobertura.contains(part), "{part}: {cobertura}");
    }
    assert!(report(&project, "junit.xml").unwrap().contains("holds"));
    assert!(!ended.of_type("step").any(|step| step["action"] == "Coverage"), "nothing was skipped");
}

#[test]
fn junit_is_written_for_tests_that_fail_and_for_what_does_not_compile() {
    let mut project = tiny();
    put_llvm(&mut project, "3.9.0");
    project.edit("hooks/src/lib.rs", "assert_eq!(one(), 1)", "assert_eq!(one(), 2, \"<odd>\")");
    let ended = run(&project);
    assert_eq!((ended.code, ended.result()["verdict"].as_str()), (1, Some("failed")));
    assert_eq!(ended.result()["error"]["on"], "hooks holds", "the failing test is named");
    assert_eq!(ended.result()["data"]["passed"], 1, "the other program ran nevertheless");
    let junit = report(&project, "junit.xml").unwrap();
    for part in ["failures=\"1\"", "&lt;odd&gt;", "<testsuite name=\"api\""] {
        assert!(junit.contains(part), "{part}: {junit}");
    }

    project.edit("api/src/lib.rs", "pub fn one", "pub fn one two");
    let ended = run(&project);
    assert_eq!((ended.code, ended.result()["verdict"].as_str()), (1, Some("failed")));
    assert!(ended.stderr.contains("found `two`"), "the compiler's lines are shown: {}", ended.stderr);
    let junit = report(&project, "junit.xml").unwrap();
    for part in [
        "errors=\"1\"",
        "<error message=\"could not build the unit tests: api, hooks",
        "<testsuite name=\"api, hooks\"",
    ] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    assert!(!junit.contains("&lt;odd&gt;"), "{junit}");
}
