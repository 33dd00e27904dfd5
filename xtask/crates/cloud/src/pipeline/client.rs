//! The client's side of executions: control calls of the front.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Order;
use super::journal::News;
use crate::control::Control;
use crate::executions::Answer;
use crate::front::Refusal;

/// How long an answer may take: the front itself waits some seconds for something new.
const LIMIT: Duration = Duration::from_secs(30);

impl Control {
    /// Looks whether an execution can be started.
    ///
    /// # Errors
    /// Another one is at work; the cloud does not answer.
    pub async fn executions_free(&self) -> anyhow::Result<()> {
        self.executions(Method::GET, "/free", Vec::new()).await.map(|_| ())
    }

    /// Starts an execution; its id.
    ///
    /// # Errors
    /// Another one is at work; the cloud does not answer.
    pub async fn start_execution(&self, order: &Order) -> anyhow::Result<String> {
        let answer = self.executions(Method::POST, "", order.to_body()?).await?;
        let id = answer.get("pipelineExecutionId").and_then(Value::as_str);
        Ok(id.context("the local cloud gave the execution no id")?.to_owned())
    }

    /// What an execution told after a place in the order, or how far it is; nothing where nothing came for a while.
    ///
    /// # Errors
    /// The cloud does not answer, or does not know it.
    pub async fn execution_news(&self, id: &str, after: u64, progress: u64) -> anyhow::Result<News> {
        let path = format!("/{id}/events?after={after}&progress={progress}");
        let answer = self.executions(Method::GET, &path, Vec::new()).await?;
        serde_json::from_value(answer).context("read what the execution told")
    }

    /// Answers an execution's approval.
    ///
    /// # Errors
    /// It waits for no such answer; the cloud does not answer.
    pub async fn answer_approval(&self, id: &str, answer: &Answer) -> anyhow::Result<()> {
        let body = serde_json::to_vec(answer).context("write the answer")?;
        self.executions(Method::POST, &format!("/{id}/approval"), body).await.map(|_| ())
    }

    /// Stops an execution. Returns once it has ended, and its builds were told to.
    ///
    /// # Errors
    /// The cloud does not answer, or does not know it.
    pub async fn stop_execution(&self, id: &str, reason: &str) -> anyhow::Result<()> {
        let body = json!({"reason": reason}).to_string().into_bytes();
        self.executions(Method::POST, &format!("/{id}/stop"), body).await.map(|_| ())
    }

    async fn executions(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let (status, text) = self.call(method, &format!("executions{path}"), body, LIMIT).await?;
        if status == StatusCode::OK {
            return serde_json::from_str(&text).context("read the local cloud's answer");
        }
        match serde_json::from_str::<Refusal>(&text) {
            Ok(refusal) => Err(refusal.fault.into()),
            Err(_) => anyhow::bail!("the local cloud answers {status}: {}", text.trim()),
        }
    }
}
