//! What a person or a script sees: lines in text or JSON, progress, colors, the one question.

mod approval;
mod chart;
mod out;
mod proof;
mod style;
mod text;
mod wrap;

pub(crate) use chart::Chart;
pub(crate) use out::{Options, Out};
pub(crate) use text::{plain, watched};
