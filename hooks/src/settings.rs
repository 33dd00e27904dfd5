//! What the template tells a hook. The event itself names neither the function nor the version.

use crate::check::{Check, Expected, word};
use crate::suites::Suite;

/// Which of the two hooks this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before traffic moves: the new version is asked by its number.
    PreTraffic,
    /// After: the alias is asked, as clients do.
    PostTraffic,
}

impl Phase {
    /// The phase's name, which is its binary's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreTraffic => "pre-traffic",
            Self::PostTraffic => "post-traffic",
        }
    }
}

/// The environment of a hook. What is empty counts as missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `CAUSEWAY_ENV`, for the log.
    pub environment: String,
    /// `TARGET_VERSION`: the ARN of the new Lambda version.
    pub target_version: Option<String>,
    /// `TARGET_ALIAS`: `name:live`.
    pub target_alias: Option<String>,
    /// `PACKAGE_SHA256`: the digest of the package that this release was made of, in hexadecimal digits, if the template
    /// knows it.
    pub package: Option<String>,
    /// `STACK_NAME`: the hook's own stack, whose outputs name the API's address.
    pub stack: Option<String>,
    /// `URL_SUFFIX`: what AWS's host names end in, in this partition.
    pub url_suffix: String,
    /// `CHECKS`: the function's short name, which names its checks; also `EXPECTED_VERSION`, the version stamped into
    /// the new code, if the template knows it.
    pub expected: Expected,
}

/// Whom a hook asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The function's name or ARN, with version or alias.
    pub function: String,
    /// The number of the version that must answer, where the ARN names one.
    pub number: Option<String>,
}

impl Settings {
    /// Reads the settings through `lookup`, which gives a variable's value.
    #[must_use]
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value =
            |name| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            environment: value("CAUSEWAY_ENV").unwrap_or_else(|| "unknown".to_owned()),
            target_version: value("TARGET_VERSION"),
            target_alias: value("TARGET_ALIAS"),
            package: value("PACKAGE_SHA256"),
            stack: value("STACK_NAME"),
            url_suffix: value("URL_SUFFIX").unwrap_or_else(|| "amazonaws.com".to_owned()),
            expected: Expected { version: value("EXPECTED_VERSION"), function: value("CHECKS") },
        }
    }

    /// Reads the settings of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// What this phase checks.
    ///
    /// # Errors
    /// The reason, when the template did not say, or named a function that has no checks.
    pub fn checks(&self, phase: Phase, suites: &'static [Suite]) -> Result<&'static [Check], String> {
        let function =
            self.expected.function.as_deref().ok_or("the environment variable CHECKS is not set")?;
        let suite = suites.iter().find(|suite| suite.function == function);
        let checks = suite.map(|suite| suite.checks(phase)).filter(|checks| !checks.is_empty());
        checks.ok_or_else(|| format!("there are no checks for {}", word(function)))
    }

    /// Whom this phase asks.
    ///
    /// # Errors
    /// The reason, when the template did not say.
    pub fn target(&self, phase: Phase) -> Result<Target, String> {
        let missing = |name: &str| format!("the environment variable {name} is not set");
        let version = self.target_version.as_ref().ok_or_else(|| missing("TARGET_VERSION"))?;
        let number = version.rsplit(':').next().filter(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let function = match phase {
            Phase::PreTraffic => version,
            Phase::PostTraffic => self.target_alias.as_ref().ok_or_else(|| missing("TARGET_ALIAS"))?,
        };
        Ok(Target { function: function.clone(), number: number.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-central-1:222222222222:function:checkin:7";

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_phase_has_its_target() {
        let settings =
            read(&[("TARGET_VERSION", ARN), ("TARGET_ALIAS", "checkin:live"), ("EXPECTED_VERSION", "")]);
        for (phase, function) in [(Phase::PreTraffic, ARN), (Phase::PostTraffic, "checkin:live")] {
            let target = Target { function: function.to_owned(), number: Some("7".to_owned()) };
            assert_eq!(settings.target(phase), Ok(target));
        }
        assert_eq!((settings.expected.version, settings.environment.as_str()), (None, "unknown"));
        let named = read(&[("TARGET_VERSION", "checkin:$LATEST")]).target(Phase::PreTraffic);
        assert_eq!(named.map(|target| target.number), Ok(None));
    }

    #[test]
    fn the_checks_are_chosen_by_function_and_phase() {
        use crate::suites::SUITES;
        for (function, phase, count) in [
            ("checkin", Phase::PreTraffic, 4),
            ("checkin", Phase::PostTraffic, 7),
            ("contacts", Phase::PreTraffic, 4),
            ("contacts", Phase::PostTraffic, 6),
        ] {
            let checks = read(&[("CHECKS", function)]).checks(phase, SUITES);
            assert_eq!(checks.map(<[Check]>::len), Ok(count), "{function} {phase:?}");
        }
        for (variables, reason) in [
            (&[][..], "the environment variable CHECKS is not set"),
            (&[("CHECKS", "chec<in")], "there are no checks for chec?in"),
        ] {
            let checks = read(variables).checks(Phase::PreTraffic, SUITES).map(<[Check]>::len);
            assert_eq!(checks, Err(reason.to_owned()));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (variables, phase, name) in [
            (&[][..], Phase::PreTraffic, "TARGET_VERSION"),
            (&[("TARGET_VERSION", " ")], Phase::PreTraffic, "TARGET_VERSION"),
            (&[("TARGET_ALIAS", "checkin:live")], Phase::PostTraffic, "TARGET_VERSION"),
            (&[("TARGET_VERSION", ARN)], Phase::PostTraffic, "TARGET_ALIAS"),
        ] {
            let reason = read(variables).target(phase).err();
            assert_eq!(reason, Some(format!("the environment variable {name} is not set")));
        }
    }
}
