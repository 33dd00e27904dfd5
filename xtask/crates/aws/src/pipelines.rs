//! How a pipeline stands, and who hears of it. Changes nothing.

use serde::Deserialize;
use serde_json::json;

use super::error::explain;
use super::json::Client;
use super::session::Account;
use super::spoken::{CODEPIPELINE, SNS};

/// A pipeline as its stages stand ("GetPipelineState" in the CodePipeline API reference).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Stages into which nothing goes, and why, as whoever closed them said.
    pub closed: Vec<(String, String)>,
    /// Approvals that wait: stage and action.
    pub waiting: Vec<(String, String)>,
}

/// Who is subscribed to a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// Those who confirmed it.
    pub confirmed: usize,
    /// Those who have not yet.
    pub pending: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    stage_states: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stage {
    stage_name: String,
    inbound_transition_state: Option<Transition>,
    #[serde(default)]
    action_states: Vec<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transition {
    enabled: bool,
    disabled_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    action_name: String,
    latest_execution: Option<Execution>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Execution {
    status: Option<String>,
    /// Only an approval that waits has one.
    token: Option<String>,
}

/// How the stages of a pipeline stand.
///
/// # Errors
/// There is no such pipeline, or it may not be looked at.
pub async fn state(account: &Account, pipeline: &str) -> anyhow::Result<State> {
    let client = Client::new(account, &CODEPIPELINE);
    let answer = client.call::<Answer>("GetPipelineState", json!({"name": pipeline})).await;
    let answer = answer.map_err(|error| explain(error, "look at the pipeline", pipeline))?;
    let mut state = State::default();
    for stage in answer.stage_states {
        if let Some(transition) = stage.inbound_transition_state.filter(|transition| !transition.enabled) {
            let why = transition.disabled_reason.unwrap_or_else(|| "nobody said why".to_owned());
            state.closed.push((stage.stage_name.clone(), why));
        }
        let waits = |action: &Action| {
            let execution = action.latest_execution.as_ref();
            execution.is_some_and(|e| e.token.is_some() && e.status.as_deref() == Some("InProgress"))
        };
        let waiting = stage.action_states.into_iter().filter(waits);
        state.waiting.extend(waiting.map(|action| (stage.stage_name.clone(), action.action_name)));
    }
    Ok(state)
}

/// Who hears what a topic is told ("ListSubscriptionsByTopic" in the SNS API reference).
///
/// # Errors
/// There is no such topic, or it may not be looked at.
pub async fn subscribers(account: &Account, topic: &str) -> anyhow::Result<Subscribers> {
    let client = Client::new(account, &SNS);
    let (mut found, mut next) = (Subscribers::default(), None::<String>);
    loop {
        let mut fields = vec![("TopicArn", topic.to_owned())];
        fields.extend(next.clone().map(|next| ("NextToken", next)));
        let answer = client.query("ListSubscriptionsByTopic", &fields).await;
        let answer = answer.map_err(|error| explain(error, "look who is subscribed to the topic", topic))?;
        for member in answer.all(&["ListSubscriptionsByTopicResult", "Subscriptions"]) {
            match member.text_at(&["SubscriptionArn"]).starts_with("arn:") {
                true => found.confirmed += 1,
                false => found.pending += 1,
            }
        }
        let before = next.take();
        let named = answer.text_at(&["ListSubscriptionsByTopicResult", "NextToken"]);
        next = Some(named).filter(|next| !next.is_empty()).map(ToOwned::to_owned);
        if next.is_none() || next == before {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Script, error, result};
    use super::*;
    use causeway_model::fault::from_error;

    #[tokio::test]
    async fn closed_stages_and_approvals_that_wait_are_found() {
        let stage = |name: &str, enabled: Option<bool>, action: serde_json::Value| {
            let transition = enabled.map(|enabled| json!({"enabled": enabled, "disabledReason": "freeze"}));
            json!({"stageName": name, "inboundTransitionState": transition, "actionStates": [action]})
        };
        let action = |status: &str, token: Option<&str>| json!({"actionName": "Approve", "latestExecution": {"status": status, "token": token}});
        let answer = json!({"stageStates": [
            stage("Source", None, json!({"actionName": "Source"})),
            stage("Build", Some(true), action("InProgress", None)),
            stage("Dev", Some(true), action("Succeeded", Some("t"))),
            stage("Prod", Some(false), action("InProgress", Some("t"))),
        ]});
        let (script, account) = Script::start(vec![(200, answer.to_string())]).await;
        let found = state(&account, "p").await.unwrap();
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert_eq!(found, State { closed: pair("Prod", "freeze"), waiting: pair("Prod", "Approve") });
        assert_eq!(script.sent()[0]["x-amz-target"], "CodePipeline_20150709.GetPipelineState");
        let (_, account) = Script::start(vec![(200, "{}".to_owned())]).await;
        assert!(state(&account, "p").await.is_err(), "no stages are no answer");
    }

    #[tokio::test]
    async fn who_has_not_confirmed_hears_nothing() {
        let of = |arns: &[&str], next: &str| {
            let members: String = arns
                .iter()
                .map(|arn| format!("<member><SubscriptionArn>{arn}</SubscriptionArn></member>"))
                .collect();
            result(
                "ListSubscriptionsByTopic",
                &format!("<Subscriptions>{members}</Subscriptions><NextToken>{next}</NextToken>"),
            )
        };
        let pages = vec![
            of(&["arn:aws:sns:x:1:t:a", "PendingConfirmation"], "n1"),
            of(&["Deleted", "arn:aws:sns:x:1:t:b"], ""),
        ];
        let (script, account) = Script::start(pages).await;
        let found = subscribers(&account, "arn:t").await.unwrap();
        assert_eq!(found, Subscribers { confirmed: 2, pending: 2 });
        assert!(script.bodies()[1].contains("NextToken=n1"), "{:?}", script.bodies());
        assert_eq!(script.asked(), ["ListSubscriptionsByTopic"; 2]);
        let (_, account) = Script::start(vec![error(404, "NotFound", "Topic does not exist")]).await;
        let fault = from_error(&subscribers(&account, "arn:t").await.unwrap_err());
        assert_eq!(fault.why, "NotFound: Topic does not exist (status 404)");
    }
}
