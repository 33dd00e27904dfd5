//! Ctrl-C while cargo builds: cargo ends, and then this process by itself, with the result line and the exit code that every
//! interrupted command has. Without this the signal would end the entry before it could say anything.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Listens until it is dropped. The program that this process becomes has the usual handling of signals again.
pub(crate) struct Interruptions {
    state: Arc<State>,
    handle: Handle,
}

#[derive(Default)]
struct State {
    /// Set by the signal's handler itself: whoever looks after cargo has ended sees what cargo was sent, too.
    came: Arc<AtomicBool>,
    /// The cargo that runs.
    cargo: Mutex<Option<Pid>>,
}

impl Interruptions {
    /// From now on Ctrl-C and a termination signal end `cargo`, and not this process.
    ///
    /// # Errors
    /// Signals cannot be handled.
    pub(crate) fn listen() -> io::Result<Self> {
        let state = Arc::new(State::default());
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&state.came))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let heard = Arc::clone(&state);
        thread::spawn(move || signals.forever().for_each(|_| heard.interrupt()));
        Ok(Self { state, handle })
    }

    /// Passes signals on to this cargo, also one that came before it ran.
    pub(crate) fn pass_to(&self, cargo: &Child) {
        let pid = i32::try_from(cargo.id()).ok().and_then(Pid::from_raw);
        *self.state.cargo.lock().unwrap_or_else(PoisonError::into_inner) = pid;
        if self.came() {
            self.state.interrupt();
        }
    }

    /// Waits until cargo has ended. Its number is another process's only after it has been collected, which the caller does.
    pub(crate) fn wait(&self, cargo: &Child) {
        if let Some(pid) = i32::try_from(cargo.id()).ok().and_then(Pid::from_raw) {
            let ended = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            while matches!(ended(), Err(rustix::io::Errno::INTR)) {}
        }
        *self.state.cargo.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether there was one.
    pub(crate) fn came(&self) -> bool {
        self.state.came.load(Ordering::SeqCst)
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl State {
    fn interrupt(&self) {
        if let Some(pid) = *self.cargo.lock().unwrap_or_else(PoisonError::into_inner) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::INT);
        }
    }
}
