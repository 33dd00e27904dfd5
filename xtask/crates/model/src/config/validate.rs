//! What a configuration must hold beyond its shape: limits of AWS and references that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::parse::{ParseError, at};
use super::{BUILD, Config, DeployedBy, Parameter, Stack};
use crate::isolated::SWITCH;
use crate::rollout::Shifting;

/// The longest project name. A bucket name has at most 63 characters, and
/// `<project>-<region>-artifacts-<account id>` takes up to 38 besides the project ("Bucket naming rules"); a hook
/// function's name has at most 64, of which `CodeDeployHook_<project>-app-<env>-<function>-post` takes up to 34.
const MAX_PROJECT: usize = 20;
/// The longest account name: it ends hook names, see [`MAX_PROJECT`].
const MAX_ENV: usize = 10;

/// The account of an override, the parameter's name, and where its value stands.
pub(super) type ParameterSpan = (Option<String>, String, Range<usize>);

/// Where in the text things stand.
pub(super) struct Spans<'a> {
    pub(super) text: &'a str,
    pub(super) project: Range<usize>,
    pub(super) region: Range<usize>,
    pub(super) organization: Option<Range<usize>>,
    pub(super) repository: Range<usize>,
    pub(super) branch: Range<usize>,
    pub(super) emails: Vec<Range<usize>>,
    /// Name and id of each account.
    pub(super) accounts: BTreeMap<String, (Range<usize>, Range<usize>)>,
    /// Name and accounts of each stack, in the order of the file.
    pub(super) stacks: Vec<(Range<usize>, Range<usize>)>,
    /// Account (where it is an override), name and value of each parameter of each stack.
    pub(super) parameters: Vec<Vec<ParameterSpan>>,
}

/// Checks everything; the first complaint wins.
pub(super) fn check(config: &Config, spans: &Spans<'_>) -> Result<(), ParseError> {
    let complain = |span: &Range<usize>, message: String| Err(at(spans.text, Some(span.clone()), message));

    if let Err(message) = name(&config.project, MAX_PROJECT) {
        return complain(&spans.project, format!("project {:?} {message}", config.project));
    }
    if !is_region(&config.region) {
        return complain(
            &spans.region,
            format!("{:?} is not a region such as \"eu-central-1\"", config.region),
        );
    }
    if let (Some(id), Some(span)) = (&config.organization_id, &spans.organization)
        && !is_organization(id)
    {
        return complain(span, format!("{id:?} is not the id of an organization such as \"o-a1b2c3d4e5\""));
    }
    for (email, span) in config.notification_emails.iter().zip(&spans.emails) {
        if !email.contains('@') || email.contains([',', ' ']) {
            return complain(span, "a notification e-mail must be one address".to_owned());
        }
    }
    if let Some(why) = repository(&config.source.repository) {
        return complain(&spans.repository, format!("repository {:?} {why}", config.source.repository));
    }
    if let Some(why) = branch(&config.source.branch) {
        return complain(&spans.branch, format!("branch {:?} {why}", config.source.branch));
    }
    accounts(config, spans)?;
    let mut seen = BTreeSet::new();
    for (index, stack) in config.stacks.iter().enumerate() {
        let (name_span, accounts_span) = &spans.stacks[index];
        if let Err(message) = name(&stack.name, 40) {
            return complain(name_span, format!("stack {:?} {message}", stack.name));
        }
        if !seen.insert(stack.name.as_str()) {
            return complain(name_span, format!("stack `{}` stands here twice", stack.name));
        }
        if stack.accounts.is_empty() {
            return complain(accounts_span, format!("stack `{}` has no account", stack.name));
        }
        for account in &stack.accounts {
            if !config.accounts.contains_key(account) {
                return complain(accounts_span, format!("there is no account `{account}`"));
            }
        }
        for (over, key, span) in &spans.parameters[index] {
            let value = match over {
                Some(account) if !stack.accounts.contains(account) => {
                    return complain(
                        span,
                        format!("there is no account `{account}` of stack `{}`", stack.name),
                    );
                }
                Some(account) => &stack.overrides[account][key],
                None => &stack.parameters[key],
            };
            let accounts = over.as_ref().map_or(stack.accounts.as_slice(), std::slice::from_ref);
            if let Some(account) = isolated_in_protected(config, stack, key, value, over.as_deref(), accounts)
            {
                return complain(span, format!("parameter {key}: {account} is protected: {NOT_THERE}"));
            }
            if let (PREFERENCE, Parameter::Literal(name)) = (key.as_str(), value)
                && OF_AWS.iter().any(|begin| name.starts_with(begin))
                && let Err(unknown) = Shifting::parse(name)
            {
                return complain(span, format!("parameter {key}: {unknown}"));
            }
            if let Err(message) = parameter(config, stack.deployed_by, value, accounts) {
                return complain(span, format!("parameter {key}: {message}"));
            }
        }
    }
    Ok(())
}

/// What stands between developers' stacks and an account that is protected.
const NOT_THERE: &str = "developers' isolated stacks reach every HTTP API of their account, so take this out, or take \
                         `protected` off the account";

/// The protected account that a parameter would open to isolated stacks, where it does.
fn isolated_in_protected<'a>(
    config: &Config,
    stack: &Stack,
    key: &str,
    value: &Parameter,
    over: Option<&str>,
    accounts: &'a [String],
) -> Option<&'a str> {
    if key != SWITCH || *value != Parameter::Literal("true".to_owned()) {
        return None;
    }
    // A value for all accounts does not reach those that have one of their own.
    let own = |account: &String| stack.overrides.get(account).is_some_and(|own| own.contains_key(key));
    let protected = |account: &String| config.accounts.get(account).is_some_and(|account| account.protected);
    let found = accounts.iter().find(|account| protected(account) && (over.is_some() || !own(account)));
    found.map(String::as_str)
}

fn accounts(config: &Config, spans: &Spans<'_>) -> Result<(), ParseError> {
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for (account, value) in &config.accounts {
        let (name_span, id_span) = &spans.accounts[account];
        if let Err(message) = name(account, MAX_ENV) {
            return Err(at(spans.text, Some(name_span.clone()), format!("account {account:?} {message}")));
        }
        if account.contains('-') {
            // A template parameter of theirs allows letters and digits only.
            return Err(at(
                spans.text,
                Some(name_span.clone()),
                format!("account {account:?} must have no hyphen"),
            ));
        }
        if account == "targets" {
            return Err(at(
                spans.text,
                Some(name_span.clone()),
                "`targets` means all targets; choose another name",
            ));
        }
        if value.id.len() != 12 || !value.id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(at(
                spans.text,
                Some(id_span.clone()),
                format!("the id of account `{account}` is not twelve digits"),
            ));
        }
        if let Some(other) = ids.insert(&value.id, account) {
            return Err(at(
                spans.text,
                Some(id_span.clone()),
                format!("accounts `{other}` and `{account}` have the same id; their roles would collide"),
            ));
        }
    }
    if !config.accounts.contains_key(BUILD) {
        return Err(at(spans.text, None, "there is no account `build`; the pipeline runs there"));
    }
    if config.targets().next().is_none() {
        return Err(at(spans.text, None, "there is no account besides `build` to deploy to"));
    }
    Ok(())
}

fn parameter(config: &Config, by: DeployedBy, value: &Parameter, accounts: &[String]) -> Result<(), String> {
    match value {
        Parameter::Literal(text) => {
            for account in accounts {
                config.fill(text, account).map_err(|unknown| unknown.to_string())?;
            }
            Ok(())
        }
        Parameter::Artifact { .. } if by == DeployedBy::Bootstrap => {
            Err("an artifact exists only for stacks that the pipeline deploys".to_owned())
        }
        Parameter::Artifact { .. } => Ok(()),
        Parameter::Output { .. } if by == DeployedBy::Pipeline => Err(
            "a stack deployed by the pipeline takes no outputs: `package` writes its parameters without AWS"
                .to_owned(),
        ),
        Parameter::Output { stack, account, .. } => {
            let Some(other) = config.stack(stack) else { return Err(format!("there is no stack `{stack}`")) };
            if other.deployed_by == DeployedBy::Pipeline {
                return Err(format!(
                    "stack `{stack}` is deployed by the pipeline, so bootstrap cannot wait for it"
                ));
            }
            match account {
                None if other.accounts.len() > 1 => {
                    Err(format!("stack `{stack}` stands in several accounts; add `account = \"…\"`"))
                }
                Some(name) if !other.accounts.contains(name) => {
                    Err(format!("stack `{stack}` does not stand in account `{name}`"))
                }
                _ => Ok(()),
            }
        }
    }
}

/// Names become parts of roles, stacks and buckets: lowercase letters, digits and single hyphens, a letter first.
fn name(name: &str, max: usize) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > max {
        return Err(format!("is too long: at most {max} characters"));
    }
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || !name.bytes().all(fits) || name.ends_with('-') || name.contains("--") {
        return Err("must be lowercase letters, digits and single hyphens, a letter first".to_owned());
    }
    Ok(())
}

/// The parameter of a template that names how traffic is shifted.
const PREFERENCE: &str = "DeploymentPreference";
/// How the names of AWS's own deployment configurations begin; a configuration of a template has another name.
const OF_AWS: [&str; 4] = ["AllAtOnce", "Canary", "Linear", "CodeDeployDefault."];

/// Where in the world a region is, and which part of that, as in the names of all of AWS's regions ("AWS Regions" in the
/// reference guide of AWS infrastructure, read 2026; regions of other partitions as in botocore's endpoints).
const AREAS: [&str; 19] = [
    "af", "ap", "ca", "cn", "eu", "eu-isoe", "eusc", "il", "me", "mx", "sa", "us", "us-gov", "us-iso",
    "us-isob", "us-isof", "nz", "kr", "jp",
];
const PARTS: [&str; 10] = [
    "central",
    "north",
    "south",
    "east",
    "west",
    "northeast",
    "northwest",
    "southeast",
    "southwest",
    "de-east",
];

/// Whether the text is named as a region is, for instance `eu-central-1` or `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let Some((place, number)) = text.rsplit_once('-') else { return false };
    let is_number = number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_place = AREAS.iter().any(|area| {
        place
            .strip_prefix(area)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|part| PARTS.contains(&part))
    });
    is_number && is_place
}

/// Why a text is no repository as its provider names it (`FullRepositoryId`, "CodeStarSourceConnection" in the CodePipeline
/// user guide); GitLab has groups within groups.
fn repository(text: &str) -> Option<&'static str> {
    if text.contains("://") || text.starts_with("git@") {
        return Some("is an address; its provider names it owner/name");
    }
    if text.ends_with(".git") {
        return Some("ends in .git; its provider names it owner/name");
    }
    let fits = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'))
    };
    (!text.contains('/') || !text.split('/').all(fits)).then_some("is no name such as owner/name")
}

/// Why git has no branch of that name ("git check-ref-format").
fn branch(text: &str) -> Option<&'static str> {
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad_char = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if text.is_empty() {
        return Some("is empty");
    }
    if text.starts_with("refs/") {
        return Some("is a reference; write the branch's name alone, for instance main");
    }
    let bad = text.starts_with('-')
        || text.ends_with('.')
        || text == "@"
        || text.contains("..")
        || text.contains("@{")
        || text.split('/').any(bad_part)
        || text.contains(bad_char);
    bad.then_some("is no name that git allows")
}

/// Whether the text is the id of an organization ("AWS Organizations API reference": `o-` and 10 to 32 letters or digits).
fn is_organization(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|rest| {
        (10..=32).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::parse::tests::SAMPLE;
    use super::*;

    #[test]
    fn an_organization_has_its_shape_and_a_wrong_one_its_line() {
        let with = |id: &str| parse(&format!("organization_id = \"{id}\"{SAMPLE}"));
        assert_eq!(with("o-a1b2c3d4e5").unwrap().organization_id.as_deref(), Some("o-a1b2c3d4e5"));
        for bad in ["", "o-short", "r-a1b2c3d4e5", "o-A1B2C3D4E5"] {
            assert_eq!(with(bad).unwrap_err().line, 1, "{bad}");
        }
    }

    #[test]
    fn regions_have_their_shape() {
        for good in [
            "eu-central-1",
            "us-gov-east-1",
            "ap-southeast-2",
            "mx-central-1",
            "eusc-de-east-1",
            "us-isob-east-1",
        ] {
            assert!(is_region(good), "{good}");
        }
        for bad in [
            "",
            "eu",
            "eu-central",
            "EU-central-1",
            "eu-central-1a",
            "eu central 1",
            "a-b-c-d-1",
            "eu-centrl-1",
            "eu-centrall-1",
            "us-east-11",
        ] {
            assert!(!is_region(bad), "{bad}");
        }
    }

    #[test]
    fn repositories_branches_and_preferences_are_those_that_exist_and_a_wrong_one_has_its_line() {
        for good in ["example/causeway", "group/sub/name.x", "o-r_g/na.me"] {
            assert_eq!(repository(good), None, "{good}");
        }
        for bad in [
            "",
            "causeway",
            "https://github.com/me/x",
            "git@github.com:me/x",
            "me/x.git",
            "me//x",
            "me/x y",
            "/x",
        ] {
            assert!(repository(bad).is_some(), "{bad}");
        }
        for good in ["main", "release/1.0", "größe", "a@b"] {
            assert_eq!(branch(good), None, "{good}");
        }
        for bad in [
            "",
            "refs/heads/main",
            "a b",
            "a..b",
            "-a",
            "a.",
            "a/",
            "a//b",
            ".a",
            "a.lock",
            "a~1",
            "@",
            "a@{0}",
            "a\\b",
        ] {
            assert!(branch(bad).is_some(), "{bad}");
        }
        let table = [
            ("example/causeway", "https://github.com/me/x.git", "owner/name"),
            ("branch = \"main\"", "branch = \"\"", "is empty"),
            ("Linear10PercentEvery1Minute", "Linear10PercentEvery1Minut", "known are AllAtOnce"),
        ];
        for (from, to, word) in table {
            let line = SAMPLE[..SAMPLE.find(from).unwrap()].matches('\n').count() + 1;
            let error = parse(&SAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(error.message.contains(word) && error.line == line, "{to}: {error}");
        }
        // A configuration of the template's own.
        assert!(parse(&SAMPLE.replacen("Linear10PercentEvery1Minute", "acme-slowly", 1)).is_ok());
    }

    #[test]
    fn isolated_stacks_in_a_protected_account_are_refused_at_their_line() {
        let text = include_str!("../../../../../cfn/stacks.toml");
        let line = |text: &str, at: &str| text[..text.find(at).unwrap()].matches('\n').count() + 1;
        let own = text.replace(
            "[stacks.overrides.prod]\nApproval",
            "[stacks.overrides.prod]\nIsolatedStacks = true\nApproval",
        );
        let error = parse(&own).unwrap_err();
        assert_eq!(error.line, line(&own, "IsolatedStacks = true\nApproval"), "{error}");
        assert!(error.message.contains("prod is protected"), "{error}");
        // For all accounts: the protected one is among them, unless it says otherwise.
        let all = text.replace(
            "EnvironmentName = \"{env}\"\nBuildAccountId",
            "EnvironmentName = \"{env}\"\nIsolatedStacks = true\nBuildAccountId",
        );
        let error = parse(&all).unwrap_err();
        assert_eq!(error.line, line(&all, "IsolatedStacks = true\nBuildAccountId"), "{error}");
        let but = all.replace("Approval = true", "IsolatedStacks = false\nApproval = true");
        assert!(parse(&but).is_ok());
        // Without protection it is for whoever writes the file.
        assert!(parse(&own.replace(", protected = true", "")).is_ok());
    }

    #[test]
    fn the_longest_names_fit_aws() {
        let hook =
            format!("CodeDeployHook_{}-app-{}-contacts-post", "p".repeat(MAX_PROJECT), "e".repeat(MAX_ENV));
        assert!(hook.len() <= 64, "{}", hook.len());
        let bucket = format!("{}-ap-northeast-1-artifacts-111111111111", "p".repeat(MAX_PROJECT));
        assert!(bucket.len() <= 63, "{}", bucket.len());
    }
}
