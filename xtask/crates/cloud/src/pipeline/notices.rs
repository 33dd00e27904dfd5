//! Notices as a subscriber reads them: the failure rule's input transformer, applied to the event CodePipeline sends.
//!
//! The emulator refuses events of AWS's own sources, so the rule is applied here and the result is published.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Run;
use crate::control::Control;
use causeway_model::config::BUILD;
use causeway_model::keys::Keys;
use causeway_model::line::Line;

impl Run {
    /// Sends what the deployed rules make of a failed execution. A rule that cannot be applied is said and no failure.
    pub(super) async fn tell_failure(self: &Arc<Self>) {
        let Ok(build) = self.world.accounts.get(BUILD) else { return };
        let event = json!({
            "source": "aws.codepipeline",
            "detail-type": "CodePipeline Pipeline Execution State Change",
            "account": build.id,
            "region": build.region(),
            "time": causeway_machine::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "detail": {"pipeline": self.definition.pipeline.name, "execution-id": self.execution, "state": "FAILED"},
        });
        // EventBridge publishes as itself; the account's root stands for it.
        let keys = self.world.control.root(&build.id);
        for rule in self
            .definition
            .rules
            .iter()
            .filter(|rule| matches(rule.get("EventPattern").unwrap_or(&Value::Null), &event))
        {
            for target in rule.get("Targets").and_then(Value::as_array).into_iter().flatten() {
                let topic = target.get("Arn").and_then(Value::as_str).unwrap_or_default();
                let message = match target.get("InputTransformer") {
                    Some(transformer) => transform(transformer, &event),
                    None => event.to_string(),
                };
                match publish(&self.world.control, &keys, topic, "AWS Notification Message", &message).await {
                    Ok(()) => (self.emit)(Line::Notice {
                        topic: topic_name(topic),
                        subject: "AWS Notification Message".to_owned(),
                        message,
                    }),
                    Err(error) => (self.emit)(Line::Warning {
                        message: format!("the failure notice could not be published: {error:#}"),
                    }),
                }
            }
        }
    }
}

/// Publishes a message to a topic.
pub(super) async fn publish(
    control: &Control,
    keys: &Keys,
    topic: &str,
    subject: &str,
    message: &str,
) -> anyhow::Result<()> {
    let parameters = [
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic),
        ("Subject", subject),
        ("Message", message),
    ];
    control.query(keys, "sns", &parameters, "publish the notice", topic).await
}

/// A topic's name from its ARN.
pub(super) fn topic_name(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or(arn).to_owned()
}

/// Whether an event fits a pattern: every field named by it has one of its values ("Amazon EventBridge event patterns").
fn matches(pattern: &Value, event: &Value) -> bool {
    match (pattern, event) {
        (Value::Object(fields), _) => {
            fields.iter().all(|(name, wanted)| event.get(name).is_some_and(|found| matches(wanted, found)))
        }
        (Value::Array(values), found) => values.contains(found),
        _ => false,
    }
}

/// The text an input transformer makes of an event: `<name>` becomes the value at its path; the quotes around each
/// line of a template are taken off ("Amazon EventBridge input transformation").
fn transform(transformer: &Value, event: &Value) -> String {
    let mut text = transformer.get("InputTemplate").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, path) in transformer.get("InputPathsMap").and_then(Value::as_object).into_iter().flatten() {
        let path = path.as_str().unwrap_or_default().trim_start_matches("$.");
        let found = path.split('.').try_fold(event, |at, key| at.get(key));
        let value = match found {
            Some(Value::String(value)) => value.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        text = text.replace(&format!("<{name}>"), &value);
    }
    let unquoted =
        |row: &str| row.strip_prefix('"').and_then(|row| row.strip_suffix('"')).unwrap_or(row).to_owned();
    text.lines().map(unquoted).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_transformers_follow_eventbridge() {
        let event =
            json!({"source": "aws.codepipeline", "detail": {"pipeline": "causeway", "state": "FAILED"}});
        assert!(matches(
            &json!({"source": ["aws.codepipeline"], "detail": {"state": ["FAILED", "STOPPED"]}}),
            &event
        ));
        assert!(!matches(&json!({"detail": {"state": ["SUCCEEDED"]}}), &event));
        assert!(!matches(&json!({"detail": {"absent": ["x"]}}), &event));
        let transformer = json!({"InputPathsMap": {"p": "$.detail.pipeline", "x": "$.nope"}, "InputTemplate": "\"The pipeline <p> failed<x>.\"\n\"Second.\""});
        assert_eq!(transform(&transformer, &event), "The pipeline causeway failed.\nSecond.");
    }
}
