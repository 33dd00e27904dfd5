//! tmp
#![allow(dead_code, unused_imports)]
mod model;
fn main() {}
