//! What a build sees: the variables CodeBuild sets, those of the buildspec, the project and the action, and values of Parameter Store
//! and Secrets Manager of the local cloud, read with the project role's rights.
//!
//! Sources, AWS CodeBuild user guide: "Environment variables in build environments", "Build specification reference for CodeBuild".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Run;
use causeway_machine::clock;
use causeway_model::buildspec::{Buildspec, SecretRef};
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;
use causeway_model::pipeline::Action;
use causeway_model::pipeline::walk::build::{BuildVariable, VariableKind};

/// A value shorter than this is no secret that could be told apart.
const SHORTEST: usize = 3;

/// A build that is about to start.
pub(super) struct Started<'a> {
    /// The action.
    pub(super) action: &'a Action,
    /// The project's properties.
    pub(super) project: &'a Value,
    /// The buildspec.
    pub(super) spec: &'a Buildspec,
    /// The project role's keys.
    pub(super) keys: &'a Keys,
    /// The build's id.
    pub(super) id: &'a str,
    /// Where it runs.
    pub(super) dir: &'a Path,
    /// The key of its source in the bucket.
    pub(super) source: String,
    /// Further sources: the artifact, where it lies, its key.
    pub(super) more: &'a [(String, PathBuf, String)],
}

impl Run {
    /// The environment of a build, later ones over earlier ones: the caller's, the client's, the buildspec's, the
    /// project's, the action's, the order's. And the values among them that are secret.
    pub(super) async fn environment(
        &self,
        build: &Started<'_>,
    ) -> anyhow::Result<(BTreeMap<String, String>, Vec<String>)> {
        let mut all = self.order.caller_environment.clone();
        all.extend(self.world.client_environment.iter().cloned());
        all.extend(self.codebuild_variables(build)?);
        // One checkout is built there, and no other: cargo would take the members of two for the same ones. What is tested was
        // built before, and nothing is built with it.
        let tests = build.action.action_type_id.category == "Test";
        if !tests {
            let target = self.world.paths.rehearsal().join("target").display().to_string();
            all.insert("CARGO_TARGET_DIR".to_owned(), target);
        }
        let mut secrets = vec![build.keys.secret.clone()];
        secrets.extend(build.keys.token.clone());
        let mut variables = Vec::new();
        let spec = build.spec;
        let plain = |name: &String, value: &String, kind| BuildVariable {
            name: name.clone(),
            value: value.clone(),
            kind,
        };
        variables.extend(spec.variables.iter().map(|(name, value)| plain(name, value, VariableKind::Plain)));
        variables
            .extend(spec.parameters.iter().map(|(name, value)| plain(name, value, VariableKind::Parameter)));
        for (name, secret) in &spec.secrets {
            let value = self.secret(build.keys, secret, name).await?;
            secrets.push(value.clone());
            all.insert(name.clone(), value);
        }
        let of_project = build.project.pointer("/Environment/EnvironmentVariables").and_then(Value::as_array);
        for variable in of_project.into_iter().flatten() {
            let text = |key: &str| {
                variable.get(key).and_then(|value| match value {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
                    _ => None,
                })
            };
            let kind = match text("Type").as_deref() {
                None | Some("PLAINTEXT") => VariableKind::Plain,
                Some("PARAMETER_STORE") => VariableKind::Parameter,
                Some("SECRETS_MANAGER") => VariableKind::Secret,
                Some(other) => anyhow::bail!("{other} is no type of a build's variable"),
            };
            if let (Some(name), Some(value)) = (text("Name"), text("Value")) {
                variables.push(BuildVariable { name, value, kind });
            }
        }
        if let Some(text) = self.setting(build.action, "EnvironmentVariables")? {
            let list: Vec<BuildVariable> =
                serde_json::from_str(&text).context("read the action's EnvironmentVariables")?;
            variables.extend(list);
        }
        for BuildVariable { name, value, kind } in variables {
            let value = match kind {
                VariableKind::Plain => value,
                VariableKind::Parameter => self.parameter(build.keys, &value, &name).await?,
                VariableKind::Secret => {
                    let secret = SecretRef::read(&value).map_err(|why| {
                        Fault::failed("read the variable of the build", name.as_str())
                            .why(why)
                            .next("write secret-id:json-key:version-stage:version-id")
                    })?;
                    self.secret(build.keys, &secret, &name).await?
                }
            };
            if kind != VariableKind::Plain {
                secrets.push(value.clone());
            }
            all.insert(name, value);
        }
        all.extend(if tests { &self.order.test_environment } else { &self.order.build_environment }.clone());
        // Each row of a value is hidden: a log has rows.
        let mut rows: Vec<String> = secrets
            .iter()
            .flat_map(|secret| secret.lines())
            .filter(|row| row.len() >= SHORTEST)
            .map(ToOwned::to_owned)
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.len()));
        Ok((all, rows))
    }

    /// The variables CodeBuild sets itself; `CODEBUILD_BUILD_SUCCEEDING` is set as phases end.
    fn codebuild_variables(&self, build: &Started<'_>) -> anyhow::Result<Vec<(String, String)>> {
        let Started { project, keys, id, dir, .. } = build;
        let text = |path: &str| project.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        let (region, account) = (self.session.region().to_owned(), &self.session.id);
        let name = text("/Name").unwrap_or_default();
        let bucket = &self.store()?.location;
        let source = |key: &str| format!("arn:aws:s3:::{bucket}/{key}");
        let key =
            text("/EncryptionKey").unwrap_or_else(|| format!("arn:aws:kms:{region}:{account}:alias/aws/s3"));
        let number = number(&self.world.paths.rehearsal().join(format!("number-of-{name}")))?;
        let mut all: Vec<(String, String)> = [
            ("AWS_REGION", region.clone()),
            ("AWS_DEFAULT_REGION", region.clone()),
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.clone()),
            ("AWS_SESSION_TOKEN", keys.token.clone().unwrap_or_default()),
            ("CI", "true".to_owned()),
            ("CODEBUILD_BUILD_ID", (*id).to_owned()),
            ("CODEBUILD_BUILD_ARN", format!("arn:aws:codebuild:{region}:{account}:build/{id}")),
            ("CODEBUILD_BUILD_IMAGE", text("/Environment/Image").unwrap_or_default()),
            ("CODEBUILD_BUILD_NUMBER", number.to_string()),
            ("CODEBUILD_INITIATOR", format!("codepipeline/{}", self.definition.pipeline.name)),
            ("CODEBUILD_KMS_KEY_ID", key),
            ("CODEBUILD_PROJECT_ARN", format!("arn:aws:codebuild:{region}:{account}:project/{name}")),
            ("CODEBUILD_LOG_PATH", id.rsplit(':').next().unwrap_or_default().to_owned()),
            ("CODEBUILD_RESOLVED_SOURCE_VERSION", self.order.commit.clone()),
            ("CODEBUILD_SOURCE_VERSION", source(&build.source)),
            ("CODEBUILD_SRC_DIR", dir.display().to_string()),
            ("CODEBUILD_START_TIME", clock::now().as_millisecond().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (artifact, dir, key) in build.more {
            all.push((format!("CODEBUILD_SRC_DIR_{artifact}"), dir.display().to_string()));
            all.push((format!("CODEBUILD_SOURCE_VERSION_{artifact}"), source(key)));
        }
        Ok(all)
    }

    /// A parameter's value.
    async fn parameter(&self, keys: &Keys, parameter: &str, variable: &str) -> anyhow::Result<String> {
        let (what, on) = ("read the parameter of the build's variable", format!("{variable}: {parameter}"));
        let input = json!({"Names": [parameter], "WithDecryption": true});
        let answer = self
            .world
            .control
            .json(keys, ("ssm", "1.1"), "AmazonSSM.GetParameters", &input, (what, &on))
            .await?;
        let value = answer.pointer("/Parameters/0/Value").and_then(Value::as_str);
        value.map(ToOwned::to_owned).ok_or_else(|| {
            Fault::failed(what, on.as_str())
                .why("the build account has no parameter of that name")
                .next("make it in the local cloud as well (cargo xtask local env leads your AWS client there), in a stack or by hand")
                .into()
        })
    }

    /// A secret's value.
    async fn secret(&self, keys: &Keys, secret: &SecretRef, variable: &str) -> anyhow::Result<String> {
        let (what, on) = ("read the secret of the build's variable", format!("{variable}: {}", secret.id));
        let mut input = json!({"SecretId": secret.id});
        for (key, value) in [("VersionStage", &secret.stage), ("VersionId", &secret.version)] {
            if let Some(value) = value {
                input[key] = json!(value);
            }
        }
        let answer = self
            .world
            .control
            .json(keys, ("secretsmanager", "1.1"), "secretsmanager.GetSecretValue", &input, (what, &on))
            .await?;
        value_of(&answer, secret.key.as_deref()).map_err(|why| {
            Fault::failed(what, on.as_str()).why(why).next("correct the key, or the secret").into()
        })
    }
}

/// The value of a secret, or of a key in it. The error never has a part of it.
fn value_of(answer: &Value, key: Option<&str>) -> Result<String, String> {
    let text = answer
        .get("SecretString")
        .and_then(Value::as_str)
        .ok_or("it has no text, and CodeBuild takes nothing else")?;
    let Some(key) = key else { return Ok(text.to_owned()) };
    let inner: Value =
        serde_json::from_str(text).map_err(|_| format!("it is no JSON, so it has no key {key}"))?;
    match inner.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(other) if !other.is_null() => Ok(other.to_string()),
        _ => Err(format!("it has no key {key}")),
    }
}

/// The number of a project's build: one more than the last.
fn number(path: &Path) -> anyhow::Result<u64> {
    let last = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let number = last.unwrap_or(0) + 1;
    std::fs::write(path, number.to_string()).with_context(|| format!("write {}", path.display()))?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_without_what_is_asked_for_is_no_empty_value() {
        let text = |text: &str| json!({"SecretString": text});
        for (answer, key, expected) in [
            (text("plain"), None, Ok("plain")),
            (text(""), None, Ok("")),
            (text(r#"{"a": "b", "n": 1}"#), Some("a"), Ok("b")),
            (text(r#"{"a": "b", "n": 1}"#), Some("n"), Ok("1")),
            (text(r#"{"a": null}"#), Some("a"), Err("it has no key a")),
            (text("hush"), Some("a"), Err("it is no JSON, so it has no key a")),
            (text("[1]"), Some("a"), Err("it has no key a")),
            (
                json!({"SecretBinary": "aHVzaA=="}),
                None,
                Err("it has no text, and CodeBuild takes nothing else"),
            ),
            (
                json!({"SecretBinary": "aHVzaA=="}),
                Some("a"),
                Err("it has no text, and CodeBuild takes nothing else"),
            ),
            (json!({}), None, Err("it has no text, and CodeBuild takes nothing else")),
        ] {
            let found = value_of(&answer, key);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{answer} {key:?}");
        }
    }
}
