//! What CodeDeploy and CloudWatch answer about a rollout, as far as a watcher reads it.
//!
//! A member without `Option` or a default is one that the service always gives: an answer without it is an error. States
//! are kept in the service's own words, so that one that is new is shown and not lost.
//!
//! Source: the CodeDeploy and CloudWatch API references.

use serde::Deserialize;

use causeway_model::rollout::Shifting;

/// A page of `ListDeployments`.
#[derive(Debug, Deserialize)]
pub(super) struct Deployments {
    #[serde(default)]
    pub(super) deployments: Vec<String>,
}

/// A page of `ListDeploymentTargets`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetIds {
    #[serde(default)]
    pub(super) target_ids: Vec<String>,
}

/// The answer of `GetDeployment`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deployment {
    pub(super) deployment_info: DeploymentInfo,
}

/// A deployment.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentInfo {
    pub(super) status: String,
    pub(super) deployment_config_name: Option<String>,
    pub(super) error_information: Option<ErrorInformation>,
}

/// What a deployment failed on.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorInformation {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// The answer of `BatchGetDeploymentTargets`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Targets {
    #[serde(default)]
    pub(super) deployment_targets: Vec<Target>,
}

/// A target of a deployment; one that is no function has none of a Lambda function's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    pub(super) lambda_target: Option<LambdaTarget>,
}

/// A function that a deployment shifts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LambdaTarget {
    #[serde(default)]
    pub(super) lifecycle_events: Vec<LifecycleEvent>,
    pub(super) lambda_function_info: Option<LambdaFunctionInfo>,
}

/// A lifecycle event and how it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LifecycleEvent {
    pub(super) lifecycle_event_name: String,
    #[serde(default = "unknown")]
    pub(super) status: String,
}

/// Between which versions a function's traffic shifts, and how far it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LambdaFunctionInfo {
    pub(super) function_name: String,
    pub(super) current_version: Option<String>,
    pub(super) target_version: Option<String>,
    #[serde(default)]
    pub(super) target_version_weight: f64,
}

/// The answer of `GetDeploymentConfig`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) deployment_config_info: ConfigInfo,
}

/// A configuration of deployments.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigInfo {
    pub(super) traffic_routing_config: Option<TrafficRouting>,
}

/// How traffic shifts. The percentages and minutes of a kind stand beside its name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrafficRouting {
    r#type: String,
    time_based_canary: Option<Canary>,
    time_based_linear: Option<Linear>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Canary {
    canary_percentage: u32,
    canary_interval: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linear {
    linear_percentage: u32,
    linear_interval: u32,
}

impl TrafficRouting {
    /// The same in our terms; `None` for a kind that is not known, or one without its numbers.
    pub(super) fn shifting(&self) -> Option<Shifting> {
        let whole = |percent: u32, minutes: u32| (percent > 0 && minutes > 0).then_some((percent, minutes));
        match self.r#type.as_str() {
            "AllAtOnce" => Some(Shifting::AllAtOnce),
            "TimeBasedCanary" => {
                let canary = self.time_based_canary.as_ref()?;
                let (percent, minutes) = whole(canary.canary_percentage, canary.canary_interval)?;
                Some(Shifting::Canary { percent, minutes })
            }
            "TimeBasedLinear" => {
                let linear = self.time_based_linear.as_ref()?;
                let (percent, minutes) = whole(linear.linear_percentage, linear.linear_interval)?;
                Some(Shifting::Linear { percent, minutes })
            }
            _ => None,
        }
    }
}

/// A page of `DescribeAlarms`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alarms {
    #[serde(default)]
    pub(super) metric_alarms: Vec<Alarm>,
    #[serde(default)]
    pub(super) composite_alarms: Vec<Alarm>,
}

/// An alarm and its state.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alarm {
    pub(super) alarm_name: String,
    #[serde(default = "unknown")]
    pub(super) state_value: String,
}

/// The word for a state that the service does not give.
fn unknown() -> String {
    "Unknown".to_owned()
}
