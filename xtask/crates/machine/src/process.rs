//! Child processes that can be found and ended again, whatever becomes of us.
//!
//! Each one leads a process group of its own and is written down before anything else happens. Dropping it ends the
//! whole group; what a kill -9 left behind is ended by the next run, see [`reap`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::cmd::{cmd, command};

/// How long a group may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// What is written down about a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The leader's process id, which is the group's.
    pid: i32,
    /// When it started, as [`start_time`] says it: a later process of the same id is not mistaken for it.
    started: u64,
    /// What it is, for a person who looks.
    name: String,
}

/// How a group is ended when nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At once.
    Kill,
    /// It is asked, and given time to end what it started itself.
    Ask,
}

/// A running child that leads a process group.
pub struct Group {
    ending: Ending,
    child: Child,
    pid: Pid,
    record: PathBuf,
    kept: bool,
}

/// Starts a child as the leader of a group of its own.
///
/// # Errors
/// The program cannot be started, or the record cannot be written (the child is ended then).
pub fn spawn(mut command: Command, name: &str, records: &Path, ending: Ending) -> anyhow::Result<Group> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    std::fs::create_dir_all(records).with_context(|| format!("create {}", records.display()))?;
    // A kept group outlives its handle; the others are ended as a whole by ours.
    command.kill_on_drop(false).process_group(0);
    let mut child = patiently(|| command.spawn()).with_context(|| format!("start {program}"))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let Some((id, pid)) = id.and_then(|id| Some((id, Pid::from_raw(id)?))) else {
        let _ = child.start_kill();
        anyhow::bail!("{program} ended at once");
    };
    let record = records.join(format!("{id}.json"));
    let group = Group { ending, child, pid, record: record.clone(), kept: false };
    let content =
        serde_json::to_vec(&Record { pid: id, started: start_time(id).unwrap_or(0), name: name.to_owned() })?;
    std::fs::write(&record, content).with_context(|| format!("write {}", record.display()))?;
    Ok(group)
}

/// Starts a program. One that was only just written is busy as long as a child that another thread is starting has it open, too:
/// until that child becomes what it runs ("execve(2)", ETXTBSY).
fn patiently<T>(mut start: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    for _ in 0..100 {
        match start() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => pause(),
            ended => return ended,
        }
    }
    start()
}

#[expect(
    clippy::disallowed_methods,
    reason = "milliseconds, where two programs are started in the same moment"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

impl Group {
    /// The leader's process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The child, to read from it or to wait for it.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Ends the group: politely first, then for good. Returns once nothing of it runs.
    pub async fn end(mut self) {
        let _ = kill_process_group(self.pid, Signal::TERM);
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        // Dropping kills what is left of the group and removes the record.
    }

    /// Lets the group live on after us; it stays written down.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if self.ending == Ending::Ask && matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.pid, Signal::TERM);
            for _ in 0..GRACE.as_millis() / 20 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a drop cannot wait otherwise, and the program ends here"
                )]
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.child.try_wait();
        let _ = std::fs::remove_file(&self.record);
    }
}

/// Ends every group that was written down there and is still running. Returns the names of what was ended.
pub async fn reap(records: &Path) -> Vec<String> {
    let mut ended = Vec::new();
    let Ok(entries) = std::fs::read_dir(records) else { return ended };
    let written = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    for path in entries.flatten().map(|entry| entry.path()).filter(written) {
        let record =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        if let Some(record) = record
            && let Some(pid) = Pid::from_raw(record.pid)
            && is_ours(&record, pid)
        {
            end_group(pid).await;
            ended.push(record.name);
        }
        let _ = std::fs::remove_file(&path);
    }
    ended
}

/// Ends the group of a recorded process by its id, for `local down`.
pub async fn end_recorded(records: &Path, id: i32) {
    let path = records.join(format!("{id}.json"));
    let record = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    if let Some(record) = record
        && let Some(pid) = Pid::from_raw(id)
        && is_ours(&record, pid)
    {
        end_group(pid).await;
    }
    let _ = std::fs::remove_file(&path);
}

/// Whether a process of that id, started then, is alive.
pub fn is_alive(records: &Path, id: i32) -> bool {
    let path = records.join(format!("{id}.json"));
    let record = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record.is_some_and(|record| start_time(id) == Some(record.started))
}

/// Whether the group is still the one that was written down. While any member lives, the kernel gives its id to no
/// new process; so a group whose leader is gone is ours, and one whose leader lives is ours if it started then.
fn is_ours(record: &Record, pid: Pid) -> bool {
    is_running(pid) && start_time(record.pid).is_none_or(|started| started == record.started)
}

async fn end_group(pid: Pid) {
    let _ = kill_process_group(pid, Signal::TERM);
    for _ in 0..GRACE.as_millis() / 50 {
        if !is_running(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = kill_process_group(pid, Signal::KILL);
}

/// Whether anything of a group still runs. Zombies do not: where nobody collects them, they stay for ever.
fn is_running(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let id = group.as_raw_nonzero().to_string();
    // "proc_pid_stat(5)": after the name in parentheses come the state, the parent, the group.
    processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(
        |stat| {
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let (state, found) = (fields.next(), fields.nth(1));
            found == Some(id.as_str()) && state != Some("Z")
        },
    )
}

/// When a process started, so that a later one of the same id is told apart; `None` where there is none (a zombie counts as
/// none). Here in ticks since the machine started ("proc_pid_stat(5)"): the clock may be set meanwhile.
#[cfg(target_os = "linux")]
pub fn start_time(id: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name in parentheses, which may have any character, come the state and, as the 22nd field of all, the start.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    fields.nth(18)?.parse().ok().filter(|_| !["Z", "X"].contains(&state))
}

/// When a process started, so that a later one of the same id is told apart; `None` where there is none (a zombie counts as
/// none). Here in seconds, as `ps` says it.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "it ends at once, and nobody here can wait for it without blocking"
)]
pub fn start_time(id: i32) -> Option<u64> {
    let (sh, id) = (xshell::Shell::new().ok()?, id.to_string());
    let text =
        cmd!(sh, "ps -o stat=,lstart= -p {id}").env("LC_ALL", "C").quiet().ignore_stderr().read().ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    let started = started.split_whitespace().collect::<Vec<_>>().join(" ");
    let started = jiff::civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", started).ok()?;
    let seconds = started.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    u64::try_from(seconds).ok().filter(|_| !state.starts_with('Z'))
}

/// A command whose input is closed and whose output goes to a file.
///
/// # Errors
/// The file cannot be made.
pub fn logged(program: &Path, log: &Path) -> anyhow::Result<Command> {
    let file = crate::files::create_private(log)?;
    let second = file.try_clone().with_context(|| format!("open {}", log.display()))?;
    let mut command = command(Path::new("."), |sh| cmd!(sh, "{program}"))?;
    command.stdout(file).stderr(second);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = command(Path::new("."), |sh| cmd!(sh, "sh -c 'sleep 600 & sleep 600'")).unwrap();
        command.stdout(std::process::Stdio::null());
        command
    }

    /// The name of a process is in its line in `/proc`, and may look like the end of it.
    #[tokio::test]
    async fn a_process_is_known_by_its_start() {
        let own = start_time(i32::try_from(std::process::id()).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("a) Z 1 (b");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let child = command(Path::new("."), |sh| cmd!(sh, "{program} 60")).unwrap();
        let child = spawn(child, "x", dir.path(), Ending::Kill).unwrap();
        let id = child.id();
        let started = start_time(id).unwrap();
        assert!(started >= own && start_time(id) == Some(started), "{own} {started}");
        child.end().await;
        assert_eq!((start_time(id), start_time(0), start_time(-1)), (None, None, None));
    }

    #[test]
    fn a_program_that_is_still_being_written_is_tried_again_and_nothing_else_is() {
        let tries = |busy: usize, then: std::io::Result<()>| {
            let (mut asked, mut then) = (0, Some(then));
            let ended = patiently(|| {
                asked += 1;
                if asked <= busy {
                    return Err(std::io::ErrorKind::ExecutableFileBusy.into());
                }
                then.take().unwrap()
            });
            (asked, ended.map_err(|error| error.kind()))
        };
        let denied = std::io::ErrorKind::PermissionDenied;
        assert_eq!(tries(0, Ok(())), (1, Ok(())));
        assert_eq!(tries(3, Ok(())), (4, Ok(())));
        assert_eq!(tries(1, Err(denied.into())), (2, Err(denied)));
        assert_eq!(tries(usize::MAX, Ok(())), (101, Err(std::io::ErrorKind::ExecutableFileBusy)));
    }

    /// Until nothing of a group runs: what is killed goes when the kernel comes to it.
    async fn gone(group: Pid) {
        while is_running(group) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn dropping_ends_the_whole_group() {
        let records = tempfile::tempdir().unwrap();
        let group = spawn(sleeper(), "sleeper", records.path(), Ending::Kill).unwrap();
        let pid = group.pid;
        assert!(is_running(pid));
        assert_eq!(std::fs::read_dir(records.path()).unwrap().count(), 1);
        group.end().await;
        gone(pid).await;
        assert_eq!(std::fs::read_dir(records.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_was_left_behind_is_ended_and_others_are_left_alone() {
        let records = tempfile::tempdir().unwrap();
        let group = spawn(sleeper(), "left behind", records.path(), Ending::Kill).unwrap();
        let pid = group.pid;
        group.keep();
        let other = spawn(sleeper(), "other", tempfile::tempdir().unwrap().path(), Ending::Kill).unwrap();
        let stranger = Record { pid: other.id(), started: 1, name: "stranger".into() };
        std::fs::write(records.path().join("x.json"), serde_json::to_vec(&stranger).unwrap()).unwrap();
        std::fs::write(records.path().join("y.json"), "{ half").unwrap();
        assert_eq!(reap(records.path()).await, ["left behind"]);
        gone(pid).await;
        assert!(is_running(other.pid));
        assert_eq!(std::fs::read_dir(records.path()).unwrap().count(), 0);
        other.end().await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let records = tempfile::tempdir().unwrap();
        let missing = command(Path::new("."), |sh| cmd!(sh, "/no/such/program x")).unwrap();
        let error = spawn(missing, "x", records.path(), Ending::Ask).err().unwrap();
        assert_eq!(error.to_string(), "start /no/such/program");
    }
}
