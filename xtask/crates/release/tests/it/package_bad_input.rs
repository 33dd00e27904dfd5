//! `package` where something is missing or in the way: a clear error, the right exit code, and nothing is built for nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use causeway_testing::{Project, cargo, script, wait_until};

/// Puts a folder of programs before the others.
fn programs(project: &mut Project, dir: &Path) {
    project.set("PATH", format!("{}:{}", dir.display(), std::env::var("PATH").unwrap()));
}

#[test]
fn a_missing_stack_and_a_missing_bucket_are_named_before_anything_is_built() {
    let mut project = Project::that_packages();
    project.up();
    let stack = project.run(&["package"]);
    assert_eq!(stack.code, 1, "{}", stack.error());
    for word in ["causeway-build-base", "not there", "cargo xtask bootstrap", "--no-upload"] {
        assert!(stack.error().contains(word), "{word}: {}", stack.error());
    }
    let arn = "arn:aws:kms:eu-central-1:111111111111:key/none";
    let bucket = project.run(&["package", "--bucket", "nobody-made-this", "--key-arn", arn]);
    assert_eq!(bucket.code, 2, "{}", bucket.error());
    for word in ["s3://nobody-made-this", "there is no bucket of that name", "CAUSEWAY_ARTIFACT_BUCKET"] {
        assert!(bucket.error().contains(word), "{word}: {}", bucket.error());
    }
    assert!(!project.path().join("target/packaged").exists(), "nothing was built");
}

#[test]
fn a_target_folder_that_cannot_be_written_is_named() {
    let project = Project::that_packages();
    // Nobody makes folders there, not even root.
    std::os::unix::fs::symlink("/sys/kernel", project.path().join("target")).unwrap();
    let ended = project.run(&["package", "--no-upload"]);
    assert_eq!(ended.code, 1, "{}", ended.error());
    for word in ["target/causeway", "let this user write there"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
    std::fs::remove_file(project.path().join("target")).unwrap();
    let explained = project.run(&["package", "--explain"]);
    assert!(
        explained.error().contains("nothing was packaged here yet"),
        "a retry works: {}",
        explained.error()
    );
    assert!(!project.path().join("target/causeway/package.lock").exists(), "--explain takes no lock");
}

/// A `package` run with its stderr at hand.
fn start(project: &Project) -> Child {
    let words = ["package", "--no-upload", "--output", "json"];
    let prepared = project.command(&words);
    #[expect(clippy::disallowed_methods, reason = "the test ends what it starts")]
    let mut command = Command::new(prepared.get_program());
    command.args(words).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (key, value) in prepared.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.spawn().unwrap()
}

#[test]
fn a_second_run_waits_for_the_first_and_says_so() {
    let mut project = Project::that_packages();
    let bin = project.path().join("target/bin");
    // A cargo that works until it is told to end.
    script(
        &bin.join("cargo"),
        "#!/bin/sh\ntouch target/bin/working\nwhile [ ! -e target/bin/go ]; do sleep 0.1; done\necho 'this cargo fails' >&2\nexit 1\n",
    );
    programs(&mut project, &bin);
    let mut first = start(&project);
    wait_until("the first one has begun", || bin.join("working").exists());
    let mut second = start(&project);
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let waits =
        lines.by_ref().map_while(Result::ok).any(|line| line.contains("waiting for another package run"));
    assert!(waits, "the second one says why nothing happens");
    std::fs::write(bin.join("go"), "").unwrap();
    let mut said = String::new();
    first.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("waiting for another"), "{said}");
    assert_eq!((first.wait().unwrap().code(), second.wait().unwrap().code()), (Some(1), Some(1)));
}

#[test]
fn what_cargo_says_of_a_missing_library_ends_in_the_lines_that_mend_it() {
    let mut project = Project::that_packages();
    let bin = project.path().join("target/bin");
    let cargo = cargo().display().to_string();
    script(
        &bin.join("cargo"),
        &format!(
            "#!/bin/sh\ncase \"$1\" in build) printf \"error[E0463]: can't find crate for \\140std\\140\\n\" >&2; exit 101;; esac\nexec '{cargo}' \"$@\"\n"
        ),
    );
    programs(&mut project, &bin);
    let ended = project.run(&["package", "--no-upload"]);
    assert_eq!(ended.code, 2, "{} {}", ended.error(), ended.stderr);
    assert!(ended.stderr.contains("error[E0463]: can't find crate for `std`"), "passed on: {}", ended.stderr);
    for word in ["no standard library", "rustup target add", "apt-get install rustc-web", "dnf install"] {
        assert!(ended.error().contains(word), "{word}: {}", ended.error());
    }
}

#[test]
fn the_doctor_adds_the_target_where_rustup_can() {
    let mut project = Project::that_packages();
    let bin = project.path().join("target/bin");
    let library = bin.join("library");
    script(
        &bin.join("rustc"),
        &format!(
            "#!/bin/sh\ncase \"$*\" in -vV|--version) printf 'rustc 1.95.0\\nhost: x86_64-unknown-linux-gnu\\n';; *) echo '{}';; esac\n",
            library.display()
        ),
    );
    script(&bin.join("apt-get"), "#!/bin/sh\nexit 1\n");
    script(
        &bin.join("rustup"),
        &format!(
            "#!/bin/sh\ncase \"$*\" in\n  --version) echo 'rustup 1';;\n  'target add aarch64-unknown-linux-gnu') mkdir -p '{0}' && touch '{0}/libstd-1.rlib';;\n  *) exit 1;;\nesac\n",
            library.display()
        ),
    );
    project.set("RUSTC", bin.join("rustc").display().to_string());
    programs(&mut project, &bin);
    let arm64 = |ended: &causeway_testing::Ended| {
        let all = ended.result()["data"]["findings"].as_array().unwrap().clone();
        all.into_iter().find(|finding| finding["name"] == "arm64").unwrap()
    };
    let before = project.run(&["doctor", "--offline"]);
    let found = arm64(&before);
    assert_eq!((before.code, &found["ok"]), (2, &serde_json::json!(false)), "{found}");
    for line in [
        "rustup target add aarch64-unknown-linux-gnu",
        "sudo apt-get install rustc-web",
        "sudo dnf install gcc",
    ] {
        assert!(found["problem"]["next"].as_str().unwrap().contains(line), "{line}: {found}");
    }
    assert!(!library.exists(), "unasked nothing is changed");
    let unasked = project.run(&["doctor", "--offline", "--fix"]);
    assert_eq!(unasked.code, 2, "without a terminal nobody can be asked");
    assert!(!library.exists(), "and nothing is changed");
    let fixed = project.run(&["doctor", "--offline", "--fix", "--yes"]);
    assert_eq!(fixed.result()["changed"], serde_json::json!(["rustup target add aarch64-unknown-linux-gnu"]));
    let found = arm64(&fixed);
    assert_eq!(found["ok"], true, "{found}");
    assert!(found["found"].as_str().unwrap().contains("linker: Zig"), "a linker was looked for: {found}");

    // The library alone is no way: without a linker the lines for one are shown.
    project.set("CAUSEWAY_PYTHON", "/no/such/python");
    script(&bin.join("aarch64-linux-gnu-gcc"), "#!/bin/sh\nexit 1\n");
    let ended = project.run(&["doctor", "--offline"]);
    let found = arm64(&ended);
    assert_eq!((ended.code, &found["ok"]), (2, &serde_json::json!(false)), "{found}");
    assert_eq!(found["problem"]["what"], "find a linker", "{found}");
    for line in ["sudo apt-get install python3-venv", "gcc-aarch64-linux-gnu", "sudo dnf install python3"] {
        assert!(found["problem"]["next"].as_str().unwrap().contains(line), "{line}: {found}");
    }
    let named = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";
    script(&bin.join("my-linker"), "#!/bin/sh\necho 'my-linker 1.2'\n");
    project.set(named, bin.join("my-linker").display().to_string());
    let found = arm64(&project.run(&["doctor", "--offline"]));
    assert!(found["found"].as_str().unwrap().contains("my-linker 1.2 as named by"), "{found}");
}
