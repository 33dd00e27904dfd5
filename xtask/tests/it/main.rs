//! The tests of the whole program, one module a subject: one binary to link.

mod readme;
mod tidy;
mod wall_clock;
