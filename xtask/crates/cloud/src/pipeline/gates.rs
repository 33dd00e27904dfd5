//! What stands before and behind a stage: a disabled transition, and conditions.
//!
//! Sources, AWS CodePipeline user guide: "How do stage conditions work?", "Disable or enable transitions between stages".

use serde_json::{Value, json};

use super::Run;
use causeway_aws::assume_role;
use causeway_machine::clock;
use causeway_model::config::BUILD;
use causeway_model::fault::{Fault, from_error};
use causeway_model::pipeline::conditions::Answer;
use causeway_model::pipeline::{Conditions, Rule, Stage};

/// Whether a stage may be entered, or left.
#[derive(Debug)]
pub(super) enum Gate {
    /// It may.
    Open,
    /// It is skipped, and why.
    Skip(String),
    /// It may not.
    Shut(Fault),
}

impl Run {
    /// Before a stage.
    pub(super) async fn before(&self, stage: &Stage) -> Gate {
        if self.order.gates_open {
            return Gate::Open;
        }
        if let Some(reason) = self.definition.pipeline.closed(&stage.name) {
            let line = self.definition.line("DisableInboundStageTransitions");
            let why = match reason {
                "" => "its inbound transition is disabled".to_owned(),
                reason => format!("its inbound transition is disabled: {reason}"),
            };
            return Gate::Shut(
                Fault::failed(
                    "enter the stage",
                    format!("{} line {line}: {}", self.definition.file(), stage.name),
                )
                .why(format!("{why}; on AWS the release waits before it"))
                .next("take it out of DisableInboundStageTransitions, and release again"),
            );
        }
        self.hold(stage, stage.before_entry.as_ref(), "BeforeEntry").await
    }

    /// Behind a stage that succeeded.
    pub(super) async fn behind(&self, stage: &Stage) -> Gate {
        if self.order.gates_open {
            return Gate::Open;
        }
        self.hold(stage, stage.on_success.as_ref(), "OnSuccess").await
    }

    async fn hold(&self, stage: &Stage, conditions: Option<&Conditions>, field: &str) -> Gate {
        let line = self.definition.line_of(&stage.name, "", &[field]);
        let on = format!("{} line {line}: {}: {field}", self.definition.file(), stage.name);
        for condition in conditions.map_or(&[][..], |all| &all.conditions) {
            for rule in &condition.rules {
                let why = match self.fails(rule).await {
                    Ok(None) => continue,
                    Ok(Some(why)) => format!("the rule {} does not hold: {why}", rule.name),
                    Err(error) => {
                        let fault = from_error(&error);
                        format!("the rule {} could not be asked: {fault}", rule.name)
                    }
                };
                if condition.result() == "SKIP" {
                    return Gate::Skip(why);
                }
                let rolls_back = if condition.result() == "ROLLBACK" {
                    "; on AWS the stage would be rolled back to its last good release"
                } else {
                    ""
                };
                return Gate::Shut(
                    Fault::failed(
                        if field == "BeforeEntry" { "enter the stage" } else { "leave the stage" },
                        on,
                    )
                    .why(format!("{why} (Result: {}){rolls_back}", condition.result()))
                    .next("release when the condition holds, or change it"),
                );
            }
        }
        Gate::Open
    }

    /// Why a rule does not hold.
    async fn fails(&self, rule: &Rule) -> anyhow::Result<Option<String>> {
        let variables = self.variables().clone();
        match rule.answer(&variables, clock::now())? {
            Answer::Holds => Ok(None),
            Answer::Fails(why) => Ok(Some(why)),
            Answer::Alarm(name, states) => {
                let build = self.world.accounts.get(BUILD)?;
                let role = &self.definition.pipeline.role_arn;
                let mut keys = assume_role(build, role, &self.execution).await?;
                if let Some(role) = &rule.role_arn {
                    keys = assume_role(&build.with_keys("build", &build.id, &keys), role, &self.execution)
                        .await?;
                }
                let input = json!({"AlarmNames": [name]});
                let target = "GraniteServiceVersion20100801.DescribeAlarms";
                let about = ("look at the alarm", name.as_str());
                let answer =
                    self.world.control.json(&keys, ("monitoring", "1.0"), target, &input, about).await?;
                let state = ["MetricAlarms", "CompositeAlarms"]
                    .iter()
                    .find_map(|kind| answer.get(kind)?.get(0)?.get("StateValue").and_then(Value::as_str));
                match state {
                    None => Ok(Some(format!("there is no alarm {name}"))),
                    Some(state) if states.iter().any(|one| one == state) => {
                        Ok(Some(format!("the alarm {name} is in {state}")))
                    }
                    Some(_) => Ok(None),
                }
            }
        }
    }
}
