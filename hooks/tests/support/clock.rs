//! A paused clock that a test moves by hand, so that a busy machine cannot fail it. For tests with `start_paused`.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// A test that waits this long for something hangs. Nothing is judged by it: how quick a machine is changes no outcome.
const HANGS: Duration = Duration::from_secs(120);

/// While this lives, time passes by [`tokio::time::advance`] alone. Without it a paused runtime advances the clock whenever
/// it has nothing to do, and a socket's answer that is still on its way counts as nothing.
pub(crate) struct Held {
    _until_dropped: Sender<()>,
}

/// Holds the clock. Tokio does not advance a paused clock while a blocking task runs ("tokio::time::pause").
pub(crate) fn hold() -> Held {
    let (sender, receiver) = channel::<()>();
    tokio::task::spawn_blocking(move || receiver.recv());
    Held { _until_dropped: sender }
}

/// Waits for what must come without any time passing on the held clock.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let (sender, hangs) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::park_timeout(HANGS);
        let _ = sender.send(());
    });
    tokio::select! {
        value = future => value,
        _ = hangs => panic!("{what} did not come although no more time had to pass"),
    }
}
