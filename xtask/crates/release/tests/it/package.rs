//! `package`: equal bytes from different places, and what is wrong is named before anything is written.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::{Ended, Project, script};
use serde_json::Value;

use crate::stub_aws::{Aws, lead_to};

fn function(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    let functions = ended.result()["data"]["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 1);
    functions[0].clone()
}

const WORDS: [&str; 4] = ["package", "--no-upload", "--bin", "pre-traffic"];

/// What was packaged, by its record.
fn record(project: &Project) -> Value {
    let path = project.path().join("target/causeway/package/package.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn two_directories_give_the_same_bytes_and_a_second_run_moves_nothing() {
    let (one, mut other) = (Project::that_packages(), Project::that_packages());
    let first = function(&one.run(&WORDS));
    // Another cargo home, with the same registry in it.
    let home = tempfile::tempdir().unwrap();
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| std::env::home_dir().unwrap().join(".cargo"), std::path::PathBuf::from);
    std::os::unix::fs::symlink(cargo_home.join("registry"), home.path().join("registry")).unwrap();
    other.set("CARGO_HOME", home.path().display().to_string());
    // What a configuration outside and variables would change; and the same linker, named by its place.
    std::fs::write(home.path().join("config.toml"), "[build]\nrustflags = [\"-C\", \"opt-level=1\"]\n")
        .unwrap();
    let path = std::env::var("PATH").unwrap();
    let cc = path.split(':').map(|dir| format!("{dir}/cc")).find(|cc| std::fs::metadata(cc).is_ok()).unwrap();
    let linker = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_LINKER", std::env::consts::ARCH.to_uppercase());
    other.set(&linker, cc.as_str());
    for (name, value) in [
        ("TZ", "Pacific/Apia"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("RUSTFLAGS", "-C opt-level=1"),
        ("CARGO_PROFILE_REHEARSE_OPT_LEVEL", "1"),
        ("CFLAGS", "-DNOBODY_ASKS -O1"),
        ("RUSTC_WRAPPER", "/no/such/wrapper"),
    ] {
        other.set(name, value);
    }
    let ended = other.run_command(&mut other.through("umask 0077; exec \"$0\" \"$@\"", &WORDS));
    let warned: Vec<&str> = ended.of_type("warning").map(|line| line["message"].as_str().unwrap()).collect();
    for word in
        ["RUSTFLAGS", "CARGO_PROFILE_REHEARSE_OPT_LEVEL", "CFLAGS", "RUSTC_WRAPPER", "build.rustflags of"]
    {
        assert!(warned.iter().any(|text| text.contains(word)), "{word} is left out and said: {warned:?}");
    }
    assert!(ended.stderr.contains(&format!("the linker is {cc}, as {linker} names it")), "{}", ended.stderr);
    let second = function(&ended);
    assert_eq!((&first["sha256"], &first["version"]), (&second["sha256"], &second["version"]));
    let bill = |project: &Project| {
        std::fs::read_to_string(project.path().join("target/causeway/package/pre-traffic.cdx.json")).unwrap()
    };
    assert_eq!(bill(&one), bill(&other), "the bills of materials are the same, too");
    let document: Value = serde_json::from_str(&bill(&one)).unwrap();
    let names: Vec<&str> =
        document["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"aws-sdk-codedeploy") && names.contains(&"ring"), "{names:?}");
    for absent in ["aws-sdk-dynamodb", "serde_derive", "cc", "axum", "clap"] {
        assert!(!names.contains(&absent), "{absent} is not linked into a hook");
    }

    // The record names the linker by its own word and not by its place; and this function, as it was packaged.
    let (own, others) = (record(&one), record(&other));
    assert_eq!((&own["linker"], &own["functions"]), (&others["linker"], &others["functions"]));
    let linker = own["linker"].as_str().unwrap();
    assert!(linker.starts_with("cc ") && !linker.contains('/'), "{linker}");
    assert_eq!(own["functions"][0]["sha256"], first["sha256"]);

    // A damaged record is said and written anew.
    std::fs::write(one.path().join("target/causeway/package/package.json"), "{").unwrap();
    let again = one.run(&WORDS);
    let damaged = "package.json cannot be read";
    assert!(again.of_type("warning").any(|line| line["message"].as_str().unwrap().contains(damaged)));
    assert_eq!((again.code, record(&one)), (0, own));

    // Nothing changed: the same package. A document changed: still the same. A source changed: it is named.
    assert_eq!(function(&one.run(&WORDS))["sha256"], first["sha256"]);
    one.edit("README.md", "# ", "# The ");
    let explained = one.run(&["package", "--explain"]);
    assert_eq!(explained.result()["data"]["functions"]["pre-traffic"]["unchanged"], true);
    one.edit("hooks/src/lib.rs", "//! ", "//! The ");
    let explained = one.run(&["package", "--explain"]);
    let rows = explained.result()["data"]["functions"]["pre-traffic"]["differences"].to_string();
    assert_eq!(rows, "[\"source changed: hooks/src/lib.rs\"]");
    assert_ne!(function(&one.run(&WORDS))["version"], first["version"]);

    // What does not compile, and what cannot be written, leaves the last packages as they are.
    let zip = one.path().join("target/causeway/package/pre-traffic.zip");
    let before = std::fs::read(&zip).unwrap();
    one.edit("hooks/src/lib.rs", "//! ", "does not compile\n//! ");
    let broken = one.run(&WORDS);
    assert_eq!(broken.code, 1);
    assert!(broken.error().contains("cargo ended with an error"), "{}", broken.error());
    assert_eq!(std::fs::read(&zip).unwrap(), before);
    one.edit("hooks/src/lib.rs", "does not compile\n", "");
    std::fs::remove_file(&zip).unwrap();
    std::fs::create_dir_all(zip.join("in-the-way")).unwrap();
    let blocked = one.run(&WORDS);
    assert_eq!(blocked.code, 1);
    assert!(blocked.error().contains("pre-traffic.zip"), "{}", blocked.error());
    std::fs::remove_dir_all(&zip).unwrap();
    assert_eq!(one.run(&WORDS).code, 0, "a retry works");
    let left = std::fs::read_dir(zip.parent().unwrap()).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().starts_with(".tmp")));
}

#[test]
fn what_is_wrong_on_the_command_line_is_named() {
    let project = Project::that_packages();
    let unknown = project.run(&["package", "--no-upload", "--bin", "nothing"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.error().contains("pre-traffic"), "{}", unknown.error());
    let foreign = project.run(&["package", "--no-upload", "--target", "x86_64-pc-windows-msvc"]);
    assert_eq!(foreign.code, 2);
    assert!(foreign.error().contains("Linux on arm64"), "{}", foreign.error());
    let env = project.run(&["package", "--env", "prod"]);
    assert_eq!(env.code, 2, "--env belongs to --explain");
    let nothing = project.run(&["package", "--explain"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.error().contains("nothing was packaged here yet"), "{}", nothing.error());
    let package = project.path().join("target/causeway/package");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("checkin.cdx.json"), "{").unwrap();
    let damaged = project.run(&["package", "--explain"]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.error().contains("damaged"), "{}", damaged.error());
    project.edit("cfn/app.yaml", "package/checkin.zip", "package/missing.zip");
    let missing = project.run(&["package", "--no-upload"]);
    assert_eq!(missing.code, 2);
    assert!(missing.error().contains("missing"), "{}", missing.error());
}

#[test]
fn a_machine_without_arm64_is_told_the_exact_lines() {
    let mut project = Project::that_packages();
    // A compiler without the target, on a machine without apt.
    let bin = project.path().join("target/bin");
    script(
        &bin.join("rustc"),
        "#!/bin/sh\ncase \"$*\" in -vV) printf 'rustc 1.95.0\\nhost: x86_64-unknown-linux-gnu\\n';; *) echo /nowhere;; esac\n",
    );
    script(&bin.join("apt-get"), "#!/bin/sh\nexit 1\n");
    project.set("RUSTC", bin.join("rustc").display().to_string());
    project.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    project.set("CAUSEWAY_TARGET", "aarch64-unknown-linux-gnu");
    let ended = project.run(&["package", "--no-upload"]);
    assert_eq!(ended.code, 2, "{}", ended.error());
    for line in ["rustup target add aarch64-unknown-linux-gnu", "apt-get", "dnf install"] {
        assert!(ended.error().contains(line), "{line}: {}", ended.error());
    }
}

#[test]
fn without_a_bucket_nothing_is_built() {
    let gone = ("400 Bad Request", "ValidationError", "Stack with id causeway-build-base does not exist");
    let (aws, url) = Aws::start("111111111111", gone);
    let mut project = Project::that_packages();
    lead_to(&mut project, &url);
    let ended = project.run(&["package"]);
    assert_eq!(ended.code, 1, "{}", ended.error());
    let error = &ended.result()["error"];
    assert_eq!(
        (&error["what"], &error["on"]),
        (&"find the artifact bucket".into(), &"causeway-build-base".into())
    );
    assert!(error["next"].as_str().unwrap().contains("cargo xtask bootstrap"), "{error}");
    assert_eq!(
        aws.asked(),
        ["GetCallerIdentity", "DescribeStacks"],
        "nothing else is asked, and nothing uploaded"
    );
    // Beside the local cloud it would be built with its tests, elsewhere apart.
    for dir in ["target/packaged", "target/rehearse"] {
        assert!(!project.path().join(dir).exists(), "the place is looked for before the build");
    }
}
