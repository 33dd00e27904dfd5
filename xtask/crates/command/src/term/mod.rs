//! What a person or a script sees: lines in text or JSON, progress, colors, the one question.

mod approval;
mod chart;
mod out;
mod style;
mod text;
mod wrap;

pub use chart::Chart;
pub use out::{Level, Options, Out};
pub use style::Paint;
pub use text::{plain, watched};
