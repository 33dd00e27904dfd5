//! tmp
#![allow(dead_code, unused_imports)]
mod aws;
mod clock;
mod local;
mod model;
mod term;
fn main() {}
