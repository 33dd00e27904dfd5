//! Time in tests of the engines: it passes by itself, but never while an answer of the emulator is on its way.
//!
//! A paused runtime (`start_paused`) advances its clock whenever it has nothing to do, and what a socket still carries counts
//! as nothing: limits would be over before an answer could arrive. So the clock is held while one is waited for. A stand-in
//! that lets time pass before it answers gives the clock free meanwhile.

use std::cell::RefCell;

use crate::held_clock::{Held, hold};

#[derive(Default)]
struct Clock {
    /// Whether this test's time is virtual.
    on: bool,
    /// How many answers are waited for, less those that wait for time to pass.
    awaited: i64,
    held: Option<Held>,
}

thread_local! {
    // A paused runtime has one thread, and so has its test.
    static CLOCK: RefCell<Clock> = RefCell::default();
}

fn change(by: i64) {
    let _ = CLOCK.try_with(|clock| {
        let mut clock = clock.borrow_mut();
        if clock.on {
            clock.awaited += by;
            let held = clock.held.take().or_else(|| (clock.awaited > 0).then(hold));
            clock.held = held.filter(|_| clock.awaited > 0);
        }
    });
}

/// From here on the test's time stands still while an answer is waited for. Its runtime must be paused.
pub(crate) fn begin() {
    CLOCK.with_borrow_mut(|clock| clock.on = true);
}

/// While this lives, an answer is waited for.
pub(crate) struct Awaited(());

/// Waits for an answer.
pub(crate) fn awaited() -> Awaited {
    change(1);
    Awaited(())
}

impl Drop for Awaited {
    fn drop(&mut self) {
        change(-1);
    }
}

/// While this lives, whoever answers lets time pass first.
pub(crate) struct Passing(());

/// Lets time pass before an answer.
pub(crate) fn passing() -> Passing {
    change(-1);
    Passing(())
}

impl Drop for Passing {
    fn drop(&mut self) {
        change(1);
    }
}
