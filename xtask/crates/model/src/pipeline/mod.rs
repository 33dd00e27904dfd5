//! A pipeline as its template declares it, the variables that pass between its actions, and what is wrong with it before it runs.
//!
//! Source: "CodePipeline pipeline structure reference" and "Variables reference" in the CodePipeline user guide.

pub mod conditions;
mod cron;
pub mod overrides;
mod variables;
pub mod walk;

pub use variables::{Variables, named};

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
    /// `V1` where nothing is said.
    #[serde(default)]
    pub pipeline_type: Option<String>,
    /// `SUPERSEDED` where nothing is said.
    #[serde(default)]
    pub execution_mode: Option<String>,
    /// Where artifacts are kept.
    #[serde(default)]
    pub artifact_store: Option<ArtifactStore>,
    /// Where they are kept in each region.
    #[serde(default)]
    pub artifact_stores: Vec<StoreOfRegion>,
    /// The stages in their order.
    pub stages: Vec<Stage>,
    /// The stages that nothing may enter.
    #[serde(default)]
    pub disable_inbound_stage_transitions: Vec<Transition>,
    /// The pipeline's own variables.
    #[serde(default)]
    pub variables: Vec<VariableOfPipeline>,
}

/// Where artifacts of a region are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StoreOfRegion {
    /// The region.
    pub region: String,
    /// Where.
    pub artifact_store: ArtifactStore,
}

/// The way into a stage, which is closed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Transition {
    /// The stage.
    pub stage_name: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A variable of the pipeline itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VariableOfPipeline {
    /// Its name.
    pub name: String,
    /// Its value where an execution is started without another.
    #[serde(default)]
    pub default_value: Option<String>,
}

/// Where artifacts are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArtifactStore {
    /// The bucket.
    pub location: String,
    /// The key they are encrypted under; the account's own key for S3 without one.
    #[serde(default)]
    pub encryption_key: Option<EncryptionKey>,
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
    /// What must hold before it is entered.
    #[serde(default)]
    pub before_entry: Option<Conditions>,
    /// What must hold once its actions succeeded.
    #[serde(default)]
    pub on_success: Option<Conditions>,
    /// What AWS does when one of them fails.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// What must hold at a stage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Conditions {
    /// All of them.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// Rules, and what becomes of the stage where one does not hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Condition {
    /// FAIL, SKIP, ROLLBACK or RETRY.
    #[serde(default)]
    pub result: Option<String>,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A rule of a condition.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What decides it.
    pub rule_type_id: RuleType,
    /// Its settings; they may hold variables.
    #[serde(default)]
    pub configuration: BTreeMap<String, Value>,
    /// The role it is asked with.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// Where it is asked.
    #[serde(default)]
    pub region: Option<String>,
}

/// What decides a rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuleType {
    /// For instance `DeploymentWindow`.
    pub provider: String,
}

/// What becomes of a stage that failed ("Configure stage conditions" in the CodePipeline user guide).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OnFailure {
    /// FAIL, RETRY, ROLLBACK or SKIP.
    #[serde(default)]
    pub result: Option<String>,
    /// The same under a condition.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl OnFailure {
    /// What may be done: without a condition, or under one.
    fn result(&self) -> Option<&str> {
        self.result.as_deref().or_else(|| self.conditions.iter().find_map(|one| one.result.as_deref()))
    }
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
    /// Where it is done, where that is not the pipeline's own region.
    #[serde(default)]
    pub region: Option<String>,
}

/// What does an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionType {
    /// Source, Build, Test, Deploy, Approval, Invoke or Compute.
    pub category: String,
    /// AWS, ThirdParty or Custom.
    #[serde(default)]
    pub owner: String,
    /// For instance `CloudFormation`.
    pub provider: String,
}

impl ActionType {
    /// As `Deploy/AWS/CloudFormation`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.category, self.owner, self.provider)
    }
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
}

impl Pipeline {
    /// From evaluated properties.
    ///
    /// # Errors
    /// A shape that is not a pipeline's.
    pub fn from_properties(properties: &Value) -> Result<Self, PipelineError> {
        Pipeline::deserialize(properties).map_err(|error| PipelineError::Shape(error.to_string()))
    }

    /// Where artifacts of a region are kept.
    pub fn store(&self, region: &str) -> Option<&ArtifactStore> {
        let own = self.artifact_stores.iter().find(|one| one.region == region).map(|one| &one.artifact_store);
        own.or(self.artifact_store.as_ref())
    }

    /// Why nothing may enter a stage, where its transition is disabled.
    pub fn closed(&self, stage: &str) -> Option<&str> {
        let mut all = self.disable_inbound_stage_transitions.iter();
        all.find(|one| one.stage_name == stage).map(|one| one.reason.as_str())
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
        match self.on_failure.as_ref()?.result()? {
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
        text_of(&self.configuration, key, variables)
    }

    /// A setting as it stands.
    pub fn plain(&self, key: &str) -> Option<&str> {
        self.configuration.get(key).and_then(Value::as_str)
    }
}

/// A setting's text with its variables filled; `None` where it is not set.
fn text_of(
    settings: &BTreeMap<String, Value>,
    key: &str,
    variables: &Variables,
) -> Result<Option<String>, PipelineError> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => variables.fill(text).map(Some),
        Some(other) => variables.fill(&other.to_string()).map(Some),
    }
}

#[cfg(test)]
mod tests;
