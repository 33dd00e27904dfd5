//! What the template tells a function, read once at its start.

/// Days a registration is kept unless the template says otherwise.
const DEFAULT_RETENTION_DAYS: i64 = 28;

/// The environment of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `CAUSEWAY_ENV`, for the log: `dev`, `prod`, an isolated stack's name; `unknown` when unset.
    pub environment: String,
    /// `TABLE_NAME`: the one table.
    pub table_name: String,
    /// `RETENTION_DAYS`: after so many days a registration is gone; 28 when unset.
    pub retention_days: i64,
    /// `AWS_LAMBDA_FUNCTION_VERSION`: the number of this Lambda version; `unknown` when unset.
    pub lambda_version: String,
}

/// Why a function cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Without it there is nothing to serve.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Lambda keeps them where this function does not look.
    #[error(
        "the credentials are not in the environment but behind AWS_CONTAINER_CREDENTIALS_FULL_URI, which this function does not read"
    )]
    CredentialsElsewhere,
    /// Keeping personal data for a wrong time is worse than not starting.
    #[error("the environment variable RETENTION_DAYS is not a whole number from 1 to 3650")]
    BadRetention,
}

impl Settings {
    /// Reads the settings through `lookup`, which gives a variable's value. An empty value counts as unset.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let value = |name| lookup(name).filter(|value| !value.is_empty());
        let retention_days = match value("RETENTION_DAYS") {
            None => DEFAULT_RETENTION_DAYS,
            Some(days) => days
                .parse()
                .ok()
                .filter(|days| (1..=3650).contains(days))
                .ok_or(SettingsError::BadRetention)?,
        };
        Ok(Self {
            environment: value("CAUSEWAY_ENV").unwrap_or_else(|| "unknown".to_owned()),
            table_name: value("TABLE_NAME").ok_or(SettingsError::Missing("TABLE_NAME"))?,
            retention_days,
            lambda_version: value("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_else(|| "unknown".to_owned()),
        })
    }

    /// Reads the settings of this process.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_table_is_enough() {
        let settings = read(&[("TABLE_NAME", "t")]);
        assert_eq!(
            settings,
            Ok(Settings {
                environment: "unknown".to_owned(),
                table_name: "t".to_owned(),
                retention_days: 28,
                lambda_version: "unknown".to_owned()
            })
        );
        let settings = read(&[("TABLE_NAME", "t"), ("RETENTION_DAYS", ""), ("CAUSEWAY_ENV", "prod")]);
        assert_eq!(settings.map(|settings| settings.environment), Ok("prod".to_owned()));
    }

    #[test]
    fn a_function_without_a_table_does_not_start() {
        assert_eq!(read(&[]), Err(SettingsError::Missing("TABLE_NAME")));
        assert_eq!(read(&[("TABLE_NAME", "")]), Err(SettingsError::Missing("TABLE_NAME")));
    }

    #[test]
    fn retention_is_a_number_of_days() {
        for (days, kept) in
            [("1", Some(1)), ("3650", Some(3650)), ("0", None), ("-1", None), ("3651", None), ("x", None)]
        {
            let settings = read(&[("TABLE_NAME", "t"), ("RETENTION_DAYS", days)]);
            assert_eq!(
                settings.map(|settings| settings.retention_days),
                kept.ok_or(SettingsError::BadRetention),
                "{days}"
            );
        }
    }
}
