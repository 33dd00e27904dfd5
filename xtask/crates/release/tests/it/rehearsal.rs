//! Whole rehearsals in a clone of the repository: roles are really held, and failures name their cause.
//!
//! They share the workspace's builds, so they run one after the other (a lock of the checkout sees to that).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use causeway_machine::cmd::cmd;
use causeway_testing::{Ended, Project, read, shell, workspace};

/// How a step ended: its status and reason.
fn step(ended: &Ended, stage: &str, action: &str) -> (String, String) {
    let own = |line: &&serde_json::Value| {
        line["stage"] == stage && line["action"] == action && line.get("sub").is_none()
    };
    let last = ended
        .of_type("step")
        .filter(own)
        .last()
        .unwrap_or_else(|| panic!("no step {stage}/{action}: {}", ended.stderr));
    (last["status"].as_str().unwrap().to_owned(), last["reason"].as_str().unwrap_or_default().to_owned())
}

/// Takes one line out of a template, which must have it exactly once.
fn take_out(project: &Project, file: &str, line: &str) {
    let path = project.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(line).count(), 1, "{line:?} in {file}");
    std::fs::write(path, text.replace(line, "")).unwrap();
}

#[test]
fn a_missing_permission_fails_at_its_action_and_is_named() {
    let project = Project::clone_of_repository();
    take_out(&project, "cfn/target-roles.yaml", "                  - cloudformation:CreateStack\n");
    project.commit();
    let ended = project.run(&["rehearse", "--no-baseline", "--approve", "auto"]);
    assert_eq!((ended.code, ended.result()["verdict"].as_str()), (1, Some("failed")), "{}", ended.stderr);
    let (status, reason) = step(&ended, "Dev", "Deploy");
    assert_eq!(status, "failed");
    for word in ["AccessDenied", "cloudformation:CreateStack", "causeway-eu-central-1-action"] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(step(&ended, "Build", "Build").0, "succeeded");
    for action in ["CreateChangeSet", "Approve", "ExecuteChangeSet"] {
        assert_eq!(step(&ended, "Prod", action).0, "not-run");
    }
    assert!(
        ended.of_type("notice").any(|notice| notice["topic"] == "causeway-failure"),
        "the failure is told"
    );
}

/// Everything that is wrong with the pipeline and its buildspecs is said at once, before anything is built.
#[test]
fn what_cannot_be_rehearsed_is_refused_before_source() {
    let project = Project::clone_of_repository();
    let pipeline = "cfn/pipeline.yaml";
    project.edit(pipeline, "#{DevDeploy.CheckinVersion}", "#{DevDeploy.NoVersion}");
    project.edit(pipeline, "ExecutionMode: SUPERSEDED", "ExecutionMode: PARALLEL");
    project.edit("buildspecs/build.yml", "phases:\n", "run-as: nobody\nphases:\n");
    project.commit();
    let ended = project.run(&["rehearse", "--approve", "auto"]);
    assert_eq!((ended.code, ended.result()["verdict"].as_str()), (1, Some("failed")), "{}", ended.stderr);
    for (stage, action) in [("Source", "Source"), ("Build", "Build"), ("Dev", "Deploy"), ("Prod", "Approve")]
    {
        assert_eq!(step(&ended, stage, action).0, "not-run", "{stage}/{action}");
    }
    let text = std::fs::read_to_string(project.path().join(pipeline)).unwrap();
    let line = |of: &str| text.lines().position(|line| line.contains(of)).unwrap() + 1;
    let error = &ended.result()["error"];
    let said = format!("{} {}", error["on"], error["why"]);
    for place in [
        format!("{pipeline} line {}: ExecutionMode", line("ExecutionMode: PARALLEL")),
        format!("{pipeline} line {}: Dev/IntegrationTests", line("EnvironmentVariables: >-")),
        "buildspecs/build.yml line 4: run-as".to_owned(),
    ] {
        assert!(said.contains(&place), "{place}: {said}");
    }
    assert!(!error["next"].as_str().unwrap().is_empty(), "{error}");
    assert!(!said.contains("Source/Source"), "{said}");
}

#[test]
fn an_execution_role_that_may_not_read_the_package_is_named() {
    let project = Project::clone_of_repository();
    let path = project.path().join("cfn/target-roles.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, execution) = text.split_once("  ExecutionRole:\n").unwrap();
    let (own, rest) = execution.split_once("  IsolatedExecutionRole:\n").unwrap();
    assert!(own.contains("s3:GetObject"));
    let own = own.replace("s3:GetObject", "s3:GetObjectTagging");
    std::fs::write(&path, format!("{head}  ExecutionRole:\n{own}  IsolatedExecutionRole:\n{rest}")).unwrap();
    project.commit();
    let ended = project.run(&["rehearse", "--no-baseline", "--approve", "auto"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let (status, reason) = step(&ended, "Dev", "Deploy");
    assert_eq!(status, "failed");
    assert!(reason.contains("denied by S3") && reason.contains("GetObject"), "{reason}");
}

/// What `GET api/version` of a kept cloud's prod answers.
fn prod_version(ended: &Ended) -> String {
    let url = ended.result()["data"]["urls"]["prod"].as_str().unwrap().to_owned();
    let sh = shell(&workspace());
    read(cmd!(sh, "curl --silent --include {url}api/version"))
}

/// The template that a kept cloud's stack has, as CloudFormation gives it, and the stack's status.
fn deployed(project: &Project, env: &str) -> (String, String) {
    let local = project.path().join("target/causeway/local");
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(local.join("state.json")).unwrap()).unwrap();
    let credentials = std::fs::read_to_string(local.join("aws/credentials")).unwrap();
    let (_, own) = credentials.split_once(&format!("[causeway-{env}]\n")).unwrap();
    let value = |name: &str| {
        let line = own.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap().to_owned()
    };
    let user = format!("{}:{}", value("aws_access_key_id"), value("aws_secret_access_key"));
    let sh = shell(&local);
    let ask = |action: &str| {
        let port = state["port"].to_string();
        read(cmd!(
            sh,
            "curl --silent --show-error --fail-with-body --cacert ca.pem
                --aws-sigv4 aws:amz:eu-central-1:cloudformation --user {user}
                --data Action={action}&Version=2010-05-15&StackName=causeway-app-{env}
                https://127.0.0.1:{port}/"
        ))
    };
    let stack = ask("DescribeStacks");
    let (_, status) = stack.split_once("<StackStatus>").unwrap();
    let answer = ask("GetTemplate&TemplateStage=Original");
    let (_, body) = answer.split_once("<TemplateBody>").unwrap();
    (body.split_once("</TemplateBody>").unwrap().0.to_owned(), status.split('<').next().unwrap().to_owned())
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_version_that_misbehaves_in_prod_is_taken_back() {
    let mut project = Project::clone_of_repository();
    let words = ["rehearse", "--approve", "auto", "--keep", "--break-prod", "--minute", "30s"];
    let ended = project.run(&words);
    // From here on nothing happens by itself.
    project.minute(3_600_000);
    let verdict = (ended.code, ended.result()["verdict"].as_str());
    assert_eq!(verdict, (5, Some("rolled-back")), "{}", ended.stderr);
    let (status, reason) = step(&ended, "Prod", "ExecuteChangeSet");
    assert_eq!(status, "failed");
    // A deployment is stopped by its own new version's alarm, and by no other.
    let why = ended.result()["error"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("checkin: alarm causeway-app-prod-checkin-new-version-faults is in ALARM"), "{why}");
    assert!(reason.contains("CheckinFunctionAliaslive") && reason.contains("is in ALARM"), "{reason}");
    // The stack is at its old template, in its old state; dev's is the new one.
    let old_stack = deployed(&project, "prod");
    assert_eq!(old_stack.1, "UPDATE_ROLLBACK_COMPLETE");
    let new_stack = deployed(&project, "dev");
    let code = |template: &str| {
        let (_, function) = template.split_once("  CheckinFunction:\n").unwrap();
        function.lines().find(|line| line.contains("CodeUri:")).unwrap().to_owned()
    };
    let new_code = code(&new_stack.0);
    // The template that was approved names the very version of the package's object.
    assert!(new_code.contains("Key: packages/checkin/") && new_code.contains("Version: "), "{new_code}");
    assert_ne!(code(&old_stack.0), code(&new_stack.0));
    // What would change was said before it did.
    let plan = ended.of_type("plan").last().unwrap()["waves"][0][0].clone();
    assert_eq!((&plan["stack"], &plan["action"]), (&"causeway-app-prod".into(), &"update".into()), "{plan}");
    let changes = plan["changes"].as_array().unwrap();
    assert!(changes.iter().any(|change| change["logical_id"] == "CheckinFunction"), "{plan}");
    // The hooks' checks passed, and are told.
    let hook = ended.of_type("step").find(|s| s["sub"] == "pre-hook" && s["status"] == "succeeded").unwrap();
    let checks = hook["checks"].as_array().unwrap();
    assert!(checks.len() >= 4 && checks.iter().all(|check| check["outcome"] == "passed"), "{hook}");
    assert!(ended.of_type("notice").any(|notice| notice["topic"] == "causeway-failure"), "it is told");
    // Dev serves the new version, which behaves there; prod the old one.
    let data = &ended.result()["data"];
    assert_ne!(data["versions"]["dev"]["checkin"], data["versions"]["prod"]["checkin"]);
    let answer = prod_version(&ended);
    let old = "x-causeway-lambda-version: 1";
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(old), "{answer}");
    // Not one request that the old version got was lost, and none was without an answer.
    let watched = &data["watched"]["prod"];
    assert_eq!(watched["versions"]["checkin 1"]["errors"], 0, "{watched}");
    assert!(watched["versions"]["checkin 1"]["requests"].as_u64().unwrap() >= 10, "{watched}");
    assert!(watched["versions"]["checkin 2"]["errors"].as_u64().unwrap() >= 1, "{watched}");
    assert_eq!(watched["failures"], serde_json::json!({}), "{watched}");
    assert!(!watched["raised"].as_array().unwrap().is_empty(), "{watched}");
    // The function that behaved was rolled back with it.
    let last = ended.of_type("weight").filter(|w| w["env"] == "prod" && w["function"] == "contacts").last();
    assert_eq!(last.unwrap()["new_weight"], 0);

    // The watcher finds the stack, its API and its alarms, and nothing to watch; it changes nothing.
    let env = project.run(&["local", "env"]);
    for (name, value) in env.result()["data"]["env"].as_object().unwrap() {
        if name != "AWS_PROFILE" {
            project.set(name, value.as_str().unwrap());
        }
    }
    let watched = project.run(&["test-deployment", "--env", "prod", "--rate", "5"]);
    assert_eq!((watched.code, watched.result()["verdict"].as_str()), (0, Some("nothing-to-watch")));
    let seen = &watched.result()["data"];
    assert_eq!(seen["alarms"].as_object().unwrap().len(), 9, "{seen}");
    assert!(seen["versions"]["checkin 1"]["requests"].as_u64().unwrap() > 0, "{seen}");
    let nowhere = project.run(&["test-deployment", "--env", "nowhere"]);
    assert_eq!(nowhere.code, 2, "{}", nowhere.error());
    let absent = project.run(&["test-deployment", "--env", "prod", "--isolated", "nobody"]);
    assert_eq!(absent.code, 1, "{}", absent.error());
    assert!(absent.error().contains("causeway-isolated-nobody"), "{}", absent.error());

    // Alarms that tell people may still be raised. No release waits for them: they stop none.
    let words = ["rehearse", "--approve", "auto", "--keep", "--break-prod=crash", "--minute", "2m"];
    let ended = project.run(&words);
    let said: Vec<&str> = ended.of_type("warning").filter_map(|line| line["message"].as_str()).collect();
    let waits = |message: &&&str| message.starts_with("in ALARM in prod: ");
    for message in said.iter().filter(waits) {
        for alarm in ["-api-5xx", "-checkin-errors", "-checkin-slow", "-contacts-"] {
            assert!(!message.contains(alarm), "{message}");
        }
    }

    // A hook finds what is wrong with this one: no traffic is moved.
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    let why = ended.result()["error"]["why"].as_str().unwrap();
    for part in
        ["checkin: the PreTraffic hook failed", "CodeDeployHook_causeway-app-prod-checkin-pre", "health: "]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(deployed(&project, "prod"), old_stack);
    let hook = ended.of_type("step").find(|line| line["sub"] == "pre-hook" && line["status"] == "failed");
    let hook = hook.unwrap();
    assert!(hook["mode"] == "executed" && hook["function"] == "checkin", "{hook}");
    // The code is what was packaged; it is what fails.
    assert!(hook["checks"][0]["name"] == "code" && hook["checks"][0]["outcome"] == "passed", "{hook}");
    assert!(hook["checks"][1]["name"] == "health" && hook["checks"][1]["outcome"] == "failed", "{hook}");
    let moved = |w: &&serde_json::Value| w["env"] == "prod" && w["function"] == "checkin";
    assert_eq!(ended.of_type("weight").filter(moved).count(), 0);
    assert!(prod_version(&ended).contains(old));

    // The next ordinary rehearsal on the same cloud releases.
    project.set("RUST_LOG", "off");
    let ended = project.run(&["rehearse", "--approve", "auto", "--minute", "100ms"]);
    assert_eq!(ended.result()["verdict"], "released", "{}", ended.stderr);
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn an_app_stack_whose_first_create_failed_is_named_and_removed_by_the_doctor() {
    let mut project = Project::clone_of_repository();
    let broken = "Resources:\n  Kept: {Type: AWS::Logs::LogGroup, DeletionPolicy: Retain}\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n  Broken:\n    Type: AWS::CloudFormation::WaitCondition\n    DependsOn: Kept\n    Properties: {Handle: !Ref Handle, Timeout: '1'}\n";
    project.edit("cfn/app.yaml", "Resources:\n", broken);
    project.commit();
    let failed = project.run(&["rehearse", "--no-baseline", "--approve", "auto", "--keep"]);
    assert_eq!(failed.code, 1, "{}", failed.error());
    assert!(
        failed.error().contains("ROLLBACK_COMPLETE") && failed.error().contains("Broken"),
        "{}",
        failed.error()
    );
    project.edit("cfn/app.yaml", broken, "Resources:\n");
    project.commit();
    let stuck = project.run(&["rehearse", "--no-baseline", "--approve", "auto", "--keep"]);
    assert_eq!(stuck.code, 6, "{}", stuck.error());
    assert!(stuck.error().contains("doctor --fix"), "{}", stuck.error());

    let env = project.run(&["local", "env"]);
    for (name, value) in env.result()["data"]["env"].as_object().unwrap() {
        project.set(name, value.as_str().unwrap());
    }
    let seen = project.run(&["doctor"]);
    assert_eq!(seen.code, 6, "{}", seen.error());
    assert!(seen.error().contains("stack-dev-app"), "{}", seen.error());
    let findings = seen.result()["data"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|found| found["name"] == "stack-dev-app").unwrap();
    let why = found["problem"]["why"].as_str().unwrap();
    assert!(why.contains("it holds") && why.contains("Kept (AWS::Logs::LogGroup)"), "{why}");
    assert_eq!(project.run(&["doctor", "--fix"]).code, 2, "without a terminal nothing is removed unasked");
    let fixed = project.run(&["doctor", "--fix", "--yes"]);
    assert_eq!(
        (fixed.code, &fixed.result()["changed"]),
        (0, &serde_json::json!(["dev/causeway-app-dev"])),
        "{}",
        fixed.error()
    );
    let released = project.run(&["rehearse", "--no-baseline", "--approve", "auto", "--keep"]);
    assert_eq!(released.result()["verdict"], "released", "{}", released.error());
    // As on AWS, the first create of a stack shifts nothing and calls no hook.
    assert_eq!(released.of_type("weight").filter(|weight| weight["env"] == "prod").count(), 0);
    let parts: Vec<_> = released.of_type("step").filter(|step| step.get("sub").is_some()).collect();
    assert!(parts.is_empty(), "{parts:?}");
}

/// What the last build uploaded, and which functions' aliases moved in prod. The build's log is the project's own; its
/// folder is not, and has the packages of whichever rehearsal was the last one there.
fn moved(project: &Project, ended: &Ended) -> (Vec<String>, std::collections::BTreeSet<String>) {
    assert_eq!(ended.result()["verdict"], "released", "{} {}", ended.error(), ended.stderr);
    let log = project.path().join("target/causeway/local/logs/causeway-build.log");
    let log = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    assert!(log.contains("package: done"), "{log}");
    let named = |line: &str| Some(line.strip_prefix("uploaded ")?.split_once(" (")?.0.to_owned());
    let mut uploaded: Vec<String> = log.lines().filter_map(named).collect();
    uploaded.sort();
    let shifted = ended.of_type("weight").filter(|weight| weight["env"] == "prod");
    (uploaded, shifted.map(|weight| weight["function"].as_str().unwrap().to_owned()).collect())
}

/// What `package --explain --env prod` says of each function.
fn explained(project: &Project) -> serde_json::Value {
    let ended = project.run(&["package", "--explain", "--env", "prod"]);
    assert_eq!(ended.code, 0, "{} {}", ended.error(), ended.stderr);
    ended.result()["data"]["functions"].clone()
}

/// The functions that an explanation says differ, with the first row of each.
fn differing(functions: &serde_json::Value) -> Vec<(String, String)> {
    let all = functions.as_object().unwrap();
    assert_eq!(all.len(), 4, "{functions}");
    let differ = all.iter().filter(|(_, function)| function["unchanged"] != true);
    differ
        .map(|(name, function)| (name.clone(), function["differences"][0].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn only_what_changed_moves() {
    let mut project = Project::clone_of_repository();
    let words = ["rehearse", "--approve", "auto", "--keep", "--minute", "100ms"];
    let first = project.run(&[&words[..], &["--no-baseline"]].concat());
    assert_eq!(moved(&project, &first).0.len(), 4, "an empty bucket gets every package");
    // From now on the tool is led to that cloud, and builds as a rehearsal does, in a target directory of its own: two checkouts
    // never share one.
    let env = project.run(&["local", "env"]);
    for (name, value) in env.result()["data"]["env"].as_object().unwrap() {
        project.set(name, value.as_str().unwrap());
    }
    project.set("CAUSEWAY_TARGET", "host");
    project.set("CAUSEWAY_PROFILE", "rehearse");
    assert_eq!(differing(&explained(&project)), [], "what was released is what would be built");

    project.edit("api/src/bin/contacts/main.rs", "//! ", "//! Edited. ");
    let row = |name: &str, file: &str| (name.to_owned(), format!("source changed: {file}"));
    assert_eq!(differing(&explained(&project)), [row("contacts", "api/src/bin/contacts/main.rs")]);
    project.commit();
    let one = moved(&project, &project.run(&words));
    assert_eq!((one.0, one.1), (vec!["contacts".to_owned()], ["contacts".to_owned()].into()));

    project.edit("README.md", "# ", "# The ");
    project.commit();
    assert_eq!(differing(&explained(&project)), []);
    let ended = project.run(&words);
    let none = moved(&project, &ended);
    assert_eq!((none.0, none.1.len()), (Vec::new(), 0), "a document moves nothing");
    assert_eq!(ended.of_type("weight").count(), 0, "in no environment");
    for (stage, action) in [("Dev", "Deploy"), ("Prod", "CreateChangeSet"), ("Prod", "ExecuteChangeSet")] {
        assert_eq!(step(&ended, stage, action), ("succeeded".to_owned(), "nothing to change".to_owned()));
    }
    let packaged = project.run(&["package"]);
    let data = &packaged.result()["data"];
    assert_eq!((packaged.code, &data["uploaded_bytes"]), (0, &serde_json::json!(0)), "{}", packaged.error());
    let present = data["functions"].as_array().unwrap().iter().filter(|f| f["upload"] == "present");
    assert_eq!(present.count(), 4, "{data}");

    project.edit("api/src/lib.rs", "//! ", "//! Edited. ");
    let library = [row("checkin", "api/src/lib.rs"), row("contacts", "api/src/lib.rs")];
    assert_eq!(differing(&explained(&project)), library);
    project.commit();
    let both = moved(&project, &project.run(&words));
    let names = ["checkin".to_owned(), "contacts".to_owned()];
    assert_eq!((both.0, both.1), (names.to_vec(), names.into()), "the library is in both functions");

    // Another linker than the one of what runs: said where something is uploaded.
    let linker = project.path().join("target/bin/other-linker");
    causeway_testing::script(
        &linker,
        "#!/bin/sh\ncase \"$1\" in --version) echo 'other-linker 9.9'; exit;; esac\nexec cc \"$@\"\n",
    );
    let variable = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_LINKER", std::env::consts::ARCH.to_uppercase());
    project.set(&variable, linker.display().to_string());
    project.edit("api/src/bin/contacts/main.rs", "//! Edited. ", "//! Edited again. ");
    let packaged = project.run(&["package", "--bin", "contacts"]);
    assert_eq!(packaged.result()["data"]["functions"][0]["upload"], "uploaded", "{}", packaged.error());
    let said = |ended: &Ended, word: &str| {
        ended.of_type("warning").any(|line| line["message"].as_str().unwrap().contains(word))
    };
    assert!(said(&packaged, "newest packages in the bucket"), "{:?}", packaged.lines);
    assert!(said(&packaged, "→ other-linker 9.9 (contacts)"), "{:?}", packaged.lines);
    assert!(packaged.stderr.contains("uploaded contacts ("), "{}", packaged.stderr);
    let record = project.path().join("target/causeway/package/package.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(record["functions"].as_array().unwrap().len(), 4, "the others stay in the record");
}
