//! What `package` makes of what cargo built, and what it leaves where it cannot: a disk that is full, a limit, a binary that
//! is too large, a zip that somebody changed. A stand-in for `cargo build` hands out the binaries, so that nothing is compiled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use causeway_testing::{Ended, Project, cargo, script};
use serde_json::{Value, json};

const NAME: &str = "pre-traffic";
const WORDS: [&str; 4] = ["package", "--no-upload", "--bin", NAME];

/// A clone in which `cargo build` only says that it built this hook, or nothing where it is to be missing.
fn project(has_built: bool) -> Project {
    let mut project = Project::that_packages();
    let bin = project.path().join("target/bin");
    let message = json!({
        "reason": "compiler-artifact", "package_id": "path+file:///x#hooks@0.1.0", "manifest_path": "/x/Cargo.toml",
        "target": {"kind": ["bin"], "crate_types": ["bin"], "name": NAME, "src_path": "/x/main.rs",
            "edition": "2024", "doc": true, "doctest": false, "test": true},
        "profile": {"opt_level": "0", "debuginfo": 0, "debug_assertions": true, "overflow_checks": true, "test": false},
        "features": [], "filenames": [], "executable": binary(&project), "fresh": true,
    });
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("said"), if has_built { format!("{message}\n") } else { String::new() }).unwrap();
    let cargo = cargo().display().to_string();
    script(
        &bin.join("cargo"),
        &format!(
            "#!/bin/sh\ncase \"$1\" in build) echo \"$* $CAUSEWAY_BREAK_PROD\" > target/bin/words; exec cat target/bin/said;; esac\nexec '{cargo}' \"$@\"\n"
        ),
    );
    project.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    project
}

fn binary(project: &Project) -> PathBuf {
    project.path().join("target/bin/built")
}

/// A program of this machine with so many bytes behind it that cannot be compressed, others for another seed.
fn build(project: &Project, seed: u64, more: usize) {
    let mut bytes = std::fs::read("/bin/sh").unwrap();
    // Farther apart than a zip looks back, the same bytes again are as good as others.
    let mut block = vec![0; more.min(400_000)];
    fastrand::Rng::with_seed(seed).fill(&mut block);
    bytes.extend(block.iter().cycle().take(if block.is_empty() { 0 } else { more }));
    std::fs::write(binary(project), bytes).unwrap();
}

fn package(project: &Project) -> PathBuf {
    project.path().join("target/causeway/package")
}

/// Everything that was packaged, by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

fn sha256(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    ended.result()["data"]["functions"][0]["sha256"].clone()
}

#[test]
fn a_full_disk_and_a_limit_leave_the_last_packages_and_a_retry_works() {
    let project = project(true);
    build(&project, 1, 0);
    let first = sha256(&project.run(&WORDS));
    let before = files(&package(&project));
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["package.json", "pre-traffic.cdx.json", "pre-traffic.zip"]);
    build(&project, 1, 600_000);

    // No file may be larger than this; a signal that is ignored leaves an error.
    let mut limited = project.through("trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\"", &WORDS);
    let ended = project.run_command(&mut limited);
    assert_eq!(ended.code, 1, "{}", ended.error());
    for word in ["pre-traffic.zip", "File too large", "ulimit -f"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
    assert_eq!(files(&package(&project)), before, "as it was");

    // A disk of its own: small, and then one that cannot be written to. Where nobody may mount one, the limit stands for it.
    let mounts = |line: &str| format!("unshare --user --map-root-user --mount sh -c '{line}' \"$0\" \"$@\"");
    let may = project.run_command(&mut project.through(
        &mounts("mount -t tmpfs -o size=64k none target/causeway/package && exec \"$0\" \"$@\""),
        &["package", "--no-upload", "--bin", "nothing"],
    ));
    if may.lines.is_empty() {
        eprintln!("no disk of its own can be mounted here: {}", may.stderr);
    } else {
        for (options, why, next) in [
            ("size=64k", "No space left on device", "free some space"),
            ("ro", "Read-only file system", "mounted for reading only"),
        ] {
            let line = mounts(&format!(
                "mount -t tmpfs -o {options} none target/causeway/package || exit; \"$0\" \"$@\"; code=$?; echo left: $(ls -A target/causeway/package) >&2; exit $code"
            ));
            let ended = project.run_command(&mut project.through(&line, &WORDS));
            assert_eq!(ended.code, 1, "{}", ended.error());
            for word in ["target/causeway/package", why, next] {
                assert!(ended.error().contains(word), "{word}: {}", ended.error());
            }
            assert!(ended.stderr.lines().any(|line| line.trim() == "left:"), "{}", ended.stderr);
        }
    }

    assert_ne!(sha256(&project.run(&WORDS)), first, "a retry works");
    assert!(files(&package(&project)).iter().zip(&before).all(|(now, then)| now.0 == then.0));
}

/// What the last run left does not stop the next one: a record that is damaged is said and written anew, and what lies where a
/// package has to go is named.
#[test]
fn a_damaged_record_is_said_and_what_is_in_the_way_is_named() {
    let project = project(true);
    build(&project, 1, 0);
    let first = sha256(&project.run(&WORDS));
    let made = files(&package(&project));
    for damage in ["", "{", "[]", "{\"functions\": 1}"] {
        std::fs::write(package(&project).join("package.json"), damage).unwrap();
        let again = project.run(&WORDS);
        assert_eq!(sha256(&again), first, "{damage}");
        let said = |line: &Value| line["message"].as_str().unwrap().contains("package.json cannot be read");
        assert!(again.of_type("warning").any(said), "{damage}: {:?}", again.lines);
        assert_eq!(files(&package(&project)), made, "{damage}");
    }
    let again = project.run(&WORDS);
    assert_eq!((sha256(&again), again.of_type("warning").count()), (first, 0), "a good one is not spoken of");

    for name in ["pre-traffic.zip", "package.json"] {
        let place = package(&project).join(name);
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir_all(place.join("in-the-way")).unwrap();
        let blocked = project.run(&WORDS);
        assert_eq!(blocked.code, 1, "{name}: {}", blocked.error());
        assert!(blocked.error().contains(name), "{name}: {}", blocked.error());
        std::fs::remove_dir_all(&place).unwrap();
        sha256(&project.run(&WORDS));
        assert_eq!(files(&package(&project)), made, "{name}: a retry works, and nothing else is left");
    }
}

/// A package explains itself by the bill beside it, without a build.
#[test]
fn a_package_says_what_changed_since() {
    let project = project(true);
    build(&project, 1, 0);
    sha256(&project.run(&WORDS));
    let differences = || {
        let explained = project.run(&["package", "--explain"]);
        assert_eq!(explained.code, 0, "{} {}", explained.error(), explained.stderr);
        explained.result()["data"]["functions"]["pre-traffic"].clone()
    };
    assert_eq!(differences()["unchanged"], true);
    project.edit("README.md", "# ", "# The ");
    assert_eq!(differences()["unchanged"], true, "a document is in no package");
    project.edit("hooks/src/lib.rs", "//! ", "//! The ");
    assert_eq!(differences()["differences"], json!(["source changed: hooks/src/lib.rs"]));
}

/// No shell stands between the tool and cargo, and what is a value stays one.
#[test]
fn a_profile_reaches_cargo_as_it_is() {
    let mut project = project(true);
    build(&project, 1, 0);
    for profile in ["a;touch owned", "$(touch owned)", "`touch owned`", "-x", "--config=x", "a\nb"] {
        project.set("CAUSEWAY_PROFILE", profile);
        let ended = project.run(&WORDS);
        let words = std::fs::read_to_string(project.path().join("target/bin/words")).unwrap();
        assert!(words.contains(&format!(" --profile={profile} --package=")), "{profile}: {words}");
        assert_eq!(ended.code, 0, "{profile}: {}", ended.error());
        assert_eq!(ended.result()["data"]["profile"], profile);
        std::fs::remove_file(project.path().join("target/bin/words")).unwrap();
    }
    assert!(!project.path().join("owned").exists());
}

#[test]
fn what_lies_there_is_taken_only_as_long_as_it_is_the_same() {
    let project = project(true);
    build(&project, 1, 1_000);
    let first = sha256(&project.run(&WORDS));
    let made = files(&package(&project));
    let zip = package(&project).join("pre-traffic.zip");
    let time = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let then = time(&zip);
    assert_eq!(sha256(&project.run(&WORDS)), first);
    assert_eq!(time(&zip), then, "nothing is written that is there");

    // Somebody changed the zip, or took it away: it is made anew, the very same.
    let mut spoiled = std::fs::read(&zip).unwrap();
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 1;
    std::fs::write(&zip, &spoiled).unwrap();
    assert_eq!(sha256(&project.run(&WORDS)), first);
    assert_eq!(files(&package(&project)), made);
    std::fs::remove_file(&zip).unwrap();
    assert_eq!(sha256(&project.run(&WORDS)), first);
    assert_eq!(files(&package(&project)), made);

    // Another binary of the same size is another package, and the old one again the old package.
    build(&project, 2, 1_000);
    assert_ne!(sha256(&project.run(&WORDS)), first);
    build(&project, 1, 1_000);
    assert_eq!(sha256(&project.run(&WORDS)), first);
}

#[test]
fn what_lambda_would_refuse_is_refused_and_what_was_there_stays() {
    let project = project(true);
    build(&project, 1, 0);
    sha256(&project.run(&WORDS));
    let before = files(&package(&project));
    build(&project, 1, 52_500_000);
    let ended = project.run(&WORDS);
    assert_eq!(ended.code, 1, "{}", ended.error());
    for word in ["pre-traffic", "Lambda takes 52428800", "fewer dependencies"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
    // A file with a hole: it takes no space, and would be zipped to nothing.
    build(&project, 1, 0);
    std::fs::OpenOptions::new().write(true).open(binary(&project)).unwrap().set_len(262_144_001).unwrap();
    let ended = project.run(&WORDS);
    assert_eq!(ended.code, 1, "{}", ended.error());
    assert!(ended.error().contains("the binary has 262144001 bytes"), "{}", ended.error());
    std::fs::write(binary(&project), "#!/bin/sh\n").unwrap();
    let ended = project.run(&WORDS);
    assert_eq!(ended.code, 1, "{}", ended.error());
    assert!(ended.error().contains("ELF"), "{}", ended.error());
    assert_eq!(files(&package(&project)), before, "as it was");
    build(&project, 1, 0);
    sha256(&project.run(&WORDS));
}

#[test]
fn what_is_broken_on_purpose_is_refused_outside_a_rehearsal() {
    // What the variable asks for is heard beside the local cloud alone.
    let mut project = project(true);
    build(&project, 1, 0);
    project.set("CAUSEWAY_BREAK_PROD", "errors");
    sha256(&project.run(&WORDS));
    let words = std::fs::read_to_string(project.path().join("target/bin/words")).unwrap();
    assert!(words.starts_with("build ") && words.contains("--bin=pre-traffic"), "{words}");
    assert!(!words.contains("break-prod") && !words.contains("errors"), "{words}");
    // Whoever turned the feature on: the binary carries its mark.
    let before = files(&package(&project));
    let mut marked = std::fs::read(binary(&project)).unwrap();
    marked.extend(b"causeway-broken-on-purpose");
    std::fs::write(binary(&project), marked).unwrap();
    let ended = project.run(&WORDS);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.error().contains("broken on purpose"), "{}", ended.error());
    assert_eq!(files(&package(&project)), before, "as it was");
}

#[test]
fn a_binary_that_cargo_did_not_build_is_missed() {
    let project = project(false);
    let ended = project.run(&WORDS);
    assert_eq!(ended.code, 2, "{}", ended.error());
    for word in [NAME, "package hooks has no binary of that name", "CodeUri"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
    assert!(!package(&project).exists(), "nothing was written");
}
