//! The command line without a cloud: bad input gets one clear error, the right exit code, and changes nothing.

use causeway_testing::{Project, script};

#[test]
fn a_mistake_in_the_command_line_ends_in_a_result_line_too() {
    let project = Project::new();
    for words in [
        &["no-such-command"][..],
        &["rehearse", "--approve", "maybe"],
        // A first create has no hooks and no shift: what misbehaves would be released.
        &["rehearse", "--break-prod", "--no-baseline"],
        &["bootstrap", "--detailed-exitcode"],
    ] {
        let ended = project.run(words);
        assert_eq!(ended.code, 2, "{words:?}");
        assert_eq!(ended.result()["ok"], false);
    }
    let help = project.command(&["--help"]).output().unwrap();
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for command in ["rehearse", "check", "bootstrap", "package", "integration-test", "local"] {
        assert!(text.contains(command), "{command} is not in the help");
    }
}

#[test]
fn outside_of_a_checkout_it_says_so() {
    let project = Project::new();
    std::fs::remove_dir_all(project.path().join("cfn")).unwrap();
    let ended = project.run(&["local", "down"]);
    assert_eq!(ended.code, 2);
    assert!(ended.error().contains("cfn/stacks.toml"), "{}", ended.error());
}

/// `eval "$(cargo xtask local env)"` of the README: in folders whose names are commands to a shell, below a checkout without a
/// cloud and outside of every checkout.
#[test]
fn nothing_of_a_failing_local_env_is_executed_by_the_shell_that_evaluates_it() {
    let names =
        ["a$(touch pwned)", "a`touch pwned`", "a; touch pwned; ", "a\ntouch pwned\n", "a'$(touch pwned)'"];
    let line = r#"cd "$FOLDER" || exit 9
        eval "$("$0" "$@")"
        given=$("$0" "$@" 2>/dev/null)
        printf '%s %s' "$?" "${#given}""#;
    for (has_checkout, code) in [(true, 1), (false, 2)] {
        let project = Project::new();
        if !has_checkout {
            std::fs::remove_dir_all(project.path().join("cfn")).unwrap();
        }
        for name in names {
            let folder = project.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let output = project.through(line, &["local", "env"]).env("FOLDER", &folder).output().unwrap();
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(stdout, format!("{code} 0"), "{name:?}: nothing is on stdout\n{stderr}");
            assert_eq!(stderr.matches("error:").count(), 1, "{name:?}: one error\n{stderr}");
            assert!(!stderr.contains("command not found"), "{name:?}: {stderr}");
            let made = std::fs::read_dir(&folder).unwrap().count();
            assert!(made == 0 && !project.path().join("pwned").exists(), "{name:?} was executed");
        }
    }
}

#[test]
fn an_unknown_field_is_refused_with_its_line() {
    let project = Project::new();
    project.edit("cfn/stacks.toml", "project = \"causeway\"", "colour = 1\nproject = \"causeway\"");
    let line = std::fs::read_to_string(project.path().join("cfn/stacks.toml")).unwrap();
    let line = line.lines().position(|row| row.starts_with("colour")).unwrap() + 1;
    for words in [&["bootstrap"][..], &["local", "up"], &["package", "--no-upload"]] {
        let ended = project.run(words);
        assert_eq!(ended.code, 2, "{words:?}");
        assert!(ended.error().contains(&format!("cfn/stacks.toml line {line}")), "{}", ended.error());
        assert!(ended.error().contains("colour"), "{}", ended.error());
    }
}

#[test]
fn placeholder_ids_are_refused_by_real_aws_before_anything_is_sent() {
    let mut project = Project::new();
    project.set("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE");
    project.set("AWS_SECRET_ACCESS_KEY", "example");
    let ended = project.run(&["bootstrap", "--yes"]);
    assert_eq!(ended.code, 4, "{}", ended.error());
    assert!(ended.error().contains("placeholder"), "{}", ended.error());
    assert_eq!(ended.result()["changed"].as_array().unwrap().len(), 0);
}

/// A session that was never begun, one that ran out, and one of another format: nothing is asked of AWS.
#[test]
fn an_expired_sso_session_is_named_with_the_line_that_renews_it() {
    let expired = r#"{"accessToken": "old", "expiresAt": "2024-01-01T00:00:00Z", "region": "eu-central-1",
        "startUrl": "https://acme.example/start"}"#;
    for (name, cached) in [("never begun", None), ("ran out", Some(expired)), ("garbage", Some("garbage"))] {
        let mut project = Project::new();
        let home = project.path().join("home");
        // The SDK keeps a session under the SHA-1 of its name, here `acme`.
        let cache = home.join(".aws/sso/cache/293abb6b76d7791c0732cc517d38c4b5c734b87f.json");
        std::fs::create_dir_all(cache.parent().unwrap()).unwrap();
        if let Some(text) = cached {
            std::fs::write(&cache, text).unwrap();
        }
        let config = home.join(".aws/config");
        let mut text =
            "[sso-session acme]\nsso_region = eu-central-1\nsso_start_url = https://acme.example/start\n"
                .to_owned();
        for account in ["build", "dev", "prod"] {
            text.push_str(&format!(
                "[profile causeway-{account}]\nsso_session = acme\nsso_account_id = 999999999999\nsso_role_name = admin\n"
            ));
        }
        std::fs::write(&config, text).unwrap();
        project.set("HOME", home.display().to_string());
        project.set("AWS_CONFIG_FILE", config.display().to_string());
        project.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        let ended = project.run(&["bootstrap", "--dry-run"]);
        assert_eq!(ended.code, 4, "{name}: {}", ended.error());
        assert!(ended.error().contains("aws sso login --profile=causeway-"), "{name}: {}", ended.error());
        assert!(!ended.error().contains("connection refused"), "{name}: {}", ended.error());
        assert_eq!(ended.result()["changed"].as_array().unwrap().len(), 0, "{name}");
    }
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let mut project = Project::new();
    let config = project.path().join("config");
    std::fs::write(&config, "[profile other]\nregion = eu-central-1\n").unwrap();
    project.set("AWS_CONFIG_FILE", config.display().to_string());
    project.set("AWS_SHARED_CREDENTIALS_FILE", config.display().to_string());
    project.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let ended = project.run(&["bootstrap", "--dry-run", "--profile-prefix", "acme"]);
    assert_eq!(ended.code, 4, "{}", ended.error());
    assert!(ended.error().contains("profile acme-"), "{}", ended.error());
}

#[test]
fn integration_tests_want_an_address() {
    let mut project = Project::new();
    let ended = project.run(&["integration-test"]);
    assert_eq!(ended.code, 2);
    assert!(ended.error().contains("API_URL"), "{}", ended.error());
    project.set("API_URL", "ftp://nowhere");
    assert_eq!(project.run(&["integration-test"]).code, 2);
}

#[test]
fn without_a_cloud_down_is_content_and_env_is_not() {
    let project = Project::new();
    let down = project.run(&["local", "down"]);
    assert_eq!((down.code, down.result()["verdict"].as_str()), (0, Some("nothing-to-do")));
    let env = project.run(&["local", "env"]);
    assert_eq!(env.code, 1);
    assert!(env.error().contains("cargo xtask local up"), "{}", env.error());
}

/// Pythons that cannot be used, by what they are asked.
#[test]
fn an_unusable_python_is_named_with_its_mend() {
    let table = [
        ("none", "", "Python 3.10 or later"),
        ("old", "#!/bin/sh\necho 3 8\n", "3.8"),
        (
            "without venv",
            "#!/bin/sh\nif [ \"$1\" = -c ]; then echo 3 11; else echo 'ensurepip is not available' >&2; exit 1; fi\n",
            "python3-venv",
        ),
        ("broken", "#!/bin/sh\nexit 1\n", "Python 3.10 or later"),
    ];
    for (name, text, expected) in table {
        let mut project = Project::new();
        let python = project.path().join("bin/python3");
        if !text.is_empty() {
            script(&python, text);
        }
        project.set("CAUSEWAY_PYTHON", python.display().to_string());
        project.set("CAUSEWAY_VENV_DIR", project.path().join("venv").display().to_string());
        let ended = project.run(&["local", "up"]);
        assert_eq!(ended.code, 2, "{name}: {}", ended.error());
        assert!(ended.error().contains(expected), "{name}: {}", ended.error());
        assert!(!project.path().join("venv/local.installed").exists(), "{name}");
    }
}

#[test]
fn an_index_that_cannot_be_reached_is_named_and_the_next_run_begins_anew() {
    let mut project = Project::new();
    project.set("CAUSEWAY_VENV_DIR", project.path().join("venv").display().to_string());
    project.set("PIP_INDEX_URL", "http://127.0.0.1:9/simple");
    project.set("PIP_FIND_LINKS", "");
    project.set("PIP_RETRIES", "0");
    let ended = project.run(&["local", "up"]);
    assert_eq!(ended.code, 2, "{}", ended.error());
    assert!(ended.error().contains("PyPI"), "{}", ended.error());
    for said in ["PyPI does not answer", "trying again (3 of 3)", "PyPI did not answer in 4 attempts"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(!project.path().join("venv/local.installed").exists());
    for name in ["PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_RETRIES"] {
        project.unset(name);
    }
    let next = project.run(&["local", "up"]);
    assert_eq!(next.code, 0, "{}", next.error());
    assert!(project.path().join("venv/local.installed").exists());
}

#[test]
fn isolated_stacks_in_a_protected_account_are_refused_before_anything_is_asked() {
    let project = Project::new();
    project.edit("cfn/stacks.toml", "Approval = true ", "IsolatedStacks = true # ");
    let ended = project.run(&["bootstrap", "--dry-run"]);
    assert_eq!(ended.code, 2, "{}", ended.error());
    assert!(ended.error().contains("prod is protected"), "{}", ended.error());
}
