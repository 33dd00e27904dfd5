//! A pipeline as its template declares it, and the variables that pass between its actions.
//!
//! Source: "CodePipeline pipeline structure reference" and "Variables reference" in the CodePipeline user guide.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The `Properties` of an `AWS::CodePipeline::Pipeline` once its intrinsic functions are evaluated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The role it acts as.
    pub role_arn: String,
    /// Where artifacts are kept.
    pub artifact_store: ArtifactStore,
    /// The stages in their order.
    pub stages: Vec<Stage>,
}

/// Where artifacts are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArtifactStore {
    /// The bucket.
    pub location: String,
    /// The key they are encrypted under.
    pub encryption_key: EncryptionKey,
}

/// The key that artifacts are encrypted under.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptionKey {
    /// A key id or ARN; across accounts never an alias.
    pub id: String,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its actions, as the template lists them.
    pub actions: Vec<Action>,
    /// What AWS does when one of them fails.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// What becomes of a stage that failed ("Configure stage conditions" in the CodePipeline user guide).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OnFailure {
    /// FAIL, RETRY, ROLLBACK or SKIP.
    #[serde(default)]
    pub result: Option<String>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Action {
    /// Its name.
    pub name: String,
    /// What does it.
    pub action_type_id: ActionType,
    /// Its place among the actions of the stage; equal ones run side by side.
    #[serde(default = "first", deserialize_with = "number")]
    pub run_order: u32,
    /// Its settings; they may hold variables.
    #[serde(default)]
    pub configuration: BTreeMap<String, Value>,
    /// The artifacts it takes.
    #[serde(default)]
    pub input_artifacts: Vec<ArtifactName>,
    /// The artifacts it gives.
    #[serde(default)]
    pub output_artifacts: Vec<ArtifactName>,
    /// The role it is done with, where it is not the pipeline's own.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// Where its output variables go.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// What does an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionType {
    /// Source, Build, Test, Deploy, Approval or Invoke.
    pub category: String,
    /// For instance `CloudFormation`.
    pub provider: String,
}

/// An artifact's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArtifactName {
    /// The name.
    pub name: String,
}

fn first() -> u32 {
    1
}

/// CloudFormation takes numbers as text, too.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let parsed = match &value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{value} is not a run order")))
}

/// Why a pipeline cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The properties have another shape.
    #[error("the pipeline's properties cannot be read: {0}")]
    Shape(String),
    /// A variable that no earlier action set.
    #[error("variable `#{{{0}}}` is not set by an earlier action")]
    Variable(String),
    /// An artifact that no earlier action gives.
    #[error("action {0} takes artifact {1}, which no earlier action gives")]
    Artifact(String, String),
}

impl Pipeline {
    /// From evaluated properties.
    ///
    /// # Errors
    /// A shape that is not a pipeline's, or an action that takes an artifact which nothing before it gives.
    pub fn from_properties(properties: &Value) -> Result<Self, PipelineError> {
        let pipeline =
            Pipeline::deserialize(properties).map_err(|error| PipelineError::Shape(error.to_string()))?;
        let mut known: Vec<&str> = Vec::new();
        for stage in &pipeline.stages {
            for group in stage.groups() {
                for action in &group {
                    if let Some(missing) =
                        action.input_artifacts.iter().find(|a| !known.contains(&a.name.as_str()))
                    {
                        let name = format!("{}/{}", stage.name, action.name);
                        return Err(PipelineError::Artifact(name, missing.name.clone()));
                    }
                }
                known.extend(
                    group.iter().flat_map(|action| action.output_artifacts.iter().map(|a| a.name.as_str())),
                );
            }
        }
        Ok(pipeline)
    }
}

impl Stage {
    /// The actions in run order: those of one group run side by side.
    pub fn groups(&self) -> Vec<Vec<&Action>> {
        let mut by_order: BTreeMap<u32, Vec<&Action>> = BTreeMap::new();
        for action in &self.actions {
            by_order.entry(action.run_order).or_default().push(action);
        }
        by_order.into_values().collect()
    }

    /// What AWS would do now that this stage failed and a rehearsal does not, in a sentence; `None` where AWS, too, leaves
    /// it at that.
    pub fn left_out_on_failure(&self) -> Option<String> {
        let name = &self.name;
        match self.on_failure.as_ref()?.result.as_deref()? {
            "RETRY" => Some(format!(
                "on AWS the stage {name} would be tried once more (OnFailure: RETRY); a rehearsal does not"
            )),
            "ROLLBACK" => Some(format!(
                "on AWS the stage {name} would be rolled back to its last good release (OnFailure: ROLLBACK); here it is left as it is"
            )),
            "SKIP" => Some(format!(
                "on AWS the stage {name} would be skipped and the next one entered (OnFailure: SKIP); a rehearsal ends here"
            )),
            _ => None,
        }
    }
}

impl Action {
    /// A setting's text with its variables filled; `None` where it is not set.
    ///
    /// # Errors
    /// A variable that no earlier action set.
    pub fn setting(&self, key: &str, variables: &Variables) -> Result<Option<String>, PipelineError> {
        match self.configuration.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => variables.fill(text).map(Some),
            Some(other) => variables.fill(&other.to_string()).map(Some),
        }
    }
}

/// Output variables by namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<(String, String), String>);

impl Variables {
    /// Sets a variable.
    pub fn set(&mut self, namespace: &str, name: &str, value: impl Into<String>) {
        self.0.insert((namespace.to_owned(), name.to_owned()), value.into());
    }

    /// The text with every `#{namespace.name}` filled.
    ///
    /// # Errors
    /// A variable that is not set.
    pub fn fill(&self, text: &str) -> Result<String, PipelineError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("#{") {
            out.push_str(&rest[..open]);
            let after = &rest[open + 2..];
            let Some(close) = after.find('}') else { break };
            let name = &after[..close];
            let found = name
                .split_once('.')
                .and_then(|(space, name)| self.0.get(&(space.to_owned(), name.to_owned())));
            out.push_str(found.ok_or_else(|| PipelineError::Variable(name.to_owned()))?);
            rest = &after[close + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties() -> Value {
        json!({
            "Name": "causeway", "PipelineType": "V2", "RoleArn": "arn:role",
            "ArtifactStore": {"Type": "S3", "Location": "bucket", "EncryptionKey": {"Id": "arn:key", "Type": "KMS"}},
            "Stages": [
                {"Name": "Source", "Actions": [{"Name": "Source", "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
                    "OutputArtifacts": [{"Name": "SourceArtifact"}]}]},
                {"Name": "Dev", "Actions": [
                    {"Name": "Test", "RunOrder": "2", "ActionTypeId": {"Category": "Test", "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
                     "InputArtifacts": [{"Name": "SourceArtifact"}], "Configuration": {"ProjectName": "t", "EnvironmentVariables": "[{\"name\":\"API_URL\",\"value\":\"#{DevDeploy.ApiURL}\"}]"}},
                    {"Name": "Deploy", "RunOrder": 1, "Namespace": "DevDeploy", "RoleArn": "arn:action",
                     "ActionTypeId": {"Category": "Deploy", "Owner": "AWS", "Provider": "CloudFormation", "Version": "1"}}
                ]}
            ]
        })
    }

    #[test]
    fn actions_run_in_run_order() {
        let pipeline = Pipeline::from_properties(&properties()).unwrap();
        let names: Vec<Vec<&str>> = pipeline.stages[1]
            .groups()
            .iter()
            .map(|group| group.iter().map(|a| a.name.as_str()).collect())
            .collect();
        assert_eq!(names, [["Deploy"], ["Test"]]);
        assert_eq!(pipeline.stages[1].actions[1].role_arn.as_deref(), Some("arn:action"));
    }

    #[test]
    fn variables_are_filled_or_named() {
        let pipeline = Pipeline::from_properties(&properties()).unwrap();
        let test = &pipeline.stages[1].actions[0];
        let mut variables = Variables::default();
        assert_eq!(
            test.setting("EnvironmentVariables", &variables).unwrap_err(),
            PipelineError::Variable("DevDeploy.ApiURL".into())
        );
        variables.set("DevDeploy", "ApiURL", "http://x/");
        assert_eq!(
            test.setting("EnvironmentVariables", &variables).unwrap().unwrap(),
            "[{\"name\":\"API_URL\",\"value\":\"http://x/\"}]"
        );
        assert_eq!(test.setting("Absent", &variables).unwrap(), None);
    }

    #[test]
    fn what_aws_does_after_a_failure_is_said() {
        let mut properties = properties();
        properties["Stages"][0]["OnFailure"] =
            json!({"Result": "RETRY", "RetryConfiguration": {"RetryMode": "FAILED_ACTIONS"}});
        let said = |properties: &Value, stage: usize| {
            Pipeline::from_properties(properties).unwrap().stages[stage].left_out_on_failure()
        };
        assert!(said(&properties, 0).unwrap().contains("Source would be tried once more"));
        assert_eq!(said(&properties, 1), None);
        properties["Stages"][1]["OnFailure"] = json!({"Result": "ROLLBACK"});
        assert!(said(&properties, 1).unwrap().contains("Dev would be rolled back"));
        properties["Stages"][1]["OnFailure"] = json!({"Result": "FAIL"});
        assert_eq!(said(&properties, 1), None);
    }

    #[test]
    fn an_artifact_that_nothing_gives_is_refused() {
        let mut properties = properties();
        properties["Stages"][1]["Actions"][0]["InputArtifacts"][0]["Name"] = json!("Other");
        assert_eq!(
            Pipeline::from_properties(&properties).unwrap_err(),
            PipelineError::Artifact("Dev/Test".into(), "Other".into())
        );
        assert!(matches!(Pipeline::from_properties(&json!({"Name": 3})), Err(PipelineError::Shape(_))));
    }
}
