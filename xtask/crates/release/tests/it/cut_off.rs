//! Rehearsals that are cut off: by Ctrl-C, by a kill, or by the death of the cloud they run on. Nothing is left behind.
//!
//! They share the workspace's builds, as those of `rehearsal.rs` do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use causeway_machine::cmd::cmd;
use causeway_testing::{Project, read, shell, wait_until, workspace};

/// A rehearsal that is going to be cut off.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(project: &Project, options: &[&str]) -> Self {
        let words = [&["rehearse", "--approve", "auto", "--output", "json"], options].concat();
        let prepared = project.command(&words);
        #[expect(clippy::disallowed_methods, reason = "the test ends what it starts")]
        let mut command = Command::new(prepared.get_program());
        command.args(words).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (key, value) in prepared.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until a line has all of these words.
    fn reach(&mut self, words: &[&str]) {
        let there = |line: String| words.iter().all(|word| line.contains(word));
        assert!(self.lines.by_ref().map_while(Result::ok).any(there), "it never got to {words:?}");
    }

    /// Sends a signal: the exit code, and the last line.
    fn cut_off(mut self, name: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let sh = shell(&workspace());
        read(cmd!(sh, "kill -{name} {id}"));
        let last = self.lines.map_while(Result::ok).last().unwrap_or_default();
        (self.child.wait().unwrap().code(), last)
    }
}

/// The ids of the builds that a project's cloud has written down. They work in a folder that all tests share.
fn builds(project: &Project) -> Vec<String> {
    let dir = project.path().join("target/causeway/local/processes/builds");
    let entries = std::fs::read_dir(dir).map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect()
}

/// Whether a group of that id has a process that is no zombie.
fn works(group: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(|stat| {
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, found) = (fields.next(), fields.nth(1));
        found == Some(group) && state != Some("Z")
    })
}

/// The builds at work right now, once there are some.
fn building(project: &Project) -> Vec<String> {
    let at_work = || -> Vec<String> { builds(project).into_iter().filter(|id| works(id)).collect() };
    wait_until("a build is at work", || !at_work().is_empty());
    at_work()
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn an_interrupted_rehearsal_leaves_nothing_behind() {
    let project = Project::clone_of_repository();
    for name in ["INT", "KILL"] {
        let mut running = Running::start(&project, &[]);
        running.reach(&["\"Baseline\"", "started"]);
        // In the middle of a build there is a cloud, an emulator and a compiler at work.
        let builds = building(&project);
        let ours = processes(&project);
        assert!(ours.len() >= 2, "{ours:?}");
        let (code, last) = running.cut_off(name);
        if name == "INT" {
            assert_eq!(code, Some(130));
            assert!(last.contains("\"verdict\":\"interrupted\""), "{last}");
        }
        wait_until(&format!("nothing is left after SIG{name}"), || processes(&project).is_empty());
        wait_until(&format!("no build is left after SIG{name}"), || !builds.iter().any(|id| works(id)));
    }
    let next = project.run(&["rehearse", "--approve", "auto", "--no-baseline"]);
    assert_eq!(next.result()["verdict"], "released", "{} {}", next.error(), next.stderr);
    assert_eq!(project.run(&["local", "down"]).code, 0);
}

/// A cloud that is kept outlives the command that is killed; what that had begun is ended or waited for.
#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_kill_on_a_kept_cloud_is_cleaned_up_by_the_next_run() {
    let project = Project::clone_of_repository();
    let slow = ["rehearse", "--approve", "auto", "--minute", "5s", "--no-baseline"];
    let first = project.run(&["rehearse", "--approve", "auto", "--keep", "--no-baseline"]);
    assert_eq!(first.result()["verdict"], "released", "{} {}", first.error(), first.stderr);
    project.edit("api/src/bin/contacts/main.rs", "//! ", "//! Edited. ");
    project.commit();

    // In the middle of a build.
    let mut running = Running::start(&project, &["--no-baseline"]);
    running.reach(&["\"Build\"", "started"]);
    let left = building(&project);
    running.cut_off("KILL");
    wait_until("the cloud ends a build whose command is gone", || !left.iter().any(|id| works(id)));

    // In the middle of a shift.
    let mut running = Running::start(&project, &slow[3..]);
    running.reach(&["\"weight\"", "\"prod\""]);
    running.cut_off("KILL");

    let next = project.run(&slow);
    assert_eq!(next.result()["verdict"], "released", "{} {}", next.error(), next.stderr);
    let told = |line: &serde_json::Value| {
        let said = line["message"].as_str().unwrap_or_default();
        said.contains("causeway-app-prod") && said.contains("an earlier run that was cut off")
    };
    assert!(next.of_type("warning").any(told), "it says what it waits for");
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn a_cloud_that_dies_in_the_middle_is_said_at_once() {
    let project = Project::clone_of_repository();
    let mut running = Running::start(&project, &["--no-baseline"]);
    running.reach(&["\"Build\"", "started"]);
    let builds = building(&project);
    let state: serde_json::Value = serde_json::from_slice(
        &std::fs::read(project.path().join("target/causeway/local/state.json")).unwrap(),
    )
    .unwrap();
    let (sh, id) = (shell(project.path()), state["pid"].to_string());
    read(cmd!(sh, "kill -KILL {id}"));
    let last = running.lines.by_ref().map_while(Result::ok).last().unwrap_or_default();
    assert_eq!(running.child.wait().unwrap().code(), Some(1), "{last}");
    assert!(last.contains("\"verdict\":\"failed\"") && last.contains("process is gone"), "{last}");
    assert!(last.contains("logs/cloud.log"), "{last}");
    // Its builds had nobody left who could end them; the next cloud does.
    assert_eq!(project.run(&["local", "up"]).code, 0);
    wait_until("no build is left", || !builds.iter().any(|id| works(id)));
    assert_eq!(project.run(&["local", "down"]).code, 0);
}

/// Whichever of the two dies in mid-shift, the result says which; nothing is left, and the next rehearsal is as any other. Meanwhile a
/// second one is told who has the cloud.
#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn what_dies_in_mid_shift_is_named_and_leaves_nothing() {
    let project = Project::clone_of_repository();
    let sh = shell(project.path());
    let commit = read(cmd!(sh, "git rev-parse HEAD"));
    for (victim, said) in [("emulator", "the emulator ended"), ("local cloud", "process is gone")] {
        let mut running = Running::start(&project, &["--minute", "3s"]);
        running.reach(&["\"weight\"", "\"prod\""]);
        let second = project.run(&["rehearse", "--approve", "auto"]);
        assert_eq!(
            (second.code, second.result()["verdict"].as_str()),
            (6, Some("stuck")),
            "{}",
            second.stderr
        );
        let holder = format!("process {} holds it and releases {}", running.child.id(), &commit.trim()[..12]);
        assert!(second.error().contains(&holder), "{holder}: {}", second.error());

        let records = project.path().join("target/causeway/local/processes");
        let all = std::fs::read_dir(records)
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path()).ok());
        let mut all = all.filter_map(|record| serde_json::from_slice::<serde_json::Value>(&record).ok());
        let id = all.find(|record| record["name"] == victim).unwrap()["pid"].to_string();
        read(cmd!(sh, "kill -KILL {id}"));
        let last = running.lines.by_ref().map_while(Result::ok).last().unwrap_or_default();
        assert_eq!(running.child.wait().unwrap().code(), Some(1), "{victim}: {last}");
        assert!(last.contains("\"verdict\":\"failed\"") && last.contains(said), "{victim}: {last}");
        wait_until(&format!("nothing is left of a {victim} that was killed"), || {
            processes(&project).is_empty()
        });
    }
    let next = project.run(&["rehearse", "--approve", "auto"]);
    assert_eq!(next.result()["verdict"], "released", "{} {}", next.error(), next.stderr);
}

/// Command lines of processes that work for a project: those that name its folder, and its emulator.
fn processes(project: &Project) -> Vec<String> {
    let place = project.path().display().to_string();
    let entries =
        std::fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let text = |path: std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).replace('\0', " ")
    };
    entries
        .iter()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|entry| entry.file_name().to_string_lossy() != std::process::id().to_string())
        .filter_map(|entry| {
            let here = std::fs::read_link(entry.path().join("cwd"))
                .map(|dir| dir.display().to_string())
                .unwrap_or_default();
            let line = text(entry.path().join("cmdline"));
            let state = text(entry.path().join("stat"));
            let zombie = state.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z');
            ((here.starts_with(&place) || line.contains(&place)) && !zombie && !line.is_empty())
                .then_some(line)
        })
        .collect()
}
