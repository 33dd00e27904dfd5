//! A version that is broken on purpose, for `cargo xtask rehearse --break-prod`: it misbehaves in prod only.
//!
//! Nothing of this is in a release. The feature `break-prod` is off, `package` turns it on beside the local cloud
//! alone, and refuses to package a binary that contains [`MARK`] anywhere else.

use std::time::Duration;

/// Stands in every binary that is broken on purpose, and in no other.
pub const MARK: &str = "causeway-broken-on-purpose";

/// The function that misbehaves; another one of the same stack is well, and is taken back with it.
const FUNCTION: &str = "checkin";
/// More than twice what the alarm on slow answers allows. A rehearsal compares with the old version: wherever that one is
/// within the threshold, the difference is beyond it, on however busy a machine.
const SLOW: Duration = Duration::from_millis(4_500);

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Clients get errors; the hooks' checks pass.
    Errors,
    /// Clients wait for seconds; the hooks' checks pass.
    Slow,
    /// The hooks' checks fail.
    Hook,
    /// The process ends at its start.
    Crash,
    /// It says that it is another version.
    WrongVersion,
}

impl Broken {
    /// How this build misbehaves in that environment; `None` where it behaves.
    #[must_use]
    pub fn here(function: &str, environment: &str) -> Option<Self> {
        Self::read(option_env!("CAUSEWAY_BREAK_PROD").unwrap_or_default(), function, environment)
    }

    fn read(word: &str, function: &str, environment: &str) -> Option<Self> {
        if function != FUNCTION || environment != "prod" {
            return None;
        }
        tracing::warn!(mark = MARK, how = word, "this version is broken on purpose");
        match word {
            "errors" => Some(Broken::Errors),
            "slow" => Some(Broken::Slow),
            "hook" => Some(Broken::Hook),
            "crash" => Some(Broken::Crash),
            "wrong-version" => Some(Broken::WrongVersion),
            _ => None,
        }
    }

    /// Misbehaves before a request is handled.
    ///
    /// # Errors
    /// As a function fails: Lambda counts it as an error of the version.
    pub async fn before(self, is_hook: bool) -> Result<(), lambda_runtime::Error> {
        match (self, is_hook) {
            (Broken::Errors, false) => Err("broken on purpose: errors".into()),
            (Broken::Hook, true) => Err("broken on purpose: hook".into()),
            (Broken::Slow, false) => {
                tokio::time::sleep(SLOW).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number after a word, after another word.
    fn number(text: &str, after: &str, word: &str) -> u64 {
        let (_, rest) = text.split_once(after).unwrap();
        let (_, rest) = rest.split_once(word).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn slow_is_told_by_the_difference_and_is_no_timeout() {
        let template = include_str!("../../cfn/app.yaml");
        let threshold = number(template, "\n  SlowMilliseconds:", "Default:");
        let timeout = number(template, "\n  CheckinFunction:", "Timeout:");
        let slow = u64::try_from(SLOW.as_millis()).unwrap();
        assert!(slow > 2 * threshold, "{slow} {threshold}: an old version may take as long as the threshold");
        // Half of the timeout is left for the machine: a timeout would be another alarm's.
        assert!(slow * 2 < timeout * 1_000, "{slow} {timeout}");
    }

    #[tokio::test]
    async fn it_misbehaves_in_prod_only_and_in_one_function() {
        assert_eq!(Broken::read("errors", "checkin", "prod"), Some(Broken::Errors));
        assert_eq!(Broken::read("crash", "checkin", "prod"), Some(Broken::Crash));
        for (word, function, environment) in
            [("errors", "checkin", "dev"), ("errors", "contacts", "prod"), ("", "checkin", "prod")]
        {
            assert_eq!(Broken::read(word, function, environment), None, "{word} {function} {environment}");
        }
        assert!(Broken::Errors.before(false).await.is_err());
        assert!(Broken::Errors.before(true).await.is_ok());
        assert!(Broken::Hook.before(true).await.is_err());
        assert!(Broken::Hook.before(false).await.is_ok());
    }
}
