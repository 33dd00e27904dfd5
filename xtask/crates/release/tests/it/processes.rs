//! The processes of a local cloud: how they end, what a kill leaves behind, and where they listen.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use assert_cmd::Command;
use causeway_machine::cmd::cmd;
use causeway_testing::{Project, read, shell, wait_until, workspace};

/// The ids of what a project's cloud has started.
fn started(project: &Project) -> Vec<i32> {
    let dir = project.path().join("target/causeway/local/processes");
    let entries =
        std::fs::read_dir(dir).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.path().file_stem()?.to_str()?.parse().ok()).collect()
}

/// Whether a process runs (a zombie does not).
fn runs(id: i32) -> bool {
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().unwrap_or_default().trim_start().to_owned()
    } else {
        said("ps", &["-o", "stat=", "-p", &id.to_string()])
    };
    !state.trim().is_empty() && !state.trim_start().starts_with('Z')
}

/// The processes of a project's cloud, all of which run: the cloud itself and at least its emulator.
fn running(project: &Project) -> Vec<i32> {
    let all = started(project);
    assert!(all.len() >= 2 && all.iter().all(|id| runs(*id)), "{all:?}");
    all
}

fn signal(id: i32, name: &str) {
    let (sh, id) = (shell(&workspace()), id.to_string());
    read(cmd!(sh, "kill -{name} {id}"));
}

#[test]
fn what_a_kill_leaves_is_ended_by_the_next_run() {
    let mut project = Project::new();
    project.up();
    let pid = i32::try_from(project.state()["pid"].as_i64().unwrap()).unwrap();
    let before = running(&project);
    signal(pid, "KILL");
    wait_until("the resident process is gone", || !runs(pid));
    let emulator: Vec<i32> = before.into_iter().filter(|id| *id != pid).collect();
    assert!(emulator.iter().all(|id| runs(*id)), "the emulator was left behind");

    let up = project.run(&["local", "up"]);
    assert_eq!((up.code, up.result()["verdict"].as_str()), (0, Some("done")), "{}", up.stderr);
    assert!(emulator.iter().all(|id| !runs(*id)), "it was found and ended");
    let now = running(&project);
    assert_eq!(project.run(&["local", "down"]).code, 0);
    wait_until("nothing is left", || now.iter().all(|id| !runs(*id)));
    assert!(!project.path().join("target/causeway/local/state.json").exists());
}

#[test]
fn a_cloud_that_is_asked_to_end_takes_its_emulator_along() {
    let mut project = Project::new();
    project.up();
    let pid = i32::try_from(project.state()["pid"].as_i64().unwrap()).unwrap();
    let all = running(&project);
    signal(pid, "TERM");
    wait_until("nothing is left", || all.iter().all(|id| !runs(*id)));
}

#[test]
fn its_files_are_for_their_owner_and_it_listens_on_loopback_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut project = Project::new();
    project.up();
    let local = project.path().join("target/causeway/local");
    for file in ["state.json", "ca.pem", "bundle.pem", "aws/config", "aws/credentials"] {
        let mode = std::fs::metadata(local.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    for folder in ["", "scratch", "logs", "processes"] {
        let mode = std::fs::metadata(local.join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder:?}: {mode:o}");
    }
    let logs: Vec<_> = std::fs::read_dir(local.join("logs")).unwrap().flatten().collect();
    assert!(logs.len() >= 2, "{logs:?}");
    for log in logs {
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{log:?}");
    }
    for id in running(&project) {
        let addresses = listening(id);
        assert!(!addresses.is_empty(), "process {id} listens nowhere");
        for (address, _) in addresses {
            assert_eq!(address, "127.0.0.1", "process {id} listens there");
        }
    }
}

#[test]
fn a_cloud_ends_with_the_process_it_was_started_for() {
    let mut project = Project::new();
    #[expect(clippy::disallowed_methods, reason = "the test ends what it starts")]
    let mut owner = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    project.set("CAUSEWAY_LOCAL_WHILE", owner.id().to_string());
    project.up();
    let all = running(&project);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing is left", || all.iter().all(|id| !runs(*id)));
}

/// The addresses and ports a process listens on: of IPv4 and IPv6, whatever the system keeps them in.
fn listening(id: i32) -> Vec<(String, u16)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    if !Path::new(tables[0]).exists() {
        let words = ["-nP", "-a", "-p", &id.to_string(), "-iTCP", "-sTCP:LISTEN", "-Fn"];
        let output = Command::new("lsof").args(words).output().unwrap();
        let rows = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = rows.lines().filter_map(|row| row.strip_prefix('n')?.rsplit_once(':'));
        return names.map(|(address, port)| (address.to_owned(), port.parse().unwrap())).collect();
    }
    let links = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
    let sockets: Vec<String> = links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .map(|socket| socket.display().to_string())
        .collect();
    // A kernel without IPv6 has no table of it.
    let rows = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default()).join("\n");
    rows.lines()
        .filter_map(|row| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let inode = format!("socket:[{}]", fields.get(9)?);
            let (address, port) = fields.get(1)?.split_once(':')?;
            let listens = fields.get(3) == Some(&"0A") && sockets.contains(&inode);
            // "proc_net(5)": addresses are hexadecimal, in the order of this machine's bytes.
            let address = if address == "0100007F" { "127.0.0.1" } else { address };
            listens.then(|| (address.to_owned(), u16::from_str_radix(port, 16).unwrap()))
        })
        .collect()
}

#[test]
fn what_listens_and_runs_is_seen() {
    let own = i32::try_from(std::process::id()).unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    // Other tests of this program listen meanwhile.
    let seen = |listener: &std::net::TcpListener| -> Vec<String> {
        let port = listener.local_addr().unwrap().port();
        listening(own).into_iter().filter(|(_, of)| *of == port).map(|(address, _)| address).collect()
    };
    assert_eq!(seen(&listener), ["127.0.0.1"]);
    drop(listener);
    // Wherever else something listens, of IPv6 as well, it is not taken for loopback.
    for everywhere in ["0.0.0.0:0", "[::]:0", "[::1]:0"] {
        // A machine without IPv6 has nothing to see there.
        let Ok(listener) = std::net::TcpListener::bind(everywhere) else { continue };
        let seen = seen(&listener);
        assert!(seen.len() == 1 && seen[0] != "127.0.0.1", "{everywhere}: {seen:?}");
        drop(listener);
    }
    #[expect(clippy::disallowed_methods, reason = "the test ends what it starts")]
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let id = i32::try_from(child.id()).unwrap();
    assert!(runs(own) && runs(id));
    child.kill().unwrap();
    wait_until("a zombie does not run", || !runs(id));
    child.wait().unwrap();
    assert!(!runs(id));
}
