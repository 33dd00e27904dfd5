//! A command that does not come to its end: Ctrl-C and other signals, or a defect of our own. Either way there is a result
//! line, and it says what was changed until then and what goes on without us.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use serde_json::{Value, json};

use super::AfterChanges;
use causeway_model::fault::{Fault, Kind};

/// Who ends the command at Ctrl-C.
#[derive(Default)]
pub(super) struct Interrupts {
    taken: AtomicBool,
    bell: Notify,
}

impl Interrupts {
    /// From now on the command ends by itself when the answer resolves; where the answer is dropped, Ctrl-C ends it again.
    pub(super) fn take(self: Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        self.taken.store(true, Ordering::Relaxed);
        let taken = Taken(self);
        async move { taken.0.bell.notified().await }
    }

    /// Resolves at Ctrl-C, a termination signal, or when the terminal goes away. What is dropped then ends the processes
    /// it started.
    pub(super) async fn heard(&self) {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
        let mut hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = hung_up(&mut hangup) => {}
            }
            // A command that ends by itself is told once; a second signal ends it as any other.
            if !self.taken.swap(false, Ordering::Relaxed) {
                return;
            }
            self.bell.notify_one();
        }
    }
}

/// Given back when it is dropped.
struct Taken(Arc<Interrupts>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether we were started to outlive the terminal, as by `nohup`. Source: "SigIgn" in proc_pid_status(5); SIGHUP is the
/// first bit.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|row| row.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// What a command has changed so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// What is being changed.
    begun: Vec<String>,
    /// What is changed.
    done: Vec<String>,
    /// What was removed and is still there for a while, in words.
    remains: Vec<String>,
}

impl Changes {
    /// Something is changed from now on, for instance `dev/causeway-target-roles`.
    pub fn begin(&self, name: &str) {
        self.record().begun.push(name.to_owned());
    }

    /// It is changed.
    pub fn done(&self, name: &str) {
        self.unchanged(name);
        self.record().done.push(name.to_owned());
    }

    /// It stays as it was.
    pub fn unchanged(&self, name: &str) {
        self.record().begun.retain(|begun| begun != name);
    }

    /// Something that was removed remains for a while, or stays: what, and until when.
    pub fn remains(&self, line: String) {
        self.record().remains.push(line);
    }

    /// What is changed.
    pub fn changed(&self) -> Vec<String> {
        self.record().done.clone()
    }

    /// All that remains, in words.
    pub fn remaining(&self) -> Vec<String> {
        self.record().remains.clone()
    }

    /// A failure of a command that had changed something: what it changed and what remains go with it.
    pub fn failed(&self, source: anyhow::Error) -> AfterChanges {
        let record = self.record();
        AfterChanges { changed: record.done.clone(), data: record.data(), source }
    }

    /// The end of a command that was interrupted.
    pub(super) fn cut_off(&self) -> anyhow::Error {
        let record = self.record();
        let fault = Fault::new(Kind::Interrupted, "run the command", "");
        let fault = if record.begun.is_empty() {
            fault.why("it was interrupted").next("run it again; it begins clean")
        } else {
            fault
                .why(format!("it was interrupted while it changed {}", record.begun.join(", ")))
                .next("what was begun goes on in AWS; run it again to follow it")
        };
        drop(record);
        self.failed(fault.into()).into()
    }

    /// The end of a command that panicked.
    fn broken_off(&self, panic: &(dyn Any + Send)) -> anyhow::Error {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
        let fault = Fault::failed("run the command", "")
            .why(format!("a defect of this tool: {text}"))
            .next("report it with the lines above; running it again goes on from what is there");
        self.failed(fault.into()).into()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn data(&self) -> Value {
        if self.remains.is_empty() { json!({}) } else { json!({"remains": self.remains}) }
    }
}

/// Does the work; a panic in it becomes an error like any other, after everything was dropped on its way.
///
/// # Errors
/// The work's own, or the panic.
pub(super) fn guarded<T>(changes: &Changes, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // Nothing of what the work had in hand is looked at afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(changes.broken_off(panic.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::from_error;

    fn changed(error: &anyhow::Error) -> Vec<String> {
        error.downcast_ref::<AfterChanges>().map(|after| after.changed.clone()).unwrap_or_default()
    }

    #[test]
    fn what_was_begun_is_told_and_what_is_done_is_listed() {
        let changes = Changes::default();
        let fault = from_error(&changes.cut_off());
        assert_eq!((fault.kind, fault.why.as_str()), (Kind::Interrupted, "it was interrupted"));
        changes.begin("build/base");
        changes.begin("dev/roles");
        changes.begin("prod/roles");
        changes.done("build/base");
        changes.unchanged("prod/roles");
        let error = changes.cut_off();
        assert_eq!(changed(&error), ["build/base"]);
        let fault = from_error(&error);
        assert_eq!(fault.why, "it was interrupted while it changed dev/roles");
        assert!(fault.next.contains("goes on in AWS"), "{}", fault.next);
    }

    #[test]
    fn what_remains_goes_with_a_failure() {
        let changes = Changes::default();
        let data =
            |error: &anyhow::Error| error.downcast_ref::<AfterChanges>().map(|after| after.data.clone());
        assert_eq!(data(&changes.cut_off()), Some(json!({})));
        changes.remains("key build/k: gone on 2026-01-01".to_owned());
        let expected = Some(json!({"remains": ["key build/k: gone on 2026-01-01"]}));
        assert_eq!(data(&changes.cut_off()), expected);
        let error = guarded::<()>(&changes, || panic!("no")).unwrap_err();
        assert_eq!(data(&error), expected);
        assert_eq!(data(&changes.failed(anyhow::anyhow!("no")).into()), expected);
    }

    #[test]
    fn a_panic_is_a_failure_with_a_result() {
        let changes = Changes::default();
        changes.begin("a");
        changes.done("a");
        let error = guarded::<()>(&changes, || panic!("the sky fell")).unwrap_err();
        let fault = from_error(&error);
        assert_eq!((fault.kind, changed(&error)), (Kind::Failed, vec!["a".to_owned()]));
        assert!(fault.why.contains("the sky fell"), "{}", fault.why);
        assert_eq!(guarded(&changes, || Ok(7)).unwrap(), 7);
    }
}
