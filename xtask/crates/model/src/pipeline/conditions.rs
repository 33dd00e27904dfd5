//! Conditions of stages: what their rules say, and what becomes of the stage.
//!
//! Sources, AWS CodePipeline user guide: "How do stage conditions work?", "Rule structure reference", as of 2026-11-28.

use jiff::Timestamp;

use super::cron::Window;
use super::{Condition, PipelineError, Rule, Variables};

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Holds,
    /// It does not, and why.
    Fails(String),
    /// The state of this alarm decides: it fails where that is one of these.
    Alarm(String, Vec<String>),
}

impl Rule {
    fn text(&self, key: &str, variables: &Variables) -> Result<Option<String>, PipelineError> {
        super::text_of(&self.configuration, key, variables)
    }

    /// What it says now.
    ///
    /// # Errors
    /// A variable that no earlier action set; a rule that is not evaluated here, which a walk refuses beforehand.
    pub fn answer(&self, variables: &Variables, now: Timestamp) -> Result<Answer, PipelineError> {
        let text = |key: &str| self.text(key, variables);
        let wanted = |key: &str| {
            text(key)?.ok_or_else(|| PipelineError::Shape(format!("the rule {} has no {key}", self.name)))
        };
        match self.rule_type_id.provider.as_str() {
            "DeploymentWindow" => {
                let cron = wanted("Cron")?;
                let window =
                    Window::read(&cron, text("TimeZone")?.as_deref()).map_err(PipelineError::Shape)?;
                Ok(if window.is_open(now) {
                    Answer::Holds
                } else {
                    Answer::Fails(format!("it is outside of the deployment window `{cron}`"))
                })
            }
            "VariableCheck" => {
                let (variable, value, operator) =
                    (wanted("Variable")?, wanted("Value")?, wanted("Operator")?);
                let holds = match operator.as_str() {
                    "EQ" => variable == value,
                    "NE" => variable != value,
                    "CONTAINS" => variable.contains(&value),
                    other => {
                        return Err(PipelineError::Shape(format!(
                            "the operator {other} of the rule {} is not evaluated here",
                            self.name
                        )));
                    }
                };
                Ok(if holds {
                    Answer::Holds
                } else {
                    Answer::Fails(format!("the variable does not pass {operator}"))
                })
            }
            "CloudWatchAlarm" => {
                let states = text("AlarmStates")?.unwrap_or_else(|| "ALARM".to_owned());
                let states = states.split(',').map(|state| state.trim().to_owned()).collect();
                Ok(Answer::Alarm(wanted("AlarmName")?, states))
            }
            other => Err(PipelineError::Shape(format!("the rule {other} is not known"))),
        }
    }

    /// What keeps it from being evaluated here, whatever the variables are.
    pub(super) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let text = |key: &str| self.configuration.get(key).and_then(serde_json::Value::as_str);
        match self.rule_type_id.provider.as_str() {
            "DeploymentWindow" => {
                let cron = text("Cron").filter(|cron| !cron.contains("#{"))?;
                let why = Window::read(cron, text("TimeZone")).err()?;
                Some((
                    "Cron",
                    why,
                    "write it with numbers, names, lists, ranges and steps, and the time zone as UTC+h",
                ))
            }
            "VariableCheck" => {
                let operator = text("Operator").filter(|one| !["EQ", "NE", "CONTAINS"].contains(one))?;
                let why = format!("the operator {operator} is not evaluated here");
                Some(("Operator", why, "use EQ, NE or CONTAINS"))
            }
            _ => None,
        }
    }
}

impl Condition {
    /// What becomes of the stage where a rule does not hold; AWS's own default is that it fails.
    pub fn result(&self) -> &str {
        self.result.as_deref().unwrap_or("FAIL")
    }
}
