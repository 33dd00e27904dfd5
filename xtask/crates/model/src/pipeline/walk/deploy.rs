//! Deployments: CloudFormation's modes, files of artifacts, roles and overrides; uploads to S3.

use super::{At, Walker};
use crate::arn::account_of;
use crate::pipeline::overrides;

/// CloudFormation's modes, and what each must have. Source: "AWS CloudFormation deploy action reference".
const MODES: [(&str, &[&str]); 5] = [
    ("CREATE_UPDATE", &["TemplatePath", "RoleArn"]),
    ("REPLACE_ON_FAILURE", &["TemplatePath", "RoleArn"]),
    ("CHANGE_SET_REPLACE", &["TemplatePath", "ChangeSetName", "RoleArn"]),
    ("CHANGE_SET_EXECUTE", &["ChangeSetName"]),
    ("DELETE_ONLY", &["RoleArn"]),
];

/// What a stack may be allowed.
const CAPABILITIES: [&str; 3] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];

impl Walker<'_> {
    pub(super) fn cloudformation(&mut self, at: &At<'_>) {
        let (action, on) = (at.action, at.name());
        let mode = action.plain("ActionMode").unwrap_or_default();
        match MODES.iter().find(|(name, _)| *name == mode) {
            None if mode.is_empty() => {}
            None => {
                let known: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
                let why = format!("there is no ActionMode {mode}");
                let next = format!("write one of {}", known.join(", "));
                self.complain(&at.setting("ActionMode"), &on, why, next);
            }
            Some((_, wanted)) => {
                for name in wanted.iter().filter(|name| !action.configuration.contains_key(**name)) {
                    let why = format!("ActionMode {mode} wants a {name}");
                    self.complain(&at.below("Configuration"), &on, why, format!("add {name}"));
                }
            }
        }
        let takes = |artifact: &str| action.input_artifacts.iter().any(|one| one.name == artifact);
        for name in ["TemplatePath", "TemplateConfiguration"] {
            let Some(text) = action.plain(name).filter(|text| !text.contains("#{")) else { continue };
            let why = match text.split_once("::") {
                None => format!("{text} is not written Artifact::file"),
                Some((artifact, _)) if !takes(artifact) => {
                    format!("the artifact {artifact} of {text} is not among its InputArtifacts")
                }
                Some(_) => continue,
            };
            self.complain(
                &at.setting(name),
                &on,
                why,
                "write Artifact::file, of an artifact that the action takes",
            );
        }
        if let Some(text) = action.plain("ParameterOverrides") {
            let why = match overrides::read(text) {
                Err(why) => Some(why),
                Ok(all) => all
                    .iter()
                    .find_map(|(name, one)| {
                        Some((name, one.artifact()?)).filter(|(_, artifact)| !takes(artifact))
                    })
                    .map(|(name, artifact)| {
                        format!("{name}: the artifact {artifact} is not among its InputArtifacts")
                    }),
            };
            if let Some(why) = why {
                let next = "write a JSON object of texts, Fn::GetArtifactAtt and Fn::GetParam";
                self.complain(&at.setting("ParameterOverrides"), &on, why, next);
            }
        }
        for word in action.plain("Capabilities").unwrap_or_default().split(',').map(str::trim) {
            if !word.is_empty() && !CAPABILITIES.contains(&word) {
                let why = format!("there is no capability {word}");
                self.complain(
                    &at.setting("Capabilities"),
                    &on,
                    why,
                    format!("known are {}", CAPABILITIES.join(", ")),
                );
            }
        }
        if action.configuration.contains_key("OutputFileName") == action.output_artifacts.is_empty() {
            let why = "OutputFileName and an output artifact belong together";
            self.complain(&at.setting("OutputFileName"), &on, why, "give it both, or none of them");
        }
        let own = action.role_arn.as_deref().and_then(account_of).unwrap_or(self.facts.account);
        if let Some(other) = action.plain("RoleArn").and_then(account_of).filter(|other| *other != own) {
            let why = format!(
                "Cross-account pass role is not allowed: the stack's role is one of account {other}, and the action is done in {own}"
            );
            let next = "name an execution role of the account in which the action's own role is";
            self.complain(&at.setting("RoleArn"), &on, why, next);
        }
    }

    pub(super) fn s3(&mut self, at: &At<'_>) {
        let (action, on) = (at.action, at.name());
        let extract = action.plain("Extract").map(str::to_ascii_lowercase);
        match extract.as_deref() {
            Some("true") | None => {}
            Some("false") if action.configuration.contains_key("ObjectKey") => {}
            Some("false") => {
                let why = "Extract is false, and there is no ObjectKey";
                self.complain(&at.below("Configuration"), &on, why, "add ObjectKey");
            }
            Some(_) => {
                self.complain(&at.setting("Extract"), &on, "Extract is true or false", "write one of them");
            }
        }
    }
}
