//! The arguments of `test-deployment`.

use std::time::Duration;

use crate::common::{Report, duration};

/// Arguments of `test-deployment`.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// The environment, for instance dev or prod
    #[arg(long, value_name = "ENV")]
    pub env: String,
    /// A developer's own stack in place of the pipeline's
    #[arg(long, value_name = "NAME")]
    pub isolated: Option<String>,
    /// Requests a second
    #[arg(long, default_value_t = 10.0, value_parser = rate, value_name = "RATE")]
    pub rate: f64,
    /// Watch for so long, whatever is deployed; nothing takes longer, the first look included
    #[arg(long = "for", value_parser = duration, value_name = "TIME", conflicts_with = "until_done")]
    pub time: Option<Duration>,
    /// Wait for a deployment to begin, and watch until it is over; with --for at most for so long
    ///
    /// Where none begins within 15 minutes, or the time of --for, the verdict is timed-out.
    #[arg(long)]
    pub wait: bool,
    /// Percent of requests that may fail without a deployment, or after it; while it runs, CodeDeploy decides
    #[arg(long, default_value_t = 1.0, value_parser = percent, value_name = "PERCENT")]
    pub max_errors: f64,
    /// Watch until every deployment is over; this is what happens without --for
    #[arg(long)]
    pub until_done: bool,
    /// `--report`.
    #[command(flatten)]
    pub report: Report,
}

/// Requests a second: enough to see something, and no attack.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number is wanted".to_owned())?;
    if (0.1..=1_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("it is not between 0.1 and 1000 requests a second; 10 is a good start".to_owned())
    }
}

/// A share in percent.
fn percent(text: &str) -> Result<f64, String> {
    let share: f64 = text.trim_end_matches('%').parse().map_err(|_| "a number is wanted".to_owned())?;
    if (0.0..=100.0).contains(&share) { Ok(share) } else { Err("it is not between 0 and 100".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_bounds() {
        for (text, share) in [("1", Some(1.0)), ("0", Some(0.0)), ("2.5%", Some(2.5)), ("100", Some(100.0))] {
            assert_eq!(percent(text).ok(), share, "{text}");
        }
        for text in ["-1", "101", "NaN", "inf", "%", "x"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_have_bounds() {
        for (text, good) in [
            ("10", true),
            ("0.1", true),
            ("1000", true),
            ("0", false),
            ("1001", false),
            ("NaN", false),
            ("x", false),
        ] {
            assert_eq!(rate(text).is_ok(), good, "{text}");
        }
    }
}
