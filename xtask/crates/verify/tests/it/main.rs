//! The tests of the whole program, one module a subject: one binary to link.

mod gates;
mod leaving;
