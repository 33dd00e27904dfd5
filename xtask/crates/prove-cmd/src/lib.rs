//! The command `prove`: reads the files, asks AWS's translator, prints what came out.

pub mod prove;
mod text;
