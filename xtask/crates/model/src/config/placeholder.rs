//! Placeholders in literal parameters: `"{project}"`, `"{accounts.build.id}"`, `"{targets.ids}"` and so on.

use super::{BUILD, Config};

/// A placeholder that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown placeholder {{{0}}}; known are {known}", known = KNOWN)]
pub struct Unknown(pub String);

const KNOWN: &str = "{project}, {region}, {env}, {accounts.NAME.id}, {targets.ids}, {source.repository}, \
                     {source.branch}, {source.connection_arn}, {notification_emails}, {organization_id}";

/// The literal with its placeholders filled, for a stack in the named account.
///
/// Lists are joined with commas, as CloudFormation's `CommaDelimitedList` wants them. An absent connection is empty.
pub(super) fn fill(config: &Config, literal: &str, account: &str) -> Result<String, Unknown> {
    let mut out = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let close = after.find('}').ok_or_else(|| Unknown(after.to_owned()))?;
        out.push_str(&value(config, &after[..close], account)?);
        rest = &after[close + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn value(config: &Config, key: &str, account: &str) -> Result<String, Unknown> {
    let unknown = || Unknown(key.to_owned());
    Ok(match key {
        "project" => config.project.clone(),
        "region" => config.region.clone(),
        "env" if account != BUILD => account.to_owned(),
        "targets.ids" => {
            config.targets().filter_map(|name| config.account_id(name)).collect::<Vec<_>>().join(",")
        }
        "source.repository" => config.source.repository.clone(),
        "source.branch" => config.source.branch.clone(),
        "source.connection_arn" => config.source.connection_arn.clone().unwrap_or_default(),
        "organization_id" => config.organization_id.clone().unwrap_or_default(),
        "notification_emails" => config.notification_emails.join(","),
        other => {
            let name = other
                .strip_prefix("accounts.")
                .and_then(|rest| rest.strip_suffix(".id"))
                .ok_or_else(unknown)?;
            config.account_id(name).ok_or_else(unknown)?.to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::tests::sample;
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let config = sample();
        let table = [
            ("plain", "plain"),
            ("{project}-{region}", "causeway-eu-central-1"),
            ("{targets.ids}", "222222222222,333333333333"),
            ("x{accounts.build.id}y", "x111111111111y"),
            ("{env}", "dev"),
            ("{source.connection_arn}", ""),
            ("{organization_id}", ""),
        ];
        for (literal, expected) in table {
            assert_eq!(fill(&config, literal, "dev").unwrap(), expected, "{literal}");
        }
        let config = Config { organization_id: Some("o-abcdefghij".to_owned()), ..config };
        assert_eq!(fill(&config, "{organization_id}", "dev").unwrap(), "o-abcdefghij");
    }

    #[test]
    fn unknown_ones_are_named() {
        let config = sample();
        assert_eq!(fill(&config, "{nope}", "dev").unwrap_err(), Unknown("nope".into()));
        assert_eq!(fill(&config, "{accounts.qa.id}", "dev").unwrap_err(), Unknown("accounts.qa.id".into()));
        assert_eq!(fill(&config, "{env}", "build").unwrap_err(), Unknown("env".into()));
        assert!(fill(&config, "{open", "dev").is_err());
    }
}
