//! Tells how far a cargo is, from what it prints itself.
//!
//! Cargo draws a bar where `CARGO_TERM_PROGRESS_WHEN=always` asks for it, also into a pipe ([`VARIABLES`]). This reads it and
//! says in one line what a person wants to know: units built of units planned, what is being compiled, the time that has
//! passed, and about how long it will take, by the last run's record or else by the units' own pace. What is no bar
//! (warnings, the compiler's errors) is passed on as it is.
//!
//! Time comes in from outside. Only [`follow`] starts anything, a thread that reads.

mod bar;
mod estimate;
mod follow;
mod screen;
mod stream;
mod watch;

pub use bar::plain;
pub use estimate::Record;
pub use follow::follow;
pub use screen::Screen;
pub use watch::{Watch, spell};

/// What cargo's environment needs so that it draws its bar into a pipe, with room for every name.
pub const VARIABLES: [(&str, &str); 2] =
    [("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "400")];
