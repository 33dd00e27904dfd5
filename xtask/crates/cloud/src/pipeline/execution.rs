//! The state of an execution, shaped as CodePipeline's own answers have it, so that they can be given out of it: see
//! `PipelineExecution`, `StageState`, `ActionExecution` and `ActionExecutionDetail` in the CodePipeline API reference.
//!
//! It is a pure state machine: every change is told to it with its time. After its end an execution changes no more.

use serde::Serialize;

use causeway_model::pipeline::Pipeline;

/// Seconds since 1970, with milliseconds.
pub type Time = f64;

/// `PipelineExecutionStatus`, as far as one machine has it: nothing is superseded or cancelled here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ExecutionStatus {
    /// It runs.
    InProgress,
    /// It is being stopped.
    Stopping,
    /// It was stopped.
    Stopped,
    /// Every action succeeded.
    Succeeded,
    /// An action failed, or an approval was rejected.
    Failed,
}

impl ExecutionStatus {
    fn is_final(self) -> bool {
        !matches!(self, Self::InProgress | Self::Stopping)
    }
}

/// `StageExecutionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StageStatus {
    /// An action of it runs.
    InProgress,
    /// It was stopped.
    Stopped,
    /// Every action of it succeeded.
    Succeeded,
    /// An action of it failed.
    Failed,
    /// A condition skipped it.
    Skipped,
}

/// `ActionExecutionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ActionStatus {
    /// It runs.
    InProgress,
    /// Nobody waits for it any more.
    Abandoned,
    /// It did well.
    Succeeded,
    /// It did not, or was rejected.
    Failed,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its id.
    pub pipeline_execution_id: String,
    /// The pipeline's name, once it was read.
    pub pipeline_name: Option<String>,
    /// How it stands.
    pub status: ExecutionStatus,
    /// Why it ended so.
    pub status_summary: Option<String>,
    /// When it began.
    pub start_time: Time,
    /// When it last changed.
    pub last_update_time: Time,
    /// What it releases.
    pub source_revisions: Vec<SourceRevision>,
    /// Who started it.
    pub trigger: Trigger,
    /// Why it was stopped.
    pub stop_trigger: Option<StopTrigger>,
    /// Its stages in their order.
    pub stage_states: Vec<StageState>,
}

/// What a source action brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRevision {
    /// The action.
    pub action_name: String,
    /// The commit.
    pub revision_id: String,
    /// The commit, for a person.
    pub revision_summary: String,
}

/// Who started an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// `StartPipelineExecution`: nothing else starts one here.
    pub trigger_type: &'static str,
    /// The process.
    pub trigger_detail: String,
}

/// Why an execution was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopTrigger {
    /// The reason.
    pub reason: String,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageState {
    /// Its name.
    pub stage_name: String,
    /// How it stands, once it began.
    pub latest_execution: Option<StageExecution>,
    /// Its actions, as the template lists them.
    pub action_states: Vec<ActionState>,
}

/// How a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageExecution {
    /// The execution's id.
    pub pipeline_execution_id: String,
    /// How it stands.
    pub status: StageStatus,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionState {
    /// Its name.
    pub action_name: String,
    /// How it stands, once it began.
    pub latest_execution: Option<ActionExecution>,
    /// What it takes.
    pub input_artifacts: Vec<ArtifactDetail>,
    /// What it gives.
    pub output_artifacts: Vec<ArtifactDetail>,
}

/// How an action stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionExecution {
    /// Its own id.
    pub action_execution_id: String,
    /// How it stands.
    pub status: ActionStatus,
    /// What there is to say of it.
    pub summary: Option<String>,
    /// When it began.
    pub start_time: Time,
    /// When its status last changed.
    pub last_status_change: Time,
    /// What an answer to an approval must name, while one is waited for.
    pub token: Option<String>,
    /// Who answered it.
    pub last_updated_by: Option<String>,
    /// Why it failed.
    pub error_details: Option<ErrorDetails>,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetails {
    /// CodePipeline's code.
    pub code: &'static str,
    /// In words.
    pub message: String,
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactDetail {
    /// Its name.
    pub name: String,
    /// Where it lies, once it was given.
    pub s3location: Option<S3Location>,
}

/// Where an artifact lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// What happens to an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An action began, under an id of its own.
    Began(String),
    /// An approval is waited for, under this token.
    Asks(String),
    /// It was answered by somebody, with these words.
    Answered(String, String),
    /// An action did well; what there is to say of it.
    Succeeded(Option<String>),
    /// An action did not do well; why.
    Failed(String),
}

impl Execution {
    /// One that begins now.
    pub fn new(id: &str, by: String, now: Time) -> Self {
        Self {
            pipeline_execution_id: id.to_owned(),
            pipeline_name: None,
            status: ExecutionStatus::InProgress,
            status_summary: None,
            start_time: now,
            last_update_time: now,
            source_revisions: Vec::new(),
            trigger: Trigger { trigger_type: "StartPipelineExecution", trigger_detail: by },
            stop_trigger: None,
            stage_states: Vec::new(),
        }
    }

    /// The pipeline as it is deployed was read.
    pub fn reads(&mut self, pipeline: &Pipeline) {
        self.pipeline_name = Some(pipeline.name.clone());
        let artifacts = |names: &[causeway_model::pipeline::ArtifactName]| {
            names
                .iter()
                .map(|artifact| ArtifactDetail { name: artifact.name.clone(), s3location: None })
                .collect()
        };
        let stage = |stage: &causeway_model::pipeline::Stage| StageState {
            stage_name: stage.name.clone(),
            latest_execution: None,
            action_states: stage
                .actions
                .iter()
                .map(|action| ActionState {
                    action_name: action.name.clone(),
                    latest_execution: None,
                    input_artifacts: artifacts(&action.input_artifacts),
                    output_artifacts: artifacts(&action.output_artifacts),
                })
                .collect(),
        };
        self.stage_states = pipeline.stages.iter().map(stage).collect();
    }

    /// Something happens to an action. False where that cannot be: the execution is over, there is no such action, or it does
    /// not run.
    pub fn act(&mut self, stage: &str, action: &str, change: Change, now: Time) -> bool {
        if self.status.is_final() {
            return false;
        }
        let id = self.pipeline_execution_id.clone();
        let Some(stage) = self.stage_states.iter_mut().find(|state| state.stage_name == stage) else {
            return false;
        };
        let Some(state) = stage.action_states.iter_mut().find(|state| state.action_name == action) else {
            return false;
        };
        match (change, &mut state.latest_execution) {
            (Change::Began(action_execution_id), latest @ None) => {
                *latest = Some(ActionExecution {
                    action_execution_id,
                    status: ActionStatus::InProgress,
                    summary: None,
                    start_time: now,
                    last_status_change: now,
                    token: None,
                    last_updated_by: None,
                    error_details: None,
                });
            }
            (change, Some(latest)) if latest.status == ActionStatus::InProgress => match change {
                Change::Began(_) => return false,
                Change::Asks(token) => latest.token = Some(token),
                Change::Answered(by, summary) => {
                    if latest.token.take().is_none() {
                        return false;
                    }
                    (latest.last_updated_by, latest.summary) = (Some(by), Some(summary));
                }
                Change::Succeeded(summary) => {
                    latest.summary = summary.or_else(|| latest.summary.take());
                    (latest.status, latest.last_status_change) = (ActionStatus::Succeeded, now);
                }
                Change::Failed(message) => {
                    latest.error_details = Some(ErrorDetails { code: "JobFailed", message });
                    (latest.status, latest.last_status_change) = (ActionStatus::Failed, now);
                }
            },
            _ => return false,
        }
        self.last_update_time = now;
        let status = stage_status(&stage.action_states);
        stage.latest_execution = Some(StageExecution { pipeline_execution_id: id, status });
        true
    }

    /// A condition skipped a stage.
    pub fn skips(&mut self, stage: &str) {
        let id = self.pipeline_execution_id.clone();
        if let Some(stage) = self.stage_states.iter_mut().find(|state| state.stage_name == stage) {
            stage.latest_execution =
                Some(StageExecution { pipeline_execution_id: id, status: StageStatus::Skipped });
        }
    }

    /// An artifact was put there.
    pub fn gives(&mut self, name: &str, bucket: &str, key: &str) {
        let actions = self.stage_states.iter_mut().flat_map(|stage| &mut stage.action_states);
        let details =
            actions.flat_map(|action| action.input_artifacts.iter_mut().chain(&mut action.output_artifacts));
        for detail in details.filter(|detail| detail.name == name) {
            detail.s3location = Some(S3Location { bucket: bucket.to_owned(), key: key.to_owned() });
        }
    }

    /// A source action brought this.
    pub fn revision(&mut self, action: &str, id: &str, summary: &str) {
        self.source_revisions.push(SourceRevision {
            action_name: action.to_owned(),
            revision_id: id.to_owned(),
            revision_summary: summary.to_owned(),
        });
    }

    /// It shall stop. False where it is over or stops already.
    pub fn stopping(&mut self, reason: &str, now: Time) -> bool {
        if self.status != ExecutionStatus::InProgress {
            return false;
        }
        self.status = ExecutionStatus::Stopping;
        self.stop_trigger = Some(StopTrigger { reason: reason.to_owned() });
        self.last_update_time = now;
        true
    }

    /// It is over: what still ran is abandoned. False where it was over before.
    pub fn over(&mut self, status: ExecutionStatus, summary: Option<String>, now: Time) -> bool {
        if self.status.is_final() || !status.is_final() {
            return false;
        }
        (self.status, self.status_summary, self.last_update_time) = (status, summary, now);
        for stage in &mut self.stage_states {
            let mut abandoned = false;
            for latest in stage.action_states.iter_mut().filter_map(|action| action.latest_execution.as_mut())
            {
                if latest.status == ActionStatus::InProgress {
                    (latest.status, latest.last_status_change, latest.token) =
                        (ActionStatus::Abandoned, now, None);
                    abandoned = true;
                }
            }
            if let Some(latest) = stage.latest_execution.as_mut().filter(|_| abandoned) {
                latest.status = StageStatus::Stopped;
            }
        }
        true
    }
}

/// How a stage stands whose actions stand so.
fn stage_status(actions: &[ActionState]) -> StageStatus {
    let of = |status| {
        move |action: &ActionState| {
            action.latest_execution.as_ref().is_some_and(|latest| latest.status == status)
        }
    };
    if actions.iter().all(of(ActionStatus::Succeeded)) {
        StageStatus::Succeeded
    } else if actions.iter().any(of(ActionStatus::InProgress)) {
        StageStatus::InProgress
    } else if actions.iter().any(of(ActionStatus::Failed)) {
        StageStatus::Failed
    } else {
        StageStatus::InProgress
    }
}

#[cfg(test)]
mod tests;
