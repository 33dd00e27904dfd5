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
        for rule in &self.definition.rules {
            match sent(rule, &event) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(why) => {
                    let name = rule.get("Name").and_then(Value::as_str).unwrap_or("without a name");
                    (self.emit)(Line::Warning {
                        message: format!(
                            "whether the rule {name} sends the failure notice is not rehearsed: {why}"
                        ),
                    });
                    continue;
                }
            }
            for target in rule.get("Targets").and_then(Value::as_array).into_iter().flatten() {
                let topic = target.get("Arn").and_then(Value::as_str).unwrap_or_default();
                let message = message(target, &event);
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

/// Whether a rule sends an event on.
///
/// # Errors
/// What of its pattern is not known here.
fn sent(rule: &Value, event: &Value) -> Result<bool, String> {
    if rule.get("State").and_then(Value::as_str) == Some("DISABLED") {
        return Ok(false);
    }
    rule.get("EventPattern").map_or(Ok(false), |pattern| matches(pattern, Some(event)))
}

/// Whether an event fits a pattern: every field that it names has one of its values, or what a filter wants.
///
/// Sources, Amazon EventBridge user guide: "Amazon EventBridge event patterns", "Comparison operators for use in event patterns".
///
/// # Errors
/// A filter that is not known here.
fn matches(pattern: &Value, found: Option<&Value>) -> Result<bool, String> {
    // Every part is read, so what is not known is told whatever else fits.
    let all = |each: Vec<Result<bool, String>>, every: bool| {
        let each: Vec<bool> = each.into_iter().collect::<Result<_, _>>()?;
        Ok(if every { !each.contains(&false) } else { each.contains(&true) })
    };
    match pattern {
        Value::Object(fields) => all(
            fields
                .iter()
                .map(|(name, wanted)| match (name.as_str(), wanted) {
                    ("$or", Value::Array(ways)) => {
                        all(ways.iter().map(|way| matches(way, found)).collect(), false)
                    }
                    _ => matches(wanted, found.and_then(|found| found.get(name))),
                })
                .collect(),
            true,
        ),
        Value::Array(filters) => all(filters.iter().map(|filter| fits(filter, found)).collect(), false),
        other => Err(format!("its pattern has {other} where a list of values stands")),
    }
}

/// Whether a value is one that a pattern lists, or what its filter wants.
fn fits(filter: &Value, found: Option<&Value>) -> Result<bool, String> {
    // Of a list one value is enough.
    if let Some(Value::Array(values)) = found {
        let each: Result<Vec<bool>, String> = values.iter().map(|value| fits(filter, Some(value))).collect();
        return each.map(|each| each.contains(&true));
    }
    let Value::Object(filter) = filter else { return Ok(found == Some(filter)) };
    let text = found.and_then(Value::as_str);
    let unknown = || Err(format!("its pattern has the filter {}, which is not known here", json!(filter)));
    match filter.iter().next() {
        Some((name, wanted)) if filter.len() == 1 => match (name.as_str(), wanted) {
            ("exists", Value::Bool(wanted)) => Ok(found.is_some() == *wanted),
            ("prefix", Value::String(wanted)) => {
                Ok(text.is_some_and(|text| text.starts_with(wanted.as_str())))
            }
            ("suffix", Value::String(wanted)) => Ok(text.is_some_and(|text| text.ends_with(wanted.as_str()))),
            ("equals-ignore-case", Value::String(wanted)) => {
                Ok(text.is_some_and(|text| text.to_lowercase() == wanted.to_lowercase()))
            }
            ("anything-but", Value::Array(values)) => Ok(found.is_some_and(|found| !values.contains(found))),
            ("anything-but", filter @ Value::Object(_)) => Ok(found.is_some() && !fits(filter, found)?),
            ("anything-but", value) => Ok(found.is_some_and(|found| found != value)),
            _ => unknown(),
        },
        _ => unknown(),
    }
}

/// What a target is sent: a text of its own, a part of the event, what its transformer makes, else the event.
fn message(target: &Value, event: &Value) -> String {
    let text = |name: &str| target.get(name).and_then(Value::as_str);
    if let Some(transformer) = target.get("InputTransformer") {
        return transform(transformer, event);
    }
    match (text("Input"), text("InputPath")) {
        (Some(own), _) => own.to_owned(),
        (None, Some(path)) => {
            let mut keys = path.trim_start_matches('$').split('.').filter(|key| !key.is_empty());
            keys.try_fold(event, |at, key| at.get(key)).unwrap_or(&Value::Null).to_string()
        }
        (None, None) => event.to_string(),
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
        let rule = |pattern: Value| json!({"EventPattern": pattern});
        for (pattern, fits) in [
            (json!({"source": ["aws.codepipeline"], "detail": {"state": ["FAILED", "STOPPED"]}}), true),
            (json!({"detail": {"state": ["SUCCEEDED"]}}), false),
            (json!({"detail": {"absent": ["x"]}}), false),
            (json!({"detail": {"state": [{"prefix": "FAI"}]}}), true),
            (json!({"detail": {"state": [{"prefix": "fai"}]}}), false),
            (json!({"detail": {"state": ["SUCCEEDED", {"suffix": "LED"}]}}), true),
            (json!({"detail": {"state": [{"equals-ignore-case": "failed"}]}}), true),
            (json!({"detail": {"state": [{"anything-but": ["SUCCEEDED", "STARTED"]}]}}), true),
            (json!({"detail": {"state": [{"anything-but": "FAILED"}]}}), false),
            (json!({"detail": {"state": [{"anything-but": {"prefix": "S"}}]}}), true),
            (json!({"detail": {"absent": [{"anything-but": "x"}]}}), false),
            (json!({"detail": {"absent": [{"exists": false}], "state": [{"exists": true}]}}), true),
            (json!({"$or": [{"source": ["other"]}, {"detail": {"pipeline": ["causeway"]}}]}), true),
            (json!({"$or": [{"source": ["other"]}, {"detail": {"pipeline": ["other"]}}]}), false),
        ] {
            assert_eq!(sent(&rule(pattern.clone()), &event), Ok(fits), "{pattern}");
        }
        // What is not known is told, whatever else of the pattern fits or does not.
        for unknown in [
            json!({"detail": {"state": ["FAILED", {"wildcard": "F*"}]}}),
            json!({"source": ["other"], "detail": {"number": [{"numeric": [">", 1]}]}}),
            json!({"detail": {"state": "FAILED"}}),
            json!({"detail": {"state": [{"prefix": {"equals-ignore-case": "fai"}}]}}),
        ] {
            assert!(sent(&rule(unknown.clone()), &event).is_err(), "{unknown}");
        }
        let off = json!({"State": "DISABLED", "EventPattern": {"source": ["aws.codepipeline"]}});
        assert_eq!((sent(&off, &event), sent(&json!({}), &event)), (Ok(false), Ok(false)));
        for (target, expected) in [
            (json!({"Input": "fixed"}), "fixed".to_owned()),
            (json!({"InputPath": "$.detail.state"}), "\"FAILED\"".to_owned()),
            (json!({"InputPath": "$"}), event.to_string()),
            (json!({}), event.to_string()),
        ] {
            assert_eq!(message(&target, &event), expected, "{target}");
        }
        let transformer = json!({"InputPathsMap": {"p": "$.detail.pipeline", "x": "$.nope"}, "InputTemplate": "\"The pipeline <p> failed<x>.\"\n\"Second.\""});
        assert_eq!(transform(&transformer, &event), "The pipeline causeway failed.\nSecond.");
    }
}
