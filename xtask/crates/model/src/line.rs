//! The JSON lines of `--output json`: one type per line, as the contract has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::Fault;
use super::plan::Wave;

/// How other parts print lines without knowing where they go.
pub type Emit = Arc<dyn Fn(Line) + Send + Sync>;

/// One line of output. The version and the time are added where it is printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// What is about to be done.
    Plan {
        /// Stacks that are deployed side by side, wave after wave.
        waves: Vec<Wave>,
    },
    /// Something happened to a resource of a stack.
    Event(Event),
    /// An action of a stage began or ended.
    Step(Step),
    /// The share of the new version changed.
    Weight(Weight),
    /// Requests were sent and this is who answered.
    Probe(Probe),
    /// A message went to a topic, as a subscriber reads it.
    Notice {
        /// The topic's name.
        topic: String,
        /// The subject line.
        subject: String,
        /// The text.
        message: String,
    },
    /// Something the reader should know that stops nothing.
    Warning {
        /// One sentence.
        message: String,
    },
    /// The last line, always. The command that ends makes it, so none is ever read.
    #[serde(skip_deserializing)]
    Result(Box<ResultLine>),
}

/// Something happened to a resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The account's name in `cfn/stacks.toml`.
    pub account: String,
    /// The stack's name.
    pub stack: String,
    /// The resource's name in the template.
    pub logical_id: String,
    /// CloudFormation's word for the state, for instance `CREATE_COMPLETE`.
    pub status: String,
    /// CloudFormation's reason, where it gave one.
    pub reason: Option<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It began.
    Started,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It never began, since something before it failed.
    NotRun,
}

/// What stood behind a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// An AWS-compatible service or the real program did it.
    Executed,
    /// One of our own engines did it.
    Simulated,
    /// Nothing did it.
    Skipped,
}

/// An action of a stage began or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The stage, for instance `Dev`.
    pub stage: String,
    /// The action, for instance `IntegrationTests`.
    pub action: String,
    /// A part of the action: `pre-hook`, `shift` or `post-hook`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub: Option<String>,
    /// The function a part belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub function: Option<String>,
    /// How it stands.
    pub status: Status,
    /// What stood behind it.
    pub mode: Mode,
    /// How long it took, once it ended.
    pub seconds: Option<f64>,
    /// Why it failed or was not run, or what the reader should know of it.
    pub reason: Option<String>,
    /// What a hook checked, where the part is a hook that gave its account.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub checks: Vec<Check>,
}

impl Step {
    /// A whole action of a stage: no part of it, no function of its own, no checks.
    pub fn whole(
        stage: &str,
        action: &str,
        status: Status,
        mode: Mode,
        seconds: Option<f64>,
        reason: Option<String>,
    ) -> Self {
        let (stage, action) = (stage.to_owned(), action.to_owned());
        Self { stage, action, sub: None, function: None, status, mode, seconds, reason, checks: Vec::new() }
    }
}

/// How a check of a hook went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// All of its steps did well.
    Passed,
    /// One did not.
    Failed,
    /// There was no time for it, or nobody to ask.
    NotRun,
}

/// One check of a lifecycle hook, as the hook itself accounts for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// How it went.
    pub outcome: CheckOutcome,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Why it did not pass.
    pub reason: Option<String>,
}

/// The share of the new version changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The environment, for instance `prod`.
    pub env: String,
    /// The function, for instance `checkin`.
    pub function: String,
    /// Minutes of AWS since the shift began.
    pub t_minutes: u32,
    /// Lambda's number of the old version.
    pub old: String,
    /// Lambda's number of the new version.
    pub new: String,
    /// Percent of the traffic that the new version gets from now on.
    pub new_weight: u32,
}

/// Requests were sent and this is who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The environment.
    pub env: String,
    /// The function.
    pub function: String,
    /// Percent of the traffic that the new version had while they were sent.
    pub new_weight: u32,
    /// How many were sent.
    pub sent: u32,
    /// How many each version answered, by Lambda's number.
    pub by_version: BTreeMap<String, u32>,
    /// How many were answered by an error or not at all.
    pub errors: u32,
}

/// The last line of every command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultLine {
    /// The subcommand, for instance `rehearse`.
    pub command: String,
    /// Whether it ended well.
    pub ok: bool,
    /// The process's exit code.
    pub exit_code: i32,
    /// The verdict's word.
    pub verdict: &'static str,
    /// The commit at work, where there is one.
    pub commit: Option<String>,
    /// How long the command took.
    pub seconds: f64,
    /// What was changed, in words that name the object; empty when nothing was.
    pub changed: Vec<String>,
    /// What failed.
    pub error: Option<Fault>,
    /// What the command found out.
    pub data: Value,
}

/// Seconds with one decimal, as steps and results show them.
pub fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn lines_have_the_shape_of_the_contract() {
        let step = Line::Step(Step {
            stage: "Dev".into(),
            action: "IntegrationTests".into(),
            sub: None,
            function: None,
            status: Status::NotRun,
            mode: Mode::Skipped,
            seconds: Some(3.2),
            reason: None,
            checks: vec![],
        });
        let hook = Line::Step(Step {
            stage: "Prod".into(),
            action: "ExecuteChangeSet".into(),
            sub: Some("pre-hook".into()),
            function: Some("checkin".into()),
            status: Status::Failed,
            mode: Mode::Executed,
            seconds: Some(0.4),
            reason: Some("version: no".into()),
            checks: vec![Check {
                name: "version".into(),
                outcome: CheckOutcome::Failed,
                ms: 12,
                reason: Some("no".into()),
            }],
        });
        let weight = Line::Weight(Weight {
            env: "prod".into(),
            function: "checkin".into(),
            t_minutes: 1,
            old: "3".into(),
            new: "4".into(),
            new_weight: 20,
        });
        let result = Line::Result(Box::new(ResultLine {
            command: "rehearse".into(),
            ok: false,
            exit_code: 1,
            verdict: "failed",
            commit: None,
            seconds: 41.2,
            changed: vec![],
            error: Some(Fault::failed("run the tests", "api").why("one failed").next("read the log")),
            data: serde_json::json!({}),
        }));
        let text: Vec<String> =
            [step, hook, weight, result].iter().map(|line| serde_json::to_string(line).unwrap()).collect();
        assert_snapshot!(text.join("\n"), @r#"
        {"type":"step","stage":"Dev","action":"IntegrationTests","status":"not-run","mode":"skipped","seconds":3.2,"reason":null}
        {"type":"step","stage":"Prod","action":"ExecuteChangeSet","sub":"pre-hook","function":"checkin","status":"failed","mode":"executed","seconds":0.4,"reason":"version: no","checks":[{"name":"version","outcome":"failed","ms":12,"reason":"no"}]}
        {"type":"weight","env":"prod","function":"checkin","t_minutes":1,"old":"3","new":"4","new_weight":20}
        {"type":"result","command":"rehearse","ok":false,"exit_code":1,"verdict":"failed","commit":null,"seconds":41.2,"changed":[],"error":{"what":"run the tests","on":"api","why":"one failed","next":"read the log","title":"could not run the tests"},"data":{}}
        "#);
    }
}
