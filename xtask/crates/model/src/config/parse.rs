//! From TOML to [`Config`]: unknown fields refused, every complaint with its line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use toml::Spanned;

use super::{Account, ArtifactFact, BUILD, Config, DeployedBy, Parameter, Source, Stack, validate};

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The complaint.
    pub message: String,
}

/// The untracked `cfn/stacks.local.toml`: what is personal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// Profiles are `<prefix>-<account>` with this prefix in place of the project's name.
    #[serde(default)]
    pub profile_prefix: Option<String>,
    /// The profile of single accounts.
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    project: Spanned<String>,
    region: Spanned<String>,
    source: RawSource,
    #[serde(default)]
    notification_emails: Vec<Spanned<String>>,
    #[serde(default)]
    organization_id: Option<Spanned<String>>,
    accounts: BTreeMap<Spanned<String>, RawAccount>,
    stacks: Vec<RawStack>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    repository: Spanned<String>,
    branch: Spanned<String>,
    #[serde(default)]
    connection_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccount {
    id: Spanned<String>,
    #[serde(default)]
    protected: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStack {
    name: Spanned<String>,
    template: String,
    accounts: Spanned<Accounts>,
    #[serde(default)]
    deployed_by: DeployedBy,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<Parameter>>,
    #[serde(default)]
    overrides: BTreeMap<Spanned<String>, BTreeMap<String, Spanned<Parameter>>>,
}

/// One account's name, the word `targets`, or a list of names.
enum Accounts {
    Word(String),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AccountsVisitor;
        impl<'de> Visitor<'de> for AccountsVisitor {
            type Value = Accounts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account's name, \"targets\", or a list of names")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Accounts, E> {
                Ok(Accounts::Word(word.to_owned()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Accounts, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Accounts::List)
            }
        }
        deserializer.deserialize_any(AccountsVisitor)
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Reference {
            output: Option<String>,
            account: Option<String>,
            artifact: Option<String>,
        }
        struct ParameterVisitor;
        impl<'de> Visitor<'de> for ParameterVisitor {
            type Value = Parameter;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a literal, { output = \"stack.Output\" } or { artifact = \"function.version\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Parameter, E> {
                Ok(Parameter::Literal(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Parameter, E> {
                Ok(Parameter::Literal(number.to_string()))
            }
            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Parameter, E> {
                Ok(Parameter::Literal(truth.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Parameter, A::Error> {
                let reference = Reference::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match reference {
                    Reference { output: Some(output), account, artifact: None } => {
                        output_of(&output, account)
                    }
                    Reference { output: None, account: None, artifact: Some(artifact) } => {
                        artifact_of(&artifact)
                    }
                    _ => Err("give either `output` (and perhaps `account`) or `artifact`".to_owned()),
                }
                .map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(ParameterVisitor)
    }
}

fn output_of(text: &str, account: Option<String>) -> Result<Parameter, String> {
    match text.split_once('.') {
        Some((stack, output)) if !stack.is_empty() && !output.is_empty() => {
            Ok(Parameter::Output { stack: stack.to_owned(), output: output.to_owned(), account })
        }
        _ => Err(format!("an output is written \"stack.Output\", not {text:?}")),
    }
}

fn artifact_of(text: &str) -> Result<Parameter, String> {
    let (function, fact) = match text.split_once('.') {
        Some((function, "version")) => (function, ArtifactFact::Version),
        Some((function, "key")) => (function, ArtifactFact::Key),
        Some((function, "sha256")) => (function, ArtifactFact::Sha256),
        _ => {
            return Err(format!(
                "an artifact is written \"function.version\", \"function.key\" or \"function.sha256\", not {text:?}"
            ));
        }
    };
    Ok(Parameter::Artifact { function: function.to_owned(), fact })
}

/// Parses `cfn/stacks.toml`.
///
/// # Errors
/// The first complaint, with its line: TOML that does not parse, a field that is unknown or missing, or a value
/// that [`super::validate`] refuses.
pub fn parse(text: &str) -> Result<Config, ParseError> {
    let file: File = toml::from_str(text).map_err(|error| at(text, error.span(), error.message()))?;
    let spans = validate::Spans {
        text,
        project: file.project.span(),
        region: file.region.span(),
        repository: file.source.repository.span(),
        branch: file.source.branch.span(),
        organization: file.organization_id.as_ref().map(Spanned::span),
        emails: file.notification_emails.iter().map(Spanned::span).collect(),
        accounts: file
            .accounts
            .iter()
            .map(|(name, account)| (name.as_ref().clone(), (name.span(), account.id.span())))
            .collect(),
        stacks: file.stacks.iter().map(|stack| (stack.name.span(), stack.accounts.span())).collect(),
        parameters: file.stacks.iter().map(parameter_spans).collect(),
    };
    let account_names: Vec<String> = file.accounts.keys().map(|name| name.as_ref().clone()).collect();
    let config = Config {
        project: file.project.into_inner(),
        region: file.region.into_inner(),
        source: Source {
            repository: file.source.repository.into_inner(),
            branch: file.source.branch.into_inner(),
            connection_arn: file.source.connection_arn,
        },
        notification_emails: file.notification_emails.into_iter().map(Spanned::into_inner).collect(),
        organization_id: file.organization_id.map(Spanned::into_inner),
        accounts: file
            .accounts
            .into_iter()
            .map(|(name, account)| {
                (name.into_inner(), Account { id: account.id.into_inner(), protected: account.protected })
            })
            .collect(),
        stacks: file.stacks.into_iter().map(|stack| stack_of(stack, &account_names)).collect(),
    };
    validate::check(&config, &spans)?;
    Ok(config)
}

/// Parses `cfn/stacks.local.toml`.
///
/// # Errors
/// TOML that does not parse, or a field that is unknown.
pub fn parse_local(text: &str) -> Result<Local, ParseError> {
    toml::from_str(text).map_err(|error| at(text, error.span(), error.message()))
}

fn parameter_spans(stack: &RawStack) -> Vec<validate::ParameterSpan> {
    let common = stack.parameters.iter().map(|(key, value)| (None, key.clone(), value.span()));
    let over = stack.overrides.iter().flat_map(|(account, values)| {
        values.iter().map(|(key, value)| (Some(account.as_ref().clone()), key.clone(), value.span()))
    });
    common.chain(over).collect()
}

fn stack_of(raw: RawStack, accounts: &[String]) -> Stack {
    let inner = |map: BTreeMap<String, Spanned<Parameter>>| {
        map.into_iter().map(|(key, value)| (key, value.into_inner())).collect::<BTreeMap<_, _>>()
    };
    Stack {
        name: raw.name.into_inner(),
        template: raw.template,
        accounts: match raw.accounts.into_inner() {
            Accounts::Word(word) if word == "targets" => {
                accounts.iter().filter(|name| *name != BUILD).cloned().collect()
            }
            Accounts::Word(word) => vec![word],
            Accounts::List(list) => list,
        },
        deployed_by: raw.deployed_by,
        parameters: inner(raw.parameters),
        overrides: raw
            .overrides
            .into_iter()
            .map(|(account, map)| (account.into_inner(), inner(map)))
            .collect(),
    }
}

/// A complaint at a byte range of the text.
pub(super) fn at(text: &str, span: Option<std::ops::Range<usize>>, message: impl Into<String>) -> ParseError {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    ParseError { line, message: message.into() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Instance;
    use super::*;

    pub(crate) const SAMPLE: &str = r#"
project = "causeway"
region = "eu-central-1"

[source]
repository = "example/causeway"
branch = "main"

[accounts]
build = { id = "111111111111" }
dev = { id = "222222222222" }
prod = { id = "333333333333", protected = true }

[[stacks]]
name = "build-base"
template = "build-base.yaml"
accounts = "build"
parameters = { Project = "{project}", TargetAccountIds = "{targets.ids}" }

[[stacks]]
name = "target-roles"
template = "target-roles.yaml"
accounts = "targets"
[stacks.parameters]
KeyArn = { output = "build-base.KeyArn" }
EnvironmentName = "{env}"

[[stacks]]
name = "pipeline"
template = "pipeline.yaml"
accounts = ["build"]
[stacks.parameters]
DevActionRoleArn = { output = "target-roles.ActionRoleArn", account = "dev" }

[[stacks]]
name = "app"
template = "app.yaml"
accounts = "targets"
deployed_by = "pipeline"
[stacks.parameters]
CheckinVersion = { artifact = "checkin.version" }
RetentionDays = 28
[stacks.overrides.prod]
DeploymentPreference = "Linear10PercentEvery1Minute"
"#;

    pub(crate) fn sample() -> Config {
        parse(SAMPLE).unwrap()
    }

    #[test]
    fn the_sample_parses() {
        let config = sample();
        assert_eq!(config.targets().collect::<Vec<_>>(), ["dev", "prod"]);
        let names: Vec<String> = config
            .instances(DeployedBy::Bootstrap)
            .iter()
            .map(|i| format!("{}@{}", config.stack_name(i), i.account))
            .collect();
        assert_eq!(
            names,
            [
                "causeway-build-base@build",
                "causeway-target-roles@dev",
                "causeway-target-roles@prod",
                "causeway-pipeline@build"
            ]
        );
        let prod = Instance { stack: "app".into(), account: "prod".into() };
        assert_eq!(config.stack_name(&prod), "causeway-app-prod");
        let parameters = config.parameters(&prod);
        assert_eq!(
            parameters["DeploymentPreference"],
            Parameter::Literal("Linear10PercentEvery1Minute".into())
        );
        assert_eq!(parameters["RetentionDays"], Parameter::Literal("28".into()));
        assert_eq!(
            parameters["CheckinVersion"],
            Parameter::Artifact { function: "checkin".into(), fact: ArtifactFact::Version }
        );
    }

    #[test]
    fn every_complaint_has_its_line() {
        let table = [
            ("project = \"causeway\"", "project = \"causeway\"\ncolor = 1", 1, "unknown field `color`"),
            ("project = \"causeway\"", "project = \"Causeway\"", 0, "lowercase"),
            ("project = \"causeway\"", "project = \"a-name-that-is-much-too-long\"", 0, "at most"),
            ("region = \"eu-central-1\"", "region = \"Europe\"", 0, "region"),
            ("branch = \"main\"", "branch = 3", 0, "invalid type"),
            ("id = \"222222222222\"", "id = \"22222222222\"", 0, "twelve digits"),
            ("id = \"222222222222\"", "id = \"111111111111\"", 0, "same id"),
            ("build = { id", "built = { id", 0, "`build`"),
            ("accounts = [\"build\"]", "accounts = [\"qa\"]", 0, "no account `qa`"),
            ("build-base.KeyArn", "base.KeyArn", 0, "no stack `base`"),
            ("build-base.KeyArn", "KeyArn", 0, "stack.Output"),
            (", account = \"dev\"", "", 0, "several accounts"),
            ("checkin.version", "checkin.size", 0, "function.version"),
            ("\"{env}\"", "\"{nope}\"", 0, "unknown placeholder"),
            ("[stacks.overrides.prod]", "[stacks.overrides.qa]", 1, "no account `qa`"),
            ("name = \"pipeline\"", "name = \"build-base\"", 0, "twice"),
            ("target-roles.ActionRoleArn", "app.ApiURL", 0, "deployed by the pipeline"),
            (
                "KeyArn = { output = \"build-base.KeyArn\" }",
                "KeyArn = { output = \"a.B\", artifact = \"c.key\" }",
                0,
                "either",
            ),
            ("project = \"causeway\"", "project = ", 0, ""),
        ];
        for (from, to, lines_after, word) in table {
            let at = SAMPLE.find(from).unwrap();
            let own = SAMPLE[..at].matches('\n').count() + 1 + lines_after;
            // An account that is missing has no line of its own.
            let line = if word == "`build`" { 1 } else { own };
            let error = parse(&SAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(error.message.contains(word), "{to}: {error}");
            assert_eq!(error.line, line, "{to}: {error}");
        }
    }

    #[test]
    fn the_personal_file_refuses_what_it_does_not_know() {
        let local = parse_local("profile_prefix = \"me\"\n[profiles]\nprod = \"prod-admin\"\n").unwrap();
        assert_eq!(local.profiles["prod"], "prod-admin");
        assert_eq!(parse_local("\nprefix = 1").unwrap_err().line, 2);
    }
}
